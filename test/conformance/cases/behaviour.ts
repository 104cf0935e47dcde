// What a speaker does with routes that are right: loops, well-known communities, reflection, paths and preferences on
// their way out, 4-octet AS numbers for those who do not know them, add-path.

import {
  AGGREGATOR,
  AIGP,
  ATOMIC_AGGREGATE,
  type Attribute,
  attribute,
  CLUSTER_LIST,
  COMMUNITIES,
  EXT_COMMUNITIES,
  hex,
  ip,
  LARGE_COMMUNITIES,
  LOCAL_PREF,
  MED,
  NON_TRANSITIVE,
  OPTIONAL_TRANSITIVE,
  ORIGIN,
  ORIGINATOR_ID,
  segment,
  u16,
  u32,
  WELL_KNOWN,
} from '../bytes.ts';
import {
  CASE_MARK,
  type Case,
  DAEMON,
  EXTERNAL_AS,
  type Expectation,
  type Ground,
  LOCAL_AS,
  nextHopOf,
  type SessionKind,
} from '../case.ts';
import { FAMILIES, type FamilyName } from '../speaker.ts';
import { accept, withdraw } from './known.ts';
import { both, by, carrying, community, is, lacks, path, pathIs, type Row, seen } from './seen.ts';
import { addPathRows, octetRows, shapeRows } from './shapes.ts';

const LOOP =
  'RFC 4271 9.1.2: "If the AS_PATH attribute of a BGP route contains an AS loop, the BGP route should be excluded from the Phase 2 decision function"';
const REFLECTED =
  'RFC 4456 8: "A router that recognizes the ORIGINATOR_ID attribute SHOULD ignore a route received with its BGP Identifier as the ORIGINATOR_ID"';
const CLUSTER =
  'RFC 4456 8: "If the local CLUSTER_ID is found in the CLUSTER_LIST, the advertisement received SHOULD be ignored"';

function loopRows(): Row[] {
  const own = (id: string, session: SessionKind, build: (ground: Ground) => readonly number[]): Row => ({
    ...{
      id: `loop-${id}.${session}`,
      title: `our AS in the path: ${id}`,
      clause: LOOP,
      session,
      expect: withdraw,
    },
    send: path(build),
  });
  const of = (type: number, value: readonly number[], id: string, title: string, clause: string): Row => ({
    ...{ id, title, clause, session: 'internal', expect: withdraw },
    send: carrying(attribute(NON_TRANSITIVE, type, value)),
  });
  return [
    own('middle', 'external', ({ asn }) => segment(2, [asn, LOCAL_AS, CASE_MARK])),
    own('last', 'external', ({ asn }) => segment(2, [asn, LOCAL_AS])),
    own('twice', 'external', ({ asn }) => segment(2, [asn, LOCAL_AS, LOCAL_AS, CASE_MARK])),
    own('second-segment', 'external', ({ asn }) => [
      ...segment(2, [asn]),
      ...segment(2, [LOCAL_AS, CASE_MARK]),
    ]),
    own('set', 'external', ({ asn }) => [...segment(2, [asn]), ...segment(1, [LOCAL_AS, CASE_MARK])]),
    own('middle', 'old', ({ asn }) => segment(2, [asn, LOCAL_AS, CASE_MARK], 2)),
    own('first', 'internal', () => segment(2, [LOCAL_AS, CASE_MARK])),
    own('last', 'internal', () => segment(2, [CASE_MARK, LOCAL_AS])),
    of(ORIGINATOR_ID, ip(DAEMON), 'originator-own', 'our identifier as ORIGINATOR_ID', REFLECTED),
    of(CLUSTER_LIST, ip(DAEMON), 'cluster-own', 'our cluster as CLUSTER_LIST', CLUSTER),
    of(
      CLUSTER_LIST,
      [...ip('10.97.0.1'), ...ip(DAEMON)],
      'cluster-own-last',
      'our cluster last in CLUSTER_LIST',
      CLUSTER,
    ),
    of(
      CLUSTER_LIST,
      [...ip(DAEMON), ...ip('10.97.0.1')],
      'cluster-own-first',
      'our cluster first in CLUSTER_LIST',
      CLUSTER,
    ),
  ];
}

function communityRows(): Row[] {
  const rows: Row[] = [];
  const clause = (name: string) => `RFC 1997 "Well-known Communities": ${name}`;
  for (const session of both) {
    const add = (id: string, text: string, list: Attribute, expect: readonly Expectation[]) =>
      rows.push({
        id: `${id}.${session}`,
        title: id,
        clause: clause(text),
        session,
        expect,
        send: carrying(list),
      });
    const inside = seen(() => undefined, { only: 'internal' });
    add(
      'no-export',
      'NO_EXPORT "MUST NOT be advertised outside a BGP confederation boundary"',
      community(0xffffff01),
      inside,
    );
    add(
      'no-advertise',
      'NO_ADVERTISE "MUST NOT be advertised to other BGP peers"',
      community(0xffffff02),
      withdraw,
    );
    add(
      'no-export-subconfed',
      'NO_EXPORT_SUBCONFED "MUST NOT be advertised to external BGP peers"',
      community(0xffffff03),
      inside,
    );
    add(
      'no-export-among-others',
      'NO_EXPORT among others',
      community(0xfde90001, 0xffffff01, 0xfde90002),
      inside,
    );
    add(
      'no-advertise-last',
      'NO_ADVERTISE last of three',
      community(0xfde90001, 0xfde90002, 0xffffff02),
      withdraw,
    );
    add('reserved-community', 'reserved values mean nothing more', community(0xffff1234), accept);
    add(
      'many-communities',
      'communities pass as they are',
      community(...Array.from({ length: 60 }, (_, i) => 0xfde90000 + i)),
      seen(is(COMMUNITIES, Array.from({ length: 60 }, (_, i) => u32(0xfde90000 + i)).flat())),
    );
  }
  const foreign = [0x40, 0x04, ...u16(EXTERNAL_AS), ...u32(0x41414141)];
  const target = [0, 2, ...u16(65001), ...u32(9)];
  rows.push({
    ...{
      id: 'ext-non-transitive.external',
      title: 'a non-transitive extended community',
      session: 'external',
    },
    clause:
      'RFC 4360 6: "If a route has a non-transitivity extended community, then before advertising the route across the Autonomous System boundary the community SHOULD be removed"',
    expect: seen(by({ external: is(EXT_COMMUNITIES, target), old: is(EXT_COMMUNITIES, target) })),
    send: carrying(attribute(OPTIONAL_TRANSITIVE, EXT_COMMUNITIES, [...foreign, ...target])),
  });
  return rows;
}

function passingRows(): Row[] {
  const rows: Row[] = [];
  const add = (
    id: string,
    title: string,
    clause: string,
    session: SessionKind,
    expect: readonly Expectation[],
    ...changed: Attribute[]
  ) => rows.push({ id: `${id}.${session}`, title, clause, session, expect, send: carrying(...changed) });
  const PREPEND =
    'RFC 4271 5.1.2: "When a given BGP speaker advertises the route to an external peer, the advertising speaker updates the AS_PATH attribute … prepend its own AS number"; to an internal peer "SHALL NOT modify"';
  add(
    'path',
    'the path on its way out',
    PREPEND,
    'external',
    seen(
      by({
        external: pathIs(`${LOCAL_AS} ${EXTERNAL_AS} ${CASE_MARK}`),
        old: pathIs(`${LOCAL_AS} ${EXTERNAL_AS} ${CASE_MARK}`),
        internal: pathIs(`${EXTERNAL_AS} ${CASE_MARK}`),
      }),
    ),
  );
  add(
    'path',
    'the path on its way out',
    PREPEND,
    'internal',
    seen(by({ external: pathIs(`${LOCAL_AS} ${CASE_MARK}`), internal: pathIs(`${CASE_MARK}`) })),
  );
  add(
    'path',
    'the path of a 2-octet peer',
    PREPEND,
    'old',
    seen(by({ external: pathIs(`${LOCAL_AS} ${EXTERNAL_AS} ${CASE_MARK}`) })),
  );
  const PREFERENCE =
    'RFC 4271 5.1.5: LOCAL_PREF "SHALL be included in all UPDATE messages that a given BGP speaker sends to other internal peers … MUST NOT … to external peers"';
  add(
    'local-pref-default',
    'LOCAL_PREF of a route from outside',
    PREFERENCE,
    'external',
    seen(by({ internal: is(LOCAL_PREF, u32(100)), external: lacks(LOCAL_PREF), old: lacks(LOCAL_PREF) })),
  );
  add(
    'local-pref-kept',
    'LOCAL_PREF of a route from inside',
    PREFERENCE,
    'internal',
    seen(by({ internal: is(LOCAL_PREF, u32(321)), external: lacks(LOCAL_PREF), old: lacks(LOCAL_PREF) })),
    attribute(WELL_KNOWN, LOCAL_PREF, u32(321)),
  );
  add(
    'local-pref-max',
    'LOCAL_PREF 4294967295',
    PREFERENCE,
    'internal',
    seen(by({ internal: is(LOCAL_PREF, u32(0xffffffff)) })),
    attribute(WELL_KNOWN, LOCAL_PREF, u32(0xffffffff)),
  );
  add(
    'local-pref-zero',
    'LOCAL_PREF 0',
    PREFERENCE,
    'internal',
    seen(by({ internal: is(LOCAL_PREF, u32(0)) })),
    attribute(WELL_KNOWN, LOCAL_PREF, u32(0)),
  );
  const METRIC =
    'RFC 4271 5.1.4: MED received over EBGP "MAY be propagated over IBGP … MUST NOT be propagated to other neighboring ASes"';
  add(
    'med',
    'MED from outside',
    METRIC,
    'external',
    seen(by({ internal: is(MED, u32(77)), external: lacks(MED), old: lacks(MED) })),
    attribute(NON_TRANSITIVE, MED, u32(77)),
  );
  add(
    'med-zero',
    'MED 0',
    METRIC,
    'external',
    seen(by({ internal: is(MED, u32(0)), external: lacks(MED) })),
    attribute(NON_TRANSITIVE, MED, u32(0)),
  );
  add(
    'med-max',
    'MED 4294967295',
    METRIC,
    'internal',
    seen(by({ internal: is(MED, u32(0xffffffff)) })),
    attribute(NON_TRANSITIVE, MED, u32(0xffffffff)),
  );
  const REFLECTION =
    'RFC 4456 8: "… MUST NOT create an ORIGINATOR_ID attribute if one already exists … MUST prepend the local CLUSTER_ID to the CLUSTER_LIST"; both "optional, non-transitive" of the AS';
  add(
    'reflected',
    'a route reflected',
    REFLECTION,
    'internal',
    seen(
      by({
        internal: (route, watcher, ground) =>
          is(ORIGINATOR_ID, ip(ground.local))(route, watcher, ground) ??
          is(CLUSTER_LIST, ip(DAEMON))(route, watcher, ground),
        external: (route, watcher, ground) =>
          lacks(ORIGINATOR_ID)(route, watcher, ground) ?? lacks(CLUSTER_LIST)(route, watcher, ground),
      }),
    ),
  );
  add(
    'originator-kept',
    'an ORIGINATOR_ID kept',
    REFLECTION,
    'internal',
    seen(by({ internal: is(ORIGINATOR_ID, ip('10.97.0.55')), external: lacks(ORIGINATOR_ID) })),
    attribute(NON_TRANSITIVE, ORIGINATOR_ID, ip('10.97.0.55')),
  );
  add(
    'cluster-prepended',
    'a CLUSTER_LIST prepended',
    REFLECTION,
    'internal',
    seen(
      by({ internal: is(CLUSTER_LIST, [...ip(DAEMON), ...ip('10.97.0.56')]), external: lacks(CLUSTER_LIST) }),
    ),
    attribute(NON_TRANSITIVE, CLUSTER_LIST, ip('10.97.0.56')),
  );
  add(
    'not-reflected',
    'a route from outside is not marked as reflected',
    REFLECTION,
    'external',
    seen(
      by({
        internal: (route, watcher, ground) =>
          lacks(ORIGINATOR_ID)(route, watcher, ground) ?? lacks(CLUSTER_LIST)(route, watcher, ground),
      }),
    ),
  );
  add(
    'next-hop',
    'the next hop towards internal peers',
    'RFC 4271 5.1.3: "When sending a message to an internal peer, if the route is not locally originated, the BGP speaker SHOULD NOT modify the NEXT_HOP"',
    'external',
    seen(
      by({
        internal: (route, _, ground) =>
          route.nextHop === hex(ip(ground.local)) ? undefined : `the next hop is ${route.nextHop}`,
      }),
    ),
  );
  add(
    'next-hop',
    'the next hop of a reflected route',
    'RFC 4456 10: "… MUST NOT modify … NEXT_HOP" of reflected routes',
    'internal',
    seen(
      by({
        internal: (route, _, ground) =>
          route.nextHop === hex(ip(ground.local)) ? undefined : `the next hop is ${route.nextHop}`,
      }),
    ),
  );
  for (const session of both) {
    const KEPT = 'RFC 4271 5: attributes that are recognized and passed along';
    for (const value of [0, 1, 2])
      add(
        `origin-${value}`,
        `ORIGIN ${value}`,
        'RFC 4271 5.1.1: "its value SHOULD NOT be changed by any other speaker"',
        session,
        seen(is(ORIGIN, [value])),
        attribute(WELL_KNOWN, ORIGIN, [value]),
      );
    add(
      'atomic',
      'ATOMIC_AGGREGATE',
      'RFC 4271 5.1.6: "SHOULD NOT remove the attribute from the route when propagating it"',
      session,
      seen(is(ATOMIC_AGGREGATE, [])),
      attribute(WELL_KNOWN, ATOMIC_AGGREGATE, []),
    );
    add(
      'aggregator',
      'AGGREGATOR',
      KEPT,
      session,
      seen(
        by({
          external: is(AGGREGATOR, [...u32(64900), ...ip('192.0.2.9')]),
          internal: is(AGGREGATOR, [...u32(64900), ...ip('192.0.2.9')]),
          old: is(AGGREGATOR, [...u16(64900), ...ip('192.0.2.9')]),
        }),
      ),
      attribute(OPTIONAL_TRANSITIVE, AGGREGATOR, [...u32(64900), ...ip('192.0.2.9')]),
    );
    add(
      'large',
      'three large communities',
      'RFC 8092 2: transitive',
      session,
      seen(
        is(
          LARGE_COMMUNITIES,
          [1, 2, 3].flatMap((i) => [...u32(EXTERNAL_AS), ...u32(0), ...u32(i)]),
        ),
      ),
      attribute(
        OPTIONAL_TRANSITIVE,
        LARGE_COMMUNITIES,
        [1, 2, 3].flatMap((i) => [...u32(EXTERNAL_AS), ...u32(0), ...u32(i)]),
      ),
    );
    add(
      'aigp-outside',
      'AIGP does not leave',
      'RFC 7311 3.2: "AIGP_SESSION … default value … EBGP … disabled"',
      session,
      seen(by({ external: lacks(AIGP), old: lacks(AIGP) })),
      attribute(NON_TRANSITIVE, AIGP, [1, 0, 11, 0, 0, 0, 0, 0, 0, 0, 9]),
    );
  }
  return rows;
}

const MEMBERSHIP =
  'RFC 4684 3.2: "When advertising an RT membership NLRI to a route-reflector client, the Originator attribute shall be set to the router-id of the advertiser, and the Next-hop attribute shall be set to the local address for that session"';

/** What is true of IPv4 unicast is true of the other families: these rows are played for each of them. */
const everywhere =
  /^(loop-(middle|first)|originator-own|cluster-own$|no-export\.|no-advertise\.|path\.(ext|int)|local-pref|med\.|reflected|originator-kept|cluster-prepended|not-reflected|origin-2|atomic|large|aigp)/;

function familyRows(): Row[] {
  const others = Object.keys(FAMILIES).filter((name) => name !== 'ipv4') as FamilyName[];
  const rows = [...loopRows(), ...communityRows(), ...passingRows()].filter(({ id }) => everywhere.test(id));
  const membership: Row = {
    ...{
      id: 'rtc.reflected-as-own',
      title: 'a membership reflected as our own',
      session: 'internal',
      family: 'rtc',
    },
    clause: MEMBERSHIP,
    expect: seen(by({ internal: is(ORIGINATOR_ID, ip(DAEMON)) })),
    send: carrying(),
  };
  const rest = others.flatMap((family) => [
    ...rows
      .filter(({ session }) => session !== 'old')
      .filter(({ id }) => family !== 'rtc' || !/^(reflected|originator-kept)/.test(id))
      .map((row) => ({
        ...row,
        family,
        id: `${family}.${row.id}${row.id.includes('.') ? '' : `.${row.session}`}`,
      })),
    ...both.map(
      (session): Row => ({
        ...{
          id: `${family}.next-hop.${session}`,
          title: 'the next hop towards internal peers',
          session,
          family,
        },
        clause:
          'RFC 4271 5.1.3, RFC 4760 3: "When sending a message to an internal peer … SHOULD NOT modify the NEXT_HOP"',
        expect: seen(
          by({
            // To its clients a reflector is the next hop of memberships (RFC 4684 section 3.2).
            internal: (route, _, ground) =>
              route.nextHop.startsWith(hex(family === 'rtc' ? ip(DAEMON) : nextHopOf(family, ground.local)))
                ? undefined
                : `the next hop is ${route.nextHop}`,
          }),
        ),
        send: carrying(),
      }),
    ),
  ]);
  return [...rest, membership];
}

export function behaviourCases(): Case[] {
  const of = (category: string, rows: readonly Row[], valid = true): Case[] =>
    rows.map((row) => ({
      kind: 'update',
      family: 'ipv4',
      ...row,
      category,
      id: `behaviour.${row.id}${row.id.includes('.') ? '' : `.${row.session}`}`,
      ...(valid ? { valid } : {}),
    }));
  return [
    ...of('behaviour: loops', loopRows()),
    ...of('behaviour: communities', communityRows()),
    ...of('behaviour: attributes passed', passingRows()),
    ...of('behaviour: 4-octet AS numbers', octetRows()),
    ...of('behaviour: shapes', shapeRows()),
    ...of('behaviour: other families', familyRows()),
    ...of('behaviour: add-path', addPathRows()),
  ];
}
