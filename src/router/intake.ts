// From an UPDATE to paths in the rib: decode, intern the attributes once, choose which next hop counts, hand each
// section over where it stands in the message. What RFC 7606 makes of a bad message the decoder has decided;
// here it is only counted and told. Limits on prefixes are checked behind every message that announces.

import { sameBytes } from '../lib/bytes.ts';
import { formatIp, isLinkLocal6 } from '../net/ip.ts';
import type { AttributePool } from '../rib/attribute-pool.ts';
import type { NextHopTable } from '../rib/next-hop-table.ts';
import type { Rib } from '../rib/rib.ts';
import { families } from '../wire/bgp/family.ts';
import type { Fault } from '../wire/bgp/fault.ts';
import { type UpdateContext, UpdateDecoder, type UpdateView } from '../wire/bgp/update.ts';
import type { Peer } from './peer.ts';
import type { RouterEvent } from './ports.ts';
import type { Resolution } from './resolver.ts';

export interface IntakeHost {
  rib(family: number): Rib;
  event(event: RouterEvent): void;
  endOfRib(peer: Peer, family: number): void;
  /** A peer has announced more than it may; the session is ended by the host after the message. */
  tooManyPrefixes(peer: Peer, family: number, limit: number): void;
  /** The link a peer with an address is on, 0 when it is not on any. */
  linkTo(peer: Peer): number;
  resolve(address: Uint8Array): Resolution | undefined;
}

/** At most this many bad messages of a peer are told one by one; the rest is only counted. */
const TOLD_FAULTS_MAX = 20;

export class Intake {
  readonly #host: IntakeHost;
  readonly #pool: AttributePool;
  readonly #nextHops: NextHopTable;
  readonly #decoder = new UpdateDecoder();
  readonly #contexts = new Map<Peer, UpdateContext>();
  readonly #told = new WeakMap<Peer, number>();
  /** Families for which a warning about the limit has been given in this session, by peer. */
  readonly #warned = new Map<Peer, number>();

  constructor(host: IntakeHost, pool: AttributePool, nextHops: NextHopTable) {
    this.#host = host;
    this.#pool = pool;
    this.#nextHops = nextHops;
  }

  open(peer: Peer, context: UpdateContext): void {
    this.#contexts.set(peer, context);
    this.#warned.delete(peer);
  }

  close(peer: Peer): void {
    this.#contexts.delete(peer);
  }

  /** One UPDATE, body in [start, end). Returns a fault only where the session has to end. */
  update(peer: Peer, bytes: Uint8Array, start: number, end: number): Fault | undefined {
    const view = this.#decoder.decode(bytes, start, end, this.#contexts.get(peer)!);
    if (view.fault !== undefined) {
      if (view.fault.disposition === 'reset' || view.fault.disposition === 'disable') return view.fault;
      this.#tell(peer, view);
    }
    if (view.endOfRib >= 0) {
      this.#host.endOfRib(peer, view.endOfRib);
      return undefined;
    }
    let attrId = 0;
    let announced = 0;
    for (let i = 0; i < view.sectionCount; i++) {
      const family = view.sectionFamily[i]!;
      const rib = this.#host.rib(family);
      const from = view.sectionStart[i]!;
      const to = view.sectionEnd[i]!;
      const addPath = ((peer.negotiated?.addPathReceive ?? 0) & (1 << family)) !== 0;
      if (view.sectionReach[i] === 0 || !this.#isOnItsLink(peer, view, i)) {
        rib.withdraw(peer.index, bytes, from, to, addPath);
        continue;
      }
      if (attrId === 0) attrId = this.#pool.intern(view.attrs, 0, view.attrsLength);
      const nextHopId = this.#nextHopOf(peer, view, i);
      rib.announce(peer.index, bytes, from, to, addPath, attrId, nextHopId);
      this.#nextHops.release(nextHopId);
      announced |= 1 << family;
    }
    if (attrId !== 0) this.#pool.release(attrId);
    if (announced !== 0 && peer.config.maxPrefix !== undefined) this.#checkLimit(peer, announced);
    return undefined;
  }

  /**
   * RFC 4271, 6.3: an external peer one hop away may name itself or an address of the shared subnet as next hop. One
   * that leads elsewhere (a management network, say) is ignored; the routes count as withdrawn.
   */
  #isOnItsLink(peer: Peer, view: UpdateView, section: number): boolean {
    if (peer.config.multihop !== 1 || peer.negotiated?.internal !== false) return true;
    const at = view.nextHopStart[section]!;
    const length = view.nextHopLength[section]!;
    const { nextHop } = view;
    if (length === 32 || (length === 16 && isLinkLocal6(nextHop, at))) return true;
    const { remote } = peer;
    if (remote?.length === length && sameBytes(remote, 0, nextHop, at, length)) return true;
    const link = this.#host.linkTo(peer);
    const way = link === 0 ? undefined : this.#host.resolve(nextHop.slice(at, at + length));
    if (link === 0 || (way !== undefined && way.ifindex === link && way.gateway === undefined)) return true;
    peer.counters.treatedAsWithdraw++;
    this.#event(
      peer,
      `next hop ${formatIp(nextHop, at, length)} is not on the link of the peer (RFC 4271, 6.3)`,
    );
    return false;
  }

  /** A link-local next hop is on the link of its session; beside a global one it is the nearer truth there. */
  #nextHopOf(peer: Peer, view: UpdateView, section: number): number {
    const at = view.nextHopStart[section]!;
    const length = view.nextHopLength[section]!;
    const bytes = view.nextHop;
    if (length === 4) return this.#nextHops.intern(bytes, at, 4, 0);
    const linkLocalAt = length === 32 ? at + 16 : isLinkLocal6(bytes, at) ? at : -1;
    const link =
      linkLocalAt < 0 ? 0 : peer.ifindex !== 0 ? peer.ifindex : length === 16 ? this.#host.linkTo(peer) : 0;
    if (link !== 0) return this.#nextHops.intern(bytes, linkLocalAt, 16, link);
    return this.#nextHops.intern(bytes, at, 16, 0);
  }

  #tell(peer: Peer, view: UpdateView): void {
    for (const fault of view.faults) {
      if (fault.disposition === 'withdraw') peer.counters.treatedAsWithdraw++;
      else peer.counters.attributesDiscarded++;
    }
    const { disposition, reason } = view.fault!;
    this.#event(peer, `${reason} (RFC 7606: ${disposition})`);
  }

  #event(peer: Peer, text: string): void {
    const told = this.#told.get(peer) ?? 0;
    if (told >= TOLD_FAULTS_MAX) return;
    this.#told.set(peer, told + 1);
    this.#host.event({ kind: 'malformed', peer: peer.name, text });
  }

  #checkLimit(peer: Peer, announced: number): void {
    const { limit, action } = peer.config.maxPrefix!;
    for (const { id, name } of families) {
      if ((announced & (1 << id)) === 0) continue;
      const received = this.#host.rib(id).perPeer.received[peer.index]!;
      if (received <= limit) continue;
      const warned = this.#warned.get(peer) ?? 0;
      if ((warned & (1 << id)) === 0) {
        const text = `${received} ${name} prefixes, the limit is ${limit}`;
        this.#host.event({ kind: 'maxPrefix', peer: peer.name, text });
        this.#warned.set(peer, warned | (1 << id));
      }
      if (action !== 'warn') this.#host.tooManyPrefixes(peer, id, limit);
    }
  }
}

/** For people: the address of a next hop, with its interface where it is link-local. */
export function nextHopText(
  nextHops: NextHopTable,
  id: number,
  interfaceName: (ifindex: number) => string,
): string {
  if (id === 0) return 'self';
  const address = formatIp(nextHops.addressOf(id));
  const scope = nextHops.scope[id]!;
  return scope === 0 ? address : `${address}%${interfaceName(scope)}`;
}
