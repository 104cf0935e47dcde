// Guests that move between the leaves of a fabric while it is looked at: each is at one node at a time, announced by
// what a hypervisor does (guests/table-moves.ts) in its barest form. The target announces at the cut-over, one above
// the highest sequence it knows; the source lets go when it hears of that, or at last when the guest's tap goes. What
// a node knew of an address outlives its daemon.
//
// Calm: nothing else happens, moves come in bursts, some within the fresh window of the one before, the tap of the
// source stays for long, and a stranger claims an address with a sequence that nobody must believe. No packet may go
// round in circles at any moment, and soon after the last move of a burst the guest is reached from everywhere. With
// faults: at rest every guest has one owner and is reached by all who know a way.

import type { Rng } from '../lib/rng.ts';
import { formatIp } from '../net/ip.ts';
import { type Prefix, prefixText } from '../net/prefix.ts';
import type { Heard } from '../router/ports.ts';
import { closTopology, fabricPeer, fabricRouter, prefix, type Scheme } from './clos.ts';
import { reaches } from './invariants.ts';
import { GUEST_IFINDEX, type GuestKeeper, type SimNode } from './node.ts';
import type { SimTopology } from './topology.ts';
import type { World } from './world.ts';

/** How long a move is told as fresh. */
const FRESH_MS = 5000;

/** What a node knows of an address. */
interface Known {
  /** Announced last. */
  sequence: number;
  /** The highest of all ever heard. */
  highest: number;
  announced: boolean;
  /** Its tap is there: the guest runs here, or its source has not ended yet. */
  tap: boolean;
  freshUntilMs: number;
}

export class MovingGuests implements GuestKeeper {
  readonly prefixes: readonly Prefix[];
  readonly #world: World;
  /** Who may have guests. */
  readonly hosts: readonly SimNode[];
  readonly #where = new Map<string, SimNode>();
  readonly #known = new Map<SimNode, Map<string, Known>>();

  constructor(world: World, hosts: readonly SimNode[], prefixes: readonly Prefix[]) {
    this.#world = world;
    this.hosts = hosts;
    this.prefixes = prefixes;
    for (const node of hosts) {
      node.keeper = this;
      this.#known.set(node, new Map());
    }
  }

  /** The node where a guest runs. */
  whereIs(guest: Prefix): SimNode {
    return this.#where.get(prefixText(guest))!;
  }

  /** The cut-over: the guest runs at the target from now on, and its tap at the source goes after a while. */
  move(guest: Prefix, target: SimNode, tapStaysMs: number): void {
    const text = prefixText(guest);
    const source = this.#where.get(text);
    if (source === target) return;
    this.#where.set(text, target);
    source?.present.delete(text);
    target.present.add(text);
    const known = this.#of(target, text);
    known.tap = true;
    this.#claim(target, guest, known);
    if (source === undefined) return;
    this.#world.schedule.after(tapStaysMs, () => {
      if (this.#where.get(text) === source) return;
      const left = this.#of(source, text);
      left.tap = false;
      this.#letGo(source, guest, left);
    });
  }

  /** Nodes that announce the guest. */
  ownersOf(guest: Prefix): string[] {
    return this.hosts.filter(({ router }) => router?.guests.get(guest.bytes)).map(({ name }) => name);
  }

  started(node: SimNode): void {
    for (const guest of this.prefixes) {
      const known = this.#known.get(node)!.get(prefixText(guest));
      if (known === undefined) continue;
      this.#note(known, node.router!.guests.watch(guest.bytes));
      known.announced = known.tap && this.whereIs(guest) === node;
      if (known.announced) this.#set(node, guest, known);
    }
  }

  heard(node: SimNode, address: Uint8Array, heard: Heard | undefined): void {
    const guest = this.prefixes.find(({ bytes }) => formatIp(bytes) === formatIp(address))!;
    const known = this.#of(node, prefixText(guest));
    this.#note(known, heard);
    if (heard !== undefined && heard.sequence > known.sequence) this.#letGo(node, guest, known);
    // Whoever was ahead has given up, and the guest is here.
    else if (heard === undefined && known.tap && !known.announced && this.whereIs(guest) === node)
      this.#claim(node, guest, known);
  }

  #note(known: Known, heard: Heard | undefined): void {
    known.highest = Math.max(known.highest, heard?.sequence ?? 0);
  }

  #claim(node: SimNode, guest: Prefix, known: Known): void {
    this.#note(known, node.router?.guests.watch(guest.bytes));
    known.sequence = Math.max(known.sequence, known.highest) + 1;
    known.announced = true;
    const untilMs = this.#world.nowMs + FRESH_MS;
    known.freshUntilMs = untilMs;
    this.#set(node, guest, known);
    this.#world.schedule.after(FRESH_MS, () => {
      if (known.announced && known.freshUntilMs === untilMs) this.#set(node, guest, known);
    });
  }

  #letGo(node: SimNode, guest: Prefix, known: Known): void {
    known.announced = false;
    node.router?.guests.remove(guest.bytes);
  }

  #set(node: SimNode, guest: Prefix, { sequence, freshUntilMs }: Known): void {
    const fresh = this.#world.nowMs < freshUntilMs;
    node.router?.guests.set(guest.bytes, { ifindex: GUEST_IFINDEX, sequence, fresh, metric: fresh ? 10 : 0 });
  }

  #of(node: SimNode, text: string): Known {
    const all = this.#known.get(node)!;
    let known = all.get(text);
    if (known === undefined) {
      known = { sequence: 0, highest: 0, announced: false, tap: false, freshUntilMs: 0 };
      all.set(text, known);
    }
    return known;
  }
}

/** Two spines, four leaves and, at the first leaf, a stranger whose moves nobody believes. */
export function movesTopology(scheme: Scheme): SimTopology {
  const topology = closTopology({ spines: 2, leaves: 4, guestsPerLeaf: 1, scheme });
  const config = fabricRouter('stranger', 65999, 0x0aff_0909);
  config.peers = [{ ...fabricPeer(false), kind: 'interface', pattern: 'ext*' }];
  topology.nodes.push({ name: 'stranger', config, statics: [], addresses: [] });
  topology.links.push({ a: { node: 'leaf1', port: 'ext0' }, b: { node: 'stranger', port: 'ext0' } });
  const leaf = topology.nodes.find(({ name }) => name === 'leaf1')!.config;
  leaf.peers.push({ ...fabricPeer(false), kind: 'interface', pattern: 'ext*', moves: false });
  return topology;
}

/** Guests of both families, that many of each. */
export function movingPrefixes(count: number): Prefix[] {
  return Array.from({ length: count }, (_, i) => [
    prefix(`198.51.100.${i + 1}/32`),
    prefix(`2001:db8:200::${i + 1}/128`),
  ]).flat();
}

/** The stranger says that it has the guest, with a sequence beyond all others. */
export function lie(stranger: SimNode, guest: Prefix): void {
  const { router } = stranger;
  router?.linkChanged({ ifindex: GUEST_IFINDEX, name: 'vmbr1', up: true });
  router?.guests.set(guest.bytes, { ifindex: GUEST_IFINDEX, sequence: 1_000_000, fresh: true, metric: 0 });
}

/** A burst of moves of one guest, the next one before the last is settled. */
export function burst(guests: MovingGuests, world: World, rng: Rng): Prefix {
  const guest = rng.pick(guests.prefixes);
  for (let left = rng.between(1, 4); left > 0; left--) {
    const others = guests.hosts.filter((node) => node.isRunning && node !== guests.whereIs(guest));
    // A source whose process stays: only what it hears can make it let go in time.
    guests.move(guest, rng.pick(others), rng.between(20_000, 40_000));
    // A migration takes longer than a fabric needs to tell of the last one.
    if (left > 1) world.run(rng.between(150, 1500));
  }
  return guest;
}

/** Whether a guest has one owner, the node it runs at, and is reached from all the nodes; what is wrong else. */
export function misplaced(guests: MovingGuests, world: World, guest: Prefix): string | undefined {
  const text = prefixText(guest);
  const owner = guests.whereIs(guest);
  const owners = guests.ownersOf(guest);
  if (`${owners}` !== owner.name) return `${text} runs at ${owner.name} and is announced by [${owners}]`;
  for (const node of world.nodes) {
    if (node.name === 'stranger') continue;
    const verdict = reaches(world, node, guest);
    if (verdict !== 'arrives') return `from ${node.name} to ${text}, which runs at ${owner.name}: ${verdict}`;
  }
  return undefined;
}

/** A way round in circles, at any moment. */
export function circle(guests: MovingGuests, world: World): string | undefined {
  for (const guest of guests.prefixes)
    for (const node of world.nodes) {
      const verdict = reaches(world, node, guest);
      if (verdict.startsWith('a loop')) return `from ${node.name} to ${prefixText(guest)}: ${verdict}`;
    }
  return undefined;
}
