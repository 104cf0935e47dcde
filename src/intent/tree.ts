// A configuration as a tree of plain nodes that each remember their place: file, line, column. Several files become
// one tree here, and every later complaint is a path into it, so a wrong value in a drop-in is reported in the
// drop-in. Reading YAML into this tree is document.ts's work.

import type { Place } from '../lib/leafd-error.ts';

/** A configuration file's name (as shown in errors) and contents. */
export interface SourceText {
  file: string;
  text: string;
}

export const MAX_FILE_BYTES = 1 << 20;

export type TreeNode = MapNode | ListNode | ScalarNode;

export interface MapNode {
  kind: 'map';
  place: Place;
  entries: Map<string, MapEntry>;
}

export interface MapEntry {
  keyPlace: Place;
  value: TreeNode;
}

export interface ListNode {
  kind: 'list';
  place: Place;
  items: TreeNode[];
}

export interface ScalarNode {
  kind: 'scalar';
  place: Place;
  value: string | number | boolean | null;
}

export type Path = readonly (string | number)[];

/** A complaint about one place of the configuration, before the place is known as a line. */
export interface Problem {
  path: Path;
  reason: string;
  hint?: string;
  /** Where to point: at the value (default) or at the key, for keys that should not be there. */
  at?: 'value' | 'key';
}

/** A complaint with its place: one line of `leafctl check`. */
export interface ConfigProblem {
  where: Place;
  /** Dotted, list positions from 0: `bgp.peers.0.timers.hold`; empty for the file as a whole. */
  path: string;
  reason: string;
  hint?: string;
}

/** Puts the place to a problem: its node, or for what is absent the nearest node around it. */
export function locate(root: TreeNode, problem: Problem): ConfigProblem {
  let where = root.place;
  let node: TreeNode | undefined = root;
  for (let depth = 0; depth < problem.path.length && node !== undefined; depth++) {
    const step = problem.path[depth]!;
    const last = depth === problem.path.length - 1;
    const entry: MapEntry | undefined = node.kind === 'map' ? node.entries.get(String(step)) : undefined;
    const next: TreeNode | undefined = node.kind === 'list' ? node.items[Number(step)] : entry?.value;
    if (next !== undefined) where = last && problem.at === 'key' && entry ? entry.keyPlace : next.place;
    node = next;
  }
  const located: ConfigProblem = { where, path: problem.path.join('.'), reason: problem.reason };
  if (problem.hint !== undefined) located.hint = problem.hint;
  return located;
}

/** The plain values of a tree, as the schema checks them. Maps have no prototype, so no key is special. */
export function plainOf(node: TreeNode): unknown {
  if (node.kind === 'scalar') return node.value;
  if (node.kind === 'list') return node.items.map(plainOf);
  const plain = Object.create(null) as Record<string, unknown>;
  for (const [key, entry] of node.entries) plain[key] = plainOf(entry.value);
  return plain;
}

/** `file:line:column` for people and editors. */
export function formatPlace(place: Place): string {
  return `${place.file}:${place.line}:${place.column}`;
}

/** One line, without the hint: `file:line:column: key.path: reason`. Keys may be others', with control characters. */
export function formatProblem(problem: ConfigProblem): string {
  const path = problem.path === '' ? '' : `${problem.path}: `;
  return oneLine(`${formatPlace(problem.where)}: ${path}${problem.reason}`);
}

/** Text that stays on its line and moves no cursor. */
export function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, '?');
}

/**
 * Adds a drop-in to a configuration: maps merge key by key, lists grow at their end, and a value given twice is a
 * problem (which of two files wins should never depend on their names). Returns problems placed in `added`.
 */
export function mergeTrees(base: MapNode, added: MapNode, path: Path = []): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  for (const [key, entry] of added.entries) {
    const present = base.entries.get(key);
    const here = [...path, key];
    if (present === undefined) base.entries.set(key, entry);
    else if (present.value.kind === 'map' && entry.value.kind === 'map')
      problems.push(...mergeTrees(present.value, entry.value, here));
    else if (present.value.kind === 'list' && entry.value.kind === 'list')
      present.value.items.push(...entry.value.items);
    else
      problems.push({
        where: entry.value.place,
        path: here.join('.'),
        reason: `is already set at ${formatPlace(present.value.place)}`,
        hint: 'a value is given in one file only; lists and sections of several files are joined',
      });
  }
  return problems;
}
