// Who is there: a member set that stands still while its source stutters. A gateway that moves because a list was
// empty for a second is worse than one that moves late, so:
//
// - before anything was told, every configured member is presumed to be there;
// - a report without a majority of the configured members changes nothing (an empty list, all "Offline" after a
//   change of leader, a route reflector that restarts): it says more about the source than about the members;
// - one who is missing is removed after a hold: at once (but for a breath in which a burst of withdrawals is told to
//   its end) where the source is a routing protocol, after 20 s where it is a slow list;
// - one who comes back is taken in after it has been there for a while without a break.
//
// The set only says who should own; who may own is decided by promises (owner-lease.ts), whatever the set says.

/** How far a source's silence about a member is to be believed. */
export type Pace = 'immediate' | 'slow';

/** What a source says at one time: the configured names it sees alive, or that it does not answer. */
export type MemberReport = { kind: 'list'; pace: Pace; alive: readonly string[] } | { kind: 'silent' };

export interface MemberHolds {
  /** Before a loss told by an immediate source counts. */
  settleMs: number;
  /** Before a loss told by a slow source counts. */
  slowMs: number;
  /** Before one who is back counts. */
  joinMs: number;
}

export const MEMBER_HOLDS: MemberHolds = { settleMs: 150, slowMs: 20_000, joinMs: 5_000 };

/** How many of `count` voters are a majority. */
export function majorityOf(count: number): number {
  return Math.floor(count / 2) + 1;
}

interface Standing {
  in: boolean;
  /** Since when reports say the opposite of `in`; undefined while they agree. */
  againstMs: number | undefined;
}

export class MemberSet {
  readonly #holds: MemberHolds;
  #standing: Map<string, Standing>;
  #pace: Pace = 'immediate';
  /** Reports that changed nothing: of a minority, or silence. */
  ignored = 0;

  constructor(configured: readonly string[], holds: MemberHolds = MEMBER_HOLDS) {
    this.#holds = holds;
    this.#standing = new Map(configured.map((name) => [name, { in: true, againstMs: undefined }]));
  }

  /** Other members are configured: those who stay keep their standing, new ones are presumed to be there. */
  configure(configured: readonly string[]): void {
    this.#standing = new Map(
      configured.map((name) => [name, this.#standing.get(name) ?? { in: true, againstMs: undefined }]),
    );
  }

  /** Takes a report. Names that are not configured say nothing. */
  report(nowMs: number, report: MemberReport): void {
    this.#settle(nowMs);
    const alive = new Set(
      report.kind === 'list' ? report.alive.filter((name) => this.#standing.has(name)) : [],
    );
    if (report.kind === 'silent' || alive.size < majorityOf(this.#standing.size)) {
      // What was told before is in doubt, too: holds begin anew with the next good report.
      this.ignored++;
      for (const standing of this.#standing.values()) standing.againstMs = undefined;
      return;
    }
    this.#pace = report.pace;
    for (const [name, standing] of this.#standing) {
      if (standing.in === alive.has(name)) standing.againstMs = undefined;
      else standing.againstMs ??= nowMs;
    }
  }

  /** Names of the set, in the order of the configuration. */
  members(nowMs: number): string[] {
    this.#settle(nowMs);
    return [...this.#standing].filter(([, standing]) => standing.in).map(([name]) => name);
  }

  has(name: string, nowMs: number): boolean {
    this.#settle(nowMs);
    return this.#standing.get(name)?.in ?? false;
  }

  /** When the set changes next if nothing else is told. */
  nextMs(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const standing of this.#standing.values())
      if (standing.againstMs !== undefined)
        next = Math.min(next, standing.againstMs + this.#holdMs(standing));
    return next;
  }

  #holdMs(standing: Standing): number {
    if (!standing.in) return this.#holds.joinMs;
    return this.#pace === 'slow' ? this.#holds.slowMs : this.#holds.settleMs;
  }

  #settle(nowMs: number): void {
    for (const standing of this.#standing.values())
      if (standing.againstMs !== undefined && nowMs >= standing.againstMs + this.#holdMs(standing)) {
        standing.in = !standing.in;
        standing.againstMs = undefined;
      }
  }
}
