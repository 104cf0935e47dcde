// 4-octet AS numbers for those who do not know them (RFC 6793), routes of every shape, and path identifiers (RFC 7911).

import {
  AGGREGATOR,
  AS_PATH,
  AS4_AGGREGATOR,
  AS4_PATH,
  type Attribute,
  attribute,
  hex,
  ip,
  OPTIONAL_TRANSITIVE,
  ORIGIN,
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
  EXTERNAL_AS,
  type Expectation,
  type Ground,
  having,
  LOCAL_AS,
} from '../case.ts';
import { accept, reset, withdraw } from './known.ts';

import { both, by, carrying, is, isInternal, lacks, path, pathIs, type Row, seen } from './seen.ts';

export function octetRows(): Row[] {
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
    send: carrying(...changed),
  });
  const to = (
    id: string,
    title: string,
    clause: string,
    expect: readonly Expectation[],
    ...changed: Attribute[]
  ): Row => ({
    ...{ id: `as4-${id}`, title, clause, session: 'external', expect },
    send: carrying(...changed),
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
      seen(by({ external: pathIs(clear) })),
      short(EXTERNAL_AS, 23456, CASE_MARK),
      attribute(OPTIONAL_TRANSITIVE, AS4_PATH, segment(2, [EXTERNAL_AS, wide, CASE_MARK])),
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

export function shapeRows(): Row[] {
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

export function addPathRows(): Row[] {
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
