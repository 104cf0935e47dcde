// Promises: what makes two owners impossible (C. G. Gray, D. R. Cheriton, "Leases", 1989, granted by a majority).
//
// Every member, and a witness where there are two, promises each segment to one asker at a time, for `leaseMs` from
// when it hears the asker, by its own clock. An asker owns while a majority's promises must still be running: it counts
// from when it asked, which is before they heard it, less a margin for clocks that do not run alike. Two majorities
// share a voter, and a voter keeps its promise; that is all of it. No clock is compared with another.
//
// - A voter that starts does not know what it promised before: it promises nothing for as long as a promise lasts.
// - Messages may be lost, late, twice, in any order: numbers tell old from new. A release frees only what was
//   promised before it was sent, and a grant counts for nothing after a release.
// - Members with different lists of voters could have majorities that share nobody. A voter with another list
//   lets an owner go on but nobody begin, and an asker who hears of another list does not begin.

/** Times of a lease, in milliseconds of one's own monotonic clock. The same on all members. */
export interface LeaseTimes {
  /** How long a promise lasts. */
  leaseMs: number;
  /** The owner stops so long before the promises it counts on can end: drift of clocks, and time to remove. */
  marginMs: number;
  /** Between two asks of an owner. */
  renewMs: number;
  /** How long the next in rank waits for the one before to take what is vacant. */
  stepMs: number;
}

/** Fast enough for another owner within 3 s, slow enough for addresses whose lifetime is in whole seconds. */
export const MEMBER_TIMES: LeaseTimes = { leaseMs: 2_600, marginMs: 300, renewMs: 300, stepMs: 200 };
/** For leases that etcd keeps. */
export const ETCD_TIMES: LeaseTimes = { leaseMs: 5_000, marginMs: 1_000, renewMs: 1_000, stepMs: 200 };
/** For members known from LXD; promises are among the members as ever. */
export const LXD_TIMES: LeaseTimes = { leaseMs: 6_000, marginMs: 1_000, renewMs: 1_000, stepMs: 300 };

/** "Promise me these." An owner's renewal is the same message. */
export interface Ask {
  kind: 'ask';
  from: string;
  /** Grows with every start of the asker. */
  life: number;
  /** Grows with every ask and release of a life. */
  seq: number;
  /** A digest of the asker's list of voters. */
  voters: number;
  segments: readonly string[];
  /** Segments that the asker should own by rank, while another does; no promise is asked for. */
  wishes: readonly string[];
  /** Voters that have answered the asker lately, itself included. */
  answered: number;
}

/** "I no longer answer for these", said after the addresses are gone. */
export interface Release {
  kind: 'release';
  from: string;
  life: number;
  seq: number;
  segments: readonly string[];
}

export type DenialReason = 'held' | 'fresh' | 'removed' | 'voters' | 'unknown' | 'oldLife';

export interface Denial {
  segment: string;
  why: DenialReason;
  /** Who has the promise, where `why` is `held`. */
  holder?: string;
  /** After which the answer may be another. */
  restMs: number;
}

export interface Answer {
  kind: 'answer';
  from: string;
  /** Of the ask; for `oldLife` the latest life known. */
  life: number;
  seq: number;
  granted: readonly string[];
  denied: readonly Denial[];
}

export type LeaseMessage = Ask | Answer | Release;

interface Promised {
  to: string;
  life: number;
  seq: number;
  untilMs: number;
}

/** One voter's promises. */
export class Voter {
  readonly #name: string;
  readonly #leaseMs: number;
  #voters: number;
  #segments: ReadonlySet<string>;
  /** Until when it promises nothing, because an earlier life may have promised. */
  readonly #freshUntilMs: number;
  readonly #promises = new Map<string, Promised>();
  /** Who seems to own what, of what was heard while no promise was given: only a hint. */
  readonly #heard = new Map<string, { name: string; untilMs: number }>();
  /** The latest number heard of an asker. */
  readonly #latest = new Map<string, { life: number; seq: number }>();

  constructor(options: {
    name: string;
    nowMs: number;
    leaseMs: number;
    voters: number;
    segments: Iterable<string>;
    freshMs?: number;
  }) {
    this.#name = options.name;
    this.#leaseMs = options.leaseMs;
    this.#voters = options.voters;
    this.#segments = new Set(options.segments);
    this.#freshUntilMs = options.nowMs + (options.freshMs ?? options.leaseMs + options.leaseMs / 16);
  }

  /** Promises that run go on: who has one counts on it. */
  configure(voters: number, segments: Iterable<string>): void {
    this.#voters = voters;
    this.#segments = new Set(segments);
  }

  get freshUntilMs(): number {
    return this.#freshUntilMs;
  }

  /** Answers an ask; undefined for one that is older than another of the same asker. `isMember`: who is there. */
  ask(nowMs: number, ask: Ask, isMember: (name: string) => boolean): Answer | undefined {
    const latest = this.#latest.get(ask.from);
    if (latest !== undefined && ask.life < latest.life) {
      const denied = ask.segments.map((segment) => ({ segment, why: 'oldLife' as const, restMs: 0 }));
      return { kind: 'answer', from: this.#name, life: latest.life, seq: ask.seq, granted: [], denied };
    }
    if (latest !== undefined && ask.life === latest.life && ask.seq <= latest.seq) return undefined;
    this.#latest.set(ask.from, { life: ask.life, seq: ask.seq });
    const granted: string[] = [];
    const denied: Denial[] = [];
    for (const segment of ask.segments) {
      const denial = this.#denial(nowMs, ask, segment, isMember);
      if (denial !== undefined) {
        denied.push(denial);
        continue;
      }
      granted.push(segment);
      const untilMs = nowMs + this.#leaseMs;
      this.#promises.set(segment, { to: ask.from, life: ask.life, seq: ask.seq, untilMs });
    }
    return { kind: 'answer', from: this.#name, life: ask.life, seq: ask.seq, granted, denied };
  }

  #denial(nowMs: number, ask: Ask, segment: string, isMember: (name: string) => boolean): Denial | undefined {
    const promised = this.#running(nowMs, segment);
    if (promised !== undefined && promised.to !== ask.from)
      return { segment, why: 'held', holder: promised.to, restMs: promised.untilMs - nowMs };
    if (!this.#segments.has(segment)) return { segment, why: 'unknown', restMs: this.#leaseMs };
    if (nowMs < this.#freshUntilMs) {
      this.#heard.set(segment, { name: ask.from, untilMs: nowMs + this.#leaseMs });
      return { segment, why: 'fresh', restMs: this.#freshUntilMs - nowMs };
    }
    if (!isMember(ask.from)) return { segment, why: 'removed', restMs: this.#leaseMs };
    if (promised === undefined && ask.voters !== this.#voters)
      return { segment, why: 'voters', restMs: this.#leaseMs };
    return undefined;
  }

  /** Frees what was promised before the release was sent. */
  release(release: Release): void {
    const latest = this.#latest.get(release.from);
    if (latest !== undefined && release.life < latest.life) return;
    if (latest !== undefined && release.life === latest.life && release.seq <= latest.seq) {
      // Overtaken by a later ask: what that one renewed stays, the rest is freed below by its own number.
      this.#free(release);
      return;
    }
    this.#latest.set(release.from, { life: release.life, seq: release.seq });
    this.#free(release);
  }

  #free(release: Release): void {
    for (const segment of release.segments) {
      const promised = this.#promises.get(segment);
      if (promised?.to === release.from && promised.life === release.life && promised.seq < release.seq)
        this.#promises.delete(segment);
      if (this.#heard.get(segment)?.name === release.from) this.#heard.delete(segment);
    }
  }

  /** Who has, or seems to have, a segment, and until when at least it will. */
  holder(nowMs: number, segment: string): { name: string; untilMs: number } | undefined {
    const promised = this.#running(nowMs, segment);
    if (promised !== undefined) return { name: promised.to, untilMs: promised.untilMs };
    const heard = this.#heard.get(segment);
    return heard !== undefined && nowMs < heard.untilMs ? heard : undefined;
  }

  #running(nowMs: number, segment: string): Promised | undefined {
    const promised = this.#promises.get(segment);
    if (promised === undefined || nowMs < promised.untilMs) return promised;
    this.#promises.delete(segment);
    return undefined;
  }
}
