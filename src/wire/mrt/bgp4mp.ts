// BGP4MP and BGP4MP_ET (RFC 6396 section 4.4, add-path RFC 8050): messages as they were on the wire, and changes of
// state. The BGP message is told as a range of the file; the decoders of wire/bgp read it there.

import { readU16, readU32 } from '../../lib/bytes.ts';
import type { MrtFault, MrtRecord } from './record.ts';

const STATE_CHANGE = 0;
const STATE_CHANGE_AS4 = 5;

/** Subtypes that hold a message: whether ASNs are 4 octets wide, paths are identified, the sender is the local side. */
const messageForms: Readonly<Record<number, { asn4: boolean; addPath: boolean; local: boolean }>> = {
  1: { asn4: false, addPath: false, local: false },
  4: { asn4: true, addPath: false, local: false },
  6: { asn4: false, addPath: false, local: true },
  7: { asn4: true, addPath: false, local: true },
  8: { asn4: false, addPath: true, local: false },
  9: { asn4: true, addPath: true, local: false },
  10: { asn4: false, addPath: true, local: true },
  11: { asn4: true, addPath: true, local: true },
};

/** Both ends of the session. */
export interface Bgp4mpEnds {
  peerAsn: number;
  localAsn: number;
  ifindex: number;
  /** 4 or 16 bytes. */
  peerAddress: Uint8Array;
  localAddress: Uint8Array;
}

export type Bgp4mp =
  | {
      kind: 'message';
      ends: Bgp4mpEnds;
      asn4: boolean;
      addPath: boolean;
      /** Sent by the collector itself. */
      local: boolean;
      /** The BGP message with its header: [start, end). */
      start: number;
      end: number;
    }
  | { kind: 'stateChange'; ends: Bgp4mpEnds; oldState: number; newState: number };

/** What a BGP4MP record holds; undefined for a subtype that is not known. */
export function readBgp4mp(bytes: Uint8Array, record: MrtRecord): Bgp4mp | MrtFault | undefined {
  const { subtype, start, end } = record;
  const form = messageForms[subtype];
  const isChange = subtype === STATE_CHANGE || subtype === STATE_CHANGE_AS4;
  if (form === undefined && !isChange) return undefined;
  const asn4 = form?.asn4 ?? subtype === STATE_CHANGE_AS4;
  const asnSize = asn4 ? 4 : 2;
  const fault = (reason: string): MrtFault => ({ kind: 'fault', at: start, reason });
  const fixed = 2 * asnSize + 4;
  if (end - start < fixed) return fault('the ends of the session are cut off');
  const asnAt = (at: number): number => (asn4 ? readU32(bytes, at) : readU16(bytes, at));
  const afi = readU16(bytes, start + 2 * asnSize + 2);
  const addressLength = afi === 1 ? 4 : afi === 2 ? 16 : 0;
  if (addressLength === 0) return fault(`addresses of family ${afi}`);
  const peerAt = start + fixed;
  const rest = peerAt + 2 * addressLength;
  if (rest > end) return fault('the ends of the session are cut off');
  const ends: Bgp4mpEnds = {
    peerAsn: asnAt(start),
    localAsn: asnAt(start + asnSize),
    ifindex: readU16(bytes, start + 2 * asnSize),
    peerAddress: bytes.slice(peerAt, peerAt + addressLength),
    localAddress: bytes.slice(peerAt + addressLength, rest),
  };
  if (form !== undefined) return { kind: 'message', ends, ...form, start: rest, end };
  if (end - rest < 4) return fault('a change of state is cut off');
  return { kind: 'stateChange', ends, oldState: readU16(bytes, rest), newState: readU16(bytes, rest + 2) };
}
