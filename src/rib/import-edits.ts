// What import does to attributes whatever policy says, and two checks that need more than flags: our other AS before
// the path (local-as), OTC of RFC 9234 section 5, LOCAL_PREF 0 for a neighbour that drains (RFC 8326 section 4.1),
// LLGR_STALE (RFC 9494 section 4.3), NO_EXPORT for what is discarded (RFC 7999 section 3.2), no move sequence of those
// whom nobody believes one (docs/decisions/0017-move-sequence.md). Each edit takes over the reference to the set it is
// given, where it says so, and gives one to the set it returns.

import { ByteWriter, readU32 } from '../lib/bytes.ts';
import { LLGR_STALE_COMMUNITY, NO_EXPORT_COMMUNITY } from '../net/community.ts';
import { AS_SEQUENCE, AS_SET } from '../wire/bgp/attribute/as-path.ts';
import {
  findAttribute,
  findAttributeEnd,
  prependAsPath,
  setU32Attribute,
  u32Attribute,
} from '../wire/bgp/attribute/canonical.ts';
import { AS_PATH, LOCAL_PREF, OTC } from '../wire/bgp/attribute/table.ts';
import { type Role, roles } from '../wire/bgp/role.ts';
import { type AttributePool, HAS_OTC, NO_ADVERTISE, NO_EXPORT } from './attribute-pool.ts';
import { addCommunity, dropMoveSequences } from './communities.ts';
import { type PeerTable, STEP_LOCAL_AS, STEP_PREPEND } from './peer-table.ts';

/** RFC 9234 section 5, ingress 1 and 2: OTC where a customer or another peer may not have it. */
export function isLeak(pool: AttributePool, peers: PeerTable, peer: number, attrId: number): boolean {
  const role = roleTowards(peers, peer);
  if (role === undefined || (pool.flags[attrId]! & HAS_OTC) === 0) return false;
  if (role === 'provider' || role === 'rsServer') return true;
  return role === 'peer' && otcOf(pool, attrId) !== peers.asn[peer];
}

/** Whether the AS that the peer knows us by is in the path more often than ours may be. */
export function isLocalAsLoop(pool: AttributePool, peers: PeerTable, peer: number, attrId: number): boolean {
  if ((peers.steps[peer]! & STEP_LOCAL_AS) === 0) return false;
  const page = pool.page(attrId);
  const start = pool.offset(attrId);
  const end = start + pool.length[attrId]!;
  const to = findAttributeEnd(page, start, end, AS_PATH);
  let count = 0;
  for (let at = findAttribute(page, start, end, AS_PATH); at >= 0 && at < to; ) {
    const ordinary = page[at] === AS_SEQUENCE || page[at] === AS_SET;
    const next = at + 2 + 4 * page[at + 1]!;
    for (at += 2; at < next; at += 4) if (ordinary && readU32(page, at) === peers.localAs[peer]) count++;
  }
  return count > peers.allowAsIn[peer]!;
}

/** What we are to the peer, or undefined. */
function roleTowards(peers: PeerTable, peer: number): Role | undefined {
  return roles[peers.role[peer]! - 1];
}

function otcOf(pool: AttributePool, attrId: number): number {
  const start = pool.offset(attrId);
  return u32Attribute(pool.page(attrId), start, start + pool.length[attrId]!, OTC);
}

export class ImportEdits {
  readonly #pool: AttributePool;
  readonly #out = new ByteWriter(512);
  readonly #spare = new ByteWriter(512);

  constructor(pool: AttributePool) {
    this.#pool = pool;
  }

  /** What policy is asked about: local-as prepended and OTC added. The caller keeps his reference to `attrId`. */
  before(peers: PeerTable, peer: number, attrId: number, hasRoles: boolean): number {
    const pool = this.#pool;
    const role = hasRoles ? roleTowards(peers, peer) : undefined;
    const fromAbove = role === 'customer' || role === 'peer' || role === 'rsClient';
    const marks = fromAbove && (pool.flags[attrId]! & HAS_OTC) === 0;
    const prepends = (peers.steps[peer]! & STEP_PREPEND) !== 0;
    pool.retain(attrId);
    if (!marks && !prepends) return attrId;
    let bytes = pool.page(attrId);
    let start = pool.offset(attrId);
    let end = start + pool.length[attrId]!;
    const spare = this.#spare.reset();
    if (prepends && prependAsPath(spare, bytes, start, end, peers.localAs[peer]!)) {
      bytes = spare.bytes;
      start = 0;
      end = spare.length;
    }
    const out = this.#out.reset();
    if (marks) setU32Attribute(out, bytes, start, end, OTC, peers.asn[peer]!);
    else out.copy(bytes, start, end);
    return this.#replace(attrId);
  }

  /** RFC 8326: the neighbour is about to go, every other path is better. Takes over the reference. */
  drained(attrId: number): number {
    const start = this.#pool.offset(attrId);
    const end = start + this.#pool.length[attrId]!;
    setU32Attribute(this.#out.reset(), this.#pool.page(attrId), start, end, LOCAL_PREF, 0);
    return this.#replace(attrId);
  }

  /** RFC 9494: the community that depreferences, here and at those we tell. Takes over the reference. */
  longLived(attrId: number): number {
    return this.#withCommunity(attrId, LLGR_STALE_COMMUNITY);
  }

  /** RFC 7999: a black hole goes no further than our AS. Takes over the reference. */
  keptHere(attrId: number): number {
    if ((this.#pool.flags[attrId]! & (NO_EXPORT | NO_ADVERTISE)) !== 0) return attrId;
    return this.#withCommunity(attrId, NO_EXPORT_COMMUNITY);
  }

  /** Without what it says of moves. Takes over the reference. */
  withoutMoves(attrId: number): number {
    const start = this.#pool.offset(attrId);
    dropMoveSequences(this.#out.reset(), this.#pool.page(attrId), start, start + this.#pool.length[attrId]!);
    return this.#replace(attrId);
  }

  #withCommunity(attrId: number, community: number): number {
    const start = this.#pool.offset(attrId);
    const end = start + this.#pool.length[attrId]!;
    addCommunity(this.#out.reset(), this.#pool.page(attrId), start, end, community);
    return this.#replace(attrId);
  }

  #replace(attrId: number): number {
    const made = this.#pool.intern(this.#out.bytes, 0, this.#out.length);
    this.#pool.release(attrId);
    return made;
  }
}
