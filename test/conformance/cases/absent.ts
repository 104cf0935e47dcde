// Attributes that are missing, and attributes nobody knows.

import {
  AS_PATH,
  attribute,
  fill,
  hex,
  LOCAL_PREF,
  mpReach,
  NEXT_HOP,
  NON_TRANSITIVE,
  OPTIONAL_TRANSITIVE,
  ORIGIN,
  PARTIAL,
  WELL_KNOWN,
} from '../bytes.ts';
import {
  announce,
  type Case,
  type Expectation,
  type Ground,
  having,
  nextHopOf,
  nlriOf,
  type SessionKind,
  without,
} from '../case.ts';
import { discard, reset, withdraw } from './known.ts';

const CORE = 'malformed core attributes';

const both: readonly SessionKind[] = ['external', 'internal'];

const MISSING =
  'RFC 7606 3 (d): "If any of the well-known mandatory attributes are not present in an UPDATE message, then treat-as-withdraw MUST be used"';

function missingCases(): Case[] {
  const mandatory: readonly (readonly [string, number, SessionKind])[] = [
    ...both.flatMap((session) => [
      ['ORIGIN', ORIGIN, session] as const,
      ['AS_PATH', AS_PATH, session] as const,
      ['NEXT_HOP', NEXT_HOP, session] as const,
    ]),
    ['LOCAL_PREF', LOCAL_PREF, 'internal'],
  ];
  const single = mandatory.map(
    ([name, type, session]): Case => ({
      kind: 'update',
      id: `missing.${name.toLowerCase().replace('_', '-')}.${session}`,
      category: CORE,
      title: `${name} missing`,
      clause:
        type === LOCAL_PREF
          ? 'RFC 4271 5: LOCAL_PREF is "required" in UPDATEs of internal peers; RFC 7606 3 (d)'
          : MISSING,
      session,
      family: 'ipv4',
      expect: withdraw,
      send: (ground) => announce(ground, without(ground, type)),
    }),
  );
  const all = both.map(
    (session): Case => ({
      kind: 'update',
      id: `missing.everything.${session}`,
      category: CORE,
      title: 'NLRI without any attribute',
      clause: MISSING,
      session,
      family: 'ipv4',
      expect: withdraw,
      send: (ground) => announce(ground, []),
    }),
  );
  const beside = both.map(
    (session): Case => ({
      kind: 'update',
      id: `missing.next-hop-beside-mp.${session}`,
      category: CORE,
      title: 'NEXT_HOP missing where there is MP_REACH beside NLRI',
      clause: MISSING,
      session,
      family: 'ipv4',
      expect: withdraw,
      send: (ground) => {
        const reach = mpReach([2, 1], nextHopOf('ipv6', ground.local), nlriOf('ipv6', ground.index));
        return announce(ground, [reach, ...without(ground, NEXT_HOP)]);
      },
    }),
  );
  return [...single, ...all, ...beside];
}

const UNKNOWN_KNOWN =
  'RFC 4271 6.3: "If any of the well-known mandatory attributes are not recognized, then the Error Subcode MUST be set to Unrecognized Well-known Attribute"';
const PASS =
  'RFC 4271 5: "If a path with an unrecognized transitive optional attribute is accepted and passed along … the Partial bit … MUST be set to 1"';
const QUIET =
  'RFC 4271 5: "Unrecognized non-transitive optional attributes MUST be quietly ignored and not passed along"';
const REPEAT =
  'RFC 7606 3 (g): "any other attribute (whether recognized or unrecognized) appears more than once … all the occurrences … other than the first one SHALL be discarded"';

// RFC 4271 speaks of mandatory attributes, and who knows whether one nobody knows is: withdrawing will do as well.
const strange: readonly Expectation[] = [...reset([3, 2]), ...withdraw];

function unknownCases(): Case[] {
  const cases: Case[] = [];
  const add = (
    id: string,
    title: string,
    clause: string,
    expect: readonly Expectation[],
    ...list: [number, number, readonly number[]][]
  ) => {
    for (const session of both)
      cases.push({
        ...{
          kind: 'update',
          id: `unknown.${id}.${session}`,
          category: 'unknown attributes',
          title,
          clause,
          session,
          expect,
          family: 'ipv4',
        },
        valid: !id.startsWith('well-known'),
        send: (ground: Ground) =>
          announce(ground, [...having(ground), ...list.map((one) => attribute(...one))]),
      });
  };
  const passed = (type: number, value: readonly number[]): readonly Expectation[] => [
    {
      kind: 'accept',
      check: (route) => {
        if (route.attributes.get(type) !== hex(value)) return `attribute ${type} was not passed`;
        return (route.flags.get(type)! & PARTIAL) === 0 ? 'the Partial bit is not set' : undefined;
      },
    },
  ];
  add('well-known-200', 'a well-known attribute 200', UNKNOWN_KNOWN, strange, [WELL_KNOWN, 200, [1, 2]]);
  add('well-known-0', 'a well-known attribute of type 0', UNKNOWN_KNOWN, strange, [WELL_KNOWN, 0, []]);
  add('well-known-empty', 'an empty well-known attribute 222', UNKNOWN_KNOWN, strange, [WELL_KNOWN, 222, []]);
  add('transitive', 'an optional transitive attribute', PASS, passed(200, [1, 2]), [
    OPTIONAL_TRANSITIVE,
    200,
    [1, 2],
  ]);
  add('transitive-partial', 'one that is partial already', PASS, passed(201, [1]), [
    OPTIONAL_TRANSITIVE | PARTIAL,
    201,
    [1],
  ]);
  add('transitive-empty', 'an empty one', PASS, passed(202, []), [OPTIONAL_TRANSITIVE, 202, []]);
  add('transitive-long', 'one of 300 bytes', PASS, passed(203, fill(300, 7)), [
    OPTIONAL_TRANSITIVE,
    203,
    fill(300, 7),
  ]);
  add('transitive-254', 'type 254', PASS, passed(254, [9]), [OPTIONAL_TRANSITIVE, 254, [9]]);
  add('transitive-255', 'type 255', PASS, passed(255, [9]), [OPTIONAL_TRANSITIVE, 255, [9]]);
  add('non-transitive', 'an optional non-transitive attribute', QUIET, discard(204), [
    NON_TRANSITIVE,
    204,
    [1],
  ]);
  add('non-transitive-partial', 'a non-transitive one with the Partial bit', QUIET, discard(205), [
    NON_TRANSITIVE | PARTIAL,
    205,
    [1],
  ]);
  add(
    'twice',
    'an unknown attribute twice',
    REPEAT,
    passed(206, [1]),
    [OPTIONAL_TRANSITIVE, 206, [1]],
    [OPTIONAL_TRANSITIVE, 206, [2]],
  );
  add(
    'many',
    'ten unknown attributes',
    PASS,
    passed(219, [9]),
    ...Array.from({ length: 10 }, (_, i): [number, number, number[]] => [OPTIONAL_TRANSITIVE, 210 + i, [i]]),
  );
  return cases;
}

export function absentCases(): Case[] {
  return [...missingCases(), ...unknownCases()];
}
