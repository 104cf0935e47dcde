// From an UPDATE to paths in the rib: decode, intern the attributes once, choose which next hop counts, hand each
// section over where it stands in the message. What RFC 7606 makes of a bad message the decoder has decided; here
// it is carried out and handed to the log. Limits on prefixes are checked behind every message that announces.
//
// Routes of families without a next hop (flowspec, RFC 8955 section 4) and of RTC, whose next hop nobody forwards
// to (RFC 4684), have this router as next hop: it can always be reached.

import { sameBytes } from '../lib/bytes.ts';
import { formatIp, isIp4Mapped, isLinkLocal6 } from '../net/ip.ts';
import type { AttributePool } from '../rib/attribute-pool.ts';
import { NEXT_HOP_DISCARD, NEXT_HOP_SELF, type NextHopTable } from '../rib/next-hop-table.ts';
import type { Rib } from '../rib/rib.ts';
import { NEXT_HOP } from '../wire/bgp/attribute/table.ts';
import { families, familiesIn, IPV6, RTC } from '../wire/bgp/family.ts';
import { type Fault, INVALID_NEXT_HOP, updateFault } from '../wire/bgp/fault.ts';
import { type UpdateContext, UpdateDecoder, type UpdateView } from '../wire/bgp/update.ts';
import { familySettings } from './config.ts';
import type { FaultLog } from './fault-log.ts';
import { OWN_SCOPE } from './next-hops.ts';
import type { Peer } from './peer.ts';
import type { RouterEvent } from './ports.ts';
import type { Way } from './resolver.ts';

/**
 * Paths of one route that a peer may tell us where the operator says nothing (receiveMax). Path identifiers cost a
 * peer nothing, and the decision compares the paths of a route with each other.
 */
export const PATHS_MAX = 64;

export interface IntakeHost {
  rib(family: number): Rib;
  event(event: RouterEvent): void;
  endOfRib(peer: Peer, family: number): void;
  /** A peer has announced more than it may; the session is ended by the host after the message. */
  tooManyPrefixes(peer: Peer, family: number, limit: number): void;
  /** The link a peer with an address is on, 0 when it is not on any. */
  linkTo(peer: Peer): number;
  /** By the machine's own routes. */
  resolve(address: Uint8Array): Way | undefined;
}

/** Masks by family id. */
interface Warned {
  near: number;
  beyond: number;
  paths: number;
}

export class Intake {
  readonly #host: IntakeHost;
  readonly #pool: AttributePool;
  readonly #nextHops: NextHopTable;
  readonly #decoder = new UpdateDecoder();
  readonly #contexts = new Map<Peer, UpdateContext>();
  readonly #faults: FaultLog;
  /** Families for which a warning about the limit has been given in this session, by peer. */
  readonly #warned = new Map<Peer, Warned>();

  constructor(host: IntakeHost, faults: FaultLog, pool: AttributePool, nextHops: NextHopTable) {
    this.#host = host;
    this.#faults = faults;
    this.#pool = pool;
    this.#nextHops = nextHops;
  }

  open(peer: Peer, context: UpdateContext): void {
    this.#contexts.set(peer, context);
    this.#warned.delete(peer);
  }

  /** The settings of an Established peer have changed: UPDATEs are read, and limits are held against it, by these. */
  reconfigure(peer: Peer, context: UpdateContext): void {
    this.#contexts.set(peer, context);
    this.#checkLimits(peer, peer.families);
  }

  close(peer: Peer): void {
    this.#contexts.delete(peer);
  }

  /** One UPDATE, body in [start, end). Returns a fault only where the session has to end. */
  update(peer: Peer, bytes: Uint8Array, start: number, end: number): Fault | undefined {
    const view = this.#decoder.decode(bytes, start, end, this.#contexts.get(peer)!);
    if (view.fault !== undefined) {
      for (const fault of view.faults) this.#record(peer, fault);
      if (view.fault.disposition === 'reset') return view.fault;
      for (const fault of view.faults) if (fault.disposition === 'disable') this.#disable(peer, fault);
    }
    if (view.endOfRib >= 0) {
      this.#host.endOfRib(peer, view.endOfRib);
      return undefined;
    }
    let attrId = 0;
    let announced = 0;
    for (let i = 0; i < view.sectionCount; i++) {
      const family = view.sectionFamily[i]!;
      if ((peer.disabledFamilies & (1 << family)) !== 0) continue;
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
      const most = addPath ? (familySettings(peer.config, family).addPath?.receiveMax ?? PATHS_MAX) : 0;
      const refused = rib.announce(peer.index, bytes, from, to, addPath, attrId, nextHopId, most);
      if (refused > 0) {
        const text = `more than ${most} paths of one ${families[family]!.name} route: those beyond are not taken`;
        this.#warn(peer, 'paths', family, text);
      }
      this.#nextHops.release(nextHopId);
      announced |= 1 << family;
    }
    if (attrId !== 0) this.#pool.release(attrId);
    if (announced !== 0) this.#checkLimits(peer, announced);
    return undefined;
  }

  #record(peer: Peer, fault: Fault): void {
    if (fault.disposition === 'withdraw') peer.counters.treatedAsWithdraw++;
    else if (fault.disposition === 'discard') peer.counters.attributesDiscarded++;
    this.#faults.record(peer, fault);
  }

  /** RFC 4760 section 7: the family's routes go, and what comes of it in this session is ignored. */
  #disable(peer: Peer, fault: Fault): void {
    const given = fault.family === undefined ? peer.families : 1 << fault.family;
    for (const family of familiesIn(given & peer.families & ~peer.disabledFamilies)) {
      peer.disabledFamilies |= 1 << family;
      this.#host.rib(family).dropPeer(peer.index);
      // Nobody has to wait for its End-of-RIB.
      this.#host.endOfRib(peer, family);
      const text = `${families[family]!.name} of this session is not used any more: ${fault.reason} (RFC 4760, 7)`;
      this.#host.event({ kind: 'familyDisabled', peer: peer.name, family: families[family]!.name, text });
    }
  }

  /**
   * RFC 4271, 6.3: an external peer one hop away may name itself or an address of the shared subnet as next hop. One
   * that leads elsewhere (a management network, say) is ignored; the routes count as withdrawn. Members of a
   * confederation may pass next hops on as they are (RFC 5065, section 4).
   */
  #isOnItsLink(peer: Peer, view: UpdateView, section: number): boolean {
    if (families[view.sectionFamily[section]!]!.form === 'opaque') return true;
    if (peer.config.multihop !== 1 || peer.negotiated?.internal !== false) return true;
    if (peer.negotiated.confederation) return true;
    const at = view.nextHopStart[section]!;
    const length = view.nextHopLength[section]!;
    const { nextHop } = view;
    if (length === 32 || (length === 16 && isLinkLocal6(nextHop, at))) return true;
    const { remote } = peer;
    if (remote?.length === length && sameBytes(remote, 0, nextHop, at, length)) return true;
    if (this.#meansItself(peer, view, section)) return true;
    const link = this.#host.linkTo(peer);
    const way = link === 0 ? undefined : this.#host.resolve(nextHop.slice(at, at + length));
    if (link === 0 || (way !== undefined && way.ifindex === link && way.gateway === undefined)) return true;
    const what = formatIp(nextHop, at, length);
    const reason = `next hop ${what} is not on the link of the peer (RFC 4271, 6.3)`;
    this.#record(peer, updateFault(INVALID_NEXT_HOP, 'withdraw', reason, NEXT_HOP));
    return false;
  }

  /**
   * Whether a neighbour on our link, to whom we speak IPv6, names its IPv4 address (::ffff:0:0/96) for IPv6 routes: FRR
   * does from the moment when its interface has lost the IPv6 address, also when that is back. Nobody can forward IPv6
   * there; the neighbour is meant, and it is where its session is.
   */
  #meansItself(peer: Peer, view: UpdateView, section: number): boolean {
    if (view.sectionFamily[section] !== IPV6 || peer.remote?.length !== 16) return false;
    return isIp4Mapped(view.nextHop, view.nextHopStart[section]!) && this.#host.linkTo(peer) !== 0;
  }

  /** A link-local next hop is on the link of its session; beside a global one it is the nearer truth there. */
  #nextHopOf(peer: Peer, view: UpdateView, section: number): number {
    const at = view.nextHopStart[section]!;
    const length = view.nextHopLength[section]!;
    const bytes = view.nextHop;
    if (length === 0 || view.sectionFamily[section] === RTC) {
      this.#nextHops.retain(NEXT_HOP_SELF);
      return NEXT_HOP_SELF;
    }
    if (length === 4) return this.#nextHops.intern(bytes, at, 4, 0);
    if (this.#meansItself(peer, view, section))
      return this.#nextHops.intern(peer.remote!, 0, 16, peer.ifindex);
    const linkLocalAt = length === 32 ? at + 16 : isLinkLocal6(bytes, at) ? at : -1;
    const link =
      linkLocalAt < 0 ? 0 : peer.ifindex !== 0 ? peer.ifindex : length === 16 ? this.#host.linkTo(peer) : 0;
    if (link !== 0) return this.#nextHops.intern(bytes, linkLocalAt, 16, link);
    return this.#nextHops.intern(bytes, at, 16, 0);
  }

  #checkLimits(peer: Peer, announced: number): void {
    const { maxPrefix, byFamily } = peer.config;
    if (maxPrefix === undefined && byFamily === undefined) return;
    for (const family of familiesIn(announced)) {
      const wanted = byFamily?.[family]?.maxPrefix ?? maxPrefix;
      if (wanted === undefined) continue;
      const { limit, action, warnAtPercent } = wanted;
      const { perPeer } = this.#host.rib(family);
      const received = perPeer.received[peer.index]!;
      // What is refused anyhow does not count against a limit of what is accepted.
      const counted = action === 'drop' ? perPeer.accepted[peer.index]! : received;
      if (warnAtPercent !== undefined && counted * 100 >= limit * warnAtPercent)
        this.#warn(peer, 'near', family, `${counted} of at most ${limit} ${families[family]!.name} prefixes`);
      if (received <= limit || (action === 'drop' && counted < limit)) continue;
      const beyond = action === 'drop' ? ', those beyond are refused' : '';
      const text = `${received} ${families[family]!.name} prefixes, the limit is ${limit}${beyond}`;
      this.#warn(peer, 'beyond', family, text);
      if (action !== 'restart' && action !== 'shutdown') continue;
      this.#host.tooManyPrefixes(peer, family, limit);
      return;
    }
  }

  /** Once a session, family and kind. */
  #warn(peer: Peer, kind: keyof Warned, family: number, text: string): void {
    let warned = this.#warned.get(peer);
    if (warned === undefined) this.#warned.set(peer, (warned = { near: 0, beyond: 0, paths: 0 }));
    if ((warned[kind] & (1 << family)) !== 0) return;
    warned[kind] |= 1 << family;
    this.#host.event({ kind: 'maxPrefix', peer: peer.name, text });
  }
}

/** For people: the address of a next hop, with its interface where it is link-local. */
export function nextHopText(
  nextHops: NextHopTable,
  id: number,
  interfaceName: (ifindex: number) => string,
): string {
  if (id === NEXT_HOP_SELF) return 'self';
  if (id === NEXT_HOP_DISCARD) return 'discard';
  if (nextHops.isLink(id)) return interfaceName(nextHops.scope[id]!);
  const address = formatIp(nextHops.addressOf(id));
  const scope = nextHops.scope[id]!;
  if (scope === OWN_SCOPE) return address;
  return scope === 0 ? address : `${address}%${interfaceName(scope)}`;
}
