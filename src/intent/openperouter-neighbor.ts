// A BGP neighbour of OpenPERouter's Underlay, in the spellings of three generations: timers as durations or as
// seconds, multihop as a flag or a property, BFD's mode as a flag or a word.

import { isLinkLocal6, parseIp } from '../net/ip.ts';
import { blockOf } from './guest-address.ts';
import {
  address,
  asn,
  type Complain,
  cidr,
  type Field,
  type Fields,
  flag,
  listOf,
  mapOf,
  prefixOfCidr,
  seconds,
  text,
  whole,
  word,
} from './openperouter-fields.ts';
import type { Given, Neighbor, NeighborAddressFamily, NeighborBfd } from './openperouter-model.ts';

/** TCP-MD5 takes keys of 80 bytes at most; OpenPERouter's schema lets more pass, its FRR does not. */
const PASSWORD_MAX = 80;

const familyWords: readonly NeighborAddressFamily[] = [
  'ipv4unicast',
  'ipv6unicast',
  'evpn',
  'ipv4vpn',
  'ipv6vpn',
];

/** The neighbour, or undefined where it does not say who or where that is. */
export function readNeighbor(entry: Field, complain: Complain): Neighbor | undefined {
  const fields = mapOf(entry, complain);
  if (fields === undefined) return undefined;
  const remote = readRemote(fields);
  const at = readAt(fields);
  const port = whole(fields.take('port'), complain, 0, 16384);
  const timers = readTimers(fields);
  const password = readPassword(fields);
  const multihop = readMultihop(fields);
  const bfd = readBfd(fields);
  const families = readFamilies(fields, remote, at);
  fields.ignore('hostasn'); // generation A takes it and does nothing with it
  fields.finish();
  if (remote === undefined || at === undefined) return undefined;
  const neighbor: Neighbor = { place: fields.place, remote, at, ...timers, ...password };
  if (port !== undefined && port.value !== 0) neighbor.port = port;
  if (multihop !== undefined) neighbor.multihop = multihop;
  if (bfd !== undefined) neighbor.bfd = bfd;
  if (families !== undefined) neighbor.families = families;
  return neighbor;
}

function readRemote(fields: Fields): Neighbor['remote'] | undefined {
  const given = fields.oneOf('asn', 'type');
  if (given?.key === 'asn') {
    const as = asn(given.field, fields.complain);
    return as === undefined ? undefined : { kind: 'asn', asn: as };
  }
  const type = word(given?.field, fields.complain, ['external', 'internal']);
  return type === undefined ? undefined : { kind: 'type', type };
}

function readAt(fields: Fields): Neighbor['at'] | undefined {
  const given = fields.oneOf('address', 'interface', 'listenRange');
  if (given === undefined) return undefined;
  const { key: kind, field } = given;
  const found =
    kind === 'address'
      ? readAddress(field, fields.complain)
      : kind === 'interface'
        ? readInterfaceName(field, fields.complain)
        : readRange(field, fields.complain);
  return found === undefined ? undefined : { kind, text: found };
}

function readAddress(field: Field, complain: Complain): Given<string> | undefined {
  const given = address(field, complain);
  if (given === undefined) return undefined;
  const bytes = parseIp(given.value)!;
  const block = blockOf(bytes);
  // IPv4 knows no scopes: what is link-local there is as good as any other address on a link.
  const isUsual = block === undefined || (block === 'link-local' && bytes.length === 4);
  const hint = block === 'link-local' ? 'name the interface instead' : undefined;
  if (!isUsual) complain(given.place, field.path, `is ${block}`, hint);
  return given;
}

function readInterfaceName(field: Field, complain: Complain): Given<string> | undefined {
  const given = text(field, complain);
  if (given === undefined) return undefined;
  const isName = /^[^/:\s*?]{1,15}$/.test(given.value) && !/^\.\.?$/.test(given.value);
  if (isName && !['lo', 'pt-ns'].includes(given.value)) return given;
  complain(
    given.place,
    field.path,
    'must be an interface name',
    'at most 15 characters, no "/", ":" or blank',
  );
  return undefined;
}

function readRange(field: Field, complain: Complain): Given<string> | undefined {
  const given = cidr(field, complain);
  if (given === undefined) return undefined;
  const { bytes } = prefixOfCidr(given);
  if (bytes.length === 16 && isLinkLocal6(bytes))
    complain(given.place, field.path, 'must not be link-local', 'name the interface instead');
  return given;
}

type Timers = Pick<Neighbor, 'holdTimeSeconds' | 'keepaliveTimeSeconds' | 'connectTimeSeconds'>;

function readTimers(fields: Fields): Timers {
  const { complain } = fields;
  const holdField = fields.take('holdTimeSeconds');
  const olderHold = fields.take('holdTime');
  const aliveField = fields.take('keepaliveTimeSeconds');
  const olderAlive = fields.take('keepaliveTime');
  const connectField = fields.take('connectTimeSeconds');
  const olderConnect = fields.take('connectTime');
  const hold = seconds(holdField, olderHold, fields);
  const keepalive = seconds(aliveField, olderAlive, fields);
  const connect = seconds(connectField, olderConnect, fields);
  const given = holdField ?? olderHold ?? aliveField ?? olderAlive;
  if (((holdField ?? olderHold) === undefined) !== ((aliveField ?? olderAlive) === undefined))
    complain(
      given!.keyPlace,
      given!.path,
      'holdTimeSeconds and keepaliveTimeSeconds go together',
      'give both or none',
    );
  if (hold !== undefined && hold.value !== 0 && hold.value < 3)
    complain(hold.place, (holdField ?? olderHold)!.path, 'must be 0 or at least 3 seconds (RFC 4271)');
  if (hold !== undefined && keepalive !== undefined && keepalive.value > hold.value)
    complain(keepalive.place, (aliveField ?? olderAlive)!.path, 'must not be longer than the hold time');
  if (connect?.value === 0)
    complain(connect.place, (connectField ?? olderConnect)!.path, 'must be from 1 to 65535');
  return {
    ...(hold === undefined ? {} : { holdTimeSeconds: hold }),
    ...(keepalive === undefined ? {} : { keepaliveTimeSeconds: keepalive }),
    ...(connect === undefined ? {} : { connectTimeSeconds: connect }),
  };
}

function readPassword(fields: Fields): Pick<Neighbor, 'password' | 'passwordSecret'> {
  const { complain } = fields;
  const own = fields.take('password');
  const secret = fields.take('passwordSecret');
  if (own !== undefined && secret !== undefined) {
    complain(secret.keyPlace, secret.path, 'excludes password', 'give one of them');
    return {};
  }
  if (own !== undefined) {
    const password = text(own, complain);
    if (password === undefined) return {};
    const bytes = new TextEncoder().encode(password.value).length;
    if (bytes === 0 || /\s/.test(password.value))
      complain(own.node.place, own.path, 'must be text without blanks');
    if (bytes > PASSWORD_MAX)
      complain(own.node.place, own.path, `must be at most ${PASSWORD_MAX} bytes long`);
    return { password };
  }
  return secret === undefined ? {} : readSecret(secret, complain);
}

/** The name of a Secret, or `{name, key}`. */
function readSecret(field: Field, complain: Complain): Pick<Neighbor, 'passwordSecret'> {
  if (field.node.kind === 'map') {
    const fields = mapOf(field, complain)!;
    const name = text(fields.need('name'), complain);
    const key = text(fields.take('key'), complain);
    fields.finish();
    if (name === undefined) return {};
    return { passwordSecret: { place: field.node.place, name: name.value, key: key?.value ?? 'password' } };
  }
  const name = text(field, complain);
  if (name?.value === '') complain(name.place, field.path, 'must not be empty');
  return name === undefined
    ? {}
    : { passwordSecret: { place: name.place, name: name.value, key: 'password' } };
}

/** `properties: [{type: ebgpMultiHop, ebgpMultiHop: {ttl}}]`, or of generations A and B `ebgpMultiHop: true`. */
function readMultihop(fields: Fields): Neighbor['multihop'] {
  const { complain } = fields;
  const older = fields.take('ebgpMultiHop');
  const newer = fields.take('properties');
  if (older !== undefined && newer !== undefined) fields.twice(newer, older);
  const isOn = flag(older, complain);
  if (isOn?.value === true) return { place: isOn.place };
  const entries = newer === undefined ? [] : (listOf(newer, complain, { most: 1 }) ?? []);
  const property = entries[0] === undefined ? undefined : mapOf(entries[0], complain);
  if (property === undefined) return undefined;
  const type = word(property.need('type'), complain, ['ebgpMultiHop']);
  const field = property.take('ebgpMultiHop');
  property.finish();
  const parameters = field === undefined ? undefined : mapOf(field, complain);
  const ttl = whole(parameters?.take('ttl'), complain, 1, 255);
  parameters?.finish();
  if (type === undefined) return undefined;
  return { place: type.place, ...(ttl === undefined ? {} : { ttl }) };
}

function readBfd(fields: Fields): NeighborBfd | undefined {
  const { complain } = fields;
  const field = fields.take('bfd');
  const inner = field === undefined ? undefined : mapOf(field, complain);
  if (inner === undefined) return undefined;
  const receive = whole(inner.take('receiveInterval'), complain, 10, 60_000);
  const transmit = whole(inner.take('transmitInterval'), complain, 10, 60_000);
  const multiplier = whole(inner.take('detectMultiplier'), complain, 2, 255);
  const minimumTtl = whole(inner.take('minimumTTL'), complain, 1, 254);
  const mode = readMode(inner);
  const echo = flag(inner.take('echoMode'), complain);
  whole(inner.take('echoInterval'), complain, 10, 60_000);
  inner.finish();
  return {
    place: inner.place,
    ...(receive === undefined ? {} : { receiveIntervalMs: receive }),
    ...(transmit === undefined ? {} : { transmitIntervalMs: transmit }),
    ...(multiplier === undefined ? {} : { detectMultiplier: multiplier }),
    ...(minimumTtl === undefined ? {} : { minimumTtl }),
    ...(mode === undefined ? {} : { passive: mode }),
    ...(echo?.value === true ? { echo: echo.place } : {}),
  };
}

/** `sessionMode`, or of generations A and B `passiveMode: true`. */
function readMode(bfd: Fields): Given<boolean> | undefined {
  const newer = bfd.take('sessionMode');
  const older = bfd.take('passiveMode');
  if (newer !== undefined && older !== undefined) bfd.twice(older, newer);
  if (newer === undefined) return flag(older, bfd.complain);
  const mode = word(newer, bfd.complain, ['Active', 'Passive']);
  return mode === undefined ? undefined : { value: mode.value === 'Passive', place: mode.place };
}

type FamilyEntry = NonNullable<Neighbor['families']>['list'][number];

/** An empty list is as good as none. */
function readFamilies(
  fields: Fields,
  remote: Neighbor['remote'] | undefined,
  at: Neighbor['at'] | undefined,
): Neighbor['families'] {
  const field = fields.take('addressFamilies');
  const entries = field === undefined ? undefined : listOf(field, fields.complain, { most: 4 });
  if (entries === undefined || entries.length === 0) return undefined;
  const list: FamilyEntry[] = [];
  for (const entry of entries) {
    const one = readFamily(entry, fields.complain);
    if (one === undefined) continue;
    const where = entry.node.place;
    if (list.some(({ type }) => type.value === one.type.value))
      fields.complain(where, entry.path, 'is a family of the list already');
    const clash = list.find(
      ({ type }) => (type.value === 'evpn') !== (one.type.value === 'evpn') && isVpn(type, one.type),
    );
    if (clash !== undefined)
      fields.complain(
        where,
        entry.path,
        'evpn and the VPN families exclude each other',
        'ipv4vpn and ipv6vpn are for SRv6',
      );
    if (isVpn(one.type) && at !== undefined && !isSix(at))
      fields.complain(where, entry.path, 'needs a neighbour with an IPv6 address');
    if (one.client !== undefined && remote?.kind === 'asn')
      fields.complain(
        one.client,
        `${entry.path}.properties`,
        'only a neighbour of type Internal can be a client',
      );
    else if (one.client !== undefined && remote?.kind === 'type' && remote.type.value !== 'internal')
      fields.complain(
        one.client,
        `${entry.path}.properties`,
        'only a neighbour of type Internal can be a client',
      );
    list.push(one);
  }
  return { place: field!.node.place, list };
}

function isVpn(...types: Given<NeighborAddressFamily>[]): boolean {
  return types.some(({ value }) => value === 'ipv4vpn' || value === 'ipv6vpn');
}

function isSix({ kind, text: given }: Neighbor['at']): boolean {
  if (kind === 'interface') return false;
  return kind === 'address' ? given.value.includes(':') : prefixOfCidr(given).bytes.length === 16;
}

function readFamily(entry: Field, complain: Complain): FamilyEntry | undefined {
  const fields = mapOf(entry, complain);
  if (fields === undefined) return undefined;
  const type = word(fields.need('type'), complain, familyWords);
  const properties = fields.take('properties');
  fields.finish();
  const entries = properties === undefined ? [] : (listOf(properties, complain, { most: 8 }) ?? []);
  let client: FamilyEntry['client'];
  for (const one of entries) {
    const property = mapOf(one, complain);
    if (property === undefined) continue;
    if (word(property.need('type'), complain, ['routeReflectorClient']) !== undefined)
      client = property.place;
    property.finish();
  }
  if (type === undefined) return undefined;
  return client === undefined ? { type } : { type, client };
}
