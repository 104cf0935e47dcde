// The Underlay of OpenPERouter: the node's AS, its interfaces towards the fabric and what surrounds the neighbours
// (openperouter-neighbor.ts has those). What one resource can be judged by alone is judged here.

import { parseIp } from '../net/ip.ts';
import { prefixContains, prefixContainsIp } from '../net/prefix.ts';
import {
  address,
  asn,
  cidr,
  deviceName,
  type Field,
  type Fields,
  listOf,
  mapOf,
  prefixOfCidr,
  text,
  whole,
  word,
} from './openperouter-fields.ts';
import type {
  Given,
  Neighbor,
  ResourceHead,
  UnderlayInterface,
  UnderlayResource,
} from './openperouter-model.ts';
import { readNeighbor } from './openperouter-neighbor.ts';
import { formatPlace, plainOf, type TreeNode } from './tree.ts';

const NEIGHBORS_MAX = 128;
const INTERFACES_MAX = 128;
/** Outside the default of routerIDCIDR: an address of documentation. */
const CLUSTER_ID = '192.0.2.1';
/** Names that are something else in one of the namespaces. */
export const reservedLinks: readonly string[] = ['lo', 'pt-ns', 'pt-host'];

/** The Underlay in a map of its spec, or undefined where something that it needs is missing or wrong. */
export function readUnderlay(spec: Fields, head: ResourceHead): UnderlayResource | undefined {
  const as = asn(spec.need('asn'), spec.complain);
  const pool = spec.take('routerIDCIDR');
  const routerIdCidr =
    pool === undefined
      ? { value: '10.0.0.0/24', place: as?.place ?? head.where }
      : cidr(pool, spec.complain, 'IPv4');
  const tunnel = readTunnel(spec);
  const interfaces = readInterfaces(spec);
  const neighbors = readNeighbors(spec);
  const gracefulRestart = readGracefulRestart(spec);
  const isis = readIsis(spec);
  const srv6 = readSrv6(spec);
  const routeReflector = readReflector(spec, routerIdCidr);
  if (srv6 !== undefined) {
    if (isis === undefined) spec.complain(srv6.keyPlace, srv6.path, 'needs isis');
    if (!tunnel.cidrs.some((one) => prefixOfCidr(one).bytes.length === 16))
      spec.complain(srv6.keyPlace, srv6.path, 'needs an IPv6 CIDR in tunnelEndpoint.cidrs');
  }
  if (as === undefined || routerIdCidr === undefined || interfaces === undefined || neighbors === undefined)
    return undefined;
  const underlay: UnderlayResource = {
    ...head,
    kind: 'Underlay',
    asn: as,
    routerIdCidr,
    neighbors,
    interfaces,
    tunnelCidrs: tunnel.cidrs,
  };
  if (tunnel.interface !== undefined) underlay.tunnelInterface = tunnel.interface;
  if (gracefulRestart !== undefined) underlay.gracefulRestart = gracefulRestart;
  if (isis !== undefined) underlay.isis = isis.keyPlace;
  if (srv6 !== undefined) underlay.srv6 = srv6.keyPlace;
  if (routeReflector !== undefined) underlay.routeReflector = routeReflector;
  return underlay;
}

interface Tunnel {
  cidrs: Given<string>[];
  interface?: Given<string>;
}

/** `tunnelEndpoint.cidrs`; in generation A `evpn` with one CIDR, or an interface that has the address. */
function readTunnel(spec: Fields): Tunnel {
  const newer = spec.take('tunnelEndpoint');
  const older = spec.take('evpn');
  if (newer !== undefined && older !== undefined) spec.twice(older, newer);
  const fields = mapOrNothing(newer ?? older, spec);
  if (fields === undefined) return { cidrs: [] };
  const tunnel: Tunnel = newer === undefined ? readEvpn(fields) : { cidrs: readTunnelCidrs(fields) };
  fields.finish();
  return tunnel;
}

function readTunnelCidrs(fields: Fields): Given<string>[] {
  const field = fields.need('cidrs');
  const entries = field === undefined ? undefined : listOf(field, fields.complain, { least: 1, most: 2 });
  return onePerFamily(entries ?? [], fields);
}

/** CIDRs of which there may be one of each family; the second of one is told and left out. */
export function onePerFamily(entries: readonly Field[], fields: Fields): Given<string>[] {
  const cidrs: Given<string>[] = [];
  for (const entry of entries) {
    const given = cidr(entry, fields.complain);
    if (given === undefined) continue;
    const size = prefixOfCidr(given).bytes.length;
    const same = cidrs.find((one) => prefixOfCidr(one).bytes.length === size);
    if (same === undefined) cidrs.push(given);
    else
      fields.complain(
        given.place,
        entry.path,
        `is a second ${size === 4 ? 'IPv4' : 'IPv6'} CIDR`,
        `the first is at ${formatPlace(same.place)}`,
      );
  }
  return cidrs;
}

function readEvpn(fields: Fields): Tunnel {
  const given = fields.oneOf('vtepCIDR', 'vtepInterface');
  if (given === undefined) return { cidrs: [] };
  if (given.key === 'vtepInterface') {
    const name = deviceName(given.field, fields.complain);
    return name === undefined ? { cidrs: [] } : { cidrs: [], interface: name };
  }
  const pool = cidr(given.field, fields.complain);
  return { cidrs: pool === undefined ? [] : [pool] };
}

function mapOrNothing(field: Field | undefined, spec: Fields): Fields | undefined {
  return field === undefined ? undefined : mapOf(field, spec.complain);
}

/** `interfaces`, all of one type; in generation A `nics`, a list of names. */
function readInterfaces(spec: Fields): UnderlayInterface[] | undefined {
  const older = spec.take('nics');
  const newer = older === undefined ? spec.need('interfaces') : spec.take('interfaces');
  if (newer !== undefined && older !== undefined) spec.twice(older, newer);
  const field = newer ?? older;
  const entries =
    field === undefined ? undefined : listOf(field, spec.complain, { least: 1, most: INTERFACES_MAX });
  if (entries === undefined || entries.length === 0) return undefined;
  const interfaces: UnderlayInterface[] = [];
  for (const entry of entries) {
    const one = newer === undefined ? readNic(entry, spec) : readInterface(entry, spec);
    if (one === undefined) return undefined;
    const first = interfaces[0];
    if (first !== undefined && first.type !== one.type)
      spec.complain(
        entry.node.place,
        entry.path,
        `is a ${one.type} beside a ${first.type}`,
        'all are of one type',
      );
    if (reservedLinks.includes(one.name.value))
      spec.complain(one.name.place, entry.path, 'is not an interface towards the fabric');
    if (interfaces.some(({ name }) => name.value === one.name.value))
      spec.complain(one.name.place, entry.path, 'is an interface of the list already');
    interfaces.push(one);
  }
  return interfaces;
}

function readNic(entry: Field, spec: Fields): UnderlayInterface | undefined {
  const name = deviceName(entry, spec.complain);
  return name === undefined ? undefined : { type: 'NetworkDevice', name };
}

function readInterface(entry: Field, spec: Fields): UnderlayInterface | undefined {
  const fields = mapOf(entry, spec.complain);
  if (fields === undefined) return undefined;
  const type = word(fields.need('type'), spec.complain, ['NetworkDevice', 'CNIDevice']);
  const device = fields.take('networkDevice');
  const cni = fields.take('cniDevice');
  fields.finish();
  if (type === undefined) return undefined;
  const [wanted, other] = type.value === 'NetworkDevice' ? [device, cni] : [cni, device];
  const key = type.value === 'NetworkDevice' ? 'networkDevice' : 'cniDevice';
  if (other !== undefined) spec.complain(other.keyPlace, other.path, `does not belong to type ${type.value}`);
  if (wanted === undefined) spec.complain(type.place, `${entry.path}.${key}`, 'is required');
  const inner = mapOrNothing(wanted, spec);
  if (inner === undefined) return undefined;
  return type.value === 'NetworkDevice' ? readDevice(inner) : readCni(inner);
}

function readDevice(fields: Fields): UnderlayInterface | undefined {
  const name = deviceName(fields.need('interfaceName'), fields.complain);
  fields.finish();
  return name === undefined ? undefined : { type: 'NetworkDevice', name };
}

function readCni(fields: Fields): UnderlayInterface | undefined {
  const type = word(fields.need('type'), fields.complain, ['RawConfig']);
  const named = fields.take('interfaceName');
  const name =
    named === undefined ? { value: 'net1', place: fields.place } : deviceName(named, fields.complain);
  const raw = fields.need('rawConfig');
  const runtime = fields.take('runtimeConfig');
  fields.finish();
  const isMap = raw !== undefined && mapOf(raw, fields.complain) !== undefined;
  if (runtime !== undefined) mapOf(runtime, fields.complain);
  if (isMap) checkCniVersion(raw, fields);
  if (type === undefined || name === undefined || raw === undefined) return undefined;
  const config = JSON.stringify([sorted(raw.node), runtime === undefined ? null : sorted(runtime.node)]);
  return { type: 'CNIDevice', name, place: fields.place, config };
}

function checkCniVersion(raw: Field, fields: Fields): void {
  if (raw.node.kind !== 'map') return;
  const version = raw.node.entries.get('cniVersion')?.value;
  const value = version?.kind === 'scalar' ? version.value : undefined;
  if (typeof value === 'string' && /^[1-9]\d{0,3}\.\d{1,4}\.\d{1,4}/.test(value)) return;
  const path = `${raw.path}.cniVersion`;
  fields.complain(version?.place ?? raw.node.place, path, 'must be 1.0.0 or later', 'as text: "1.0.0"');
}

/** Plain values with the keys of maps in order, so that two spellings of one map give one text. */
function sorted(node: TreeNode): unknown {
  if (node.kind === 'list') return node.items.map(sorted);
  if (node.kind !== 'map') return plainOf(node);
  return [...node.entries]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, { value }]) => [key, sorted(value)]);
}

function readNeighbors(spec: Fields): Neighbor[] | undefined {
  const field = spec.need('neighbors');
  const entries =
    field === undefined ? undefined : listOf(field, spec.complain, { least: 1, most: NEIGHBORS_MAX });
  if (entries === undefined) return undefined;
  const neighbors: Neighbor[] = [];
  for (const entry of entries) {
    const neighbor = readNeighbor(entry, spec.complain);
    if (neighbor === undefined) continue;
    const clash = neighbors.find((earlier) => isSame(earlier, neighbor));
    if (clash !== undefined) {
      const { kind, text: own } = neighbor.at;
      const reason = kind === 'listenRange' ? 'overlaps the range of a neighbour' : 'is a neighbour already';
      spec.complain(own.place, `${entry.path}.${kind}`, `${reason} (${formatPlace(clash.at.text.place)})`);
    }
    neighbors.push(neighbor);
  }
  return neighbors;
}

function isSame({ at: a }: Neighbor, { at: b }: Neighbor): boolean {
  if (a.kind !== b.kind) return false;
  if (a.kind !== 'listenRange') return a.text.value === b.text.value;
  const [left, right] = [prefixOfCidr(a.text), prefixOfCidr(b.text)];
  return prefixContains(left, right) || prefixContains(right, left);
}

function readGracefulRestart(spec: Fields): UnderlayResource['gracefulRestart'] {
  const field = spec.take('gracefulRestart');
  const fields = mapOrNothing(field, spec);
  if (fields === undefined) return undefined;
  const restart = whole(fields.take('restartTimeSeconds', 'restartTime'), spec.complain, 1, 4095);
  const stale = whole(fields.take('stalePathTimeSeconds', 'stalePathTime'), spec.complain, 1, 4095);
  fields.finish();
  return {
    place: fields.place,
    ...(restart === undefined ? {} : { restartTimeSeconds: restart }),
    ...(stale === undefined ? {} : { stalePathTimeSeconds: stale }),
  };
}

function readReflector(spec: Fields, pool: Given<string> | undefined): UnderlayResource['routeReflector'] {
  const fields = mapOrNothing(spec.take('routeReflector'), spec);
  if (fields === undefined) return undefined;
  const field = fields.take('clusterID');
  fields.finish();
  const clusterId =
    field === undefined ? { value: CLUSTER_ID, place: fields.place } : address(field, spec.complain, 'IPv4');
  if (clusterId === undefined) return undefined;
  const path = field?.path ?? `${fields.path}.clusterID`;
  if (clusterId.value === '0.0.0.0') spec.complain(clusterId.place, path, 'must not be 0.0.0.0');
  if (pool !== undefined && prefixContainsIp(prefixOfCidr(pool), parseIp(clusterId.value)!))
    spec.complain(
      clusterId.place,
      path,
      `${field === undefined ? `is ${CLUSTER_ID} by default, which ` : ''}lies within routerIDCIDR`,
      'it would be the router id of a node',
    );
  return { place: fields.place, clusterId };
}

/** Judged for its shape only: leafd does not speak IS-IS. Early versions had a list. */
function readIsis(spec: Fields): Field | undefined {
  const field = spec.take('isis');
  if (field === undefined || field.node.kind === 'list') return field;
  const fields = mapOf(field, spec.complain);
  if (fields === undefined) return field;
  const net = fields.need('baseNet');
  const given = text(net, spec.complain);
  if (given !== undefined && !/^[0-9a-f]{2}\.([0-9a-f]{4}\.){4}[0-9a-f]{2}$/.test(given.value))
    spec.complain(given.place, net!.path, 'must be an IS-IS NET', 'such as 49.0001.0002.0003.0004.00');
  whole(fields.take('level'), spec.complain, 1, 2);
  readWords(fields.take('features'), fields, ['advertisePassiveOnly', 'multiTopology']);
  const interfaces = fields.take('interfaces');
  for (const entry of interfaces === undefined
    ? []
    : (listOf(interfaces, spec.complain, { most: 128 }) ?? [])) {
    const one = mapOf(entry, spec.complain);
    if (one === undefined) continue;
    text(one.need('name'), spec.complain);
    word(one.take('ipFamily'), spec.complain, ['ipv4', 'ipv6', 'dualstack']);
    readWords(one.take('features'), one, ['passive']);
    one.finish();
  }
  fields.finish();
  return field;
}

function readWords(field: Field | undefined, fields: Fields, words: readonly string[]): void {
  const entries = field === undefined ? [] : (listOf(field, fields.complain, { most: 32 }) ?? []);
  for (const entry of entries) word(entry, fields.complain, words);
}

/** Judged for its shape only: leafd has no SRv6. */
function readSrv6(spec: Fields): Field | undefined {
  const field = spec.take('srv6');
  const fields = mapOrNothing(field, spec);
  if (fields === undefined) return field;
  const behaviors = ['H.Encaps', 'H.Encaps.Red', 'H_Encaps', 'H_Encaps_Red'];
  word(fields.take('encapBehavior'), spec.complain, behaviors);
  const locator = mapOrNothing(fields.need('locator'), spec);
  if (locator !== undefined) {
    cidr(locator.need('basePrefix', 'prefix'), spec.complain, 'IPv6');
    word(locator.take('format'), spec.complain, ['usid-f3216']);
    locator.ignore('name');
    locator.finish();
  }
  fields.ignore('source');
  fields.finish();
  return field;
}
