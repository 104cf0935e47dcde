// MP_UNREACH_NLRI, IPv4 unicast in the MP attributes, IPv4 with IPv6 next hops (RFC 4760, RFC 8950), and all rows
// about MP attributes made into cases.

import { fill, hex, ip, mpReach, mpUnreach, prefix, u32, update } from '../bytes.ts';
import { bare, base, type Case, type Expectation, type SessionKind } from '../case.ts';
import type { FamilyName } from '../speaker.ts';
import { accept, ignore, reset, withdraw } from './known.ts';
import {
  FAULTY,
  FLAGS,
  faulty,
  global,
  HOST,
  linkLocal,
  NEXT,
  NOT_OURS,
  type Row,
  reach,
  reachRows,
  resetOrWithdraw,
  SHORT,
  SYNTAX,
  six,
  TWICE,
  unreach,
} from './mp-reach.ts';

const unreachRows: readonly Row[] = [
  ['unreach-0', 'MP_UNREACH without a value', SHORT, faulty, () => unreach([])],
  ['unreach-1', 'MP_UNREACH of one byte', SHORT, faulty, () => unreach([0])],
  ['unreach-2', 'MP_UNREACH without a SAFI', SHORT, faulty, () => unreach([0, 2])],
  [
    'unreach-twice',
    'MP_UNREACH twice',
    TWICE,
    reset([3, 1]),
    (g) => update({ attributes: [mpUnreach(six, g.other), mpUnreach(six, g.other)] }),
  ],
  [
    'unreach-129',
    'a withdrawn prefix of 129 bits',
    SYNTAX,
    faulty,
    () => unreach([0, 2, 1, 129, ...fill(17, 0x20)]),
  ],
  ['unreach-short', 'a withdrawn prefix cut short', SYNTAX, faulty, () => unreach([0, 2, 1, 48, 0x26, 0])],
  [
    'unreach-trailing',
    'a byte behind the withdrawn prefix',
    SYNTAX,
    faulty,
    (g) => unreach([0, 2, 1, ...g.other, 64]),
  ],
  [
    'unreach-past-end',
    'MP_UNREACH past the end',
    'RFC 7606 4: past the end',
    [...ignore, ...resetOrWithdraw],
    (g) => update({ attributes: [{ ...mpUnreach(six, g.other), length: 60 }] }),
  ],
  [
    'unreach-flags-c0',
    'MP_UNREACH with the Transitive bit',
    FLAGS,
    resetOrWithdraw,
    (g) => unreach([0, 2, 1, ...g.nlri], 0xc0),
  ],
  [
    'unreach-flags-40',
    'MP_UNREACH as a well-known attribute',
    FLAGS,
    resetOrWithdraw,
    (g) => unreach([0, 2, 1, ...g.nlri], 0x40),
  ],
  [
    'unreach',
    'a plain withdrawal',
    'RFC 4760 4: MP_UNREACH_NLRI',
    withdraw,
    (g) => unreach([0, 2, 1, ...g.nlri]),
    'valid',
  ],
  [
    'unreach-extended',
    'a withdrawal with an extended length',
    'RFC 4271 4.3: Extended Length',
    withdraw,
    (g) => unreach([0, 2, 1, ...g.nlri], 0x90),
    'valid',
  ],
  [
    'unreach-with-attributes',
    'a withdrawal with attributes',
    'RFC 4760 4: "An UPDATE message that contains the MP_UNREACH_NLRI is not required to carry any other path attributes"',
    withdraw,
    (g) => update({ attributes: [mpUnreach(six, g.nlri), ...bare(g)] }),
    'valid',
  ],
  [
    'unreach-unknown',
    'a withdrawal of what was never announced',
    'RFC 4760 4',
    ignore,
    (g) => unreach([0, 2, 1, ...g.other]),
    'valid',
  ],
  [
    'unreach-end-of-rib',
    'an End-of-RIB',
    'RFC 4724 2: "an UPDATE message that contains only the MP_UNREACH_NLRI attribute with no withdrawn routes"',
    ignore,
    () => unreach([0, 2, 1]),
    'valid',
  ],
  [
    'unreach-unknown-afi',
    'a withdrawal of an unknown family',
    NOT_OURS,
    ignore,
    () => unreach([0, 77, 1, 1, 2]),
  ],
  [
    'unreach-multicast',
    'a withdrawal of a family not negotiated',
    NOT_OURS,
    ignore,
    (g) => unreach([0, 2, 2, ...g.nlri]),
  ],
];

// IPv4 unicast in the MP attributes: what killed OpenBGPD's route decision engine.
const four = [1, 1] as const;
const fourRows: readonly Row[] = [
  [
    'four-reach',
    'IPv4 unicast in MP_REACH',
    'RFC 4760 3: AFI 1, SAFI 1',
    accept,
    (g) => update({ attributes: [mpReach(four, ip(g.local), g.nlri), ...bare(g)] }),
    'valid',
  ],
  [
    'four-unreach',
    'IPv4 unicast in MP_UNREACH',
    'RFC 4760 4: AFI 1, SAFI 1',
    withdraw,
    (g) => unreach([0, 1, 1, ...g.nlri]),
    'valid',
  ],
  [
    'four-unreach-other',
    'IPv4 in MP_UNREACH that was never announced',
    'RFC 4760 4',
    ignore,
    (g) => unreach([0, 1, 1, ...g.other]),
    'valid',
  ],
  [
    'four-unreach-empty',
    'an empty MP_UNREACH of IPv4',
    'RFC 4724 2: an End-of-RIB of IPv4 is an empty UPDATE; this one withdraws nothing',
    ignore,
    () => unreach([0, 1, 1]),
  ],
  [
    'four-reach-33',
    'a prefix of 33 bits in MP_REACH',
    'RFC 7606 5.3: "greater than 32"',
    faulty,
    (g) => update({ attributes: [mpReach(four, ip(g.local), [33, ...fill(5, 1)]), ...bare(g)] }),
  ],
  [
    'four-unreach-33',
    'a prefix of 33 bits in MP_UNREACH',
    'RFC 7606 5.3: "greater than 32"',
    faulty,
    () => unreach([0, 1, 1, 33, ...fill(5, 1)]),
  ],
  [
    'four-hop-5',
    'a next hop of 5 bytes in MP_REACH',
    FAULTY,
    faulty,
    (g) => update({ attributes: [mpReach(four, [...ip(g.local), 0], g.nlri), ...bare(g)] }),
  ],
  [
    'four-hop-0',
    'no next hop in MP_REACH',
    FAULTY,
    faulty,
    (g) => update({ attributes: [mpReach(four, [], g.nlri), ...bare(g)] }),
  ],
  [
    'four-hop-zero',
    '0.0.0.0 as next hop in MP_REACH',
    HOST,
    withdraw,
    (g) => update({ attributes: [mpReach(four, u32(0), g.nlri), ...bare(g)] }),
  ],
  [
    'four-hop-zero-attribute',
    'MP_UNREACH of IPv4 beside a good route',
    'RFC 7606 5.1: any combination',
    accept,
    (g) => update({ attributes: [...base(g), mpUnreach(four, g.other)], nlri: g.nlri }),
    'valid',
  ],
];

function hopCheck(want: readonly number[]): Expectation {
  return {
    kind: 'accept',
    check: (route, watcher, ground) => {
      // An internal peer gets the next hop of an external one as it is (RFC 4271 section 5.1.3).
      if (watcher !== 'internal' || ground.internal) return undefined;
      return route.nextHop.startsWith(hex(want)) ? undefined : 'the next hop is another';
    },
  };
}

const extendedRows: readonly Row[] = [
  [
    'v6hop-16',
    'IPv4 with an IPv6 next hop',
    'RFC 8950 3: "Length of Next Hop Address = 16 or 32"',
    accept,
    (g) => update({ attributes: [mpReach(four, global, g.nlri), ...bare(g)] }),
    'valid',
  ],
  [
    'v6hop-32',
    'IPv4 with a global and a link-local next hop',
    'RFC 8950 3: "Length of Next Hop Address = 16 or 32"',
    accept,
    (g) => update({ attributes: [mpReach(four, [...global, ...linkLocal], g.nlri), ...bare(g)] }),
    'valid',
  ],
  [
    'v6hop-4',
    'IPv4 with an IPv4 next hop all the same',
    'RFC 8950 4: the length tells the kind of next hop',
    accept,
    (g) => update({ attributes: [mpReach(four, ip(g.local), g.nlri), ...bare(g)] }),
    'valid',
  ],
  [
    'v6hop-24',
    'IPv4 with a next hop of 24 bytes',
    FAULTY,
    faulty,
    (g) => update({ attributes: [mpReach(four, fill(24, 0x20), g.nlri), ...bare(g)] }),
  ],
  [
    'v6hop-15',
    'IPv4 with a next hop of 15 bytes',
    FAULTY,
    faulty,
    (g) => update({ attributes: [mpReach(four, fill(15, 0x20), g.nlri), ...bare(g)] }),
  ],
  [
    'v6hop-multicast',
    'IPv4 with a multicast IPv6 next hop',
    HOST,
    withdraw,
    (g) => update({ attributes: [mpReach(four, ip('ff02::1'), g.nlri), ...bare(g)] }),
  ],
  [
    'v6hop-zero',
    'IPv4 with :: as next hop',
    HOST,
    withdraw,
    (g) => update({ attributes: [mpReach(four, fill(16), g.nlri), ...bare(g)] }),
  ],
];

function ofRows(rows: readonly Row[], family: FamilyName, sessions: readonly SessionKind[]): Case[] {
  return rows.flatMap(([id, title, clause, expect, send, valid]) =>
    sessions.map(
      (session): Case => ({
        kind: 'update',
        id: `mp.${id}.${session}`,
        category: valid === undefined ? 'malformed MP' : 'valid MP',
        ...{ title, clause, session, family, expect, send },
        ...(valid === undefined ? {} : { valid: true }),
      }),
    ),
  );
}

export function multiprotocolCases(): Case[] {
  const both: readonly SessionKind[] = ['external', 'internal'];
  const hop16: Row = [
    'hop-16',
    'a global next hop',
    NEXT,
    [hopCheck(global)],
    (g) => reach(g, global),
    'valid',
  ];
  const notPrefix: Row = [
    'not-negotiated',
    'IPv6 multicast withdrawn',
    NOT_OURS,
    ignore,
    () => unreach([0, 2, 2, ...prefix('2620::/32')]),
  ];
  return [
    ...ofRows([...reachRows, ...unreachRows, hop16, notPrefix], 'ipv6', both),
    ...ofRows(fourRows, 'ipv4', both),
    ...ofRows(extendedRows, 'ipv4', ['v6hop']),
  ];
}
