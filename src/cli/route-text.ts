// A route in words, as `leafctl policy test` takes it:
//
//   PREFIX [next-hop A] [as-path "65001 65002"] [local-pref N] [med N] [origin O] [community C…] [large-community C…]
//          [ext-community C…] [rpki S] [tag N] [from PEER] [neighbor-as ASN] [source S] [igp-metric N]
//
// In place of PREFIX an NLRI of another family in its own text, with `family F` behind it, and maybe `vni N`. A list
// goes on until the next word that is a key. What is wrong is told with the word it is about.

import { nearest } from '../intent/suggest.ts';
import { readU32 } from '../lib/bytes.ts';
import { parseAsn } from '../net/asn.ts';
import { parseCommunity, parseExtendedCommunity, parseLargeCommunity } from '../net/community.ts';
import { parseIp } from '../net/ip.ts';
import { parsePrefix } from '../net/prefix.ts';
import { fillNlri } from '../policy/nlri-input.ts';
import { newPolicyInput, originStateCodes, type PolicyInput, sourceCodes } from '../policy/program.ts';
import { parseAsPath } from '../wire/bgp/attribute/as-path.ts';
import { type AttributesInput, encodeAttributes } from '../wire/bgp/attribute/describe.ts';
import { originNames } from '../wire/bgp/attribute/table.ts';
import { families, familyByName, IPV4, IPV6 } from '../wire/bgp/family.ts';
import { nlriCodecs } from '../wire/bgp/nlri/opaque.ts';
import { type CliError, usageError } from './exit.ts';

const keys = [
  'next-hop',
  'as-path',
  'local-pref',
  'med',
  'origin',
  'community',
  'large-community',
  'ext-community',
  'rpki',
  'tag',
  'from',
  'neighbor-as',
  'source',
  'igp-metric',
  'vni',
  'family',
] as const;
type Key = (typeof keys)[number];

const listKeys: readonly Key[] = ['as-path', 'community', 'large-community', 'ext-community'];

/** A described route: what the policy is asked, and which prefix or NLRI the operator wrote. */
export interface DescribedRoute {
  text: string;
  input: PolicyInput;
}

/** The route of a text. Throws a usage error that names the word. `asnOf` knows configured peers. */
export function parseRoute(
  text: string,
  localAsn: number,
  asnOf: (peer: string) => number | undefined,
): DescribedRoute {
  const { head, values } = sort(wordsOf(text));
  const input = newPolicyInput();
  input.localAsn = localAsn;
  fillHead(input, head, values.get('family')?.[0]);
  input.attrs = encodeAttributes(attributesOf(values));
  input.end = input.attrs.length;
  fillOrigin(input, values, asnOf);
  const nextHop = values.get('next-hop')?.[0];
  if (nextHop !== undefined) {
    const address = parseIp(nextHop);
    if (address === undefined) throw wrong(`next-hop ${nextHop}`, 'is not an address');
    input.nextHop = address;
    input.nextHopLength = address.length;
  }
  const rpki = values.get('rpki')?.[0];
  if (rpki !== undefined) input.rpki = codeOf('rpki', rpki, originStateCodes);
  input.tag = numberOf(values, 'tag') ?? 0;
  input.igpMetric = numberOf(values, 'igp-metric') ?? 0;
  input.vni = numberOf(values, 'vni') ?? input.vni;
  return { text: head, input };
}

function wrong(what: string, reason: string, hint?: string): CliError {
  return usageError(`route: ${what} ${reason}`, hint);
}

/** Words; quotes hold several together, as they do for a shell. */
function wordsOf(text: string): string[] {
  const words: string[] = [];
  const pattern = /\s*(?:"([^"]*)"|'([^']*)'|(["'])|([^\s"']+))/gy;
  while (pattern.lastIndex < text.trimEnd().length) {
    const found = pattern.exec(text);
    if (found === null) break;
    if (found[3] !== undefined) throw wrong(found[3], 'opens a quote that is not closed');
    words.push(found[1] ?? found[2] ?? found[4]!);
  }
  return words;
}

function sort(words: readonly string[]): { head: string; values: ReadonlyMap<Key, readonly string[]> } {
  const isKey = (word: string | undefined): word is Key =>
    (keys as readonly (string | undefined)[]).includes(word);
  const values = new Map<Key, string[]>();
  const head: string[] = [];
  for (let at = 0; at < words.length; ) {
    const word = words[at++]!;
    if (!isKey(word)) {
      head.push(word);
      continue;
    }
    if (values.has(word)) throw wrong(word, 'is given twice');
    const list: string[] = [];
    values.set(word, list);
    // A list goes on to the next key; an empty pair of quotes is an empty list.
    while (at < words.length && !isKey(words[at]) && (list.length === 0 || listKeys.includes(word)))
      list.push(words[at++]!);
    if (list.length === 0) throw wrong(word, 'has no value');
  }
  if (head.length === 0)
    throw wrong('it', 'begins with a prefix', 'such as 10.0.0.0/8 as-path "65001 65002"');
  if (!values.has('family') && head.length > 1) {
    const near = nearest(head[1]!, keys);
    const hint = near === undefined ? `known: ${keys.join(', ')}` : `did you mean "${near}"?`;
    throw wrong(`"${head[1]}"`, 'is not a known word', hint);
  }
  return { head: head.join(' '), values };
}

function fillHead(input: PolicyInput, head: string, familyName: string | undefined): void {
  const family = familyName === undefined ? -1 : familyByName(familyName);
  if (familyName !== undefined && family < 0)
    throw wrong(`family ${familyName}`, 'is not known', families.map(({ name }) => name).join(', '));
  const codec = nlriCodecs[family];
  if (codec !== undefined) {
    const key = codec.parse(head);
    if (key === undefined) throw wrong(head, `is not an NLRI of ${familyName}`);
    input.family = family;
    fillNlri(input, family, key, 0, key.length, key, 0, 0);
    return;
  }
  const prefix = parsePrefix(head, { strict: true });
  if (prefix === undefined)
    throw wrong(
      head,
      'is not a prefix',
      parsePrefix(head) === undefined ? undefined : 'it has bits beyond its length',
    );
  const { bytes, length } = prefix;
  input.family = bytes.length === 4 ? IPV4 : IPV6;
  if (family >= 0 && family !== input.family) throw wrong(head, `is not a prefix of ${familyName}`);
  const word = (at: number): number => (at < bytes.length ? readU32(bytes, at) : 0);
  [input.a, input.b, input.c, input.d] = [word(0), word(4), word(8), word(12)];
  input.length = length;
}

type Values = ReadonlyMap<Key, readonly string[]>;

function attributesOf(values: Values): AttributesInput {
  const origin = values.get('origin')?.[0] ?? 'igp';
  const originCode = (originNames as readonly string[]).indexOf(origin);
  if (originCode < 0) throw wrong(`origin ${origin}`, 'is not known', originNames.join(', '));
  const path = values.get('as-path')?.join(' ') ?? '';
  const segments = parseAsPath(path);
  if (segments === undefined)
    throw wrong(`as-path ${path}`, 'is not an AS path', '"65001 65002 {64512 64513}"');
  const attributes: AttributesInput = { origin: originNames[originCode]!, asPathSegments: segments };
  const med = numberOf(values, 'med');
  if (med !== undefined) attributes.med = med;
  const localPref = numberOf(values, 'local-pref');
  if (localPref !== undefined) attributes.localPref = localPref;
  attributes.communities = listOf(values, 'community', parseCommunity);
  attributes.largeCommunities = listOf(values, 'large-community', parseLargeCommunity);
  attributes.extendedCommunities = listOf(values, 'ext-community', parseExtendedCommunity);
  return attributes;
}

function listOf(values: Values, key: Key, parse: (text: string) => unknown): readonly string[] {
  const words = (values.get(key) ?? []).flatMap((text) => text.split(/[\s,]+/)).filter(Boolean);
  for (const word of words)
    if (parse(word) === undefined) throw wrong(`${key} ${word}`, 'is not such a community');
  return words;
}

function numberOf(values: Values, key: Key): number | undefined {
  const text = values.get(key)?.[0];
  if (text === undefined) return undefined;
  if (!/^\d{1,10}$/.test(text) || Number(text) > 0xffffffff)
    throw wrong(`${key} ${text}`, 'is not a number of 32 bits');
  return Number(text);
}

function codeOf(key: Key, word: string, codes: Readonly<Record<string, number>>): number {
  if (Object.hasOwn(codes, word)) return codes[word]!;
  throw wrong(`${key} ${word}`, 'is not known', Object.keys(codes).join(', '));
}

/** Where the route comes from: a peer where one is named or there is a path to say so, else this machine. */
function fillOrigin(input: PolicyInput, values: Values, asnOf: (peer: string) => number | undefined): void {
  const from = values.get('from')?.[0];
  const asText = values.get('neighbor-as')?.[0];
  const asn = asText === undefined ? undefined : parseAsn(asText);
  if (asText !== undefined && asn === undefined) throw wrong(`neighbor-as ${asText}`, 'is not an AS number');
  const path = values.get('as-path')?.join(' ') ?? '';
  const learned = from !== undefined || asn !== undefined || path !== '';
  input.source = codeOf('source', values.get('source')?.[0] ?? (learned ? 'bgp' : 'local'), sourceCodes);
  if (input.source !== sourceCodes.bgp) return;
  input.peerName = from ?? '';
  const first = parseAsPath(path)?.[0];
  const leftmost = first?.kind === 'sequence' ? first.asns[0] : undefined;
  input.peerAsn = asn ?? (from === undefined ? undefined : asnOf(from)) ?? leftmost ?? 0;
}
