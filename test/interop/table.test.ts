// A real table through every speaker: the 112,988 prefixes of a dump of 2002 go from a talker of the test's own into each
// foreign daemon, from there into leafd, from leafd into each other daemon, and everywhere a watcher of the test's own
// reads what comes out. Tables are compared prefix by prefix and attribute by attribute by that talker, which shares
// nothing with the product; and once more after twenty sessions, chosen at random, were reset. leafd takes AS_SETs here
// as the operator may want (`asSet: accept`); by default it refuses exactly the 160 prefixes that have one (RFC 9774).
//
// BIRD and FRR carry the whole table, GoBGP and OpenBGPD a share of it; LEAFD_TEST_LONG=1 gives it whole to all four.

import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { Rng } from '../../src/lib/rng.ts';
import { fabricOf, root, until } from '../support/fabric.ts';
import { type Comparison, startTalker, type Talker, type TalkerSession } from '../support/talker.ts';

const long = process.env.LEAFD_TEST_LONG === '1';
const file = join(root, 'test', 'data', 'ris-bview.20020722.2337.gz');
const SHARE = 6000;

const LEAFD = 65020;
const WATCHER = 65399;
const SOURCE = 1853;

// Node number n: link to the talker 10.1.n.0/29 (.1 daemon, .2 source, .3 watcher), link to leafd 10.2.n.0/31.
const kinds = { frr: 1, bird: 2, gobgp: 3, openbgpd: 4 } as const;
type Kind = keyof typeof kinds;
const asnOf = (kind: Kind): number => 65010 + kinds[kind];
const all = Object.keys(kinds) as Kind[];

/** Who passes on an AGGREGATOR of AS 0, against RFC 7607; eight prefixes of 2002 have one. */
const keepsAsZero: readonly Kind[] = ['bird', 'gobgp'];

const neighbours = (kind: Kind) => {
  const n = kinds[kind];
  return [
    { name: 'source', address: `10.1.${n}.2`, asn: SOURCE, passive: true },
    { name: 'watcher', address: `10.1.${n}.3`, asn: WATCHER, passive: true },
    { name: 'leafd', address: `10.2.${n}.0`, asn: LEAFD, passive: false },
  ];
};

function configOf(kind: Kind): string {
  const id = `10.255.0.${kinds[kind]}`;
  const list = neighbours(kind);
  switch (kind) {
    case 'frr':
      return `
frr defaults datacenter
bgp no-rib
router bgp ${asnOf(kind)}
 bgp router-id ${id}
 no bgp ebgp-requires-policy
${list
  .map(
    ({ address, asn, passive }) =>
      ` neighbor ${address} remote-as ${asn}\n neighbor ${address} timers connect 1` +
      (passive ? `\n neighbor ${address} passive` : ''),
  )
  .join('\n')}
exit
`;
    case 'bird':
      return `
log stderr all;
router id ${id};
protocol device { }
${list
  .map(
    ({ name, address, asn, passive }) => `protocol bgp to_${name} {
  local as ${asnOf(kind)}; neighbor ${address} as ${asn};
  connect delay time 1; connect retry time 1; error wait time 1, 2;${passive ? ' passive;' : ''}
  ipv4 { import all; export all; };
}`,
  )
  .join('\n')}
`;
    case 'gobgp':
      return stringify({
        global: { config: { as: asnOf(kind), 'router-id': id } },
        neighbors: list.map(({ address, asn, passive }) => ({
          config: { 'neighbor-address': address, 'peer-as': asn },
          timers: { config: { 'connect-retry': 1, 'idle-hold-time-after-reset': 1 } },
          transport: { config: { 'passive-mode': passive } },
          'afi-safis': [{ config: { 'afi-safi-name': 'ipv4-unicast' } }],
        })),
      });
    case 'openbgpd':
      return `
AS ${asnOf(kind)}
router-id ${id}
fib-update no
reject as-set no
connect-retry 1
${list
  .map(
    ({ name, address, asn, passive }) =>
      `neighbor ${address} {\n  remote-as ${asn}\n  descr "${name}"${passive ? '\n  passive' : ''}\n}`,
  )
  .join('\n')}
allow from any
allow to any
`;
  }
}

const peersOfLeafd = (present: readonly Kind[]) => [
  ...present.map((kind) => ({
    name: kind,
    address: `10.2.${kinds[kind]}.1`,
    remoteAs: asnOf(kind),
    group: 'all',
  })),
  { name: 'watcher', address: '10.1.0.3', remoteAs: WATCHER, group: 'all', passive: true },
];

function labOf(present: readonly Kind[], settings: Record<string, unknown>): string {
  const foreign = present.map((kind) => {
    const n = kinds[kind];
    const ports = { out: [`10.1.${n}.1/29`], leaf: [`10.2.${n}.1/31`] };
    return [kind, { kind, config: configOf(kind), ports, sessions: 0 }];
  });
  const group = {
    families: ['ipv4'],
    timers: { hold: '90s', connectRetry: '1s' },
    idleHold: '100ms',
    ...settings,
  };
  return stringify({
    nodes: {
      r1: {
        config: {
          bgp: {
            asn: LEAFD,
            routerId: '10.255.0.20',
            profile: 'fabric',
            gracefulRestart: false,
            groups: { all: group },
            peers: peersOfLeafd(present),
          },
          kernel: { fib: false },
        },
        ports: {
          out: ['10.1.0.1/29'],
          ...Object.fromEntries(present.map((kind) => [kind, [`10.2.${kinds[kind]}.0/31`]])),
        },
        sessions: 0,
      },
      ...Object.fromEntries(foreign),
      t: {
        kind: 'host',
        ports: Object.fromEntries([
          ['r1', ['10.1.0.2/29', '10.1.0.3/29']],
          ...present.map((kind) => [kind, [`10.1.${kinds[kind]}.2/29`, `10.1.${kinds[kind]}.3/29`]]),
        ]),
      },
    },
    links: [
      ['r1:out', 't:r1'],
      ...present.flatMap((kind) => [
        [`${kind}:out`, `t:${kind}`],
        [`r1:${kind}`, `${kind}:leaf`],
      ]),
    ],
  });
}

const sessions: TalkerSession[] = [
  { name: 'leafd', role: 'watcher', local: '10.1.0.3', remote: '10.1.0.1', asn: WATCHER },
  ...all.flatMap((kind): TalkerSession[] => {
    const n = kinds[kind];
    const remote = `10.1.${n}.1`;
    return [
      { name: `to-${kind}`, role: 'source', local: `10.1.${n}.2`, remote },
      { name: kind, role: 'watcher', local: `10.1.${n}.3`, remote, asn: WATCHER },
    ];
  }),
];

const same = (found: Comparison) => {
  const { counts, different, missing, foreign } = found;
  return counts.missing + counts.foreign + counts.different === 0
    ? 'the same'
    : { counts, different, missing, foreign };
};

function suite(
  title: string,
  origins: readonly Kind[],
  carriers: readonly Kind[],
  limit: number | undefined,
): void {
  describe(title, { timeout: 300_000 }, () => {
    const fabric = fabricOf(limit === undefined ? 'table' : 'share', labOf(carriers, { asSet: 'accept' }));
    let talker: Talker;
    const watchers = ['leafd', ...carriers];
    // OpenBGPD comes back half a minute and more after each reset.
    const victims = carriers.filter((kind) => long || kind !== 'openbgpd');

    const tables = async (count: number, timeoutMs: number): Promise<void> => {
      await until(
        async () =>
          Object.fromEntries(await Promise.all(watchers.map(async (one) => [one, await talker.state(one)]))),
        (seen: Record<string, { prefixes: number }>) =>
          watchers.every((one) => seen[one]!.prefixes === count),
        { timeoutMs, everyMs: 100, what: `${count} prefixes at every watcher` },
      );
    };

    /** Every watcher has what the dump says, behind the ASes on its way. */
    const judge = async (origin: Kind): Promise<void> => {
      expect(same(await talker.compare(origin, 1, keepsAsZero.includes(origin))), `${origin} itself`).toBe(
        'the same',
      );
      const atLeafd = await talker.compare('leafd', 2);
      expect(same(atLeafd), 'leafd').toBe('the same');
      expect(atLeafd).toMatchObject({
        front: [`${LEAFD} ${asnOf(origin)}`],
        nextHops: ['10.1.0.1'],
        meds: 0,
      });
      for (const kind of carriers)
        if (kind !== origin) {
          const behind = await talker.compare(kind, 3);
          expect(same(behind), `${kind} behind leafd`).toBe('the same');
          expect(behind.front).toEqual([`${asnOf(kind)} ${LEAFD} ${asnOf(origin)}`]);
        }
    };

    beforeAll(async () => {
      await fabric.up({ waitSeconds: 0 });
      talker = await startTalker(
        fabric.netns('t'),
        { file, ...(limit !== undefined && { limit }) },
        sessions,
      );
      for (const one of watchers) await talker.start(one);
    });

    afterAll(async () => {
      await talker?.end();
      expect(await fabric.down()).toEqual([]);
    });

    it('the dump has what it is known to have', () => {
      expect(talker.dump.asn).toBe(SOURCE);
      if (limit === undefined) expect(talker.dump).toMatchObject({ prefixes: 112_988, withSets: 160 });
      else expect(talker.dump.prefixes).toBeGreaterThan(limit / 2);
    });

    it.each(origins)(
      'from %s through leafd to the others: the same prefixes and attributes',
      async (origin) => {
        const startedMs = performance.now();
        await talker.start(`to-${origin}`);
        await tables(talker.dump.prefixes, long ? 120_000 : 40_000);
        const tookMs = performance.now() - startedMs;
        await judge(origin);
        console.log(`${talker.dump.prefixes} prefixes from ${origin} to all: ${tookMs.toFixed(0)} ms`);
        if (origin === origins.at(-1)) return;
        await talker.stop(`to-${origin}`);
        await tables(0, long ? 120_000 : 40_000);
      },
    );

    it('nothing is lost after twenty random resets', async () => {
      const origin = origins.at(-1)!;
      const rng = new Rng(20_020_722);
      const startedMs = performance.now();
      for (let i = 0; i < 20; i++) {
        const victim = rng.below(victims.length + 2);
        if (victim < victims.length) await fabric.leafctl('r1', 'peer', 'reset', victims[victim]!);
        else if (victim === victims.length) await talker.cut('leafd');
        else await talker.cut(victims[rng.below(victims.length)]!);
        await new Promise((resolve) => setTimeout(resolve, rng.below(600)));
      }
      await tables(talker.dump.prefixes, long ? 300_000 : 60_000);
      await judge(origin);
      const took = performance.now() - startedMs;
      console.log(`whole again ${took.toFixed(0)} ms after the first of twenty resets`);
    }, 400_000);
  });
}

if (long) suite('the whole table, every daemon', all, all, undefined);
else {
  suite('the whole table, BIRD and FRR', ['bird', 'frr'], ['bird', 'frr'], undefined);
  suite('a share of it, every daemon', ['openbgpd', 'gobgp'], all, SHARE);
}

describe('AS_SETs by default', () => {
  const fabric = fabricOf('sets', labOf(['bird'], {}));
  let talker: Talker;

  beforeAll(async () => {
    await fabric.up({ waitSeconds: 0 });
    talker = await startTalker(fabric.netns('t'), { file }, sessions);
    for (const one of ['leafd', 'bird']) await talker.start(one);
    await talker.start('to-bird');
  });

  afterAll(async () => {
    await talker?.end();
    expect(await fabric.down()).toEqual([]);
  });

  it('refuses exactly the prefixes that carry one, and says why', async () => {
    const { prefixes, withSets } = talker.dump;
    await until(
      () => Promise.all(['leafd', 'bird'].map((one) => talker.state(one))),
      ([leafd, bird]) => leafd!.prefixes >= prefixes - withSets && bird!.prefixes === prefixes,
      { timeoutMs: 40_000, everyMs: 100, what: 'the table without AS_SETs' },
    );
    const found = await talker.compare('leafd', 2);
    expect(found).toMatchObject({
      prefixes: 112_988 - 160,
      counts: { missing: 160, foreign: 0, different: 0 },
      missingWithSets: 160,
    });
    const why = await fabric.leafctl('r1', 'why', found.missing[0]!);
    expect(why.stdout).toMatch(/rejected .*AS_SET \(RFC 9774\)/);
  });
});
