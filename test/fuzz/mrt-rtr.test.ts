// What comes from caches and out of archives: streams of a cache with bytes changed, cut, repeated or left out, and files
// of routing data spoilt the same way. Whatever it is, it ends in data or in a fault, the table of payloads stays in
// order, and a cache that sends nonsense costs no more than its connection.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { ByteWriter } from '../../src/lib/bytes.ts';
import { Rng } from '../../src/lib/rng.ts';
import { CacheClient } from '../../src/rpki/client.ts';
import { readVrpFile } from '../../src/rpki/vrp-file.ts';
import { VrpTable } from '../../src/rpki/vrp-table.ts';
import { readBgp4mp } from '../../src/wire/mrt/bgp4mp.ts';
import { recordAt } from '../../src/wire/mrt/record.ts';
import { type DumpPeer, readTableDump, writeEntryUpdate } from '../../src/wire/mrt/table-dump.ts';
import { caseCount, seed, spoil } from './cases.ts';

const CASES = Math.min(200_000, caseCount(0.05));

const u32 = (n: number): number[] => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255];

/** A valid answer of a cache, as far as its order goes; payloads few enough to meet again. */
function answer(rng: Rng, version: 0 | 1): number[] {
  const out = [version, 3, 0, 7, ...u32(8)];
  for (let i = rng.below(6); i > 0; i--) {
    const length = rng.below(33);
    const six = rng.below(3) === 0;
    const address = [10 + rng.below(2), rng.below(2), ...new Array<number>(six ? 14 : 2).fill(0)];
    out.push(version, six ? 6 : 4, 0, 0, ...u32(six ? 32 : 20), rng.below(4) === 0 ? 0 : 1, length);
    out.push(Math.min(six ? 128 : 32, length + rng.below(4)), 0, ...address, ...u32(1 + rng.below(3)));
  }
  if (rng.below(5) === 0) out.push(version, 0, 0, 7, ...u32(12), ...u32(rng.below(9)));
  out.push(version, 7, 0, 7, ...u32(version === 0 ? 12 : 24), ...u32(rng.below(9)));
  if (version === 1) out.push(...u32(3600), ...u32(600), ...u32(7200));
  return out;
}

test(`${CASES} streams of a cache: data or a fault, and the table stays in order`, () => {
  const rng = new Rng(seed);
  let synced = 0;
  let faults = 0;
  for (let i = 0; i < CASES; i++) {
    const table = new VrpTable();
    let sent = 0;
    const client = new CacheClient(
      table,
      rng.below(15),
      {},
      { connect: () => {}, close: () => {}, changed: () => {}, send: () => sent++ },
    );
    let now = 1;
    client.start(now);
    for (let round = 0; round < 3; round++) {
      client.connected(now);
      const whole = new Uint8Array(answer(rng, rng.below(4) === 0 ? 0 : 1));
      const stream = rng.below(2) === 0 ? whole : spoil(rng, whole);
      for (let at = 0; at < stream.length; ) {
        const next = Math.min(stream.length, at + 1 + rng.below(40));
        client.received(stream.subarray(at, next), now);
        at = next;
      }
      if (client.state === 'synced') synced++;
      if (client.lastError !== undefined) faults++;
      table.active = client.bit;
      expect(client.vrpCount).toBeLessThanOrEqual(table.size);
      if (client.vrpCount > 0) expect(table.size).toBeGreaterThan(0);
      now = Math.min(client.nextDeadlineMs(), now + 1e9);
      client.expire(now);
    }
    // At most a query, or a report in place of one, for each PDU of eight bytes.
    expect(sent).toBeLessThan(100);
    client.stop();
    while (table.sweep(1000));
    // What an answer that broke off had filled in is not in use by anybody.
    expect(client.vrpCount).toBe(0);
  }
  expect(synced).toBeGreaterThan(CASES / 10);
  expect(faults).toBeGreaterThan(CASES / 10);
});

test('files of payloads, spoilt, are read or refused with a reason', () => {
  const rng = new Rng(seed);
  const text = JSON.stringify({ roas: [{ asn: 'AS65001', prefix: '192.0.2.0/24', maxLength: 24 }] });
  const bytes = new Uint8Array(Buffer.from(text));
  let read = 0;
  let refused = 0;
  for (let i = 0; i < CASES / 4; i++) {
    const file = readVrpFile(Buffer.from(spoil(rng, bytes)).toString('latin1'));
    if (file.kind === 'wrong') {
      expect(file.reason).not.toBe('');
      refused++;
    } else
      for (const vrp of file.vrps) {
        expect(vrp.maxLength).toBeGreaterThanOrEqual(vrp.length);
        read++;
      }
  }
  expect(read).toBeGreaterThan(0);
  expect(refused).toBeGreaterThan(0);
});

test.each(['mrt-ipv4-addpath.gz', 'mrt-ipv6-addpath.gz', 'ris-rrc06.updates.20150401.gz'])(
  '%s, spoilt, is read or a fault',
  (name) => {
    const rng = new Rng(seed);
    const file = gunzipSync(readFileSync(join(import.meta.dirname, '..', 'data', name)));
    const whole = new Uint8Array(file.subarray(0, 3000));
    const out = new ByteWriter(4096);
    let read = 0;
    let broken = 0;
    for (let i = 0; i < CASES / 40; i++) {
      const bytes = spoil(rng, whole);
      let peers: DumpPeer[] = [];
      for (let at = 0; ; ) {
        const record = recordAt(bytes, at);
        if (record?.kind === 'fault') broken++;
        if (record?.kind !== 'record') break;
        expect(record.end).toBeGreaterThan(at);
        const message = readBgp4mp(bytes, record);
        if (message?.kind === 'message') {
          expect(message.start).toBeLessThanOrEqual(message.end);
          read++;
        }
        const found = readTableDump(bytes, record, peers);
        if (found?.kind === 'peers') peers = found.peers;
        if (found?.kind === 'routes')
          for (const entry of found.entries) {
            expect(entry.end).toBeLessThanOrEqual(record.end);
            read++;
            writeEntryUpdate(out.reset(), bytes, found, entry);
          }
        at = record.end;
      }
    }
    expect(read).toBeGreaterThan(0);
    expect(broken).toBeGreaterThan(0);
  },
);
