// Text that a peer sent, for logs, terminals and the API. Control characters could drive a terminal; characters that
// only format could turn the order of a line around or hide a part of it. Both are shown
// as spaces, broken UTF-8 as replacement characters.

const unprintable = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** The UTF-8 text in bytes[start, end), fit to be shown. */
export function peerText(bytes: Uint8Array, start: number, end: number): string {
  return new TextDecoder().decode(bytes.subarray(start, end)).replace(unprintable, ' ');
}
