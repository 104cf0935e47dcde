// What the RIB interns: attribute sets, next hops and sets of next hops, each against a plain Map.

import { expect, test } from 'vitest';
import { Rng } from '../lib/rng.ts';
import {
  AttributePool,
  CLUSTER_LOOP,
  HAS_MED,
  NO_ADVERTISE,
  NO_EXPORT,
  ORIGINATOR_LOOP,
} from './attribute-pool.ts';
import { LOCAL_SET, NextHopSets, NO_SET } from './next-hop-sets.ts';
import { NEXT_HOP_SELF, NextHopTable } from './next-hop-table.ts';
import { attributeBytes } from './sample-attributes.test-data.ts';

const identity = { asn: 65000, routerId: 7, clusterId: 8 };

test('attribute sets: equal bytes are one id, references count, blocks of every size are used again', () => {
  const rng = new Rng(3);
  const pool = new AttributePool(identity);
  const model = new Map<string, { id: number; refs: number; birth: number; bytes: Uint8Array }>();
  // Few contents, of lengths from a few bytes to more than a page holds often, so that they meet again.
  const contents = Array.from({ length: 300 }, (_, i) => {
    const communities = Array.from({ length: i % 7 === 0 ? rng.below(16_000) : rng.below(20) }, () =>
      rng.u32(),
    );
    return attributeBytes({ asPath: [i], communities });
  });
  for (let i = 0; i < 20_000; i++) {
    const bytes = rng.pick(contents);
    const key = `${contents.indexOf(bytes)}`;
    const known = model.get(key);
    if (rng.chance(0.5)) {
      const id = rng.chance(0.5)
        ? pool.intern(bytes, 0, bytes.length)
        : pool.internOpaque(bytes, 0, bytes.length);
      if (known !== undefined) {
        expect(id).toBe(known.id);
        known.refs++;
      } else model.set(key, { id, refs: 1, birth: pool.birth[id]!, bytes });
    } else if (known !== undefined) {
      pool.release(known.id);
      if (--known.refs === 0) {
        model.delete(key);
        expect(pool.isBorn(known.id, known.birth)).toBe(false);
      }
    }
    expect(pool.size).toBe(model.size);
  }
  for (const { id, refs, birth, bytes } of model.values()) {
    expect(pool.refs[id]).toBe(refs);
    expect(pool.isBorn(id, birth)).toBe(true);
    expect(Buffer.compare(pool.copyOf(id), bytes)).toBe(0);
    pool.release(id, refs);
  }
  expect(pool.size).toBe(0);
});

test('what the decision reads of a set', () => {
  const pool = new AttributePool(identity);
  const read = (sample: Parameters<typeof attributeBytes>[0]) => {
    const bytes = attributeBytes(sample);
    const id = pool.intern(bytes, 0, bytes.length);
    const {
      localPref,
      med,
      firstAs,
      asPathLength,
      originatorId,
      clusterListLength,
      localAsCount,
      origin,
      flags,
    } = pool;
    return {
      numbers: [
        localPref,
        med,
        firstAs,
        asPathLength,
        originatorId,
        clusterListLength,
        localAsCount,
        origin,
      ].map((column) => column[id]),
      has: (flag: number) => (flags[id]! & flag) !== 0,
    };
  };
  const plain = read({ asPath: [9, 65000, [1, 2], 65000], origin: 2 });
  expect(plain.numbers).toEqual([100, 0, 9, 4, 0, 0, 2, 2]);
  expect([HAS_MED, NO_EXPORT, NO_ADVERTISE, ORIGINATOR_LOOP].map(plain.has)).toEqual([
    false,
    false,
    false,
    false,
  ]);
  const full = read({
    asPath: [[1, 2], 3],
    med: 5,
    localPref: 70,
    communities: [1, 0xffff_ff02, 0xffff_ff01],
    originatorId: 7,
    clusterList: [1, 8],
  });
  expect(full.numbers).toEqual([70, 5, 0, 2, 7, 2, 0, 0]);
  expect([HAS_MED, NO_EXPORT, NO_ADVERTISE, ORIGINATOR_LOOP, CLUSTER_LOOP].map(full.has)).toEqual(
    Array(5).fill(true),
  );
  pool.setIdentity({ asn: 9, routerId: 1, clusterId: 2 });
  expect(read({ asPath: [9, 65000, [1, 2], 65000], origin: 2 }).numbers).toEqual([100, 0, 9, 4, 0, 0, 1, 2]);
});

test('a set that was only sent is parsed when it is received', () => {
  const pool = new AttributePool(identity);
  const bytes = attributeBytes({ asPath: [4, 5], localPref: 300 });
  const id = pool.internOpaque(bytes, 0, bytes.length);
  expect(pool.intern(bytes, 0, bytes.length)).toBe(id);
  expect([pool.localPref[id], pool.asPathLength[id]]).toEqual([300, 2]);
});

test('releasing a set that nobody holds is a bug', () => {
  const pool = new AttributePool(identity);
  const id = pool.intern(attributeBytes({}), 0, 4);
  pool.release(id);
  expect(() => pool.release(id)).toThrow(/more often/);
});

test('next hops and their sets: ids by content, references both ways, and word of who came and went', () => {
  const rng = new Rng(5);
  const hops = new NextHopTable();
  const sets = new NextHopSets(hops);
  const idOf = (n: number): number =>
    hops.intern(Uint8Array.from([10, 0, n >> 8, n & 255]), 0, 4, n % 3 === 0 ? 7 : 0);
  const ids = Array.from({ length: 500 }, (_, n) => idOf(n));
  expect(new Set(ids).size).toBe(500);
  expect(ids.includes(NEXT_HOP_SELF)).toBe(false);
  const touched: [number, boolean][] = [];
  hops.drainTouched((id, inUse) => touched.push([id, inUse]));
  expect(touched).toEqual(ids.map((id) => [id, true]));
  const model = new Map<string, { set: number; refs: number }>();
  for (let i = 0; i < 5000; i++) {
    const members = [...new Set(Array.from({ length: rng.between(1, 4) }, () => rng.pick(ids.slice(0, 8))))];
    const list = Uint32Array.from(members).sort();
    const known = model.get(`${list}`);
    if (rng.chance(0.6)) {
      const set = sets.intern(list, list.length);
      if (known !== undefined) expect(set).toBe(known.set);
      model.set(`${list}`, { set, refs: (known?.refs ?? 0) + 1 });
      expect([...sets.members(set)]).toEqual([...list]);
    } else if (known !== undefined) {
      sets.release(known.set);
      if (--known.refs === 0) model.delete(`${list}`);
    }
    expect(sets.size).toBe(model.size);
  }
  // The sets keep their members alive.
  for (const id of ids) hops.release(id);
  expect(hops.size).toBe(new Set([...model.values()].flatMap(({ set }) => [...sets.members(set)])).size);
  for (const { set, refs } of model.values()) sets.release(set, refs);
  expect([hops.size, sets.size]).toEqual([0, 0]);
  const gone: boolean[] = [];
  hops.drainTouched((_id, inUse) => gone.push(inUse));
  expect(gone).toEqual(Array(500).fill(false));
});

test('no next hop is no route, and a set with this router is this router', () => {
  const hops = new NextHopTable();
  const sets = new NextHopSets(hops);
  const other = hops.intern(Uint8Array.from([1, 2, 3, 4]), 0, 4, 0);
  expect(sets.intern(new Uint32Array(1), 0)).toBe(NO_SET);
  expect(sets.intern(Uint32Array.from([NEXT_HOP_SELF, other]), 2)).toBe(LOCAL_SET);
  expect(hops.refs[other]).toBe(1);
  expect(hops.setState(other, true, 5)).toBe(true);
  expect(hops.setState(other, true, 5)).toBe(false);
});
