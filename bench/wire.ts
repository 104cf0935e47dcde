// What the wire costs: decoding UPDATEs of a full table's shape, walking their NLRI, and packing the same routes
// again. Run with `npx tsx bench/wire.ts`. Prints nanoseconds an UPDATE and a prefix, medians of several rounds.

import { Rng } from '../src/lib/rng.ts';
import { encodeAttributes } from '../src/wire/bgp/attribute/describe.ts';
import { IPV4, IPV6 } from '../src/wire/bgp/family.ts';
import { frameLength, HEADER_LENGTH, MESSAGE_LENGTH_MAX } from '../src/wire/bgp/header.ts';
import { ip4At, ip6WordAt } from '../src/wire/bgp/nlri/ip.ts';
import { type UpdateContext, UpdateDecoder } from '../src/wire/bgp/update.ts';
import { UpdateWriter } from '../src/wire/bgp/update-writer.ts';

const UPDATES = 160_000;
const PREFIXES_PER_UPDATE = 6;
const ROUNDS = 7;
const ctx: UpdateContext = { asn4: true, internal: false, families: 3, addPath: 0 };

interface Workload {
  family: number;
  attrs: Uint8Array[];
  words: Uint32Array;
  lengths: Uint8Array;
}

function workload(family: number, updates: number): Workload {
  const rng = new Rng(1);
  const attrs: Uint8Array[] = [];
  const count = updates * PREFIXES_PER_UPDATE;
  const words = new Uint32Array(count * 4);
  const lengths = new Uint8Array(count);
  for (let i = 0; i < updates; i++) {
    const asPath = Array.from({ length: rng.between(2, 6) }, () => 64512 + rng.below(200_000));
    const communities = Array.from({ length: rng.between(2, 5) }, () => `65000:${rng.below(60_000)}`);
    attrs.push(encodeAttributes({ origin: 'igp', asPath, med: rng.below(1000), communities }));
  }
  for (let i = 0; i < count; i++) {
    const length = family === IPV4 ? (rng.chance(0.61) ? 24 : rng.between(16, 23)) : rng.between(32, 48);
    lengths[i] = length;
    words[4 * i] = family === IPV4 ? (rng.u32() & (-1 << (32 - length))) >>> 0 : rng.u32();
    words[4 * i + 1] = family === IPV4 || length === 32 ? 0 : (rng.u32() & (-1 << (64 - length))) >>> 0;
  }
  return { family, attrs, words, lengths };
}

// Writes all routes into chunks and returns copies of them.
function write(load: Workload, writer: UpdateWriter, keep: boolean): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  const nextHop = new Uint8Array(16).fill(0x20);
  let i = 0;
  writer.begin(MESSAGE_LENGTH_MAX, true);
  for (const attrs of load.attrs) {
    writer.beginReach(load.family, attrs, 0, attrs.length, nextHop, 0, load.family === IPV4 ? 4 : 16);
    for (let k = 0; k < PREFIXES_PER_UPDATE; ) {
      const at = 4 * i;
      const w = load.words;
      const added =
        load.family === IPV4
          ? writer.addIp4(w[at]!, load.lengths[i]!)
          : writer.addIp6(w[at]!, w[at + 1]!, w[at + 2]!, w[at + 3]!, load.lengths[i]!);
      if (added) {
        i++;
        k++;
        continue;
      }
      if (keep) chunks.push(writer.bytes.slice(0, writer.length));
      writer.reset();
    }
  }
  writer.finish();
  if (keep) chunks.push(writer.bytes.slice(0, writer.length));
  return chunks;
}

let sink = 0;

function decode(chunks: readonly Uint8Array[], decoder: UpdateDecoder, walk: boolean): number {
  let updates = 0;
  for (const bytes of chunks) {
    for (let at = 0; at < bytes.length; ) {
      const length = frameLength(bytes, at, bytes.length, MESSAGE_LENGTH_MAX);
      const view = decoder.decode(bytes, at + HEADER_LENGTH, at + length, ctx);
      if (view.fault !== undefined) throw new Error(view.fault.reason);
      updates++;
      if (walk) {
        for (let i = 0; i < view.sectionCount; i++) {
          const end = view.sectionEnd[i]!;
          const four = view.sectionFamily[i] === IPV4;
          for (let p = view.sectionStart[i]!; p < end; p += 1 + ((bytes[p]! + 7) >>> 3)) {
            sink ^= four ? ip4At(bytes, p) : ip6WordAt(bytes, p, 0) ^ ip6WordAt(bytes, p, 1);
          }
        }
      }
      at += length;
    }
  }
  return updates;
}

function median(run: () => void): number {
  const times: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    const start = process.cpuUsage().user;
    run();
    times.push((process.cpuUsage().user - start) * 1000);
  }
  return times.sort((a, b) => a - b)[ROUNDS >> 1]!;
}

for (const [name, family] of [
  ['ipv4', IPV4],
  ['ipv6', IPV6],
] as const) {
  const load = workload(family, UPDATES);
  const writer = new UpdateWriter();
  const chunks = write(load, writer, true);
  const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const attrBytes = load.attrs.reduce((sum, attrs) => sum + attrs.length, 0) / UPDATES;
  const decoder = new UpdateDecoder();
  const updates = decode(chunks, decoder, true);
  const prefixes = UPDATES * PREFIXES_PER_UPDATE;
  const bare = median(() => decode(chunks, decoder, false));
  const walked = median(() => decode(chunks, decoder, true));
  const written = median(() => write(load, writer, false));
  const ns = (total: number, count: number): string => (total / count).toFixed(1).padStart(7);
  console.log(
    `${name}: ${updates} UPDATEs, ${prefixes} prefixes, ${attrBytes.toFixed(0)} B attributes, ${bytes} B`,
  );
  console.log(`  decode           ${ns(bare, updates)} ns/UPDATE  ${(bare / 1e6).toFixed(0)} ms`);
  console.log(`  decode and walk  ${ns(walked, prefixes)} ns/prefix  ${(walked / 1e6).toFixed(0)} ms`);
  console.log(`  write            ${ns(written, prefixes)} ns/prefix  ${(written / 1e6).toFixed(0)} ms`);
}
if (sink === 1) console.log(sink);
