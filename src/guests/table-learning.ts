// What a frame of a guest means for the table. In this order: is the MAC the port's; is it the sign that an expected
// guest was waited for; may the address be the guest's. An address is refused for the first of these that fits:
// reserved, frozen, another guest's, not allowed here, too many on the port, too many at once, another node's.
//
// An address of another node is taken only where the operator has named it: in `addresses`, as a host prefix in
// `allowed`, or by expecting its guest a moment ago. Elsewhere who came first keeps it; it is asked for again when the
// other node withdraws it, so that a guest that moved without a word to us is found.

import { isLinkLocal6, isUnspecified } from '../net/ip.ts';
import type { AddressReason } from './binding.ts';
import type { Sighting } from './ports.ts';
import { arrive, isAllowedOn, reservedFor, settleAll, shown } from './table-addresses.ts';
import { judgeMac } from './table-macs.ts';
import { bindFree, isTie, take } from './table-moves.ts';
import { want } from './table-ports.ts';
import { probeInTime } from './table-probes.ts';
import { refuse } from './table-refusals.ts';
import {
  type AddressEntry,
  addAddress,
  type BindingEntry,
  keyOf,
  limits,
  namedBy,
  type PortEntry,
  removeAddress,
  sameBytes,
  type TableState,
} from './table-state.ts';

const reasons: Record<Sighting['kind'], AddressReason> = {
  arp: 'arp',
  garp: 'arp',
  rarp: 'rarp',
  dad: 'nd',
  ns: 'nd',
  na: 'nd',
  unsolicitedNa: 'nd',
  dhcp4: 'dhcp',
  dhcp6: 'dhcp',
};

/** A frame of a guest was seen. `landed` ends the expectation of a binding whose guest is here. */
export function sighted(
  state: TableState,
  port: PortEntry,
  sighting: Sighting,
  landed: (binding: BindingEntry) => void,
): void {
  // Frames that waited in a queue while the carrier went.
  if (!port.up) return;
  const { mac, address } = sighting;
  const refusal = judgeMac(state, port, mac) ?? judgeClaim(sighting);
  if (refusal !== undefined) {
    refuse(state, port, refusal, { mac, address });
    return;
  }
  const reason = reasons[sighting.kind];
  const binding = port.binding;
  if (binding?.binding.expected !== undefined) {
    if (!arrive(state, binding)) return;
    landed(binding);
    settleAll(state, binding, 'expected', reason);
  }
  const claimed = address !== undefined && !isUnspecified(address) ? address : undefined;
  if (port.binding !== undefined)
    returnShown(state, port.binding, port, sighting.kind, claimed !== undefined);
  if (claimed !== undefined) consider(state, port, mac, claimed, reason);
}

/** Ethernet and ARP may name different senders: then one of them is a lie. */
function judgeClaim({ mac, claimsMac }: Sighting): 'otherMac' | undefined {
  return claimsMac === undefined || sameBytes(mac, claimsMac) ? undefined : 'otherMac';
}

/**
 * What the frame proves of addresses that another node has, beside the one it claims. A port that just came up waits
 * for any frame. After a loss a guest that announces only its MAC (RARP, as QEMU does after a move) or starts anew
 * (DHCP) means all that it has; one that goes on talking with the others does not claim the one that was taken.
 */
function returnShown(
  state: TableState,
  binding: BindingEntry,
  port: PortEntry,
  kind: Sighting['kind'],
  claims: boolean,
): void {
  const all = !claims && (kind === 'rarp' || kind === 'dhcp4' || kind === 'dhcp6');
  for (const entry of namedBy(state, binding))
    if (entry.state === 'moved' && (all || entry.reason === 'otherNode'))
      if (reservedFor(state, entry.address) === undefined)
        shown(state, entry, port, reasons[kind], isArriving(state, port));
}

function isArriving(state: TableState, port: PortEntry): boolean {
  return port.binding !== undefined && state.host.nowMs() < port.binding.arrivedUntilMs;
}

function consider(
  state: TableState,
  port: PortEntry,
  mac: Uint8Array,
  address: Uint8Array,
  reason: AddressReason,
): void {
  const key = keyOf(address);
  const entry = state.addresses.get(key);
  if (entry?.bound === true && entry.port === port) {
    entry.seenMs = state.host.nowMs();
    if (isTie(entry)) take(state, entry, port, reason, isArriving(state, port));
    return;
  }
  const whose = reservedFor(state, address);
  if (whose !== undefined) {
    // Every guest has link-local addresses; only the gateway's own is not theirs.
    const own = address.length === 16 && isLinkLocal6(address) && state.host.reserved(address) === undefined;
    if (!own) refuse(state, port, 'reserved', { mac, address, because: whose });
  } else if (entry !== undefined) known(state, port, entry, mac, reason);
  else learn(state, port, key, mac, address, reason);
}

/** An address that has an entry, and is not bound on this port. */
function known(
  state: TableState,
  port: PortEntry,
  entry: AddressEntry,
  mac: Uint8Array,
  reason: AddressReason,
): void {
  const about = { mac, address: entry.address };
  const isOurs = entry.named ? entry.binding === port.binding : entry.port === port;
  if (entry.state === 'frozen') refuse(state, port, 'frozen', about);
  else if (!isOurs) refuse(state, port, 'otherGuest', { ...about, because: ownerOf(entry) });
  else if (!entry.named && !mayTake(state, port, entry)) {
    if (entry.state === 'moved') refuse(state, port, 'otherNode', about);
  } else {
    shown(state, entry, port, reason, isArriving(state, port));
    if (entry.bound && entry.named) askForSiblings(state, port);
  }
}

function ownerOf(entry: AddressEntry): string {
  if (entry.binding !== undefined) return entry.binding.binding.name;
  return entry.port?.port.name ?? 'unknown';
}

/** One address of a guest has come back: its others are asked for, since the guest is most likely here as a whole. */
function askForSiblings(state: TableState, port: PortEntry): void {
  for (const entry of namedBy(state, port.binding!))
    if (entry.state === 'moved') state.host.probe(port.port, entry.address.slice());
}

function learn(
  state: TableState,
  port: PortEntry,
  key: string,
  mac: Uint8Array,
  address: Uint8Array,
  reason: AddressReason,
): void {
  const about = { mac, address };
  const { learn: settings } = state.options;
  if (!settings.enabled || !isAllowedOn(state, port, address)) {
    refuse(state, port, 'notAllowed', about);
    return;
  }
  const most = port.binding?.binding.maxAddresses ?? settings.maxAddresses;
  if (port.learned.size >= most || state.addresses.size >= limits.allAddresses) {
    refuse(state, port, 'tooMany', { ...about, because: `${most} at most` });
    return;
  }
  if (!takeToken(state, port)) {
    refuse(state, port, 'tooFast', about);
    return;
  }
  const entry = addAddress(state, key, address);
  const expected = isArriving(state, port);
  if (!mayTake(state, port, entry)) {
    removeAddress(state, entry);
    refuse(state, port, 'otherNode', about);
    state.host.watch(address.slice());
    want(state, port, key, address);
    return;
  }
  entry.binding = port.binding;
  entry.port = port;
  port.learned.add(entry);
  if (entry.heard === undefined) bindFree(state, entry, port, reason, true, expected);
  else take(state, entry, port, reason, expected);
  probeInTime(state, port);
}

/**
 * Whether a learned address may be here, with regard to other nodes. One that was lost to another node is not taken
 * back either: that node names it or expected its guest, and a fight would freeze it there.
 */
function mayTake(state: TableState, port: PortEntry, { heard, address }: AddressEntry): boolean {
  return heard === undefined || isArriving(state, port) || isNamedHost(port, address);
}

function isNamedHost(port: PortEntry, address: Uint8Array): boolean {
  return (
    port.binding?.binding.allowed.some(
      ({ bytes, length }) => length === bytes.length * 8 && sameBytes(bytes, address),
    ) === true
  );
}

function takeToken(state: TableState, port: PortEntry): boolean {
  const { perSecond } = state.options.learn;
  const nowMs = state.host.nowMs();
  const most = Math.max(1, perSecond);
  port.tokens = Math.min(most, port.tokens + ((nowMs - port.tokensAtMs) * perSecond) / 1000);
  port.tokensAtMs = nowMs;
  if (port.tokens < 1) return false;
  port.tokens--;
  return true;
}
