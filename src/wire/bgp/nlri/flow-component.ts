// One component of a flow specification (RFC 8955 section 4.2, RFC 8956 section 3): where it ends and which of its bits
// mean something. The list of components is flowspec.ts', their text flowspec-text.ts'.

export const FLOW_DESTINATION = 1;
export const FLOW_SOURCE = 2;
export const FLOW_TCP_FLAGS = 9;
export const FLOW_FRAGMENT = 12;
export const FLOW_LABEL = 13;

// Bits of an operator byte (sections 4.2.1.1 and 4.2.1.2).
export const FLOW_END_OF_LIST = 0x80;
export const FLOW_AND = 0x40;
export const FLOW_NUMERIC_MEANT = 0xf7;
export const FLOW_BITMASK_MEANT = 0xf3;

/** Bytes of the value behind an operator byte. */
export function flowValueLength(operator: number): number {
  return 1 << ((operator >>> 4) & 3);
}

/** Whether the component's operators are bitmask operators. */
export function isBitmask(type: number): boolean {
  return type === FLOW_TCP_FLAGS || type === FLOW_FRAGMENT;
}

/** Greatest length in bytes of a component's values; RFC 8955 section 4.2.2 demands it of these four alone. */
function valueLengthMax(type: number): number {
  if (type === FLOW_TCP_FLAGS) return 2;
  return type === 11 || type === FLOW_FRAGMENT ? 1 : 8;
}

/** Offset behind the component at `at` (its type byte), or -1 when it is malformed. */
export function flowComponentEnd(bytes: Uint8Array, at: number, end: number, addressLength: number): number {
  const type = bytes[at]!;
  if (type <= FLOW_SOURCE) return prefixEnd(bytes, at + 1, end, addressLength);
  if (type > (addressLength === 4 ? FLOW_FRAGMENT : FLOW_LABEL)) return -1;
  const max = valueLengthMax(type);
  at++;
  for (;;) {
    if (at >= end) return -1;
    const operator = bytes[at]!;
    const length = flowValueLength(operator);
    if (length > max) return -1;
    at += 1 + length;
    if (at > end) return -1;
    if ((operator & FLOW_END_OF_LIST) !== 0) return at;
  }
}

// RFC 8956 section 3.1: length and offset 0 match all; else offset < length.
function prefixEnd(bytes: Uint8Array, at: number, end: number, addressLength: number): number {
  const bits = bytes[at]!;
  let next = at + 1;
  let offset = 0;
  if (addressLength === 16) offset = bytes[next++]!;
  if (next > end || bits > addressLength * 8) return -1;
  if (offset >= bits && (offset > 0 || bits > 0) && addressLength === 16) return -1;
  next += (bits - offset + 7) >>> 3;
  return next <= end ? next : -1;
}
