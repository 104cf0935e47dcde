// Routes whose attributes fit the session they came by and no other, faults in messages of any size, and faults that
// concern two families at once (RFC 4271 sections 4 and 9.2, RFC 8654 section 4, RFC 7606 section 2).

import {
  AS_PATH,
  AS4_PATH,
  attribute,
  fill,
  mpReach,
  OPTIONAL_TRANSITIVE,
  ORIGIN,
  segment,
  update,
  WELL_KNOWN,
} from '../bytes.ts';
import {
  announce,
  bare,
  base,
  type Case,
  type Expectation,
  type Ground,
  having,
  LOCAL_AS,
  nextHopOf,
  nlriOf,
  type SessionKind,
} from '../case.ts';
import type { FamilyName } from '../speaker.ts';
import { accept, withdraw } from './known.ts';

const TOO_LONG =
  'RFC 4271 4: "The maximum message size is 4096 octets"; a route whose attributes do not fit is not advertised, and what was advertised before is withdrawn';
const NOT_ALL =
  'RFC 8654 4: a message beyond 4096 octets goes to no peer that did not advertise the capability; the route is withdrawn from it';
const BOTH = 'RFC 7606 2: treat-as-withdraw is of all routes in the UPDATE, classic and MP alike';
const MERGED = 'RFC 6793 4.2.3, RFC 4271 9.1.2: loops are looked for in the merged path';

// On the way the path grows by our AS or LOCAL_PREF comes and goes: to some it still fits, by a few bytes.
const full: readonly Expectation[] = [
  ...withdraw,
  { kind: 'accept', only: 'old' },
  { kind: 'accept', only: ['external', 'old'] },
];

const filler = (count: number) => attribute(OPTIONAL_TRANSITIVE | 0x10, 200, fill(count, 7));
const bad = attribute(WELL_KNOWN, ORIGIN, [9]);

/** An UPDATE of exactly this many bytes. */
function sized(ground: Ground, length: number, spoil = false): Uint8Array {
  const list = spoil ? having(ground, bad) : base(ground);
  const plain = announce(ground, list).length;
  return announce(ground, [...list, filler(length - plain - 4)]);
}

/** One UPDATE with an IPv4 route in its NLRI and an IPv6 route in MP_REACH. */
function twofold(ground: Ground, spoil: boolean): Uint8Array {
  const four: Ground = { ...ground, family: 'ipv4', nlri: nlriOf('ipv4', ground.index) };
  const list = spoil ? having(four, bad) : base(four);
  const reach = mpReach([2, 1], nextHopOf('ipv6', ground.local), nlriOf('ipv6', ground.index));
  return update({ attributes: [reach, ...list], nlri: four.nlri });
}

type Row = readonly [
  id: string,
  title: string,
  clause: string,
  session: SessionKind,
  family: FamilyName,
  expect: readonly Expectation[],
  send: (ground: Ground) => Uint8Array,
  valid?: boolean,
];

const rows: readonly Row[] = [
  ...(['external', 'internal'] as const).flatMap((session): Row[] => [
    ['full', 'an UPDATE of 4096 bytes', TOO_LONG, session, 'ipv4', full, (g) => sized(g, 4096), true],
    [
      'full-v6',
      'an UPDATE of 4096 bytes, IPv6',
      TOO_LONG,
      session,
      'ipv6',
      full,
      (g) => sized(g, 4096),
      true,
    ],
    [
      'full-vpn',
      'an UPDATE of 4096 bytes, VPN',
      TOO_LONG,
      session,
      'vpnv4',
      full,
      (g) => sized(g, 4096),
      true,
    ],
    [
      'full-evpn',
      'an UPDATE of 4096 bytes, EVPN',
      TOO_LONG,
      session,
      'evpn',
      full,
      (g) => sized(g, 4096),
      true,
    ],
    [
      'large',
      'an UPDATE of 4000 bytes',
      'RFC 4271 4: it fits',
      session,
      'ipv4',
      accept,
      (g) => sized(g, 4000),
      true,
    ],
    [
      'full-bad',
      'a faulty UPDATE of 4096 bytes',
      BOTH,
      session,
      'ipv4',
      withdraw,
      (g) => sized(g, 4096, true),
    ],
    [
      'twofold-4',
      'a fault beside IPv4 and IPv6: IPv4',
      BOTH,
      session,
      'ipv4',
      withdraw,
      (g) => twofold(g, true),
    ],
    [
      'twofold-6',
      'a fault beside IPv4 and IPv6: IPv6',
      BOTH,
      session,
      'ipv6',
      withdraw,
      (g) => twofold(g, true),
    ],
    [
      'twofold-good-4',
      'IPv4 and IPv6 in one UPDATE: IPv4',
      'RFC 7606 5.1',
      session,
      'ipv4',
      accept,
      (g) => twofold(g, false),
      true,
    ],
    [
      'twofold-good-6',
      'IPv4 and IPv6 in one UPDATE: IPv6',
      'RFC 7606 5.1',
      session,
      'ipv6',
      accept,
      (g) => twofold(g, false),
      true,
    ],
  ]),
  [
    'beyond',
    'an UPDATE of 5000 bytes for peers that take 4096',
    NOT_ALL,
    'extended',
    'ipv4',
    withdraw,
    (g) => sized(g, 5000),
    true,
  ],
  [
    'beyond-max',
    'an UPDATE of 65535 bytes for peers that take 4096',
    NOT_ALL,
    'extended',
    'ipv4',
    withdraw,
    (g) => sized(g, 65535),
    true,
  ],
  [
    'beyond-v6',
    'an IPv6 UPDATE of 60000 bytes',
    NOT_ALL,
    'extended',
    'ipv6',
    withdraw,
    (g) => sized(g, 60000),
    true,
  ],
  [
    'beyond-bad',
    'a faulty UPDATE of 65535 bytes',
    BOTH,
    'extended',
    'ipv4',
    withdraw,
    (g) => sized(g, 65535, true),
  ],
  [
    'within',
    'an UPDATE of 4000 bytes on an extended session',
    'RFC 8654 4',
    'extended',
    'ipv4',
    accept,
    (g) => sized(g, 4000),
    true,
  ],
  [
    'loop-merged',
    'our AS in AS4_PATH alone',
    MERGED,
    'old',
    'ipv4',
    withdraw,
    (g) =>
      announce(g, [
        ...having(g, attribute(WELL_KNOWN, AS_PATH, segment(2, [g.asn, 23456, 64802], 2))),
        attribute(OPTIONAL_TRANSITIVE, AS4_PATH, segment(2, [LOCAL_AS, 64802])),
      ]),
    true,
  ],
  [
    'bare-mp',
    'the good route again, in a message of its own kind',
    'RFC 4760 3',
    'extended',
    'ipv6',
    accept,
    (g) => update({ attributes: [mpReach([2, 1], nextHopOf('ipv6', g.local), g.nlri), ...bare(g)] }),
    true,
  ],
];

export function sizeCases(): Case[] {
  return rows.map(([id, title, clause, session, family, expect, send, valid]) => ({
    kind: 'update',
    id: `size.${id}.${session}`,
    category: valid === true ? 'behaviour: sizes' : 'malformed messages of all sizes',
    ...{ title, clause, session, family, expect, send },
    ...(valid === true ? { valid } : {}),
  }));
}
