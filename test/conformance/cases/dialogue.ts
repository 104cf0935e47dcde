// Messages rather than routes: headers, OPENs and their capabilities, the state machine and its timers,
// ROUTE-REFRESH, NOTIFICATION (RFC 4271 sections 6 and 8, RFC 6608, RFC 7313, RFC 8654).

import {
  attribute,
  fill,
  KEEPALIVE,
  keepalive,
  message,
  NOTIFICATION,
  OPEN,
  OPTIONAL_TRANSITIVE,
  open,
  ROUTE_REFRESH,
  UPDATE,
  u16,
  update,
} from '../bytes.ts';
import { base, type Case, type Expectation, type SessionKind } from '../case.ts';
import { reset } from './known.ts';
import { openRows, type Row, stands } from './open.ts';

const closes: readonly Expectation[] = [{ kind: 'close' }];
const states = ['openSent', 'openConfirm', 'established'] as const;

const MARKER =
  'RFC 4271 6.1: "If the Marker field of the message header is not as expected, then a synchronization error has occurred and the Error Subcode MUST be set to Connection Not Synchronized"';
const LENGTH =
  'RFC 4271 6.1: "the Error Subcode MUST be set to Bad Message Length. The Data field MUST contain the erroneous Length field"';
const TYPE =
  'RFC 4271 6.1: "If the Type field of the message header is not recognized, then the Error Subcode MUST be set to Bad Message Type. The Data field MUST contain the erroneous Type field"';

function headerRows(): Row[] {
  const markers: readonly [string, string, number[]][] = [
    ['zero', 'a marker of zeros', fill(16)],
    ['first', 'a marker whose first byte is 0', [0, ...fill(15, 255)]],
    ['last', 'a marker whose last byte is 254', [...fill(15, 255), 254]],
  ];
  const ofMarker = states.flatMap((upto) =>
    markers.map(
      ([id, title, marker]): Row => ({
        ...{
          id: `marker-${id}.${upto}`,
          title: `${title} in ${upto}`,
          clause: MARKER,
          upto,
          expect: reset([1, 1]),
        },
        send: () => [message(KEEPALIVE, [], { marker })],
      }),
    ),
  );
  const ofLength = (
    id: string,
    title: string,
    type: number,
    length: number,
    body: readonly number[] = [],
  ): Row[] =>
    (['established', 'openSent'] as const)
      .filter((upto) => upto === 'established' || type === KEEPALIVE)
      .map((upto) => ({
        ...{ id: `length-${id}.${upto}`, title, clause: LENGTH, upto },
        expect: [{ kind: 'reset', codes: [[1, 2]], data: Buffer.from(u16(length)).toString('hex') }],
        send: () => [message(type, body, { length })],
      }));
  const ofType = [0, 6, 7, 99, 128, 255].flatMap((type) =>
    (['established', 'openSent'] as const).map(
      (upto): Row => ({
        ...{ id: `type-${type}.${upto}`, title: `a message of type ${type} in ${upto}`, clause: TYPE, upto },
        expect: [{ kind: 'reset', codes: [[1, 3]], data: Buffer.from([type]).toString('hex') }],
        send: () => [message(type, [])],
      }),
    ),
  );
  return [
    ...ofMarker,
    ...ofLength('0', 'a length of 0', KEEPALIVE, 0),
    ...ofLength('1', 'a length of 1', KEEPALIVE, 1),
    ...ofLength('18', 'a length of 18', KEEPALIVE, 18),
    ...ofLength('4097', 'a length of 4097', KEEPALIVE, 4097),
    ...ofLength('65535', 'a length of 65535', KEEPALIVE, 65535),
    ...ofLength('keepalive-20', 'a KEEPALIVE of 20 bytes', KEEPALIVE, 20, [0]),
    ...ofLength('keepalive-23', 'a KEEPALIVE of 23 bytes', KEEPALIVE, 23, [0, 0, 0, 0]),
    ...ofLength('update-22', 'an UPDATE of 22 bytes', UPDATE, 22, [0, 0, 0]),
    ...ofLength('update-19', 'an UPDATE of 19 bytes', UPDATE, 19),
    ...ofLength('update-4097', 'an UPDATE of 4097 bytes without extended messages', UPDATE, 4097, [
      ...fill(4, 0),
      ...fill(4074, 0),
    ]),
    ...ofLength('notification-20', 'a NOTIFICATION of 20 bytes', NOTIFICATION, 20, [6]),
    ...ofLength('open-28', 'an OPEN of 28 bytes', OPEN, 28, fill(9, 4)),
    ...ofType,
  ];
}

const FSM =
  'RFC 4271 6.6: "Any error detected by the BGP Finite State Machine (e.g., receipt of an unexpected event) is indicated by sending the NOTIFICATION message with the Error Code Finite State Machine Error" (RFC 6608: subcodes)';
const EXPIRED =
  'RFC 4271 6.5: "does not receive successive KEEPALIVE, UPDATE, and/or NOTIFICATION messages within the period specified in the Hold Time … Hold Timer Expired"';
const NO_ANSWER =
  'RFC 4271 6.4: an error in a NOTIFICATION is not answered; 8.2.2: "drops the TCP connection"';

function stateRows(): Row[] {
  const emptyUpdate = () => [update({})];
  const fsm = (subcode: number) => reset([5, subcode], [5, 0]);
  const row = (
    id: string,
    title: string,
    upto: Row['upto'],
    send: Row['send'],
    expect: readonly Expectation[],
    more: Partial<Row> = {},
  ): Row => ({ id, title, clause: FSM, upto, send, expect, ...more });
  return [
    row('update-before-open', 'an UPDATE before the OPEN', 'openSent', emptyUpdate, fsm(1)),
    row('keepalive-before-open', 'a KEEPALIVE before the OPEN', 'openSent', () => [keepalive()], fsm(1)),
    row(
      'refresh-before-open',
      'a ROUTE-REFRESH before the OPEN',
      'openSent',
      () => [message(ROUTE_REFRESH, [0, 1, 0, 1])],
      fsm(1),
    ),
    row('update-before-keepalive', 'an UPDATE before the KEEPALIVE', 'openConfirm', emptyUpdate, fsm(2)),
    row(
      'refresh-before-keepalive',
      'a ROUTE-REFRESH before the KEEPALIVE',
      'openConfirm',
      () => [message(ROUTE_REFRESH, [0, 1, 0, 1])],
      fsm(2),
    ),
    row(
      'open-twice',
      'an OPEN in OpenConfirm',
      'openConfirm',
      (_, parts) => [open(parts)],
      reset([5], [6, 7]),
    ),
    row(
      'open-in-established',
      'an OPEN in Established',
      'established',
      (_, parts) => [open(parts)],
      reset([5], [6]),
    ),
    row(
      'open-open',
      'two OPENs at once',
      'openSent',
      (_, parts) => [open(parts), open(parts)],
      reset([5], [6, 7]),
    ),
    row(
      'notification-first',
      'a NOTIFICATION as the first word',
      'openSent',
      () => [message(NOTIFICATION, [2, 1])],
      closes,
      { clause: NO_ANSWER },
    ),
    row('notification-established', 'a Cease', 'established', () => [message(NOTIFICATION, [6, 2])], closes, {
      clause: NO_ANSWER,
      valid: true,
    }),
    row(
      'notification-unknown',
      'a NOTIFICATION of an unknown code',
      'established',
      () => [message(NOTIFICATION, [99, 99, 1, 2, 3])],
      closes,
      { clause: NO_ANSWER },
    ),
    row(
      'notification-zero',
      'a NOTIFICATION of code 0',
      'established',
      () => [message(NOTIFICATION, [0, 0])],
      closes,
      { clause: NO_ANSWER },
    ),
    row(
      'notification-confirm',
      'a NOTIFICATION in OpenConfirm',
      'openConfirm',
      () => [message(NOTIFICATION, [6, 0])],
      closes,
      { clause: NO_ANSWER },
    ),
    row(
      'shutdown-text',
      'a shutdown communication',
      'established',
      () => [message(NOTIFICATION, [6, 2, 5, ...Buffer.from('drain')])],
      closes,
      { clause: 'RFC 9003 2: Shutdown Communication', valid: true },
    ),
    row(
      'shutdown-text-long',
      'a shutdown communication longer than it is',
      'established',
      () => [message(NOTIFICATION, [6, 2, 200, 65])],
      closes,
      { clause: 'RFC 9003 2: a length beyond the data makes the communication void, not the Cease' },
    ),
    row(
      'shutdown-text-not-utf8',
      'a shutdown communication that is not UTF-8',
      'established',
      () => [message(NOTIFICATION, [6, 2, 3, 0xff, 0xfe, 0xc0])],
      closes,
      { clause: 'RFC 9003 2, 4: text that is no UTF-8 is a matter of the log alone' },
    ),
    row(
      'shutdown-text-control',
      'control characters in a shutdown communication',
      'established',
      () => [message(NOTIFICATION, [6, 4, 4, 27, 91, 50, 74])],
      closes,
      { clause: 'RFC 9003 4, 7: what the peer wrote is shown with care' },
    ),
    row('hold-expires', 'silence beyond the hold time of 3 s', 'established', () => [], reset([4, 0]), {
      clause: EXPIRED,
      open: { holdTime: 3 },
      silent: true,
      withinMs: 5500,
      valid: true,
    }),
    row('hold-expires-confirm', 'silence in OpenConfirm', 'openConfirm', () => [], reset([4, 0]), {
      clause: EXPIRED,
      open: { holdTime: 3 },
      silent: true,
      withinMs: 5500,
      valid: true,
    }),
    row(
      'many-keepalives',
      'a thousand KEEPALIVEs',
      'established',
      () => Array.from({ length: 1000 }, keepalive),
      stands,
      {
        valid: true,
        clause:
          'RFC 4271 4.4: no more often than once a second is a MUST NOT of the sender; nothing follows for the receiver',
      },
    ),
    row(
      'pieces',
      'an OPEN behind which the rest comes at once',
      'openSent',
      (ground, parts) => [
        Buffer.concat([open(parts), keepalive(), update({ attributes: base(ground), nlri: ground.nlri })]),
      ],
      stands,
      { valid: true, clause: 'RFC 4271 8.2.2: messages are taken in turn' },
    ),
  ];
}

const REFRESH =
  'RFC 2918 4: "a BGP speaker that receives a ROUTE-REFRESH message … re-advertise … the Adj-RIB-Out … If … the <AFI, SAFI> … not advertised … ignore"';
const SUBTYPES =
  'RFC 7313 5: "If the length, excluding the fixed-size message header, of the received ROUTE-REFRESH message with Message Subtype 1 and 2 is not 4, then … NOTIFICATION … ROUTE-REFRESH Message Error … Invalid Message Length"';
const SUBTYPE =
  'RFC 7313 5: "When the BGP speaker receives a ROUTE-REFRESH message with a Message Subtype field other than 0, 1, or 2, it MUST ignore the received ROUTE-REFRESH message"';

function refreshRows(): Row[] {
  const row = (
    id: string,
    title: string,
    clause: string,
    body: readonly number[],
    expect: readonly Expectation[],
    more: Partial<Row> = {},
  ): Row => ({
    ...{ id, title, clause, expect, upto: 'established' as const, ...more },
    send: () => [message(ROUTE_REFRESH, body)],
  });
  // Subtype 0 of the wrong length: RFC 4271's 1/2, or what RFC 7313 says of the others.
  const badLength = reset([7, 1], [1, 2]);
  return [
    row('plain', 'a plain ROUTE-REFRESH', REFRESH, [0, 1, 0, 1], stands, { valid: true }),
    row('enhanced', 'a refresh with beginning and end', 'RFC 7313 4: "BoRR … EoRR"', [0, 1, 0, 1], stands, {
      valid: true,
      needs: [70],
      sent: ({ refreshes }) => refreshes.includes('00010101') && refreshes.includes('00010201'),
    }),
    row('v6', 'a ROUTE-REFRESH for IPv6', REFRESH, [0, 2, 0, 1], stands, { valid: true }),
    row('begin-end', 'a beginning and an end of the peer', 'RFC 7313 4: BoRR, EoRR', [0, 2, 1, 1], stands, {
      valid: true,
    }),
    row(
      'end-alone',
      'an end without a beginning',
      'RFC 7313 4.2: EoRR without BoRR is ignored',
      [0, 2, 2, 1],
      stands,
    ),
    row('unknown-family', 'a ROUTE-REFRESH for an unknown family', REFRESH, [0, 77, 0, 77], stands),
    row('not-negotiated', 'a ROUTE-REFRESH for a family not negotiated', REFRESH, [0, 2, 0, 2], stands),
    ...[3, 4, 77, 255].map((subtype) =>
      row(`subtype-${subtype}`, `subtype ${subtype}`, SUBTYPE, [0, 1, subtype, 1], stands),
    ),
    row('short', 'a ROUTE-REFRESH of 3 bytes', SUBTYPES, [0, 1, 0], badLength),
    row('empty', 'a ROUTE-REFRESH without a body', SUBTYPES, [], badLength),
    row('long', 'a ROUTE-REFRESH of 5 bytes', SUBTYPES, [0, 1, 0, 1, 0], [...badLength, ...stands]),
    row('begin-long', 'a beginning of 5 bytes', SUBTYPES, [0, 1, 1, 1, 0], reset([7, 1]), { needs: [70] }),
    row('end-short', 'an end of 3 bytes', SUBTYPES, [0, 1, 2], badLength, { needs: [70] }),
    row('end-long', 'an end of 8 bytes', SUBTYPES, [0, 1, 2, 1, 0, 0, 0, 0], reset([7, 1]), { needs: [70] }),
  ];
}

const EXTENDED =
  'RFC 8654 4: "A BGP speaker that has advertised the BGP Extended Message Capability … MUST be capable of receiving a message with a Length up to and including 65,535 octets"';
const NOT_EXTENDED =
  'RFC 8654 4: "does not apply to OPEN and KEEPALIVE … MUST NOT exceed 4,096"; RFC 4271 6.1: Bad Message Length';

function extendedRows(): Row[] {
  const filler = (count: number) => attribute(OPTIONAL_TRANSITIVE | 0x10, 200, fill(count, 7));
  const huge =
    (length: number): Row['send'] =>
    (ground) => {
      const bare = update({ attributes: base(ground), nlri: ground.nlri }).length;
      return [update({ attributes: [...base(ground), filler(length - bare - 4)], nlri: ground.nlri })];
    };
  const row = (
    id: string,
    title: string,
    clause: string,
    session: SessionKind,
    send: Row['send'],
    expect: readonly Expectation[],
    valid = false,
  ): Row => ({
    ...{ id, title, clause, session, send, expect, upto: 'established' as const },
    ...(valid ? { valid } : {}),
  });
  return [
    row(
      'update-4096',
      'an UPDATE of 4096 bytes, which does not fit when passed on',
      'RFC 4271 4: "The maximum message size is 4096 octets"; 9.2: a route that does not fit is not advertised',
      'external',
      huge(4096),
      stands,
      true,
    ),
    row('update-4097', 'an UPDATE of 4097 bytes', EXTENDED, 'extended', huge(4097), stands, true),
    row('update-65535', 'an UPDATE of 65535 bytes', EXTENDED, 'extended', huge(65535), stands, true),
    row(
      'update-4097-without',
      'an UPDATE of 4097 bytes without the capability',
      'RFC 4271 6.1: "if the Length field … is less than 19 or greater than 4096" … Bad Message Length',
      'external',
      huge(4097),
      reset([1, 2]),
    ),
    row(
      'update-65535-without',
      'an UPDATE of 65535 bytes without the capability',
      'RFC 4271 6.1: "greater than 4096" … Bad Message Length',
      'external',
      huge(65535),
      reset([1, 2]),
    ),
    row(
      'keepalive-4097',
      'a KEEPALIVE of 4097 bytes',
      NOT_EXTENDED,
      'extended',
      () => [message(KEEPALIVE, fill(4078))],
      reset([1, 2]),
    ),
    row(
      'notification-5000',
      'a NOTIFICATION of 5000 bytes',
      'RFC 8654 4: NOTIFICATION may be extended',
      'extended',
      () => [message(NOTIFICATION, [6, 0, ...fill(4979, 1)])],
      closes,
      true,
    ),
  ];
}

export function dialogueCases(): Case[] {
  const of = (category: string, prefix: string, rows: readonly Row[]): Case[] =>
    rows.map((row) => ({
      kind: 'dialogue',
      session: 'external',
      ...row,
      category: row.valid === true ? `valid ${category}` : category,
      id: `${prefix}.${row.id}`,
    }));
  return [
    ...of('message header', 'header', headerRows()),
    ...of('OPEN', 'open', openRows()),
    ...of('FSM and timers', 'fsm', stateRows()),
    ...of('ROUTE-REFRESH', 'refresh', refreshRows()),
    ...of('extended messages', 'extended', extendedRows()),
  ];
}
