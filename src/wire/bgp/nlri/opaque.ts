// NLRI that is more than a prefix: the codecs by family, and the check of a whole field of such NLRI. RFC 7606
// sections 5.3 and 5.4 tell apart an NLRI that cannot be located (the rest of the field is lost) from one that can be
// stepped over: withdrawn where its key can be read, else skipped.

import { families } from '../family.ts';
import { NLRI_SIZE, type NlriCodec } from './codec.ts';
import { evpnCodec } from './evpn.ts';
import { flowspecCodec } from './flowspec.ts';
import { rtcCodec } from './rtc.ts';
import { vpnCodec } from './vpn.ts';

export { NLRI_SIZE, NLRI_SKIP, NLRI_WITHDRAW, type NlriCodec, type NlriView } from './codec.ts';

/** By family id; undefined for those whose NLRI is a prefix. */
export const nlriCodecs: readonly (NlriCodec | undefined)[] = families.map(({ name }) => {
  switch (name) {
    case 'vpnv4':
      return vpnCodec(4);
    case 'vpnv6':
      return vpnCodec(16);
    case 'evpn':
      return evpnCodec;
    case 'rtc':
      return rtcCodec;
    case 'flowspec4':
      return flowspecCodec(4, false);
    case 'flowspec6':
      return flowspecCodec(16, false);
    case 'flowspecVpn4':
      return flowspecCodec(4, true);
    case 'flowspecVpn6':
      return flowspecCodec(16, true);
    default:
      return undefined;
  }
});

export type NlriValidity = 'good' | 'mixed' | 'broken';

/**
 * Whether [start, end) is a sequence of whole NLRI, each behind a 4-byte path identifier where `addPath`: `mixed`
 * when some must be withdrawn or skipped, `broken` when one cannot be located.
 */
export function nlriValidity(
  codec: NlriCodec,
  bytes: Uint8Array,
  start: number,
  end: number,
  addPath: boolean,
  reach: boolean,
): NlriValidity {
  const skip = addPath ? 4 : 0;
  let validity: NlriValidity = 'good';
  for (let at = start; at < end; ) {
    at += skip;
    if (at >= end) return 'broken';
    const found = codec.check(bytes, at, end, reach);
    if (found === 0) return 'broken';
    if (found > NLRI_SIZE) validity = 'mixed';
    at += found & NLRI_SIZE;
  }
  return validity;
}
