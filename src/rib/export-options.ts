// What the members of an update group have in common as far as export goes, and the reasons why a group sends a route
// or not. The router makes one set of options a group; peers with equal options and policy share a group.

import type { Role } from '../wire/bgp/role.ts';
import type { PeerKind } from './peer-table.ts';
import type { RouteTargetFilter } from './route-target-filter.ts';

/** Why a group sends a prefix or not; `exportReasonNames` has the names. */
export const SENT = 0;
export const NO_ROUTE = 1;
export const NOT_DECIDED = 2;
export const AWAITS_FIB = 3;
export const INTERNAL_TO_INTERNAL = 4;
export const EXPORT_NO_ADVERTISE = 5;
export const EXPORT_NO_EXPORT = 6;
export const EXPORT_POLICY = 7;
export const TOO_LONG = 8;
export const SPLIT_HORIZON = 9;
export const WAITS_ITS_TURN = 10;
export const FIB_LACKS = 11;
export const EXPORT_NO_EXPORT_SUBCONFED = 12;
export const ROLE_LEAK = 13;
export const ROUTE_TARGET_CONSTRAINT = 14;
export const SUMMARY_ONLY = 15;
export const ADD_PATH_LIMIT = 16;
/** RFC 9494 4.6: long-lived stale, to an external peer that does not know the like. */
export const EXPORT_LONG_LIVED_STALE = 17;
/** A next hop that we may not replace by ourselves and the peer cannot take. */
export const FOREIGN_NEXT_HOP = 18;

/** Indexed by code. */
export const exportReasonNames: readonly string[] = [
  'sent',
  'noRoute',
  'notDecided',
  'awaitsFib',
  'internalToInternal',
  'noAdvertise',
  'noExport',
  'policy',
  'tooLong',
  'splitHorizon',
  'waitsItsTurn',
  'fibLacks',
  'noExportSubconfed',
  'roleLeak',
  'routeTargetConstraint',
  'summaryOnly',
  'addPathLimit',
  'longLivedStale',
  'foreignNextHop',
];

/** What all members of a group have in common. */
export interface ExportOptions {
  kind: PeerKind;
  /** Our own AS; within a confederation (RFC 5065) the member AS. */
  localAsn: number;
  /** The members are clients of ours (RFC 4456). */
  rrClients: boolean;
  clusterId: number;
  /** Within the AS or confederation: ourselves as next hop of no route, of external peers' ones, or of all. */
  nextHopSelf: 'never' | 'external' | 'all';
  /** Bytes of our own next hop towards the members: 4, 16 or 32; 0 for families without (RFC 8955). */
  nextHopLength: number;
  /** Members speak 4-octet ASNs (RFC 6793). */
  asn4: boolean;
  /** 4096, or 65535 with extended messages (RFC 8654). */
  maxMessage: number;
  /** The AS that the world outside the confederation sees; 0 or absent: there is none. */
  confederationId?: number;
  /** Another AS that external members know us by, put before our own; instead of it where `replaceAs`. */
  localAs?: number;
  replaceAs?: boolean;
  /**
   * Private ASNs leave paths to external members: of those with no other AS, or of `all`; or are `replace`d by ours.
   * `peerAsn`, the members' own, stays, so that they see their loops.
   */
  removePrivateAs?: { all: boolean; replace: boolean; peerAsn: number };
  /** The members' AS, replaced by ours in paths to them; 0 or absent: not. */
  asOverrideAsn?: number;
  /** The next hop as received goes to external members too. */
  nextHopUnchanged?: boolean;
  /** RFC 7947: nothing of ours goes into the path, next hop and MED stay. */
  routeServerClient?: boolean;
  /** What we are to external members (RFC 9234). */
  role?: Role;
  /** RFC 8326: what is sent says that we are about to go. */
  gracefulShutdown?: boolean;
  /** RFC 7911: several paths of a prefix, at most `max` (0 for any number), the best ones first. */
  addPath?: { max: number };
  /** Members know long-lived graceful restart (RFC 9494). */
  longLived?: boolean;
  /** Internal groups: the best that may go there where the best of all may not (draft-ietf-idr-best-external). */
  bestExternal?: boolean;
  /** RFC 4684: which route targets the member wants. Its owner calls `reconsider` when it changes. */
  rtFilter?: RouteTargetFilter;
}
