// What a router does to the world. `speaker` implements these ports with sockets and the kernel, `sim` with
// queues under a virtual clock. Every answer comes back later as a call on the router, never from inside a port.

import type { DownReason } from '../session/reason.ts';
import type { BfdSettings } from './config.ts';
import type { FaultReport } from './fault-log.ts';

/** Where an outgoing connection goes, and how its socket is made. */
export interface ConnectTarget {
  peer: number;
  remote: Uint8Array;
  port: number;
  /** Interface index for a link-local remote, else 0. */
  ifindex: number;
  localAddress?: Uint8Array;
  password?: string;
  /** TTL to send with; 255 with TTL security. */
  ttl: number;
  /** Lowest TTL to accept, or 0. */
  minTtl: number;
}

/** A path to a peer that is to be watched (RFC 5880). */
export interface BfdTarget {
  remote: Uint8Array;
  /** Our end of the session; absent where the system may choose. */
  local?: Uint8Array;
  /** The interface of a single hop; 0 for a multihop path. */
  ifindex: number;
  /** RFC 5883 instead of RFC 5881. */
  multihop: boolean;
  settings: BfdSettings;
}

/** What a connection that came in shows of its sender. */
export interface Arrival {
  /** TTL or hop limit of its first packet; undefined where it is not known. */
  ttl: number | undefined;
  /** Whether it was signed with this key from the handshake on (RFC 2385). */
  isSigned(password: string): boolean;
}

/** What other nodes say of an address of a guest. */
export interface Heard {
  /** The highest move sequence; 0 where nobody gave one. */
  sequence: number;
}

/** What can be changed on a connection that is up. */
export interface ConnectionTuning {
  ttl: number;
  /** Lowest TTL to accept, or 0. */
  minTtl: number;
  /** RFC 2385; null for none. */
  password: string | null;
}

/** One way out of the router: a gateway (absent when on link) through an interface. */
export interface ForwardingMember {
  gateway?: Uint8Array;
  ifindex: number;
  weight: number;
  /** No way at all: packets are dropped (RTN_BLACKHOLE). The only member of its set. */
  discard?: true;
}

/** Routes for the kernel. Arrays are owned by the receiver. */
export interface FibBatch {
  seq: number;
  family: number;
  count: number;
  /** Address words, 1 (IPv4) or 4 (IPv6) an entry. */
  words: Uint32Array;
  lengths: Uint8Array;
  /** Next-hop set an entry; -1 takes the route away. */
  setIds: Int32Array;
  /** Metric an entry, 0 for the kernel table's; absent: that for all. */
  metrics?: Uint32Array;
}

/** The kernel's forwarding table. Acknowledges each batch by `Router.fibAcked(seq, failedIndexes)`. */
export interface FibPort {
  defineSet(setId: number, members: ForwardingMember[]): void;
  redefineSet(setId: number, members: ForwardingMember[]): void;
  releaseSet(setId: number): void;
  apply(batch: FibBatch): void;
  /** Routes of an earlier life that nobody asked for again may go now. */
  sweep(): void;
}

/** Something an operator may want to know. */
export type RouterEvent =
  | { kind: 'peerUp'; peer: string; name?: string; remoteAsn: number }
  | { kind: 'peerDown'; peer: string; reason: DownReason }
  | { kind: 'peerAdded' | 'peerRemoved'; peer: string }
  | { kind: 'sessionRefused'; peer: string; text: string }
  | { kind: 'malformed'; peer: string; text: string; fault?: FaultReport }
  | { kind: 'familyDisabled'; peer: string; family: string; text: string }
  | { kind: 'maxPrefix'; peer: string; text: string }
  | { kind: 'bfd'; peer: string; state: 'up' | 'down' | 'admin-down'; failed: boolean; text: string }
  | { kind: 'bfdDiscarded'; text: string }
  | { kind: 'restartDone'; text: string };

export interface RouterPorts {
  /** Starts a connection; answered by `connected` or `connectionLost` with the same id. */
  connect(connection: number, target: ConnectTarget): void;
  /** Closes a connection, or gives up one that is being made. No answer. */
  close(connection: number): void;
  /** Takes bytes[0, length) over for sending; false means: enough for now, `writable` will be called. */
  send(connection: number, bytes: Uint8Array, length: number): boolean;
  /** Absent: no forwarding here (a route reflector, a benchmark). */
  fib?: FibPort;
  /** There is work to do, or an earlier deadline: call `work` soon. Called often; must be cheap. */
  wake(): void;
  event(event: RouterEvent): void;
  /** A factor in [0.75, 1] for timers (RFC 4271, section 10). */
  jitter(): number;
  /** Connections from these addresses must carry this key (RFC 2385); null for none. */
  setKey(address: Uint8Array, prefixLength: number, key: string | null): void;
  /** Whether bytes of a connection have come that the router has not been given yet; absent: never. */
  hasUnread?(connection: number): boolean;
  /** Puts another TTL or key on a connection that is up. Absent: such changes wait for the next connection. */
  tune?(connection: number, tuning: ConnectionTuning): void;
  /** The path to a peer (by its index) is to be watched, or no longer; answered by `Router.bfdChanged`. */
  bfd?(peer: number, wanted: BfdTarget | undefined): void;
  /**
   * What other nodes say of a watched address of a guest (`GuestRoutes.watch`) is another from now on; undefined: none
   * of them has it. Routes of guests may be changed from within.
   */
  guestHeard?(address: Uint8Array, heard: Heard | undefined): void;
  /** Router advertisements are wanted, or no longer wanted, on an interface. */
  discover(ifindex: number, wanted: boolean): void;
}
