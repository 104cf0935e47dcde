// Cells that are the same for BIRD and GoBGP, over the labs of fleet.ts: leafd's side through its API, the peer's side
// through an `Eye` that reads what the daemon itself prints. What only one of them has, or shows in its own way, is in
// its own test file.

import type { KernelView, WhyView } from '../../../src/api/views.ts';
import type { Fabric } from '../../support/fabric.ts';
import type { BehaviourId } from './behaviours.ts';
import { type Cell, routes } from './harness.ts';
import { memberCells, sessionCells } from './session-cells.ts';
import { ours, theirs } from './star.ts';
import {
  agree,
  type Change,
  cell,
  changer,
  count,
  type Eye,
  holds,
  leafd,
  none,
  one,
  type Seen,
  some,
  witness,
} from './witness.ts';

export * from './witness.ts';

const weightsOf = async (fabric: Fabric, prefix: string): Promise<number[]> => {
  const { intended } = await fabric.get<KernelView>('a', '/v1/kernel?limit=1000');
  return (
    intended
      .find((route) => route.prefix === prefix)
      ?.nextHops.map(({ weight }) => weight)
      .sort((x, y) => x - y) ?? []
  );
};

/** Routes and attributes. */
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
        const kept = (seen: WhyView) =>
          seen.advertised.length > 0 && seen.advertised.every((one) => !one.sent);
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

/** All cells the two have in common, and both sides' words for them. */
export function sharedCells(eye: Eye) {
  const change = changer(eye.fabric);
  return { ...routeCells(eye, change), ...sessionCells(eye, change), ...memberCells(eye) };
}
