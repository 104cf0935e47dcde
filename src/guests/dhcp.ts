// What the DHCP responder of guests without layer 2 (dhcp4.ts, dhcp6.ts, dhcp-router.ts) is told and what it gives.
// It keeps nothing: an answer follows from the request and the binding of the port alone, so that any hypervisor
// answers a renewal as the one before the guest's move did, and a restart loses no lease.

import { sameIp } from '../net/ip.ts';
import { sameMac } from '../net/mac.ts';
import type { Sighting } from '../wire/lan/sighting.ts';

/** The same on all hypervisors, or renewals after a move would meet a stranger. */
export interface DhcpSettings {
  gatewayMac: Uint8Array;
  gateway4: Uint8Array;
  gateway6: Uint8Array;
  /** Name servers of both families; each protocol tells its own. */
  dns: readonly Uint8Array[];
  domain?: string;
  leaseTimeMs: number;
  /** Of guests' links, where they are told. */
  mtu?: number;
}

/**
 * Whose port the frame came from. Addresses that must not be given out now (frozen, held elsewhere) are left out by the
 * caller.
 */
export interface DhcpGuest {
  /** The only MAC that is answered; absent: whichever speaks on the port. */
  mac?: Uint8Array;
  /** Of the binding, in its order. */
  addresses: readonly Uint8Array[];
}

/** Why nothing is answered. */
export type DhcpSilence =
  /** No binding for the port, or another MAC than its own. */
  | 'unknown'
  /** The message names another hardware address than its frame. */
  | 'otherMac'
  /** The binding has no address of this family. */
  | 'noAddress'
  /** For another server, or sent to one. */
  | 'otherServer'
  /** Came through a relay. */
  | 'relayed'
  /** Breaks a rule of its RFC that calls for silence. */
  | 'malformed'
  /** Needs no answer: the guest gives the address back, or says that somebody else uses it. */
  | 'released'
  | 'declined';

export type DhcpAnswer =
  /** A whole frame is in the writer. */
  | {
      kind: 'frame';
      what: 'offer' | 'ack' | 'nak' | 'advertise' | 'reply' | 'routerAdvertisement';
      /** Addresses given. */
      addresses: readonly Uint8Array[];
    }
  | { kind: 'none'; why: DhcpSilence };

export function silence(why: DhcpSilence): DhcpAnswer {
  return { kind: 'none', why };
}

/** Why this guest is not answered, whatever it asks; undefined when it is. */
export function refusesGuest(sighting: Sighting, guest: DhcpGuest | undefined): DhcpSilence | undefined {
  if (sighting.claimsMac !== undefined) return 'otherMac';
  if (guest === undefined) return 'unknown';
  return guest.mac !== undefined && !sameMac(guest.mac, sighting.mac) ? 'unknown' : undefined;
}

/** Whether an address is among others. */
export function includesIp(addresses: readonly Uint8Array[], address: Uint8Array): boolean {
  return addresses.some((one) => sameIp(one, address));
}

/** Seconds of a lease: at least one, and never the value that means for ever. */
export function leaseSeconds(settings: DhcpSettings): number {
  return Math.min(Math.max(1, Math.floor(settings.leaseTimeMs / 1000)), 0xfffffffe);
}
