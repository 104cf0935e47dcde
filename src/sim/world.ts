// The virtual world: nodes, cables and time, made from a topology and one seed. It knows nothing of faults and of
// what is right; `faults.ts` breaks it, `invariants.ts` judges it, and tests drive it directly.

import { assert } from '../lib/assert.ts';
import { Rng } from '../lib/rng.ts';
import type { Peer } from '../router/peer.ts';
import type { RouterEvent } from '../router/ports.ts';
import type { Router } from '../router/router.ts';
import { type Cable, Network, type Port } from './network.ts';
import { SimNode } from './node.ts';
import { Schedule } from './schedule.ts';
import type { SimEnd, SimTopology } from './topology.ts';

/** How long carrier takes to be noticed, from and to. */
const CARRIER_MS: [number, number] = [0, 10];

export interface WorldEvent {
  atMs: number;
  node: string;
  event: RouterEvent;
}

export class World {
  readonly schedule = new Schedule();
  readonly rng: Rng;
  readonly network: Network;
  readonly nodes: SimNode[] = [];
  /** What the routers told, oldest first. */
  readonly events: WorldEvent[] = [];
  /** Called when a router has finished a turn: for those who watch. */
  watch: ((node: SimNode) => void) | undefined;
  /** Called with what a router tells, as it tells it. */
  listen: ((node: SimNode, event: RouterEvent) => void) | undefined;

  constructor(topology: SimTopology, seed: number) {
    this.rng = new Rng(seed);
    const { schedule, rng } = this;
    this.network = new Network(schedule, rng);
    const { network } = this;
    const event = (node: SimNode, told: RouterEvent): void => {
      this.events.push({ atMs: schedule.nowMs(), node: node.name, event: told });
      this.listen?.(node, told);
    };
    topology.nodes.forEach((spec, i) => {
      const turned = (who: SimNode): void => this.watch?.(who);
      const node = new SimNode(spec, i + 1, { schedule, network, rng, event, turned });
      this.nodes.push(node);
      const names = new Set(spec.addresses.map(({ port }) => port));
      for (const { a, b } of topology.links)
        for (const end of [a, b]) if (end.node === spec.name) names.add(end.port);
      for (const name of names) {
        const own = spec.addresses.filter(({ port }) => port === name);
        node.addPort(
          name,
          own.map(({ address, length }) => ({ bytes: address, length })),
        );
      }
    });
    for (const { a, b } of topology.links) network.plug(this.portAt(a), this.portAt(b));
  }

  get nowMs(): number {
    return this.schedule.nowMs();
  }

  /** Starts all daemons, without routes of an earlier life. */
  boot(): void {
    for (const node of this.nodes) this.schedule.after(this.rng.below(200), () => node.start(false));
  }

  run(durationMs: number): void {
    this.schedule.runUntil(this.nowMs + durationMs);
  }

  // ---- finding things ----

  node(name: string): SimNode {
    const node = this.nodes.find((other) => other.name === name);
    assert(node !== undefined, `a node named ${name}`);
    return node;
  }

  router(name: string): Router {
    const { router } = this.node(name);
    assert(router !== undefined, `the daemon of ${name} runs`);
    return router;
  }

  peer(node: string, name: string): Peer {
    const peer = this.router(node).directory.byName.get(name);
    assert(peer !== undefined, `${node} has a peer ${name}`);
    return peer;
  }

  portAt(end: SimEnd): Port {
    const port = this.node(end.node).ports.find(({ name }) => name === end.port);
    assert(port !== undefined, `${end.node} has a port ${end.port}`);
    return port;
  }

  cable(node: string, port: string): Cable {
    const { cable } = this.portAt({ node, port });
    assert(cable !== undefined, `a cable in ${node}:${port}`);
    return cable;
  }

  // ---- cables ----

  /** Pulls or plugs a cable; both ends notice a moment later. */
  setUp(cable: Cable, up: boolean): void {
    if (cable.up === up) return;
    cable.up = up;
    this.#notice(cable.a);
    this.#notice(cable.b);
  }

  /** Exchanges the far ends of two cables: the four ports lose carrier and find another neighbour. */
  swap(one: Cable, other: Cable): void {
    for (const cable of [one, other]) this.setUp(cable, false);
    [one.b, other.b] = [other.b, one.b];
    one.b.cable = one;
    other.b.cable = other;
    this.schedule.after(this.rng.between(50, 2000), () => {
      for (const cable of [one, other]) this.setUp(cable, true);
    });
  }

  #notice(port: Port): void {
    this.schedule.after(this.rng.between(...CARRIER_MS), () => port.node.linkChanged(port));
  }
}

/** `node:port`, for people. */
export function portText(port: Port): string {
  return `${port.node.name}:${port.name}`;
}

/** Both ends of a cable, for people. */
export function cableText(cable: Cable): string {
  return `${portText(cable.a)}-${portText(cable.b)}`;
}
