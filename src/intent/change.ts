// One difference between two intents, and what putting it in force costs: the entries that diff.ts and diff-peers.ts
// make, and how two values become one.

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
