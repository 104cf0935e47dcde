// Commands may be shortened to any unambiguous beginning, as router people expect (`leafctl pe`, `leafctl l s clos`).
// This runs before the grammar: it replaces shortened words by the full ones, knows nothing of what they do, and
// stops at the first word that is no command's name.

import { usageError } from './exit.ts';

/** One command of the grammar and those below it. */
export interface CommandNames {
  name: string;
  commands: readonly CommandNames[];
  /** A word after it may also be a name: commands below it are not shortened. */
  hasArguments: boolean;
  /** Options that take the next word as their value. */
  valued: readonly string[];
}

/** The words with commands written out. Throws a usage error that lists what an ambiguous word could mean. */
export function expandWords(words: readonly string[], root: CommandNames): string[] {
  const expanded = [...words];
  let level = root;
  for (let at = 0; at < expanded.length && level.commands.length > 0; at++) {
    const word = expanded[at]!;
    if (word === '--') break;
    if (word.startsWith('-')) {
      if (root.valued.includes(word) || level.valued.includes(word)) at++;
      continue;
    }
    const found = level.hasArguments
      ? level.commands.find((one) => one.name === word)
      : commandFor(word, expanded.slice(at + 1), level.commands);
    if (found === undefined) break;
    expanded[at] = found.name;
    level = found;
  }
  return expanded;
}

/** The command a word means, or none. */
function commandFor(
  word: string,
  after: readonly string[],
  commands: readonly CommandNames[],
): CommandNames | undefined {
  const exact = commands.find((one) => one.name === word);
  const fitting = commands.filter((one) => one.name.startsWith(word));
  const [first, second, ...more] = fitting;
  // `peer` and `peers`: the words after tell whether something is done to a peer or peers are looked at. Two words
  // are an action and a peer, even if there is no such action, and help is asked for what was written.
  if (first !== undefined && second !== undefined && more.length === 0 && isPair(first, second)) {
    const [group, list] = first.commands.length > 0 ? [first, second] : [second, first];
    const [next, ...others] = after.filter((one) => !one.startsWith('-'));
    if (next === undefined) return exact === group && after.some(isHelp) ? group : list;
    const acts = others.length > 0 || group.commands.some((one) => one.name.startsWith(next));
    return acts ? group : list;
  }
  if (exact !== undefined || fitting.length < 2) return exact ?? first;
  throw usageError(`"${word}" is ambiguous`, fitting.map((one) => one.name).join(', '));
}

function isPair(a: CommandNames, b: CommandNames): boolean {
  const singular = a.name.length < b.name.length ? a.name : b.name;
  const plural = singular === a.name ? b.name : a.name;
  return plural === `${singular}s`;
}

function isHelp(word: string): boolean {
  return word === '-h' || word === '--help';
}
