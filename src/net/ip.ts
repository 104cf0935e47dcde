// IP addresses as bytes: 4 for IPv4, 16 for IPv6, and IPv4 also as one uint32 for the hot path. Text is read
// strictly (four decimal octets without leading zeros; RFC 4291 section 2.2 for IPv6, no zone) and written as
// RFC 5952 wants it. What a prefix is belongs to prefix.ts; whether an address may be used belongs to others.

const DOT = 46;
const COLON = 58;

/** A uint32 from dotted decimal text in [start, end), or undefined. */
function scanIp4(text: string, start: number, end: number): number | undefined {
  let value = 0;
  let octet = -1;
  let digits = 0;
  let dots = 0;
  for (let i = start; i < end; i++) {
    const c = text.charCodeAt(i);
    if (c === DOT) {
      if (octet < 0 || ++dots > 3) return undefined;
      value = value * 256 + octet;
      octet = -1;
      digits = 0;
      continue;
    }
    const digit = c - 48;
    if (digit < 0 || digit > 9) return undefined;
    // A leading zero once meant octal to some parsers: refuse it rather than guess.
    if (digits > 0 && octet === 0) return undefined;
    octet = octet < 0 ? digit : octet * 10 + digit;
    if (++digits > 3 || octet > 255) return undefined;
  }
  if (dots !== 3 || octet < 0) return undefined;
  return value * 256 + octet;
}

/** IPv4 text as a uint32, or undefined when it is not an address. */
export function parseIp4(text: string): number | undefined {
  return scanIp4(text, 0, text.length);
}

/** A uint32 as dotted decimal text. */
export function formatIp4(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
}

/** IPv4 uint32 as four bytes. */
export function ip4Bytes(address: number): Uint8Array {
  return new Uint8Array([address >>> 24, address >>> 16, address >>> 8, address]);
}

function hexDigit(c: number): number {
  if (c >= 48 && c <= 57) return c - 48;
  const lower = c | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

/** IPv6 text as 16 bytes, or undefined. Upper case, `::` and a dotted tail are read; a zone is not. */
export function parseIp6(text: string): Uint8Array | undefined {
  const out = new Uint8Array(16);
  const end = text.length;
  if (end < 2 || end > 45) return undefined;
  let at = 0; // the next byte of `out`
  let gap = -1; // where `::` stood in `out`
  let i = 0;
  if (text.charCodeAt(0) === COLON) {
    if (text.charCodeAt(1) !== COLON) return undefined;
    gap = 0;
    i = 2;
  }
  while (i < end) {
    if (at === 16) return undefined;
    const groupStart = i;
    let group = 0;
    while (i < end) {
      const digit = hexDigit(text.charCodeAt(i));
      if (digit < 0) break;
      if (i - groupStart === 4) return undefined;
      group = group * 16 + digit;
      i++;
    }
    if (i === groupStart) return undefined;
    if (i < end && text.charCodeAt(i) === DOT) {
      const tail = scanIp4(text, groupStart, end);
      if (tail === undefined || at > 12) return undefined;
      out.set(ip4Bytes(tail), at);
      at += 4;
      break;
    }
    out[at++] = group >>> 8;
    out[at++] = group;
    if (i === end) break;
    if (text.charCodeAt(i) !== COLON || ++i === end) return undefined;
    if (text.charCodeAt(i) === COLON) {
      if (gap >= 0) return undefined;
      gap = at;
      i++;
    }
  }
  return spreadGap(out, at, gap);
}

// Moves what followed `::` to the end. The gap must stand for at least one group.
function spreadGap(out: Uint8Array, at: number, gap: number): Uint8Array | undefined {
  if (gap < 0) return at === 16 ? out : undefined;
  if (at > 14) return undefined;
  const moved = at - gap;
  out.copyWithin(16 - moved, gap, at);
  out.fill(0, gap, 16 - moved);
  return out;
}

/** IPv4 or IPv6 text as 4 or 16 bytes, or undefined when it is neither. */
export function parseIp(text: string): Uint8Array | undefined {
  if (text.includes(':')) return parseIp6(text);
  const address = parseIp4(text);
  return address === undefined ? undefined : ip4Bytes(address);
}

/** Text of the 4 or 16 bytes at `start` (RFC 5952; IPv4-mapped addresses keep their dotted tail). */
export function formatIp(bytes: Uint8Array, start = 0, length = bytes.length - start): string {
  if (length === 4) {
    return `${bytes[start]}.${bytes[start + 1]}.${bytes[start + 2]}.${bytes[start + 3]}`;
  }
  const mapped = isIp4Mapped(bytes, start);
  const groups = mapped ? 6 : 8;
  let gapStart = -1;
  let gapLength = 1; // a single zero group is not shortened (section 4.2.2)
  for (let i = 0; i < groups; ) {
    let run = 0;
    while (i + run < groups && bytes[start + 2 * (i + run)] === 0 && bytes[start + 2 * (i + run) + 1] === 0)
      run++;
    if (run > gapLength) {
      gapStart = i;
      gapLength = run;
    }
    i += run + 1;
  }
  let text = '';
  for (let i = 0; i < groups; i++) {
    if (i === gapStart) {
      text += '::';
      i += gapLength - 1;
      continue;
    }
    if (text !== '' && !text.endsWith(':')) text += ':';
    text += ((bytes[start + 2 * i]! << 8) | bytes[start + 2 * i + 1]!).toString(16);
  }
  return mapped ? `${text}:${formatIp(bytes, start + 12, 4)}` : text;
}

/** Whether the 16 bytes at `start` are in fe80::/10. */
export function isLinkLocal6(bytes: Uint8Array, start = 0): boolean {
  return bytes[start] === 0xfe && (bytes[start + 1]! & 0xc0) === 0x80;
}

/** Whether the 16 bytes at `start` are in ff00::/8. */
export function isMulticast6(bytes: Uint8Array, start = 0): boolean {
  return bytes[start] === 0xff;
}

/** Whether the 16 bytes at `start` are in ::ffff:0:0/96. */
export function isIp4Mapped(bytes: Uint8Array, start = 0): boolean {
  for (let i = 0; i < 10; i++) if (bytes[start + i] !== 0) return false;
  return bytes[start + 10] === 255 && bytes[start + 11] === 255;
}

/** Whether all `length` bytes at `start` are zero: the unspecified address. */
export function isUnspecified(bytes: Uint8Array, start = 0, length = bytes.length - start): boolean {
  for (let i = 0; i < length; i++) if (bytes[start + i] !== 0) return false;
  return true;
}

/** Whether the 16 bytes at `start` are ::1. */
export function isLoopback6(bytes: Uint8Array, start = 0): boolean {
  return bytes[start + 15] === 1 && isUnspecified(bytes, start, 15);
}

/** Whether two addresses are the same bytes. */
export function sameIp(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
