// Patterns over AS paths: the regular expressions that operators know from FRR and BIRD, read as expressions
// over whole ASNs instead of characters. The text becomes a small tree here and a program in
// as-path-matcher.ts.
//
//   65001        that ASN                       [65000-65199]   any in the range; `[1-5,9]` has several
//   .            any one ASN                    .* .+           any number of them, at least one
//   ^ $          begin, end of the path         _ or a space    between two ASNs (so `_65001_` is "contains")
//   (a|b)        either                         * + ?           repeat the ASN or group before
//
//   65[0-9]+     an ASN of these digits         \{ \}          begin, end of an AS_SET
//   6500[0-4]    likewise                       \( \)          begin, end of a confederation segment
//
// A pattern is found anywhere in the path unless ^ or $ hold it. An AS_SET is one place where any member
// matches; members of confederation segments are ASNs like others. `[0-9]+` is read as "one ASN", for the
// sake of habit.

export type AsPathNode =
  | { kind: 'asn' /** Pairs of low and high, ascending. */; ranges: readonly number[] }
  | { kind: 'digits' /** Over the decimal text of an ASN. */; expression: RegExp }
  | { kind: 'edge' /** Where the path must stand between two places. */; edge: AsPathEdge }
  | { kind: 'any' }
  | { kind: 'empty' }
  | { kind: 'start' }
  | { kind: 'end' }
  | { kind: 'sequence'; nodes: readonly AsPathNode[] }
  | { kind: 'either'; nodes: readonly AsPathNode[] }
  | { kind: 'repeat'; node: AsPathNode; least: 0 | 1; unbounded: boolean };

/** The begin or end of a segment that is written in braces or parentheses. */
export type AsPathEdge = 'setBegin' | 'setEnd' | 'confedBegin' | 'confedEnd';

const edges: Readonly<Record<string, AsPathEdge>> = {
  '{': 'setBegin',
  '}': 'setEnd',
  '\\{': 'setBegin',
  '\\}': 'setEnd',
  '\\(': 'confedBegin',
  '\\)': 'confedEnd',
};

/** What is wrong with a pattern, and where (an offset into its text). */
export interface AsPathPatternError {
  reason: string;
  at: number;
}

/** Longest pattern text; and how deep groups may nest. */
const MAX_TEXT = 4096;
const MAX_DEPTH = 32;

interface Reader {
  readonly text: string;
  at: number;
  depth: number;
  error: AsPathPatternError | undefined;
}

const empty: AsPathNode = { kind: 'empty' };

/** The tree of a pattern, or what is wrong with it. */
export function parseAsPathPattern(text: string): AsPathNode | AsPathPatternError {
  const reader: Reader = { text, at: 0, depth: 0, error: undefined };
  if (text.length > MAX_TEXT) return { reason: `longer than ${MAX_TEXT} characters`, at: MAX_TEXT };
  const node = readEither(reader);
  if (reader.error === undefined && reader.at < text.length) fail(reader, 'a ) that closes nothing');
  return reader.error ?? node;
}

/** In words what is wrong with a pattern; undefined when nothing is. For checks of a configuration. */
export function judgeAsPathPattern(text: string): string | undefined {
  const result = parseAsPathPattern(text);
  return 'reason' in result ? `${result.reason}, at character ${result.at + 1}` : undefined;
}

function fail(reader: Reader, reason: string): AsPathNode {
  reader.error ??= { reason, at: reader.at };
  reader.at = reader.text.length;
  return empty;
}

function readEither(reader: Reader): AsPathNode {
  const nodes = [readSequence(reader)];
  while (reader.text[reader.at] === '|') {
    reader.at++;
    nodes.push(readSequence(reader));
  }
  if (nodes.length === 1) return nodes[0]!;
  // Alternatives of single ASNs are one step of the matcher, however many they are.
  const ranges: number[] = [];
  for (const node of nodes) {
    if (node.kind !== 'asn') return { kind: 'either', nodes };
    ranges.push(...node.ranges);
  }
  return { kind: 'asn', ranges: mergeRanges(ranges) };
}

function readSequence(reader: Reader): AsPathNode {
  const nodes: AsPathNode[] = [];
  const { text } = reader;
  while (reader.at < text.length && text[reader.at] !== '|' && text[reader.at] !== ')') {
    const node = readRepeat(reader);
    if (node.kind !== 'empty') nodes.push(node);
  }
  if (nodes.length === 0) return empty;
  return nodes.length === 1 ? nodes[0]! : { kind: 'sequence', nodes };
}

function readRepeat(reader: Reader): AsPathNode {
  const first = reader.text[reader.at]!;
  let node = readAtom(reader);
  for (;;) {
    const sign = reader.text[reader.at];
    if (sign !== '*' && sign !== '+' && sign !== '?') return node;
    if ('^$_ {}\\'.includes(first)) return fail(reader, `${sign} repeats nothing`);
    reader.at++;
    node = { kind: 'repeat', node, least: sign === '+' ? 1 : 0, unbounded: sign !== '?' };
  }
}

function readAtom(reader: Reader): AsPathNode {
  const sign = reader.text[reader.at]!;
  const digits = readDigits(reader);
  if (digits !== undefined) return digits;
  if (sign >= '0' && sign <= '9') return readAsn(reader);
  const edgeText = sign === '\\' ? reader.text.slice(reader.at, reader.at + 2) : sign;
  if (Object.hasOwn(edges, edgeText)) {
    reader.at += edgeText.length;
    return { kind: 'edge', edge: edges[edgeText]! };
  }
  switch (sign) {
    case '.':
      reader.at++;
      return { kind: 'any' };
    case '^':
      reader.at++;
      return { kind: 'start' };
    case '$':
      reader.at++;
      return { kind: 'end' };
    case '_':
    case ' ':
      reader.at++;
      return empty;
    case '[':
      return readRanges(reader);
    case '(':
      return readGroup(reader);
    case '*':
    case '+':
    case '?':
      return fail(reader, `${sign} repeats nothing`);
    default:
      return fail(reader, `unexpected ${sign}`);
  }
}

function readGroup(reader: Reader): AsPathNode {
  if (++reader.depth > MAX_DEPTH) return fail(reader, `groups nested deeper than ${MAX_DEPTH}`);
  const open = reader.at++;
  const node = readEither(reader);
  if (reader.error !== undefined) return empty;
  if (reader.text[reader.at] !== ')') {
    reader.at = open;
    return fail(reader, 'a ( that is not closed');
  }
  reader.at++;
  reader.depth--;
  return node;
}

function readAsn(reader: Reader): AsPathNode {
  const digits = /^\d+/.exec(reader.text.slice(reader.at))![0];
  const asn = Number(digits);
  if (asn > 0xffffffff) return fail(reader, `${digits} is no ASN`);
  reader.at += digits.length;
  if (reader.text[reader.at] === '[')
    return fail(reader, 'digits and [ within one ASN; write a range such as [64500-64599]');
  return { kind: 'asn', ranges: [asn, asn] };
}

/** A class of digits, maybe repeated; and an ASN that is written with at least one and more beside it. */
const digitClass = /\[(?:\d+|(?:\d-\d)+)\](?:[+*?]|\{\d{1,2}(?:,\d{0,2})?\})?/;
const digitsText = new RegExp(`(?:\\d|${digitClass.source})+`, 'y');

/** More repeats within one ASN would take long to try, and nobody means them. */
const MAX_DIGIT_REPEATS = 4;

function readDigits(reader: Reader): AsPathNode | undefined {
  digitsText.lastIndex = reader.at;
  const text = digitsText.exec(reader.text)?.[0];
  // Digits alone are an ASN, a class alone a range or `[0-9]+`.
  if (text === undefined || /^\d+$/.test(text) || text.replace(digitClass, '') === '') return undefined;
  if ((text.match(/[+*?}]/g) ?? []).length > MAX_DIGIT_REPEATS)
    return fail(reader, `more than ${MAX_DIGIT_REPEATS} repeats within one ASN`);
  reader.at += text.length;
  try {
    return { kind: 'digits', expression: new RegExp(`^(?:${text})$`) };
  } catch {
    return fail(reader, `${text} is no ASN`);
  }
}

function readRanges(reader: Reader): AsPathNode {
  const close = reader.text.indexOf(']', reader.at);
  if (close < 0) return fail(reader, 'a [ that is not closed');
  const body = reader.text.slice(reader.at + 1, close);
  const follows = reader.text[close + 1];
  if (body === '0-9' && (follows === '+' || follows === '*')) {
    reader.at = close + 2;
    return { kind: 'any' };
  }
  const ranges: number[] = [];
  for (const item of body.split(/[,\s]+/)) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(item);
    if (match === null) return fail(reader, `[${body}] is not a list of ASNs and ranges`);
    const low = Number(match[1]);
    const high = match[2] === undefined ? low : Number(match[2]);
    if (high > 0xffffffff || low > high) return fail(reader, `${item} is no range of ASNs`);
    ranges.push(low, high);
  }
  reader.at = close + 1;
  if (follows !== undefined && (follows === '[' || (follows >= '0' && follows <= '9'))) {
    return fail(reader, 'digits and [ within one ASN; write a range such as [64500-64599]');
  }
  return { kind: 'asn', ranges: mergeRanges(ranges) };
}

/** Pairs in ascending order, those that touch joined. */
function mergeRanges(pairs: readonly number[]): number[] {
  const sorted: [number, number][] = [];
  for (let i = 0; i < pairs.length; i += 2) sorted.push([pairs[i]!, pairs[i + 1]!]);
  sorted.sort((a, b) => a[0] - b[0]);
  const merged: number[] = [];
  for (const [low, high] of sorted) {
    const last = merged.length - 1;
    if (last > 0 && low <= merged[last]! + 1) merged[last] = Math.max(merged[last]!, high);
    else merged.push(low, high);
  }
  return merged;
}
