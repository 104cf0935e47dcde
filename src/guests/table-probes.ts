// Asking guests: who is silent and may have an address is asked for it when the port comes up and from time to time
// after that (facts: an IPv4 guest says nothing before it wants something), learned addresses are asked for so that
// they can be forgotten, expected guests so that they answer in the moment in which they run. A guest of which only the
// MAC is known may be on any port that has shown none: there it is asked for too.

import {
  type AddressEntry,
  type BindingEntry,
  keyOf,
  namedBy,
  type PortEntry,
  type TableState,
  times,
} from './table-state.ts';

/** So many guests are looked for at once on a port that has shown no MAC; the next ones the next time. */
const SOUGHT_MOST = 16;

/** Asks on the port as if it had come up now. */
export function probeSoon(state: TableState, port: PortEntry): void {
  port.probeStep = 0;
  port.probeAtMs = state.host.nowMs();
  armPort(state, port);
}

/** Looks for a guest of which only the MAC is known, on each port where it may be. */
export function seek(state: TableState, entry: BindingEntry): void {
  if (!isSought(entry)) return;
  const { bridge } = entry.binding;
  const nowMs = state.host.nowMs();
  for (const port of state.ports.values())
    if (isUnknown(port) && port.up && port.probeAtMs > nowMs && isWithin(port, bridge))
      probeSoon(state, port);
}

/** The next time at which a port has to be looked at. */
export function armPort(state: TableState, port: PortEntry): void {
  state.alarms.set(port, Math.min(port.downAtMs, port.probeAtMs, nextForgetMs(state, port)));
}

/** Sees to it that a port which learned something is asked now and then. */
export function probeInTime(state: TableState, port: PortEntry): void {
  const atMs = state.host.nowMs() + periodMs(state, port);
  if (port.probeAtMs > atMs) port.probeAtMs = atMs;
  armPort(state, port);
}

function nextForgetMs(state: TableState, port: PortEntry): number {
  let earliest = Number.POSITIVE_INFINITY;
  for (const entry of port.learned)
    if (entry.state !== 'frozen' && entry.seenMs < earliest) earliest = entry.seenMs;
  return earliest + state.options.learn.forgetAfterMs;
}

/** Learned addresses that were not seen for too long. */
export function silentFor(state: TableState, port: PortEntry): AddressEntry[] {
  const { forgetAfterMs } = state.options.learn;
  const nowMs = state.host.nowMs();
  // The sum is that of the deadline: were it rounded otherwise, the deadline would come again and again.
  return [...port.learned].filter(
    (entry) => entry.state !== 'frozen' && entry.seenMs + forgetAfterMs <= nowMs,
  );
}

/** Asks for all that may answer, where it is time, and sets the next time. */
export function probeDue(state: TableState, port: PortEntry): void {
  const nowMs = state.host.nowMs();
  if (port.probeAtMs > nowMs) return;
  port.probeAtMs = Number.POSITIVE_INFINITY;
  if (!port.up) return;
  const early = port.probeStep < times.probesMs.length;
  const targets = targetsOf(state, port, early);
  for (const address of targets) state.host.probe(port.port, address.slice());
  if (targets.length === 0 && port.learned.size === 0) return;
  port.probeAtMs = nowMs + pauseMs(state, port);
  port.probeStep++;
}

function pauseMs(state: TableState, port: PortEntry): number {
  const { probesMs, expectedProbeMs } = times;
  const step = port.probeStep;
  if (step + 1 < probesMs.length) return probesMs[step + 1]! - probesMs[step]!;
  const period = periodMs(state, port);
  return port.binding?.binding.expected === undefined ? period : Math.min(period, expectedProbeMs);
}

/** Thousands of ports come up at once; their questions do not come at once. */
function periodMs(state: TableState, port: PortEntry): number {
  const part = Math.imul(port.port.ifindex, 0x9e3779b1) >>> 24;
  return Math.round(state.options.learn.probeEveryMs * (0.75 + part / 1024));
}

function targetsOf(state: TableState, port: PortEntry, early: boolean): Uint8Array[] {
  if (isUnknown(port)) return soughtOn(state, port);
  const targets: Uint8Array[] = [];
  const binding = port.binding;
  if (binding !== undefined) {
    for (const entry of namedBy(state, binding))
      if (
        !entry.bound &&
        (entry.reason === 'noMac' || entry.reason === 'otherNode' || entry.state === 'expected')
      )
        targets.push(entry.address);
    if (state.options.learn.enabled)
      for (const prefix of binding.binding.allowed)
        if (prefix.length === prefix.bytes.length * 8 && !state.addresses.has(keyOf(prefix.bytes)))
          targets.push(prefix.bytes);
  }
  const quietSince = state.host.nowMs() - state.options.learn.probeEveryMs / 2;
  for (const entry of port.learned)
    if (entry.bound && (early || entry.seenMs <= quietSince)) targets.push(entry.address);
  return targets;
}

const isSought = ({ binding, port, shadow }: BindingEntry): boolean =>
  port === undefined && shadow === undefined && binding.port === undefined;

const isUnknown = (port: PortEntry): boolean => port.binding === undefined && port.mac === undefined;

const isWithin = ({ port }: PortEntry, bridge: string | undefined): boolean =>
  bridge === undefined || port.bridge === bridge;

/** An address of each guest that may be on this port; where they are many, others each time. */
function soughtOn(state: TableState, port: PortEntry): Uint8Array[] {
  const sought: Uint8Array[] = [];
  for (const entry of state.bindings.values()) {
    const [address] = entry.binding.addresses;
    if (address !== undefined && isSought(entry) && isWithin(port, entry.binding.bridge))
      sought.push(address);
  }
  const rounds = Math.ceil(sought.length / SOUGHT_MOST);
  const from = rounds === 0 ? 0 : (port.probeStep % rounds) * SOUGHT_MOST;
  return sought.slice(from, from + SOUGHT_MOST);
}
