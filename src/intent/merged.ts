// One peer's keys over those of its group. Every merged value remembers the path it came from, so that a fault
// inherited from a group is reported where it was written. Also what the judges of peers hand to each other.

import { parseDuration } from './duration.ts';
import type { RemoteAs } from './intent.ts';
import type { GroupConfig, PeerConfig } from './schema-peer.ts';
import { suggestion } from './suggest.ts';
import type { Path, Problem } from './tree.ts';

/** What reading a password file gave. `exposed`: others than its owner can read it. */
export type SecretFile =
  | { kind: 'read'; text: string; exposed: boolean }
  | { kind: 'failed'; reason: string };

/** Collects what is wrong and what is merely unwise. */
export interface Findings {
  problems: Problem[];
  warnings: Problem[];
}

export interface PeerContext extends Findings {
  localAsn: number;
  hasProfile: boolean;
  /** bgp.asSet. */
  asSet: 'refuse' | 'accept';
  /** Reads the file named at a path of the configuration. */
  readSecret: (file: string, path: Path) => SecretFile;
}

export type OptionKey = keyof GroupConfig;

/** One peer's keys over its group's, each value with the path it was written at. */
export class Merged {
  readonly path: Path;
  private readonly peer: PeerConfig;
  private readonly group: GroupConfig | undefined;
  private readonly groupPath: Path;

  constructor(peer: PeerConfig, path: Path, group: GroupConfig | undefined, groupPath: Path) {
    this.peer = peer;
    this.path = path;
    this.group = group;
    this.groupPath = groupPath;
  }

  get<Key extends OptionKey>(key: Key): GroupConfig[Key] {
    return (this.peer as GroupConfig)[key] ?? this.group?.[key];
  }

  pathOf(key: OptionKey, ...more: (string | number)[]): Path {
    const own = (this.peer as GroupConfig)[key] !== undefined || this.group?.[key] === undefined;
    return [...(own ? this.path : this.groupPath), key, ...more];
  }

  /** Whether the peer itself, not its group, says so. */
  isOwn(key: OptionKey): boolean {
    return (this.peer as GroupConfig)[key] !== undefined;
  }

  /** Timers merge one by one. */
  timer(key: 'hold' | 'keepalive' | 'connectRetry'): { ms: number; path: Path } | undefined {
    const own = this.peer.timers?.[key];
    const text = own ?? this.group?.timers?.[key];
    if (text === undefined) return undefined;
    return { ms: parseDuration(text)!, path: [...(own ? this.path : this.groupPath), 'timers', key] };
  }
}

/** A reference to something that does not exist. */
export function unknownName(path: Path, kind: string, name: string, known: readonly string[]): Problem {
  const hint = suggestion(name, known);
  return { path, reason: `there is no ${kind} "${name}"`, ...(hint === undefined ? {} : { hint }) };
}

/** Adds a problem. */
export function complain(findings: Findings, path: Path, reason: string, hint?: string): void {
  findings.problems.push({ path, reason, ...(hint === undefined ? {} : { hint }) });
}

/** Whether a peer may turn out to be in our own AS. */
export function canBeInternal(remoteAs: RemoteAs, localAsn: number): boolean {
  if (remoteAs.kind !== 'list') return remoteAs.kind !== 'external';
  return remoteAs.ranges.some(([low, high]) => low <= localAsn && localAsn <= high);
}

/** Whether a peer may turn out to be in another AS. */
export function canBeExternal(remoteAs: RemoteAs, localAsn: number): boolean {
  if (remoteAs.kind !== 'list') return remoteAs.kind !== 'internal';
  return remoteAs.ranges.some(([low, high]) => low !== localAsn || high !== localAsn);
}

/** A duration within bounds, or its default. */
export function durationOf(
  text: string | undefined,
  otherwise: string,
  path: Path,
  [low, high]: readonly [low: string, high: string],
  findings: Findings,
): number {
  const ms = parseDuration(text ?? otherwise)!;
  if (ms < parseDuration(low)! || ms > parseDuration(high)!)
    complain(findings, path, `must be from ${low} to ${high}`);
  return ms;
}
