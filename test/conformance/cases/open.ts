// OPEN messages: every field, every optional parameter and every capability, wrong and merely unusual (RFC 4271 section
// 6.2, RFC 5492, RFC 6286, RFC 6793, RFC 9072).

import { type Capability, fill, ip, type OpenParts, open, u16, u32 } from '../bytes.ts';
import { DAEMON, type DialogueCase, EXTERNAL_AS, type Expectation } from '../case.ts';
import { reset } from './known.ts';

export type Row = Pick<DialogueCase, 'id' | 'title' | 'clause' | 'upto' | 'send' | 'expect'> &
  Partial<Pick<DialogueCase, 'session' | 'valid' | 'open' | 'withinMs' | 'silent' | 'needs' | 'sent'>>;

export const stands: readonly Expectation[] = [{ kind: 'accept' }];

const capability = (code: number, value: readonly number[], length?: number): Capability =>
  length === undefined ? { code, value } : { code, value, length };
const VERSION =
  'RFC 4271 6.2: "If the version number … is not supported, then the Error Subcode MUST be set to Unsupported Version Number"';
const PEER_AS =
  'RFC 4271 6.2: "If the Autonomous System field of the OPEN message is unacceptable, then the Error Subcode MUST be set to Bad Peer AS"';
const HOLD = 'RFC 4271 6.2: "An implementation MUST reject Hold Time values of one or two seconds"';
const IDENTIFIER =
  'RFC 6286 2.2: "If the BGP Identifier field of the OPEN message is zero, or if it is the same as the BGP Identifier of the local BGP speaker and the message is from an internal peer … Bad BGP Identifier"';
const PARAMETER =
  'RFC 4271 6.2: "If one of the Optional Parameters in the OPEN message is not recognized, then the Error Subcode MUST be set to Unsupported Optional Parameters"';
const MALFORMED =
  'RFC 4271 6.2: "If one of the Optional Parameters in the OPEN message is recognized, but is malformed, then the Error Subcode MUST be set to 0 (Unspecific)"';
const IGNORED = 'RFC 5492 3: a capability that is not supported is ignored; the session is not ended for it';
const ODD =
  "RFC 5492 4, and the capability's own RFC: a value of the wrong length is no capability; it is refused as malformed or ignored";

/** OPEN messages that are the first word on a connection. */
export function openRows(): Row[] {
  const wrong = (
    id: string,
    title: string,
    clause: string,
    change: (parts: OpenParts) => Partial<OpenParts>,
    expect: readonly Expectation[],
    more: Partial<Row> = {},
  ): Row => ({
    ...{ id, title, clause, expect, upto: 'openSent' as const, ...more },
    send: (_, parts) => {
      const changed = { ...parts, ...change(parts) };
      return [open(changed)];
    },
  });
  const malformed = reset([2, 0], [2, 4], [2, 7]);
  const parameters = (
    id: string,
    title: string,
    bytes: readonly number[],
    expect: readonly Expectation[] = malformed,
    length?: number,
  ): Row =>
    wrong(
      id,
      title,
      expect === malformed ? MALFORMED : PARAMETER,
      () => ({ parameters: bytes, ...(length === undefined ? {} : { parametersLength: length }) }),
      expect,
    );
  const as4 = (asn: number) => (parts: OpenParts) => ({
    capabilities: parts.capabilities.map((one) => (one.code === 65 ? capability(65, u32(asn)) : one)),
  });
  return [
    ...[0, 1, 3, 5, 255].map((version) =>
      wrong(`version-${version}`, `version ${version}`, VERSION, () => ({ version }), [
        { kind: 'reset', codes: [[2, 1]] },
      ]),
    ),
    wrong(
      'as-other',
      'another AS',
      PEER_AS,
      (parts) => ({ asn: 64999, ...as4(64999)(parts) }),
      reset([2, 2]),
    ),
    wrong(
      'as-zero',
      'AS 0',
      'RFC 7607 2: "If a BGP speaker receives zero as the peer AS in an OPEN message, it MUST abort the connection and send a NOTIFICATION with … Bad Peer AS"',
      (parts) => ({ asn: 0, ...as4(0)(parts) }),
      reset([2, 2]),
    ),
    wrong('as-zero-4', 'AS 0 in the capability alone', 'RFC 7607 2; RFC 6793 4.2.1', as4(0), reset([2, 2])),
    wrong('as-capability-other', 'another AS in the capability', PEER_AS, as4(64999), reset([2, 2])),
    wrong(
      'as-own',
      'our own AS where another is due',
      PEER_AS,
      (parts) => ({ asn: 65000, ...as4(65000)(parts) }),
      reset([2, 2]),
    ),
    ...[1, 2].map((holdTime) =>
      wrong(`hold-${holdTime}`, `a hold time of ${holdTime} s`, HOLD, () => ({ holdTime }), reset([2, 6])),
    ),
    wrong(
      'identifier-zero',
      'the identifier 0.0.0.0',
      IDENTIFIER,
      () => ({ identifier: [0, 0, 0, 0] }),
      reset([2, 3]),
    ),
    wrong(
      'identifier-own',
      "the speaker's own identifier from an internal peer",
      IDENTIFIER,
      () => ({ identifier: ip(DAEMON) }),
      reset([2, 3]),
      { session: 'internal' },
    ),
    parameters(
      'parameter-1',
      'the parameter of authentication, deprecated',
      [1, 2, 0, 0],
      reset([2, 4], [2, 5]),
    ),
    parameters('parameter-99', 'an unknown parameter', [99, 1, 0], reset([2, 4])),
    parameters(
      'parameter-254',
      'an unknown parameter behind capabilities',
      [2, 6, 1, 4, 0, 1, 0, 1, 254, 0],
      reset([2, 4]),
    ),
    parameters(
      'parameters-long',
      'parameters longer than the message',
      [2, 6, 1, 4, 0, 1, 0, 1],
      reset([2, 0], [1, 2]),
      60,
    ),
    parameters(
      'parameters-short',
      'parameters shorter than the message',
      [2, 6, 1, 4, 0, 1, 0, 1],
      reset([2, 0], [1, 2], [2, 4]),
      4,
    ),
    parameters('parameter-past', 'a parameter past the end', [2, 60, 1, 4, 0, 1, 0, 1]),
    parameters('parameter-half', 'half a parameter', [2]),
    parameters('capability-past', 'a capability past its parameter', [2, 6, 1, 40, 0, 1, 0, 1]),
    parameters('capability-half', 'half a capability', [2, 1, 1]),
    parameters(
      'capability-second-past',
      'a second capability past its parameter',
      [2, 8, 1, 4, 0, 1, 0, 1, 65, 4],
    ),
    parameters(
      'extended-past',
      'extended parameters past the message (RFC 9072)',
      [255, ...u16(200), 2, ...u16(6), 1, 4, 0, 1, 0, 1],
      reset([2, 0], [1, 2]),
      255,
    ),
    parameters(
      'extended-parameter-past',
      'an extended parameter past the parameters',
      [255, ...u16(9), 2, ...u16(60), 1, 4, 0, 1, 0, 1],
      reset([2, 0], [1, 2]),
      255,
    ),
    ...capabilityRows(),
  ];
}

/** Every capability with values of the wrong length: refused as malformed, or as if it were not there. */
function capabilityRows(): Row[] {
  const odd: readonly Expectation[] = [...stands, { kind: 'reset', codes: [[2]] }];
  const forms: readonly [code: number, name: string, ...values: (readonly number[])[]][] = [
    [1, 'multiprotocol', [], [0, 1, 0], [0, 1, 0, 1, 0]],
    [2, 'route refresh', [1]],
    [5, 'extended next hop', [0, 1, 0], [0, 1, 0, 1, 0, 2, 0]],
    [6, 'extended message', [1]],
    [9, 'role', [], [1, 2], [77]],
    [64, 'graceful restart', [], [0], [0, 120, 0, 1], [0, 120, 0, 1, 1]],
    [65, '4-octet AS', [], u16(65001), [...u32(EXTERNAL_AS), 0]],
    [69, 'add-path', [], [0, 1, 1], [0, 1, 1, 9], [0, 1, 1, 3, 0]],
    [70, 'enhanced route refresh', [1]],
    [71, 'long-lived graceful restart', [0, 1, 1], [0, 1, 1, 0, 0]],
    [73, 'FQDN', [], [5, 65], [1, 65, 9, 66]],
    [76, 'paths limit', [0, 1, 1], [0, 1, 1, 0]],
  ];
  const malformed = forms.flatMap(([code, name, ...values]) =>
    values.map(
      (value, at): Row => ({
        id: `capability-${code}-${at}`,
        title: `the ${name} capability of ${value.length} bytes (${value.join(' ')})`,
        clause: ODD,
        upto: 'openSent',
        expect: odd,
        send: (_, parts) => {
          const others = parts.capabilities.filter((one) => one.code !== code || code === 1);
          return [open({ ...parts, capabilities: [...others, capability(code, value)] })];
        },
      }),
    ),
  );
  const fine = (
    id: string,
    title: string,
    clause: string,
    change: (parts: OpenParts) => Partial<OpenParts>,
    more: Partial<Row> = {},
  ): Row => ({
    ...{ id, title, clause, upto: 'openSent' as const, valid: true, expect: stands, ...more },
    send: (_, parts) => [open({ ...parts, ...change(parts) })],
  });
  const plus =
    (...more: Capability[]) =>
    (parts: OpenParts) => ({ capabilities: [...parts.capabilities, ...more] });
  return [
    ...malformed,
    fine('plain', 'a usual OPEN', 'RFC 4271 4.2', () => ({})),
    fine('unknown-capability', 'an unknown capability', IGNORED, plus(capability(199, [1, 2, 3]))),
    fine('unknown-capability-0', 'capability 0', IGNORED, plus(capability(0, []))),
    fine(
      'unknown-capability-long',
      'an unknown capability of 100 bytes',
      IGNORED,
      plus(capability(240, fill(100, 1))),
    ),
    fine(
      'unknown-family',
      'a family nobody has',
      'RFC 4760 8: only what both advertise is used',
      plus(capability(1, [0, 77, 0, 77])),
    ),
    fine(
      'reserved',
      'a multiprotocol capability with its reserved byte set',
      'RFC 4760 8: "Reserved … should be ignored by the receiver"',
      (parts) => ({
        capabilities: parts.capabilities.map((one) =>
          one.code === 1 ? capability(1, [one.value[0]!, one.value[1]!, 9, one.value[3]!]) : one,
        ),
      }),
    ),
    fine(
      'same-twice',
      'every capability twice',
      'RFC 5492 4: "BGP speakers MAY include more than one instance of a capability … identical … MUST be prepared to accept"',
      (parts) => ({ capabilities: [...parts.capabilities, ...parts.capabilities] }),
    ),
    fine(
      'a-parameter-each',
      'a parameter for each capability',
      'RFC 5492 4: "The Capabilities Optional Parameter … MAY … appear more than once"',
      (parts) => ({
        parameters: parts.capabilities.flatMap((one) => [
          2,
          2 + one.value.length,
          one.code,
          one.value.length,
          ...one.value,
        ]),
      }),
    ),
    fine(
      'extended',
      'extended optional parameters',
      'RFC 9072 2: "the Non-Ext OP Len … 255 … Non-Ext OP Type 255 … Extended Opt. Parm. Length"',
      (parts) => {
        const value = parts.capabilities.flatMap((one) => [one.code, one.value.length, ...one.value]);
        return {
          parameters: [255, ...u16(value.length + 3), 2, ...u16(value.length), ...value],
          parametersLength: 255,
        };
      },
    ),
    fine(
      'extended-long',
      'more than 255 bytes of parameters',
      'RFC 9072 2: "… optional parameters … exceeds 255 octets"',
      (parts) => {
        const value = parts.capabilities.flatMap((one) => [one.code, one.value.length, ...one.value]);
        const filler = Array.from({ length: 20 }, () => [2, ...u16(22), 199, 20, ...fill(20, 7)]).flat();
        const all = [2, ...u16(value.length), ...value, ...filler];
        return { parameters: [255, ...u16(all.length), ...all], parametersLength: 255 };
      },
    ),
    fine(
      'hold-3',
      'a hold time of 3 s',
      'RFC 4271 4.2: "The Hold Time MUST be either zero or at least three seconds"',
      () => ({ holdTime: 3 }),
    ),
    fine(
      'hold-0',
      'a hold time of 0',
      'RFC 4271 4.4: "If the negotiated Hold Time interval is zero, then periodic KEEPALIVE messages MUST NOT be sent"',
      () => ({ holdTime: 0 }),
    ),
    fine(
      'hold-65535',
      'a hold time of 65535 s',
      'RFC 4271 4.2: Hold Time is a 2-octet unsigned integer',
      () => ({ holdTime: 65535 }),
    ),
    fine(
      'identifier-own-external',
      "the speaker's own identifier from an external peer",
      'RFC 6286 2.1: identifiers are "unique within an AS"; 2.2 refuses it from internal peers only',
      () => ({ identifier: ip(DAEMON) }),
    ),
    fine(
      'identifier-high',
      'an identifier that is no address',
      'RFC 6286 2.1: "BGP Identifier is a 4-octet, unsigned, non-zero integer"',
      () => ({ identifier: [255, 255, 255, 255] }),
    ),
    fine('no-four-octets', 'no 4-octet AS numbers', 'RFC 6793 4.1: an OLD BGP speaker', () => ({}), {
      session: 'old',
    }),
    fine(
      'trans-as',
      'AS_TRANS in the header, the AS in the capability',
      'RFC 6793 4.2.2: AS_TRANS in "My Autonomous System"',
      () => ({ asn: 23456 }),
    ),
    fine(
      'restart',
      'graceful restart without families',
      'RFC 4724 3: "the absence of families … End-of-RIB only"',
      plus(capability(64, [0, 120])),
    ),
    fine('fqdn', 'a host name', 'draft-walton-bgp-hostname-capability', plus(capability(73, [1, 65, 1, 66]))),
  ];
}
