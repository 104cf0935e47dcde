// Why a path is used or not, as small numbers: 0 in a column is an accepted path, those from POLICY to
// NOT_ROUTABLE are set at import and stored, the others are found by `Decision.explain` when somebody asks. The
// names are what the API and `leafctl why` show; they are stable.

/** The path we use, and paths that share the load with it. */
export const BEST = 0;
export const MULTIPATH = 1;

/** Set at import; kept so that "why refused" has an answer. */
export const POLICY = 2;
export const AS_LOOP = 3;
export const ORIGINATOR_LOOPED = 4;
export const CLUSTER_LOOPED = 5;

/** RFC 4271 6.3: multicast, loopback and link-local prefixes are no routes. */
export const NOT_ROUTABLE = 6;

/** RFC 4271 9.1.2.1: a path whose next hop cannot be reached takes no part. */
export const NEXT_HOP_UNREACHABLE = 7;
/** The peer is gone and the path is waiting for its slice of the clean-up. */
export const GONE = 8;

/** Steps of the decision, in their order: the first that separates the path from the best one. */
export const WEIGHT = 9;
export const LOCAL_PREFERENCE = 10;
export const LOCAL_ORIGIN = 11;
export const AS_PATH_LENGTH = 12;
export const ORIGIN_CODE = 13;
export const MED = 14;
export const EXTERNAL_OVER_INTERNAL = 15;
export const IGP_METRIC = 16;
export const ROUTER_ID = 17;
export const CLUSTER_LIST_LENGTH = 18;
export const PEER_ADDRESS = 19;
export const PATH_ID = 20;

/** Indexed by code. */
export const reasonNames: readonly string[] = [
  'best',
  'multipath',
  'policy',
  'asLoop',
  'originatorLoop',
  'clusterLoop',
  'notRoutable',
  'nextHopUnreachable',
  'gone',
  'weight',
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
