// The matrix for GoBGP. Where it lacks something, the page of its documentation (docs/sources) lists what there is
// instead; what it does not negotiate it shows as an unknown capability.

import { agree, cell, holds, leafd, one, peer, sharedCells, some, without, witness } from './cells.ts';
import { eye, fabric, gobgp, own2, paths } from './gobgp.lab.ts';
import { type Cells, matrix, peerOf, routes } from './harness.ts';
import { ours } from './star.ts';

const w = witness(eye);
const lacks = (page: string, what: string) => ({ lacks: `GoBGP 3.10 docs/sources/${page}.md, ${what}` });

const inRib = (family: string) => () => gobgp('p', 'global', 'rib', '-a', family);
const ofFamily = (node: string, family: string, name: string) => () =>
  routes(fabric, node, { family, peer: name, received: true });

/** The line of a prefix in a table, reflected by `b` for the GoBGP behind it. */
const line = (text: string): RegExp =>
  new RegExp(`${text}.*Originator: 10\\.254\\.0\\.64} \\{ClusterList: \\[10\\.254\\.0\\.2\\]`);

/** What the GoBGP behind `b` told comes to this one through `b`, and this one's to `c`. */
const reflected = (family: string, name: string, there: string, ...here: (string | RegExp)[]) =>
  cell(() =>
    agree(
      peer('has it of b', inRib(name), line(there)),
      leafd('b has that of GoBGP', ofFamily('b', family, 'w70'), ...here),
      leafd('c has that of GoBGP', ofFamily('c', family, 'b'), ...here, '"originatorId":"10.254.0.100"'),
    ),
  );

const stale = (node: string, name: string, prefix: string) => () =>
  routes(fabric, node, { peer: name, prefix, received: true });

const kill = (node: string) => fabric.lab('stop', node, '--kill');

async function again2(): Promise<void> {
  await fabric.lab('restart', 'p2');
  const added = async () => {
    await fabric.inside('p2', 'sh', '-c', own2);
    return paths('p2', '20.90.1.0/24', 'global', 'rib');
  };
  await holds(peer('p2 originates again', added, some({ nextHop: '0.0.0.0' })));
}

const restarts: Partial<Cells> = {
  'gr-helper': cell(
    async () => {
      const seen = stale('d', 'p2', '20.90.1.0/24');
      await holds(leafd('d has it', seen, one({ stale: false })));
      await kill('p2');
      await holds(leafd('d keeps it', seen, one({ stale: true, accepted: true })));
      await again2();
      await agree(
        leafd('d has it again', seen, one({ stale: false })),
        peer('and GoBGP what is of d', () => eye.takes2('10.91.1.0/24'), some({ asPath: '(65101)' })),
      );
    },
    { alone: true },
  ),
  'gr-notification': cell(
    async () => {
      const kept = () => paths('p2', '10.91.1.0/24', 'global', 'rib');
      const has = some({ asPath: '(65101)' });
      const seen = stale('d', 'p2', '20.90.1.0/24');
      const session = () => gobgp('p2', 'neighbor', ours(91));
      await holds(peer('p2 has it', kept, has));
      await agree(
        leafd('the N bit of GoBGP', () => fabric.get('d', '/v1/peers/p2'), '"notification":true'),
        peer('the N bit of leafd', session, /Remote: restart time 6 sec, notification flag set/),
      );
      // Both hold timers expire and both notify: without the N bit that would end the routes.
      await fabric.lab('cut', 'd:star', '--silent');
      await holds(
        peer('the session is over', session, (said: string) => !said.includes(eye.up)),
        20_000,
      );
      await agree(peer('p2 keeps it', kept, has), leafd('d keeps it', seen, one({ stale: true })));
      await fabric.lab('mend', 'd:star');
      await agree(peer('up', session, eye.up), leafd('fresh', seen, one({ stale: false })));
      await fabric.leafctl('d', 'peer', 'shutdown', 'p2', 'gone');
      await agree(
        leafd('a hard reset', () => fabric.get('d', '/v1/peers/p2'), '"adminDown":true'),
        peer('p2 has it no longer', kept, without(/10\.254\.0\.91/)),
      );
      await fabric.leafctl('d', 'peer', 'enable', 'p2');
      await holds(peer('p2 has it again', kept, has));
    },
    { alone: true },
  ),
  llgr: cell(
    async () => {
      const seen = stale('d', 'p2', '20.90.1.0/24');
      await kill('p2');
      await holds(leafd('d: long-lived stale', seen, one({ stale: true })), 5000);
      const used = () => routes(fabric, 'd', { prefix: '20.90.1.0/24' });
      await holds(leafd('d marks it', used, one({ communities: ['llgr-stale'], stale: true })), 15_000);
      await again2();
      await holds(leafd('d: fresh', seen, one({ stale: false })));
      await kill('d');
      const marked = some({ communities: ['65535:6'], asPath: '(65101)' });
      await holds(
        peer('p2 marks what was of d', () => eye.takes2('10.91.1.0/24'), marked),
        20_000,
      );
      await fabric.lab('restart', 'd');
      await agree(
        peer(
          'p2: fresh',
          () => eye.takes2('10.91.1.0/24'),
          some({ asPath: '(65101)' }),
          without(/4294901766/),
        ),
        leafd('d: fresh', seen, one({ stale: false, accepted: true })),
      );
    },
    { alone: true },
  ),
};

const cells = {
  ...sharedCells(eye),
  ...restarts,
  unnumbered: cell(async () => {
    const taken = (prefix: string) =>
      paths('p', prefix, 'neighbor', 'un', 'adj-in').then((all) => all.map(({ nextHop }) => nextHop));
    const linkLocal = /^\["fe80::[^"]*"\]$/;
    const view = () => peerOf(fabric, 'a', 'un');
    await holds(leafd('un is up', view, '"state":"established"'), 40_000);
    await agree(
      leafd('un', view, '"state":"established"', '"kind":"interface"', '"address":"fe80::'),
      peer('un', () => gobgp('p', 'neighbor', 'un'), eye.up, /extended-nexthop:\s+advertised and received/),
      leafd('IPv4', stale('a', 'un', '20.1.1.0/24'), /"nextHop":"fe80::[^"]*"/, one({ accepted: true })),
      leafd(
        'IPv6',
        stale('a', 'un', '2001:db8:2002::/48'),
        /"nextHop":"fe80::[^"]*"/,
        one({ accepted: true }),
      ),
      peer('IPv4', () => taken('10.1.1.0/24'), linkLocal),
      peer('IPv6', () => taken('2001:db8:1002::/48'), linkLocal),
    );
  }),
  'link-local-next-hop': lacks('configuration', 'neighbors: not among the capabilities'),
  vpnv4: reflected(
    'vpnv4',
    'vpnv4',
    '65000:64:33\\.65\\.1\\.0/24 \\[100\\] .*',
    '65000:70:20.70.9.0/24',
    '"labels":[700]',
    'rt:65000:70',
  ),
  vpnv6: reflected(
    'vpnv6',
    'vpnv6',
    '65000:64:2001:db8:65::/48 +\\[101\\] .*',
    '65000:70:2001:db8:7009::/48',
    '"labels":[701]',
  ),
  'reflection-loop': lacks(
    'route-reflector',
    'a client is not told what has its own identifier as originator',
  ),
  'allow-as-in': cell(async () => {
    await w.got(18, '20.18.1.0/24', { asPath: '65001 65000', accepted: false, code: 'asLoop' });
    await w.got(19, '20.19.1.0/24', { asPath: '65001 65000', accepted: true });
  }),
  'well-known-communities': lacks(
    'policy',
    'conditions: communities are matched by policies, NO_EXPORT means nothing by itself',
  ),
  'evpn-mac-ip': reflected(
    'evpn',
    'evpn',
    'mac:aa:bb:cc:00:00:01\\]\\[ip:33\\.66\\.0\\.1\\] \\[1000\\].*',
    'aa:bb:cc:00:00:70',
    '"ip":"20.70.8.1"',
    '"vnis":[1070]',
  ),
  'evpn-multicast': cell(() =>
    agree(
      peer(
        'has it of b',
        inRib('evpn'),
        /type:multicast\]\[rd:65000:64\].*ClusterList: \[10\.254\.0\.2\].*Pmsi: type: ingress-repl, label: 1000, tunnel-id: 10\.255\.64\.1/,
      ),
      leafd(
        'c has it with its tunnel',
        ofFamily('c', 'evpn', 'b'),
        '[3]:[0]:[32]:[10.255.70.1] RD 65000:70',
        /[Pp]msi|"code":22/,
      ),
    ),
  ),
  'evpn-ip-prefix': reflected(
    'evpn',
    'evpn',
    'type:Prefix\\]\\[rd:65000:64\\]\\[etag:0\\]\\[prefix:33\\.66\\.2\\.0/24\\].*\\[2000\\].*',
    '[5]:[0]:[24]:[20.70.7.0]',
    '"gateway":"10.255.70.1"',
    '"vnis":[2070]',
  ),
  flowspec4: reflected(
    'flowspec4',
    'ipv4-flowspec',
    'destination: 33\\.67\\.1\\.0/24\\]\\[protocol: ==tcp\\]\\[destination-port: ==80\\].*',
    '20.70.3.0/24',
    '"component":"destinationPort"',
    'traffic-rate:0:0',
  ),
  flowspec6: reflected('flowspec6', 'ipv6-flowspec', 'destination: 2001:db8:67::/48.*', '2001:db8:7003::/48'),
  'flowspec-vpn': cell(() =>
    agree(
      peer('originates it', inRib('ipv4-l3vpn-flowspec'), /rd: 65000:70\]\[destination: 20\.70\.2\.0\/24/),
      leafd(
        'b has it',
        ofFamily('b', 'flowspecVpn4', 'w70'),
        'destination 20.70.2.0/24',
        '65000:70',
        'rt:65000:70',
      ),
      leafd(
        'c has it',
        ofFamily('c', 'flowspecVpn4', 'b'),
        'destination 20.70.2.0/24',
        '"originatorId":"10.254.0.100"',
      ),
    ),
  ),
  rtc: cell(() =>
    agree(
      leafd('b has both', ofFamily('b', 'vpnv4', 'g'), '33.65.1.0/24', '33.65.2.0/24'),
      leafd('its target', ofFamily('b', 'rtc', 'r'), '65000:rt:65000:64'),
      leafd(
        'the other is not sent',
        () => fabric.get('b', '/v1/why/65000:64:33.65.2.0%2F24'),
        (seen) =>
          /route target/i.test(
            JSON.stringify(seen.advertised.find(({ peer }: { peer: string }) => peer === 'r')),
          ),
      ),
      peer(
        'what is asked for, no other',
        () => gobgp('r', 'neighbor', ours(73), 'adj-in', '-a', 'vpnv4'),
        '65000:64:33.65.1.0/24',
        without(/33\.65\.2\.0/),
      ),
      peer('over the session without targets it has both', inRib('vpnv4'), '33.65.1.0/24', '33.65.2.0/24'),
    ),
  ),
  'route-refresh': cell(async () => {
    // GoBGP keeps what it received and never asks itself.
    const { messages } = await w.view(49);
    await fabric.leafctl('a', 'peer', 'refresh', 'w49');
    const more = (seen: { messages: typeof messages }) =>
      seen.messages.sent.routeRefresh > messages.sent.routeRefresh &&
      seen.messages.received.update > messages.received.update;
    await agree(
      leafd('asked and was told', () => w.view(49), more),
      peer('was asked', () => eye.session(49), /Route Refresh: +0 +[1-9]/),
    );
  }),
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
  'extended-messages': lacks('configuration', 'neighbors: no such option; it shows UnknownCapability(6)'),
  'enhanced-refresh': lacks(
    'configuration',
    'neighbors: no such option; it shows the capability as received only',
  ),
  'paths-limit': lacks('add-paths', 'send-max is its own, not told to the neighbour'),
  roles: lacks('configuration', 'neighbors: no roles'),
  otc: lacks('policy', 'actions: Only to Customer is an unknown attribute'),
  fqdn: cell(() =>
    agree(
      leafd('name', () => w.view(1), /"hostname":"[^"]+"/),
      peer('name', () => eye.session(1), /Remote:\s+name: leaf-a/),
    ),
  ),
  bfd: lacks('configuration', 'neighbors: no BFD'),
  timers: cell(() =>
    agree(
      leafd('negotiated', () => w.view(1), '"negotiated":{"holdSeconds":12,"keepaliveSeconds":4}'),
      peer('negotiated', () => eye.session(1), 'Hold time is 12, keepalive interval is 4 seconds'),
    ),
  ),
  'aggregate-peer': lacks('cli-operations', 'global: routes are added one by one, nothing aggregates'),
  'two-octet-as': lacks('configuration', 'neighbors: 4-octet AS numbers are always offered'),
  aigp: cell(() =>
    agree(
      peer('sends it', () => eye.tells(70, '20.70.1.0/24'), /"type":26/),
      leafd('b has it', () => w.received(70, '20.70.1.0/24'), '"aigp":{"metric":"70"}'),
      leafd('c has it', stale('c', 'b', '20.70.1.0/24'), '"aigp":{"metric":"70"}'),
    ),
  ),
  'unknown-attributes': cell(() =>
    agree(
      leafd('has it', stale('a', 'x60', '33.64.1.0/24'), '"code":99'),
      // 224: optional, transitive, partial.
      w.takes(
        59,
        '33.64.1.0/24',
        some({ asPath: '65001 65020' }),
        /"flags\\?":224,\\?"type\\?":99,\\?"value\\?":\\?"AQIDBA==/,
        without(/\\?"type\\?":100/),
      ),
    ),
  ),
  'extended-parameters': lacks(
    'configuration',
    'neighbors: it answers such an OPEN with 2/0, "Malformed BGP Open message"',
  ),
} as Cells;

matrix(
  'gobgp',
  { up: () => fabric.up({ waitSeconds: 0 }), down: fabric.down, version: ['gobgpd', '--version'] },
  cells,
);
