// Two connections with one peer: which one closes. RFC 4271 6.8: when an OPEN arrives and another connection
// of that peer has got as far as OpenConfirm (or OpenSent, where the peer's identifier is known by other
// means), the connection that was opened by the speaker with the higher BGP Identifier stays. RFC 6286 2.3:
// identifiers that are equal (only between different ASes) are told apart by the higher ASN.
//
// Ours: an existing connection in OpenSent is judged too, since the arriving OPEN tells the identifier; so
// one exchange settles it. Two connections opened by the same side are no collision but a second attempt: the
// older is a remnant and closes. An Established session stays and the arriving connection closes, with one
// exception (RFC 4724 4.2 and 5): a peer that offered graceful restart has restarted, so its new connection
// wins and the old one closes in silence (event `peerRestarted`), as if TCP had reported the loss. Only an OPEN
// with the AS and the BGP Identifier of the session says so; one with others is from somebody else behind the
// same address, who must not end a session that works.

import type { SessionState } from './state.ts';

export interface CollisionInput {
  localBgpId: number;
  localAsn: number;
  /** From the OPEN that arrived. */
  remoteBgpId: number;
  remoteAsn: number;
  /** The connection that the OPEN arrived on was opened by us. */
  arrivingIsOurs: boolean;
  /** The other connection of the peer. */
  existingState: SessionState;
  existingIsOurs: boolean;
  /** Who is at the other end of the existing, Established session, where it negotiated graceful restart. */
  existingRestarter: { readonly bgpId: number; readonly asn: number } | undefined;
}

/**
 * `keepBoth`: no collision yet. `closeArriving`, `closeExisting`: that one gets `openCollisionDump` (Cease
 * 6/7). `replaceExisting`: the existing one gets `peerRestarted`.
 */
export type CollisionOutcome = 'keepBoth' | 'closeArriving' | 'closeExisting' | 'replaceExisting';

/** Whether we win: the connection that we opened stays. */
function localWins(input: CollisionInput): boolean {
  const { localBgpId, remoteBgpId } = input;
  if (localBgpId !== remoteBgpId) return localBgpId > remoteBgpId;
  return input.localAsn > input.remoteAsn;
}

function isRestarted({ existingRestarter, remoteBgpId, remoteAsn }: CollisionInput): boolean {
  return existingRestarter?.bgpId === remoteBgpId && existingRestarter.asn === remoteAsn;
}

/**
 * Called when a valid OPEN arrives on one of two connections, before `openReceived` is given to its session.
 */
export function resolveCollision(input: CollisionInput): CollisionOutcome {
  switch (input.existingState) {
    case 'idle':
    case 'connect':
    case 'active':
      return 'keepBoth';
    case 'established':
      return isRestarted(input) ? 'replaceExisting' : 'closeArriving';
    case 'openSent':
    case 'openConfirm': {
      if (input.arrivingIsOurs === input.existingIsOurs) return 'closeExisting';
      return localWins(input) === input.arrivingIsOurs ? 'closeExisting' : 'closeArriving';
    }
  }
}
