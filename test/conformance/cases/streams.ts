// Streams rather than messages: bytes in pieces, many messages at once, floods of faults, second connections,
// strangers. Whoever sends them, others must not notice (RFC 4271 sections 6.8 and 8.2.2, RFC 7606).

import {
  type Attribute,
  attribute,
  CLUSTER_LIST,
  COMMUNITIES,
  fill,
  ip,
  keepalive,
  LARGE_COMMUNITIES,
  message,
  NON_TRANSITIVE,
  OPTIONAL_TRANSITIVE,
  ORIGIN,
  open,
  prefix,
  u32,
  update,
  WELL_KNOWN,
} from '../bytes.ts';
import {
  announce,
  base,
  type Case,
  type DialogueCase,
  type Expectation,
  type Ground,
  having,
  type UpdateCase,
} from '../case.ts';
import { accept, reset, withdraw } from './known.ts';
import { stands } from './open.ts';

const TURN =
  'RFC 4271 4.1: the Length field alone "allows one to locate the (Marker field of the) next message in the TCP stream"';
const LAST = 'RFC 4271 9.1.4: what comes later replaces what came earlier';
const WITHDRAWN = 'RFC 7606 2: treat-as-withdraw takes every route of the UPDATE';
const COLLISION =
  'RFC 4271 6.8: "Unless allowed via configuration, a connection collision with an existing BGP connection that is in the Established state causes closing of the newly created connection"';
const STRANGE =
  'RFC 4271 8.2.1: a connection that no configured peer is behind is closed; nobody else notices';

const spoilt = (ground: Ground): Attribute[] => having(ground, attribute(WELL_KNOWN, ORIGIN, [9]));
const bad = (ground: Ground): Uint8Array => announce(ground, spoilt(ground));
const good = (ground: Ground): Uint8Array => announce(ground, base(ground));
const gone = (ground: Ground): Uint8Array => update({ withdrawn: ground.nlri });
const crowd = (ground: Ground): number[] =>
  Array.from({ length: 800 }, (_, i) => prefix(`40.${i >> 8}.${i & 255}.0/24`))
    .flat()
    .concat(ground.nlri);
const times = (count: number, ...messages: Uint8Array[]): Uint8Array[] =>
  Array.from({ length: count }, () => messages).flat();

type Row = Pick<UpdateCase, 'id' | 'title' | 'clause' | 'expect' | 'send'> &
  Partial<Pick<UpdateCase, 'piece' | 'valid'>>;

const rows: readonly Row[] = [
  {
    id: 'bytes',
    title: 'an UPDATE byte by byte',
    clause: TURN,
    expect: accept,
    send: good,
    piece: 1,
    valid: true,
  },
  {
    id: 'halves',
    title: 'UPDATEs cut within their headers',
    clause: TURN,
    expect: accept,
    send: (g) => [bad(g), good(g)],
    piece: 17,
  },
  {
    id: 'bad-bytes',
    title: 'a faulty UPDATE byte by byte',
    clause: TURN,
    expect: withdraw,
    send: bad,
    piece: 1,
  },
  {
    id: 'good-bad',
    title: 'a good and a faulty UPDATE in one segment',
    clause: LAST,
    expect: withdraw,
    send: (g) => [Buffer.concat([good(g), bad(g)])],
  },
  {
    id: 'bad-good',
    title: 'a faulty and a good UPDATE in one segment',
    clause: LAST,
    expect: accept,
    send: (g) => [Buffer.concat([bad(g), good(g)])],
  },
  {
    id: 'crowd-bad',
    title: 'a fault beside 801 prefixes',
    clause: WITHDRAWN,
    expect: withdraw,
    send: (g) => [
      update({ attributes: base(g), nlri: crowd(g) }),
      update({ attributes: spoilt(g), nlri: crowd(g) }),
    ],
  },
  {
    id: 'crowd',
    title: '801 prefixes announced, withdrawn, announced',
    clause: LAST,
    expect: accept,
    valid: true,
    send: (g) => [update({ attributes: base(g), nlri: crowd(g) }), update({ withdrawn: crowd(g) }), good(g)],
  },
  {
    id: 'flood',
    title: 'two thousand faulty UPDATEs',
    clause: WITHDRAWN,
    expect: withdraw,
    send: (g) => times(2000, bad(g)),
  },
  {
    id: 'flood-discard',
    title: 'two thousand faults to discard',
    clause: 'RFC 7606 7.7: attribute discard',
    expect: accept,
    send: (g) => times(2000, announce(g, [...base(g), attribute(OPTIONAL_TRANSITIVE, 7, [1])])),
  },
  {
    id: 'flap-up',
    title: 'a route that flaps 500 times and stays',
    clause: LAST,
    expect: accept,
    valid: true,
    send: (g) => times(500, gone(g), good(g)),
  },
  {
    id: 'flap-down',
    title: 'a route that flaps 500 times and goes',
    clause: LAST,
    expect: withdraw,
    valid: true,
    send: (g) => times(500, good(g), gone(g)),
  },
  {
    id: 'all-types',
    title: 'a non-transitive attribute of every unknown type',
    clause:
      'RFC 4271 5: "Unrecognized non-transitive optional attributes MUST be quietly ignored and not passed along"',
    expect: accept,
    valid: true,
    send: (g) =>
      announce(g, [
        ...base(g),
        ...Array.from({ length: 80 }, (_, i) => attribute(NON_TRANSITIVE, 150 + i, [i])),
      ]),
  },
  {
    id: 'all-transitive',
    title: 'eighty unknown transitive attributes',
    clause: 'RFC 4271 5: unrecognized transitive optional attributes are passed along',
    expect: accept,
    valid: true,
    send: (g) =>
      announce(g, [
        ...base(g),
        ...Array.from({ length: 80 }, (_, i) => attribute(OPTIONAL_TRANSITIVE, 150 + i, [i])),
      ]),
  },
  {
    id: 'many-communities',
    title: 'five hundred communities',
    clause: 'RFC 1997: any number',
    expect: accept,
    valid: true,
    send: (g) =>
      announce(g, [
        ...base(g),
        attribute(
          OPTIONAL_TRANSITIVE,
          COMMUNITIES,
          Array.from({ length: 500 }, (_, i) => u32(0xfde90000 + i)).flat(),
        ),
      ]),
  },
  {
    id: 'many-large',
    title: 'two hundred large communities',
    clause: 'RFC 8092 3: any number',
    expect: accept,
    valid: true,
    send: (g) =>
      announce(g, [
        ...base(g),
        attribute(
          OPTIONAL_TRANSITIVE,
          LARGE_COMMUNITIES,
          Array.from({ length: 200 }, (_, i) => [...u32(65001), ...u32(1), ...u32(i)]).flat(),
        ),
      ]),
  },
];

type DialogueRow = Pick<DialogueCase, 'id' | 'title' | 'clause' | 'expect' | 'send' | 'upto'> &
  Partial<Pick<DialogueCase, 'second' | 'piece' | 'valid'>>;

const nothing = (): readonly Uint8Array[] => [];
const dialogues: readonly DialogueRow[] = [
  {
    id: 'open-bytes',
    title: 'an OPEN byte by byte',
    clause: TURN,
    upto: 'openSent',
    expect: stands,
    valid: true,
    piece: 1,
    send: (_, parts) => [open(parts)],
  },
  {
    id: 'keepalive-bytes',
    title: 'KEEPALIVEs in pieces of seven bytes',
    clause: TURN,
    upto: 'established',
    expect: stands,
    valid: true,
    piece: 7,
    send: () => times(20, keepalive()),
  },
  {
    id: 'noise',
    title: 'a request of another protocol',
    clause: 'RFC 4271 6.1: Connection Not Synchronized',
    upto: 'openSent',
    expect: reset([1, 1], [1, 2]),
    send: () => [Buffer.from('GET / HTTP/1.1\r\nHost: router\r\n\r\n')],
  },
  {
    id: 'zeros',
    title: 'four thousand zeros',
    clause: 'RFC 4271 6.1: Connection Not Synchronized',
    upto: 'established',
    expect: reset([1, 1], [1, 2]),
    send: () => [Uint8Array.from(fill(4000))],
  },
  {
    id: 'after-notification',
    title: 'an UPDATE behind a NOTIFICATION',
    clause: 'RFC 4271 4.5: "The BGP connection is closed immediately after it is sent"',
    upto: 'established',
    expect: [{ kind: 'close' }],
    send: (g) => [message(3, [6, 4]), good(g)],
  },
  {
    id: 'collision',
    title: 'a second connection from the same peer',
    clause: COLLISION,
    upto: 'established',
    expect: stands,
    send: nothing,
    second: { from: 'same', says: open },
  },
  {
    id: 'collision-noise',
    title: 'a second connection that talks nonsense',
    clause: COLLISION,
    upto: 'established',
    expect: stands,
    send: nothing,
    second: { from: 'same', says: () => Uint8Array.from(fill(100)) },
  },
  {
    id: 'collision-wrong-as',
    title: 'a second connection of another AS',
    clause: COLLISION,
    upto: 'established',
    expect: stands,
    send: nothing,
    second: { from: 'same', says: (parts) => open({ ...parts, asn: 64999, capabilities: [] }) },
  },
  {
    id: 'collision-notification',
    title: 'a second connection that says Cease',
    clause: COLLISION,
    upto: 'established',
    expect: stands,
    send: nothing,
    second: { from: 'same', says: () => message(3, [6, 2]) },
  },
  {
    id: 'stranger',
    title: 'an OPEN of a stranger',
    clause: STRANGE,
    upto: 'established',
    expect: stands,
    send: nothing,
    second: { from: 'stranger', says: open },
  },
  {
    id: 'stranger-noise',
    title: 'noise of a stranger',
    clause: STRANGE,
    upto: 'established',
    expect: stands,
    send: nothing,
    second: { from: 'stranger', says: () => Uint8Array.from(fill(5000, 7)) },
  },
];

const longLists: readonly [string, string, Attribute, readonly Expectation[]][] = [
  [
    'long-cluster-list',
    'a CLUSTER_LIST of a hundred',
    attribute(NON_TRANSITIVE, CLUSTER_LIST, Array.from({ length: 100 }, (_, i) => ip(`10.97.9.${i}`)).flat()),
    accept,
  ],
];

export function streamCases(): Case[] {
  const category = 'streams and floods';
  return [
    ...rows.flatMap((row) =>
      (['external', 'internal'] as const).map(
        (session): Case => ({
          ...{ kind: 'update', family: 'ipv4', session, category, ...row },
          id: `stream.${row.id}.${session}`,
        }),
      ),
    ),
    ...dialogues.map(
      (row): Case => ({ kind: 'dialogue', session: 'external', category, ...row, id: `stream.${row.id}` }),
    ),
    ...longLists.map(
      ([id, title, one, expect]): Case => ({
        ...{ kind: 'update', family: 'ipv4', session: 'internal', category, title, expect, valid: true },
        id: `stream.${id}`,
        clause: 'RFC 4456 8: CLUSTER_LIST is "a sequence of CLUSTER_ID values"',
        send: (ground: Ground) => announce(ground, having(ground, one)),
      }),
    ),
  ];
}
