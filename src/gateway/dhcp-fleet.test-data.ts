// A whole pool under virtual time for tests: members with clocks and disks of their own, links that lose and cut,
// clients that come, renew, roam and go. What two clients hold at once is a violation.

import { Rng } from '../lib/rng.ts';
import { type KeptLeases, LeasePool } from './dhcp-leases.ts';
import { type DhcpMessage, readDhcpMessage } from './dhcp-messages.ts';
import { type PoolPlan, planPool } from './dhcp-plan.ts';
import type { ToldRecord } from './dhcp-record.ts';

export const STEP_MS = 50;

interface Node {
  name: string;
  pool: LeasePool | undefined;
  /** Own clock: rate and offset. */
  rate: number;
  offset: number;
  records: Map<number, ToldRecord>;
  promises: Map<number, number>;
  unsure: KeptLeases['unsure'];
  frozenUntil: number;
  side: number;
}

export interface Client {
  key: string;
  at: number;
  rate: number;
  index: number | undefined;
  /** By true time. */
  heldUntil: number;
  leaseMs: number;
  retryAt: number;
  askedAt: number;
  absentUntil: number;
  waitedMs: number;
}

interface Mail {
  at: number;
  from: string;
  to: Node;
  text: string;
}

export class Fleet {
  readonly rng: Rng;
  readonly plan: PoolPlan;
  readonly nodes: Node[];
  readonly clients: Client[] = [];
  readonly violations: string[] = [];
  now = 0;
  loss = 0;
  grants = 0;
  reused = 0;
  readonly #lastOf = new Map<number, string>();
  #mail: Mail[] = [];
  readonly #tickets = new Map<string, Client>();

  constructor(
    seed: number,
    members: number,
    size: number,
    leaseTimeMs: number,
    spoil: Partial<PoolPlan> = {},
  ) {
    this.rng = new Rng(seed);
    const names = Array.from({ length: members }, (_, i) => `m${i}`);
    const first = Uint8Array.of(10, 0, 0, 10);
    const last = Uint8Array.of(10, 0, (10 + size - 1) >> 8, (10 + size - 1) & 255);
    const intent = { name: 'p', first, last, excluded: [first], members: names, leaseTimeMs };
    this.plan = { ...planPool(intent), ...spoil };
    this.nodes = names.map((name) => ({
      name,
      pool: undefined,
      rate: 1 + (this.rng.below(1000) - 500) / 1e6,
      offset: this.rng.below(1e9),
      records: new Map(),
      promises: new Map(),
      unsure: undefined,
      frozenUntil: 0,
      side: 0,
    }));
    for (const node of this.nodes)
      node.pool = new LeasePool(this.plan, node.name, 'founding', this.clock(node));
  }

  clock(node: Node): number {
    return node.offset + this.now * node.rate;
  }

  addClient(key: string, at: number): Client {
    const rate = 1 + (this.rng.below(1000) - 500) / 1e6;
    const client: Client = {
      ...{ key, at, rate, index: undefined, heldUntil: 0, leaseMs: this.plan.leaseTimeMs },
      ...{ retryAt: this.now, askedAt: 0, absentUntil: 0, waitedMs: 0 },
    };
    this.clients.push(client);
    return client;
  }

  kill(node: Node): void {
    node.pool = undefined;
    this.#mail = this.#mail.filter((mail) => mail.to !== node);
  }

  start(node: Node, lost = false): void {
    if (lost) {
      node.records.clear();
      node.promises.clear();
    }
    const kept: KeptLeases = {
      charter: this.plan.charter,
      records: [...node.records.values()],
      promises: [...node.promises],
      unsure: node.unsure,
    };
    node.pool = new LeasePool(this.plan, node.name, lost ? 'lost' : kept, this.clock(node));
    node.unsure = node.pool.unsure(this.clock(node));
  }

  run(forMs: number, each?: () => void): void {
    for (const end = this.now + forMs; this.now < end; this.now += STEP_MS) {
      each?.();
      const due = this.#mail.filter(({ at, to }) => at <= this.now && to.frozenUntil <= this.now);
      this.#mail = this.#mail.filter(({ at, to }) => at > this.now || to.frozenUntil > this.now);
      for (const { from, to, text } of due) {
        if (to.pool === undefined) continue;
        to.pool.hear(from, readDhcpMessage(JSON.parse(text), this.plan.size)!, this.clock(to));
        this.#effects(to);
      }
      for (const node of this.nodes) {
        if (node.pool === undefined || node.frozenUntil > this.now) continue;
        node.pool.poll(this.clock(node));
        this.#effects(node);
      }
      for (const client of this.clients) this.#turn(client);
    }
  }

  #effects(node: Node): void {
    for (const action of node.pool!.take()) {
      if (action.kind === 'keep') {
        for (const record of action.records) node.records.set(record.index, record);
        for (const [index, generation] of action.promises) node.promises.set(index, generation);
        node.unsure = node.pool!.unsure(this.clock(node));
      } else if (action.kind === 'send') this.#post(node, action.to, action.message);
      else {
        const id = `${node.name} ${action.ticket}`;
        const client = this.#tickets.get(id);
        this.#tickets.delete(id);
        if (client !== undefined && action.kind === 'granted') this.#given(client, action.index);
      }
    }
  }

  #post(from: Node, name: string, message: DhcpMessage): void {
    const to = this.nodes.find((node) => node.name === name)!;
    if (from.side !== to.side || this.rng.chance(this.loss)) return;
    const at = this.now + this.rng.between(1, 40);
    this.#mail.push({ at, from: from.name, to, text: JSON.stringify(message) });
  }

  #given(client: Client, index: number): void {
    if (client.absentUntil > this.now || (client.index !== undefined && client.index !== index)) return;
    this.grants++;
    const last = this.#lastOf.get(index);
    if (last !== undefined && last !== client.key) this.reused++;
    this.#lastOf.set(index, client.key);
    for (const other of this.clients)
      if (other !== client && other.index === index && other.heldUntil > this.now)
        this.violations.push(`${this.now}: ${index} of ${other.key} given to ${client.key}`);
    client.waitedMs = this.now - client.askedAt;
    client.index = index;
    client.heldUntil = this.now + client.leaseMs * client.rate;
    client.retryAt = this.now + client.leaseMs / 2;
    client.askedAt = 0;
  }

  #turn(client: Client): void {
    if (client.index !== undefined && client.heldUntil <= this.now) client.index = undefined;
    if (client.absentUntil > this.now || client.retryAt > this.now) return;
    client.retryAt = this.now + 3000;
    if (client.askedAt === 0) client.askedAt = this.now;
    const side = this.nodes[client.at]!.side;
    const start = client.at;
    for (let step = 0; step < this.nodes.length; step++) {
      const node = this.nodes[(start + step) % this.nodes.length]!;
      if (node.pool === undefined || node.side !== side || node.frozenUntil > this.now) continue;
      if (this.#ask(node, client)) return;
    }
  }

  /** Whether this member takes the client's question upon itself. */
  #ask(node: Node, client: Client): boolean {
    const nowMs = this.clock(node);
    const index = client.index ?? node.pool!.offer(client.key, undefined, nowMs);
    if (index === undefined) return false;
    const asked = node.pool!.request(client.key, index, nowMs);
    if (asked.kind === 'pending') this.#tickets.set(`${node.name} ${asked.ticket}`, client);
    this.#effects(node);
    return asked.kind === 'pending';
  }
}
