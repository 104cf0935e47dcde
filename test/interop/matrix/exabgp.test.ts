// The matrix for ExaBGP, which announces what it is told to and holds nothing: what needs a table, a decision or a
// restart it lacks, as its manual page shows by what can be configured at all.

import { agree, cell, leafd, peer, sharedCells, some, witness } from './cells.ts';
import { everything, eye, fabric } from './exabgp.lab.ts';
import { type Cells, matrix, routes } from './harness.ts';

const w = witness(eye);
const shared = sharedCells(eye);
const lacks = (section: string, what: string) => ({ lacks: `exabgp.conf(5), ${section}: ${what}` });
const option = (what: string) => lacks('group and neighbor', `no option for ${what}`);
const table = (what: string) => lacks('DESCRIPTION', `announces static routes and has no table: ${what}`);
const capability = (what: string) => lacks('capability', `does not offer ${what}`);
const ofFamily = (node: string, family: string, name: string) => () =>
  routes(fabric, node, { family, peer: name, received: true });

/** ExaBGP hears of `b` what GoBGP told it. */
const heard = (family: string, inLeafd: string, ...inPeer: (string | RegExp)[]) =>
  cell(() =>
    agree(
      leafd('b has it of GoBGP', ofFamily('b', family, 'g'), inLeafd),
      peer('it comes reflected', () => everything(70), ...inPeer, '"originator-id":"10.254.0.64"'),
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
  vpnv4: heard('vpnv4', '33.65.1.0/24', '33.65.1.0/24', '65000:64'),
  vpnv6: heard('vpnv6', '2001:db8:65::/48', '2001:db8:65::/48'),
  'evpn-mac-ip': lacks('family', 'no EVPN'),
  'evpn-multicast': lacks('family', 'no EVPN'),
  'evpn-ip-prefix': lacks('family', 'no EVPN'),
  rtc: lacks('family', 'no route targets'),
  flowspec4: heard('flowspec4', '33.67.1.0/24', '33.67.1.0/24', 'ipv4 flow'),
  flowspec6: heard('flowspec6', '2001:db8:67::/48', '2001:db8:67::/48', 'ipv6 flow'),
  'flowspec-vpn': cell(() =>
    agree(
      peer('up', () => eye.session(70), eye.up),
      leafd('b has it', ofFamily('b', 'flowspecVpn4', 'w70'), '20.70.2.0/24', '65000:70'),
      leafd('c has it', ofFamily('c', 'flowspecVpn4', 'b'), '20.70.2.0/24', '"originatorId":"10.254.0.100"'),
    ),
  ),
  'extended-messages': capability('messages of more than 4096 bytes'),
  'route-refresh': table('`route-refresh` is offered, nothing is asked for'),
  'enhanced-refresh': table('no beginning and end of what is not held'),
  'gr-helper': table('a restart leaves nothing to tell from before'),
  'gr-restarter': table('keeps nothing of a neighbour that restarts'),
  'gr-notification': capability('RFC 8538'),
  llgr: capability('RFC 9494'),
  'add-path-receive': table('one path of a prefix over a session'),
  'paths-limit': capability('it'),
  roles: capability('roles'),
  otc: capability('roles'),
  fqdn: cell(() =>
    agree(
      leafd('its name', () => w.view(1), /fqdn/),
      peer('up', () => eye.session(1), eye.up),
    ),
  ),
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
  'md5-live': option('a change of the password without a new neighbour'),
  bfd: option('BFD'),
  'range-peer': option('ranges'),
  'max-prefix-restart': cell(() =>
    agree(
      leafd(
        'ended and tried again',
        () => w.view(28),
        (seen) => seen.established >= 2,
      ),
      peer('went and came', () => everything(28), /"state":"down".*"state":"up"/),
    ),
  ),
  'max-prefix-peer': option('limits of prefixes'),
  'shutdown-received': option('words at shutdown'),
  'shutdown-sent': option('words at shutdown shown'),
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
  multihop: cell(() => agree(...w.up(23))),
};

matrix(
  'exabgp',
  { up: () => fabric.up({ waitSeconds: 0 }), down: fabric.down, version: ['exabgp', '--version'] },
  cells,
);
