// What a router is told to be. Plain values with everything resolved: addresses are bytes, times are
// milliseconds, policies are compiled. The daemon makes it from the operator's intent; the simulator makes it
// directly. Names of keys follow leafd.yaml.

import type { Prefix } from '../net/prefix.ts';
import type { CompiledPolicy } from '../policy/program.ts';
import type { RemoteAs } from '../session/state.ts';

/** What all kinds of peers have in common. */
export interface PeerSettings {
  /** What the operator calls it; else its address or range. Peers of a pattern are called by their interfaces. */
  name?: string;
  description?: string;
  /** The operator's group, for display. */
  group?: string;
  remoteAs: RemoteAs;
  /** Bit mask by family id. */
  families: number;
  password?: string;
  /** RFC 5082: only accept packets that no router has forwarded. */
  ttlSecurity: boolean;
  /** Hops an external peer may be away; 1 is directly connected. */
  multihop: number;
  holdTimeMs: number;
  keepaliveMs?: number;
  connectRetryMs: number;
  passive: boolean;
  shutdown: boolean;
  /** Undefined: RFC 8212 decides, or the profile where it says so. */
  import?: CompiledPolicy;
  export?: CompiledPolicy;
  nextHopSelf: boolean;
  routeReflectorClient: boolean;
  weight: number;
  maxPrefix?: { limit: number; action: 'warn' | 'drop' | 'restart'; restartAfterMs: number };
  port: number;
  localAddress?: Uint8Array;
}

/** A peer known by its address. */
export interface AddressPeer extends PeerSettings {
  kind: 'address';
  address: Uint8Array;
  /** For a link-local address: the interface it is on. */
  interface?: string;
}

/** BGP unnumbered: one peer on every interface whose name matches, now or later. */
export interface InterfacePeer extends PeerSettings {
  kind: 'interface';
  /** A name with `*` and `?` as wildcards. */
  pattern: string;
}

/** Peers that come to us from a range of addresses. */
export interface RangePeer extends PeerSettings {
  kind: 'range';
  range: Prefix;
  /** How many peers may come from it. */
  limit: number;
}

export type PeerConfig = AddressPeer | InterfacePeer | RangePeer;

export interface RouterConfig {
  /** Sent in the FQDN capability, so that a neighbour can show it. */
  nodeName: string;
  asn: number;
  /** BGP identifier, uint32. */
  bgpId: number;
  /**
   * `fabric` transits without policies; `host` exports only what is its own, whatever a policy says; `none`:
   * RFC 8212.
   */
  profile: 'fabric' | 'host' | 'none';
  /** Originated here, with source `local`. */
  networks: Prefix[];
  redistribute: { connected?: RedistributeRule; static?: RedistributeRule; kernel?: RedistributeRule };
  multipath: number;
  /** AS paths of equal length but different content may share the load. */
  multipathRelax: boolean;
  gracefulRestart?: { restartTimeMs: number; stalePathTimeMs: number };
  peers: PeerConfig[];
  clusterId?: number;
}

/** Redistribute, through a policy or as is. */
export interface RedistributeRule {
  policy?: CompiledPolicy;
}

/** Whether two peer configurations ask for the same session: what differs here resets it, all else applies live. */
export function sameSession(a: PeerConfig, b: PeerConfig): boolean {
  return sessionKey(a) === sessionKey(b);
}

function sessionKey(peer: PeerConfig): string {
  return JSON.stringify([
    peer.kind,
    peer.remoteAs,
    peer.families,
    peer.password ?? null,
    peer.ttlSecurity,
    peer.multihop,
    peer.holdTimeMs,
    peer.keepaliveMs ?? null,
    peer.port,
    peer.localAddress ? [...peer.localAddress] : null,
    peer.kind === 'address' ? [[...peer.address], peer.interface ?? null] : null,
  ]);
}
