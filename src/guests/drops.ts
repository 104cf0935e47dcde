// What a packet that the kernel's filter dropped says of its guest. The filter logs a moment after it has dropped, and
// knows less than the table: of frames that were heard and judged the drop is no news, and what came before its guest
// was known is no offence.

import type { GuestDrop } from '../dataplane/guest-wish.ts';
import { type Refusal, refusals } from './binding.ts';

/** What is known when a drop is told. */
export interface DropContext {
  /** The port behind a bridge whose guest has the MAC; undefined where the link is a port itself. */
  portBehind(ifindex: number, mac: Uint8Array | undefined): number | undefined;
  /** Whether the port's guest has the MAC, or it has no guest yet. */
  mayHave(ifindex: number, mac: Uint8Array): boolean;
  /** The port that an address is bound to. */
  portOf(address: Uint8Array): number | undefined;
  /** Whether a frame of the port was understood a moment ago. */
  hasJudged(ifindex: number): boolean;
}

export interface Offence {
  /** Of the port; of a bridge where nobody knows whose it was. */
  ifindex: number;
  refusal: Refusal;
  about: { mac?: Uint8Array; address?: Uint8Array };
}

/** Reasons of frames that are heard before they are dropped. */
const heardBefore: ReadonlySet<Refusal> = new Set([
  'spoofedArp',
  'spoofedNd',
  'routerAdvertisement',
  'dhcpServer',
]);

/** The offence that a drop stands for, or undefined. */
export function offenceOf(drop: GuestDrop, context: DropContext): Offence | undefined {
  const { mac, packet } = drop;
  const refusal = refusals.find((one) => one === drop.reason);
  if (refusal === undefined) return undefined;
  // The guard of this machine sees the bridge that a packet came in by: whose it is the MAC says.
  const ifindex = context.portBehind(drop.ifindex, mac) ?? drop.ifindex;
  const isHeard = heardBefore.has(refusal) || (refusal === 'redirect' && versionOf(packet) === 6);
  if (isHeard && context.hasJudged(ifindex)) return undefined;
  if (refusal === 'otherMac' && mac !== undefined && context.mayHave(ifindex, mac)) return undefined;
  const isSpoofed = refusal === 'spoofed4' || refusal === 'spoofed6';
  const address = isSpoofed ? sourceOf(packet) : undefined;
  if (address !== undefined && context.portOf(address) === ifindex) return undefined;
  const about = { ...(mac === undefined ? {} : { mac }), ...(address === undefined ? {} : { address }) };
  return { ifindex, refusal, about };
}

const versionOf = (packet: Uint8Array): number => (packet[0] ?? 0) >> 4;

/** The source address of a packet that begins with its network header. */
function sourceOf(packet: Uint8Array): Uint8Array | undefined {
  const version = versionOf(packet);
  if (version === 4 && packet.length >= 20) return packet.slice(12, 16);
  return version === 6 && packet.length >= 40 ? packet.slice(8, 24) : undefined;
}
