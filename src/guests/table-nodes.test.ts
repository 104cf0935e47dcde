// Three nodes with a table each, that hear each other by BGP with delays: where a guest is announced while it moves
// back and forth, and who gives in where two guests have one address.

import { expect, test } from 'vitest';
import { Rng } from '../lib/rng.ts';
import { formatIp } from '../net/ip.ts';
import { binding, frame, ip, mac, port, World } from './fake-host.test-data.ts';

const ADDRESS = '10.0.0.1';
const vm = binding('vm', { port: 'tap1', mac: mac(1), addresses: [ADDRESS] });

interface Update {
  atMs: number;
  to: number;
  from: number;
  sequence: number | undefined;
}

/** Nodes whose announcements of one address reach the others later, in order. */
class Fabric {
  readonly nodes: World[];
  readonly #rng: Rng;
  readonly #delayMs: number;
  #updates: Update[] = [];
  readonly #said: (number | undefined)[];
  /** What each node has heard from each other. */
  readonly #heard: (number | undefined)[][];
  readonly #lastAt: number[][];
  nowMs = 1000;
  /** Time without any owner, the longest in a row; and how many announce it at most. */
  noOwnerMs = 0;
  #noOwnerSinceMs: number | undefined;

  constructor(count: number, delayMs: number, seed: number) {
    this.nodes = Array.from({ length: count }, () => new World());
    this.#rng = new Rng(seed);
    this.#delayMs = delayMs;
    this.#said = Array.from({ length: count }, () => undefined);
    this.#heard = Array.from({ length: count }, () => Array.from({ length: count }, () => undefined));
    this.#lastAt = Array.from({ length: count }, () => Array.from({ length: count }, () => 0));
  }

  /** Who announces the address now. */
  owners(): number[] {
    return this.nodes.flatMap((node, at) => (node.host.bound.has(ADDRESS) ? [at] : []));
  }

  /** Does something on a node, and lets the others hear of it in their time. */
  on(at: number, act: (world: World) => void): void {
    act(this.nodes[at]!);
    this.#say(at);
    const owned = this.owners().length > 0;
    if (owned && this.#noOwnerSinceMs !== undefined) {
      this.noOwnerMs = Math.max(this.noOwnerMs, this.nowMs - this.#noOwnerSinceMs);
      this.#noOwnerSinceMs = undefined;
    } else if (!owned) this.#noOwnerSinceMs ??= this.nowMs;
  }

  #say(from: number): void {
    const sequence = this.nodes[from]!.host.bound.get(ADDRESS)?.sequence;
    if (sequence === this.#said[from]) return;
    this.#said[from] = sequence;
    for (let to = 0; to < this.nodes.length; to++) {
      if (to === from) continue;
      // One session keeps the order.
      const atMs = Math.max(this.#lastAt[from]![to]!, this.nowMs + this.#rng.between(1, this.#delayMs));
      this.#lastAt[from]![to] = atMs;
      this.#updates.push({ atMs, to, from, sequence });
    }
  }

  pass(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (;;) {
      this.#updates.sort((a, b) => a.atMs - b.atMs);
      const update = this.#updates[0];
      const deadlines = this.nodes.map((node) => node.table.nextDeadlineMs());
      const next = Math.min(update?.atMs ?? Number.POSITIVE_INFINITY, ...deadlines);
      if (next > untilMs) break;
      this.#at(Math.max(next, this.nowMs));
      if (update !== undefined && update.atMs <= this.nowMs) {
        this.#updates.shift();
        this.#hear(update);
      } else for (let at = 0; at < this.nodes.length; at++) this.on(at, (world) => world.table.advance());
    }
    this.#at(untilMs);
  }

  #at(nowMs: number): void {
    this.nowMs = nowMs;
    for (const node of this.nodes) node.host.now = nowMs;
  }

  #hear({ to, from, sequence }: Update): void {
    this.#heard[to]![from] = sequence;
    const all = this.#heard[to]!.filter((one) => one !== undefined);
    this.on(to, (world) => world.hear(ADDRESS, all.length === 0 ? undefined : Math.max(...all)));
  }
}

/** A live migration: expected on the target, paused on the source, running on the target, then gone at the source. */
function migrate(fabric: Fabric, from: number, to: number, targetPortFirst: boolean): void {
  const expected = { untilMs: fabric.nodes[to]!.host.wallMs() + 3_600_000 };
  if (targetPortFirst) fabric.on(to, (world) => world.table.portUp(port(1)));
  fabric.on(to, (world) => world.table.expect({ ...vm, expected }));
  if (!targetPortFirst) fabric.on(to, (world) => world.table.portUp(port(1)));
  // It runs at the source all the time, and says so.
  fabric.pass(700);
  fabric.on(from, (world) => world.table.sighted(1, frame('arp', mac(1), ADDRESS)));
  fabric.pass(700);
  expect(fabric.owners()).toEqual([from]);
  fabric.on(to, (world) => world.table.sighted(1, frame('rarp', mac(1))));
  // The last frame of the source was still in its queue.
  fabric.pass(60);
  fabric.on(from, (world) => world.table.sighted(1, frame('arp', mac(1), ADDRESS)));
  fabric.on(to, (world) => world.table.sighted(1, frame('garp', mac(1), ADDRESS)));
  fabric.pass(200);
  fabric.on(from, (world) => world.table.portGone(1));
}

test.each([
  ['the port comes after the expectation', false],
  ['the port comes first', true],
])('50 moves in a row: one owner after each, never none; %s', (_, targetPortFirst) => {
  for (let seed = 1; seed <= 10; seed++) {
    const fabric = new Fabric(3, 50, seed);
    const rng = new Rng(seed);
    for (const at of [0, 1, 2])
      fabric.on(at, (world) => world.table.attach({ ...vm, guest: `seed ${seed}` }));
    fabric.on(0, (world) => world.table.portUp(port(1)));
    fabric.pass(1000);
    fabric.noOwnerMs = 0;
    let here = 0;
    for (let move = 0; move < 50; move++) {
      const there = (here + rng.between(1, 2)) % 3;
      migrate(fabric, here, there, targetPortFirst);
      fabric.pass(500);
      expect([seed, move, fabric.owners()]).toEqual([seed, move, [there]]);
      expect(fabric.nodes[there]!.table.look(ip(ADDRESS))).toMatchObject({
        state: 'attached',
        sequence: move + 1,
      });
      here = there;
    }
    expect(fabric.noOwnerMs).toBe(0);
    const frozen = fabric.nodes
      .flatMap((node) => node.events())
      .filter((event) => event.startsWith('frozen'));
    expect(frozen).toEqual([]);
  }
});

test('a guest that dies and starts on another node: no owner for no longer than it takes to hear', () => {
  const fabric = new Fabric(3, 50, 7);
  fabric.on(0, (world) => world.table.attach(vm));
  fabric.on(0, (world) => world.table.portUp(port(1)));
  for (let n = 0; n < 20; n++) {
    const [from, to] = [n % 3, (n + 1) % 3] as const;
    fabric.pass(1000);
    fabric.on(from, (world) => world.table.portGone(1));
    fabric.on(to, (world) => world.table.attach(vm));
    fabric.on(to, (world) => world.table.portUp(port(1)));
    fabric.pass(60);
    expect([n, fabric.owners()]).toEqual([n, [to]]);
    fabric.on(from, (world) => world.table.detach('vm'));
  }
  expect(fabric.noOwnerMs).toBeLessThanOrEqual(50);
});

test.each([1, 2, 3, 4, 5, 6, 7, 8])(
  'two guests with one address (seed %s): the newcomer freezes, never the owner',
  (seed) => {
    const fabric = new Fabric(3, 50, seed);
    const rng = new Rng(seed);
    fabric.on(0, (world) => world.table.attach(vm));
    fabric.on(0, (world) => world.table.portUp(port(1)));
    fabric.pass(5000);
    fabric.on(1, (world) => world.table.portUp(port(1)));
    fabric.on(1, (world) => world.table.attach({ ...vm, name: 'copy' }));
    // Both talk all the time, and answer when they are asked.
    for (let n = 0; n < 600; n++) {
      fabric.pass(rng.between(1, 400));
      for (const at of rng.chance(0.5) ? [0, 1] : [1, 0])
        if (rng.chance(0.7)) fabric.on(at, (world) => world.table.sighted(1, frame('arp', mac(1), ADDRESS)));
    }
    fabric.pass(5000);
    expect(fabric.owners()).toEqual([0]);
    expect(fabric.nodes[1]!.table.look(ip(ADDRESS))).toMatchObject({ state: 'frozen', reason: 'duplicate' });
    expect(fabric.nodes[0]!.events().filter((event) => event.startsWith('frozen'))).toEqual([]);
    const takes = fabric.nodes[0]!.host.calls.filter(
      (call) => call.startsWith(`bind ${formatIp(ip(ADDRESS))}`) && call.endsWith('fresh'),
    );
    expect(takes.length).toBeLessThanOrEqual(2);
  },
);

test('two learned guests with one address: who came first keeps it, and nobody moves', () => {
  const fabric = new Fabric(2, 50, 3);
  for (const at of [0, 1]) {
    const allowed = [{ bytes: ip('10.0.0.0'), length: 8 }];
    fabric.on(at, (world) => world.table.configure({ ...world.given, allowed }, []));
    fabric.on(at, (world) => world.table.portUp(port(1)));
  }
  fabric.on(0, (world) => world.table.sighted(1, frame('arp', mac(1), ADDRESS)));
  fabric.nodes[1]!.host.others.set(ADDRESS, { sequence: 0 });
  fabric.pass(60);
  for (let n = 0; n < 20; n++) {
    fabric.on(1, (world) => world.table.sighted(1, frame('arp', mac(2), ADDRESS)));
    fabric.on(0, (world) => world.table.sighted(1, frame('arp', mac(1), ADDRESS)));
    fabric.pass(3000);
  }
  expect([fabric.owners(), fabric.nodes[0]!.calls()]).toEqual([[0], [`bind ${ADDRESS} tap1 0`]]);
});
