// What is left to offer when a peer refuses our OPEN for what it offers. RFC 5492 section 3: a speaker that does not
// know capabilities answers 2/4 (Unsupported Optional Parameter) and should be tried without them; 2/7 (Unsupported
// Capability) comes from those that know them but want fewer, or others. BIRD and FRR go the same way. A refusal of
// the least leads back to everything, by the usual pauses.

import type { Capability } from '../wire/bgp/capability.ts';
import { AFI_IPV4, SAFI_UNICAST } from '../wire/bgp/family.ts';
import { OPEN_MESSAGE_ERROR } from '../wire/bgp/fault.ts';
import type { OfferExtent, Session, SessionConfig } from './state.ts';

const UNSUPPORTED_OPTIONAL_PARAMETER = 4;
const UNSUPPORTED_CAPABILITY = 7;

/** The capabilities of our OPEN. */
export function capabilitiesOf(config: SessionConfig, extent: OfferExtent): readonly Capability[] {
  switch (extent) {
    case 'all':
      return config.capabilities;
    case 'needed':
      return config.capabilities.filter(isNeeded);
    case 'none':
      return [];
  }
}

/** The extent of the next OPEN after a NOTIFICATION, or undefined where it is none about that. */
export function lesserExtent(
  session: Session,
  config: SessionConfig,
  code: number,
  subcode: number,
): OfferExtent | undefined {
  if (session.state !== 'openSent' && session.state !== 'openConfirm') return undefined;
  if (code !== OPEN_MESSAGE_ERROR) return undefined;
  if (subcode !== UNSUPPORTED_OPTIONAL_PARAMETER && subcode !== UNSUPPORTED_CAPABILITY) return undefined;
  if (session.extent === 'none') return 'all';
  if (session.extent === 'all' && subcode === UNSUPPORTED_CAPABILITY) return 'needed';
  // Without capabilities a session carries IPv4 alone, between 2-octet ASes (RFC 4760 8, RFC 6793 4.1).
  if (config.localAsn <= 0xffff && config.capabilities.some(isIpv4)) return 'none';
  return session.extent === 'all' ? 'needed' : 'all';
}

function isNeeded({ kind }: Capability): boolean {
  return kind === 'multiprotocol' || kind === 'asn4' || kind === 'role';
}

function isIpv4(capability: Capability): boolean {
  return (
    capability.kind === 'multiprotocol' && capability.afi === AFI_IPV4 && capability.safi === SAFI_UNICAST
  );
}
