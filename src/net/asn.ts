// Autonomous system numbers: uint32. Read in asplain and asdot, written in asplain (RFC 5396); some have a meaning of
// their own: zero (RFC 7607), AS_TRANS (RFC 6793), and those for private use (RFC 6996).

/** Stands for a 4-octet ASN where only two octets fit (RFC 6793 section 9). */
export const AS_TRANS = 23456;

/** The ASN in `65001`, `AS65001` or `1.10`, or undefined. Zero is read: whether it may be used is the caller's. */
export function parseAsn(text: string): number | undefined {
  const plain = /^(?:AS)?(\d{1,10})$/i.exec(text);
  if (plain !== null) {
    const asn = Number(plain[1]);
    return asn <= 0xffffffff ? asn : undefined;
  }
  const dotted = /^(?:AS)?(\d{1,5})\.(\d{1,5})$/i.exec(text);
  if (dotted === null) return undefined;
  const high = Number(dotted[1]);
  const low = Number(dotted[2]);
  return high <= 0xffff && low <= 0xffff ? high * 65536 + low : undefined;
}

/** Asplain text. */
export function formatAsn(asn: number): string {
  return String(asn >>> 0);
}

/** Whether the ASN is for private use: it means nothing to the world outside (RFC 6996). */
export function isPrivateAsn(asn: number): boolean {
  return (asn >= 64_512 && asn <= 65_534) || (asn >= 4_200_000_000 && asn <= 4_294_967_294);
}
