// What was refused: a counter each time, an event where the same was not told a moment ago. A guest chooses the
// addresses and MACs of its frames, so what is remembered of a port is bounded: beyond that only counters go on.

import { formatIp } from '../net/ip.ts';
import { formatMac } from '../net/mac.ts';
import type { Refusal } from './binding.ts';
import {
  type Counts,
  keyOf,
  limits,
  type PortEntry,
  type Refused,
  type TableState,
  times,
} from './table-state.ts';

/** What a frame that was refused is about. */
export interface Refusable {
  address?: Uint8Array | undefined;
  mac?: Uint8Array | undefined;
  /** Said behind the sentence: who has the address, for instance. */
  because?: string;
}

const said: Record<Refusal, string> = {
  reserved: 'nobody may have the address',
  notAllowed: 'the address is not allowed here',
  otherGuest: 'it belongs to another guest',
  otherNode: 'another node has the address',
  otherMac: 'the port has another MAC',
  tooMany: 'the port has too many addresses',
  tooFast: 'new addresses come too fast',
  frozen: 'the address is frozen: it moved too often',
  routerAdvertisement: 'guests send no router advertisements',
  redirect: 'guests send no redirects',
  dhcpServer: 'guests are no DHCP servers',
  spoofed4: 'the IPv4 source is not an address of the port',
  spoofed6: 'the IPv6 source is not an address of the port',
  spoofedArp: 'the ARP sender is not an address of the port',
  spoofedNd: 'the neighbour target is not an address of the port',
  protocol: 'guests speak IPv4, IPv6 and ARP only',
  hypervisor: 'this service of the hypervisor is not for guests',
};

function count(counts: Counts, refusal: Refusal): void {
  counts[refusal] = (counts[refusal] ?? 0) + 1;
}

/** Counts a refusal, remembers it for `why`, and tells it unless it was told within `refusalEventMs`. */
export function refuse(state: TableState, port: PortEntry, refusal: Refusal, about: Refusable): void {
  count(state.counts, refusal);
  count(port.counts, refusal);
  if (port.binding !== undefined) count(port.binding.counts, refusal);
  const nowMs = state.host.nowMs();
  const key = `${refusal}|${about.address === undefined ? '' : keyOf(about.address)}`;
  let refused = port.refused.get(key);
  if (refused === undefined) {
    if (port.refused.size >= limits.refusals && !makeRoom(port, nowMs)) return;
    refused = remember(port, key, refusal, about);
  }
  refused.count++;
  refused.lastWallMs = state.host.wallMs();
  refused.mac = about.mac?.slice();
  if (nowMs - refused.eventMs < times.refusalEventMs) return;
  refused.eventMs = nowMs;
  tell(state, port, refusal, about);
}

function remember(port: PortEntry, key: string, refusal: Refusal, about: Refusable): Refused {
  const refused: Refused = {
    refusal,
    address: about.address?.slice(),
    mac: undefined,
    lastWallMs: 0,
    eventMs: Number.NEGATIVE_INFINITY,
    count: 0,
  };
  port.refused.set(key, refused);
  return refused;
}

/** Forgets the oldest refusal, but none whose event is young: a full table is what bounds the events. */
function makeRoom(port: PortEntry, nowMs: number): boolean {
  for (const [key, refused] of port.refused)
    if (nowMs - refused.eventMs >= times.refusalEventMs) return port.refused.delete(key);
  return false;
}

function tell(state: TableState, port: PortEntry, refusal: Refusal, about: Refusable): void {
  const what = about.address === undefined ? '' : ` ${formatIp(about.address)}`;
  const from = about.mac === undefined ? '' : ` from ${formatMac(about.mac)}`;
  const because = about.because === undefined ? '' : ` (${about.because})`;
  state.host.event({
    kind: 'guest-refused',
    refusal,
    ...(about.address === undefined ? {} : { address: about.address.slice() }),
    ...(about.mac === undefined ? {} : { mac: about.mac.slice() }),
    port: port.port.name,
    ...(port.binding === undefined ? {} : { binding: port.binding.binding.name }),
    text: `${port.port.name}:${what}${from} refused: ${said[refusal]}${because}`,
  });
}
