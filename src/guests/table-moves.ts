// How an address comes to be announced here, and how it goes to another node and comes back (after MAC mobility,
// RFC 7432 sections 7.7 and 15.1).
//
// Each announcement has a move sequence; the highest of all nodes has the address. Who takes an address from another
// node says one more than the highest heard, and calls it fresh for a while. Who hears a higher one than his own stops.
//
// - A move is expected where a binding was told to expect its guest, or an operator attaches one that is. Every other
//   take from another node counts, and so does losing again what was taken so. `duplicateMoves` of these within
//   `duplicateWithinMs` freeze the address here, before it is taken once more. Of two guests with one address the
//   newcomer takes first, so his count is always ahead, and he freezes; who only defends himself never does first.
// - For a moment after a loss (`holdMs`) frames of the guest prove nothing, for they may have waited in a queue while
//   it moved; the guest is asked again then. An expected guest that is lost and seen at once is treated the same.
// - When the other node withdraws, a named address comes back by itself with the sequence it had: the guest is asked,
//   and after `returnMs` it is announced, answer or not. A node that only flaps has a higher sequence and gets it back
//   without a fight; each such return takes twice as long as the one before. One that only waited for the other node,
//   on a port that came up, need not wait the first time. A learned one waits for its guest.

import { formatIp } from '../net/ip.ts';
import type { AddressReason, AddressState } from './binding.ts';
import type { GuestEvent, Heard } from './ports.ts';
import {
  type AddressEntry,
  armAddress,
  limits,
  type PortEntry,
  removeAddress,
  type TableState,
  times,
} from './table-state.ts';

type AddressEvent = Extract<GuestEvent, { address: Uint8Array; reason: unknown }>;

/** Tells what happened to an address; `what` continues a sentence that begins with it. */
export function tellAddress(
  state: TableState,
  entry: AddressEntry,
  kind: AddressEvent['kind'],
  reason: AddressEvent['reason'],
  what: string,
): void {
  const port = entry.port ?? entry.binding?.port;
  state.host.event({
    kind,
    address: entry.address.slice(),
    ...(entry.binding === undefined ? {} : { binding: entry.binding.binding.name }),
    ...(port === undefined ? {} : { port: port.port.name }),
    state: entry.state,
    reason,
    text: `${formatIp(entry.address)} ${what}`,
  });
}

/** Puts an entry, bound or not, into a state; the time counts from its last change. */
export function enter(state: TableState, entry: AddressEntry, to: AddressState, reason: AddressReason): void {
  if (entry.state === to && entry.reason === reason) return;
  if (entry.state !== to) entry.sinceMs = state.host.wallMs();
  entry.state = to;
  entry.reason = reason;
  state.host.changed();
}

/** Makes the world have the address at the port, or makes it so again with what has changed. */
function bindAt(state: TableState, entry: AddressEntry, port: PortEntry): void {
  entry.bound = true;
  entry.port = port;
  port.lived = true;
  state.host.bind({
    address: entry.address.slice(),
    port: port.port,
    mac: port.mac!.slice(),
    sequence: entry.sequence,
    fresh: entry.fresh,
  });
}

/** The port or its MAC has changed under an address that stays. */
export function bindAgain(state: TableState, entry: AddressEntry): void {
  if (entry.bound) bindAt(state, entry, entry.port!);
}

/** Announces with the sequence that the entry has. */
export function bind(
  state: TableState,
  entry: AddressEntry,
  port: PortEntry,
  reason: AddressReason,
  fresh = false,
): void {
  entry.fresh = fresh && state.options.moves.freshForMs > 0;
  const nowMs = state.host.nowMs();
  entry.freshUntilMs = entry.fresh ? nowMs + state.options.moves.freshForMs : Number.POSITIVE_INFINITY;
  entry.returnAtMs = Number.POSITIVE_INFINITY;
  entry.noted = false;
  bindAt(state, entry, port);
  enter(state, entry, entry.named ? 'attached' : 'learned', reason);
  armAddress(state, entry);
  state.host.changed();
}

/** Announces an address that nobody else has. `proven`: the guest showed itself here, so older news are outdone. */
export function bindFree(
  state: TableState,
  entry: AddressEntry,
  port: PortEntry,
  reason: AddressReason,
  proven: boolean,
  fresh = false,
): void {
  if (proven && entry.highest > entry.sequence) entry.sequence = next(entry.highest);
  entry.tookUnexpectedly = false;
  bind(state, entry, port, reason, fresh);
  const kind = entry.named ? 'guest-attached' : 'guest-learned';
  tellAddress(state, entry, kind, reason, `is at ${port.port.name}`);
}

/** Takes back what was bound; the entry stays. */
export function unbind(state: TableState, entry: AddressEntry): void {
  if (!entry.bound) return;
  entry.bound = false;
  entry.fresh = false;
  entry.freshUntilMs = Number.POSITIVE_INFINITY;
  if (entry.named) entry.port = undefined;
  armAddress(state, entry);
  state.host.unbind(entry.address.slice());
  state.host.changed();
}

function next(sequence: number): number {
  return Math.min(sequence + 1, limits.sequence);
}

/** Takes an address from the node that announces it, unless that has happened too often. */
export function take(
  state: TableState,
  entry: AddressEntry,
  port: PortEntry,
  reason: AddressReason,
  expected: boolean,
): void {
  if (!expected && strike(state, entry)) return;
  entry.sequence = next(Math.max(entry.sequence, entry.highest, entry.heard?.sequence ?? 0));
  entry.tookUnexpectedly = !expected;
  bind(state, entry, port, reason, true);
  const how = expected ? 'as expected' : 'from another node, unexpected';
  tellAddress(state, entry, 'guest-moved', reason, `has moved here, to ${port.port.name}, ${how}`);
}

/** Counts an unexpected move; true where it was one too many and the address is frozen now. */
function strike(state: TableState, entry: AddressEntry): boolean {
  const nowMs = state.host.nowMs();
  const { duplicateMoves, duplicateWithinMs } = state.options.moves;
  const moves = (state.histories.get(entry.key) ?? []).filter((at) => nowMs - at < duplicateWithinMs);
  moves.push(nowMs);
  // The entry moves to the end: the one that goes first is the one that was quiet longest.
  state.histories.delete(entry.key);
  state.histories.set(entry.key, moves);
  if (state.histories.size > limits.histories)
    state.histories.delete(state.histories.keys().next().value as string);
  if (moves.length < duplicateMoves) return false;
  freeze(state, entry);
  return true;
}

function freeze(state: TableState, entry: AddressEntry): void {
  unbind(state, entry);
  entry.returnAtMs = Number.POSITIVE_INFINITY;
  entry.noted = false;
  armAddress(state, entry);
  enter(state, entry, 'frozen', 'duplicate');
  const { duplicateMoves, duplicateWithinMs } = state.options.moves;
  const often = `${duplicateMoves} unexpected moves in ${Math.round(duplicateWithinMs / 1000)} s`;
  tellAddress(state, entry, 'guest-frozen', 'duplicate', `is frozen here: ${often}`);
}

/** A frozen entry that nothing holds any more; the oldest beyond the limit are forgotten. */
export function orphan(state: TableState, entry: AddressEntry): void {
  entry.port?.learned.delete(entry);
  entry.port = undefined;
  entry.binding = undefined;
  entry.named = false;
  state.orphans.add(entry);
  if (state.orphans.size > limits.orphans)
    removeAddress(state, state.orphans.values().next().value as AddressEntry);
  state.host.changed();
}

/** Another node has a higher sequence: what is here ends, and the kernel forwards there. */
function lose(state: TableState, entry: AddressEntry): void {
  const counts = entry.tookUnexpectedly;
  entry.tookUnexpectedly = false;
  entry.holdUntilMs = state.host.nowMs() + times.holdMs;
  if (entry.binding !== undefined) entry.binding.arrivedUntilMs = Number.NEGATIVE_INFINITY;
  unbind(state, entry);
  if (counts && strike(state, entry)) return;
  const awaited = entry.named && entry.binding?.binding.expected !== undefined;
  if (awaited) enter(state, entry, 'expected', 'migration');
  else enter(state, entry, 'moved', 'higherSequence');
  tellAddress(state, entry, 'guest-moved', 'higherSequence', 'has moved to another node');
}

/** What other nodes say of an address has changed. */
export function heardOf(state: TableState, entry: AddressEntry, heard: Heard | undefined): void {
  entry.heard = heard;
  if (heard !== undefined && heard.sequence > entry.highest) entry.highest = heard.sequence;
  if (entry.bound) {
    if (heard !== undefined && heard.sequence > entry.sequence) lose(state, entry);
    else if (isTie(entry)) state.host.probe(entry.port!.port, entry.address.slice());
    return;
  }
  if (entry.state !== 'moved') return;
  const port = entry.port ?? entry.binding?.port;
  entry.returnAtMs = Number.POSITIVE_INFINITY;
  if (heard === undefined && port?.up === true) {
    state.host.probe(port.port, entry.address.slice());
    // One that was never here and only waited has waited long enough, the first time.
    const isFirst = entry.reason === 'otherNode' && entry.returnDelayMs === times.returnMs;
    if (entry.named) returnLater(state, entry, isFirst ? 0 : entry.returnDelayMs);
  }
  armAddress(state, entry);
}

/**
 * Two nodes took the address without having heard of each other. The one whose guest answers takes it once more, and
 * the other hears of that. Without a move there is no tie: an address may be served in several places on purpose.
 */
export function isTie(entry: AddressEntry): boolean {
  return entry.bound && entry.sequence > 0 && entry.heard?.sequence === entry.sequence;
}

/** A named address that moved away comes back then, unless somebody is heard until then. */
export function returnLater(state: TableState, entry: AddressEntry, delayMs: number): void {
  entry.returnAtMs = state.host.nowMs() + delayMs;
  entry.returnDelayMs = Math.min(Math.max(delayMs, times.returnMs) * 2, times.returnMostMs);
  armAddress(state, entry);
}

/** Whether frames prove nothing yet. The guest is asked again when they do. */
export function isHeld(state: TableState, entry: AddressEntry): boolean {
  if (entry.heard === undefined || state.host.nowMs() >= entry.holdUntilMs) return false;
  entry.noted = true;
  armAddress(state, entry);
  return true;
}

/** The guest of an address that is with another node has shown itself here. */
export function comeBack(
  state: TableState,
  entry: AddressEntry,
  port: PortEntry,
  reason: AddressReason,
  expected: boolean,
): void {
  if (isHeld(state, entry)) return;
  if (entry.heard === undefined) bindFree(state, entry, port, reason, true);
  else take(state, entry, port, reason, expected);
}

/** The deadline of an address has come. */
export function addressDue(state: TableState, entry: AddressEntry): void {
  const nowMs = state.host.nowMs();
  if (entry.freshUntilMs <= nowMs) settleFresh(state, entry);
  const port = entry.port ?? entry.binding?.port;
  if (entry.noted && entry.holdUntilMs <= nowMs) {
    entry.noted = false;
    if (!entry.bound && port?.up === true) state.host.probe(port.port, entry.address.slice());
  }
  if (entry.returnAtMs <= nowMs) {
    entry.returnAtMs = Number.POSITIVE_INFINITY;
    const free = entry.state === 'moved' && entry.heard === undefined && entry.named;
    const here = port?.up === true && port.mac !== undefined;
    if (free && here && state.host.reserved(entry.address) === undefined)
      bindFree(state, entry, port, 'bound', false);
  }
  armAddress(state, entry);
}

function settleFresh(state: TableState, entry: AddressEntry): void {
  entry.freshUntilMs = Number.POSITIVE_INFINITY;
  if (!entry.bound || !entry.fresh) return;
  entry.fresh = false;
  bindAgain(state, entry);
  state.host.changed();
}
