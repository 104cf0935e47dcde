// The RIB alone, in one process and without sockets: a table decoded, interned, announced, decided, exported and
// packed, then withdrawn. Prints nanoseconds a prefix for each part and the memory. `npm run bench -- rib [count]`.

import { AttributePool } from '../src/rib/attribute-pool.ts';
import { NextHopTable } from '../src/rib/next-hop-table.ts';
import { PeerTable } from '../src/rib/peer-table.ts';
import { Rib } from '../src/rib/rib.ts';
import { UpdateGroup } from '../src/rib/update-group.ts';
import { verifyGroup, verifyRib } from '../src/rib/verify.ts';
import { IPV4 } from '../src/wire/bgp/family.ts';
import { UpdateDecoder } from '../src/wire/bgp/update.ts';
import { makeWorkload, type Workload, wholeMessage } from './workload.ts';

const LOCAL_ASN = 65000;

interface Machine {
  pool: AttributePool;
  nextHops: NextHopTable;
  rib: Rib;
  group: UpdateGroup;
  from: number;
  bytesOut: () => number;
}

function makeMachine(): Machine {
  const pool = new AttributePool({ asn: LOCAL_ASN, routerId: 1, clusterId: 1 });
  const nextHops = new NextHopTable();
  const peers = new PeerTable();
  const rib = new Rib(IPV4, pool, nextHops, peers);
  const peer = (n: number): number =>
    peers.add({ kind: 'external', asn: 65000 + n, bgpId: n, address: new Uint8Array([10, 0, 0, n]) });
  let bytesOut = 0;
  const group = new UpdateGroup(
    rib,
    {
      kind: 'external',
      localAsn: LOCAL_ASN,
      rrClients: false,
      clusterId: 1,
      nextHopSelf: 'never',
      nextHopLength: 4,
      asn4: true,
      maxMessage: 4096,
    },
    undefined,
    {
      send: (_member, bytes) => {
        bytesOut += bytes.length;
      },
      dumped: () => {},
    },
  );
  const from = peer(1);
  group.join(peer(2), new Uint8Array([10, 0, 0, 9]));
  return { pool, nextHops, rib, group, from, bytesOut: () => bytesOut };
}

/** Times of the parts in ms, by name. */
type Parts = Record<'decode' | 'store' | 'decide' | 'export', number>;

/** Plays the chunks as a daemon would: a chunk is what one read of a socket gives. */
function play(machine: Machine, chunks: readonly Uint8Array[]): Parts {
  const { pool, nextHops, rib, group, from } = machine;
  const decoder = new UpdateDecoder();
  const context = { asn4: true, internal: false, families: 1 << IPV4, addPath: 0 };
  const parts: Parts = { decode: 0, store: 0, decide: 0, export: 0 };
  for (const chunk of chunks) {
    let start = performance.now();
    for (let at = 0; at < chunk.length; ) {
      const end = at + wholeMessage(chunk, at, chunk.length);
      decoder.decode(chunk, at + 19, end, context);
      at = end;
    }
    parts.decode += performance.now() - start;
    start = performance.now();
    for (let at = 0; at < chunk.length; ) {
      const end = at + wholeMessage(chunk, at, chunk.length);
      const view = decoder.decode(chunk, at + 19, end, context);
      const attrId = view.attrsLength > 0 ? pool.intern(view.attrs, 0, view.attrsLength) : 0;
      for (let i = 0; i < view.sectionCount; i++) {
        if (view.sectionReach[i] === 0) {
          rib.withdraw(from, chunk, view.sectionStart[i]!, view.sectionEnd[i]!, false);
          continue;
        }
        const hop = nextHops.intern(view.nextHop, view.nextHopStart[i]!, view.nextHopLength[i]!, 0);
        if (nextHops.setState(hop, true, 0)) rib.nextHopChanged(hop);
        rib.announce(from, chunk, view.sectionStart[i]!, view.sectionEnd[i]!, false, attrId, hop);
        nextHops.release(hop);
      }
      if (attrId !== 0) pool.release(attrId);
      at = end;
    }
    parts.store += performance.now() - start;
    start = performance.now();
    rib.work(8192);
    rib.decide(1 << 20);
    for (let i = 0; i < rib.changes.count; i++) group.enqueue(rib.changes.ids[i]!);
    parts.decide += performance.now() - start;
    start = performance.now();
    while (group.flush(1 << 16));
    parts.export += performance.now() - start;
  }
  // The first pass over the messages is there to be subtracted: it is the decoder's share.
  parts.store -= parts.decode;
  return parts;
}

const megabytes = (): number => Math.round(process.memoryUsage().rss / 1e6);

function report(name: string, parts: Parts, count: number): void {
  const total = parts.decode + parts.store + parts.decide + parts.export;
  const nanoseconds = Object.entries(parts).map(([part, ms]) => `${part} ${((ms * 1e6) / count).toFixed(0)}`);
  process.stdout.write(
    `${name.padEnd(9)} ${total.toFixed(0).padStart(5)} ms  ns a prefix: ${nanoseconds.join('  ')}\n`,
  );
}

function round(workload: Workload): void {
  const machine = makeMachine();
  const before = megabytes();
  const started = performance.now();
  report('announce', play(machine, workload.announce), workload.count);
  const after = megabytes();
  report('again', play(machine, workload.announce), workload.count);
  const { rib, group, pool } = machine;
  if (process.argv.includes('--verify')) {
    const wrong = [...verifyRib(rib), ...verifyGroup(group)];
    process.stdout.write(wrong.length === 0 ? 'verified\n' : `${wrong.join('\n')}\n`);
  }
  const state = `${rib.routeCount} routes, ${pool.size} sets, ${machine.bytesOut()} bytes out`;
  report('withdraw', play(machine, workload.withdraw), workload.count);
  rib.decide(0);
  process.stdout.write(
    `memory ${before} -> ${after} MB (pool ${Math.round(pool.reservedBytes / 1e6)} MB reserved); ${state}; ` +
      `left ${rib.table.size} prefixes, ${pool.size} sets; ${(performance.now() - started).toFixed(0)} ms in all\n\n`,
  );
}

const count = Number(process.argv.slice(2).find((argument) => /^\d+$/.test(argument)) ?? 1_000_000);
const workload = makeWorkload(count, { asn: 65001, nextHop: [10, 99, 0, 2] });
const bytes = workload.announce.reduce((sum, chunk) => sum + chunk.length, 0);
process.stdout.write(`${count} prefixes in ${workload.sets} sets, ${(bytes / 1e6).toFixed(1)} MB\n\n`);
for (let i = 0; i < 3; i++) round(workload);
