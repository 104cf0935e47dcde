// The frame of an UPDATE: its two lengths, the prefixes of its classic fields, attributes that end before they
// begin, and several faults at once, of which the strongest wins.

import {
  AGGREGATOR,
  ATOMIC_AGGREGATE,
  type Attribute,
  attribute,
  COMMUNITIES,
  fill,
  message,
  mpReach,
  mpUnreach,
  OPTIONAL_TRANSITIVE,
  ORIGIN,
  prefix,
  UPDATE,
  u16,
  update,
  WELL_KNOWN,
} from '../bytes.ts';
import {
  announce,
  base,
  type Case,
  type Expectation,
  type Ground,
  having,
  nextHopOf,
  nlriOf,
  type SessionKind,
} from '../case.ts';
import { accept, ignore, reset, withdraw } from './known.ts';

const LENGTHS =
  'RFC 4271 6.3: "If the Withdrawn Routes Length or Total Attribute Length is too large (i.e., if Withdrawn Routes Length + Total Attribute Length + 23 exceeds the message Length), then the Error Subcode MUST be set to Malformed Attribute List"';
const SYNTAX =
  'RFC 7606 5.3: syntactically incorrect if "the length of any of the included NLRI is greater than 32"; 3 (j): session reset (RFC 4271 6.3: Invalid Network Field)';
const OVERRUN =
  'RFC 7606 5.3: syntactically incorrect if "the length of the last NLRI found exceeds the amount of unconsumed data remaining in the field"; 3 (j): session reset';
const SHORT =
  'RFC 7606 4: "fewer than three octets remain (or fewer than four octets, if … Extended Length bit set) when beginning to parse the attribute … treat-as-withdraw"';
const STRONGEST =
  'RFC 7606 3 (h): "the most severe (or, strongest) approach" of several malformed attributes';
const UNSURE =
  'RFC 7606 5.2: "does contain path attributes other than MP_UNREACH_NLRI and doesn\'t encode any reachable NLRI … the session reset approach MUST be used"';
const BITS = 'RFC 4271 4.3: "the value of trailing bits is irrelevant"';

interface Row {
  readonly id: string;
  readonly title: string;
  readonly clause: string;
  readonly expect: readonly Expectation[];
  readonly send: (ground: Ground) => Uint8Array | readonly Uint8Array[];
  readonly valid?: boolean;
  readonly good?: boolean;
}

const malformedList = reset([3, 1]);
const badNetwork = reset([3, 10]);
// Where the field ends too early no RFC names the subcode.
const cutNetwork = reset([3, 10], [3, 1]);
const badEither: readonly Expectation[] = [
  {
    kind: 'reset',
    codes: [
      [3, 10],
      [3, 1],
    ],
  },
];

const rows: readonly Row[] = [
  {
    id: 'withdrawn-length-all',
    title: 'a withdrawn length beyond the message',
    clause: LENGTHS,
    expect: malformedList,
    send: (g) => update({ withdrawnLength: 200, attributes: base(g), nlri: g.nlri }),
  },
  {
    id: 'withdrawn-length-ffff',
    title: 'a withdrawn length of 65535',
    clause: LENGTHS,
    expect: malformedList,
    send: (g) => update({ withdrawnLength: 65535, attributes: base(g), nlri: g.nlri }),
  },
  {
    id: 'withdrawn-no-attributes-length',
    title: 'withdrawn routes up to the end, no attribute length',
    clause: LENGTHS,
    expect: malformedList,
    send: (g) => message(UPDATE, [...u16(g.nlri.length), ...g.nlri]),
  },
  {
    id: 'attributes-length-one',
    title: 'an attribute length one beyond the message',
    clause: LENGTHS,
    expect: malformedList,
    send: (g) =>
      update({
        attributes: base(g),
        nlri: [],
        attributesLength: base(g).flatMap((one) => [0, 0, 0, ...one.value]).length + 1,
      }),
  },
  {
    id: 'attributes-length-ffff',
    title: 'an attribute length of 65535',
    clause: LENGTHS,
    expect: malformedList,
    send: (g) => update({ attributes: base(g), nlri: g.nlri, attributesLength: 65535 }),
  },
  {
    id: 'body-empty',
    title: 'an UPDATE without a body',
    clause: 'RFC 4271 6.1: "the Length field of an UPDATE message is less than the minimum length" (23)',
    expect: [
      {
        kind: 'reset',
        codes: [
          [1, 2],
          [3, 1],
        ],
      },
    ],
    send: () => message(UPDATE, []),
  },
  {
    id: 'body-3',
    title: 'an UPDATE of 22 bytes',
    clause: 'RFC 4271 6.1: "less than the minimum length" (23)',
    expect: [
      {
        kind: 'reset',
        codes: [
          [1, 2],
          [3, 1],
        ],
      },
    ],
    send: () => message(UPDATE, [0, 0, 0]),
  },
  {
    id: 'nlri-33',
    title: 'a prefix of 33 bits',
    clause: SYNTAX,
    expect: badNetwork,
    send: (g) => update({ attributes: base(g), nlri: [33, 20, 1, 2, 3, 4] }),
  },
  {
    id: 'nlri-255',
    title: 'a prefix of 255 bits',
    clause: SYNTAX,
    expect: badNetwork,
    send: (g) => update({ attributes: base(g), nlri: [255, ...fill(32, 1)] }),
  },
  {
    id: 'nlri-33-after-good',
    title: 'a good prefix, then one of 33 bits',
    clause: SYNTAX,
    expect: badNetwork,
    send: (g) => update({ attributes: base(g), nlri: [...g.nlri, 33, 20, 1, 2, 3, 4] }),
  },
  {
    id: 'nlri-short',
    title: 'a prefix of 24 bits in two bytes',
    clause: OVERRUN,
    expect: cutNetwork,
    send: (g) => update({ attributes: base(g), nlri: [24, 20, 1] }),
  },
  {
    id: 'nlri-length-only',
    title: 'a length byte and nothing more',
    clause: OVERRUN,
    expect: cutNetwork,
    send: (g) => update({ attributes: base(g), nlri: [24] }),
  },
  {
    id: 'nlri-trailing',
    title: 'a byte after the last prefix',
    clause: OVERRUN,
    expect: cutNetwork,
    send: (g) => update({ attributes: base(g), nlri: [...g.nlri, 8] }),
  },
  {
    id: 'withdrawn-33',
    title: 'a withdrawn prefix of 33 bits',
    clause: SYNTAX,
    expect: badEither,
    send: () => update({ withdrawn: [33, 20, 1, 2, 3, 4] }),
  },
  {
    id: 'withdrawn-short',
    title: 'a withdrawn prefix cut short',
    clause: OVERRUN,
    expect: badEither,
    send: () => update({ withdrawn: [24, 20] }),
  },
  {
    id: 'withdrawn-off-by-one',
    title: 'a withdrawn length one too small',
    clause: OVERRUN,
    expect: [
      {
        kind: 'reset',
        codes: [
          [3, 1],
          [3, 10],
        ],
      },
    ],
    send: (g) => update({ withdrawn: g.nlri, withdrawnLength: g.nlri.length - 1 }),
  },
  {
    id: 'attribute-header-1',
    title: 'one byte after the attributes',
    clause: SHORT,
    expect: withdraw,
    send: (g) => announce(g, [...base(g), { ...raw, raw: [0x40] }]),
  },
  {
    id: 'attribute-header-2',
    title: 'two bytes after the attributes',
    clause: SHORT,
    expect: withdraw,
    send: (g) => announce(g, [...base(g), { ...raw, raw: [0xc0, 200] }]),
  },
  {
    id: 'attribute-header-3',
    title: 'three bytes of an extended attribute header',
    clause: SHORT,
    expect: withdraw,
    send: (g) => announce(g, [...base(g), { ...raw, raw: [0xd0, 200, 0] }]),
  },
  {
    id: 'attribute-unknown-past-end',
    title: 'an unknown attribute past the end',
    clause: SHORT,
    expect: withdraw,
    send: (g) => announce(g, [...base(g), { flags: 0xc0, type: 200, value: [1], length: 9 }]),
  },
  {
    id: 'attribute-extended-past-end',
    title: 'an extended length of 65535',
    clause: SHORT,
    expect: withdraw,
    send: (g) => announce(g, [...base(g), { flags: 0xd0, type: 200, value: [1], length: 65535 }]),
  },
  {
    id: 'attributes-length-small',
    title: 'an attribute length within the last attribute, the rest no NLRI',
    clause: `${SHORT}; ${OVERRUN}`,
    expect: cutNetwork,
    send: (g) =>
      update({
        attributes: [...base(g), attribute(OPTIONAL_TRANSITIVE, COMMUNITIES, [0xff, 0xff, 0xff, 0xff])],
        attributesLength: base(g).flatMap((one) => [0, 0, 0, ...one.value]).length,
        nlri: [],
      }),
  },
  {
    id: 'strongest-withdraw',
    title: 'a fault to discard and one to withdraw for',
    clause: STRONGEST,
    expect: withdraw,
    send: (g) =>
      announce(
        g,
        having(g, attribute(WELL_KNOWN, ATOMIC_AGGREGATE, [1]), attribute(WELL_KNOWN, ORIGIN, [9])),
      ),
  },
  {
    id: 'strongest-withdraw-first',
    title: 'a fault to withdraw for and then one to discard',
    clause: STRONGEST,
    expect: withdraw,
    send: (g) =>
      announce(
        g,
        having(
          g,
          attribute(OPTIONAL_TRANSITIVE, COMMUNITIES, [1]),
          attribute(OPTIONAL_TRANSITIVE, AGGREGATOR, [1]),
        ),
      ),
  },
  {
    id: 'strongest-reset',
    title: 'a fault to withdraw for and a bad prefix',
    clause: STRONGEST,
    expect: cutNetwork,
    send: (g) => update({ attributes: having(g, attribute(WELL_KNOWN, ORIGIN, [9])), nlri: [...g.nlri, 77] }),
  },
  {
    id: 'strongest-twice-mp',
    title: 'a fault to withdraw for and MP_REACH twice',
    clause: STRONGEST,
    expect: reset([3, 1]),
    send: (g) =>
      update({
        attributes: [...twoReach(g), ...having(g, attribute(WELL_KNOWN, ORIGIN, [9]))],
        nlri: g.nlri,
      }),
  },
  {
    id: 'withdrawn-despite',
    title: 'withdrawn routes beside a fault in the attributes go all the same',
    clause: 'RFC 7606 2: treat-as-withdraw: "all the contained routes … treated as though … withdrawn"',
    expect: withdraw,
    send: (g) =>
      update({ withdrawn: g.nlri, attributes: having(g, attribute(WELL_KNOWN, ORIGIN, [9])), nlri: g.other }),
  },
  {
    id: 'all-nlri-withdrawn',
    title: 'every prefix of a faulty UPDATE goes',
    clause: 'RFC 7606 2: treat-as-withdraw',
    expect: withdraw,
    send: (g) =>
      update({ attributes: having(g, attribute(WELL_KNOWN, ORIGIN, [9])), nlri: [...g.other, ...g.nlri] }),
  },
  {
    id: 'both-fields',
    title: 'the same prefix withdrawn and announced',
    clause:
      'RFC 4271 4.3: "An UPDATE message SHOULD NOT include the same address prefix in the WITHDRAWN ROUTES and NLRI fields … SHOULD treat … as though the WITHDRAWN ROUTES do not contain the address prefix"',
    expect: accept,
    valid: true,
    send: (g) => update({ withdrawn: g.nlri, attributes: base(g), nlri: g.nlri }),
  },
  {
    id: 'same-twice',
    title: 'the same prefix twice in NLRI',
    clause: 'RFC 4271 4.3: NLRI is a list of prefixes',
    expect: accept,
    valid: true,
    send: (g) => update({ attributes: base(g), nlri: [...g.nlri, ...g.nlri] }),
  },
  {
    id: 'trailing-bits',
    title: 'bits set beyond the prefix',
    clause: BITS,
    expect: accept,
    valid: true,
    send: (g) => update({ attributes: base(g), nlri: [23, ...g.nlri.slice(1)] }),
  },
  {
    id: 'withdrawn',
    title: 'a plain withdrawal',
    clause: 'RFC 4271 4.3: WITHDRAWN ROUTES',
    expect: withdraw,
    valid: true,
    send: (g) => update({ withdrawn: g.nlri }),
  },
  {
    id: 'withdrawn-unknown',
    title: 'a withdrawal of what was never announced',
    clause: 'RFC 4271 3.1: withdrawal of a route',
    expect: ignore,
    valid: true,
    send: (g) => update({ withdrawn: g.other }),
  },
  {
    id: 'attributes-without-nlri',
    title: 'attributes without NLRI',
    clause: 'RFC 7606 5.2: an UPDATE without reachable NLRI is no error while its attributes are in order',
    expect: ignore,
    valid: true,
    send: (g) => update({ attributes: base(g) }),
  },
  {
    id: 'faulty-attributes-without-nlri',
    title: 'faulty attributes without NLRI',
    clause: UNSURE,
    expect: reset([3]),
    send: (g) => update({ attributes: having(g, attribute(WELL_KNOWN, ORIGIN, [9])) }),
  },
  {
    id: 'faulty-attributes-withdrawn',
    title: 'faulty attributes beside withdrawn routes alone',
    clause: UNSURE,
    expect: reset([3]),
    send: (g) => update({ withdrawn: g.other, attributes: having(g, attribute(WELL_KNOWN, ORIGIN, [9])) }),
  },
  {
    id: 'faulty-attributes-mp-unreach',
    title: 'faulty attributes beside MP_UNREACH alone',
    clause: UNSURE,
    expect: reset([3]),
    send: (g) =>
      update({
        attributes: [
          mpUnreach([2, 1], prefix('2620::/32')),
          ...having(g, attribute(WELL_KNOWN, ORIGIN, [9])),
        ],
      }),
  },
  {
    id: 'past-end-without-nlri',
    title: 'an attribute past the end without NLRI',
    clause: UNSURE,
    expect: reset([3]),
    send: (g) =>
      update({ attributes: [...base(g), { flags: 0xc0, type: 8, value: [1, 2, 3, 4], length: 99 }] }),
  },
  {
    id: 'discard-without-nlri',
    title: 'a fault to discard without NLRI',
    clause:
      'RFC 7606 5.2: session reset for a fault of "an error-handling approach other than attribute discard" only',
    expect: ignore,
    send: (g) => update({ attributes: having(g, attribute(WELL_KNOWN, ATOMIC_AGGREGATE, [1])) }),
  },
  {
    id: 'empty',
    title: 'an End-of-RIB out of turn',
    clause: 'RFC 4724 2: "An UPDATE message with no reachable NLRI and empty withdrawn NLRI"',
    expect: ignore,
    valid: true,
    send: () => update({}),
  },
  {
    id: 'withdraw-default',
    title: 'the default route withdrawn, never announced',
    clause: 'RFC 4271 4.3: "A length of zero indicates a prefix that matches all IP addresses"',
    expect: ignore,
    valid: true,
    send: () => update({ withdrawn: [0] }),
  },
];

const raw: Attribute = { flags: 0, type: 250, value: [] };

const twoReach = (ground: Ground): Attribute[] => {
  const one = mpReach([2, 1], nextHopOf('ipv6', ground.local), nlriOf('ipv6', ground.index));
  return [one, one];
};

/** A set of 23 bits watched under its masked form. */
const maskedNlri = (ground: Ground): readonly number[] => [
  23,
  ground.nlri[1]!,
  ground.nlri[2]!,
  ground.nlri[3]! & 0xfe,
];

export function structureCases(): Case[] {
  const sessions: readonly SessionKind[] = ['external', 'internal'];
  return [...rows, ...mixed].flatMap((row) =>
    sessions.map(
      (session): Case => ({
        kind: 'update',
        id: `structure.${row.id}.${session}`,
        category: row.valid === true ? 'valid structure' : 'structure and NLRI lengths',
        title: row.title,
        clause: row.clause,
        session,
        family: 'ipv4',
        expect: row.expect,
        send: row.send,
        ...(row.valid === true ? { valid: true } : {}),
        ...(row.id === 'trailing-bits' ? { nlri: maskedNlri, good: false } : {}),
      }),
    ),
  );
}

// Classic fields and MP attributes in one UPDATE (RFC 4760, RFC 7606 5.1).
const mixed: readonly Row[] = [
  {
    id: 'mp-last',
    title: 'MP_REACH behind the other attributes',
    clause:
      'RFC 7606 5.1: "implementations MUST be prepared to receive these fields in any order or combination"',
    expect: accept,
    valid: true,
    send: (g) =>
      update({
        attributes: [...base(g), mpReach([2, 1], nextHopOf('ipv6', g.local), nlriOf('ipv6', g.index))],
        nlri: g.nlri,
      }),
  },
  {
    id: 'mp-unreach-and-nlri',
    title: 'MP_UNREACH beside classic NLRI',
    clause: 'RFC 7606 5.1: "any order or combination"',
    expect: accept,
    valid: true,
    send: (g) =>
      update({ attributes: [mpUnreach([2, 1], prefix('2620:fe::/48')), ...base(g)], nlri: g.nlri }),
  },
];
