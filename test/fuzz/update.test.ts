// Fuzzing the UPDATE decoder: it never throws, every fault is classified and has its effect, every section can be
// walked without checks, attributes are canonical, and what decodes without a fault is written and read the same.
import { expect, test } from 'vitest';
import { ByteWriter } from '../../src/lib/bytes.ts';
import { Rng } from '../../src/lib/rng.ts';
import { AS_CONFED_SEQUENCE } from '../../src/wire/bgp/attribute/as-path.ts';
import { findAttribute, findAttributeEnd } from '../../src/wire/bgp/attribute/canonical.ts';
import { describeAttributes, encodeAttributes } from '../../src/wire/bgp/attribute/describe.ts';
import { IPV4 } from '../../src/wire/bgp/family.ts';
import { EXTENDED_MESSAGE_LENGTH_MAX, HEADER_LENGTH } from '../../src/wire/bgp/header.ts';
import { ip4At, ip6WordAt, pathIdAt } from '../../src/wire/bgp/nlri/ip.ts';
import { nlriCodecs } from '../../src/wire/bgp/nlri/opaque.ts';
import { type UpdateContext, UpdateDecoder, type UpdateView } from '../../src/wire/bgp/update.ts';
import { UpdateWriter } from '../../src/wire/bgp/update-writer.ts';
import { concat, golden, hexOf } from '../golden/build.ts';
import { caseCount, makeUpdate, randomBytes, seed, spoil } from './cases.ts';

function must(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}

function checkFault(view: UpdateView): void {
  const fault = view.fault;
  must((fault === undefined) === (view.faults.length === 0), 'a fault without the strongest, or the reverse');
  if (fault === undefined) return;
  must(fault.code === 3 && fault.subcode >= 1 && fault.subcode <= 11, 'an UPDATE fault has another code');
  must(['discard', 'withdraw', 'disable', 'reset'].includes(fault.disposition), 'no disposition');
  must(fault.reason !== '', 'no reason');
  must(view.faults.includes(fault), 'the strongest is not among the faults');
  if (fault.disposition === 'reset') must(view.sectionCount === 0, 'routes after a reset');
  if (fault.disposition === 'withdraw') {
    for (let i = 0; i < view.sectionCount; i++)
      must(view.sectionReach[i] === 0, 'announced though withdrawn');
  }
}

// Walks as the rib does and returns the routes as text: `id key rest` in hex, or `id words/length` of a prefix.
function walk(
  bytes: Uint8Array,
  view: UpdateView,
  section: number,
  ctx: UpdateContext,
  end: number,
): string[] {
  const family = view.sectionFamily[section]!;
  const addPath = (ctx.addPath & (1 << family)) !== 0;
  const sectionEnd = view.sectionEnd[section]!;
  must(view.sectionStart[section]! < sectionEnd && sectionEnd <= end, 'a section is empty or out of bounds');
  const codec = nlriCodecs[family];
  const routes: string[] = [];
  let at = view.sectionStart[section]!;
  while (at < sectionEnd) {
    const id = addPath ? pathIdAt(bytes, at) : 0;
    if (addPath) at += 4;
    if (codec !== undefined) {
      routes.push(`${id} ${opaqueRoute(bytes, at, family)}`);
      at += codec.size(bytes, at);
      continue;
    }
    const length = bytes[at]!;
    must(length <= (family === IPV4 ? 32 : 128), 'a prefix is too long');
    const words = family === IPV4 ? [ip4At(bytes, at)] : [0, 1, 2, 3].map((i) => ip6WordAt(bytes, at, i));
    routes.push(`${id} ${words.join(':')}/${length}`);
    at += 1 + ((length + 7) >>> 3);
  }
  must(at === sectionEnd, 'a section ends within a prefix');
  return routes;
}

let textTurn = 0;

// Splits, joins and splits again; the key is its text, too.
function opaqueRoute(bytes: Uint8Array, at: number, family: number): string {
  const codec = nlriCodecs[family]!;
  const split = (from: Uint8Array, start: number): [Uint8Array, Uint8Array] => {
    const key = new ByteWriter();
    const rest = new ByteWriter();
    codec.split(from, start, key, rest);
    return [key.take(), rest.take()];
  };
  const [key, rest] = split(bytes, at);
  const joined = new ByteWriter();
  codec.join(key, 0, key.length, rest, 0, rest.length, joined);
  const checked = codec.check(joined.bytes, 0, joined.length, false);
  must(checked === joined.length && codec.size(joined.bytes, 0) === joined.length, 'joined is not one NLRI');
  const [againKey, againRest] = split(joined.bytes, 0);
  must(hexOf(againKey) === hexOf(key) && hexOf(againRest) === hexOf(rest), 'split again differs');
  const bare = new ByteWriter();
  codec.join(key, 0, key.length, rest, 0, 0, bare);
  must(codec.check(bare.bytes, 0, bare.length, false) === bare.length, 'a withdrawal is not one NLRI');
  must(hexOf(split(bare.bytes, 0)[0]) === hexOf(key), 'a withdrawal names another route');
  // Text is slow: one route in eight.
  if (textTurn++ % 8 !== 0) return `${hexOf(key)} ${hexOf(rest)}`;
  const parsed = codec.parse(codec.text(key, 0, key.length));
  must(parsed !== undefined && hexOf(parsed) === hexOf(key), `text ${codec.text(key, 0, key.length)}`);
  JSON.stringify(codec.describe(key, 0, key.length, rest, 0, rest.length));
  codec.routable(key, 0, key.length);
  return `${hexOf(key)} ${hexOf(rest)}`;
}

const notCanonical = new Set([3, 14, 15, 17, 18]);

function checkCanonical(bytes: Uint8Array, length: number): void {
  let last = 0;
  let at = 0;
  while (at < length) {
    const extended = (bytes[at]! & 0x10) !== 0;
    must((bytes[at]! & 0x0f) === 0, 'undefined flag bits');
    const code = bytes[at + 1]!;
    must(code > last || at === 0, 'attributes out of order');
    must(!notCanonical.has(code), `attribute ${code} in the canonical form`);
    last = code;
    const valueLength = extended ? (bytes[at + 2]! << 8) | bytes[at + 3]! : bytes[at + 2]!;
    must(extended === valueLength > 255, 'extended length bit');
    at += (extended ? 4 : 3) + valueLength;
  }
  must(at === length, 'attributes end within a value');
  const attrs = bytes.slice(0, length);
  must(hexOf(encodeAttributes(describeAttributes(attrs))) === hexOf(attrs), 'describe and encode differ');
}

function hasConfederation(bytes: Uint8Array, length: number): boolean {
  const end = findAttributeEnd(bytes, 0, length, 2);
  for (let at = findAttribute(bytes, 0, length, 2); at >= 0 && at < end; at += 2 + bytes[at + 1]! * 4) {
    if (bytes[at]! >= AS_CONFED_SEQUENCE) return true;
  }
  return false;
}

const again = new UpdateDecoder();
const writer = new UpdateWriter();

// Writes one section with the view's attributes and reads it back.
function checkRewrite(
  view: UpdateView,
  section: number,
  routes: readonly string[],
  ctx: UpdateContext,
): void {
  const family = view.sectionFamily[section]!;
  const addPath = (ctx.addPath & (1 << family)) !== 0;
  const hopStart = view.nextHopStart[section]!;
  const hopLength = view.nextHopLength[section]!;
  // Confederation segments within a path do not survive a 2-octet speaker (RFC 6793 section 4.2.2).
  const asn4 = ctx.asn4 || hasConfederation(view.attrs, view.attrsLength);
  writer.begin(EXTENDED_MESSAGE_LENGTH_MAX, asn4);
  const reach = view.sectionReach[section] === 1;
  if (!reach) writer.beginUnreach(family, family !== IPV4, addPath);
  else {
    const fits = writer.beginReach(
      family,
      view.attrs,
      0,
      view.attrsLength,
      view.nextHop,
      hopStart,
      hopLength,
      addPath,
    );
    if (!fits) return;
  }
  for (const route of routes) {
    const codec = nlriCodecs[family];
    if (codec !== undefined) {
      const [id, key, rest] = route.split(' ') as [string, string, string];
      const joined = new ByteWriter();
      codec.join(golden(key), 0, key.length / 2, golden(rest), 0, rest.length / 2, joined);
      writer.addNlri(joined.bytes, 0, joined.length, Number(id));
      continue;
    }
    const [id, address, length] = route.split(/[ /]/) as [string, string, string];
    const words = address.split(':').map(Number);
    if (family === IPV4) writer.addIp4(words[0]!, Number(length), Number(id));
    else writer.addIp6(words[0]!, words[1]!, words[2]!, words[3]!, Number(length), Number(id));
  }
  writer.finish();
  const second = again.decode(writer.bytes, HEADER_LENGTH, writer.length, { ...ctx, asn4 });
  must(second.fault === undefined, `rewritten: ${second.fault?.reason}`);
  must(second.sectionCount === 1, 'rewritten: sections');
  const reread = walk(writer.bytes, second, 0, ctx, writer.length);
  must(reread.join() === routes.join(), 'rewritten: routes differ');
  if (!reach) return;
  const attrs = hexOf(view.attrs, 0, view.attrsLength);
  must(hexOf(second.attrs, 0, second.attrsLength) === attrs, 'rewritten: attributes differ');
  const hop = hexOf(view.nextHop, hopStart, hopStart + hopLength);
  const from = second.nextHopStart[0]!;
  must(hexOf(second.nextHop, from, from + second.nextHopLength[0]!) === hop, 'rewritten: next hop differs');
}

// What lies around a message in the receive buffer must not matter.
function checkNeighbours(bytes: Uint8Array, view: UpdateView, ctx: UpdateContext, rng: Rng): void {
  const buffer = concat(randomBytes(rng, 25), bytes, randomBytes(rng, 25));
  const second = again.decode(buffer, 25, 25 + bytes.length, ctx);
  must(second.fault?.reason === view.fault?.reason, 'neighbouring bytes change the fault');
  must(second.sectionCount === view.sectionCount, 'neighbouring bytes change the sections');
  must(second.endOfRib === view.endOfRib, 'neighbouring bytes change the End-of-RIB');
  for (let i = 0; i < view.sectionCount; i++) {
    must(second.sectionStart[i] === view.sectionStart[i]! + 25, 'neighbouring bytes move a section');
    must(second.sectionEnd[i] === view.sectionEnd[i]! + 25, 'neighbouring bytes move a section');
  }
  const attrs = hexOf(view.attrs, 0, view.attrsLength);
  must(hexOf(second.attrs, 0, second.attrsLength) === attrs, 'neighbouring bytes change the attributes');
}

const all = 0x3ff;
const kinds: readonly UpdateContext[] = [
  { asn4: true, internal: false, families: 3, addPath: 0 },
  { asn4: true, internal: true, confederation: true, families: 3, addPath: 0 },
  { asn4: false, internal: false, families: 3, addPath: 0 },
  { asn4: false, internal: true, families: all, addPath: 0 },
  { asn4: true, internal: false, families: 3, addPath: 3 },
  { asn4: true, internal: true, families: 1, addPath: 2, firstAsn: 65001 },
  { asn4: true, internal: false, families: all, addPath: 0 },
  { asn4: true, internal: true, families: all, addPath: all },
  { asn4: true, internal: false, confederation: true, families: all, addPath: 0x155 },
];

test.each(kinds.map((ctx, i) => [i, ctx] as const))('UPDATE, kind of session %d', (index, ctx) => {
  const rng = new Rng(seed + index);
  const decoder = new UpdateDecoder();
  const outcome: Record<string, number> = {};
  for (let n = caseCount(0.07); n > 0; n--) {
    const damaged = rng.chance(0.4);
    const made = makeUpdate(rng, ctx, damaged);
    const bytes = damaged ? made : spoil(rng, made);
    try {
      const view = decoder.decode(bytes, 0, bytes.length, ctx);
      const kind = view.fault?.disposition ?? 'fine';
      outcome[kind] = (outcome[kind] ?? 0) + 1;
      checkFault(view);
      if (rng.chance(0.2)) checkNeighbours(bytes, view, ctx, rng);
      if (view.attrsLength > 0) checkCanonical(view.attrs, view.attrsLength);
      for (let i = 0; i < view.sectionCount; i++) {
        const routes = walk(bytes, view, i, ctx, bytes.length);
        if (view.fault === undefined) checkRewrite(view, i, routes, ctx);
      }
    } catch (error) {
      throw new Error(`seed ${seed}, kind ${index}, bytes ${hexOf(bytes)}`, { cause: error });
    }
  }
  // The cases are of no use if they are all of one kind.
  for (const kind of ['fine', 'discard', 'withdraw', 'reset'])
    expect(outcome[kind], kind).toBeGreaterThan(100);
});
