// The filter of guests in the kernel: keeps `table netdev leafd` and `table inet leafd` as guest-rules.ts wants them.
// What is there is read first and kept where it is right, so that a restart opens no gap and drops no packet; each
// change is one batch that the kernel does as a whole. A batch that is refused (somebody else changed the tables, or a
// link left meanwhile) is made again from what is there, then port by port, so that one port's trouble stays its own.
// Changes that others make to our tables, `flush ruleset` above all, are noticed and repaired.
//
// A base chain outlives its link on kernels that bind by name, and goes with it on older ones: a port that is new is
// written whole, chain and rule, wherever they are already.

import { LeafdError } from '../lib/leafd-error.ts';
import { MessageWriter, u32 } from '../netlink/message.ts';
import { type CommitResult, commit, openNetfilter, readChain } from '../netlink/netfilter.ts';
import {
  NFT_MSG_DELCHAIN,
  NFT_MSG_DELRULE,
  NFT_MSG_DELSET,
  NFT_MSG_DELSETELEM,
  NFT_MSG_DELTABLE,
  NFT_MSG_NEWRULE,
  type NftChange,
  type NftTable,
} from '../netlink/nft.ts';
import { eachElement, encodeElementDump, familyOf, tableOf } from '../netlink/nft-dump.ts';
import { listen, NETLINK_NETFILTER, type NetlinkSocket } from '../netlink/socket.ts';
import { errnoName, SysError } from '../netlink/sys.ts';
import type { ObjectStatus } from './dataplane.ts';
import { type FilterLog, GuestFilterLogs, type GuestFilterLogsOptions } from './guest-filter-logs.ts';
import { dumpOrNothing, readFilter } from './guest-filter-read.ts';
import {
  dropSet,
  elementChanges,
  elementId,
  INET_TABLE,
  ifindexOf,
  LINK_REASONS,
  NETDEV_TABLE,
  netdevRules,
  type OwnedElement,
  PORT_CHAIN_VERSION,
  PORT_REASONS,
  PORT_SETS,
  portChain,
  portChainChanges,
  portElements,
  type SharedRules,
} from './guest-rules.ts';
import {
  elementDelta,
  type FilterFound,
  isOurTable,
  leftovers,
  setsToReplace,
  sharedChanges,
  sharedIsThere,
} from './guest-rules-delta.ts';
import { inetRules, linkElement } from './guest-rules-guard.ts';
import type { GuestPlaneIntent, GuestPortWish } from './guest-wish.ts';

const NFNLGRP_NFTABLES = 7;
const PORTS_IN_BATCH = 512;
const ATTEMPTS = 3;
const REPAIR_DELAY_MS = 50;
/** Whoever changes our tables again and again does not keep us busy. */
const REPAIR_EVERY_MS = 1000;
const DROP_SETS = [
  ...PORT_REASONS.map((reason) => ({ table: NETDEV_TABLE, reason })),
  ...LINK_REASONS.map((reason) => ({ table: INET_TABLE, reason })),
];
/** Changes of others to our tables that are looked at; elements that rules add are not told. */
const TOLD = new Set([
  NFT_MSG_DELTABLE,
  NFT_MSG_DELCHAIN,
  NFT_MSG_DELRULE,
  NFT_MSG_DELSET,
  NFT_MSG_DELSETELEM,
  NFT_MSG_NEWRULE,
]);

export interface GuestLink {
  ifindex: number;
  name: string;
}

type Shared = 'filter rules' | 'filter guard' | FilterLog;

interface Trouble {
  errno: string;
  text: string;
}

/** No method throws for what the kernel refuses: `status` tells it. */
export class GuestFilter {
  readonly #netns: string | undefined;
  readonly #logs: GuestFilterLogs;
  readonly #writer = new MessageWriter(new Uint8Array(1 << 16));
  #socket: NetlinkSocket | undefined;
  #events: { close(): void } | undefined;
  #repair: NodeJS.Timeout | undefined;
  #repairedMs = -REPAIR_EVERY_MS;
  #found: FilterFound | undefined;
  #intent: GuestPlaneIntent | undefined;
  #netdev: SharedRules | undefined;
  #inet: SharedRules | undefined;
  #links: readonly GuestLink[] = [];
  /** These links, or what is known of the kernel, are others than when they were written. */
  #linksDue = true;
  readonly #wishes = new Map<number, GuestPortWish>();
  /** Which port's chain is known to be right, by the link's name. */
  readonly #chains = new Map<string, number>();
  /** Ports that are in the kernel. */
  readonly #written = new Set<number>();
  /** What could not be done: by port, and of what is shared. */
  readonly #portTrouble = new Map<number, Trouble>();
  readonly #trouble = new Map<Shared, Trouble>();
  #swept = false;
  #closed = false;

  constructor(options: GuestFilterLogsOptions) {
    this.#netns = options.netns;
    this.#logs = new GuestFilterLogs(options, (log, error) => {
      if (error === undefined) this.#trouble.delete(log);
      else this.#trouble.set(log, troubleOfError(error));
    });
  }

  /** The rules of all ports, and the guard for these bridges and routed taps. */
  setIntent(intent: GuestPlaneIntent, guestLinks: readonly GuestLink[]): void {
    this.#intent = intent;
    this.#links = guestLinks;
    this.#linksDue = true;
    this.#netdev = netdevRules(intent);
    this.#inet = inetRules(intent);
    if (!this.#open()) return;
    this.#logs.open();
    this.#writeShared(false);
    this.#writePorts([...this.#wishes.values()].filter((wish) => !this.#written.has(wish.ifindex)));
    if (this.#swept && this.#sweepChanges().length > 0) this.sweep();
  }

  /** Ports that are new or have changed; in the kernel when it returns. */
  setPorts(wishes: readonly GuestPortWish[]): void {
    const renamed: string[] = [];
    for (const wish of wishes) {
      const before = this.#wishes.get(wish.ifindex);
      if (before !== undefined && before.name !== wish.name) renamed.push(before.name);
      this.#wishes.set(wish.ifindex, wish);
    }
    if (this.#intent === undefined || !this.#open()) return;
    // Sets of another layout are replaced together with the elements of all ports.
    this.#writeShared(true);
    this.#writePorts(wishes);
    if (renamed.length > 0) this.#commitAgain(() => this.#chainRemovals(renamed));
  }

  /** Ports that left, or are no guests' any more. */
  removePorts(ifindexes: readonly number[]): void {
    const names: string[] = [];
    for (const ifindex of ifindexes) {
      const wish = this.#wishes.get(ifindex);
      if (wish !== undefined) names.push(wish.name);
      this.#wishes.delete(ifindex);
      this.#written.delete(ifindex);
      this.#portTrouble.delete(ifindex);
    }
    if (this.#intent === undefined || !this.#open()) return;
    this.#commitAgain(() => {
      const elements = ifindexes.flatMap((i) => [...(this.#found!.elements.get(i)?.values() ?? [])]);
      return [...elementChanges('elementsDelete', elements), ...this.#chainRemovals(names)];
    });
    for (const ifindex of ifindexes) this.#found!.elements.delete(ifindex);
  }

  /** Removes what is ours and nobody has wished in this life. */
  sweep(): void {
    this.#swept = true;
    this.#linksDue = true;
    if (!this.#open()) return;
    this.#writeShared(true);
    this.#read();
    this.#commitAgain(() => this.#sweepChanges());
    this.#read();
    this.drops();
  }

  /** Reads what is there and makes it right, whoever changed it. */
  reconcile(): void {
    if (this.#intent === undefined || !this.#open()) return;
    this.#logs.open();
    this.#read();
    this.#writeShared(true);
    this.#writePorts([...this.#wishes.values()]);
    if (this.#swept) this.#commitAgain(() => this.#sweepChanges());
  }

  status(): ObjectStatus[] {
    const status: ObjectStatus[] = [];
    const add = (key: string, trouble: Trouble | undefined): void => {
      if (trouble === undefined) status.push({ key, kind: 'filter', state: 'done' });
      else status.push({ key, kind: 'filter', state: 'error', ...trouble });
    };
    if (this.#intent === undefined) return status;
    add('filter guard', this.#trouble.get('filter guard'));
    add('filter log', this.#trouble.get('filter log'));
    add('filter hearing', this.#trouble.get('filter hearing'));
    add('filter rules', this.#trouble.get('filter rules'));
    for (const { ifindex, name } of this.#wishes.values()) {
      const trouble = this.#portTrouble.get(ifindex);
      if (trouble !== undefined || this.#written.has(ifindex)) add(`filter ${name}`, trouble);
      else status.push({ key: `filter ${name}`, kind: 'filter', state: 'pending' });
    }
    return status;
  }

  /** What of it went wrong. */
  failures(): ObjectStatus[] {
    return this.#trouble.size + this.#portTrouble.size === 0
      ? []
      : this.status().filter(({ state }) => state === 'error');
  }

  /**
   * Packets dropped since the filter is there, by ifindex and reason; `hypervisor` is counted on the bridge or routed
   * tap. Counters of links that left are forgotten in the kernel too.
   */
  drops(): Map<number, Record<string, number>> {
    const drops = new Map<number, Record<string, number>>();
    const gone: OwnedElement[] = [];
    if (this.#intent === undefined || !this.#open()) return drops;
    const known = new Set([...this.#wishes.keys(), ...this.#links.map((link) => link.ifindex)]);
    try {
      for (const { table, reason } of DROP_SETS) this.#readDrops(table, reason, known, drops, gone);
    } catch (error) {
      troubleOfError(error);
    }
    if (this.#swept && gone.length > 0) this.#forgetCounters(gone);
    return drops;
  }

  /** How often frames were lost, because more came than were read. */
  get unheard(): number {
    return this.#logs.unheard;
  }

  /** Leaves the kernel as it is: the guests' traffic goes on. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#repair);
    this.#repair = undefined;
    this.#logs.close();
    this.#events?.close();
    this.#socket?.close();
    this.#events = undefined;
    this.#socket = undefined;
  }

  /** Removes both tables and forgets what was wished. */
  flush(): void {
    this.#intent = undefined;
    this.#wishes.clear();
    this.#written.clear();
    this.#chains.clear();
    this.#portTrouble.clear();
    this.#trouble.clear();
    if (!this.#open()) return;
    this.#commitAgain(() => {
      const changes: NftChange[] = [];
      if (this.#found?.netdev.there) changes.push({ kind: 'tableDelete', table: NETDEV_TABLE });
      if (this.#found?.inet.there) changes.push({ kind: 'tableDelete', table: INET_TABLE });
      return changes;
    });
    this.#read();
  }

  /** Opens the sockets and reads what is there, once; false where the kernel has no nf_tables for us. */
  #open(): boolean {
    if (this.#closed) return false;
    try {
      this.#socket ??= openNetfilter(this.#netns);
      this.#events ??= this.#listen(this.#socket.portId);
      if (this.#found === undefined) this.#read();
    } catch (error) {
      const trouble = troubleOfError(error);
      this.#trouble.set('filter rules', trouble).set('filter guard', trouble);
      return false;
    }
    return this.#found !== undefined;
  }

  #listen(ownPortId: number): { close(): void } {
    return listen({
      netns: this.#netns,
      protocol: NETLINK_NETFILTER,
      groups: [NFNLGRP_NFTABLES],
      ignorePortIds: [ownPortId],
      onMessage: (type, _flags, bytes, start, end) => {
        // The kernel itself removes chains of links that left; wishes are told of these otherwise.
        if (!TOLD.has(type) || u32(bytes, start + 12) === 0) return;
        const tables = [NETDEV_TABLE, INET_TABLE];
        if (isOurTable(familyOf(bytes, start, end), tableOf(bytes, start, end), tables)) this.#repairSoon();
      },
      onOverrun: () => this.#repairSoon(),
    });
  }

  #repairSoon(): void {
    if (this.#repair !== undefined || this.#closed) return;
    const wait = Math.max(REPAIR_DELAY_MS, this.#repairedMs + REPAIR_EVERY_MS - performance.now());
    this.#repair = setTimeout(() => {
      this.#repair = undefined;
      this.#repairedMs = performance.now();
      this.reconcile();
    }, wait);
    this.#repair.unref();
  }

  #read(): void {
    try {
      this.#found = readFilter(this.#socket!, this.#writer);
      this.#linksDue = true;
      this.#chains.clear();
    } catch (error) {
      const trouble = troubleOfError(error);
      this.#trouble.set('filter rules', trouble).set('filter guard', trouble);
    }
  }

  #writeShared(withPorts: boolean): void {
    const found = this.#found!;
    const netdev = this.#netdev;
    if (netdev === undefined) return;
    if (!sharedIsThere(netdev, found.netdev)) {
      const portSets = setsToReplace(netdev, found.netdev).filter((set) =>
        PORT_SETS.some(({ name }) => name === set.name),
      );
      // Until the ports are known the older sets and rules go on together.
      if (portSets.length > 0 && !withPorts) return;
      const wishes = [...this.#wishes.values()];
      this.#writeRules('filter rules', () => [
        ...sharedChanges(netdev, this.#found!.netdev),
        ...(portSets.length > 0 ? elementChanges('elementsAdd', wishes.flatMap(portElements)) : []),
      ]);
    } else this.#trouble.delete('filter rules');
    const inet = this.#inet;
    if (inet === undefined) return;
    if (!sharedIsThere(inet, this.#found!.inet))
      this.#writeRules('filter guard', () => sharedChanges(inet, this.#found!.inet));
    this.#writeLinks();
  }

  #writeRules(key: 'filter rules' | 'filter guard', changes: () => NftChange[]): void {
    this.#tell(key, this.#commitAgain(changes));
    this.#read();
  }

  /** Links that are no guests' any more stay until the first sweep: at the start not all are known at once. */
  #writeLinks(): void {
    if (!this.#linksDue) return;
    const changes = (): NftChange[] => {
      const there = this.#found!.links;
      const wanted = new Set(this.#links.map((link) => link.ifindex));
      const add = [...wanted].filter((ifindex) => !there.has(ifindex)).map(linkElement);
      const gone = this.#swept ? [...there].filter((ifindex) => !wanted.has(ifindex)).map(linkElement) : [];
      return [...elementChanges('elementsAdd', add), ...elementChanges('elementsDelete', gone)];
    };
    const trouble = this.#commitAgain(changes);
    this.#tell('filter guard', trouble);
    if (trouble !== undefined) return;
    this.#linksDue = false;
    if (this.#swept) this.#found!.links.clear();
    for (const { ifindex } of this.#links) this.#found!.links.add(ifindex);
  }

  #tell(key: 'filter rules' | 'filter guard', trouble: Trouble | undefined): void {
    if (trouble === undefined) this.#trouble.delete(key);
    else this.#trouble.set(key, trouble);
  }

  #writePorts(wishes: readonly GuestPortWish[]): void {
    for (let at = 0; at < wishes.length; at += PORTS_IN_BATCH) {
      const part = wishes.slice(at, at + PORTS_IN_BATCH);
      if (this.#writeBatch(part) === undefined) continue;
      for (const wish of part) {
        const trouble = this.#writeBatch([wish]);
        if (trouble === undefined) continue;
        this.#portTrouble.set(wish.ifindex, trouble);
        this.#written.delete(wish.ifindex);
      }
    }
  }

  #writeBatch(wishes: readonly GuestPortWish[]): Trouble | undefined {
    const wanted = wishes.map((wish) => byId(portElements(wish)));
    const trouble = this.#commitAgain(() => {
      const changes: NftChange[] = [];
      const add: OwnedElement[] = [];
      const remove: OwnedElement[] = [];
      wishes.forEach((wish, i) => {
        if (!this.#hasChain(wish)) changes.push(...portChainChanges(wish.name));
        const delta = elementDelta(wanted[i]!, this.#found!.elements.get(wish.ifindex));
        add.push(...delta.add);
        remove.push(...delta.remove);
      });
      return [...changes, ...elementChanges('elementsDelete', remove), ...elementChanges('elementsAdd', add)];
    });
    if (trouble !== undefined) return trouble;
    wishes.forEach((wish, i) => {
      this.#portTrouble.delete(wish.ifindex);
      this.#written.add(wish.ifindex);
      this.#chains.set(wish.name, wish.ifindex);
      this.#found!.elements.set(wish.ifindex, wanted[i]!);
    });
    return undefined;
  }

  /** Whether the port's chain is there and right: written in this life, or found, of its version and on its link. */
  #hasChain(wish: GuestPortWish): boolean {
    if (this.#chains.get(wish.name) === wish.ifindex) return true;
    const name = portChain(wish.name);
    const rules = this.#found!.netdev.rules.get(name);
    if (rules?.count !== 1 || rules.comment !== PORT_CHAIN_VERSION) return false;
    // What was read may be old: where chains go with their link it is looked at again.
    const chain = readChain(this.#socket!, this.#writer, NETDEV_TABLE, name);
    if (chain?.device !== wish.name) return false;
    this.#chains.set(wish.name, wish.ifindex);
    return true;
  }

  /** Chains of these links that no port has now, as far as they are still there. */
  #chainRemovals(links: readonly string[]): NftChange[] {
    const used = new Set<string>();
    for (const wish of this.#wishes.values()) used.add(wish.name);
    const changes: NftChange[] = [];
    for (const link of new Set(links)) {
      const chain = portChain(link);
      if (used.has(link)) continue;
      this.#chains.delete(link);
      this.#found!.netdev.rules.delete(chain);
      if (readChain(this.#socket!, this.#writer, NETDEV_TABLE, chain) === undefined) continue;
      changes.push({ kind: 'rulesFlush', table: NETDEV_TABLE, chain });
      changes.push({ kind: 'chainDelete', table: NETDEV_TABLE, chain });
    }
    return changes;
  }

  #sweepChanges(): NftChange[] {
    const found = this.#found!;
    const wanted = new Set(this.#links.map((link) => link.ifindex));
    const names = new Set([...this.#wishes.values()].map((wish) => wish.name));
    const gone: OwnedElement[] = [];
    for (const [ifindex, elements] of found.elements)
      if (!this.#wishes.has(ifindex)) gone.push(...elements.values());
    for (const ifindex of found.links) if (!wanted.has(ifindex)) gone.push(linkElement(ifindex));
    return [
      ...elementChanges('elementsDelete', gone),
      ...(this.#netdev && found.netdev.there ? leftovers(this.#netdev, found.netdev, names) : []),
      ...(this.#inet && found.inet.there ? leftovers(this.#inet, found.inet, names) : []),
    ];
  }

  /** Between reading and deleting nobody else deletes; a refusal leaves counters that harm nobody. */
  #forgetCounters(gone: readonly OwnedElement[]): void {
    try {
      commit(this.#socket!, this.#writer, elementChanges('elementsDelete', gone));
    } catch (error) {
      troubleOfError(error);
    }
  }

  #readDrops(
    table: NftTable,
    reason: string,
    known: ReadonlySet<number>,
    drops: Map<number, Record<string, number>>,
    gone: OwnedElement[],
  ): void {
    const set = dropSet(reason).name;
    const ask = (writer: MessageWriter, seq: number) => encodeElementDump(writer, seq, table, set);
    dumpOrNothing(this.#socket!, this.#writer, ask, (_type, _flags, bytes, start, end) => {
      eachElement(bytes, start, end, ({ key, packets }) => {
        const ifindex = ifindexOf(key);
        if (!known.has(ifindex)) {
          gone.push({ table, set, key });
          return;
        }
        let ofLink = drops.get(ifindex);
        if (ofLink === undefined) drops.set(ifindex, (ofLink = {}));
        ofLink[reason] = packets;
      });
    });
  }

  /** One batch; made again from what is there when it was refused or its answer was lost. */
  #commitAgain(changes: () => NftChange[]): Trouble | undefined {
    let trouble: Trouble | undefined;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      try {
        trouble = troubleOf(commit(this.#socket!, this.#writer, changes()));
        if (trouble === undefined) return undefined;
        this.#read();
      } catch (error) {
        trouble = troubleOfError(error);
      }
    }
    return trouble;
  }
}

function byId(elements: readonly OwnedElement[]): Map<string, OwnedElement> {
  return new Map(elements.map((element) => [elementId(element), element]));
}

/** What the system refused, or that the namespace has gone; anything else is a fault of ours and thrown on. */
function troubleOfError(error: unknown): Trouble {
  if (error instanceof SysError || error instanceof LeafdError)
    return { errno: error.code, text: error.message };
  throw error;
}

function troubleOf({ outcome, failed }: CommitResult): Trouble | undefined {
  if (outcome === 'done') return undefined;
  const first = failed[0];
  if (first === undefined) return { errno: 'EAGAIN', text: 'no answer from nf_tables' };
  return {
    errno: errnoName(first.errno),
    text: first.text === '' ? 'nf_tables refused the batch' : first.text,
  };
}
