// Cells that are the same for BIRD and GoBGP, over the labs of fleet.ts: leafd's side through its API, the peer's side
// through an `Eye` that reads what the daemon itself prints. What only one of them has, or shows in its own way, is in
// its own test file.

import { readFileSync } from 'node:fs';
import { parse, stringify } from 'yaml';
import type { KernelView, RouteView, WhyView } from '../../../src/api/views.ts';
import { type Fabric, scratchFile, sleep } from '../../support/fabric.ts';
import type { BehaviourId } from './behaviours.ts';
import {
  agree,
  type Cell,
  type Claim,
  holds,
  leafd,
  peer,
  peerOf,
  routes,
  type Want,
  without,
} from './harness.ts';
import { ours, theirs, type Wire } from './star.ts';

/** A path as the foreign daemon shows it; what a daemon does not show is empty. */
export interface Seen {
  /** All it says. */
  readonly text: string;
  readonly from: string;
  readonly asPath: string;
  readonly nextHop: string;
  readonly origin: string;
  readonly med?: number;
  readonly localPref?: number;
  readonly otc?: number;
  readonly communities: readonly string[];
  readonly largeCommunities: readonly string[];
  readonly extendedCommunities: readonly string[];
  readonly originator: string;
  readonly clusters: readonly string[];
  readonly aggregator: string;
  readonly atomic: boolean;
}

/** How a foreign daemon is asked. Wires are known by their numbers. */
export interface Eye {
  readonly fabric: Fabric;
  readonly wires: readonly Wire[];
  /** The paths it has from a wire of a prefix. */
  takes(n: number, prefix: string): Promise<Seen[]>;
  /** The paths of the member of the confederation. */
  takes2(prefix: string): Promise<Seen[]>;
  /** What it tells over a wire of a prefix, in its own words; without the prefix when it tells nothing. */
  tells(n: number, prefix: string): Promise<string>;
  /** A session in its own words, and the words for one that is up. */
  session(n: number): Promise<string>;
  readonly up: string;
  /** It does not pass LOCAL_PREF on to other members of its confederation, as RFC 5065 allows. */
  readonly losesPreference?: boolean;
  log(): string;
  refresh(n: number): Promise<unknown>;
  stop(n: number, text: string): Promise<unknown>;
  /** 20.1.2.0/24, told over wire 1, goes and comes. */
  withdraw(): Promise<unknown>;
  announce(): Promise<unknown>;
  password(n: number, text: string): Promise<unknown>;
}

// biome-ignore lint/suspicious/noExplicitAny: a configuration as data.
type Loose = any;

/** Changes a leafd node's configuration, one change after the other, and keeps what went before. */
function changer(fabric: Fabric) {
  const now = new Map<string, Loose>();
  let turn: Promise<unknown> = Promise.resolve();
  return (node: string, edit: (bgp: Loose) => void): Promise<unknown> => {
    const work = async () => {
      const config = structuredClone(now.get(node) ?? parse(readFileSync(fabric.configOf(node), 'utf8')));
      edit(config.bgp);
      now.set(node, config);
      const file = scratchFile(`${fabric.name}-${node}.yaml`, stringify(config));
      const { exitCode, stdout, stderr } = await fabric.leafctl(node, 'apply', file);
      if (exitCode > 1) throw new Error(`apply: ${stdout}${stderr}`);
    };
    turn = turn.catch(() => {}).then(work);
    return turn;
  };
}

const equal = (seen: unknown, wanted: unknown): boolean =>
  Array.isArray(wanted) ? Array.isArray(seen) && wanted.every((one) => seen.includes(one)) : seen === wanted;

/** One of the paths has all of this; of a list it has at least these. */
export const some = (wanted: Partial<Seen>): Want => {
  const want = (seen: Seen[]) =>
    seen.some((path) =>
      Object.entries(wanted).every(([key, value]) => equal(path[key as keyof Seen], value)),
    );
  Object.defineProperty(want, 'toString', { value: () => `a path with ${JSON.stringify(wanted)}` });
  return want;
};

/** One of the routes leafd shows has all of this: of the route itself or of its attributes. */
export const one = (
  wanted: Partial<RouteView> & Partial<RouteView['attributes']> & { code?: string },
): Want => {
  const value = (route: RouteView, key: string): unknown =>
    key === 'code' ? route.reason?.code : ((route as Loose)[key] ?? (route.attributes as Loose)[key]);
  const want = (seen: RouteView[]) =>
    seen.some((route) => Object.entries(wanted).every(([key, is]) => equal(value(route, key) ?? '', is)));
  Object.defineProperty(want, 'toString', { value: () => `a route with ${JSON.stringify(wanted)}` });
  return want;
};

export const none: Want = (seen: unknown[]) => seen.length === 0;
export const count =
  (wanted: number): Want =>
  (seen: unknown[]) =>
    seen.length === wanted;

/** Looks all the time, until it is called, whether a claim holds. */
export function stays(claim: Claim): () => Promise<void> {
  let over = false;
  const watch = (async () => {
    while (!over) {
      await holds(claim, 0);
      await sleep(100);
    }
  })();
  watch.catch(() => {});
  return () => {
    over = true;
    return watch;
  };
}

/** Claims of a fleet: what is told and taken over a wire, and how its sessions are. */
export function witness(eye: Eye) {
  const { fabric } = eye;
  const nodeOf = (n: number) => eye.wires.find((wire) => wire.n === n)?.node ?? 'a';
  const nameOf = (n: number) => (eye.wires.find((wire) => wire.n === n)?.peer?.name as string) ?? `w${n}`;
  const received = (n: number, prefix: string) =>
    routes(fabric, nodeOf(n), { peer: nameOf(n), prefix, received: true });
  const advertised = async (n: number, prefix: string) =>
    (await routes(fabric, nodeOf(n), { peer: nameOf(n), prefix, advertised: true })).filter(
      ({ reason }) => reason === undefined || reason.code === 'sent',
    );
  const hasNot = (n: number, prefix: string): Claim =>
    peer(`no ${prefix} from w${n}`, () => eye.takes(n, prefix), none);
  const tells = (n: number, prefix: string): Claim =>
    peer(`tells ${prefix} over w${n}`, () => eye.tells(n, prefix), prefix);
  const takes = (n: number, prefix: string, ...wants: Want[]): Claim =>
    peer(`takes ${prefix} from w${n}`, () => eye.takes(n, prefix), ...wants);
  const ours_ = (n: number, prefix: string, ...wants: Want[]): Claim =>
    leafd(`received ${prefix} of w${n}`, () => received(n, prefix), ...wants);
  const up = (n: number): Claim[] => [
    leafd(`w${n} is up`, () => peerOf(fabric, nodeOf(n), nameOf(n)), '"state":"established"'),
    peer(`w${n} is up`, () => eye.session(n), eye.up),
  ];
  const notUp = (n: number, ...wants: Want[]): Claim[] => [
    leafd(
      `w${n} is not up`,
      () => peerOf(fabric, nodeOf(n), nameOf(n)),
      without(/"state":"established"/),
      ...wants,
    ),
    peer(
      `w${n} is not up`,
      () => eye.session(n),
      (seen: string) => !seen.includes(eye.up),
    ),
  ];
  return {
    nodeOf,
    nameOf,
    received,
    up,
    notUp,
    hasNot,
    tells,
    takes,
    view: (n: number) => peerOf(fabric, nodeOf(n), nameOf(n)),
    /** leafd's prefix comes to the peer like this. */
    sent: (n: number, prefix: string, wanted: Partial<Seen>) =>
      agree(
        leafd(`tells ${prefix}`, () => advertised(n, prefix), count(1)),
        takes(n, prefix, some(wanted)),
      ),
    notSent: async (n: number, prefix: string, code: string) => {
      const all = () => routes(fabric, nodeOf(n), { peer: nameOf(n), prefix, advertised: true });
      const why = async () => {
        const view = await fabric.get<WhyView>(nodeOf(n), `/v1/why/${encodeURIComponent(prefix)}`);
        return [
          ...(await all()).map(({ reason }) => reason?.code),
          ...view.advertised.filter((one) => one.peer === nameOf(n)),
        ];
      };
      await agree(leafd(`why ${prefix} is not sent to w${n}`, why, code), hasNot(n, prefix));
    },
    /** The peer's prefix comes to leafd like this. */
    got: (n: number, prefix: string, wanted: Parameters<typeof one>[0]) =>
      agree(tells(n, prefix), ours_(n, prefix, one(wanted))),
    taken: ours_,
  };
}

export type Witness = ReturnType<typeof witness>;

const weightsOf = async (fabric: Fabric, prefix: string): Promise<number[]> => {
  const { intended } = await fabric.get<KernelView>('a', '/v1/kernel?limit=1000');
  return (
    intended
      .find((route) => route.prefix === prefix)
      ?.nextHops.map(({ weight }) => weight)
      .sort((x, y) => x - y) ?? []
  );
};

const cell = (run: () => Promise<unknown>, more: { alone?: boolean; timeoutMs?: number } = {}): Cell => ({
  run,
  ...more,
});

/** Routes and attributes. */
type Change = ReturnType<typeof changer>;

function routeCells(eye: Eye, change: Change) {
  const { fabric } = eye;
  const w = witness(eye);
  const told = (n: number, prefix: string, wanted: Partial<Seen>) => cell(() => w.sent(n, prefix, wanted));
  return {
    'ebgp-ipv4': cell(async () => {
      await w.sent(1, '10.1.1.0/24', { asPath: '65001', nextHop: ours(1), origin: 'igp' });
      await w.got(1, '20.1.1.0/24', { asPath: '65000', nextHop: theirs(1), accepted: true });
      await w.sent(1, '10.1.2.0/24', { asPath: '65001' });
      await w.got(1, '20.1.2.0/24', { asPath: '65000' });
      await change(
        'a',
        (bgp) => (bgp.networks = bgp.networks.filter((one: string) => one !== '10.1.2.0/24')),
      );
      await eye.withdraw();
      await agree(w.hasNot(1, '10.1.2.0/24'), w.taken(1, '20.1.2.0/24', none));
      await eye.announce();
      await w.got(1, '20.1.2.0/24', { asPath: '65000' });
    }),
    'ebgp-ipv6': cell(async () => {
      await w.sent(2, '2001:db8:1002::/48', { asPath: '65001', nextHop: '2001:db8:2::' });
      await w.got(2, '2001:db8:2002::/48', { asPath: '65000', nextHop: '2001:db8:2::1' });
    }),
    'extended-next-hop': cell(async () => {
      await w.sent(2, '10.1.1.0/24', { asPath: '65001', nextHop: '2001:db8:2::' });
      await w.got(2, '20.1.1.0/24', { asPath: '65000', nextHop: '2001:db8:2::1' });
    }),
    'next-hop-unchanged-ibgp': cell(async () => {
      await w.sent(70, '33.69.1.0/24', { asPath: '65023', nextHop: theirs(63), localPref: 100 });
      await w.got(70, '10.49.1.0/24', { asPath: '65001', nextHop: ours(49) });
    }),
    'next-hop-self-external': cell(async () => {
      await w.sent(74, '33.69.1.0/24', { nextHop: ours(74) });
      await w.sent(74, '10.66.1.0/24', { nextHop: '10.255.66.1' });
    }),
    'next-hop-self-all': cell(async () => {
      await w.sent(75, '33.69.1.0/24', { nextHop: ours(75) });
      await w.sent(75, '10.66.1.0/24', { nextHop: ours(75) });
    }),
    'next-hop-unchanged-ebgp': told(44, '33.60.1.0/24', { asPath: '65001 65020', nextHop: theirs(60) }),
    'reflector-leafd': cell(async () => {
      await w.sent(70, '10.66.1.0/24', { originator: '10.254.0.3', clusters: ['10.254.0.2'] });
      const wants = one({ originatorId: '10.254.0.100', clusterList: ['10.254.0.2'] });
      const reflected = () => routes(fabric, 'c', { peer: 'b', prefix: '20.70.1.0/24', received: true });
      await agree(w.tells(70, '20.70.1.0/24'), leafd('c has it of b', reflected, wants));
    }),
    'reflector-peer': cell(async () => {
      const wanted = { originatorId: '10.254.0.2', clusterList: ['10.254.0.100'] };
      await w.got(71, '10.70.1.0/24', { accepted: true, ...wanted });
    }),
    'reflection-loop': cell(async () => {
      await w.got(76, '10.70.1.0/24', {
        accepted: false,
        code: 'originatorLoop',
        originatorId: '10.254.0.2',
      });
    }),
    'local-as': cell(async () => {
      await w.sent(15, '10.15.1.0/24', { asPath: '65051 65001' });
      await w.got(15, '20.15.1.0/24', { accepted: true });
      const used = () => routes(fabric, 'a', { peer: 'w15', prefix: '20.15.1.0/24' });
      await agree(w.tells(15, '20.15.1.0/24'), leafd('in use', used, one({ asPath: '65051 65000' })));
    }),
    'local-as-no-prepend': cell(async () => {
      await w.sent(16, '10.16.1.0/24', { asPath: '65052 65001' });
      const used = () => routes(fabric, 'a', { peer: 'w16', prefix: '20.16.1.0/24' });
      await agree(w.tells(16, '20.16.1.0/24'), leafd('in use', used, one({ asPath: '65000' })));
    }),
    'local-as-replace': told(17, '10.17.1.0/24', { asPath: '65053' }),
    'allow-as-in': cell(async () => {
      await w.got(18, '20.18.1.0/24', { asPath: '65000 65001', accepted: false, code: 'asLoop' });
      await w.got(19, '20.19.1.0/24', { asPath: '65000 65001', accepted: true });
    }),
    'remove-private-as': told(20, '33.60.2.0/24', { asPath: '65001 3333' }),
    'remove-private-as-replace': told(21, '33.60.2.0/24', { asPath: '65001 65001 3333 65001' }),
    'as-override': told(22, '33.61.1.0/24', { asPath: '65001 65020 65001' }),
    'default-originate-leafd': cell(async () => {
      const originates = () => w.view(24);
      await agree(
        w.takes(24, '0.0.0.0/0', some({ asPath: '65001' })),
        leafd('told two', originates, '"advertised":2'),
      );
      await agree(w.hasNot(1, '0.0.0.0/0'), ...w.up(1));
    }),
    'default-originate-peer': cell(() => w.got(25, '0.0.0.0/0', { asPath: '65000', accepted: true })),
    'graceful-shutdown': cell(async () => {
      await w.sent(33, '10.33.1.0/24', { communities: ['65535:0'] });
      const used = () => routes(fabric, 'a', { peer: 'w33', prefix: '20.33.1.0/24' });
      await agree(
        w.tells(33, '20.33.1.0/24'),
        leafd('preference', used, one({ localPref: 0, communities: ['graceful-shutdown'] })),
      );
    }),
    'add-path-receive': cell(() =>
      agree(
        w.tells(36, '34.36.1.0/24'),
        w.taken(
          36,
          '34.36.1.0/24',

          ...[65025, 65026, 65027].map((asn) => one({ asPath: `65000 ${asn}` })),
        ),
      ),
    ),
    'add-path-send-all': cell(() =>
      agree(
        leafd('three ways', () => routes(fabric, 'a', { prefix: '33.62.1.0/24' }), count(3)),
        w.takes(
          34,
          '33.62.1.0/24',
          count(3),
          ...[65020, 65021, 65022].map((asn) => some({ asPath: `65001 ${asn}` })),
        ),
      ),
    ),
    'add-path-send-best': cell(() =>
      agree(
        leafd('three ways', () => routes(fabric, 'a', { prefix: '33.62.1.0/24' }), count(3)),
        w.takes(35, '33.62.1.0/24', count(2)),
      ),
    ),
    'extended-messages': cell(() =>
      agree(
        leafd(
          'both said so',
          () => w.view(38),
          (seen) => JSON.stringify(seen.capabilities.received).match(/[Ee]xtended.?[Mm]essage/) !== null,
        ),
        w.takes(38, '10.38.1.0/24', (seen: Seen[]) => seen[0]!.communities.length === 1300),
      ),
    ),
    'two-octet-as': cell(async () => {
      await agree(
        leafd(
          'no 4-octet AS',
          () => w.view(39),
          (seen) => !/[Ff]our|as4/i.test(JSON.stringify(seen.capabilities.received)),
        ),
        w.takes(39, '33.63.1.0/24', some({ asPath: '65001 65020 4200000001' })),
      );
      await w.got(39, '20.39.1.0/24', { asPath: '65000 4200000002' });
    }),
    'link-bandwidth': cell(async () => {
      const seen = () => weightsOf(fabric, '20.100.1.0/24');
      const twice = (weights: number[]) =>
        weights.length === 2 && Math.abs(weights[1]! / weights[0]! - 2) < 0.1;
      await agree(w.tells(40, '20.100.1.0/24'), w.tells(41, '20.100.1.0/24'), leafd('weights', seen, twice));
    }),
    weight: cell(async () => {
      const seen = () => routes(fabric, 'a', { prefix: '20.101.1.0/24' });
      const best = one({ peer: 'w43', best: true, weight: 500 });
      await agree(
        ...[42, 43].map((n) => w.tells(n, '20.101.1.0/24')),
        leafd('the heavier', seen, best, one({ peer: 'w42', best: false, localPref: 300, code: 'weight' })),
      );
    }),
    blackhole: cell(async () => {
      await w.sent(45, '10.45.1.0/24', { communities: ['65535:666'] });
      const route = () => fabric.out('a', 'ip', 'route', 'show', '20.45.1.1');
      await agree(w.tells(45, '20.45.1.1/32'), leafd('discards', route, 'blackhole'));
    }),
    'as-set': cell(async () => {
      await w.got(46, '34.46.1.0/24', { accepted: false, code: 'asSet' });
      await w.got(47, '34.46.1.0/24', { accepted: true, asPath: '65000 65025 {65090 65091}' });
    }),
    'aggregate-leafd': cell(() =>
      w.sent(48, '33.0.0.0/8', { asPath: '65001 65020', atomic: true, aggregator: '65001 10.254.0.1' }),
    ),
    'static-routes': cell(async () => {
      await change('a', (bgp) => bgp.routes.push({ prefix: '10.49.8.0/24', blackhole: true }));
      await w.sent(49, '10.49.7.0/24', { asPath: '65001' });
      await w.sent(49, '10.49.8.0/24', { asPath: '65001' });
      await change('a', (bgp) => bgp.routes.pop());
      await agree(w.hasNot(49, '10.49.8.0/24'), w.takes(49, '10.49.7.0/24', count(1)), ...w.up(49));
    }),
    'redistributed-routes': cell(async () => {
      await w.sent(58, '192.168.58.0/24', { asPath: '65001' });
      await w.sent(58, '192.168.59.0/24', { asPath: '65001' });
      await fabric.out('a', 'ip', 'route', 'del', 'blackhole', '192.168.59.0/24');
      await agree(w.hasNot(58, '192.168.59.0/24'), w.takes(58, '192.168.58.0/24', count(1)), ...w.up(58));
    }),
    'next-hop-tracking': cell(
      async () => {
        await w.sent(49, '10.149.1.0/24', { asPath: '65001' });
        await fabric.lab('cut', 'a:far');
        await agree(w.hasNot(49, '10.149.1.0/24'), ...w.up(49));
        await fabric.lab('mend', 'a:far');
        await w.sent(49, '10.149.1.0/24', { asPath: '65001' });
      },
      { alone: true },
    ),
    communities: cell(async () => {
      const extended = (asn: number) => [`rt:${asn}:51`, `soo:${asn}:51`];
      await w.sent(51, '10.51.1.0/24', {
        ...{
          communities: ['65001:51'],
          largeCommunities: ['65001:5:1'],
          extendedCommunities: extended(65001),
        },
      });
      await w.got(51, '20.51.1.0/24', {
        ...{
          communities: ['65000:51'],
          largeCommunities: ['65000:5:1'],
          extendedCommunities: extended(65000),
        },
      });
    }),
    'well-known-communities': cell(async () => {
      for (const [n, name] of [
        [52, 'no-export'],
        [53, 'no-advertise'],
      ] as const) {
        const code = n === 52 ? '65535:65281' : '65535:65282';
        await w.sent(n, `10.${n}.1.0/24`, { communities: [code] });
        await w.got(n, `20.${n}.1.0/24`, { communities: [name] });
        const why = () => fabric.get<WhyView>('a', `/v1/why/20.${n}.1.0%2F24`);
        const kept = (seen: WhyView) => seen.advertised.every((one) => !one.sent);
        await holds(leafd(`tells 20.${n}.1.0/24 nobody`, why, kept));
        await holds(w.taken(80, `10.${n}.1.0/24`, none));
      }
      await holds(w.taken(80, '10.51.1.0/24', count(1)));
    }),
    'unknown-attributes': cell(() => w.sent(59, '33.64.1.0/24', { asPath: '65001 65020' })),
    'policy-prefixes': cell(async () => {
      await w.sent(57, '10.57.1.0/24', { asPath: '65001 65001 65001' });
      await agree(w.hasNot(57, '10.57.2.0/25'), ...w.up(57));
    }),
    'policy-as-path': cell(async () => {
      await w.got(54, '20.54.1.0/24', { asPath: '65000', accepted: true });
      await w.got(54, '10.80.1.0/24', { asPath: '65000 65009', accepted: false, code: 'policy' });
    }),
    'policy-attributes': told(57, '10.57.1.0/24', {
      med: 57,
      communities: ['65001:57'],
      asPath: '65001 65001 65001',
    }),
    'best-external': cell(async () => {
      const seen = () => routes(fabric, 'c', { prefix: '33.68.1.0/24' });
      await agree(
        leafd(
          'an internal one is better',
          seen,
          one({ peer: 'w72', best: true, localPref: 300 }),
          one({ peer: 'x68', best: false }),
        ),
        w.takes(72, '33.68.1.0/24', some({ asPath: '65028' })),
      );
    }),
  } satisfies Partial<Record<BehaviourId, Cell>>;
}

/** Sessions: how they come and go. */
function sessionCells(eye: Eye, change: Change) {
  const { fabric } = eye;
  const w = witness(eye);
  const both = (n: number) => cell(() => agree(...w.up(n)));
  return {
    'route-refresh': cell(async () => {
      const { messages } = await w.view(1);
      await fabric.leafctl('a', 'peer', 'refresh', 'w1');
      await eye.refresh(1);
      const more = (seen: { messages: typeof messages }) =>
        seen.messages.sent.routeRefresh > messages.sent.routeRefresh &&
        seen.messages.received.routeRefresh > messages.received.routeRefresh &&
        seen.messages.received.update > messages.received.update &&
        seen.messages.sent.update > messages.sent.update;
      await agree(
        leafd('asked and was asked, told and was told', () => w.view(1), more),
        ...w.up(1),
      );
      await w.got(1, '20.1.1.0/24', { accepted: true });
      await w.sent(1, '10.1.1.0/24', { asPath: '65001' });
    }),
    md5: cell(async () => {
      await agree(
        ...w.up(5),
        leafd('authenticated', () => w.view(5), '"authenticated":true'),
      );
      await sleep(3000);
      await agree(...w.notUp(6));
    }),
    'md5-range': cell(async () => {
      const near = async () => (await routes(fabric, 'a', { prefix: '20.8.1.0/24' })).map((route) => route);
      await agree(
        leafd('has its route', near, count(1)),
        peer('w8 is up', () => eye.session(8), eye.up),
      );
      await agree(
        ...w.up(9),
        leafd('authenticated', () => w.view(9), '"authenticated":true'),
      );
    }),
    'md5-live': cell(
      async () => {
        await agree(...w.up(7));
        const before = await w.view(1);
        await change('a', (bgp) => {
          bgp.peers.find((one: Loose) => one.name === 'w7').password = 'second';
        });
        await eye.password(7, 'second');
        await agree(
          ...w.up(7),
          leafd(
            'since then',
            () => w.view(7),
            (seen) => seen.sinceSeconds < 10,
          ),
        );
        const same = (seen: { established: number }) => seen.established === before.established;
        await agree(
          ...w.up(1),
          leafd('others are as they were', () => w.view(1), same),
        );
      },
      { alone: true },
    ),
    gtsm: cell(async () => {
      await agree(
        ...w.up(10),
        leafd('guarded', () => w.view(10), '"ttlSecurityHops":1'),
      );
      await agree(...w.notUp(11));
    }),
    'range-leafd': cell(async () => {
      const near = async () => (await routes(fabric, 'a', { prefix: '20.8.1.0/24' })).map((route) => route);
      await agree(
        leafd('has its route', near, one({ asPath: '65000' })),
        w.takes(8, '10.8.1.0/24', some({ asPath: '65001' })),
      );
    }),
    'range-peer': both(9),
    passive: cell(async () => {
      const connection = (...words: string[]) =>
        leafd(`connection ${words.join(' ')}`, () => fabric.out('a', 'ss', '-Htn', ...words), /ESTAB/);
      await agree(...w.up(12), connection('src', `${ours(12)}:179`));
      await agree(...w.up(13), connection('dst', `${theirs(13)}:179`));
    }),
    'remote-as-any': cell(() =>
      agree(
        ...w.up(14),
        leafd('its AS', () => w.view(14), '"remoteAsn":65000', '"remoteAs":"any"'),
      ),
    ),
    multihop: cell(async () => {
      await agree(...w.up(23));
      await w.sent(23, '10.23.1.0/24', { asPath: '65001', nextHop: '10.254.0.1' });
    }),
    'max-prefix-warn': cell(async () => {
      const warned = async () => fabric.get('a', '/v1/events?limit=1000');
      await agree(
        ...w.up(26),
        w.tells(26, '20.26.4.0/24'),
        leafd('warns', warned, /w26[^}]*limit|limit[^}]*w26/),
      );
      await holds(leafd('takes all', () => w.view(26), '"accepted":4'));
    }),
    'max-prefix-drop': cell(() =>
      agree(
        ...w.up(27),
        w.tells(27, '20.27.4.0/24'),
        leafd(
          'takes two',
          () => w.view(27),
          (seen) => seen.byFamily[0].accepted === 2 && seen.byFamily[0].received === 4,
        ),
      ),
    ),
    'max-prefix-restart': cell(() =>
      agree(
        leafd(
          'ended and tried again',
          () => w.view(28),
          /Maximum Number of Prefixes/i,
          (seen) => seen.established >= 2,
        ),
        peer(
          'was told',
          () => Promise.resolve(eye.log()),
          /w28[^\n]*[Mm]aximum number of prefixes|10\.255\.28\.0[^\n]*cease\(6\)[^\n]*maximum|Data="\[6 1 [^\n]*10\.255\.28\.0/i,
        ),
      ),
    ),
    'max-prefix-shutdown': cell(async () => {
      await agree(...w.notUp(29, /Maximum Number of Prefixes/i));
      await sleep(4000);
      await agree(...w.notUp(29, (seen: { established: number }) => seen.established === 1));
    }),
    'max-prefix-peer': cell(() =>
      agree(
        leafd('was told', () => w.view(30), /Maximum Number of Prefixes/i, /"direction":"received"/),
        peer(
          'w30',
          () => eye.session(30),
          (seen: string) => !seen.includes(eye.up),
        ),
      ),
    ),
    'shutdown-sent': cell(
      async () => {
        await agree(...w.up(31));
        await fabric.leafctl('a', 'peer', 'shutdown', 'w31', 'back', 'at', 'nine');
        await agree(
          ...w.notUp(31),
          peer('was told', async () => `${await eye.session(31)}${eye.log()}`, 'back at nine'),
        );
      },
      { alone: true },
    ),
    'shutdown-received': cell(
      async () => {
        await agree(...w.up(32));
        await eye.stop(32, 'gone for lunch');
        await agree(...w.notUp(32, 'gone for lunch', /"direction":"received"/));
      },
      { alone: true },
    ),
    'gr-restarter': cell(
      async () => {
        await w.got(1, '20.1.1.0/24', { accepted: true });
        await fabric.lab('stop', 'k', '--kill');
        await agree(
          peer(
            'w80 is down',
            () => eye.session(80),
            (seen: string) => !seen.includes(eye.up),
          ),
          w.takes(80, '10.80.1.0/24', some({ asPath: '65009' })),
          leafd('a has it still', () => w.received(54, '10.80.1.0/24'), count(1)),
        );
        const watched = stays(leafd('nothing is withdrawn', () => w.received(54, '10.80.1.0/24'), count(1)));
        await fabric.lab('restart', 'k');
        await agree(...w.up(80));
        await agree(
          w.takes(80, '10.80.1.0/24', some({ asPath: '65009' })),
          w.taken(80, '10.49.1.0/24', one({ accepted: true })),
        );
        await sleep(1000);
        await watched();
      },
      { alone: true },
    ),
  } satisfies Partial<Record<BehaviourId, Cell>>;
}

/** The confederation around p2, and what is of several speakers. */
function memberCells(eye: Eye) {
  const { fabric } = eye;
  const of =
    (node: string, prefix: string, name = 'p2') =>
    () =>
      routes(fabric, node, { prefix, peer: name, received: true });
  const takes = (prefix: string, wanted: Partial<Seen>) =>
    peer(`p2 takes ${prefix}`, () => eye.takes2(prefix), some(wanted));
  const segment = (members: string) => (seen: RouteView[]) =>
    seen.some((one) => one.attributes.asPath === members);
  return {
    confederation: cell(async () => {
      await agree(
        takes('10.91.1.0/24', { localPref: 100 }),
        takes('10.92.1.0/24', { asPath: '', localPref: 100 }),
        leafd(
          'd: from the other member',
          of('d', '20.90.1.0/24'),
          segment('(65102)'),
          one({ accepted: true, ...(eye.losesPreference !== true && { localPref: 250 }) }),
        ),
        leafd('e: of d through p2', of('e', '10.91.1.0/24'), segment('(65101)'), one({ accepted: true })),
        leafd('d: its own AS', of('d', '10.93.1.0/24'), segment('(65102) 65001')),
      );
    }),
    'confederation-outside': cell(async () => {
      const seen = (name: string) => () =>
        routes(fabric, 'a', { prefix: '10.91.1.0/24', peer: name, received: true });
      await agree(
        leafd('a: of the peer', seen('w93'), one({ asPath: '65100' })),
        leafd('a: of leafd', seen('w94'), one({ asPath: '65100' })),
        takes('10.93.1.0/24', { asPath: '65001' }),
      );
    }),
  } satisfies Partial<Record<BehaviourId, Cell>>;
}

/** All cells the two have in common, and both sides' words for them. */
export function sharedCells(eye: Eye) {
  const change = changer(eye.fabric);
  return { ...routeCells(eye, change), ...sessionCells(eye, change), ...memberCells(eye) };
}

export { agree, cell, holds, leafd, peer, without };
