// Builds BGP messages byte by byte, right ones and wrong ones. On purpose it shares nothing with src/wire: a
// misunderstanding there must not hide itself here. An attribute is a value until the end, so that a case can
// take a valid set and spoil one of them.

/** A path attribute to be sent; `length` overrides the honest one, `raw` everything. */
export interface Attribute {
  readonly flags: number;
  readonly type: number;
  readonly value: readonly number[];
  /** What the length field says, where that is a lie. */
  readonly length?: number;
  /** The bytes as they are, for what is not even an attribute. */
  readonly raw?: readonly number[];
}

export const ORIGIN = 1;
export const AS_PATH = 2;
export const NEXT_HOP = 3;
export const MED = 4;
export const LOCAL_PREF = 5;
export const ATOMIC_AGGREGATE = 6;
export const AGGREGATOR = 7;
export const COMMUNITIES = 8;
export const ORIGINATOR_ID = 9;
export const CLUSTER_LIST = 10;
export const MP_REACH = 14;
export const MP_UNREACH = 15;
export const EXT_COMMUNITIES = 16;
export const AS4_PATH = 17;
export const AS4_AGGREGATOR = 18;
export const PMSI_TUNNEL = 22;
export const TUNNEL_ENCAPSULATION = 23;
export const IP6_EXT_COMMUNITIES = 25;
export const AIGP = 26;
export const LARGE_COMMUNITIES = 32;
export const OTC = 35;
export const PREFIX_SID = 40;
export const ATTR_SET = 128;

/** Flags of attributes: well-known, optional non-transitive, optional transitive, and single bits. */
export const WELL_KNOWN = 0x40;
export const NON_TRANSITIVE = 0x80;
export const OPTIONAL_TRANSITIVE = 0xc0;
export const PARTIAL = 0x20;
export const EXTENDED = 0x10;

export const OPEN = 1;
export const UPDATE = 2;
export const NOTIFICATION = 3;
export const KEEPALIVE = 4;
export const ROUTE_REFRESH = 5;

export const u16 = (value: number): number[] => [(value >>> 8) & 255, value & 255];
export const u32 = (value: number): number[] => [
  (value >>> 24) & 255,
  (value >>> 16) & 255,
  (value >>> 8) & 255,
  value & 255,
];
export const fill = (count: number, byte = 0): number[] => new Array<number>(count).fill(byte);
export const hex = (bytes: ArrayLike<number>): string => Buffer.from(Array.from(bytes)).toString('hex');

/** The bytes of an IPv4 or IPv6 address. */
export function ip(text: string): number[] {
  if (!text.includes(':')) return text.split('.').map(Number);
  const [head = '', tail] = text.split('::');
  const words = (part: string) =>
    part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16));
  const front = words(head);
  const back = tail === undefined ? [] : words(tail);
  const middle = tail === undefined ? 0 : 8 - front.length - back.length;
  return [...front, ...fill(middle), ...back].flatMap(u16);
}

/** A prefix as NLRI: its length in bits, then as many bytes as that takes. */
export function prefix(text: string): number[] {
  const [address = '', bits] = text.split('/');
  const length = Number(bits);
  return [length, ...ip(address).slice(0, (length + 7) >>> 3)];
}

export function attribute(flags: number, type: number, value: readonly number[]): Attribute {
  return { flags, type, value };
}

export function attributeBytes(one: Attribute): number[] {
  if (one.raw !== undefined) return [...one.raw];
  const length = one.length ?? one.value.length;
  const long = (one.flags & EXTENDED) !== 0 || length > 255;
  const flags = long ? one.flags | EXTENDED : one.flags;
  return [flags, one.type, ...(long ? u16(length) : [length]), ...one.value];
}

/** A whole message with its header; `length` and `marker` where they are to be wrong. */
export function message(
  type: number,
  body: readonly number[],
  lie: { length?: number; marker?: readonly number[] } = {},
): Uint8Array {
  const length = lie.length ?? 19 + body.length;
  return Uint8Array.from([...(lie.marker ?? fill(16, 0xff)), ...u16(length), type, ...body]);
}

export interface UpdateParts {
  readonly withdrawn?: readonly number[];
  readonly attributes?: readonly Attribute[];
  readonly nlri?: readonly number[];
  /** Length fields where they are to be wrong. */
  readonly withdrawnLength?: number;
  readonly attributesLength?: number;
}

export function update(parts: UpdateParts): Uint8Array {
  const withdrawn = parts.withdrawn ?? [];
  const attributes = (parts.attributes ?? []).flatMap(attributeBytes);
  return message(UPDATE, [
    ...u16(parts.withdrawnLength ?? withdrawn.length),
    ...withdrawn,
    ...u16(parts.attributesLength ?? attributes.length),
    ...attributes,
    ...(parts.nlri ?? []),
  ]);
}

export const keepalive = (): Uint8Array => message(KEEPALIVE, []);

/** An AS_PATH segment: 1 AS_SET, 2 AS_SEQUENCE, 3 AS_CONFED_SEQUENCE, 4 AS_CONFED_SET. */
export function segment(type: number, asns: readonly number[], octets: 2 | 4 = 4): number[] {
  return [type, asns.length, ...asns.flatMap(octets === 4 ? u32 : u16)];
}

export interface Capability {
  readonly code: number;
  readonly value: readonly number[];
  readonly length?: number;
}

export interface OpenParts {
  readonly version?: number;
  readonly asn: number;
  readonly holdTime?: number;
  readonly identifier: readonly number[];
  readonly capabilities: readonly Capability[];
  /** The optional parameters as they are, in place of those that hold the capabilities. */
  readonly parameters?: readonly number[];
  readonly parametersLength?: number;
}

export const capabilityBytes = (one: Capability): number[] => [
  one.code,
  one.length ?? one.value.length,
  ...one.value,
];

export function open(parts: OpenParts): Uint8Array {
  const capabilities = parts.capabilities.flatMap(capabilityBytes);
  const parameters =
    parts.parameters ?? (capabilities.length === 0 ? [] : [2, capabilities.length, ...capabilities]);
  return message(OPEN, [
    parts.version ?? 4,
    ...u16(parts.asn),
    ...u16(parts.holdTime ?? 240),
    ...parts.identifier,
    parts.parametersLength ?? parameters.length,
    ...parameters,
  ]);
}

/** MP_REACH_NLRI with its fields open to lies. */
export function mpReach(
  family: readonly [afi: number, safi: number],
  nextHop: readonly number[],
  nlri: readonly number[],
  lie: { flags?: number; nextHopLength?: number; reserved?: readonly number[] } = {},
): Attribute {
  const head = [...u16(family[0]), family[1], lie.nextHopLength ?? nextHop.length];
  const value = [...head, ...nextHop, ...(lie.reserved ?? [0]), ...nlri];
  return attribute(lie.flags ?? NON_TRANSITIVE, MP_REACH, value);
}

export function mpUnreach(
  family: readonly [afi: number, safi: number],
  nlri: readonly number[],
  flags = NON_TRANSITIVE,
): Attribute {
  return attribute(flags, MP_UNREACH, [...u16(family[0]), family[1], ...nlri]);
}
