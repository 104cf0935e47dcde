// What peers did wrong in UPDATEs (RFC 7606 section 8: it has to be logged, with enough to find the culprit). Every
// fault is counted by peer, attribute and disposition; the last ones are kept with their bytes; and each is told as
// an event, but only so many a minute: what goes beyond is told as one number when the minute is over. All of it is
// bounded, so that a peer that errs a thousand times a second costs what one does that errs twenty times.

import { hexText } from '../net/hex.ts';
import { attributeRows } from '../wire/bgp/attribute/table.ts';
import { families } from '../wire/bgp/family.ts';
import type { Disposition, Fault } from '../wire/bgp/fault.ts';
import type { Peer } from './peer.ts';
import type { RouterEvent } from './ports.ts';

/** Told of one peer in a minute, one by one. */
const TOLD_A_MINUTE = 20;
const MINUTE_MS = 60_000;
/** Kinds counted apart (attribute and disposition); what a peer invents beyond counts as one. */
const KINDS_MAX = 64;
/** Faults kept with all that is known of them. */
const RECENT_MAX = 16;
/** Of an attribute, for people. */
const BYTES_MAX = 64;

/** No attribute: the message itself, or its NLRI. */
const NO_ATTRIBUTE = -1;
/** More kinds than are counted apart. */
export const ANY_ATTRIBUTE = -2;

/** One fault, as it is told. */
export interface FaultReport {
  atMs: number;
  /** Type code, or NO_ATTRIBUTE. */
  attribute: number;
  /** `AS_PATH`, `attribute 99`, `UPDATE`. */
  name: string;
  /** Within the body of the UPDATE. */
  offset?: number;
  /** What stands there: hex, at most 64 bytes. */
  bytes?: string;
  disposition: Disposition;
  /** In words, with the RFC where the decoder names one. */
  reason: string;
  /** The family that is not used any more, with `disable`. */
  family?: string;
}

/** How often a peer did one thing wrong, since it is known. */
export interface FaultCount {
  attribute: number;
  name: string;
  disposition: Disposition;
  count: number;
  lastAtMs: number;
}

/** All that is remembered of a peer's faults; it outlives sessions. */
export interface PeerFaults {
  total: number;
  counts: FaultCount[];
  /** The latest last. */
  recent: FaultReport[];
  /** Beginning of the minute under way, and what was told and not told in it. */
  minuteAtMs: number;
  told: number;
  untold: number;
}

export function noFaults(): PeerFaults {
  return { total: 0, counts: [], recent: [], minuteAtMs: Number.NEGATIVE_INFINITY, told: 0, untold: 0 };
}

export class FaultLog {
  readonly #event: (event: RouterEvent) => void;
  readonly #nowMs: () => number;
  /** Peers of whom something has not been told in this minute. */
  readonly #silent = new Set<Peer>();

  constructor(event: (event: RouterEvent) => void, nowMs: () => number) {
    this.#event = event;
    this.#nowMs = nowMs;
  }

  /** Counts a fault, and tells it unless there were many in this minute. */
  record(peer: Peer, fault: Fault): void {
    const { faults } = peer;
    const nowMs = this.#nowMs();
    faults.total++;
    count(faults, fault, nowMs);
    if (nowMs >= faults.minuteAtMs + MINUTE_MS) this.#newMinute(peer, nowMs);
    if (faults.told >= TOLD_A_MINUTE) {
      faults.untold++;
      this.#silent.add(peer);
      return;
    }
    faults.told++;
    const report = reportOf(fault, nowMs);
    faults.recent.push(report);
    if (faults.recent.length > RECENT_MAX) faults.recent.shift();
    this.#event({ kind: 'malformed', peer: peer.name, text: textOf(report), fault: report });
  }

  /** Tells how much was not told where a minute is over. */
  expire(): void {
    if (this.#silent.size === 0) return;
    const nowMs = this.#nowMs();
    for (const peer of this.#silent)
      if (nowMs >= peer.faults.minuteAtMs + MINUTE_MS) this.#newMinute(peer, nowMs);
  }

  /** When `expire` has something to tell, or Infinity. */
  nextDeadlineMs(): number {
    let earliest = Number.POSITIVE_INFINITY;
    for (const { faults } of this.#silent) earliest = Math.min(earliest, faults.minuteAtMs + MINUTE_MS);
    return earliest;
  }

  #newMinute(peer: Peer, nowMs: number): void {
    const { faults } = peer;
    if (faults.untold > 0) {
      const text = `${faults.untold} more faults within a minute, counted but not told one by one`;
      this.#event({ kind: 'malformed', peer: peer.name, text });
    }
    faults.minuteAtMs = nowMs;
    faults.told = 0;
    faults.untold = 0;
    this.#silent.delete(peer);
  }
}

function count(faults: PeerFaults, fault: Fault, nowMs: number): void {
  const attribute = fault.attribute ?? NO_ATTRIBUTE;
  const { counts } = faults;
  let entry = counts.find((c) => c.attribute === attribute && c.disposition === fault.disposition);
  if (entry === undefined && counts.length >= KINDS_MAX)
    entry = counts.find((c) => c.attribute === ANY_ATTRIBUTE && c.disposition === fault.disposition);
  if (entry === undefined) {
    const known = counts.length < KINDS_MAX ? attribute : ANY_ATTRIBUTE;
    entry = {
      attribute: known,
      name: nameOf(known),
      disposition: fault.disposition,
      count: 0,
      lastAtMs: nowMs,
    };
    counts.push(entry);
  }
  entry.count++;
  entry.lastAtMs = nowMs;
}

function reportOf(fault: Fault, nowMs: number): FaultReport {
  const attribute = fault.attribute ?? NO_ATTRIBUTE;
  const { disposition, reason } = fault;
  const report: FaultReport = { atMs: nowMs, attribute, name: nameOf(attribute), disposition, reason };
  if (fault.offset !== undefined) report.offset = fault.offset;
  if (fault.bytes !== undefined)
    report.bytes = hexText(fault.bytes, 0, Math.min(fault.bytes.length, BYTES_MAX));
  if (fault.family !== undefined) report.family = families[fault.family]!.name;
  return report;
}

function textOf({ name, offset, bytes, disposition, reason, family }: FaultReport): string {
  const answer = family === undefined ? disposition : `${disposition} ${family}`;
  const where =
    offset === undefined ? '' : `; ${name} at ${offset}${bytes === undefined ? '' : `: ${bytes}`}`;
  return `${reason} (RFC 7606: ${answer}${where})`;
}

function nameOf(attribute: number): string {
  if (attribute === NO_ATTRIBUTE) return 'UPDATE';
  if (attribute === ANY_ATTRIBUTE) return 'others';
  return attributeRows[attribute]?.name ?? `attribute ${attribute}`;
}
