// The words that may come next on a command line: commands, options, choices, and names that exist now (peers and
// guests from the daemon, labs from this machine). It is quick and silent: whatever fails means no candidates.

import { readdirSync } from 'node:fs';
import type { Command, Option } from 'commander';
import type { GuestsView, PeersView } from '../api/views.ts';
import { families } from '../wire/bgp/family.ts';
import type { Context } from './context.ts';

const DAEMON_TIMEOUT_MS = 300;
const LABS = '/run/leafd-lab';

/** Candidates for the last of `words` (which may be empty), those before it being complete. */
export async function complete(root: Command, words: readonly string[], context: Context): Promise<string[]> {
  const last = words.at(-1) ?? '';
  let command = root;
  const typed: string[] = [];
  for (let at = 0; at < words.length - 1; at++) {
    const word = words[at]!;
    if (word === '--') return [];
    const option = word.startsWith('-') ? optionOf(root, command, word) : undefined;
    if (option?.required === true) {
      if (at === words.length - 2) return valuesOf(option, context);
      at++;
    }
    if (word.startsWith('-')) continue;
    const below = command.commands.filter((one) => one.name().startsWith(word));
    const exact = below.find((one) => one.name() === word) ?? (below.length === 1 ? below[0] : undefined);
    if (exact === undefined) typed.push(word);
    else command = exact;
  }
  const candidates = last.startsWith('-')
    ? [...command.options, ...root.options].map((one) => one.long ?? '')
    : [...visibleCommands(command), ...(await argumentsOf(root, command, typed, context))];
  return candidates.filter((one) => one !== '' && one.startsWith(last));
}

function optionOf(root: Command, command: Command, word: string) {
  return [...command.options, ...root.options].find((one) => one.long === word || one.short === word);
}

function visibleCommands(command: Command): string[] {
  return command.commands.map((one) => one.name()).filter((name) => !name.startsWith('_'));
}

async function argumentsOf(
  root: Command,
  command: Command,
  typed: readonly string[],
  context: Context,
): Promise<string[]> {
  const last = command.registeredArguments.at(-1);
  const argument = command.registeredArguments[typed.length] ?? (last?.variadic === true ? last : undefined);
  if (argument === undefined) return [];
  if (argument.argChoices !== undefined) return [...argument.argChoices];
  if (argument.name() === 'peer') return peers(context);
  if (argument.name() === 'guest') return guests(context, ({ name }) => [name]);
  if (argument.name() === 'address')
    return guests(context, ({ addresses }) =>
      addresses.filter((one) => one.state === 'frozen').map((one) => one.address),
    );
  if (command.parent === root) return [];
  if (argument.name() === 'lab') return labs();
  return nodeArguments.has(argument.name()) && typed[0] !== undefined ? nodes(typed[0]) : [];
}

/** Arguments of lab commands that are a node, or begin with one (`NODE:PORT`). */
const nodeArguments = new Set(['node', 'from', 'to', 'end']);

async function valuesOf({ long, argChoices }: Option, context: Context): Promise<string[]> {
  if (argChoices !== undefined) return [...argChoices];
  if (long === '--as') return ['import', 'export'];
  if (long === '--peer') return peers(context);
  if (long === '--family') return families.map(({ name }) => name);
  return [];
}

async function peers(context: Context): Promise<string[]> {
  try {
    const view = await context.client(DAEMON_TIMEOUT_MS).get<PeersView>('/v1/peers');
    return view.peers.map((one) => one.name);
  } catch {
    return [];
  }
}

async function guests(
  context: Context,
  words: (guest: GuestsView['guests'][number]) => string[],
): Promise<string[]> {
  try {
    return (await context.client(DAEMON_TIMEOUT_MS).get<GuestsView>('/v1/guests')).guests.flatMap(words);
  } catch {
    return [];
  }
}

/** A lab's directory has one for each node. */
function nodes(lab: string): string[] {
  if (!/^[\w-]+$/.test(lab)) return [];
  try {
    const entries = readdirSync(`${LABS}/${lab}`, { withFileTypes: true });
    return entries.filter((one) => one.isDirectory()).map((one) => one.name);
  } catch {
    return [];
  }
}

function labs(): string[] {
  try {
    return readdirSync(LABS).filter((name) => !name.includes('.'));
  } catch {
    return [];
  }
}
