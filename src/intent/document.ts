// Reads one YAML file into the tree of tree.ts. YAML 1.2 with anchors, aliases and `<<` merges, but within limits:
// file size, depth, and the number of nodes after aliases are followed (the billion-laughs attack). Syntax errors
// are told in our own words, because the parser's quote the text, which may be a password.

import {
  type Alias,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  type Scalar,
} from 'yaml';
import type { Place } from '../lib/leafd-error.ts';
import { nestingBound } from './nesting.ts';
import {
  type ConfigProblem,
  MAX_FILE_BYTES,
  type MapNode,
  type ScalarNode,
  type SourceText,
  type TreeNode,
} from './tree.ts';

const MAX_NODES = 100_000;
const MAX_DEPTH = 40;
/** Of what is given to the parser at all; far above what MAX_DEPTH lets pass, far below what its stack bears. */
const MAX_NESTING = 500;

/**
 * The file's tree, or what is wrong with its YAML. An empty file is an empty map. Of a file with several documents the
 * caller gives one, and how many lines are before it.
 */
export function readDocument(
  source: SourceText,
  linesBefore = 0,
): { root?: MapNode; problems: ConfigProblem[] } {
  const start: Place = { file: source.file, line: linesBefore + 1, column: 1 };
  if (source.text.length > MAX_FILE_BYTES)
    return { problems: [{ where: start, path: '', reason: `is larger than ${MAX_FILE_BYTES >> 20} MiB` }] };
  if (nestingBound(source.text) > MAX_NESTING)
    return { problems: [{ where: start, path: '', reason: 'is nested too deeply' }] };
  const lines = new LineCounter();
  const document = parseDocument(source.text, {
    lineCounter: lines,
    prettyErrors: false,
    strict: true,
    stringKeys: true,
    uniqueKeys: false, // the parser's check is quadratic; ours is below
    version: '1.2',
    schema: 'core',
    merge: true,
  });
  const placeOf = (offset: number): Place => {
    const position = lines.linePos(offset);
    const line = linesBefore + Math.max(1, position.line);
    return { file: source.file, line, column: Math.max(1, position.col) };
  };
  const bad = document.errors[0] ?? document.warnings[0];
  if (bad !== undefined)
    return { problems: [{ where: placeOf(bad.pos[0]), path: '', ...explainYaml(bad.code, bad.message) }] };
  if (document.contents === null || (isScalar(document.contents) && document.contents.value === null))
    return { root: { kind: 'map', place: start, entries: new Map() }, problems: [] };
  const builder = new TreeBuilder(document.contents, placeOf);
  const root = builder.build(document.contents, [], 0);
  if (builder.problems.length > 0) return { problems: builder.problems };
  if (root === undefined || root.kind !== 'map')
    return {
      problems: [{ where: start, path: '', reason: 'is not a map of sections', hint: 'begin with `bgp:`' }],
    };
  return { root, problems: [] };
}

class TreeBuilder {
  readonly problems: ConfigProblem[] = [];
  private readonly placeOf: (offset: number) => Place;
  /** What each alias stands for: the last anchor of its name before it, as YAML says. */
  private readonly targets = new Map<Alias, Node>();
  private nodes = 0;
  /** Nodes being built: an alias into one of them is a circle. */
  private readonly open = new Set<Node>();

  constructor(contents: Node, placeOf: (offset: number) => Place) {
    this.placeOf = placeOf;
    this.resolveAliases(contents, new Map(), 0);
  }

  build(node: Node | null, path: readonly string[], offset: number): TreeNode | undefined {
    if (this.problems.length > 0) return undefined;
    const place = this.placeOf(node?.range?.[0] ?? offset);
    if (++this.nodes > MAX_NODES) return this.fail(place, path, `has more than ${MAX_NODES} values`);
    if (path.length > MAX_DEPTH) return this.fail(place, path, 'is nested too deeply');
    if (node === null) return { kind: 'scalar', place, value: null };
    if (isAlias(node)) return this.follow(node, place, path);
    if (isScalar(node)) return this.scalar(writtenValue(node), node.tag, place, path);
    this.open.add(node);
    const built = isMap(node) ? this.map(node.items as Pair[], place, path) : this.list(node, place, path);
    this.open.delete(node);
    return built;
  }

  private scalar(value: unknown, tag: string | undefined, place: Place, path: readonly string[]) {
    const plain = value === null || ['string', 'number', 'boolean'].includes(typeof value);
    if (!plain || (tag !== undefined && !/^tag:yaml\.org,2002:(str|int|float|bool|null)$/.test(tag)))
      return this.fail(place, path, 'has a tag that is not understood');
    return { kind: 'scalar', place, value: value as ScalarNode['value'] } as const;
  }

  private list(node: Node, place: Place, path: readonly string[]): TreeNode {
    const items: TreeNode[] = [];
    const children = isSeq(node) ? (node.items as Node[]) : [];
    for (const [index, child] of children.entries()) {
      const item = this.build(child, [...path, String(index)], node.range?.[0] ?? 0);
      if (item !== undefined) items.push(item);
    }
    return { kind: 'list', place, items };
  }

  private map(pairs: readonly Pair[], place: Place, path: readonly string[]): MapNode {
    const map: MapNode = { kind: 'map', place, entries: new Map() };
    const merges: MapNode[] = [];
    for (const pair of pairs) {
      const keyNode = pair.key as Node | null;
      const offset = keyNode?.range?.[0] ?? 0;
      const keyPlace = this.placeOf(offset);
      const key = isScalar(keyNode) ? String(keyNode.value) : '';
      const value = this.build(pair.value as Node | null, [...path, key], keyNode?.range?.[1] ?? offset);
      if (value === undefined) break;
      if (key === '<<') merges.push(...this.mergeSources(value, keyPlace, path));
      else if (map.entries.has(key)) this.fail(keyPlace, [...path, key], 'is given twice');
      else map.entries.set(key, { keyPlace, value });
    }
    for (const merge of merges)
      for (const [key, entry] of merge.entries) if (!map.entries.has(key)) map.entries.set(key, entry);
    return map;
  }

  /** The maps of `<<: *one` or `<<: [*one, *two]`; keys written out win over them, earlier ones over later. */
  private mergeSources(value: TreeNode, place: Place, path: readonly string[]): MapNode[] {
    const sources = value.kind === 'list' ? value.items : [value];
    const maps = sources.filter((source): source is MapNode => source.kind === 'map');
    if (maps.length !== sources.length)
      this.fail(place, [...path, '<<'], 'merges something that is not a map');
    return maps;
  }

  private follow(alias: Alias, place: Place, path: readonly string[]): TreeNode | undefined {
    const target = this.targets.get(alias);
    const hint = 'text that begins with * needs quotes';
    if (target === undefined) return this.fail(place, path, 'refers to an anchor that does not exist', hint);
    if (this.open.has(target)) return this.fail(place, path, 'refers to an anchor that contains it', hint);
    return this.build(target, path, 0);
  }

  private fail(where: Place, path: readonly string[], reason: string, hint?: string): undefined {
    this.problems.push({ where, path: path.join('.'), reason, ...(hint === undefined ? {} : { hint }) });
    return undefined;
  }

  private resolveAliases(node: Node | null, anchors: Map<string, Node>, depth: number): void {
    if (node === null || depth > MAX_DEPTH) return;
    if (isAlias(node)) {
      const target = anchors.get(node.source);
      if (target !== undefined) this.targets.set(node, target);
      return;
    }
    if (node.anchor !== undefined) anchors.set(node.anchor, node);
    if (isSeq(node)) for (const item of node.items) this.resolveAliases(item as Node, anchors, depth + 1);
    if (isMap(node))
      for (const pair of node.items) this.resolveAliases(pair.value as Node | null, anchors, depth + 1);
  }
}

/** `+10` is a change to us and the number 10 to YAML: with its sign written out it stays text. */
function writtenValue(node: Scalar): unknown {
  return typeof node.value === 'number' && node.source?.startsWith('+') ? node.source : node.value;
}

/** A syntax error in our words. Codes are the yaml package's; texts that may quote the file are not passed on. */
function explainYaml(code: string, message: string): { reason: string; hint?: string } {
  const known = yamlReasons[code];
  if (known === undefined) return { reason: 'is not valid YAML' };
  const [reason, hint] = known;
  const text = reason === '' ? `is not valid YAML: ${message[0]!.toLowerCase()}${message.slice(1)}` : reason;
  return hint === undefined ? { reason: text } : { reason: text, hint };
}

const yamlReasons: Record<string, readonly [reason: string, hint?: string]> = {
  ALIAS_PROPS: ['an alias cannot have an anchor or a tag'],
  BAD_ALIAS: ['is not a valid alias', 'text that begins with * or & needs quotes'],
  BAD_COLLECTION_TYPE: ['has a tag that is not understood', 'text that begins with ! needs quotes'],
  BAD_DIRECTIVE: ['is not a YAML directive'],
  BAD_DQ_ESCAPE: [
    'has an unknown escape in double quotes',
    'write \\\\ for a backslash, or use single quotes',
  ],
  BAD_INDENT: [''],
  BAD_SCALAR_START: ['begins with a character that YAML reserves', 'put the text in quotes'],
  BLOCK_AS_IMPLICIT_KEY: [
    'is not valid YAML: a second `key:` on one line, or a line indented too far',
    'text with `: ` in it needs quotes',
  ],
  BLOCK_IN_FLOW: ['is not valid YAML: an indented block inside [ ] or { }'],
  MISSING_CHAR: [''],
  MULTILINE_IMPLICIT_KEY: [
    'is not valid YAML: a key over several lines',
    'is the `:` after the key missing?',
  ],
  MULTIPLE_DOCS: ['a configuration is one YAML document', 'remove the line `---`'],
  NON_STRING_KEY: ['a key must be text'],
  RESOURCE_EXHAUSTION: ['is nested too deeply'],
  TAB_AS_INDENT: ['is indented with a tab', 'YAML wants spaces'],
  TAG_RESOLVE_FAILED: ['has a tag that is not understood', 'text that begins with ! needs quotes'],
  UNEXPECTED_TOKEN: ['is not valid YAML here', 'look at the indentation, and for a missing `:` or quote'],
};
