// Bodies of requests about guests, judged field by field before anyone acts on them: every refusal names the field,
// `guests.17.addresses.0` in a list. What one machine reserves, and who has an address already, the table of guests
// says. Sizes: 4096 bindings a request, 64 addresses and 64 prefixes each.

import { parseDuration } from '../intent/duration.ts';
import { parseHostAddress, whyNoGuest, whyNoGuestAddress, whyNoMac } from '../intent/guest-address.ts';
import { formatIp } from '../net/ip.ts';
import { parseMac } from '../net/mac.ts';
import { type Prefix, parsePrefix, prefixText } from '../net/prefix.ts';
import type { AttachRequest, ExpectRequest } from './backend.ts';
import { badRequest, type Fields, onlyFields } from './query.ts';

const MAX_BINDINGS = 4096;
const MAX_ADDRESSES = 64;
const MAX_PREFIXES = 64;
const MAX_LEARNED = 1024;
const MAX_EXPECT_MS = 7 * 86_400_000;

type NewBinding = AttachRequest['binding'];

const placeFields = ['guest', 'port', 'mac', 'bridge', 'addresses', 'allowed', 'maxAddresses', 'source'];
const attachFields = ['name', ...placeFields, 'keepExpected', 'expect'];
const expectFields = ['from', 'for', 'qmp'];
const sources = ['api', 'proxmox', 'libvirt', 'lxd'] as const;

const example = '{"name": "web1", "port": "tap100i0", "addresses": ["192.0.2.10"]}';

/** The bindings of `POST /v1/guests`: one, or those of a list. */
export function attachRequests(body: unknown): AttachRequest[] {
  const fields = fieldsOf(body);
  if (fields.guests === undefined) return [attachRequest(fields, '')];
  onlyFields(fields, ['guests']);
  const { guests } = fields;
  if (!Array.isArray(guests)) throw badRequest('guests: must be a list of bindings');
  if (guests.length === 0) throw badRequest('guests: must name at least one binding');
  if (guests.length > MAX_BINDINGS) throw badRequest(`guests: must be at most ${MAX_BINDINGS}`);
  const names = new Set<string>();
  const owners = new Map<string, string>();
  return guests.map((entry: unknown, index) => {
    const at = `guests.${index}.`;
    if (!isMap(entry)) throw badRequest(`guests.${index}: must be a binding`, example);
    const request = attachRequest(entry, at);
    const { name, addresses } = request.binding;
    if (names.has(name)) throw badRequest(`${at}name: ${name} is given twice`);
    names.add(name);
    for (const [n, address] of addresses.entries()) {
      const text = formatIp(address);
      const owner = owners.get(text);
      if (owner !== undefined) throw badRequest(`${at}addresses.${n}: ${text} is an address of ${owner} too`);
      owners.set(text, name);
    }
    return request;
  });
}

/** What `POST /v1/guests/NAME/expect` asks for; without port and MAC it means the binding that is there. */
export function expectRequest(name: string, body: unknown): { binding?: NewBinding; expect: ExpectRequest } {
  const fields = body === undefined || body === null || body === '' ? {} : fieldsOf(body);
  onlyFields(fields, [...placeFields, ...expectFields]);
  const expect = expectation(fields, '');
  if (fields.port !== undefined || fields.mac !== undefined)
    return { binding: bindingOf(nameField(name, 'name'), fields, ''), expect };
  const idle = placeFields.find((key) => fields[key] !== undefined);
  if (idle !== undefined)
    throw badRequest(
      `${idle}: needs port or mac beside it`,
      'without them the binding that is there is expected as it is',
    );
  return { expect };
}

/** The address of `POST /v1/guests/clear`. */
export function clearAddress(body: unknown): Uint8Array {
  const fields = fieldsOf(body);
  onlyFields(fields, ['address']);
  return hostAddress(fields.address, 'address');
}

function attachRequest(fields: Fields, at: string): AttachRequest {
  onlyFields(fields, attachFields, at);
  const binding = bindingOf(nameField(fields.name, `${at}name`), fields, at);
  const { keepExpected = false, expect } = fields;
  if (typeof keepExpected !== 'boolean') throw badRequest(`${at}keepExpected: must be true or false`);
  if (expect === undefined) return { binding, keepExpected };
  if (!isMap(expect)) throw badRequest(`${at}expect: must be {"from": "…", "for": "1h", "qmp": "/…"}`);
  onlyFields(expect, expectFields, `${at}expect.`);
  return { binding, keepExpected, expect: expectation(expect, `${at}expect.`) };
}

function bindingOf(name: string, fields: Fields, at: string): NewBinding {
  const source = fields.source ?? 'api';
  if (!sources.includes(source as (typeof sources)[number]))
    throw badRequest(`${at}source: must be one of ${sources.join(', ')}`);
  const binding: NewBinding = {
    name,
    source: source as NewBinding['source'],
    addresses: addressesOf(fields, at),
    allowed: prefixesOf(fields, at),
  };
  if (fields.guest !== undefined) binding.guest = shortText(fields.guest, `${at}guest`, 63);
  if (fields.port !== undefined) binding.port = linkName(fields.port, `${at}port`);
  if (fields.mac !== undefined) binding.mac = macOf(fields.mac, `${at}mac`);
  if (fields.bridge !== undefined) binding.bridge = linkName(fields.bridge, `${at}bridge`);
  if (binding.port === undefined && binding.mac === undefined)
    throw badRequest(`${at}port: is required, or mac`, 'one of them tells which guest is meant');
  const { maxAddresses } = fields;
  if (maxAddresses === undefined) return binding;
  if (!isWhole(maxAddresses, MAX_LEARNED))
    throw badRequest(`${at}maxAddresses: must be a whole number from 0 to ${MAX_LEARNED}`);
  return { ...binding, maxAddresses };
}

function expectation(fields: Fields, at: string): ExpectRequest {
  const expect: ExpectRequest = {};
  if (fields.from !== undefined) expect.from = shortText(fields.from, `${at}from`, 63);
  if (fields.for !== undefined) {
    const forMs = typeof fields.for === 'string' ? parseDuration(fields.for) : undefined;
    if (forMs === undefined || forMs < 1000 || forMs > MAX_EXPECT_MS)
      throw badRequest(`${at}for: must be a duration from 1s to 7d`, 'such as 10m');
    expect.forMs = forMs;
  }
  if (fields.qmp !== undefined) {
    const path = shortText(fields.qmp, `${at}qmp`, 107);
    if (!path.startsWith('/')) throw badRequest(`${at}qmp: must be the absolute path of a socket`);
    expect.qmp = path;
  }
  return expect;
}

function isMap(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function fieldsOf(body: unknown): Fields {
  if (!isMap(body)) throw badRequest('the body must be a JSON object', example);
  return body;
}

const isWhole = (value: unknown, high: number): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= high;

/** Names stand in paths and commands. */
function nameField(value: unknown, field: string): string {
  if (typeof value !== 'string' || !/^[A-Za-z0-9_][A-Za-z0-9_.:@+-]{0,126}$/.test(value))
    throw badRequest(`${field}: must be a name of letters, digits and any of _ . : @ + -, at most 127`);
  return value;
}

/** Control characters of both tables, and what turns the direction of a line: it is shown on terminals and logged. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
const unprintable = /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

function shortText(value: unknown, field: string, most: number): string {
  if (typeof value !== 'string' || value === '' || value.length > most || unprintable.test(value))
    throw badRequest(`${field}: must be 1 to ${most} printable characters`);
  return value;
}

function linkName(value: unknown, field: string): string {
  const name = shortText(value, field, 15);
  if (/[\s/:]/.test(name) || name === '.' || name === '..')
    throw badRequest(`${field}: must be an interface name`);
  return name;
}

function macOf(value: unknown, field: string): Uint8Array {
  const mac = typeof value === 'string' ? parseMac(value) : undefined;
  if (mac === undefined) throw badRequest(`${field}: must be a MAC address`, 'such as 02:00:5e:00:53:01');
  const reason = whyNoMac(mac);
  if (reason !== undefined) throw badRequest(`${field}: ${reason}`);
  return mac;
}

function hostAddress(value: unknown, field: string): Uint8Array {
  const parsed = typeof value === 'string' ? parseHostAddress(value) : { reason: 'must be an address' };
  if (!(parsed instanceof Uint8Array)) throw badRequest(`${field}: ${parsed.reason}`, parsed.hint);
  return parsed;
}

/** The list in a field, within its limit; none where it is absent. */
function listOf(fields: Fields, key: string, at: string, most: number): readonly unknown[] {
  const list = fields[key] ?? [];
  if (!Array.isArray(list)) throw badRequest(`${at}${key}: must be a list`);
  if (list.length > most) throw badRequest(`${at}${key}: must be at most ${most}`);
  return list;
}

function addressesOf(fields: Fields, at: string): Uint8Array[] {
  const seen = new Set<string>();
  return listOf(fields, 'addresses', at, MAX_ADDRESSES).map((value, index) => {
    const field = `${at}addresses.${index}`;
    const address = hostAddress(value, field);
    const reason = whyNoGuestAddress(address);
    if (reason !== undefined) throw badRequest(`${field}: ${reason}`);
    const text = formatIp(address);
    if (seen.has(text)) throw badRequest(`${field}: ${text} is given twice`);
    seen.add(text);
    return address;
  });
}

function prefixesOf(fields: Fields, at: string): Prefix[] {
  return listOf(fields, 'allowed', at, MAX_PREFIXES).map((value, index) => {
    const field = `${at}allowed.${index}`;
    const text = typeof value === 'string' ? value : '';
    const loose = parsePrefix(text);
    if (loose === undefined) throw badRequest(`${field}: must be a prefix`, 'such as 192.0.2.0/24');
    if (parsePrefix(text, { strict: true }) === undefined)
      throw badRequest(`${field}: has bits set beyond its length`, `did you mean ${prefixText(loose)}?`);
    const reason = whyNoGuest(loose);
    if (reason !== undefined) throw badRequest(`${field}: ${reason}`);
    return loose;
  });
}
