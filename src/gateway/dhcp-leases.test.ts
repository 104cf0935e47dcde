import { describe, expect, test } from 'vitest';
import { Fleet, STEP_MS } from './dhcp-fleet.test-data.ts';
import { LeasePool, marginMs } from './dhcp-leases.ts';
import { readDhcpMessage } from './dhcp-messages.ts';
import { addressAt, answerWaitMs, homeOf, indexOf, type PoolPlan, planPool } from './dhcp-plan.ts';
import { type LeaseRecord, mergeRecords } from './dhcp-record.ts';

/** Everything at once: kills, partitions, freezes, loss, clients that go and others that come. */
function storm(fleet: Fleet, minutes: number, lose = false): void {
  const { rng, nodes, clients } = fleet;
  fleet.loss = 0.05;
  fleet.run(minutes * 60_000, () => {
    if (fleet.now % 1000 !== 0) return;
    for (const node of nodes) {
      if (node.pool === undefined) {
        if (rng.chance(0.04)) fleet.start(node, lose && rng.chance(0.3));
      } else if (rng.chance(0.008)) fleet.kill(node);
      else if (rng.chance(0.004)) node.frozenUntil = fleet.now + 30_000;
    }
    if (rng.chance(0.03)) for (const node of nodes) node.side = rng.below(2);
    if (rng.chance(0.03)) for (const node of nodes) node.side = 0;
    for (const client of clients) {
      // Gone without a word, it still holds what it has until that is over.
      if (rng.chance(0.002)) client.absentUntil = fleet.now + rng.between(10_000, 200_000);
      if (rng.chance(0.005)) client.at = rng.below(nodes.length);
    }
  });
}

function stormed(seed: number, members: number, spoil: Partial<PoolPlan> = {}, lose = false): Fleet {
  const fleet = new Fleet(seed, members, 230, 40_000, spoil);
  for (let i = 0; i < 200; i++) fleet.addClient(`c${i}`, i % members);
  storm(fleet, 10, lose);
  return fleet;
}

describe('no address is given twice', () => {
  test.each([1, 2, 3, 4, 5, 7])('200 clients, %i members killed, cut off and frozen at random', (members) => {
    const fleet = stormed(members, members);
    expect(fleet.violations).toEqual([]);
    expect(fleet.grants).toBeGreaterThan(1000);
    if (members > 1) expect(fleet.reused).toBeGreaterThan(5);
  });

  test.each([2, 3, 4, 5])('of %i members some lose their files as well', (members) => {
    const fleet = stormed(members, members, {}, true);
    expect(fleet.violations).toEqual([]);
    expect(fleet.grants).toBeGreaterThan(500);
  });

  test('quorums that do not meet are found out', () => {
    const found = [1, 2, 3, 4].some(
      (seed) => stormed(seed, 5, { reclaimQuorum: 1, extendQuorum: 1 }).violations.length > 0,
    );
    expect(found).toBe(true);
  });

  test('after the storm everybody has an address again', () => {
    const fleet = stormed(9, 5);
    fleet.loss = 0;
    for (const node of fleet.nodes) {
      node.side = 0;
      node.frozenUntil = 0;
      if (node.pool === undefined) fleet.start(node);
    }
    for (const client of fleet.clients) client.absentUntil = 0;
    fleet.run(200_000);
    expect(fleet.clients.filter(({ index }) => index === undefined)).toEqual([]);
    expect(fleet.violations).toEqual([]);
  });
});

describe('any server may die', () => {
  test.each([2, 3, 5])('of %i members: the same address from another within 3 s', (members) => {
    const fleet = new Fleet(3, members, 230, 600_000);
    for (let i = 0; i < 100; i++) fleet.addClient(`c${i}`, 0);
    fleet.run(2000);
    const before = fleet.clients.map(({ index }) => index);
    expect(before).not.toContain(undefined);
    fleet.kill(fleet.nodes[0]!);
    // Half ask for what they have, half begin anew, having forgotten it.
    for (const [i, client] of fleet.clients.entries()) {
      client.retryAt = fleet.now;
      client.waitedMs = -1;
      if (i % 2 === 0) client.index = undefined;
    }
    fleet.run(3000);
    expect(fleet.clients.map(({ index }) => index)).toEqual(before);
    for (const { waitedMs } of fleet.clients) {
      expect(waitedMs).toBeGreaterThanOrEqual(0);
      expect(waitedMs).toBeLessThan(1000);
    }
  });

  test('killed in the step after its answer', () => {
    const fleet = new Fleet(4, 3, 230, 600_000);
    const client = fleet.addClient('c', 0);
    while (client.index === undefined) fleet.run(STEP_MS);
    const index = client.index;
    fleet.kill(fleet.nodes[0]!);
    client.index = undefined;
    client.retryAt = fleet.now;
    fleet.run(1000);
    expect(client.index).toBe(index);
  });

  test('a member that is alone gives from its share, and only from there', () => {
    const fleet = new Fleet(5, 5, 230, 600_000);
    fleet.nodes[0]!.side = 1;
    for (let i = 0; i < 200; i++) fleet.addClient(`c${i}`, 0);
    fleet.run(5000);
    const given = fleet.clients.flatMap(({ index }) => (index === undefined ? [] : [index]));
    expect(given.length).toBeGreaterThan(25);
    expect(given.length).toBeLessThan(70);
    expect(given.every((index) => homeOf(fleet.plan, index) === 'm0')).toBe(true);
  });

  test('who is in a minority lengthens nothing that is not its own', () => {
    const fleet = new Fleet(6, 5, 230, 600_000);
    const client = fleet.addClient('c', 1);
    fleet.run(2000);
    const [, , far] = fleet.nodes;
    expect(far!.pool!.find('c')).toBe(client.index);
    far!.side = 1;
    const asked = far!.pool!.request('c', client.index!, fleet.clock(far!));
    expect(asked.kind).toBe('pending');
    far!.pool!.take();
    far!.pool!.poll(fleet.clock(far!) + 2500);
    expect(far!.pool!.take().filter(({ kind }) => kind === 'gaveUp' || kind === 'granted')).toEqual([
      { kind: 'gaveUp', ticket: expect.any(Number) },
    ]);
  });
});

const plan = planPool({
  ...{ name: 'p', first: Uint8Array.of(10, 0, 0, 250), last: Uint8Array.of(10, 0, 1, 9) },
  ...{ excluded: [Uint8Array.of(10, 0, 0, 255)], members: ['a'], leaseTimeMs: 60_000 },
});

describe('one member', () => {
  test('places and addresses', () => {
    expect([plan.size, [...plan.excluded]]).toEqual([16, [5]]);
    expect([...addressAt(plan, 6)]).toEqual([10, 0, 1, 0]);
    for (let index = 0; index < 16; index++) expect(indexOf(plan, addressAt(plan, index))).toBe(index);
    for (const other of [Uint8Array.of(10, 0, 0, 249), Uint8Array.of(10, 0, 1, 10), new Uint8Array(16)])
      expect(indexOf(plan, other)).toBeUndefined();
  });

  test('all but the excluded are given, then none; afterwards again', () => {
    const pool = new LeasePool(plan, 'a', 'founding', 0);
    const given = new Set<number>();
    for (let i = 0; i < 16; i++) {
      const index = pool.offer(`c${i}`, undefined, 0);
      if (index === undefined) continue;
      expect(pool.request(`c${i}`, index, 0).kind).toBe('pending');
      given.add(index);
    }
    expect([given.size, given.has(5)]).toEqual([15, false]);
    expect(pool.request('x', 5, 0).kind).toBe('refused');
    expect(pool.request('x', 6, 0).kind).toBe('refused');
    pool.poll(60_000 + marginMs(60_000) - 1);
    expect(pool.offer('x', undefined, 60_000)).toBeUndefined();
    pool.poll(64_000 + marginMs(60_000));
    expect(pool.offer('x', 7, 64_000 + marginMs(60_000))).toBe(7);
  });

  test('a declined address rests, and its client gets another', () => {
    const pool = new LeasePool(plan, 'a', 'founding', 0);
    const index = pool.offer('c', undefined, 0)!;
    pool.request('c', index, 0);
    pool.decline('other', index, 0);
    expect(pool.find('c')).toBe(index);
    pool.decline('c', index, 0);
    expect(pool.offer('c', index, 0)).not.toBe(index);
    pool.poll(599_000);
    expect(pool.record(index)!.state).toBe('declined');
    pool.poll(602_000);
    expect(pool.record(index)!.state).toBe('free');
  });

  test('without its file it gives nothing for the longest lease', () => {
    const pool = new LeasePool(plan, 'a', 'lost', 0);
    pool.poll(60_000);
    expect(pool.offer('c', undefined, 60_000)).toBeUndefined();
    pool.poll(61_000 + marginMs(60_000));
    expect(pool.offer('c', undefined, 61_000 + marginMs(60_000))).toBeDefined();
  });

  test('a restart does not cut that wait short', () => {
    const before = new LeasePool(plan, 'a', 'lost', 0);
    expect(before.unsure(1000)).toBe('lost');
    const pool = new LeasePool(plan, 'a', before.kept(1000), 2000);
    expect(pool.offer('c', undefined, 3000)).toBeUndefined();
    pool.poll(63_000 + marginMs(60_000));
    expect(pool.offer('c', undefined, 63_000 + marginMs(60_000))).toBeDefined();
    expect(pool.unsure(63_000 + marginMs(60_000))).toBeUndefined();
  });

  test('what is kept is there again', () => {
    const pool = new LeasePool(plan, 'a', 'founding', 0);
    pool.request('c', pool.offer('c', 3, 0)!, 0);
    const again = new LeasePool(plan, 'a', JSON.parse(JSON.stringify(pool.kept(10))), 1_000_000);
    expect(again.find('c')).toBe(3);
    expect(again.request('d', 3, 1_000_000).kind).toBe('refused');
  });
});

test('records become one in any order, and ends only later', () => {
  const base: LeaseRecord = {
    ...{ index: 1, generation: 1, count: 0, by: 'a', client: 'c', endMs: 100 },
    state: 'bound',
  };
  const all = [
    base,
    { ...base, count: 1, by: 'b', endMs: 300 },
    { ...base, count: 1, by: 'c', endMs: 200 },
    { ...base, count: 2, by: 'a', endMs: 250 },
  ];
  for (const order of [all, [...all].reverse(), [all[2]!, all[0]!, all[3]!, all[1]!]]) {
    let merged: LeaseRecord | undefined;
    for (const one of order) merged = mergeRecords(merged, one);
    expect(merged).toMatchObject({ count: 2, by: 'a', endMs: 300 });
    expect(mergeRecords(merged, { ...base, endMs: 999 }).endMs).toBe(999);
    expect(mergeRecords(merged, { ...merged!, endMs: 999 })).toBe(merged);
  }
  const free: LeaseRecord = { ...base, generation: 2, state: 'free', client: '', endMs: 0 };
  expect(mergeRecords(base, free)).toBe(free);
  expect(mergeRecords(free, base)).toBe(free);
});

test('what is no message is none', () => {
  const record = { index: 1, generation: 1, count: 0, by: 'a', state: 'bound', client: 'c', leftMs: 5 };
  expect(readDhcpMessage({ kind: 'put', id: 1, record }, 2)).toEqual({ kind: 'put', id: 1, record });
  const wrong: unknown[] = [
    ...[null, 1, 'put', {}, { kind: 'put', id: 1 }, { kind: 'put', id: -1, record }],
    ...[
      { index: 2 },
      { index: -1 },
      { client: '' },
      { state: 'x' },
      { leftMs: -1 },
      { leftMs: Number.NaN },
    ].map((change) => ({ kind: 'put', id: 1, record: { ...record, ...change } })),
    ...[{ kind: 'reclaim', wants: [[9, 1]] }, { kind: 'digest', sums: ['a'] }, { kind: 'ack' }],
    { kind: 'records', records: new Array(200).fill(record), wants: [] },
  ];
  for (const one of wrong) expect(readDhcpMessage(one, 2), JSON.stringify(one)).toBeUndefined();
});

test('one answers first, and each of the others in its turn', () => {
  const names = ['a', 'b', 'c', 'd'];
  const waits = names.map((self) => answerWaitMs('client', self, names)).sort((a, b) => a - b);
  expect(waits).toEqual([400, 600, 800, 1000]);
});
