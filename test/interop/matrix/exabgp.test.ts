// The matrix for ExaBGP, which announces what it is told to and decides nothing: what needs a table or a decision it
// lacks, as its manual page shows by what can be configured at all. Where the manual has an option and the binary does
// not do what it says, the cell says what 4.2.21 does instead.

import { agree, cell, holds, leafd, none, one, peer, sharedCells, some, witness } from './cells.ts';
import { everything, eye, fabric, processOf, say } from './exabgp.lab.ts';
import { type Cells, matrix, routes } from './harness.ts';
import { ours, theirs } from './star.ts';

const w = witness(eye);
const shared = sharedCells(eye);
const lacks = (section: string, what: string) => ({ lacks: `exabgp.conf(5), ${section}: ${what}` });
const option = (what: string) => lacks('group and neighbor', `no option for ${what}`);
const table = (what: string) => lacks('DESCRIPTION', `announces static routes and has no table: ${what}`);
const capability = (what: string) => lacks('capability', `does not offer ${what}`);
const ofFamily = (node: string, family: string, name: string) => () =>
  routes(fabric, node, { family, peer: name, received: true });

/** ExaBGP hears of `b` what GoBGP told it. */
const heard = (family: string, inLeafd: string[], ...inPeer: (string | RegExp)[]) => [
  leafd('b has it of GoBGP', ofFamily('b', family, 'g'), ...inLeafd),
  peer('it comes reflected', () => everything(70), ...inPeer, '"originator-id":"10.254.0.64"'),
];

/** EVPN it only hears: its `l2vpn` announces VPLS and nothing else. */
const evpn = (inLeafd: string[], ...inPeer: (string | RegExp)[]) =>
  cell(() => agree(...heard('evpn', inLeafd, '"l2vpn evpn"', ...inPeer)));

/** And what it tells comes to `c`. */
const both = (family: string, own: string[], inLeafd: string, ...inPeer: (string | RegExp)[]) =>
  cell(() =>
    agree(
      ...heard(family, [inLeafd], inLeafd, ...inPeer),
      leafd('b has that of ExaBGP', ofFamily('b', family, 'w70'), ...own),
      leafd('c has that of ExaBGP', ofFamily('c', family, 'b'), ...own, '"originatorId":"10.254.0.100"'),
    ),
  );

const cells: Cells = {
  ...shared,
  'ebgp-ipv4': cell(async () => {
    await w.sent(1, '10.1.1.0/24', { asPath: '65001', origin: 'igp' });
    await w.got(1, '20.1.1.0/24', { asPath: '65000', accepted: true });
  }),
  'extended-next-hop': cell(async () => {
    await w.sent(2, '10.1.1.0/24', { asPath: '65001', nextHop: '2001:db8:2::' });
    await w.got(2, '20.2.1.0/24', { asPath: '65000', nextHop: '2001:db8:2::1' });
  }),
  unnumbered: option('interfaces, only addresses'),
  'link-local-next-hop': capability('it'),
  'next-hop-unchanged-ibgp': cell(() =>
    w.sent(70, '33.69.1.0/24', { asPath: '65023', nextHop: '10.255.63.1' }),
  ),
  'reflector-leafd': cell(() =>
    w.sent(70, '10.66.1.0/24', { originator: '10.254.0.3', clusters: ['10.254.0.2'] }),
  ),
  'reflector-peer': table('nothing is passed on'),
  'reflection-loop': table('nothing comes back'),
  vpnv4: both(
    'vpnv4',
    ['65000:70:20.70.9.0/24', '"labels":[700]', 'rt:65000:70'],
    '33.65.1.0/24',
    '65000:64',
  ),
  vpnv6: both('vpnv6', ['65000:70:2001:db8:7009::/48', '"labels":[701]'], '2001:db8:65::/48'),
  'evpn-mac-ip': evpn(['aa:bb:cc:00:00:01', '"ip":"33.66.0.1"'], /AA:BB:CC:00:00:01/i, '33.66.0.1'),
  'evpn-multicast': evpn(['[3]:[0]:[32]:[10.255.64.1] RD 65000:64'], /"code":3,"parsed":true/),
  'evpn-ip-prefix': evpn(['[5]:[0]:[24]:[33.66.2.0]'], '33.66.2.0'),
  rtc: lacks('family', 'no route targets: 4.2.21 says "invalid afi/safi pair ipv4/rtc"'),
  flowspec4: both('flowspec4', ['destination 20.70.3.0/24', 'traffic-rate:0:0'], '33.67.1.0/24', 'ipv4 flow'),
  flowspec6: both('flowspec6', ['destination 2001:db8:7003::/48'], '2001:db8:67::/48', 'ipv6 flow'),
  'flowspec-vpn': cell(() =>
    agree(
      peer('up', () => eye.session(70), eye.up),
      leafd('b has it', ofFamily('b', 'flowspecVpn4', 'w70'), '20.70.2.0/24', '65000:70'),
      leafd('c has it', ofFamily('c', 'flowspecVpn4', 'b'), '20.70.2.0/24', '"originatorId":"10.254.0.100"'),
    ),
  ),
  'extended-messages': cell(() =>
    agree(
      leafd(
        'both said so, and 1300 communities come',
        async () => [await w.view(38), await w.received(38, '20.38.1.0/24')],
        ([view, [route]]) =>
          view.capabilities.received.includes('extendedMessage') &&
          route.attributes.communities.length === 1300,
      ),
      w.takes(38, '10.38.1.0/24', (seen) => seen[0].communities.length === 1300),
    ),
  ),
  // When asked itself it means to mark its answer, packs the mark as an NLRI and dies of that.
  'route-refresh': lacks(
    'group and neighbor, route-refresh',
    'asks and is answered (see enhanced-refresh), but 4.2.21 that is asked ends the session without a word ' +
      'where RFC 7313 is agreed on, which it always offers with RFC 2918',
  ),
  'enhanced-refresh': cell(
    async () => {
      await agree(...w.up(49));
      const { messages } = await w.view(49);
      say(`neighbor ${ours(49)} announce route-refresh ipv4 unicast`);
      await agree(
        leafd(
          'was asked, tells again between two marks',
          () => w.view(49),
          (seen) =>
            seen.messages.received.routeRefresh === messages.received.routeRefresh + 1 &&
            seen.messages.sent.routeRefresh === messages.sent.routeRefresh + 2 &&
            seen.messages.sent.update > messages.sent.update,
        ),
        peer(
          'hears marks around the routes',
          () => everything(49),
          /"subtype":"begin".*"nlri":"10\.49\.1\.0\/24".*"subtype":"end"/,
        ),
      );
    },
    { alone: true },
  ),
  'gr-helper': cell(
    async () => {
      const route = (prefix: string, want: Parameters<typeof w.taken>[2]) => w.taken(80, prefix, want);
      const added = '20.80.2.0/24';
      say(`neighbor ${ours(80)} announce route ${added} next-hop ${theirs(80)}`);
      await holds(route(added, one({ stale: false })));
      const before = processOf(80);
      await fabric.lab('stop', 'p', '--kill');
      for (const prefix of ['20.80.1.0/24', added])
        await holds(route(prefix, one({ stale: true, accepted: true })));
      await fabric.lab('restart', 'p');
      await agree(
        peer(
          'another process',
          () => processOf(80) ?? before,
          (pid) => pid !== before,
        ),
        peer('says what its file says', () => eye.tells(80, '20.80.1.0/24'), '20.80.1.0/24'),
        route('20.80.1.0/24', one({ stale: false, accepted: true })),
        route(added, none),
      );
    },
    { alone: true },
  ),
  'gr-restarter': lacks(
    'capability, graceful-restart',
    'what a neighbour told is kept while it is gone, restarting or not, and forgotten as soon as the session is ' +
      'back, seconds before its End-of-RIB',
  ),
  'gr-notification': capability('RFC 8538'),
  llgr: capability('RFC 9494'),
  'add-path-receive': cell(() =>
    agree(
      peer('offers three', () => eye.tells(36, '34.36.1.0/24'), '34.36.1.0/24'),
      w.taken(
        36,
        '34.36.1.0/24',
        ...[65025, 65026, 65027].map((asn) => one({ asPath: `65000 ${asn}` })),
        ...[5, 6, 7].map((pathId) => one({ pathId })),
      ),
    ),
  ),
  'paths-limit': capability('it'),
  roles: capability('roles'),
  otc: capability('roles'),
  fqdn: capability('its host name: 4.2.21 has the code for it, switched off'),
  'md5-range': cell(() =>
    agree(
      leafd(
        'authenticated',
        () => fabric.get('a', '/v1/peers/10.255.8.1'),
        '"authenticated":true',
        '"state":"established"',
      ),
      peer('w8 is up', () => eye.session(8), eye.up),
    ),
  ),
  bfd: option('BFD'),
  'max-prefix-restart': cell(() =>
    agree(
      leafd(
        'ended and tried again',
        () => w.view(28),
        (seen) => seen.established >= 2,
      ),
      peer('was told', () => everything(28), /"reason":"[^"]*notification received \(6,1\).*"state":"up"/),
    ),
  ),
  'max-prefix-peer': option('limits of prefixes'),
  // Its words are always the same; `teardown` takes a subcode only.
  'shutdown-received': cell(
    async () => {
      await agree(...w.up(32));
      say(`neighbor ${ours(32)} teardown 2`);
      await agree(
        leafd(
          'its words',
          () => w.view(32),
          '6/2 Cease/Administrative Shutdown: Administrative Shutdown',
          '"direction":"received"',
        ),
        peer('said so', () => everything(32), /"state":"down","reason":"[^"]*notification sent \(6,2\)/),
      );
    },
    { alone: true },
  ),
  'shutdown-sent': lacks(
    'group and neighbor',
    'no option for words at shutdown, and 4.2.21 that is told some cannot read them: it answers 1/0, ' +
      '"can not decode update message of type 3"',
  ),
  confederation: option('confederations'),
  'confederation-outside': option('confederations'),
  'best-external': table('no second path to choose from'),
  weight: shared.weight,
  timers: cell(() =>
    agree(
      leafd('negotiated', () => w.view(1), '"negotiated":{"holdSeconds":12,"keepaliveSeconds":4}'),
      peer('up', () => eye.session(1), eye.up),
    ),
  ),
  'aggregate-peer': cell(() => w.got(48, '20.48.1.0/24', { atomicAggregate: true, accepted: true })),
  aigp: cell(() =>
    agree(
      peer('tells it', () => eye.tells(70, '20.70.1.0/24'), '20.70.1.0/24'),
      leafd('b has it', () => w.received(70, '20.70.1.0/24'), '"aigp":{"metric":"70"}'),
    ),
  ),
  'unknown-attributes': cell(() =>
    agree(
      leafd(
        'has it',
        () => routes(fabric, 'a', { peer: 'x60', prefix: '33.64.1.0/24', received: true }),
        '"code":99',
      ),
      w.takes(59, '33.64.1.0/24', some({ asPath: '65001 65020' }), /attribute-0x63-0x[Ee]0/),
    ),
  ),
  'extended-parameters': capability('RFC 9072'),
  'well-known-communities': table('nothing is passed on'),
  'policy-as-path': table('no paths of other speakers'),
  'as-set': cell(async () => {
    await w.got(46, '34.46.1.0/24', { accepted: false, code: 'asSet' });
    await w.got(47, '34.46.1.0/24', { accepted: true, asPath: '65000 65025 {65090 65091}' });
  }),
};

matrix(
  'exabgp',
  { up: () => fabric.up({ waitSeconds: 0 }), down: fabric.down, version: ['exabgp', '--version'] },
  cells,
);
