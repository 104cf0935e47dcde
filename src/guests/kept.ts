// The file of attachments as text: what operators and drivers attached, and how each address was when it was written,
// so that a restart changes nothing for guests. JSON with a schema number: an older one is read, a newer one refused,
// because what it says beyond our knowledge would be lost with the next write. The file may have been edited or be
// damaged: each field is judged, and an entry that makes no sense is named and left out, the others count.

import { LeafdError, type Place } from '../lib/leafd-error.ts';
import { formatIp, parseIp } from '../net/ip.ts';
import { formatMac, parseMac } from '../net/mac.ts';
import { type Prefix, parsePrefix, prefixText } from '../net/prefix.ts';
import type {
  AddressReason,
  AddressState,
  Binding,
  BindingSource,
  Expectation,
  KeptAddress,
} from './binding.ts';

const SCHEMA = 1;

export const keptLimits = {
  bindings: 8192,
  addresses: 65536,
  /** Characters of the file, of a name, and elements of a list in a binding. */
  text: 64 << 20,
  name: 255,
  list: 64,
} as const;

export interface Kept {
  bindings: Binding[];
  addresses: KeptAddress[];
  /** What was left out, and why. */
  skipped: LeafdError[];
}

const sources: readonly BindingSource[] = ['api', 'proxmox', 'libvirt', 'lxd'];
const states: readonly AddressState[] = ['waiting', 'expected', 'attached', 'learned', 'moved', 'frozen'];
/** Keys checked by the compiler: a reason that is new has to be here. */
const reasons: Record<AddressReason, true> = {
  bound: true,
  arp: true,
  nd: true,
  dhcp: true,
  probe: true,
  restored: true,
  noPort: true,
  noCarrier: true,
  noMac: true,
  configured: true,
  reserved: true,
  otherNode: true,
  migration: true,
  rarp: true,
  qmpResume: true,
  higherSequence: true,
  duplicate: true,
};

/** The text of the file. Bindings of the configuration are left out: their file is leafd.yaml. */
export function encodeKept({ bindings, addresses }: Pick<Kept, 'bindings' | 'addresses'>): string {
  const own = bindings.filter(({ source }) => source !== 'config').map(plainBinding);
  const lines = (entries: readonly unknown[]): string =>
    entries.length === 0 ? '[]' : `[\n${entries.map((entry) => `  ${JSON.stringify(entry)}`).join(',\n')}\n]`;
  return `{"schema": ${SCHEMA}, "bindings": ${lines(own)}, "addresses": ${lines(addresses)}}\n`;
}

function plainBinding(binding: Binding): Record<string, unknown> {
  const { name, source, guest, port, mac, bridge, addresses, allowed, maxAddresses, sinceMs, expected } =
    binding;
  return {
    name,
    source,
    guest,
    port,
    mac: mac === undefined ? undefined : formatMac(mac),
    bridge,
    addresses: addresses.map((address) => formatIp(address)),
    allowed: allowed.map(prefixText),
    maxAddresses,
    sinceMs,
    expected,
  };
}

/** Reads such a text. Throws LeafdError `state-unreadable` with its place where the file as a whole is not one. */
export function decodeKept(text: string, file: string): Kept {
  const data = parse(text, file);
  const { schema, bindings, addresses } = data;
  if (typeof schema !== 'number' || !Number.isInteger(schema) || schema < 1)
    throw unreadable(file, 'has no schema number', text, '"schema"');
  if (schema > SCHEMA) {
    const what = `has schema ${schema}, which is newer than this leafd (${SCHEMA})`;
    throw unreadable(file, what, text, '"schema"');
  }
  if (bindings !== undefined && !Array.isArray(bindings))
    throw unreadable(file, 'bindings is not a list', text, '"bindings"');
  if (addresses !== undefined && !Array.isArray(addresses))
    throw unreadable(file, 'addresses is not a list', text, '"addresses"');
  const skipped: LeafdError[] = [];
  return {
    bindings: judgeAll(bindings ?? [], 'bindings', keptLimits.bindings, readBinding, nameOf, file, skipped),
    addresses: judgeAll(
      addresses ?? [],
      'addresses',
      keptLimits.addresses,
      readAddress,
      addressOf,
      file,
      skipped,
    ),
    skipped,
  };
}

const nameOf = ({ name }: Binding): string => name;
const addressOf = ({ address }: KeptAddress): string => address;

function judgeAll<T>(
  entries: readonly unknown[],
  list: string,
  most: number,
  read: (fields: Fields) => T,
  keyOf: (entry: T) => string,
  file: string,
  skipped: LeafdError[],
): T[] {
  const known = new Map<string, T>();
  for (const [at, entry] of entries.slice(0, most).entries()) {
    const fields = new Fields(entry);
    const value = read(fields);
    if (fields.wrong === undefined && known.has(keyOf(value)))
      fields.fail('', `${keyOf(value)} is there twice`);
    if (fields.wrong === undefined) known.set(keyOf(value), value);
    else skipped.push(leftOut(`${file}: ${list}[${at}]${fields.wrong}`));
  }
  if (entries.length > most) skipped.push(leftOut(`${file}: ${list} has more than ${most} entries`));
  return [...known.values()];
}

function leftOut(what: string): LeafdError {
  return new LeafdError('state-entry', what, { hint: 'it is left out' });
}

function parse(text: string, file: string): Record<string, unknown> {
  if (text.length > keptLimits.text) throw unreadable(file, 'is too large', '', '');
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (error) {
    const at = /position (\d+)/.exec((error as Error).message)?.[1];
    throw failure(file, 'is not JSON', placeAt(text, file, at === undefined ? text.length : Number(at)));
  }
  if (typeof data !== 'object' || data === null || Array.isArray(data))
    throw unreadable(file, 'is not an object', text, '');
  return data as Record<string, unknown>;
}

function unreadable(file: string, what: string, text: string, near: string): LeafdError {
  return failure(file, what, placeAt(text, file, Math.max(0, text.indexOf(near))));
}

function failure(file: string, what: string, where: Place): LeafdError {
  return new LeafdError('state-unreadable', `${file} ${what}`, {
    where,
    hint: 'guests attached by hand or by drivers have to be attached again',
  });
}

function placeAt(text: string, file: string, at: number): Place {
  const before = text.slice(0, at).split('\n');
  return { file, line: before.length, column: before.at(-1)!.length + 1 };
}

/** Reads fields of an entry and remembers the first that is wrong; what it returns then means nothing. */
class Fields {
  wrong: string | undefined;
  readonly #data: Record<string, unknown>;
  readonly #path: string;

  constructor(data: unknown, path = '') {
    const isObject = typeof data === 'object' && data !== null && !Array.isArray(data);
    this.#data = isObject ? (data as Record<string, unknown>) : {};
    this.#path = path;
    if (!isObject) this.wrong = ': is not an object';
  }

  fail(key: string, what: string): void {
    this.wrong ??= `${key === '' ? '' : `${this.#path}.${key}`}: ${what}`;
  }

  has(key: string): boolean {
    return this.#data[key] !== undefined;
  }

  text(key: string, most: number = keptLimits.name): string {
    const value = this.#data[key];
    if (typeof value === 'string' && value.length <= most) return value;
    this.fail(key, 'is not a text of reasonable length');
    return '';
  }

  name(key: string): string {
    const value = this.text(key);
    if (value === '') this.fail(key, 'is empty');
    return value;
  }

  number(key: string, most: number = Number.MAX_SAFE_INTEGER): number {
    const value = this.#data[key];
    if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= most) return value;
    this.fail(key, 'is not a whole number in range');
    return 0;
  }

  oneOf<T extends string>(key: string, known: readonly T[]): T {
    const value = this.#data[key] as T;
    if (!known.includes(value)) this.fail(key, `is not one of ${known.join(', ')}`);
    return value;
  }

  list<T>(key: string, what: string, read: (text: string) => T | undefined): T[] {
    const value = this.#data[key];
    if (!Array.isArray(value) || value.length > keptLimits.list) {
      this.fail(key, `is not a list of ${what}, ${keptLimits.list} at most`);
      return [];
    }
    return value.flatMap((element, at) => {
      const one = typeof element === 'string' ? read(element) : undefined;
      if (one === undefined) this.fail(`${key}[${at}]`, `is not ${what}`);
      return one === undefined ? [] : [one];
    });
  }

  inner(key: string): Fields {
    return new Fields(this.#data[key], `${this.#path}.${key}`);
  }
}

function readBinding(fields: Fields): Binding {
  const binding: Binding = {
    name: fields.name('name'),
    source: fields.oneOf('source', sources),
    addresses: fields.list('addresses', 'an address', parseIp),
    allowed: fields.list('allowed', 'a prefix', (text): Prefix | undefined =>
      parsePrefix(text, { strict: true }),
    ),
    sinceMs: fields.number('sinceMs'),
  };
  if (fields.has('guest')) binding.guest = fields.text('guest');
  if (fields.has('port')) binding.port = fields.name('port');
  if (fields.has('bridge')) binding.bridge = fields.name('bridge');
  if (fields.has('maxAddresses')) binding.maxAddresses = fields.number('maxAddresses', keptLimits.addresses);
  if (fields.has('mac')) {
    const mac = parseMac(fields.text('mac'));
    if (mac === undefined) fields.fail('mac', 'is not a MAC address');
    else binding.mac = mac;
  }
  if (binding.port === undefined && binding.mac === undefined) fields.fail('port', 'and mac are both absent');
  if (fields.has('expected')) binding.expected = readExpectation(fields);
  return binding;
}

function readExpectation(fields: Fields): Expectation {
  const inner = fields.inner('expected');
  const expected: Expectation = { untilMs: inner.number('untilMs') };
  if (inner.has('from')) expected.from = inner.text('from');
  if (inner.has('qmp')) expected.qmp = inner.text('qmp', 4096);
  if (inner.has('alone')) expected.alone = true;
  if (inner.wrong !== undefined) fields.wrong ??= inner.wrong;
  return expected;
}

function readAddress(fields: Fields): KeptAddress {
  const text = fields.text('address');
  const address = parseIp(text);
  if (address === undefined) fields.fail('address', 'is not an address');
  const mac = fields.text('mac');
  if (mac !== '' && parseMac(mac) === undefined) fields.fail('mac', 'is not a MAC address');
  return {
    ...(fields.has('binding') ? { binding: fields.name('binding') } : {}),
    address: address === undefined ? text : formatIp(address),
    port: fields.text('port'),
    mac,
    state: fields.oneOf('state', states),
    reason: fields.oneOf('reason', Object.keys(reasons) as AddressReason[]),
    sinceMs: fields.number('sinceMs'),
    sequence: fields.number('sequence', 0xffffffff),
  };
}
