// MAC addresses (six bytes) and Ethernet segment identifiers (ten bytes, RFC 7432 section 5), both written as pairs
// of hexadecimal digits with colons.

import { hexText, parseHex } from './hex.ts';

export const MAC_LENGTH = 6;
export const ESI_LENGTH = 10;

function colonText(bytes: Uint8Array, start: number, length: number): string {
  return hexText(bytes, start, start + length).replace(/..(?!$)/g, '$&:');
}

function parseColons(text: string, length: number): Uint8Array | undefined {
  if (text.length !== 3 * length - 1 || !/^[0-9a-f]{2}(:[0-9a-f]{2})*$/i.test(text)) return undefined;
  return parseHex(text.replaceAll(':', ''));
}

/** `aa:bb:cc:dd:ee:ff` of the 6 bytes at `start`. */
export function formatMac(bytes: Uint8Array, start = 0): string {
  return colonText(bytes, start, MAC_LENGTH);
}

/** The 6 bytes of such a text, or undefined. */
export function parseMac(text: string): Uint8Array | undefined {
  return parseColons(text, MAC_LENGTH);
}

/** Text of the Ethernet segment identifier in the 10 bytes at `start`. */
export function formatEsi(bytes: Uint8Array, start = 0): string {
  return colonText(bytes, start, ESI_LENGTH);
}

/** The 10 bytes of such a text, or undefined. */
export function parseEsi(text: string): Uint8Array | undefined {
  return parseColons(text, ESI_LENGTH);
}

/** Whether a MAC is a group address (broadcast or multicast): no interface's own. */
export function isGroupMac(mac: Uint8Array): boolean {
  return (mac[0]! & 1) === 1;
}

/** Whether the 6 bytes at `start` can be a station's own: neither a group's nor zero. */
export function isStationMac(bytes: Uint8Array, start = 0): boolean {
  if ((bytes[start]! & 1) !== 0) return false;
  for (let i = 0; i < MAC_LENGTH; i++) if (bytes[start + i] !== 0) return true;
  return false;
}

/** Whether both are the same; what is no MAC by its length is none of these. */
export function sameMac(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== MAC_LENGTH || b.length !== MAC_LENGTH) return false;
  for (let i = 0; i < MAC_LENGTH; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Whether all six bytes are zero. */
export function isZeroMac(mac: Uint8Array): boolean {
  return mac.every((byte) => byte === 0);
}
