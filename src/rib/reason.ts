// Why a path is used or not, as small numbers: 0 in a column is an accepted path, those set at import are stored,
// the others are found by `Decision.explain` when somebody asks. The names are what the API and `leafctl why` show;
// they are stable.

/** The path we use, and paths that share the load with it. */
export const BEST = 0;
export const MULTIPATH = 1;

/** Set at import; kept so that "why refused" has an answer. */
export const POLICY = 2;
export const AS_LOOP = 3;
export const ORIGINATOR_LOOPED = 4;
export const CLUSTER_LOOPED = 5;

/** RFC 9774: the path has an AS_SET or AS_CONFED_SET. */
export const AS_SET_REFUSED = 6;

/** RFC 5065 section 4: our member AS is in a confederation segment. */
export const CONFEDERATION_LOOP = 7;

/** RFC 9234 section 5: OTC says that the route should not come from there. */
export const ROUTE_LEAK = 8;

/** Beyond the limit of the peer, where surplus routes are refused. */
export const MAX_PREFIX = 9;

/** RFC 9494 section 4.3: long-lived stale, and it says NO_LLGR. */
export const NO_LONG_LIVED = 10;

/** RFC 8955 section 6, RFC 9117: a flow specification of somebody else than whom the packets go to. */
export const FLOWSPEC_UNVALIDATED = 11;

/** RFC 4271 6.3: multicast, loopback and link-local prefixes are no routes. */
export const NOT_ROUTABLE = 12;

/** RFC 4271 9.1.2.1: a path whose next hop cannot be reached takes no part. */
export const NEXT_HOP_UNREACHABLE = 13;

/** The peer is gone and the path is waiting for its slice of the clean-up. */
export const GONE = 14;

/** Steps of the decision, in their order: the first that separates the path from the best one. RFC 9494 section 4.3: */
export const LONG_LIVED_STALE = 15;

/** RFC 4271 section 9.1.2.2 and ours (decision.ts). */
export const WEIGHT = 16;
export const MOVE_SEQUENCE = 17;
export const LOCAL_PREFERENCE = 18;
export const LOCAL_ORIGIN = 19;
export const AS_PATH_LENGTH = 20;
export const ORIGIN_CODE = 21;
export const MED = 22;
export const EXTERNAL_OVER_INTERNAL = 23;
export const IGP_METRIC = 24;
export const ROUTER_ID = 25;
export const CLUSTER_LIST_LENGTH = 26;
export const PEER_ADDRESS = 27;
export const PATH_ID = 28;

/** Indexed by code. */
export const reasonNames: readonly string[] = [
  'best',
  'multipath',
  'policy',
  'asLoop',
  'originatorLoop',
  'clusterLoop',
  'asSet',
  'confederationLoop',
  'routeLeak',
  'maxPrefix',
  'noLlgr',
  'flowspecUnvalidated',
  'notRoutable',
  'nextHopUnreachable',
  'gone',
  'llgrDepreferenced',
  'weight',
  'moveSequence',
  'localPref',
  'localOrigin',
  'asPathLength',
  'origin',
  'med',
  'externalOverInternal',
  'igpMetric',
  'routerId',
  'clusterListLength',
  'peerAddress',
  'pathId',
];
