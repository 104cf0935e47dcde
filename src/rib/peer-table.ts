// What the decision and the export rules have to know of a peer, in columns, because they look it up per route.
// Index 0 is this router itself. The tie-breakers are RFC 4271 9.1.2.2 f and g; a link-local address says
// nothing without its interface, so `scope` breaks the tie between two links to one neighbour.

import { assert } from '../lib/assert.ts';
import { readU32 } from '../lib/bytes.ts';
import { type Role, roles } from '../wire/bgp/role.ts';
import { BLACKHOLE, GRACEFUL_SHUTDOWN, HAS_AS_SET, MOVE_FRESH, MOVE_SETTLED } from './attribute-pool.ts';
import { growU8, growU16, growU32 } from './columns.ts';

export const LOCAL_PEER = 0;

/** Values of the `kind` column. */
export const PEER_LOCAL = 0;
export const PEER_EXTERNAL = 1;
export const PEER_INTERNAL = 2;
/** In another member AS of our confederation (RFC 5065). */
export const PEER_CONFEDERATION = 3;

export type PeerKind = 'external' | 'internal' | 'confederation';

/** Bits of the `steps` column: what import does to every path of the peer. */
export const STEP_ROLE = 1;
export const STEP_LOCAL_AS = 2;
/** Our other AS is put before what the peer sends. */
export const STEP_PREPEND = 4;

/** Weight of routes this router originates: over anything a peer says unless policy gives it more. */
const LOCAL_WEIGHT = 32768;

export interface PeerColumns {
  kind: PeerKind;
  asn: number;
  /** The peer's BGP identifier, uint32; 0 until it is known. */
  bgpId: number;
  /** 4 or 16 bytes. */
  address: Uint8Array;
  /** Interface index of a link-local address, else 0. */
  scope?: number;
  /** Added to nothing: the weight of this peer's routes unless import policy sets one (0..65535). */
  weight?: number;
  /** A client of ours in the sense of RFC 4456. */
  rrClient?: boolean;
  /** How often our own AS may be in a path of this peer before it counts as a loop; usually 0. */
  allowAsIn?: number;
  /** What we are to the peer (RFC 9234 section 5); external peers only. */
  role?: Role;
  /** Takes paths with AS_SET or AS_CONFED_SET, against RFC 9774. */
  acceptAsSet?: boolean;
  /** RFC 8326: LOCAL_PREF 0 for what carries GRACEFUL_SHUTDOWN; external peers only. */
  honoursGracefulShutdown?: boolean;
  /** RFC 7999: host routes with BLACKHOLE are discarded. */
  blackhole?: boolean;
  /** Its move sequences are believed; else they are removed. */
  moves?: boolean;
  /** Another AS that the peer knows us by, or 0; `localAsPrepends` unless no-prepend. */
  localAs?: number;
  localAsPrepends?: boolean;
}

/** At most 65536 peers; indexes are used again after `remove`. */
export class PeerTable {
  kind = new Uint8Array(16);
  asn = new Uint32Array(16);
  bgpId = new Uint32Array(16);
  weight = new Uint16Array(16);
  rrClient = new Uint8Array(16);
  allowAsIn = new Uint8Array(16);
  /** STEP_ bits. */
  steps = new Uint8Array(16);
  /** Attribute flags that make import look closer, and those that make it look at the prefix. */
  attrMask = new Uint32Array(16);
  prefixMask = new Uint16Array(16);
  /** 0, or an index into `roles` + 1. */
  role = new Uint8Array(16);
  localAs = new Uint32Array(16);
  scope = new Uint32Array(16);
  addressLength = new Uint8Array(16);
  /** Four words a peer, most significant first; an IPv4 address is in the first. */
  address = new Uint32Array(64);
  /** Indexes are below this. */
  end = 1;
  /** Grows with every change: whoever caches what a peer is compares it. */
  version = 0;
  #used = new Uint8Array(16);

  constructor() {
    this.#used[LOCAL_PEER] = 1;
    this.weight[LOCAL_PEER] = LOCAL_WEIGHT;
  }

  has(index: number): boolean {
    return this.#used[index] === 1;
  }

  /** The lowest free index, filled. */
  add(peer: PeerColumns): number {
    let index = 1;
    while (index < this.end && this.#used[index] === 1) index++;
    assert(index < 0x1_0000, 'at most 65535 peers');
    if (index === this.kind.length) this.#grow();
    this.end = Math.max(this.end, index + 1);
    this.#used[index] = 1;
    this.update(index, peer);
    return index;
  }

  /** Changes a peer; its routes must be decided again (`Rib.peerChanged`) if there are any. */
  update(index: number, peer: PeerColumns): void {
    assert(index !== LOCAL_PEER && this.#used[index] === 1, 'a peer that exists');
    this.version++;
    this.kind[index] = kindCodes[peer.kind];
    this.asn[index] = peer.asn;
    this.bgpId[index] = peer.bgpId;
    this.weight[index] = peer.weight ?? 0;
    this.rrClient[index] = peer.rrClient === true ? 1 : 0;
    this.allowAsIn[index] = peer.allowAsIn ?? 0;
    this.#setImport(index, peer);
    this.scope[index] = peer.scope ?? 0;
    this.addressLength[index] = peer.address.length;
    for (let word = 0; word < 4; word++)
      this.address[index * 4 + word] = word * 4 < peer.address.length ? readU32(peer.address, word * 4) : 0;
  }

  #setImport(index: number, peer: PeerColumns): void {
    const external = peer.kind === 'external';
    const { role, localAs = 0 } = peer;
    const hasRole = external && role !== undefined;
    this.role[index] = hasRole ? roles.indexOf(role) + 1 : 0;
    this.localAs[index] = localAs;
    this.steps[index] =
      (hasRole ? STEP_ROLE : 0) |
      (localAs !== 0 ? STEP_LOCAL_AS : 0) |
      (localAs !== 0 && peer.localAsPrepends === true ? STEP_PREPEND : 0);
    this.prefixMask[index] = peer.blackhole === true ? BLACKHOLE : 0;
    this.attrMask[index] =
      this.prefixMask[index]! |
      (peer.acceptAsSet === true ? 0 : HAS_AS_SET) |
      (peer.moves === true ? 0 : MOVE_SETTLED | MOVE_FRESH) |
      (external && peer.honoursGracefulShutdown === true ? GRACEFUL_SHUTDOWN : 0);
  }

  /** Gives the index back; no RIB may have routes of the peer any more. */
  remove(index: number): void {
    assert(index !== LOCAL_PEER && this.#used[index] === 1, 'a peer that exists');
    this.#used[index] = 0;
  }

  /** Order of two peers' addresses, then of their scopes, then of their indexes: never 0 for two peers. */
  compareAddress(a: number, b: number): number {
    const lengths = this.addressLength[a]! - this.addressLength[b]!;
    if (lengths !== 0) return lengths;
    for (let word = 0; word < 4; word++) {
      const difference = this.address[a * 4 + word]! - this.address[b * 4 + word]!;
      if (difference !== 0) return difference;
    }
    const scopes = this.scope[a]! - this.scope[b]!;
    return scopes !== 0 ? scopes : a - b;
  }

  #grow(): void {
    const old = this.kind.length;
    this.kind = growU8(this.kind, old * 2);
    this.asn = growU32(this.asn, old * 2);
    this.bgpId = growU32(this.bgpId, old * 2);
    this.weight = growU16(this.weight, old * 2);
    this.rrClient = growU8(this.rrClient, old * 2);
    this.allowAsIn = growU8(this.allowAsIn, old * 2);
    this.steps = growU8(this.steps, old * 2);
    this.attrMask = growU32(this.attrMask, old * 2);
    this.prefixMask = growU16(this.prefixMask, old * 2);
    this.role = growU8(this.role, old * 2);
    this.localAs = growU32(this.localAs, old * 2);
    this.scope = growU32(this.scope, old * 2);
    this.addressLength = growU8(this.addressLength, old * 2);
    this.address = growU32(this.address, old * 8);
    this.#used = growU8(this.#used, old * 2);
  }
}

const kindCodes: Readonly<Record<PeerKind, number>> = {
  external: PEER_EXTERNAL,
  internal: PEER_INTERNAL,
  confederation: PEER_CONFEDERATION,
};
