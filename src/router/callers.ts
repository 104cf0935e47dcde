// Those who call and are not let in, and those who come back too often. A connection that nobody expects is refused
// before anything is kept of it, and the operator is told now and then how many there were. A peer that a range made
// is forgotten when its session ends; how often it failed is not, for as long as an idle hold may last, or a stranger
// in a range could make sessions fail as fast as it can connect. The memory is bounded: the oldest go first.

import { defaultIdleHoldMaxMs, idleHoldMs } from '../session/damping.ts';

/** Why a connection was refused. */
export type Refusal =
  /** Neither a peer nor within a range. */
  | 'stranger'
  /** An address of this machine that the operator has not named. */
  | 'ownAddress'
  /** The range has as many peers as it may. */
  | 'rangeFull'
  /** Too many of the range have connected and not come up. */
  | 'halfOpen'
  /** It failed too often of late. */
  | 'paused'
  /** The peer is shut down, or held. */
  | 'disabled'
  /** It has a connection already, or is not the neighbour that was heard. */
  | 'unexpected'
  /** It came from farther away than it may (RFC 5082). */
  | 'tooFar'
  /** It does not carry the key that the peer has (RFC 2385). */
  | 'unsigned'
  /** The other end is on this machine, and somebody's who may not speak for it. */
  | 'otherUser'
  /** The other end should be on this machine, and no process here holds it. */
  | 'noProcess';

const words: Readonly<Record<Refusal, string>> = {
  stranger: 'not a configured peer',
  ownAddress: 'an address of this machine',
  rangeFull: 'the range has as many peers as it may',
  halfOpen: 'too many of the range have connected and said nothing',
  paused: 'it failed too often',
  disabled: 'shut down or held here',
  unexpected: 'it has a connection, or is not the neighbour that was heard',
  tooFar: 'it is farther away than TTL security allows',
  unsigned: 'it does not carry the TCP MD5 key',
  otherUser: 'it is of a user of this host who may not be the speaker (users)',
  noProcess: 'no process of this host holds it: forwarded for another, or closed already',
};

/** The refusal in words; `detail`: what is known of the caller. */
export function refusalText(why: Refusal, detail = ''): string {
  return detail === '' ? words[why] : `${words[why]}: ${detail}`;
}

/** The operator is told of refusals at most so often. */
const TELL_EVERY_MS = 60_000;
/** What the operator has asked for, or what a neighbour in good faith runs into, is counted only. */
const untold: ReadonlySet<Refusal> = new Set(['disabled', 'unexpected', 'paused']);
const REMEMBERED_MAX = 4096;
/** Failures in a row that a stranger has free; as for peers that are there (sessions.ts). */
const FREE_FAILURES = 5;

/** Counts refusals, and says when one is worth telling. */
export class Refusals {
  readonly counts: Record<Refusal, number> = {
    stranger: 0,
    ownAddress: 0,
    rangeFull: 0,
    halfOpen: 0,
    paused: 0,
    disabled: 0,
    unexpected: 0,
    tooFar: 0,
    unsigned: 0,
    otherUser: 0,
    noProcess: 0,
  };
  #untold = 0;
  #toldAtMs = Number.NEGATIVE_INFINITY;

  /** One refusal; what to tell of it, if anything now. `detail`: of this one. */
  add(why: Refusal, nowMs: number, detail = ''): string | undefined {
    this.counts[why]++;
    if (untold.has(why)) return undefined;
    if (nowMs - this.#toldAtMs < TELL_EVERY_MS) {
      this.#untold++;
      return undefined;
    }
    const others = this.#untold === 0 ? '' : `; ${this.#untold} more since the last such line`;
    this.#untold = 0;
    this.#toldAtMs = nowMs;
    return `connection refused: ${refusalText(why, detail)}${others}`;
  }
}

interface Failures {
  oscillations: number;
  pausedUntilMs: number;
}

/** The failures of addresses that no peer stands for any more. */
export class FailedCallers {
  readonly #byAddress = new Map<string, Failures>();

  /** A peer of a range has gone after so many failures in a row; 0: after none. */
  remember(address: string, oscillations: number, idleHold: number | undefined, nowMs: number): void {
    this.#byAddress.delete(address);
    if (oscillations === 0) return;
    const beyond = Math.max(0, oscillations - FREE_FAILURES);
    const pauseMs = beyond === 0 ? 0 : idleHoldMs(beyond, { idleHoldMs: idleHold ?? 1000 });
    this.#byAddress.set(address, { oscillations, pausedUntilMs: nowMs + pauseMs });
    if (this.#byAddress.size > REMEMBERED_MAX)
      for (const oldest of this.#byAddress.keys()) {
        this.#byAddress.delete(oldest);
        return;
      }
  }

  isPaused(address: string, nowMs: number): boolean {
    return (this.#byAddress.get(address)?.pausedUntilMs ?? 0) > nowMs;
  }

  /** What a new peer with this address begins with; the address is not remembered any more. */
  take(address: string, nowMs: number): number {
    const failures = this.#byAddress.get(address);
    if (failures === undefined) return 0;
    this.#byAddress.delete(address);
    return nowMs > failures.pausedUntilMs + defaultIdleHoldMaxMs ? 0 : failures.oscillations;
  }

  get size(): number {
    return this.#byAddress.size;
  }
}
