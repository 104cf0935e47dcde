// Every message and every route of the recorded data through the decoders: counts as the collectors' own tools give them,
// no fault in what real speakers sent, and attributes that survive being written and read again, towards speakers of
// 4-octet and of 2-octet ASNs.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { ByteWriter, readU16 } from '../../src/lib/bytes.ts';
import { formatIp } from '../../src/net/ip.ts';
import { IPV4, IPV6 } from '../../src/wire/bgp/family.ts';
import { HEADER_LENGTH, UPDATE } from '../../src/wire/bgp/header.ts';
import { UpdateDecoder } from '../../src/wire/bgp/update.ts';
import type { UpdateContext } from '../../src/wire/bgp/update-context.ts';
import { UpdateWriter } from '../../src/wire/bgp/update-writer.ts';
import { readBgp4mp } from '../../src/wire/mrt/bgp4mp.ts';
import { BGP4MP, type MrtRecord, recordAt } from '../../src/wire/mrt/record.ts';
import { type DumpPeer, readTableDump, writeEntryUpdate } from '../../src/wire/mrt/table-dump.ts';

const load = (name: string): Uint8Array =>
  gunzipSync(readFileSync(join(import.meta.dirname, '..', 'data', name)));

function* recordsOf(bytes: Uint8Array): Generator<MrtRecord> {
  for (let at = 0; ; ) {
    const record = recordAt(bytes, at);
    if (record === undefined) return;
    if (record.kind === 'fault') throw new Error(`${record.at}: ${record.reason}`);
    yield record;
    at = record.end;
  }
}

const both = (1 << IPV4) | (1 << IPV6);
const context = (asn4: boolean, addPath: boolean, internal: boolean): UpdateContext => {
  return { asn4, internal, families: both, addPath: addPath ? both : 0 };
};

/** Decodes messages, counts faults, and sends whatever is announced through the writer and the decoder once more. */
class Reader {
  readonly faults: string[] = [];
  updates = 0;
  announced = 0;
  withdrawn = 0;
  readonly #first = new UpdateDecoder();
  readonly #second = new UpdateDecoder();
  readonly #writer = new UpdateWriter();
  readonly #internal: boolean;

  /** `internal`: with LOCAL_PREF, as the dump of a router's own table has it. */
  constructor(internal = false) {
    this.#internal = internal;
  }

  message(bytes: Uint8Array, start: number, end: number, asn4: boolean, addPath: boolean): void {
    expect(readU16(bytes, start + 16)).toBe(end - start);
    if (bytes[start + 18] !== UPDATE) return;
    this.updates++;
    const view = this.#first.decode(
      bytes,
      start + HEADER_LENGTH,
      end,
      context(asn4, addPath, this.#internal),
    );
    for (const fault of view.faults) this.faults.push(fault.reason);
    for (let i = 0; i < view.sectionCount; i++) {
      const count = countPrefixes(bytes, view.sectionStart[i]!, view.sectionEnd[i]!, addPath);
      if (view.sectionReach[i] === 1) this.announced += count;
      else this.withdrawn += count;
    }
    const reach = view.sectionReach.subarray(0, view.sectionCount).indexOf(1);
    if (reach < 0) return;
    for (const wide of [true, false]) {
      this.#writer.begin(65535, wide);
      const hop = view.nextHopStart[reach]!;
      const length = view.nextHopLength[reach]!;
      const family = view.sectionFamily[reach]!;
      expect(
        this.#writer.beginReach(family, view.attrs, 0, view.attrsLength, view.nextHop, hop, length),
      ).toBe(true);
      if (family === IPV4) this.#writer.addIp4(0x0a000000, 8);
      else this.#writer.addIp6(0x20010db8, 0, 0, 0, 32);
      this.#writer.finish();
      const again = this.#second.decode(
        this.#writer.bytes,
        HEADER_LENGTH,
        this.#writer.length,
        context(wide, false, this.#internal),
      );
      expect(again.faults).toEqual([]);
      expect(hex(again.attrs, again.attrsLength)).toBe(hex(view.attrs, view.attrsLength));
      const at = again.nextHopStart[0]!;
      expect(formatIp(again.nextHop, at, Math.min(again.nextHopLength[0]!, 16))).toBe(
        formatIp(view.nextHop, hop, Math.min(length, 16)),
      );
    }
  }
}

const hex = (bytes: Uint8Array, length: number): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, length).toString('hex');

function countPrefixes(bytes: Uint8Array, start: number, end: number, addPath: boolean): number {
  let count = 0;
  for (let at = start; at < end; count++) {
    if (addPath) at += 4;
    at += 1 + ((bytes[at]! + 7) >>> 3);
  }
  return count;
}

test.each([
  ['ris-updates.20100722.2015.gz', 1364, 789, 40],
  ['ris-rrc06.updates.20150401.gz', 791, 0, 4],
  ['routeviews-jinx.updates.20150401.gz', 1756, 0, 0],
])('%s: every message is read without a fault', (name, wide, narrow, changes) => {
  const bytes = load(name);
  const reader = new Reader();
  const seen = { wide: 0, narrow: 0, changes: 0 };
  for (const record of recordsOf(bytes)) {
    expect(record.type).toBe(BGP4MP);
    const found = readBgp4mp(bytes, record);
    if (found?.kind === 'message') {
      seen[found.asn4 ? 'wide' : 'narrow']++;
      reader.message(bytes, found.start, found.end, found.asn4, found.addPath);
    } else if (found?.kind === 'stateChange') seen.changes++;
    else expect.unreachable(found?.reason ?? `subtype ${record.subtype}`);
  }
  expect(seen).toEqual({ wide, narrow, changes });
  expect(reader.faults).toEqual([]);
  expect(reader.announced).toBeGreaterThan(100);
});

test('the table of 2002: 115,521 routes of 36 peers, 112,988 prefixes, each attribute set read and written', () => {
  const bytes = load('ris-bview.20020722.2337.gz');
  const reader = new Reader();
  const prefixes = new Set<string>();
  const peers = new Set<string>();
  const sets = new Set<string>();
  const out = new ByteWriter(4096);
  let routes = 0;
  for (const record of recordsOf(bytes)) {
    const found = readTableDump(bytes, record, []);
    if (found?.kind !== 'routes') return expect.unreachable();
    for (const entry of found.entries) {
      routes++;
      peers.add(`${formatIp(entry.peer.address)} ${entry.peer.asn}`);
      // A set of attributes that has been read need not be read again.
      const set = Buffer.from(bytes.buffer, bytes.byteOffset + entry.start, entry.end - entry.start).toString(
        'latin1',
      );
      if (!sets.has(set)) {
        sets.add(set);
        expect(writeEntryUpdate(out.reset(), bytes, found, entry)).toBe(true);
        reader.message(out.bytes, 0, out.length, found.asn4, found.addPath);
      }
    }
    prefixes.add(`${formatIp(found.address)}/${found.length}`);
  }
  expect([routes, peers.size, prefixes.size]).toEqual([115_521, 36, 112_988]);
  // Somebody aggregated as AS 0 in 2002, which RFC 7607 has us pass over: the attribute goes, the route stays.
  expect(reader.faults).toEqual(['AGGREGATOR has AS 0']);
  expect(reader.announced).toBe(sets.size);
  expect(sets.size).toBeGreaterThan(10_000);
});

test.each([
  // Routes of the router's own have no next hop, and for IPv6 its writer left them all out.
  ['mrt-ipv4-addpath.gz', 1, true],
  ['mrt-ipv6-addpath.gz', 2, false],
])('%s: TABLE_DUMP_V2 with path identifiers', (name, afi, hasNextHops) => {
  const bytes = load(name);
  const reader = new Reader(true);
  const out = new ByteWriter(4096);
  let peers: DumpPeer[] = [];
  let records = 0;
  let entries = 0;
  let without = 0;
  const pathIds = new Set<number>();
  for (const record of recordsOf(bytes)) {
    records++;
    const found = readTableDump(bytes, record, peers);
    if (found?.kind === 'peers') peers = found.peers;
    else if (found?.kind === 'routes') {
      expect([found.afi, found.safi, found.addPath]).toEqual([afi, 1, true]);
      for (const entry of found.entries) {
        entries++;
        pathIds.add(entry.pathId);
        const written = writeEntryUpdate(out.reset(), bytes, found, entry);
        if (written) reader.message(out.bytes, 0, out.length, found.asn4, found.addPath);
        else without++;
      }
    } else expect.unreachable(found?.reason ?? `subtype ${record.subtype}`);
  }
  // The index of peers, and 31 prefixes.
  expect(records).toBe(32);
  expect(peers.length).toBeGreaterThan(0);
  expect(reader.faults).toEqual([]);
  expect([entries, reader.announced, without]).toEqual(hasNextHops ? [62, 60, 2] : [62, 0, 62]);
  expect(pathIds.size).toBeGreaterThan(1);
});

test('what is cut off anywhere is a fault or less, never an exception or a read beyond the end', () => {
  const bytes = load('mrt-ipv6-addpath.gz');
  for (let length = 0; length < Math.min(bytes.length, 1500); length++) {
    const cut = bytes.slice(0, length);
    let peers: DumpPeer[] = [];
    for (let at = 0; ; ) {
      const record = recordAt(cut, at);
      if (record?.kind !== 'record') break;
      const found = readTableDump(cut, record, peers);
      if (found?.kind === 'peers') peers = found.peers;
      at = record.end;
    }
    // The same record, told shorter than it is.
    const record = recordAt(bytes, 0);
    if (record?.kind !== 'record') return expect.unreachable();
    const short = { ...record, end: Math.min(record.end, record.start + length) };
    const found = readTableDump(bytes, short, []);
    expect(found?.kind).toBe(short.end < record.end ? 'fault' : 'peers');
  }
});
