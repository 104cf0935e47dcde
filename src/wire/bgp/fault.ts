// What a peer did wrong, as a value. RFC 7606 section 2 orders the answers by strength; where one message holds
// several faults the strongest decides. Most faults are constants made once, so that a peer that errs a thousand
// times a second costs no garbage. What is then sent or withdrawn is the session's and the rib's business.

/** Weakest first: drop the attribute, withdraw the routes, give up the family, reset the session. */
export type Disposition = 'discard' | 'withdraw' | 'disable' | 'reset';

export interface Fault {
  /** NOTIFICATION error code (RFC 4271 section 4.5). */
  readonly code: number;
  readonly subcode: number;
  readonly disposition: Disposition;
  /** Type code of the path attribute at fault. */
  readonly attribute?: number;
  /** For the Data field of the NOTIFICATION. */
  readonly data?: Uint8Array;
  /** Where the attribute, or else what is wrong, begins within the UPDATE body. */
  readonly offset?: number;
  /** At most 64 bytes from there: for the log. */
  readonly bytes?: Uint8Array;
  /** The family that is given up, with `disable`. */
  readonly family?: number;
  /** One short clause in words, for logs and `leafctl why`. */
  readonly reason: string;
}

/** Bytes of the message that a fault quotes. */
const FAULT_BYTES_MAX = 64;

// Error codes, RFC 4271 section 4.5 and RFC 7313 section 5.
export const MESSAGE_HEADER_ERROR = 1;
export const OPEN_MESSAGE_ERROR = 2;
export const UPDATE_MESSAGE_ERROR = 3;
export const HOLD_TIMER_EXPIRED = 4;
export const FSM_ERROR = 5;
export const CEASE = 6;
export const ROUTE_REFRESH_ERROR = 7;

// Subcodes of UPDATE Message Error.
export const MALFORMED_ATTRIBUTE_LIST = 1;
export const UNRECOGNIZED_WELL_KNOWN = 2;
export const MISSING_WELL_KNOWN = 3;
export const ATTRIBUTE_FLAGS_ERROR = 4;
export const ATTRIBUTE_LENGTH_ERROR = 5;
export const INVALID_ORIGIN = 6;
export const INVALID_NEXT_HOP = 8;
export const OPTIONAL_ATTRIBUTE_ERROR = 9;
export const INVALID_NETWORK_FIELD = 10;
export const MALFORMED_AS_PATH = 11;

const strength: Record<Disposition, number> = { discard: 1, withdraw: 2, disable: 3, reset: 4 };

/** The stronger of two faults; the first when they are equal. */
export function strongest(a: Fault | undefined, b: Fault | undefined): Fault | undefined {
  if (a === undefined) return b;
  if (b === undefined) return a;
  return strength[b.disposition] > strength[a.disposition] ? b : a;
}

/** Tells a fault from whatever a decoder returns when all is well. */
export function isFault(value: object): value is Fault {
  return 'disposition' in value;
}

/** A fault of an UPDATE. */
export function updateFault(
  subcode: number,
  disposition: Disposition,
  reason: string,
  attribute?: number,
): Fault {
  const fault = { code: UPDATE_MESSAGE_ERROR, subcode, disposition, reason };
  return attribute === undefined ? fault : { ...fault, attribute };
}

/** The fault as it was met: `offset` in the body, which begins at `bodyStart`, and what stands there. */
export function locatedFault(
  fault: Fault,
  bytes: Uint8Array,
  bodyStart: number,
  start: number,
  end: number,
): Fault {
  const quoted = bytes.slice(start, Math.min(end, start + FAULT_BYTES_MAX));
  return { ...fault, offset: start - bodyStart, bytes: quoted };
}

/** A fault that resets the session. */
export function resetFault(code: number, subcode: number, reason: string, data?: Uint8Array): Fault {
  const fault = { code, subcode, disposition: 'reset', reason } as const;
  return data === undefined ? fault : { ...fault, data };
}
