// One difference between two intents, and what putting it in force costs: the entries that diff.ts and diff-peers.ts
// make, and how two values, or two lists of named things, become some.

/**
 * The price of a change: nothing; routes judged anew over sessions that stay; a session that is closed and opened
 * again; the daemon started anew.
 */
export type Effect = 'live' | 'soft refresh' | 'session reset' | 'restart';

export type Owner =
  | 'node'
  | 'api'
  | 'bgp'
  | 'peer'
  | 'policy'
  | 'loopback'
  | 'network'
  | 'redistribute'
  | 'route'
  | 'aggregate'
  | 'rpki'
  | 'guests'
  | 'guest'
  | 'guest bridge'
  | 'passthrough'
  | 'passthrough uplink'
  | 'kernel';

export interface Change {
  kind: 'add' | 'remove' | 'change';
  owner: Owner;
  /** Which one: a peer's `key`, a policy's name, a prefix, a key of the section. */
  what: string;
  effect: Effect;
  /** One line for people, without the effect. */
  text: string;
}

/** A switch, for people. */
export const onOff = (value: boolean): string => (value ? 'on' : 'off');

/** Two texts of one value as a change, or undefined where they are the same; absent is undefined. */
export function valueChange(
  before: string | undefined,
  after: string | undefined,
): Pick<Change, 'kind' | 'text'> | undefined {
  if (before === after) return undefined;
  if (before === undefined) return { kind: 'add', text: after! };
  if (after === undefined) return { kind: 'remove', text: `${before} -> none` };
  return { kind: 'change', text: `${before} -> ${after}` };
}

/** Texts of things with a name of their own, by that name. */
export type Texts = ReadonlyMap<string, string>;

/** Things with a name of their own, each with what it says. */
export function diffNamed(owner: Owner, before: Texts, after: Texts): Change[] {
  const changes: Change[] = [];
  const entry = (kind: Change['kind'], what: string, text: string) =>
    changes.push({
      kind,
      owner,
      what,
      effect: 'live',
      text: `${owner} ${what}${text === '' ? '' : `: ${text}`}`,
    });
  for (const [what, text] of before) if (!after.has(what)) entry('remove', what, text);
  for (const [what, text] of after) {
    const previous = before.get(what);
    if (previous === undefined) entry('add', what, text);
    else if (previous !== text) entry('change', what, `${previous} -> ${text}`);
  }
  return changes;
}
