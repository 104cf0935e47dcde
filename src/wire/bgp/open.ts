// OPEN (RFC 4271 sections 4.2 and 6.2; optional parameters RFC 5492 and, beyond 255 bytes, RFC 9072; 4-octet ASN
// RFC 6793). Only what cannot be read is a fault here. Whether the ASN, hold time and identifier are acceptable
// needs the configuration and is decided by session/negotiate.ts.

import { ByteWriter, readU16, readU32 } from '../../lib/bytes.ts';
import { AS_TRANS } from '../../net/asn.ts';
import { type Capability, decodeCapability, encodeCapability } from './capability.ts';
import { type Fault, OPEN_MESSAGE_ERROR, resetFault } from './fault.ts';
import { frameMessage, OPEN } from './header.ts';

export interface Open {
  /** The real one: from the 4-octet AS capability where it is there. */
  readonly asn: number;
  readonly holdTimeS: number;
  /** BGP identifier as a uint32. */
  readonly bgpId: number;
  readonly capabilities: readonly Capability[];
}

const VERSION = 4;
const PARAMETER_CAPABILITIES = 2;
const EXTENDED_LENGTH = 255;
/** Minus the fixed fields: version, AS, hold time, identifier, parameters length. */
const FIXED_LENGTH = 10;

/** A whole OPEN message. The 4-octet AS capability is written only when it is in the list. */
export function encodeOpen(open: Open): Uint8Array {
  const capabilities = new ByteWriter(256);
  for (const capability of open.capabilities) encodeCapability(capabilities, capability);
  const length = capabilities.length;
  const body = new ByteWriter(FIXED_LENGTH + length + 6);
  body.u8(VERSION);
  body.u16(open.asn > 0xffff ? AS_TRANS : open.asn);
  body.u16(open.holdTimeS).u32(open.bgpId);
  if (length === 0) body.u8(0);
  else if (length <= 253)
    body
      .u8(length + 2)
      .u8(PARAMETER_CAPABILITIES)
      .u8(length);
  else
    body
      .u8(EXTENDED_LENGTH)
      .u8(EXTENDED_LENGTH)
      .u16(length + 3)
      .u8(PARAMETER_CAPABILITIES)
      .u16(length);
  body.copy(capabilities.bytes, 0, length);
  return frameMessage(OPEN, body.take());
}

/** Reads the body in [start, end), where `start` is right behind the header. */
export function decodeOpen(bytes: Uint8Array, start: number, end: number): Open | Fault {
  if (end - start < FIXED_LENGTH) return openFault(0, 'OPEN is too short');
  if (bytes[start] !== VERSION) {
    return resetFault(OPEN_MESSAGE_ERROR, 1, `version ${bytes[start]}`, new Uint8Array([0, VERSION]));
  }
  const capabilities: Capability[] = [];
  const fault = readParameters(bytes, start + FIXED_LENGTH - 1, end, capabilities);
  if (fault !== undefined) return fault;
  let asn = readU16(bytes, start + 1);
  for (const capability of capabilities) if (capability.kind === 'asn4') asn = capability.asn;
  return { asn, holdTimeS: readU16(bytes, start + 3), bgpId: readU32(bytes, start + 5), capabilities };
}

function openFault(subcode: number, reason: string): Fault {
  return resetFault(OPEN_MESSAGE_ERROR, subcode, reason);
}

function readParameters(
  bytes: Uint8Array,
  start: number,
  end: number,
  into: Capability[],
): Fault | undefined {
  let at = start + 1;
  let total = bytes[start]!;
  // RFC 9072 section 2: the type of the first parameter, not the length, tells the extended form.
  const extended = total !== 0 && at < end && bytes[at] === EXTENDED_LENGTH;
  if (extended) {
    if (end - at < 3) return openFault(0, 'extended optional parameters length is cut off');
    total = readU16(bytes, at + 1);
    at += 3;
  }
  if (at + total !== end) return openFault(0, `optional parameters length ${total} does not fit the message`);
  const lengthSize = extended ? 2 : 1;
  while (at < end) {
    if (end - at < 1 + lengthSize) return openFault(0, 'an optional parameter is cut off');
    const type = bytes[at]!;
    const length = extended ? readU16(bytes, at + 1) : bytes[at + 1]!;
    at += 1 + lengthSize;
    if (at + length > end) return openFault(0, 'an optional parameter is longer than the message');
    if (type !== PARAMETER_CAPABILITIES) return openFault(4, `optional parameter ${type}`);
    const fault = readCapabilities(bytes, at, at + length, into);
    if (fault !== undefined) return fault;
    at += length;
  }
  return undefined;
}

function readCapabilities(
  bytes: Uint8Array,
  start: number,
  end: number,
  into: Capability[],
): Fault | undefined {
  for (let at = start; at < end; ) {
    if (end - at < 2) return openFault(0, 'a capability is cut off');
    const code = bytes[at]!;
    const valueEnd = at + 2 + bytes[at + 1]!;
    if (valueEnd > end) return openFault(0, `capability ${code} is longer than its parameter`);
    const capability = decodeCapability(code, bytes, at + 2, valueEnd);
    if (capability === undefined) return openFault(0, `capability ${code} is malformed`);
    into.push(capability);
    at = valueEnd;
  }
  return undefined;
}
