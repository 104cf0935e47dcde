// What hooks of hypervisors have in common: NICs with the addresses that an operator has given them, as the bodies
// that REST takes. Nothing is judged here that the daemon judges.

import type { AttachBody } from '../api/views-guests.ts';

/** What a hook asks the daemon for. */
export type HookRequest =
  | { kind: 'attach'; bodies: AttachBody[] }
  | { kind: 'detach'; names: string[] }
  /** Detaches whatever is there under names that match. */
  | { kind: 'detachMatching'; pattern: RegExp }
  | { kind: 'nothing' };

/** A request, and what was wrong in the configuration that it was made of. */
export interface HookReading {
  request: HookRequest;
  problems: string[];
}

/** What an operator says of the addresses behind a NIC. */
export interface NicAddresses {
  addresses: string[];
  allowed: string[];
  maxAddresses?: number;
}

/** NICs of one guest at most; more are cut off. */
export const MAX_NICS = 64;

/** A name as leafd takes one, of a hypervisor's name and the number of a NIC. */
export function bindingName(guest: string, nic: string): string {
  const name = guest.replace(/[^A-Za-z0-9_.-]/g, '_').replace(/^[^A-Za-z0-9]/, 'x');
  return `${name.slice(0, 62 - nic.length)}-${nic}`;
}

/** A list without repetitions, in its order. */
export function unique(texts: readonly string[]): string[] {
  return [...new Set(texts)];
}
