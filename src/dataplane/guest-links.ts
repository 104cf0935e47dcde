// Reconciles bridges, routed taps and ports of guests with the kernel (guest-links-desired.ts says what is wanted):
// reads what is, saves the originals, writes the difference. Events say which links to look at, a bounded number a
// turn, because a machine may have thousands of taps; everything is looked at every 30 s, which finds sysctls that
// somebody changed. What failed is tried again with growing delay. A bridge that is there is adopted.

import { encodeAddressAdd, encodeAddressDelete, type LinkAddress } from '../netlink/address.ts';
import { encodeBridgeAdd, encodePortIsolated } from '../netlink/bridge.ts';
import { encodeLinkSet, type Link } from '../netlink/link.ts';
import { hex, type MessageWriter, NLM_F_CREATE, NLM_F_EXCL } from '../netlink/message.ts';
import type { LinkMonitor } from '../netlink/monitor.ts';
import type { Rtnl } from '../netlink/rtnl.ts';
import { EEXIST, errnoName } from '../netlink/sys.ts';
import type { ObjectStatus, SysctlView } from './dataplane.ts';
import {
  GUEST_BRIDGE_ALIAS,
  type GuestChange,
  type GuestObject,
  globalObjects,
  guestChanges,
  linkObjects,
  roleOf,
  uplinkObjects,
} from './guest-links-desired.ts';
import {
  EVERYTHING,
  type GuestKernel,
  type GuestLinksFlushed,
  type RestoreScope,
  removeGuestBridges,
  restoreGuestLinks,
} from './guest-restore.ts';
import { forgetAbsent, isEmpty, loadGuestState, saveGuestState } from './guest-state.ts';
import type { GuestPlaneIntent } from './guest-wish.ts';
import { kernelSysctls, type SysctlPort } from './sysctl.ts';

const FORWARDING = 'net.ipv6.conf.all.forwarding';
const ALL_LINKS = 0;
const EADDRNOTAVAIL = 99;
const TURN_DELAY_MS = 5;
/**
 * Links looked at in a turn: while others make links too, each change waits for the kernel's one lock of all links, a
 * few milliseconds a time; how many are looked at follows the time they took.
 */
const LINKS_PER_TURN_LEAST = 4;
const LINKS_PER_TURN_MOST = 64;
const TURN_MS = 15;
const CHECK_EVERY_MS = 30_000;
const RETRY_FIRST_MS = 500;
const RETRY_MOST_MS = 30_000;

/** A link that carries the gateway. */
export interface GatewayLink {
  ifindex: number;
  name: string;
}

export interface GuestLinksOptions {
  rtnl: Rtnl;
  links: LinkMonitor;
  stateDir: string;
  netns?: string;
  /** For tests. */
  sysctls?: SysctlPort;
  /** After a pass that changed something or failed. */
  onChange?: () => void;
  /** The gateway links are others than before. */
  onGateways?: (gateways: readonly GatewayLink[]) => void;
}

interface LinkedChange {
  /** 0: of no single link. */
  ifindex: number;
  change: GuestChange;
}

type Addresses = (ifindex: number) => readonly LinkAddress[];

interface Fault {
  errno: string;
  text: string;
}

export class GuestLinks {
  readonly #options: GuestLinksOptions;
  readonly #kernel: GuestKernel;
  readonly #subscription: { close(): void };
  readonly #periodic: NodeJS.Timeout;
  /** By ifindex; 0: of no single link. */
  readonly #status = new Map<number, ObjectStatus[]>();
  readonly #dirty = new Set<number>();
  /** To be tried again. */
  readonly #failed = new Set<number>();
  #intent: GuestPlaneIntent | undefined;
  #gateways: GatewayLink[] = [];
  #timer: NodeJS.Timeout | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #retryMs = RETRY_FIRST_MS;
  #linksPerTurn = LINKS_PER_TURN_LEAST;
  #closed = false;

  /** Changes nothing before the first `setIntent`. Throws LeafdError when the state file is damaged. */
  constructor(options: GuestLinksOptions) {
    this.#options = options;
    const { rtnl, links, stateDir } = options;
    const sysctls = options.sysctls ?? kernelSysctls(options.netns);
    this.#kernel = { rtnl, links, sysctls, state: loadGuestState(stateDir) };
    this.#subscription = links.subscribe({
      link: (link, change, before) => this.#linkChanged(link, change === 'removed', before),
      address: ({ ifindex }) => this.#touch(ifindex),
    });
    this.#periodic = setInterval(() => this.#touchAll(), CHECK_EVERY_MS);
    this.#periodic.unref();
  }

  /** Sets what is wanted (undefined: no guests) and brings the kernel to it, as far as it goes. */
  setIntent(intent: GuestPlaneIntent | undefined): void {
    this.#intent = intent;
    this.reconcile();
  }

  /** Looks at everything: reads, compares, writes. */
  reconcile(): void {
    if (this.#closed) return;
    this.#dirty.clear();
    const { links } = this.#kernel.links;
    this.#pass([ALL_LINKS, ...links.keys()], true);
  }

  status(): ObjectStatus[] {
    return [...this.#status.values()].flat();
  }

  /** Whether something is to be taken back. */
  changedAnything(): boolean {
    const { state, links } = this.#kernel;
    return !isEmpty(state) || [...links.links.values()].some(({ alias }) => alias === GUEST_BRIDGE_ALIAS);
  }

  /** The sysctls that leafd has changed for the guests, read now. */
  sysctls(): SysctlView[] {
    const { state, sysctls } = this.#kernel;
    return [...state.sysctls].map(([key, { path, before, now: wanted }]) => {
      return { key, before, now: sysctls.read(path) ?? '', wanted, changed: true };
    });
  }

  /** Bridges and routed taps that are there. */
  gateways(): readonly GatewayLink[] {
    return this.#gateways;
  }

  /** Ends; the kernel stays as it is. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#retryTimer);
    clearInterval(this.#periodic);
    this.#subscription.close();
  }

  /** Ends, and takes everything back. */
  flush(): GuestLinksFlushed {
    this.close();
    return flushGuestLinks(this.#kernel, this.#options.stateDir);
  }

  #linkChanged(link: Link, removed: boolean, before: Link | undefined): void {
    if (removed) {
      this.#status.delete(link.ifindex);
      this.#dirty.delete(link.ifindex);
      // A bridge of ours that somebody removed is made again.
      this.#touch(ALL_LINKS);
      return;
    }
    this.#touch(link.ifindex);
    if (before && before.name === link.name && before.kind === link.kind) return;
    // A link that is new, or has another name, may be a bridge whose ports were seen before it.
    this.#touch(ALL_LINKS);
    for (const port of this.#kernel.links.links.values())
      if (port.master === link.ifindex) this.#touch(port.ifindex);
  }

  #touch(ifindex: number): void {
    this.#dirty.add(ifindex);
    this.#schedule();
  }

  #touchAll(): void {
    this.#dirty.add(ALL_LINKS);
    for (const ifindex of this.#kernel.links.links.keys()) this.#dirty.add(ifindex);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#closed || !this.#intent || this.#timer) return;
    this.#timer = setTimeout(() => this.#turn(), TURN_DELAY_MS);
    this.#timer.unref();
  }

  #retryLater(): void {
    if (this.#closed || !this.#intent || this.#retryTimer) return;
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = undefined;
      for (const ifindex of this.#failed) this.#dirty.add(ifindex);
      this.#failed.clear();
      this.#schedule();
    }, this.#retryMs);
    this.#retryTimer.unref();
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MOST_MS);
  }

  #turn(): void {
    this.#timer = undefined;
    const some: number[] = [];
    for (const ifindex of this.#dirty) {
      if (some.length === this.#linksPerTurn) break;
      some.push(ifindex);
    }
    for (const ifindex of some) this.#dirty.delete(ifindex);
    const began = performance.now();
    if (some.length > 0) this.#pass(some, false);
    const factor = performance.now() - began > TURN_MS ? 0.5 : 2;
    const next = this.#linksPerTurn * factor;
    this.#linksPerTurn = Math.min(Math.max(next, LINKS_PER_TURN_LEAST), LINKS_PER_TURN_MOST);
    if (this.#dirty.size > 0) this.#schedule();
  }

  #pass(ifindexes: readonly number[], whole: boolean): void {
    const wanted = new Set<string>();
    const changes: LinkedChange[] = [];
    const grouped = byLink(this.#kernel.links.addresses());
    const addresses: Addresses = (ifindex) => grouped.get(ifindex) ?? [];
    const forwarded = this.#forwardedBefore();
    for (const ifindex of ifindexes) {
      const objects = this.#objectsOf(ifindex, addresses, forwarded);
      for (const { key } of objects) wanted.add(key);
      this.#setStatus(ifindex, objects);
      const found = guestChanges(objects, addresses, (path) => this.#kernel.sysctls.read(path));
      for (const change of found) changes.push({ ifindex, change });
    }
    this.#tellGateways();
    const failed = this.#applyAll(changes);
    const looked = new Set(ifindexes);
    const restored = this.#restore({ wanted, has: (ifindex) => whole || looked.has(ifindex) });
    for (const ifindex of failed) this.#failed.add(ifindex);
    if (this.#failed.size > 0) this.#retryLater();
    else this.#retryMs = RETRY_FIRST_MS;
    if (changes.length > 0 || restored) this.#options.onChange?.();
  }

  #setStatus(ifindex: number, objects: readonly GuestObject[]): void {
    // What a link has is shown with it, though uplinks are seen to before all else as well.
    const own = objects.filter((o) => ifindex !== ALL_LINKS || o.kind !== 'sysctl' || o.link === undefined);
    if (own.length === 0) this.#status.delete(ifindex);
    else this.#status.set(ifindex, own.map(doneStatus));
  }

  #objectsOf(ifindex: number, addresses: Addresses, forwarded: boolean): GuestObject[] {
    const intent = this.#intent;
    if (!intent) return [];
    const { links } = this.#kernel.links;
    if (ifindex === ALL_LINKS) {
      // Before forwarding is switched on: the kernel then drops what an uplink has learned.
      const uplinks = forwarded
        ? []
        : [...links.values()].flatMap((link) => this.#uplinkObjects(intent, link, addresses));
      return [...uplinks, ...globalObjects(intent, links)];
    }
    const link = links.get(ifindex);
    if (!link) return [];
    const role = roleOf(intent, link, links);
    if (role) return linkObjects(intent, link, role);
    return forwarded ? [] : this.#uplinkObjects(intent, link, addresses);
  }

  #uplinkObjects(intent: GuestPlaneIntent, link: Link, addresses: Addresses): GuestObject[] {
    const { sysctls, links } = this.#kernel;
    if (roleOf(intent, link, links.links)) return [];
    const acceptRa = () => sysctls.read(`net/ipv6/conf/${link.name}/accept_ra`);
    return uplinkObjects(link, acceptRa, addresses(link.ifindex));
  }

  /** Whether this machine forwarded before leafd, for the guests, switched it on. */
  #forwardedBefore(): boolean {
    const { state, sysctls } = this.#kernel;
    return (state.sysctls.get(FORWARDING)?.before ?? sysctls.read(FORWARDING.replaceAll('.', '/'))) !== '0';
  }

  #tellGateways(): void {
    const { links } = this.#kernel.links;
    const gateways: GatewayLink[] = [];
    for (const link of links.values()) {
      const role = this.#intent && roleOf(this.#intent, link, links);
      if (role?.kind === 'tap' || (role?.kind === 'bridge' && link.kind === 'bridge'))
        gateways.push({ ifindex: link.ifindex, name: link.name });
    }
    const text = (list: readonly GatewayLink[]) => list.map((l) => `${l.ifindex} ${l.name}`).join(',');
    if (text(gateways) === text(this.#gateways)) return;
    this.#gateways = gateways;
    this.#options.onGateways?.(gateways);
  }

  /** The links with which something went wrong. */
  #applyAll(changes: readonly LinkedChange[]): Set<number> {
    const unsaved = this.#saveOriginals(changes);
    const failed = new Set<number>();
    for (const { ifindex, change } of changes) {
      const fault = (isSaved(change) ? unsaved : undefined) ?? this.#apply(change);
      if (!fault) continue;
      failed.add(ifindex);
      const status = this.#status.get(ifindex)?.find(({ key }) => key === change.key);
      if (status) Object.assign(status, { state: 'error', ...fault });
    }
    return failed;
  }

  #apply(change: GuestChange): Fault | undefined {
    try {
      switch (change.kind) {
        case 'refused':
          return { errno: change.errno, text: change.text };
        case 'sysctlSet':
          return this.#setSysctl(change.object.path, change.object.value);
        case 'bridgeAdd':
          return this.#addBridge(change.name, change.mac);
        case 'macSet': {
          const { ifindex } = change.link;
          return this.#write((w, seq) => encodeLinkSet(w, seq, { ifindex, mac: change.mac }));
        }
        case 'linkUp':
          return this.#write((w, seq) => encodeLinkSet(w, seq, { ifindex: change.link.ifindex, up: true }));
        case 'isolate':
          return this.#write((w, seq) => encodePortIsolated(w, seq, change.link.ifindex, true));
        case 'addressAdd': {
          const add = (w: MessageWriter, seq: number) =>
            encodeAddressAdd(w, seq, NLM_F_CREATE | NLM_F_EXCL, change.address);
          return this.#write(add, EEXIST);
        }
        case 'addressRemove':
          return this.#write((w, seq) => encodeAddressDelete(w, seq, change.address), EADDRNOTAVAIL);
      }
    } catch (error) {
      return { errno: (error as NodeJS.ErrnoException).code ?? 'unknown', text: (error as Error).message };
    }
  }

  #setSysctl(path: string, value: string): Fault | undefined {
    // A kernel without the key has nothing to set; the status says so.
    if (this.#kernel.sysctls.read(path) === undefined)
      return { errno: 'ENOENT', text: 'the kernel has no such key' };
    this.#kernel.sysctls.write(path, value);
    return undefined;
  }

  // The mark comes second: in one batch a bridge of somebody else's would get it when the name is taken.
  #addBridge(name: string, mac: Uint8Array): Fault | undefined {
    const fault = this.#write((w, seq) => encodeBridgeAdd(w, seq, name, mac));
    if (fault) return fault;
    return this.#write((w, seq) => encodeLinkSet(w, seq, { ifindex: 0, name, alias: GUEST_BRIDGE_ALIAS }));
  }

  #write(encode: (writer: MessageWriter, seq: number) => void, harmless = 0): Fault | undefined {
    const { outcome, failed } = this.#kernel.rtnl.write(encode);
    if (outcome === 'unknown') return { errno: 'ETIMEDOUT', text: 'no answer from the kernel' };
    const failure = failed[0];
    if (!failure || failure.errno === harmless) return undefined;
    return { errno: errnoName(failure.errno), text: failure.text || errnoName(failure.errno) };
  }

  /** Writes down what is about to change. What cannot be written down is not changed; the fault is returned. */
  #saveOriginals(changes: readonly LinkedChange[]): Fault | undefined {
    const { state } = this.#kernel;
    const former = { ...state, sysctls: new Map(state.sysctls), macs: new Map(state.macs) };
    former.isolated = new Set(state.isolated);
    former.addresses = new Map(state.addresses);
    let isNew = false;
    for (const { ifindex, change } of changes) if (this.#remember(ifindex, change)) isNew = true;
    if (!isNew) return undefined;
    forgetAbsent(state, (ifindex) => this.#kernel.links.links.has(ifindex));
    try {
      saveGuestState(this.#options.stateDir, state);
      return undefined;
    } catch (error) {
      Object.assign(state, former);
      return { errno: (error as NodeJS.ErrnoException).code ?? 'unknown', text: (error as Error).message };
    }
  }

  #remember(about: number, change: GuestChange): boolean {
    const { state, links, sysctls } = this.#kernel;
    if (change.kind === 'sysctlSet') {
      const { path, value, link } = change.object;
      const ifindex = link === undefined ? 0 : about || (links.linkByName(link)?.ifindex ?? 0);
      const saved = state.sysctls.get(change.key);
      if (saved?.ifindex === ifindex && saved.now === value) return false;
      const before = saved?.ifindex === ifindex ? saved.before : sysctls.read(path);
      if (before !== undefined) state.sysctls.set(change.key, { path, before, now: value, ifindex });
      return before !== undefined;
    }
    if (change.kind === 'macSet') {
      const { ifindex, mac, alias } = change.link;
      const before = state.macs.get(ifindex)?.before ?? hex(mac);
      if (alias !== GUEST_BRIDGE_ALIAS) state.macs.set(ifindex, { before, now: hex(change.mac) });
      return true;
    }
    if (change.kind === 'isolate') {
      const fresh = !state.isolated.has(change.link.ifindex);
      state.isolated.add(change.link.ifindex);
      return fresh;
    }
    if (change.kind !== 'addressAdd') return false;
    const { ifindex, bytes, prefixLength } = change.address;
    if (state.addresses.get(change.key)?.ifindex === ifindex) return false;
    state.addresses.set(change.key, { ifindex, address: hex(bytes), prefixLength });
    return true;
  }

  #restore(scope: RestoreScope): boolean {
    const kernel = this.#kernel;
    let restored = restoreGuestLinks(kernel, scope, { bridges: 0, addresses: 0, restored: 0 });
    if (restored) this.#saveIfPossible();
    if (scope.has(ALL_LINKS) && this.#removeUnwantedBridges() > 0) restored = true;
    return restored;
  }

  /** Bridges of ours that the configuration no longer names go when their last port has gone. */
  #removeUnwantedBridges(): number {
    const { links } = this.#kernel.links;
    const names = new Set(this.#intent?.bridges.map(({ name }) => name));
    const used = new Set<number>();
    for (const { master } of links.values()) used.add(master);
    return removeGuestBridges(this.#kernel, (link) => names.has(link.name) || used.has(link.ifindex));
  }

  #saveIfPossible(): void {
    try {
      saveGuestState(this.#options.stateDir, this.#kernel.state);
    } catch {
      // The next change of a setting tries again, and tells when it cannot.
    }
  }
}

/** Takes back everything leafd did to links of guests, with or without a running daemon. */
export function flushGuestLinks(kernel: GuestKernel, stateDir: string): GuestLinksFlushed {
  const done: GuestLinksFlushed = { bridges: 0, addresses: 0, restored: 0 };
  restoreGuestLinks(kernel, EVERYTHING, done);
  done.bridges = removeGuestBridges(kernel, () => false);
  saveGuestState(stateDir, kernel.state);
  return done;
}

function byLink(addresses: readonly LinkAddress[]): Map<number, LinkAddress[]> {
  const grouped = new Map<number, LinkAddress[]>();
  for (const address of addresses) {
    const those = grouped.get(address.ifindex);
    if (those) those.push(address);
    else grouped.set(address.ifindex, [address]);
  }
  return grouped;
}

function isSaved({ kind }: GuestChange): boolean {
  return kind === 'sysctlSet' || kind === 'macSet' || kind === 'isolate' || kind === 'addressAdd';
}

function doneStatus(object: GuestObject): ObjectStatus {
  const { key, kind } = object;
  if (kind === 'sysctl' || kind === 'address' || kind === 'mac' || kind === 'port')
    return { key, kind, state: 'done' };
  return { key, kind: kind === 'noAutomaticAddress' ? 'address' : 'link', state: 'done' };
}
