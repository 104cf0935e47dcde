// The three bytes that NLRI call a label: 20 bits of MPLS label, traffic class and bottom-of-stack (RFC 3032, RFC
// 8277), or all 24 bits of a VXLAN network identifier (RFC 8365 section 5.1.3). Which of the two it is only the
// encapsulation tells, so both readings are here.

export const LABEL_LENGTH = 3;
/** What stands for a label in a withdrawal (RFC 8277 section 2.4). */
export const WITHDRAWN_LABEL = 0x800000;
const VNI_MAX = 0xffffff;

/** The 24 bits at `at`: a VNI. */
export function readVni(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
}

/** The upper 20 of the 24 bits at `at`: an MPLS label. */
export function readLabel(bytes: Uint8Array, at: number): number {
  return readVni(bytes, at) >>> 4;
}

/** The VNI in decimal text (1 to 16777215), or undefined. */
export function parseVni(text: string): number | undefined {
  if (!/^[1-9]\d{0,7}$/.test(text)) return undefined;
  const vni = Number(text);
  return vni <= VNI_MAX ? vni : undefined;
}
