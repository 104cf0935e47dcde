// Reconciles bridges, routed taps and ports of guests with the kernel (guest-links-desired.ts says what is wanted) in
// two steps: links are looked at, which is cheap, and what is to be changed is planned; when all have been looked at,
// the originals are written down once and the plan is carried out (guest-links-write.ts). Both take a bounded time a
// turn, because a machine may have thousands of taps and each change waits for the kernel's one lock of all links.
// Events say which links to look at; everything is looked at every 30 s, which finds sysctls that somebody changed.
// What failed is tried again with growing delay. A bridge that is there is adopted.

import type { LinkAddress } from '../netlink/address.ts';
import { encodeLinkDump, type Link } from '../netlink/link.ts';
import { decodeLinkSettings, type LinkSettings, settingOf } from '../netlink/link-settings.ts';
import { RTM_NEWLINK } from '../netlink/message.ts';
import type { Change, LinkMonitor } from '../netlink/monitor.ts';
import type { Rtnl } from '../netlink/rtnl.ts';
import type { ObjectStatus, SysctlView } from './dataplane.ts';
import {
  type GuestChange,
  type GuestObject,
  globalObjects,
  guestChanges,
  IFAPROT_KERNEL_RA,
  linkObjects,
  roleOf,
  uplinkObjects,
} from './guest-links-desired.ts';
import { type Fault, isSaved, type LinkedChange, Originals, writeChanges } from './guest-links-write.ts';
import {
  EVERYTHING,
  type GuestKernel,
  type GuestLinksFlushed,
  type RestoreScope,
  removeGuestBridges,
  restoreGuestLinks,
} from './guest-restore.ts';
import { isEmpty, loadGuestState, saveGuestState } from './guest-state.ts';
import { GUEST_BRIDGE_ALIAS, type GuestPlaneIntent } from './guest-wish.ts';
import { kernelSysctls, type SysctlPort } from './sysctl.ts';

const FORWARDING = 'net.ipv6.conf.all.forwarding';
const ALL_LINKS = 0;
const TURN_DELAY_MS = 5;
/** Links looked at in a turn. */
const LOOKED_AT_MOST = 256;
/** Links changed at once: how many follows the time that it took. While others make links too, each waits for them. */
const LINKS_AT_ONCE_LEAST = 4;
const LINKS_AT_ONCE_MOST = 64;
const TURN_MS = 15;
/** With so many to look at, the settings of all links are asked for at once; what was told serves so long. */
const SETTINGS_FROM = 16;
const SETTINGS_FOR_MS = 1000;
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

/** How closely a link is looked at: `whole` reads its sysctls too. */
type Look = 'whole' | 'link';

export class GuestLinks {
  readonly #options: GuestLinksOptions;
  readonly #kernel: GuestKernel;
  readonly #originals: Originals;
  readonly #subscription: { close(): void };
  readonly #periodic: NodeJS.Timeout;
  readonly #dirty = new Map<number, Look>();
  /** Looked at, to be changed. */
  readonly #planned = new Map<number, GuestChange[]>();
  /** What went wrong, by ifindex (0: of no single link) and the object's key. */
  readonly #faults = new Map<number, Map<string, ObjectStatus>>();
  /** To be tried again. */
  readonly #failed = new Set<number>();
  /** Links as they were before we changed them: news of that are on their way. */
  readonly #outdated = new WeakSet<Link>();
  #intent: GuestPlaneIntent | undefined;
  #gateways: GatewayLink[] = [];
  #gatewaysDue = true;
  #settings: { readMs: number; links: Map<number, LinkSettings> } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #retryMs = RETRY_FIRST_MS;
  #linksAtOnce = LINKS_AT_ONCE_LEAST;
  #closed = false;

  /** Changes nothing before the first `setIntent`. Throws LeafdError when the state file is damaged. */
  constructor(options: GuestLinksOptions) {
    this.#options = options;
    const { rtnl, links, stateDir } = options;
    const sysctls = options.sysctls ?? kernelSysctls(options.netns);
    this.#kernel = { rtnl, links, sysctls, state: loadGuestState(stateDir) };
    this.#originals = new Originals(this.#kernel, stateDir);
    this.#subscription = links.subscribe({
      link: (link, change, before) => this.#linkChanged(link, change === 'removed', before),
      address: (address, change) => this.#addressChanged(address, change),
    });
    this.#periodic = setInterval(() => {
      this.#touchAll();
      this.#schedule();
    }, CHECK_EVERY_MS);
    this.#periodic.unref();
  }

  /** Sets what is wanted (undefined: no guests) and brings the kernel to it, as far as it goes. */
  setIntent(intent: GuestPlaneIntent | undefined): void {
    this.#intent = intent;
    this.#gatewaysDue = true;
    this.reconcile();
  }

  /** Looks at everything, at once where links are few; else the most of them in the turns that follow. */
  reconcile(): void {
    if (this.#closed) return;
    this.#dirty.clear();
    this.#planned.clear();
    this.#touchAll();
    this.#tellGateways();
    // Without guests there are no turns: all is given back at once.
    this.#look(this.#intent ? LINKS_AT_ONCE_MOST : Number.POSITIVE_INFINITY);
    const first = [...this.#planned.keys()];
    if (first.length > 0) this.#change(first);
    this.#next();
  }

  status(): ObjectStatus[] {
    const status: ObjectStatus[] = [];
    const { links } = this.#kernel.links;
    const forwarded = this.#forwardedBefore();
    for (const ifindex of [ALL_LINKS, ...links.keys()]) {
      const faults = this.#faults.get(ifindex);
      const isUnknown = this.#dirty.get(ifindex) === 'whole';
      const planned = new Set(this.#planned.get(ifindex)?.map(({ key }) => key));
      for (const { key, kind, ...object } of this.#objectsOf(ifindex, forwarded)) {
        // What a link has is shown with it, though uplinks are seen to before all else as well.
        if (ifindex === ALL_LINKS && kind === 'sysctl' && 'link' in object) continue;
        const state = isUnknown || planned.has(key) ? 'pending' : 'done';
        status.push(faults?.get(key) ?? { key, kind: shownKind[kind], state });
      }
    }
    return status;
  }

  /** What of it went wrong. */
  failures(): ObjectStatus[] {
    const failures = new Map<string, ObjectStatus>();
    for (const faults of this.#faults.values()) for (const [key, fault] of faults) failures.set(key, fault);
    return [...failures.values()];
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
    const { ifindex } = link;
    const isSame = !removed && before?.name === link.name && before.kind === link.kind;
    if (!isSame || before.master !== link.master) this.#gatewaysDue = true;
    if (removed) {
      this.#faults.delete(ifindex);
      this.#dirty.delete(ifindex);
      this.#planned.delete(ifindex);
      this.#settings?.links.delete(ifindex);
      // A bridge of ours that somebody removed is made again.
      this.#touch(ALL_LINKS, 'whole');
      return;
    }
    // The kernel forgets a link's settings when it becomes too small for IPv6, and may have when it comes up.
    const isOld = isSame && before.master === link.master && before.mtu === link.mtu && before.up === link.up;
    this.#touch(ifindex, isOld ? 'link' : 'whole');
    if (isSame) return;
    // A link that is new, or has another name, may be a bridge whose ports were seen before it.
    this.#touch(ALL_LINKS, 'whole');
    if (link.kind !== 'bridge' && before?.kind !== 'bridge') return;
    for (const port of this.#kernel.links.links.values())
      if (port.master === ifindex) this.#touch(port.ifindex, 'whole');
  }

  /** The gateway's addresses, of which only the loss is news, and those that a router or the kernel itself made. */
  #addressChanged({ ifindex, bytes, protocol }: LinkAddress, change: Change): void {
    const { gateway4, gateway6 } = this.#intent ?? {};
    const gateway = bytes.length === 4 ? gateway4 : gateway6;
    const isGateway = gateway?.length === bytes.length && gateway.every((byte, i) => byte === bytes[i]);
    if (isGateway) {
      if (change === 'removed') this.#touch(ifindex, 'link');
    } else if (change !== 'removed' && bytes.length === 16)
      this.#touch(ifindex, protocol === IFAPROT_KERNEL_RA ? 'whole' : 'link');
  }

  #touch(ifindex: number, look: Look): void {
    if (!this.#intent) return;
    if (look === 'whole') this.#settings?.links.delete(ifindex);
    const isWhole = look === 'whole' || this.#dirty.get(ifindex) === 'whole' || this.#planned.has(ifindex);
    this.#planned.delete(ifindex);
    this.#dirty.set(ifindex, isWhole ? 'whole' : 'link');
    this.#schedule();
  }

  /** In the order in which they are looked at: what concerns all, bridges, which have the ports of many, others. */
  #touchAll(): void {
    const { links } = this.#kernel.links;
    this.#settings = undefined;
    this.#planned.clear();
    this.#dirty.set(ALL_LINKS, 'whole');
    for (const link of links.values()) if (link.kind === 'bridge') this.#dirty.set(link.ifindex, 'whole');
    for (const ifindex of links.keys()) this.#dirty.set(ifindex, 'whole');
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
      for (const ifindex of this.#failed) this.#touch(ifindex, 'whole');
      this.#failed.clear();
    }, this.#retryMs);
    this.#retryTimer.unref();
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MOST_MS);
  }

  #turn(): void {
    this.#timer = undefined;
    this.#tellGateways();
    if (this.#dirty.size > 0) this.#look(LOOKED_AT_MOST);
    const began = performance.now();
    while (this.#dirty.size === 0 && this.#planned.size > 0) {
      this.#change(firstOf(this.#planned.keys(), this.#linksAtOnce));
      const tookMs = performance.now() - began;
      const next = this.#linksAtOnce * (tookMs > TURN_MS ? 0.5 : 2);
      this.#linksAtOnce = Math.min(Math.max(next, LINKS_AT_ONCE_LEAST), LINKS_AT_ONCE_MOST);
      if (tookMs > TURN_MS / 2) break;
    }
    this.#next();
  }

  /** What is still to be done. */
  #next(): void {
    const isMore = this.#dirty.size > 0 || this.#planned.size > 0;
    if (isMore) this.#schedule();
    if (this.#failed.size > 0) this.#retryLater();
    else if (!isMore) this.#retryMs = RETRY_FIRST_MS;
  }

  /** Plans what is to be changed of so many links. */
  #look(most: number): void {
    this.#readSettings();
    const wanted = new Set<string>();
    const looked = new Set<number>();
    const forwarded = this.#forwardedBefore();
    let isAnyWhole = false;
    for (const ifindex of firstOf(this.#dirty.keys(), most)) {
      const objects = this.#objectsOf(ifindex, forwarded);
      const faults = this.#faults.get(ifindex);
      const isWhole = this.#dirty.get(ifindex) === 'whole' || faults !== undefined;
      if (isWhole) isAnyWhole = true;
      this.#dirty.delete(ifindex);
      this.#faults.delete(ifindex);
      looked.add(ifindex);
      for (const { key } of objects) wanted.add(key);
      const changes = this.#changesOf(ifindex, objects, isWhole);
      for (const change of changes) this.#originals.remember({ ifindex, change });
      if (changes.length > 0) this.#planned.set(ifindex, changes);
    }
    // What is wanted of a link changes with its name or its bridge.
    if (!isAnyWhole) return;
    const { links } = this.#kernel.links;
    const restored = this.#restore({
      wanted,
      has: (i) => looked.has(i) || (i !== ALL_LINKS && !links.has(i)),
    });
    if (restored) this.#options.onChange?.();
  }

  #changesOf(ifindex: number, objects: readonly GuestObject[], isWhole: boolean): GuestChange[] {
    const { links, sysctls } = this.#kernel;
    const seen = isWhole ? objects : objects.filter(({ kind }) => kind !== 'sysctl');
    if (seen.length === 0) return [];
    const settings = this.#settings?.links.get(ifindex);
    const read = (path: string): string | undefined =>
      (settings && settingOf(settings, path)) ?? sysctls.read(path);
    const changes = guestChanges(seen, (i) => links.addressesOf(i), read);
    const link = links.links.get(ifindex);
    return link && this.#outdated.has(link) ? changes.filter((change) => !isOfLink(change)) : changes;
  }

  /** For many links one answer of the kernel instead of a file for each setting. */
  #readSettings(): void {
    const nowMs = performance.now();
    if (this.#settings && nowMs - this.#settings.readMs > SETTINGS_FOR_MS) this.#settings = undefined;
    let unknown = 0;
    for (const [ifindex, look] of this.#dirty)
      if (look === 'whole' && this.#settings?.links.has(ifindex) !== true) unknown++;
    if (unknown < SETTINGS_FROM) return;
    const links = new Map<number, LinkSettings>();
    this.#settings = { readMs: nowMs, links };
    try {
      this.#kernel.rtnl.dumpNow({
        encode: encodeLinkDump,
        onMessage: (type, _flags, bytes, start, end) => {
          const settings = type === RTM_NEWLINK ? decodeLinkSettings(bytes, start, end) : undefined;
          if (settings && this.#kernel.links.links.get(settings.ifindex)?.name === settings.name)
            links.set(settings.ifindex, settings);
        },
      });
    } catch {
      // Then each is read from its file.
      links.clear();
    }
  }

  #objectsOf(ifindex: number, forwarded: boolean): GuestObject[] {
    const intent = this.#intent;
    if (!intent) return [];
    const { links } = this.#kernel.links;
    if (ifindex === ALL_LINKS) {
      // Before forwarding is switched on: the kernel then drops what an uplink has learned.
      const uplinks = forwarded
        ? []
        : [...links.values()].flatMap((link) => this.#uplinkObjects(intent, link));
      return [...uplinks, ...globalObjects(intent, links)];
    }
    const link = links.get(ifindex);
    if (!link) return [];
    const role = roleOf(intent, link, links);
    if (role) return linkObjects(intent, link, role);
    return forwarded ? [] : this.#uplinkObjects(intent, link);
  }

  #uplinkObjects(intent: GuestPlaneIntent, link: Link): GuestObject[] {
    const { sysctls, links } = this.#kernel;
    if (roleOf(intent, link, links.links)) return [];
    const acceptRa = () => sysctls.read(`net/ipv6/conf/${link.name}/accept_ra`);
    return uplinkObjects(link, acceptRa, links.addressesOf(link.ifindex));
  }

  /** Whether this machine forwarded before leafd, for the guests, switched it on. */
  #forwardedBefore(): boolean {
    const { state, sysctls } = this.#kernel;
    return (state.sysctls.get(FORWARDING)?.before ?? sysctls.read(FORWARDING.replaceAll('.', '/'))) !== '0';
  }

  #tellGateways(): void {
    if (!this.#gatewaysDue) return;
    this.#gatewaysDue = false;
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

  /** Carries out what is planned of these links. */
  #change(ifindexes: readonly number[]): void {
    const unsaved = this.#originals.save();
    const changes: LinkedChange[] = [];
    for (const ifindex of ifindexes) {
      for (const change of this.#planned.get(ifindex)!) changes.push({ ifindex, change });
      this.#planned.delete(ifindex);
      // What was told of the settings of all links is not so any more: some follow those of `all`.
      if (ifindex === ALL_LINKS) this.#settings = undefined;
      else this.#settings?.links.delete(ifindex);
    }
    const some = unsaved ? changes.filter(({ change }) => !isSaved(change)) : changes;
    const faults = writeChanges(
      this.#kernel,
      some.map(({ change }) => change),
    );
    for (const { ifindex, change } of changes) {
      const fault = faults.get(change) ?? (isSaved(change) ? unsaved : undefined);
      if (fault) this.#refused(ifindex, change, fault);
      else if (isOfLink(change)) this.#outdated.add(change.link);
    }
    this.#options.onChange?.();
  }

  #refused(ifindex: number, { key, kind }: GuestChange, { errno, text }: Fault): void {
    this.#failed.add(ifindex);
    const faults = this.#faults.get(ifindex) ?? new Map<string, ObjectStatus>();
    const status: ObjectStatus = { key, kind: changedKind[kind], state: 'error', errno, text };
    this.#faults.set(ifindex, faults.set(key, status));
  }

  #restore(scope: RestoreScope): boolean {
    const kernel = this.#kernel;
    let restored = restoreGuestLinks(kernel, scope, { bridges: 0, addresses: 0, restored: 0 });
    if (restored) this.#originals.saveIfPossible();
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
}

/** Takes back everything leafd did to links of guests, with or without a running daemon. */
export function flushGuestLinks(kernel: GuestKernel, stateDir: string): GuestLinksFlushed {
  const done: GuestLinksFlushed = { bridges: 0, addresses: 0, restored: 0 };
  restoreGuestLinks(kernel, EVERYTHING, done);
  done.bridges = removeGuestBridges(kernel, () => false);
  saveGuestState(stateDir, kernel.state);
  return done;
}

function firstOf(keys: Iterable<number>, most: number): number[] {
  const some: number[] = [];
  for (const key of keys) {
    if (some.length === most) break;
    some.push(key);
  }
  return some;
}

/** Changes that news of the link itself follow. */
function isOfLink(change: GuestChange): change is GuestChange & { link: Link } {
  return change.kind === 'macSet' || change.kind === 'linkUp' || change.kind === 'isolate';
}

/** As the status shows what is wanted, and what is changed. */
const shownKind: Readonly<Record<GuestObject['kind'], ObjectStatus['kind']>> = {
  sysctl: 'sysctl',
  bridge: 'link',
  notABridge: 'link',
  up: 'link',
  address: 'address',
  noAutomaticAddress: 'address',
  mac: 'mac',
  port: 'port',
};
const changedKind: Readonly<Record<GuestChange['kind'], ObjectStatus['kind']>> = {
  sysctlSet: 'sysctl',
  bridgeAdd: 'link',
  refused: 'link',
  linkUp: 'link',
  addressAdd: 'address',
  addressRemove: 'address',
  macSet: 'mac',
  isolate: 'port',
};
