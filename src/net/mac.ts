// Ethernet addresses: six bytes; text as the kernel writes it, lower case with colons. Dashes and Cisco's dotted
// form are read too, since people paste them.

/** Six bytes, or undefined when the text is no MAC address. */
export function parseMac(text: string): Uint8Array | undefined {
  const grouped =
    /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text) ||
    /^[0-9a-f]{2}(-[0-9a-f]{2}){5}$/i.test(text) ||
    /^[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}$/i.test(text);
  if (!grouped) return undefined;
  const digits = text.replace(/[^0-9a-f]/gi, '');
  const mac = new Uint8Array(6);
  for (let i = 0; i < 6; i++) mac[i] = Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16);
  return mac;
}

/** `02:00:00:00:00:01`. */
export function formatMac(bytes: Uint8Array, start = 0): string {
  let text = '';
  for (let i = 0; i < 6; i++) text += (i === 0 ? '' : ':') + bytes[start + i]!.toString(16).padStart(2, '0');
  return text;
}

/** Whether the address is a group address (multicast or broadcast). */
export function isGroupMac(bytes: Uint8Array, start = 0): boolean {
  return (bytes[start]! & 1) === 1;
}
