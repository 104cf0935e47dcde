// Bytes as hexadecimal text, for what has no better text of its own: unknown attributes, NLRI and identifiers.

/** Lower-case digits of bytes[start, end), two a byte. */
export function hexText(bytes: Uint8Array, start = 0, end = bytes.length): string {
  let text = '';
  for (let i = start; i < end; i++) text += bytes[i]!.toString(16).padStart(2, '0');
  return text;
}

/** The bytes of an even number of hexadecimal digits, or undefined. */
export function parseHex(text: string): Uint8Array | undefined {
  if (!/^([0-9a-f]{2})*$/i.test(text)) return undefined;
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

/** Decimal digits as a number no greater than `max`, or -1. */
export function decimal(text: string | undefined, max: number): number {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return -1;
  const value = Number(text);
  return value <= max ? value : -1;
}
