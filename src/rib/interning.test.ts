// What the RIB interns: attribute sets, next hops and sets of next hops, each against a plain Map.

import { expect, test } from 'vitest';
import { HASH_KEY_WORDS, makeHashKey } from '../lib/hash-key.ts';
import { Rng } from '../lib/rng.ts';
import { IPV4 } from '../wire/bgp/family.ts';
import {
  AttributePool,
  CLUSTER_LOOP,
  HAS_MED,
  NO_ADVERTISE,
  NO_EXPORT,
  ORIGINATOR_LOOP,
} from './attribute-pool.ts';
import { LOCAL_SET, NextHopSets, NO_SET } from './next-hop-sets.ts';
import { FIRST_NEXT_HOP, NEXT_HOP_SELF, NextHopTable } from './next-hop-table.ts';
import { PeerTable } from './peer-table.ts';
import { Rib } from './rib.ts';
import { attributeBytes } from './sample-attributes.test-data.ts';

const identity = { asn: 65000, routerId: 7, clusterId: 8 };

const random = new Rng(23);
const randomKeys = Array.from({ length: 8 }, () =>
  makeHashKey(Uint32Array.from({ length: HASH_KEY_WORDS }, () => random.u32())),
);

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

// What a peer could do when the hashes had no key. The unkeyed ones are here to show that the families are real.

const CRAFTED = 6000;

function unkeyedHash(bytes: Uint8Array): number {
  let h = bytes.length;
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < bytes.length; at += 4) {
    h = Math.imul(h ^ view.getInt32(at, true), 0x9e37_79b1);
    h ^= h >>> 15;
  }
  return h;
}

/** Contents that had one hash: a top bit is flipped, and its trace in the next word taken back, in 13 places. */
function craftedSets(trace: number): Uint8Array[] {
  return Array.from({ length: CRAFTED }, (_, n) => {
    const bytes = new Uint8Array(13 * 8);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < 13; i++) {
      const flipped = (n >> i) & 1;
      view.setUint32(i * 8, (0x0102_0304 * (i + 1)) ^ (flipped << 31), true);
      view.setUint32(i * 8 + 4, (0x0506_0708 * (i + 1)) ^ (flipped === 1 ? trace : 0), true);
    }
    return bytes;
  });
}

function stepsOfSets(contents: readonly Uint8Array[], key?: (typeof randomKeys)[number]): number {
  const pool = new AttributePool(identity, key);
  const ids = contents.map((bytes) => pool.internOpaque(bytes, 0, bytes.length));
  expect(ids).toEqual(contents.map((_, i) => i + 1));
  return pool.searchSteps;
}

test('with a random key, crafted attribute sets are found as fast as random ones', () => {
  const rng = new Rng(4);
  const usual = Array.from({ length: CRAFTED }, () => Uint8Array.from({ length: 104 }, () => rng.below(256)));
  const crafted = craftedSets(0x8001_0000);
  expect(new Set(crafted.map(unkeyedHash)).size).toBe(1);
  const families = [crafted, craftedSets(0x8000_8000), craftedSets(0x8000_0000), craftedSets(0x0001_0000)];
  for (const key of randomKeys) {
    const limit = stepsOfSets(usual, key) * 2;
    for (const family of families) expect(stepsOfSets(family, key)).toBeLessThan(limit);
  }
  // Without a key it is the same each time.
  expect(stepsOfSets(crafted)).toBe(stepsOfSets(crafted));
  expect(new Set(randomKeys.map((key) => stepsOfSets(crafted, key))).size).toBeGreaterThan(1);
});

test('with a random key, crafted next hops and sets of them are found as fast as random ones', () => {
  const unkeyed = (address: number): number => {
    let h = Math.imul(4, 0x85eb_ca6b);
    for (let shift = 24; shift >= 0; shift -= 8) h = Math.imul(h ^ ((address >>> shift) & 255), 0x0100_0193);
    h = Math.imul(h ^ (h >>> 15), 0x9e37_79b1);
    return h ^ (h >>> 13);
  };
  const crafted: number[] = [];
  for (let address = 1 << 24; crafted.length < 1000; address++)
    if ((unkeyed(address) & 0xfff) === 0) crafted.push(address);
  const rng = new Rng(6);
  const usual = Array.from({ length: 1000 }, () => rng.u32());
  for (const key of randomKeys) {
    const steps = [usual, crafted].map((addresses) => {
      const hops = new NextHopTable(key);
      const view = new DataView(new ArrayBuffer(4));
      const ids = addresses.map((address) => {
        view.setUint32(0, address);
        return hops.intern(new Uint8Array(view.buffer), 0, 4, 0);
      });
      expect(ids).toEqual(addresses.map((_, i) => i + FIRST_NEXT_HOP));
      const sets = new NextHopSets(hops, key);
      for (const id of ids) sets.intern(Uint32Array.of(id), 1);
      for (let i = 1; i < 1000; i++) sets.intern(Uint32Array.of(ids[i - 1]!, ids[i]!), 2);
      // Random places of a table that is an eighth full: 0.1 steps an id.
      expect(sets.searchSteps).toBeLessThan(0.4 * 1999);
      return hops.searchSteps;
    });
    expect(steps[1]).toBeLessThan(2 * steps[0]! + 100);
  }
});

test('a RIB searches its prefixes, and sets of its own, by the key that it is given', () => {
  const steps = [undefined, ...randomKeys].map((key) => {
    const pool = new AttributePool(identity, key);
    const hops = new NextHopTable(key);
    const rib = new Rib(IPV4, pool, hops, new PeerTable(), {}, undefined, key);
    for (let i = 0; i < 2000; i++) rib.prefixes.add4((i << 8) >>> 0, 24);
    for (let i = 1; i < 2000; i++) rib.sets.intern(Uint32Array.of(i), 1);
    return [rib.table.searchSteps, rib.sets.searchSteps];
  });
  for (const column of [0, 1])
    expect(new Set(steps.map((pair) => pair[column])).size).toBeGreaterThan(randomKeys.length / 2);
});
