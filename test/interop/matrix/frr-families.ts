// Families, next hops, reflection, confederations and several paths between leafd and FRR. The wires are those of
// frr.lab.ts.

import type { RouteView } from '../../../src/api/views.ts';
import { fabric } from './frr.lab.ts';
import { MANUAL, neighbour, path, paths, route, show, vtysh } from './frr.looks.ts';
import { agree, type Cells, leafd, peer, routes } from './harness.ts';
import { ourPrefix, theirPrefix } from './star.ts';

const asPath = (text: string): string => `"aspath":{"string":"${text}"`;

/** A route of an opaque family, by a piece of its text. */
const opaque = async (node: string, family: string, piece: string): Promise<RouteView | undefined> =>
  (await routes(fabric, node, { family })).find((one) => one.prefix.includes(piece));

/**
 * What FRR originated came to `b` and is reflected to `c`; what GoBGP told `b` came to FRR. `f1` is FRR's words for the
 * family, `mine` and `told` a piece of each route and what is in it.
 */
const bothWays = (family: string, f1: string, mine: [string, ...RegExp[]], told: [string, ...RegExp[]]) =>
  agree(
    leafd(
      `${mine[0]} at b`,
      () => opaque('b', family, mine[0]),
      '"accepted":true',
      '"best":true',
      ...mine.slice(1),
    ),
    leafd(
      `${mine[0]} at c`,
      () => opaque('c', family, mine[0]),
      '"originatorId":"10.254.0.100"',
      '"clusterList":["10.254.0.2"]',
      ...mine.slice(1),
    ),
    leafd(`${told[0]} at b`, () => opaque('b', family, told[0]), '"accepted":true'),
    peer(`${told[0]}`, () => vtysh('f1', f1), ...told.slice(1)),
  );

export const familyCells = {
  'ebgp-ipv6': {
    run: () =>
      agree(
        leafd(
          'theirs',
          () => route('a', '2001:db8:ff02::/48', 'w2', 'ipv6'),
          '"asPath":"65000"',
          '"accepted":true',
        ),
        peer(
          'ours',
          () => show('ipv6 unicast 2001:db8:1002::/48'),
          '"peerId":"2001:db8:2::"',
          asPath('65001'),
        ),
      ),
  },
  'extended-next-hop': {
    run: () =>
      agree(
        leafd(
          'theirs',
          () => route('a', theirPrefix(1), 'w2'),
          /"nextHop":"(2001:db8:2::1|fe80::)/,
          '"accepted":true',
        ),
        peer(
          'ours',
          async () =>
            (await show('ipv4 unicast 10.1.1.0/24')).paths.filter((one: { peer: { peerId: string } }) =>
              one.peer.peerId.startsWith('2001'),
            ),
          '"ip":"2001:db8:2::"',
          '"afi":"ipv6"',
        ),
      ),
  },
  'next-hop-unchanged-ibgp': {
    run: () =>
      agree(
        leafd('theirs, of k', () => route('b', '10.80.7.0/24', 'w70'), '"nextHop":"10.255.80.0"'),
        peer('ours, of x', () => path('33.69.1.0/24', 70), '"ip":"10.255.63.1"'),
      ),
  },
  'next-hop-self-external': {
    run: () =>
      agree(
        leafd('as received', () => route('b', '33.69.1.0/24'), '"nextHop":"10.255.63.1"'),
        peer('of an external route', () => path('33.69.1.0/24', 74), '"ip":"10.255.74.0"'),
        peer('of a reflected one', () => path('10.66.1.0/24', 74), '"ip":"10.255.66.1"'),
      ),
  },
  'next-hop-self-all': {
    run: () =>
      agree(
        leafd('as received', () => route('b', '10.66.1.0/24'), '"nextHop":"10.255.66.1"'),
        peer('of an external route', () => path('33.69.1.0/24', 75), '"ip":"10.255.75.0"'),
        peer('of a reflected one', () => path('10.66.1.0/24', 75), '"ip":"10.255.75.0"'),
      ),
  },
  'next-hop-unchanged-ebgp': {
    run: () =>
      agree(
        leafd('as received', () => route('a', '33.60.1.0/24'), '"nextHop":"10.255.60.1"'),
        peer('unchanged', () => path('33.60.1.0/24', 44), '"ip":"10.255.60.1"', asPath('65001 65020')),
      ),
  },
  'reflector-leafd': {
    run: () =>
      agree(
        leafd(
          "f1's at c",
          () => route('c', theirPrefix(70), 'b'),
          '"originatorId":"10.254.0.100"',
          '"clusterList":["10.254.0.2"]',
          '"nextHop":"10.255.70.1"',
        ),
        peer(
          "c's",
          () => path('10.66.1.0/24', 70),
          '"originatorId":"10.254.0.3"',
          /"clusterList":\{"list":\["10\.254\.0\.2"\]/,
        ),
      ),
  },
  'reflector-peer': {
    run: () =>
      agree(
        leafd(
          "c's at b",
          () => route('b', ourPrefix(71), 'w70'),
          '"originatorId":"10.254.0.3"',
          '"clusterList":["10.254.0.100"]',
        ),
        leafd("b's at c", () => route('c', '10.76.1.0/24', 'w71'), '"originatorId":"10.254.0.2"'),
        peer('reflects', () => path(ourPrefix(71), 71), /"10\.255\.70\.0"/),
      ),
  },
  'reflection-loop': {
    run: () =>
      agree(
        leafd(
          'our own comes back',
          async () =>
            (await routes(fabric, 'c', { prefix: ourPrefix(71), family: 'ipv4' })).filter(
              (one) => one.peer === 'w72',
            ),
          '"originatorLoop"',
          '"accepted":false',
        ),
        peer('sent', () => path(ourPrefix(71), 71), /"10\.255\.72\.0"/),
      ),
  },
  vpnv4: {
    run: () =>
      bothWays(
        'vpnv4',
        'show bgp ipv4 vpn',
        ['65000:70:20.70.9.0/24', /"labels":\[700\]/, /"routeDistinguisher":"65000:70"/],
        ['33.65.1.0/24', /65000:64\s[\s\S]*33\.65\.1\.0\/24 +10\.255\.64\.1/, /EC\{65000:64\} label=100/],
      ),
  },
  vpnv6: {
    run: () =>
      bothWays(
        'vpnv6',
        'show bgp ipv6 vpn',
        ['2001:db8:7009::/48', /"labels":\[701\]/],
        ['2001:db8:65::/48', /2001:db8:65::\/48/, /2001:db8:64::1/, /label=101/],
      ),
  },
  'evpn-mac-ip': {
    run: () =>
      bothWays(
        'evpn',
        'show bgp l2vpn evpn',
        ['[2]:[0]:[48]:[02:00:00:00:00:99]', /"vnis":\[100\]/, /rt:65000:100/],
        [
          'aa:bb:cc:00:00:01',
          /\[2\]:\[0\]:\[48\]:\[aa:bb:cc:00:00:01\]:\[32\]:\[33\.66\.0\.1\]\s+10\.255\.64\.1/,
          /RT:65000:64 ET:8/,
        ],
      ),
  },
  'evpn-multicast': {
    run: () =>
      bothWays(
        'evpn',
        'show bgp l2vpn evpn route type multicast',
        ['[3]:[0]:[32]:[10.254.0.100]', /rt:65000:100/],
        ['[3]:[0]:[32]:[10.255.64.1]', /\[3\]:\[0\]:\[32\]:\[10\.255\.64\.1\]\s+10\.255\.64\.1/],
      ),
  },
  'evpn-ip-prefix': {
    run: () =>
      bothWays(
        'evpn',
        'show bgp l2vpn evpn route type prefix',
        ['[5]:[0]:[24]:[20.70.8.0]', /router-mac:02:00:00:00:00:70/],
        ['[5]:[0]:[24]:[33.66.2.0]', /\[5\]:\[0\]:\[24\]:\[33\.66\.2\.0\]\s+10\.255\.64\.1/],
      ),
  },
  rtc: { lacks: `${MANUAL}, section "Address Families": no route target constraint` },
  flowspec4: {
    run: () =>
      agree(
        leafd(
          'at b',
          () => routes(fabric, 'b', { family: 'flowspec4' }),
          /destination 33\.67\.1\.0\/24/,
          '"best":true',
        ),
        leafd('at c', () => routes(fabric, 'c', { family: 'flowspec4' }), /traffic-rate:0:0/),
        peer(
          'sent on',
          () => vtysh('f1', 'show bgp ipv4 flowspec detail'),
          /Destination Address 33\.67\.1\.0\/24\s+IP Protocol = 6\s+Destination Port = 80\s+FS:rate 0\.0/,
        ),
      ),
  },
  flowspec6: {
    run: () =>
      agree(
        leafd(
          'at b',
          () => routes(fabric, 'b', { family: 'flowspec6' }),
          /destination 2001:db8:67::\/48/,
          '"best":true',
        ),
        peer(
          'sent on',
          () => vtysh('f1', 'show bgp ipv6 flowspec detail'),
          /Destination Address 2001:db8:67::\/48\/off 0\s+IP Protocol = 6\s+FS:rate 0\.0/,
        ),
      ),
  },
  'flowspec-vpn': {
    lacks: `${MANUAL}, section "Flowspec", "Limitations / Known Issues" and "bgp default": address families ipv4 and ipv6 flowspec only`,
  },
  'add-path-receive': {
    run: () =>
      agree(
        leafd(
          'all that the peer has',
          async () => ({
            here: (await routes(fabric, 'a', { prefix: '10.34.1.0/24' })).filter((one) => one.peer === 'w36'),
            there: (await show('ipv4 unicast 10.34.1.0/24')).paths,
          }),
          ({ here, there }) =>
            here.length >= 3 &&
            here.length === there.length &&
            new Set(here.map((one: RouteView) => one.pathId)).size === here.length,
        ),
        peer('sends all', () => neighbour(36), '"txAdvertised":true'),
      ),
  },
  'add-path-send-all': {
    run: () =>
      agree(
        leafd(
          'of x',
          () => routes(fabric, 'a', { prefix: '33.62.1.0/24' }),
          (seen) => seen.length === 3,
        ),
        peer(
          'all',
          () => paths('33.62.1.0/24', 34),
          (seen) => seen.length === 3,
          /65001 65020"/,
          /65001 65021"/,
          /65001 65022"/,
        ),
      ),
  },
  'add-path-send-best': {
    run: () =>
      agree(
        leafd(
          'of x',
          () => routes(fabric, 'a', { prefix: '33.62.1.0/24' }),
          (seen) => seen.length === 3,
        ),
        peer(
          'two',
          () => paths('33.62.1.0/24', 35),
          (seen) => seen.length === 2,
        ),
      ),
  },
  'paths-limit': { lacks: `${MANUAL}, section "Configuring Peers", addpath commands: no paths-limit` },
  confederation: {
    run: () =>
      agree(
        leafd('of another member', () => route('d', '20.90.1.0/24'), '"asPath":"(65102)"', '"localPref":250'),
        leafd('of our member', () => route('e', '10.91.1.0/24'), '"asPath":"(65101)"', '"accepted":true'),
        leafd(
          'our member in the path',
          async () =>
            (await routes(fabric, 'd', { prefix: '10.91.1.0/24' })).filter((one) => one.peer === 'f2'),
          '"confederationLoop"',
        ),
        peer(
          'of another member',
          () => path('10.91.1.0/24', 91, 'f2'),
          asPath('(65101)'),
          '"confed-external"',
        ),
        peer('of its member', () => path('10.92.1.0/24', 92, 'f2'), asPath('Local'), '"confed-internal"'),
      ),
  },
  'confederation-outside': {
    run: () =>
      agree(
        leafd('FRR inside', () => route('a', '20.90.1.0/24', 'w93'), '"asPath":"65100"'),
        leafd('leafd inside', () => route('a', '20.90.1.0/24', 'w94'), '"asPath":"65100"'),
        peer('leafd outside', () => path('10.93.1.0/24', 93, 'f2'), asPath('65001')),
      ),
  },
  'best-external': {
    run: () =>
      agree(
        leafd(
          'the internal one is better',
          async () => (await routes(fabric, 'b', { prefix: '33.68.1.0/24' })).find((one) => one.best),
          '"localPref":200',
          '"nextHop":"10.255.76.1"',
        ),
        peer('has the external one', () => path('33.68.1.0/24', 76), asPath('65023'), '"ip":"10.255.63.1"'),
      ),
  },
} satisfies Partial<Cells>;
