// A set of community patterns of one kind: COMMUNITIES of 1 word of 32 bits, EXTENDED COMMUNITIES of 2,
// LARGE_COMMUNITY of 3. Exact ones are sorted and searched by halves; those with a wildcard are a value and a
// mask, tried in turn. Text forms are net/community.ts's, with `*` for a part.

import { communityExpression } from '../intent/policy-text.ts';
import { readU16, readU32 } from '../lib/bytes.ts';
import {
  formatExtendedCommunity,
  formatLargeCommunity,
  parseCommunity,
  parseExtendedCommunity,
  parseLargeCommunity,
} from '../net/community.ts';
import { COMMUNITIES, EXT_COMMUNITIES, LARGE_COMMUNITIES } from '../wire/bgp/attribute/table.ts';

/** One of the three list attributes. */
export interface CommunityKind {
  readonly attribute: number;
  /** Bytes of one community: 4, 8 or 12. */
  readonly width: number;
  /** Key of the definitions that holds its named sets. */
  readonly sets: 'communitySets' | 'extendedCommunitySets' | 'largeCommunitySets';
  readonly example: string;
}

export const standardKind: CommunityKind = {
  attribute: COMMUNITIES,
  width: 4,
  sets: 'communitySets',
  example: '65000:1, 65000:* or no-export',
};
export const extendedKind: CommunityKind = {
  attribute: EXT_COMMUNITIES,
  width: 8,
  sets: 'extendedCommunitySets',
  example: 'rt:65000:1 or soo:10.0.0.1:*',
};
export const largeKind: CommunityKind = {
  attribute: LARGE_COMMUNITIES,
  width: 12,
  sets: 'largeCommunitySets',
  example: '65000:1:2 or 65000:*:*',
};

/** The bytes that a community must have where the mask's bits are set; or an expression over its text. */
export interface CommunityPattern {
  readonly value: Uint8Array;
  readonly mask: Uint8Array;
  readonly expression?: RegExp;
}

/** What one 32-bit word of a community must be, for looking communities up: all of them, or the first. */
export interface CommunityKeys {
  /** Exact communities as words, `kind.width / 4` each. */
  readonly exact: Uint32Array;
  /** Values of the first word, where a pattern with wildcards asks for a whole one. */
  readonly firstWords: readonly number[];
  /** The higher 16 bits of the first word. */
  readonly highHalves: readonly number[];
}

/** Communities of which the answer of expressions is remembered; then all is forgotten. */
const MAX_REMEMBERED = 1 << 16;

/** An exact community's bytes, or undefined when the text is not one. */
export function communityBytes(kind: CommunityKind, text: string): Uint8Array | undefined {
  if (kind === largeKind) return parseLargeCommunity(text);
  if (kind === extendedKind) return parseExtendedCommunity(text);
  const value = parseCommunity(text);
  if (value === undefined) return undefined;
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}

/** The patterns that a text stands for (a wildcard may stand for several forms), or undefined. */
export function parseCommunityPattern(kind: CommunityKind, text: string): CommunityPattern[] | undefined {
  const expression = communityExpression(text);
  const none = new Uint8Array(kind.width);
  if (expression !== undefined) return [{ value: none, mask: none, expression }];
  const exact = communityBytes(kind, text);
  if (exact !== undefined) return [{ value: exact, mask: new Uint8Array(kind.width).fill(255) }];
  if (!text.includes('*')) return undefined;
  const parts = text.split(':');
  if (kind === extendedKind) return extendedPatterns(parts);
  const partWidth = kind === largeKind ? 4 : 2;
  if (parts.length !== kind.width / partWidth) return undefined;
  const value = communityBytes(kind, parts.map((part) => (part === '*' ? '0' : part)).join(':'));
  if (value === undefined) return undefined;
  const mask = new Uint8Array(kind.width);
  parts.forEach((part, i) => {
    if (part !== '*') mask.fill(255, i * partWidth, (i + 1) * partWidth);
  });
  return [{ value, mask }];
}

/**
 * `rt:*:1` and the like: the type octet (RFC 4360, 5668) tells where the number begins, so each type is
 * tried.
 */
function extendedPatterns(parts: readonly string[]): CommunityPattern[] | undefined {
  if (parts.length !== 3) return undefined;
  const [kind, administrator, number] = parts as [string, string, string];
  // A sample administrator for each type octet: 2-octet ASN, IPv4 address, 4-octet ASN.
  const samples = administrator === '*' ? ['0', '0.0.0.0', '65536'] : [administrator];
  const patterns: CommunityPattern[] = [];
  for (const sample of samples) {
    const value = parseExtendedCommunity(`${kind}:${sample}:${number === '*' ? '0' : number}`);
    // A number of more than 16 bits does not fit beside a long administrator; that type cannot match then.
    if (value === undefined) continue;
    const numberAt = value[0] === 0 ? 4 : 6;
    const mask = new Uint8Array(8).fill(255, 0, 2);
    if (administrator !== '*') mask.fill(255, 2, numberAt);
    if (number !== '*') mask.fill(255, numberAt);
    patterns.push({ value, mask });
  }
  return patterns.length > 0 ? patterns : undefined;
}

export class CommunitySet {
  readonly kind: CommunityKind;
  readonly #words: number;
  /** Sorted, `words` a community. */
  readonly #exact: Uint32Array;
  readonly #exactCount: number;
  readonly #value: Uint32Array;
  readonly #mask: Uint32Array;
  readonly #expressions: readonly RegExp[];
  /** Answers of the expressions by the community's text. */
  readonly #remembered = new Map<number | string, boolean>();

  constructor(kind: CommunityKind, patterns: readonly CommunityPattern[]) {
    this.kind = kind;
    this.#words = kind.width / 4;
    const isExact = (pattern: CommunityPattern) => pattern.mask.every((byte) => byte === 255);
    this.#expressions = patterns.flatMap(({ expression }) => (expression === undefined ? [] : [expression]));
    const plain = patterns.filter((pattern) => pattern.expression === undefined);
    const exact = plain.filter(isExact).map((pattern) => pattern.value);
    exact.sort(compareBytes);
    const wild = plain.filter((pattern) => !isExact(pattern));
    this.#exactCount = exact.length;
    this.#exact = wordsOf(exact);
    this.#value = wordsOf(wild.map(({ value, mask }) => value.map((byte, i) => byte & mask[i]!)));
    this.#mask = wordsOf(wild.map((pattern) => pattern.mask));
  }

  /** What to look communities up by; undefined when some pattern asks for neither. */
  keys(): CommunityKeys | undefined {
    if (this.#expressions.length > 0) return undefined;
    const words = this.#words;
    const firstWords: number[] = [];
    const highHalves: number[] = [];
    for (let at = 0; at < this.#mask.length; at += words) {
      const mask = this.#mask[at]!;
      if (mask === 0xffffffff && words > 1) firstWords.push(this.#value[at]!);
      else if (mask === 0xffff0000 && words === 1) highHalves.push(this.#value[at]! >>> 16);
      else return undefined;
    }
    return { exact: this.#exact, firstWords, highHalves };
  }

  /** Whether any of the communities in [from, to), an attribute's value, is in the set. */
  matchesAny(bytes: Uint8Array, from: number, to: number): boolean {
    const width = this.kind.width;
    if (width === 4) return this.#matchesAnyWord(bytes, from, to);
    for (let at = from; at + width <= to; at += width) if (this.has(bytes, at)) return true;
    return false;
  }

  /** The same for communities of one word, which most policies look for: worth a shorter loop. */
  #matchesAnyWord(bytes: Uint8Array, from: number, to: number): boolean {
    const values = this.#value;
    const masks = this.#mask;
    const exactCount = this.#exactCount;
    for (let at = from; at < to; at += 4) {
      const community = readU32(bytes, at);
      for (let i = 0; i < masks.length; i++) if ((community & masks[i]!) >>> 0 === values[i]) return true;
      if (exactCount > 0 && this.#hasExact(bytes, at)) return true;
      if (this.#expressions.length > 0 && this.#isExpressed(bytes, at)) return true;
    }
    return false;
  }

  /** Whether the community at `at` is in the set. */
  has(bytes: Uint8Array, at: number): boolean {
    if (this.#hasExact(bytes, at) || this.#hasWild(bytes, at)) return true;
    return this.#expressions.length > 0 && this.#isExpressed(bytes, at);
  }

  /** Whether an expression finds something in the community's text; each community is asked once. */
  #isExpressed(bytes: Uint8Array, at: number): boolean {
    const text = this.#words === 1 ? '' : communityText(this.kind, bytes, at);
    const key = this.#words === 1 ? readU32(bytes, at) : text;
    const known = this.#remembered.get(key);
    if (known !== undefined) return known;
    const whole = this.#words === 1 ? communityText(this.kind, bytes, at) : text;
    const answer = this.#expressions.some((expression) => expression.test(whole));
    if (this.#remembered.size >= MAX_REMEMBERED) this.#remembered.clear();
    this.#remembered.set(key, answer);
    return answer;
  }

  #hasExact(bytes: Uint8Array, at: number): boolean {
    const words = this.#words;
    let low = 0;
    let high = this.#exactCount - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      let order = 0;
      for (let i = 0; i < words && order === 0; i++) {
        order = readU32(bytes, at + 4 * i) - this.#exact[middle * words + i]!;
      }
      if (order === 0) return true;
      if (order > 0) low = middle + 1;
      else high = middle - 1;
    }
    return false;
  }

  #hasWild(bytes: Uint8Array, at: number): boolean {
    const words = this.#words;
    for (let pattern = 0; pattern < this.#mask.length; pattern += words) {
      let same = true;
      for (let i = 0; i < words && same; i++) {
        same = (readU32(bytes, at + 4 * i) & this.#mask[pattern + i]!) >>> 0 === this.#value[pattern + i];
      }
      if (same) return true;
    }
    return false;
  }
}

/** In numbers, well-known ones too: expressions are about numbers. */
function communityText(kind: CommunityKind, bytes: Uint8Array, at: number): string {
  if (kind.width === 12) return formatLargeCommunity(bytes, at);
  if (kind.width === 8) return formatExtendedCommunity(bytes, at);
  return `${readU16(bytes, at)}:${readU16(bytes, at + 2)}`;
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return 0;
}

function wordsOf(items: readonly Uint8Array[]): Uint32Array {
  return Uint32Array.from(
    items.flatMap((item) => Array.from({ length: item.length / 4 }, (_, i) => readU32(item, 4 * i))),
  );
}
