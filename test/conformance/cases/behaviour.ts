// What a speaker does with routes that are right: loops, well-known communities, reflection, paths and preferences on
// their way out, 4-octet AS numbers for those who do not know them, add-path.

import {
  AGGREGATOR,
  AIGP,
  AS_PATH,
  AS4_AGGREGATOR,
  AS4_PATH,
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
  prefix,
  segment,
  u16,
  u32,
  update,
  WELL_KNOWN,
} from '../bytes.ts';
import {
  announce,
  base,
  CASE_MARK,
  type Case,
  type Check,
  DAEMON,
  EXTERNAL_AS,
  type Expectation,
  type Ground,
  having,
  LOCAL_AS,
  type SessionKind,
  type UpdateCase,
  type WatcherName,
} from '../case.ts';
import { pathText } from '../decode.ts';
import { accept, reset, withdraw } from './known.ts';

type Row = Pick<UpdateCase, 'id' | 'title' | 'clause' | 'expect' | 'send' | 'session'> &
  Partial<Pick<UpdateCase, 'nlri' | 'good' | 'family'>>;

const both: readonly SessionKind[] = ['external', 'internal'];
const isInternal = (session: SessionKind) => session === 'internal';
const with_ =
  (...changed: Attribute[]) =>
  (ground: Ground) =>
    announce(ground, having(ground, ...changed));
const path = (build: (ground: Ground) => readonly number[]) => (ground: Ground) =>
  announce(ground, having(ground, attribute(WELL_KNOWN, AS_PATH, build(ground))));
const seen = (
  check: Check,
  more: { unmarked?: boolean; only?: WatcherName } = {},
): readonly Expectation[] => [{ kind: 'accept', check, ...more }];
const is =
  (type: number, value: readonly number[]): Check =>
  (route) =>
    route.attributes.get(type) === hex(value)
      ? undefined
      : `attribute ${type} is ${route.attributes.get(type)}`;
const lacks =
  (type: number): Check =>
  (route) =>
    route.attributes.has(type) ? `attribute ${type} is there` : undefined;
const by =
  (checks: Partial<Record<WatcherName, Check>>): Check =>
  (route, watcher, ground) =>
    checks[watcher]?.(route, watcher, ground);
const pathIs =
  (text: string): Check =>
  (route, watcher) => {
    const got = pathText(route, watcher === 'old' ? 2 : 4);
    return got === text ? undefined : `the path is "${got}"`;
  };
const community = (...values: number[]) => attribute(OPTIONAL_TRANSITIVE, COMMUNITIES, values.flatMap(u32));

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
    send: with_(attribute(NON_TRANSITIVE, type, value)),
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
        send: with_(list),
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
    send: with_(attribute(OPTIONAL_TRANSITIVE, EXT_COMMUNITIES, [...foreign, ...target])),
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
  ) => rows.push({ id: `${id}.${session}`, title, clause, session, expect, send: with_(...changed) });
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

function octetRows(): Row[] {
  const wide = 4200000001;
  const as4 = attribute(OPTIONAL_TRANSITIVE, AS4_PATH, segment(2, [wide, CASE_MARK]));
  const host = ip('192.0.2.9');
  const short = (...asns: number[]) => attribute(WELL_KNOWN, AS_PATH, segment(2, asns, 2));
  const aggregator = (asn: number) => attribute(OPTIONAL_TRANSITIVE, AGGREGATOR, [...u16(asn), ...host]);
  const aggregator4 = attribute(OPTIONAL_TRANSITIVE, AS4_AGGREGATOR, [...u32(wide), ...host]);
  const MERGE =
    'RFC 6793 4.2.3: "the AS path information … constructed by taking as many AS numbers and path segments as necessary from the leading part of the AS_PATH attribute, and then prepending them to the AS4_PATH attribute"';
  const clear = `${LOCAL_AS} ${EXTERNAL_AS} ${wide} ${CASE_MARK}`;
  const trans = `${LOCAL_AS} ${EXTERNAL_AS} 23456 ${CASE_MARK}`;
  const from = (
    id: string,
    title: string,
    clause: string,
    expect: readonly Expectation[],
    ...changed: Attribute[]
  ): Row => ({
    ...{ id: `as4-${id}`, title, clause, session: 'old', expect },
    send: with_(...changed),
  });
  const to = (
    id: string,
    title: string,
    clause: string,
    expect: readonly Expectation[],
    ...changed: Attribute[]
  ): Row => ({
    ...{ id: `as4-${id}`, title, clause, session: 'external', expect },
    send: with_(...changed),
  });
  const LONGER =
    'RFC 6793 4.2.3: "If the number of AS numbers in the AS_PATH attribute is less than the number of AS numbers in the AS4_PATH attribute, then the AS4_PATH attribute SHALL be ignored"';
  const NOT_TRANS =
    'RFC 6793 4.2.3: "If the AS number in the AGGREGATOR attribute is not AS_TRANS, then: the AS4_AGGREGATOR attribute and the AS4_PATH attribute SHALL be ignored"';
  const DOWN =
    'RFC 6793 4.2.2: "the NEW BGP speaker MUST send the AS path information in the AS_PATH attribute encoded with two-octet AS numbers … AS_TRANS … AS4_PATH"';
  return [
    from(
      'merged',
      'AS4_PATH merged',
      MERGE,
      seen(by({ external: pathIs(clear) })),
      short(EXTERNAL_AS, 23456, CASE_MARK),
      as4,
    ),
    from(
      'as4-path-gone',
      'no AS4_PATH towards those who know',
      'RFC 6793 4.1: "MUST NOT send … AS4_PATH … to another NEW BGP speaker"',
      seen(by({ external: lacks(AS4_PATH), internal: lacks(AS4_PATH) })),
      short(EXTERNAL_AS, 23456, CASE_MARK),
      as4,
    ),
    from(
      'longer',
      'AS4_PATH longer than AS_PATH',
      LONGER,
      seen(by({ external: pathIs(`${LOCAL_AS} ${CASE_MARK}`) }), { unmarked: true }).concat(
        seen(by({ external: pathIs(`${LOCAL_AS} ${EXTERNAL_AS}`) }), { unmarked: true }),
      ),
      short(EXTERNAL_AS),
      as4,
    ),
    from(
      'same-length',
      'AS4_PATH as long as AS_PATH',
      MERGE,
      seen(by({ external: pathIs(`${LOCAL_AS} ${wide} ${CASE_MARK}`) })),
      short(EXTERNAL_AS, CASE_MARK),
      as4,
    ),
    from(
      'confed',
      'AS4_PATH with a confederation segment',
      'RFC 6793 6: "AS_CONFED_SEQUENCE and AS_CONFED_SET … AS4_PATH … MUST discard these path segments, adjust the relevant attribute fields accordingly, and continue"',
      seen(by({ external: pathIs(clear) })),
      short(EXTERNAL_AS, 23456, CASE_MARK),
      attribute(OPTIONAL_TRANSITIVE, AS4_PATH, [...segment(3, [64512]), ...segment(2, [wide, CASE_MARK])]),
    ),
    from(
      'aggregator',
      'AS4_AGGREGATOR merged',
      'RFC 6793 4.2.3: "… AGGREGATOR … AS_TRANS … the AS4_AGGREGATOR attribute … taken as the information about the aggregating node"',
      seen(by({ external: is(AGGREGATOR, [...u32(wide), ...host]), internal: lacks(AS4_AGGREGATOR) })),
      aggregator(23456),
      aggregator4,
    ),
    from(
      'aggregator-not-trans',
      'an AGGREGATOR that is not AS_TRANS',
      NOT_TRANS,
      seen(by({ external: is(AGGREGATOR, [...u32(64900), ...host]) })),
      aggregator(64900),
      aggregator4,
    ),
    from(
      'aggregator-not-trans-path',
      'its AS4_PATH is ignored too',
      NOT_TRANS,
      seen(by({ external: pathIs(trans) })),
      short(EXTERNAL_AS, 23456, CASE_MARK),
      as4,
      aggregator(64900),
      aggregator4,
    ),
    from(
      'aggregator4-alone',
      'AS4_AGGREGATOR without AGGREGATOR',
      'RFC 6793 4.2.3: AS4_AGGREGATOR counts beside an AGGREGATOR',
      seen(lacks(AS4_AGGREGATOR)),
      aggregator4,
    ),
    to(
      'to-old',
      'a wide AS towards a 2-octet peer',
      DOWN,
      seen(
        by({
          old: (route, watcher, ground) =>
            pathIs(trans)(route, watcher, ground) ??
            (route.attributes.get(AS4_PATH)?.endsWith(hex([...u32(wide), ...u32(CASE_MARK)])) === true
              ? undefined
              : `AS4_PATH is ${route.attributes.get(AS4_PATH)}`),
          external: pathIs(clear),
        }),
      ),
      attribute(WELL_KNOWN, AS_PATH, segment(2, [EXTERNAL_AS, wide, CASE_MARK])),
    ),
    to(
      'to-old-plain',
      'no AS4_PATH where all fit',
      'RFC 6793 4.2.2: "The NEW BGP speaker MUST NOT send the AS4_PATH attribute … if … AS path information … composed of mappable four-octet AS numbers only"',
      seen(by({ old: lacks(AS4_PATH) })),
    ),
    to(
      'to-old-aggregator',
      'a wide AGGREGATOR towards a 2-octet peer',
      'RFC 6793 4.2.2: "AS4_AGGREGATOR … AGGREGATOR … AS_TRANS"',
      seen(
        by({
          old: (route, watcher, ground) =>
            is(AGGREGATOR, [...u16(23456), ...host])(route, watcher, ground) ??
            is(AS4_AGGREGATOR, [...u32(wide), ...host])(route, watcher, ground),
        }),
      ),
      attribute(OPTIONAL_TRANSITIVE, AGGREGATOR, [...u32(wide), ...host]),
    ),
    to(
      'max-as',
      'AS 4294967294',
      'RFC 6793 3: four octets',
      seen(by({ external: pathIs(`${LOCAL_AS} ${EXTERNAL_AS} 4294967294 ${CASE_MARK}`) })),
      attribute(WELL_KNOWN, AS_PATH, segment(2, [EXTERNAL_AS, 4294967294, CASE_MARK])),
    ),
  ];
}

function shapeRows(): Row[] {
  const rows: Row[] = [];
  const long = (count: number) => Array.from({ length: count }, (_, i) => 64000 + (i % 500));
  const PATHS = 'RFC 4271 4.3: AS_PATH is a sequence of segments, each of up to 255 AS numbers';
  for (const session of both) {
    const lead = isInternal(session) ? [] : [EXTERNAL_AS];
    const add = (id: string, title: string, clause: string, value: readonly number[], expect = accept) =>
      rows.push({ id: `${id}.${session}`, title, clause, session, expect, send: path(() => value) });
    add(
      'path-254',
      'a segment of 254 AS numbers',
      PATHS,
      segment(2, [...lead, ...long(253 - lead.length), CASE_MARK]),
    );
    add(
      'path-255',
      'a segment of 255 AS numbers',
      PATHS,
      segment(2, [...lead, ...long(254 - lead.length), CASE_MARK]),
    );
    add('path-300', 'two segments, 300 AS numbers', PATHS, [
      ...segment(2, [...lead, ...long(200)]),
      ...segment(2, [...long(99), CASE_MARK]),
    ]);
    add(
      'path-segments',
      'a segment for each AS',
      PATHS,
      [...lead, 64701, CASE_MARK].flatMap((asn) => segment(2, [asn])),
    );
    add(
      'path-repeated',
      'an AS prepended ten times',
      'RFC 4271 5.1.2: prepending is not a loop',
      segment(2, [...lead, ...Array<number>(10).fill(64701), CASE_MARK]),
    );
    add(
      'path-trans',
      'AS_TRANS in a 4-octet path',
      'RFC 6793 9: AS_TRANS is reserved; nothing refuses it',
      segment(2, [...lead, 23456, CASE_MARK]),
    );
    for (const [id, nlri] of [
      ['host', '/32'],
      ['half', '/25'],
      ['31', '/31'],
    ] as const) {
      const make = (ground: Ground) => prefix(`20.${ground.index >> 8}.${ground.index & 255}.128${nlri}`);
      rows.push({
        id: `prefix-${id}.${session}`,
        title: `a prefix of ${nlri}`,
        clause: 'RFC 4271 4.3: Length 0 to 32',
        session,
        expect: accept,
        good: false,
        nlri: make,
        send: (g) => update({ attributes: base(g), nlri: make(g) }),
      });
    }
    rows.push(
      {
        id: `again.${session}`,
        title: 'withdrawn and announced again at once',
        clause: 'RFC 4271 9.1.4: later replaces earlier',
        session,
        expect: accept,
        send: (g) => [update({ withdrawn: g.nlri }), announce(g, base(g))],
      },
      {
        id: `gone.${session}`,
        title: 'announced and withdrawn at once',
        clause: 'RFC 4271 9.1.4: later replaces earlier',
        session,
        expect: withdraw,
        send: (g) => [announce(g, base(g)), update({ withdrawn: g.nlri })],
      },
      {
        id: `order.${session}`,
        title: 'attributes in reverse order',
        clause:
          'RFC 4271 5: "The sender … SHOULD order path attributes … The receiver … MUST be prepared to handle path attributes … that are out of order"',
        session,
        expect: accept,
        send: (g) => announce(g, base(g).reverse()),
      },
    );
  }
  return rows;
}

function addPathRows(): Row[] {
  const withId = (ground: Ground, id: number) => [...u32(id), ...ground.nlri];
  const IDS = 'RFC 7911 3: "Path Identifier (4 octets)" before each NLRI';
  const spoilt = (ground: Ground) => having(ground, attribute(WELL_KNOWN, ORIGIN, [9]));
  const row = (
    id: string,
    title: string,
    clause: string,
    expect: readonly Expectation[],
    send: Row['send'],
  ): Row => ({
    ...{ id: `add-path-${id}`, title, clause, session: 'addPath', expect, send },
  });
  return [
    row(
      'replace',
      'the same identifier again',
      'RFC 7911 2: same prefix and identifier replace',
      accept,
      (g) => announce(g, base(g)),
    ),
    row('second', 'a second path', IDS, [{ kind: 'accept' }, { kind: 'ignore' }], (g) =>
      update({ attributes: base(g), nlri: withId(g, 8) }),
    ),
    row(
      'one-of-two',
      'one of two paths withdrawn',
      'RFC 7911 2: a withdrawal is of one path',
      accept,
      (g) => [update({ attributes: base(g), nlri: withId(g, 8) }), update({ withdrawn: withId(g, 7) })],
    ),
    row('both-gone', 'both paths withdrawn', 'RFC 7911 2', withdraw, (g) => [
      update({ attributes: base(g), nlri: withId(g, 8) }),
      update({ withdrawn: [...withId(g, 7), ...withId(g, 8)] }),
    ]),
    row('other-id', 'a withdrawal of an unknown identifier', 'RFC 7911 2', [{ kind: 'ignore' }], (g) =>
      update({ withdrawn: withId(g, 9) }),
    ),
    row('zero-id', 'identifier 0', 'RFC 7911 3: any value', [{ kind: 'accept' }, { kind: 'ignore' }], (g) =>
      update({ attributes: base(g), nlri: withId(g, 0) }),
    ),
    row(
      'malformed',
      'a fault to withdraw for',
      'RFC 7606 7.1: treat-as-withdraw, of that path',
      withdraw,
      (g) => announce(g, spoilt(g)),
    ),
    row(
      'malformed-other',
      'a fault of another path',
      'RFC 7606 7.1: treat-as-withdraw, of that path alone',
      [{ kind: 'ignore' }],
      (g) => update({ attributes: spoilt(g), nlri: withId(g, 8) }),
    ),
    row(
      'short-id',
      'an NLRI shorter than its identifier',
      'RFC 7606 5.3: NLRI that cannot be read',
      reset([3, 10], [3, 1]),
      (g) => update({ attributes: base(g), nlri: [0, 0, 7] }),
    ),
    row(
      'no-id',
      'NLRI without identifiers',
      'RFC 7911 3; RFC 7606 5.3: read as what it is not, it ends too early',
      reset([3, 10], [3, 1]),
      (g) => update({ attributes: base(g), nlri: g.nlri }),
    ),
    row('id-alone', 'an identifier without a prefix', 'RFC 7606 5.3', reset([3, 10], [3, 1]), (g) =>
      update({ attributes: base(g), nlri: u32(7) }),
    ),
    row(
      'withdrawn-short-id',
      'a withdrawal without its identifier',
      'RFC 7606 5.3',
      reset([3, 10], [3, 1]),
      (_g) => update({ withdrawn: [0, 7] }),
    ),
  ];
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
    ...of('behaviour: add-path', addPathRows()),
  ];
}
