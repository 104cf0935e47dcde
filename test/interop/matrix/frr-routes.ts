// What happens to single routes and their attributes between leafd and FRR. The wires are those of frr.lab.ts.

import type { KernelView, RouteView, WhyView } from '../../../src/api/views.ts';
import { fabric } from './frr.lab.ts';
import { change, MANUAL, neighbour, path, route, tellF1, vtysh, wire } from './frr.looks.ts';
import { agree, type Cells, leafd, peer, routes, without } from './harness.ts';
import { ourPrefix, ours, theirPrefix } from './star.ts';

const gone = (seen: unknown): boolean => seen === undefined;

const asPath = (text: string): string => `"aspath":{"string":"${text}"`;

/** Where the kernel of `a` sends packets for an address; it refuses those for a blackhole. */
const kernel = async (address: string) => {
  const { stdout, stderr } = await fabric.inside('a', 'ip', 'route', 'get', address);
  return stdout + stderr;
};

const sentTo = async (prefix: string, to: string): Promise<string> => {
  const { advertised } = await fabric.get<WhyView>('a', `/v1/why?thing=${encodeURIComponent(prefix)}`);
  return JSON.stringify(advertised.find((one) => one.peer === to));
};

const received = (n: number): Promise<RouteView[]> =>
  routes(fabric, 'a', { peer: `w${n}`, received: true, family: 'ipv4' });

export const routeCells = {
  'ebgp-ipv4': {
    run: async () => {
      await agree(
        leafd(
          'theirs',
          () => route('a', theirPrefix(1), 'w1'),
          '"asPath":"65000"',
          '"nextHop":"10.255.1.1"',
          '"best":true',
        ),
        leafd('installed', () => kernel('20.1.1.1'), /via (10\.255\.1\.1|inet6)/),
        peer(
          'ours',
          () => path(ourPrefix(1), 1),
          '"valid":true',
          asPath('65001'),
          '"ip":"10.255.1.0"',
          '"origin":"IGP"',
        ),
      );
      await tellF1('address-family ipv4 unicast', 'network 20.1.77.0/24');
      await agree(
        leafd('another', () => route('a', '20.1.77.0/24', 'w1'), '"best":true'),
        peer('another', () => path('20.1.77.0/24'), '"local":true'),
      );
      await tellF1('address-family ipv4 unicast', 'no network 20.1.77.0/24');
      await agree(
        leafd('withdrawn', () => route('a', '20.1.77.0/24', 'w1'), gone),
        peer('withdrawn', () => path('20.1.77.0/24'), gone),
      );
    },
  },
  otc: {
    run: () =>
      agree(
        leafd(
          'from a provider',
          () => route('a', theirPrefix(55), 'w55'),
          '"onlyToCustomer":65000',
          '"accepted":true',
        ),
        leafd('not to a peer', () => sentTo(theirPrefix(55), 'w56'), '"sent":false', /RFC 9234/),
        leafd('to a customer', () => sentTo(theirPrefix(55), 'w3'), '"sent":true'),
        peer('set by us', () => path(ourPrefix(3), 3), '"otc":65001'),
      ),
  },
  'local-as': {
    run: () =>
      agree(
        leafd(
          'on to x',
          () => routes(fabric, 'a', { peer: '10.255.60.1', advertised: true }),
          '"asPath":"65001 65051 65000"',
        ),
        peer('both', () => path(ourPrefix(15), 15), asPath('65051 65001')),
      ),
  },
  'local-as-no-prepend': {
    run: () =>
      agree(
        leafd(
          'on to x',
          async () => {
            const sent = await routes(fabric, 'a', { peer: '10.255.60.1', advertised: true });
            return sent.find((one) => one.prefix === theirPrefix(16));
          },
          '"asPath":"65001 65000"',
        ),
        peer('both', () => path(ourPrefix(16), 16), asPath('65052 65001')),
      ),
  },
  'local-as-replace': {
    run: () =>
      agree(
        leafd('w17', () => wire(17), '"state":"established"', /asn4 65053/),
        peer('only that', () => path(ourPrefix(17), 17), asPath('65053')),
      ),
  },
  'allow-as-in': {
    run: () =>
      agree(
        leafd('refused', () => received(18), '"accepted":false', /our own AS is in its AS path/),
        leafd(
          'allowed',
          () => route('a', theirPrefix(19), 'w19'),
          '"asPath":"65000 65001"',
          '"accepted":true',
        ),
        peer(
          'sent both',
          () => vtysh('f1', `show bgp ipv4 unicast neighbors ${ours(18)} advertised-routes`),
          /20\.18\.1\.0\/24/,
        ),
      ),
  },
  'remove-private-as': {
    run: () =>
      agree(
        leafd('as received', () => route('a', '33.60.2.0/24'), '"asPath":"65020 3333 65021"'),
        peer('all private', () => path('33.60.1.0/24', 20), asPath('65001')),
        peer('among public ones', () => path('33.60.2.0/24', 20), asPath('65001 3333')),
      ),
  },
  'remove-private-as-replace': {
    run: () =>
      agree(
        leafd('as received', () => route('a', '33.60.2.0/24'), '"asPath":"65020 3333 65021"'),
        peer('replaced', () => path('33.60.2.0/24', 21), asPath('65001 65001 3333 65001')),
      ),
  },
  'as-override': {
    run: () =>
      agree(
        leafd('as received', () => route('a', '33.61.1.0/24'), '"asPath":"65020 65000"'),
        peer('taken', () => path('33.61.1.0/24', 22), '"valid":true', asPath('65001 65020 65001')),
      ),
  },
  'graceful-shutdown': {
    run: () =>
      agree(
        leafd('received', () => route('a', theirPrefix(33), 'w33'), '"localPref":0', '"graceful-shutdown"'),
        peer('sent', () => path(ourPrefix(33), 33), '"locPrf":0', '"gracefulShutdown"'),
      ),
  },
  'link-bandwidth': {
    run: () =>
      agree(
        leafd('received', () => route('a', '20.100.1.0/24', 'w41'), /link-bandwidth[^"]*:65000:25000000/),
        leafd(
          'weights',
          async () => {
            const { intended } = await fabric.get<KernelView>('a', '/v1/kernel?limit=1000');
            return intended.find(({ prefix }) => prefix === '20.100.1.0/24')!.nextHops;
          },
          (seen) => seen.length === 2,
          /10\.255\.40\.1[^}]*"weight":33/,
          /10\.255\.41\.1[^}]*"weight":67/,
        ),
        peer(
          'told over both',
          async () => (await path('20.100.1.0/24')).advertisedTo,
          `"${ours(40)}"`,
          `"${ours(41)}"`,
        ),
      ),
  },
  weight: {
    run: () =>
      agree(
        leafd(
          'best',
          async () => (await routes(fabric, 'a', { prefix: '20.101.1.0/24' })).find((one) => one.best),
          '"peer":"w43"',
          '"weight":500',
        ),
        leafd('the other', () => route('a', '20.101.1.0/24', 'w42'), '"localPref":300', '"best":false'),
        peer('sends both', () => path('20.101.1.0/24'), `"${ours(42)}"`, `"${ours(43)}"`),
      ),
  },
  'default-originate-leafd': {
    run: () =>
      agree(
        leafd('one more', () => wire(24), '"advertised":2'),
        peer('has it', () => path('0.0.0.0/0', 24), '"valid":true', asPath('65001')),
      ),
  },
  'default-originate-peer': {
    run: () =>
      agree(
        leafd('has it', () => route('a', '0.0.0.0/0', 'w25'), '"accepted":true', '"asPath":"65000"'),
        peer('told', () => neighbour(25), /"defaultSent":true|defaultOriginate|"sentPrefixCounter":2/),
      ),
  },
  'aggregate-leafd': {
    run: () =>
      agree(
        leafd('ours', () => route('a', '10.48.0.0/16'), '"best":true'),
        leafd('of paths', () => route('a', '33.60.0.0/16'), '"atomicAggregate":true'),
        peer(
          'nothing left out',
          () => path('10.48.0.0/16', 48),
          '"aggregatorAs":65001',
          '"aggregatorId":"10.254.0.1"',
          without(/atomicAggregate/),
        ),
        peer(
          'ASes left out',
          () => path('33.60.0.0/16', 44),
          '"aggregatorAs":65001',
          '"atomicAggregate":true',
        ),
      ),
  },
  'aggregate-peer': {
    run: () =>
      agree(
        leafd(
          'has it',
          () => route('a', '20.48.0.0/16', 'w48'),
          '"aggregator":{"asn":65000,"address":"10.254.0.100"}',
        ),
        peer('its own', () => path('20.48.0.0/16'), '"aggregated":true'),
      ),
  },
  blackhole: {
    run: () =>
      agree(
        leafd('discards', () => kernel('20.45.1.1'), /Invalid argument/),
        leafd('not a wider one', () => kernel('20.45.1.2'), /via 10\.255\.45\.1/),
        peer('ours', () => path(ourPrefix(45), 45), '"blackhole"'),
      ),
  },
  'static-routes': {
    run: async () => {
      const prefix = '10.59.7.0/24';
      await change('a', ({ bgp }) => bgp.routes.push({ prefix, blackhole: true }));
      await agree(
        leafd('ours', () => route('a', prefix), '"source":"static"'),
        peer('has it', () => path(prefix, 59), '"valid":true'),
      );
      await change('a', ({ bgp }) => {
        bgp.routes = bgp.routes.filter((one: { prefix: string }) => one.prefix !== prefix);
      });
      await agree(
        leafd('gone', () => route('a', prefix), gone),
        peer('gone', () => path(prefix, 59), gone),
      );
    },
  },
  'redistributed-routes': {
    run: async () => {
      await agree(
        leafd('connected', () => route('a', '192.168.58.0/24'), '"source":"connected"'),
        leafd('of the kernel', () => route('a', '192.168.59.0/24'), '"source":"kernel"'),
        peer('connected', () => path('192.168.58.0/24', 58), '"valid":true'),
        peer('of the kernel', () => path('192.168.59.0/24', 58), '"valid":true'),
      );
      await fabric.out('a', 'ip', 'route', 'del', 'blackhole', '192.168.59.0/24');
      await agree(
        leafd('gone', () => route('a', '192.168.59.0/24'), gone),
        peer('gone', () => path('192.168.59.0/24', 58), gone),
      );
    },
  },
  'as-set': {
    run: () =>
      agree(
        leafd('refused', () => received(46), '"asSet"', '"asPath":"65000 {65009}"'),
        leafd(
          'accepted',
          () => route('a', '20.146.0.0/16', 'w47'),
          '"accepted":true',
          '"asPath":"65000 {65009}"',
        ),
        peer('its own', () => path('20.146.0.0/16'), asPath('{65009}')),
      ),
  },
  communities: {
    run: () =>
      agree(
        leafd(
          'theirs',
          () => route('a', theirPrefix(51), 'w51'),
          '"communities":["65000:51"]',
          '"largeCommunities":["65000:5:1"]',
          '"rt:65000:51"',
          '"soo:65000:51"',
        ),
        peer('ours', () => path(ourPrefix(51), 51), '"65001:51"', '"65001:5:1"', /RT:65001:51 SoO:65001:51/),
      ),
  },
  'well-known-communities': {
    run: () =>
      agree(
        leafd('no-export', () => sentTo(theirPrefix(52), '10.255.60.1'), '"sent":false', /no-export/),
        leafd('no-advertise', () => sentTo(theirPrefix(53), '10.255.60.1'), '"sent":false', /no-advertise/),
        peer(
          'no-export',
          () => path(ourPrefix(52), 52),
          '"noExport"',
          '"10.255.70.0"',
          without(/"10\.255\.80\.0"/),
        ),
        peer('no-advertise', () => path(ourPrefix(53), 53), '"noAdvertise"', without(/"advertisedTo"/)),
      ),
  },
  aigp: { lacks: `${MANUAL}, section "Route Selection": no accumulated IGP metric, and no command for it` },
  'unknown-attributes': {
    run: () =>
      agree(
        leafd(
          'received by a',
          () => route('a', '33.64.1.0/24'),
          /"code":99[^}]*01020304/,
          without(/"code":100/),
        ),
        leafd(
          'came through a and FRR to b',
          () => route('b', '33.64.1.0/24', 'w70'),
          /"code":99,"flags":224,"hex":"01020304"/,
          without(/"code":100/),
        ),
        peer('took it', () => path('33.64.1.0/24', 59), '"valid":true', asPath('65001 65020')),
      ),
  },
  'next-hop-tracking': {
    run: async () => {
      const prefix = '10.149.1.0/24';
      const there = () =>
        agree(
          leafd('there', () => route('a', prefix), '"reachable":true'),
          peer('there', () => path(prefix, 49), '"valid":true'),
        );
      await there();
      await fabric.out('a', 'ip', 'addr', 'del', '10.253.0.1/24', 'dev', 'far');
      await agree(
        leafd(
          'no way',
          () => route('a', prefix),
          (seen) => seen === undefined || seen.best === false,
        ),
        peer('gone', () => path(prefix, 49), gone),
      );
      await fabric.out('a', 'ip', 'addr', 'add', '10.253.0.1/24', 'dev', 'far');
      await there();
    },
  },
  'policy-prefixes': {
    run: () =>
      agree(
        leafd('refused', () => sentTo('10.57.2.0/25', 'w57'), '"sent":false', /policy/),
        peer('one', () => path(ourPrefix(57), 57), '"valid":true'),
        peer('not the other', () => path('10.57.2.0/25', 57), gone),
      ),
  },
  'policy-as-path': {
    run: () =>
      agree(
        leafd('^65000$', () => route('a', theirPrefix(54), 'w54'), '"accepted":true'),
        leafd(
          '_65009$',
          async () => (await received(54)).find((one) => one.prefix === '10.80.7.0/24'),
          '"accepted":false',
          '"asPath":"65000 65009"',
        ),
        peer('sends both', () => path('10.80.7.0/24', 80), `"${ours(54)}"`),
      ),
  },
  'policy-attributes': {
    run: () =>
      agree(
        leafd('ours', () => route('a', ourPrefix(57)), '"best":true'),
        peer(
          'changed',
          () => path(ourPrefix(57), 57),
          '"metric":57',
          '"65001:57"',
          asPath('65001 65001 65001'),
        ),
      ),
  },
} satisfies Partial<Cells>;
