// The star around FRR. f1 (AS 65000) is in the middle: `a` (AS 65001) outside with a wire for every behaviour of eBGP,
// `b` and `c` inside, `k` (AS 65009) outside to be killed. f2, member 65102 of confederation 65100, has `d` (65101) and
// `e` (65102) in it and `a` outside. g (GoBGP) tells `b` what neither leafd nor FRR can originate, x (ExaBGP) what no
// well-behaved speaker would.

import { stringify } from 'yaml';
import { fabricOf } from '../../support/fabric.ts';
import { heard, leafdNode, ours, peerPorts, theirs, type Wire } from './star.ts';

const ASN = 65000;

const opaque = ['vpnv4', 'vpnv6', 'evpn', 'flowspec4', 'flowspec6', 'flowspecVpn4'];

/** With ADD-PATH and long-lived restart of each, what an OPEN says of these is longer than 255 bytes. */
const everything = ['ipv4', 'ipv6', ...opaque, 'flowspecVpn6', 'rtc'];

const restarting = { restartTime: '6s', stalePathTime: '20s', longLivedStaleTime: '60s' };

const a = (n: number, more: Omit<Wire, 'n' | 'node'> = {}): Wire => ({ n, node: 'a', ...more });
const b = (n: number, more: Omit<Wire, 'n' | 'node'> = {}): Wire => ({ n, node: 'b', ...more });
const c = (n: number, more: Omit<Wire, 'n' | 'node'> = {}): Wire => ({ n, node: 'c', ...more });
const k = (n: number, more: Omit<Wire, 'n' | 'node'> = {}): Wire => ({ n, node: 'k', ...more });

const some = (n: number): string[] => [2, 3, 4].map((m) => `20.${n}.${m}.0/24`);
const gshut = ['set community graceful-shutdown'];

/** Every session with f1. */
export const wires: readonly Wire[] = [
  a(1, { words: ['timers 4 12'], networks: ['10.1.2.0/24'] }),
  a(3, { peer: { role: 'provider' }, words: ['local-role customer'], tells: ['20.55.0.0/16 le 32'] }),
  a(4, { peer: { role: 'peer' }, words: ['local-role customer'] }),
  a(5, { peer: { password: 'right' }, words: ['password right'] }),
  a(6, { peer: { password: 'wrong' }, words: ['password other'] }),
  a(7, { peer: { password: 'first' }, words: ['password first'] }),
  a(8, {
    peer: { range: '10.255.8.0/31', password: 'ranged', name: 'near' },
    words: ['password ranged'],
  }),
  a(9, { peer: { password: 'listened' } }),
  a(10, { peer: { ttlSecurity: true }, words: ['ttl-security hops 1'] }),
  a(11, { peer: { ttlSecurity: true } }),
  a(12, { peer: { passive: true } }),
  a(13, { words: ['passive'] }),
  a(14, { peer: { remoteAs: 'any' } }),
  a(15, { peer: { localAs: 65051 }, remoteAs: 65051, tells: ['33.60.1.0/24'] }),
  a(16, { peer: { localAs: { asn: 65052, noPrepend: true } }, remoteAs: 65052 }),
  a(17, { peer: { localAs: { asn: 65053, replaceAs: true } }, remoteAs: 65053 }),
  a(18, { changes: ['set as-path prepend 65001'] }),
  a(19, { peer: { allowAsIn: 1 }, changes: ['set as-path prepend 65001'] }),
  a(20, { peer: { removePrivateAs: { all: true } }, tells: ['33.60.0.0/16 le 32'] }),
  a(21, { peer: { removePrivateAs: { all: true, replace: true } }, tells: ['33.60.0.0/16 le 32'] }),
  a(22, { peer: { asOverride: true }, tells: ['33.61.0.0/16 le 32'] }),
  a(23, { peer: null }),
  a(24, { peer: { defaultOriginate: true } }),
  a(25, { words: ['af default-originate'] }),
  a(26, { peer: { maxPrefix: { limit: 2, action: 'warn' } }, hears: some(26) }),
  a(27, { peer: { maxPrefix: { limit: 2, action: 'drop' } }, hears: some(27) }),
  a(28, {
    peer: { maxPrefix: { limit: 2, action: 'restart', restartAfter: '3s' } },
    hears: some(28),
  }),
  a(29, { peer: { maxPrefix: { limit: 2, action: 'shutdown' } }, hears: some(29) }),
  a(30, { networks: [2, 3, 4, 5, 6].map((m) => `10.30.${m}.0/24`), words: ['af maximum-prefix 2'] }),
  a(31),
  a(32),
  a(33, { peer: { gracefulShutdown: true }, changes: gshut }),
  a(34, { peer: { addPath: { receive: false, send: 'all' } }, tells: ['33.62.0.0/16 le 32'] }),
  a(35, { peer: { addPath: { receive: false, send: 'best', sendMax: 2 } }, tells: ['33.62.0.0/16 le 32'] }),
  a(36, {
    peer: { addPath: { receive: true, send: 'none' } },
    words: ['af addpath-tx-all-paths'],
    hears: ['10.34.0.0/16'],
  }),
  a(38, {
    sets: { communities: { add: Array.from({ length: 1300 }, (_, i) => `65001:${i + 1}`) } },
  }),
  a(39, {
    words: ['dont-capability-negotiate'],
    changes: ['set as-path prepend 4200000002'],
    tells: ['33.63.0.0/16 le 32'],
  }),
  a(40, { hears: ['20.100.0.0/16'], changes: ['set extcommunity bandwidth 100'] }),
  a(41, { hears: ['20.100.0.0/16'], changes: ['set extcommunity bandwidth 200'] }),
  a(42, { peer: { import: 'preferred' }, hears: ['20.101.0.0/16'] }),
  a(43, { peer: { weight: 500 }, hears: ['20.101.0.0/16'] }),
  a(44, { peer: { nextHopUnchanged: true }, words: ['ebgp-multihop 4'], tells: ['33.60.0.0/16 le 32'] }),
  a(45, {
    peer: { blackhole: true },
    sets: { communities: { add: ['blackhole'] } },
    changes: ['set community blackhole'],
  }),
  a(46, { hears: ['20.146.0.0/16'] }),
  a(47, { peer: { asSet: 'accept' }, hears: ['20.146.0.0/16'] }),
  a(48, { networks: ['10.48.2.0/24'] }),
  a(49, { tells: ['10.149.0.0/16 le 32'] }),
  a(50, {
    peer: { families: everything, addPath: { receive: true, send: 'all', receiveMax: 8 } },
    words: ['extended-optional-parameters'],
  }),
  a(51, {
    sets: {
      communities: { add: ['65001:51'] },
      largeCommunities: { add: ['65001:5:1'] },
      extendedCommunities: { add: ['rt:65001:51', 'soo:65001:51'] },
    },
    changes: [
      'set community 65000:51',
      'set large-community 65000:5:1',
      'set extcommunity rt 65000:51',
      'set extcommunity soo 65000:51',
    ],
  }),
  a(52, { sets: { communities: { add: ['no-export'] } }, changes: ['set community no-export'] }),
  a(53, { sets: { communities: { add: ['no-advertise'] } }, changes: ['set community no-advertise'] }),
  a(54, { peer: { import: 'by-path' }, hears: ['10.80.0.0/16'] }),
  a(55, { peer: { role: 'customer' }, words: ['local-role provider'] }),
  a(56, { peer: { role: 'peer' }, words: ['local-role peer'], tells: ['20.55.0.0/16 le 32'] }),
  a(57, { networks: ['10.57.2.0/25'], peer: { export: 'judged' } }),
  a(58, { tells: ['192.168.58.0/24', '192.168.59.0/24'] }),
  a(59, { tells: ['33.64.0.0/16 le 32'] }),
  b(70, {
    peer: { routeReflectorClient: true, families: ['ipv4', ...opaque], export: 'accept-all' },
    tells: ['0.0.0.0/0 le 32'],
    hears: ['0.0.0.0/0'],
    words: ['vpn', 'evpn', 'flowspec'],
  }),
  c(71, {
    words: ['af route-reflector-client'],
    hears: ['0.0.0.0/0'],
    networks: ['10.34.1.0/24'],
    tells: ['10.34.1.0/24'],
  }),
  c(72, { words: ['af route-reflector-client'], hears: ['0.0.0.0/0'] }),
  b(74, { peer: { nextHopSelf: 'external', routeReflectorClient: true, export: 'accept-all' } }),
  b(75, { peer: { nextHopSelf: true, routeReflectorClient: true, export: 'accept-all' } }),
  b(76, {
    networks: ['10.34.1.0/24'],
    tells: ['10.34.1.0/24', '33.68.0.0/16 le 32'],
    hears: ['33.68.0.0/16'],
  }),
  k(80, {
    networks: ['10.34.1.0/24', '20.146.9.0/24', '10.80.7.0/24'],
    tells: ['10.34.1.0/24', '20.146.9.0/24'],
    hears: ['10.0.0.0/8'],
  }),
  k(81, { hears: ['10.0.0.0/8'] }),
];

/** An FRR neighbour's lines; words that begin with `af` belong into the address family. */
function neighbour({ n, words = [], remoteAs, node }: Wire, inFamily: boolean): string[] {
  if (n === 9 || n === 23) return [];
  const asn = { a: 65001, b: ASN, c: ASN, k: 65009 }[node];
  const say = (text: string) => `neighbor ${ours(n)} ${text}`;
  if (inFamily) {
    const own = words.filter((word) => word.startsWith('af ')).map((word) => say(word.slice(3)));
    return [say(`route-map x${n} out`), say('soft-reconfiguration inbound'), ...own];
  }
  const own = words.filter((word) => !/^(af |vpn|evpn|flowspec)/.test(word)).map(say);
  return [say(`remote-as ${remoteAs ?? asn}`), say('timers connect 1'), ...own];
}

const others = ['ipv4 vpn', 'ipv6 vpn', 'ipv4 flowspec', 'ipv6 flowspec', 'l2vpn evpn'];

const indent = (lines: readonly string[], by: string): string =>
  lines.map((line) => `${by}${line}\n`).join('');

const originated = wires.flatMap((wire) => [
  `20.${wire.n}.1.0/24`,
  ...(wire.hears ?? []).filter((one) => one.endsWith('/24')),
]);

/** 20.45.1.1/32: only host routes are discarded for BLACKHOLE. */
const networks = [
  ...originated,
  '20.45.1.1/32',
  '20.100.1.0/24',
  '20.101.1.0/24',
  '20.146.1.0/24',
  '20.48.2.0/24',
];

const f1 = `
frr defaults traditional
hostname f1
${wires
  .map((wire) =>
    [
      ...heard(wire).map((prefix) => `ip prefix-list x${wire.n} permit ${prefix} le 32`),
      `route-map x${wire.n} permit 10`,
      ` match ip address prefix-list x${wire.n}`,
      ...(wire.changes ?? []).map((line) => ` ${line}`),
      'exit',
    ].join('\n'),
  )
  .join('\n')}
route-map preferred permit 10
 set local-preference 200
exit
ip prefix-list x70 seq 1 deny 33.68.0.0/16 le 32
ip prefix-list mh permit 20.23.0.0/16 le 32
route-map mh permit 10
 match ip address prefix-list mh
exit
router bgp ${ASN}
 bgp router-id 10.254.0.100
 no bgp ebgp-requires-policy
 no bgp network import-check
 bgp graceful-restart
 bgp graceful-restart notification
 bgp graceful-restart preserve-fw-state
 bgp graceful-restart stalepath-time 30
 bgp long-lived-graceful-restart stale-time 60
 bgp cluster-id 10.254.0.100
${indent(
  wires.flatMap((wire) => neighbour(wire, false)),
  ' ',
)} neighbor listened peer-group
 neighbor listened remote-as 65001
 neighbor listened password listened
 bgp listen range ${ours(9)}/32 peer-group listened
 neighbor 10.254.0.1 remote-as 65001
 neighbor 10.254.0.1 ebgp-multihop 3
 neighbor 10.254.0.1 update-source 10.254.0.100
 neighbor 10.254.0.1 timers connect 1
 neighbor 2001:db8:2:: remote-as 65001
 neighbor 2001:db8:2:: capability extended-nexthop
 neighbor 2001:db8:2:: timers connect 1
 neighbor un interface remote-as external
 neighbor un timers connect 1
 address-family ipv4 unicast
${networks.map((prefix) => `  network ${prefix}\n`).join('')}  network 33.68.1.0/24 route-map preferred
  aggregate-address 20.48.0.0/16
  aggregate-address 20.146.0.0/16 as-set
${indent(
  wires.flatMap((wire) => neighbour(wire, true)),
  '  ',
)}  neighbor listened route-map x9 out
  neighbor 10.254.0.1 route-map mh out
  neighbor un route-map x1 out
  neighbor 2001:db8:2:: route-map x1 out
 exit-address-family
 address-family ipv6 unicast
  network 2001:db8:ff02::/48
  neighbor 2001:db8:2:: activate
  neighbor un activate
 exit-address-family
${others
  .map(
    (family) =>
      ` address-family ${family}\n  neighbor ${ours(70)} activate\n` +
      (family === 'ipv4 vpn' ? '  network 20.70.9.0/24 rd 65000:70 label 700\n' : '') +
      (family === 'ipv6 vpn' ? '  network 2001:db8:7009::/48 rd 65000:70 label 701\n' : '') +
      (family === 'l2vpn evpn'
        ? '  advertise-all-vni\n  network 20.70.8.0/24 rd 65000:70 ethtag 0 label 708 esi 00:00:00:00:00:00:00:00:00:00 gwip 20.70.8.1 routermac 02:00:00:00:00:70\n'
        : '') +
      ' exit-address-family\n',
  )
  .join('')}exit
`;

const f2 = `
frr defaults traditional
hostname f2
ip route 20.90.1.0/24 blackhole
route-map preferred permit 10
 set local-preference 250
exit
router bgp 65102
 bgp router-id 10.254.0.102
 bgp confederation identifier 65100
 bgp confederation peers 65101
 no bgp ebgp-requires-policy
 no bgp network import-check
 bgp graceful-restart
 bgp graceful-restart preserve-fw-state
 bgp graceful-restart restart-time 6
 bgp long-lived-graceful-restart stale-time 60
 neighbor 10.255.91.0 remote-as 65101
 neighbor 10.255.92.0 remote-as 65102
 neighbor 10.255.93.0 remote-as 65001
${[91, 92, 93].map((n) => ` neighbor ${ours(n)} timers connect 1\n`).join('')} address-family ipv4 unicast
  network 20.90.1.0/24
  neighbor 10.255.91.0 route-map preferred out
 exit-address-family
exit
`;

const path = (prefix: string, at: string, more = '') => `route ${prefix} next-hop ${at} as-path [ ${more} ];`;

/** ExaBGP: three ways to `a` and one to `b`, each an AS of its own. */
const x = [60, 61, 62, 63]
  .map((n) => {
    const asn = 65000 + n - 40;
    const at = theirs(n);
    const told =
      n === 60
        ? [
            path('33.60.1.0/24', at, `${asn}`),
            path('33.60.2.0/24', at, `${asn} 3333 65021`),
            path('33.61.1.0/24', at, `${asn} 65000`),
            path('33.62.1.0/24', at, `${asn}`),
            path('33.63.1.0/24', at, `${asn} 4200000001`),
            `route 33.64.1.0/24 next-hop ${at} as-path [ ${asn} ] attribute [ 0x63 0xc0 0x01020304 ] attribute [ 0x64 0x80 0x0a0b ];`,
          ]
        : n === 63
          ? [path('33.69.1.0/24', at, `${asn}`), path('33.68.1.0/24', at, `${asn}`)]
          : [path('33.62.1.0/24', at, `${asn}`)];
    return `neighbor ${ours(n)} { router-id ${at}; local-address ${at}; local-as ${asn}; peer-as ${n === 63 ? ASN : 65001};
  hold-time 30; family { ipv4 unicast; } static { ${told.join('\n')} } }`;
  })
  .join('\n');

const rib = (family: string, words: string) => `gobgp global rib add -a ${family} ${words}`;
const sourced = [
  rib('vpnv4', '33.65.1.0/24 label 100 rd 65000:64 rt 65000:64 nexthop 10.255.64.1'),
  rib('vpnv6', '2001:db8:65::/48 label 101 rd 65000:64 rt 65000:64 nexthop 2001:db8:64::1'),
  rib('evpn', 'macadv aa:bb:cc:00:00:01 33.66.0.1 etag 0 label 1000 rd 65000:64 rt 65000:64 encap vxlan'),
  rib(
    'evpn',
    'multicast 10.255.64.1 etag 0 rd 65000:64 rt 65000:64 encap vxlan pmsi ingress-repl 1000 10.255.64.1',
  ),
  rib('evpn', 'prefix 33.66.2.0/24 gw 10.255.64.1 etag 0 label 2000 rd 65000:64 rt 65000:64'),
  rib(
    'ipv4-flowspec',
    "match destination 33.67.1.0/24 protocol '==tcp' destination-port '==80' then discard",
  ),
  rib('ipv6-flowspec', "match destination 2001:db8:67::/48 protocol '==tcp' then discard"),
];

const g = stringify({
  global: { config: { as: ASN, 'router-id': '10.254.0.64' } },
  neighbors: [
    {
      config: { 'neighbor-address': ours(64), 'peer-as': ASN },
      timers: { config: { 'hold-time': 30, 'keepalive-interval': 10, 'connect-retry': 1 } },
      'afi-safis': [
        'l3vpn-ipv4-unicast',
        'l3vpn-ipv6-unicast',
        'l2vpn-evpn',
        'ipv4-flowspec',
        'ipv6-flowspec',
      ].map((name) => ({ config: { 'afi-safi-name': name } })),
    },
  ],
});

const star = { asn: ASN };
const quick = { group: 'quick' };
const outsider = (n: number) => ({
  address: theirs(n),
  remoteAs: 65000 + n - 40,
  families: ['ipv4'],
  ...quick,
});

/** What `a` is beside its wires. */
const aMore = {
  bgp: {
    asn: 65001,
    routerId: '10.254.0.1',
    loopbacks: ['10.254.0.1/32'],
    linkBandwidth: true,
    gracefulRestart: restarting,
    routes: [{ prefix: '10.149.1.0/24', via: '10.253.0.9' }],
    aggregates: [{ prefix: '10.48.0.0/16' }, { prefix: '33.60.0.0/16' }],
    redistribute: { connected: { policy: 'lan' }, kernel: { policy: 'lan' } },
    peers: [
      { interface: 'un', ...quick, export: 'x1' },
      {
        address: '10.254.0.100',
        name: 'w23',
        remoteAs: ASN,
        multihop: 3,
        localAddress: '10.254.0.1',
        families: ['ipv4'],
        ...quick,
        export: 'x23',
      },
      { address: '2001:db8:2::1', name: 'w2', remoteAs: ASN, ...quick, export: 'six' },
      ...[60, 61, 62].map(outsider).map((one) => ({ ...one, export: 'from-f1' })),
      { address: '10.255.93.1', name: 'w93', remoteAs: 65100, families: ['ipv4'], ...quick, export: 'x93' },
      { address: '10.255.94.1', name: 'w94', remoteAs: 65100, families: ['ipv4'], ...quick, export: 'x93' },
    ],
    networks: ['2001:db8:1002::/48', '10.93.1.0/24', '10.148.1.0/24'],
  },
  policies: {
    preferred: { rules: [{ set: { localPref: 300 }, action: 'accept' }] },
    'from-f1': { rules: [{ match: { prefixes: ['20.0.0.0/8 le 32'] }, action: 'accept' }] },
    'by-path': {
      rules: [
        { match: { asPath: ['_65009$'] }, action: 'reject' },
        { match: { asPath: ['^65000$'] }, action: 'accept' },
      ],
    },
    judged: {
      rules: [
        { match: { prefixes: ['10.57.0.0/16 ge 25 le 25'] }, action: 'reject' },
        {
          match: { prefixes: ['10.57.0.0/16 ge 24 le 32'] },
          set: { med: 57, communities: { add: ['65001:57'] }, prepend: { count: 2 } },
          action: 'accept',
        },
      ],
    },
    six: { rules: [{ match: { prefixes: ['2001:db8:1002::/48', '10.1.0.0/16 le 32'] }, action: 'accept' }] },
    x93: { rules: [{ match: { prefixes: ['10.93.0.0/16 le 32'] }, action: 'accept' }] },
    lan: { rules: [{ match: { prefixes: ['192.168.0.0/16 le 32'] }, action: 'accept' }] },
  },
  ports: {
    un: [],
    six: ['2001:db8:2::/127'],
    far: ['10.253.0.1/24', '192.168.58.1/24'],
    tox: [60, 61, 62].map((n) => `${ours(n)}/31`),
    confed: [`${ours(93)}/31`],
    member: [`${ours(94)}/31`],
  },
  commands: [`ip route add 10.254.0.100/32 via ${theirs(1)}`, 'ip route add blackhole 192.168.59.0/24'],
};

const inside = (port: string) => ({
  address: port,
  remoteAs: 'internal',
  routeReflectorClient: true,
  ...quick,
  families: ['ipv4', ...opaque],
  export: 'accept-all',
});

const bMore = {
  bgp: {
    asn: ASN,
    routerId: '10.254.0.2',
    bestExternal: true,
    loopbacks: ['10.254.0.2/32'],
    peers: [
      { ...outsider(63), name: 'x63' },
      { ...inside(theirs(64)), name: 'g', families: opaque },
      { ...inside('10.255.66.1'), name: 'c' },
    ],
  },
  ports: { tox: [`${ours(63)}/31`], tog: [`${ours(64)}/31`, '2001:db8:64::/127'], toc: ['10.255.66.0/31'] },
  commands: [`ip route add 10.254.0.100/32 via ${theirs(70)}`],
};

const cMore = {
  bgp: {
    asn: ASN,
    routerId: '10.254.0.3',
    loopbacks: ['10.254.0.3/32'],
    networks: ['10.66.1.0/24'],
    peers: [{ ...inside('10.255.66.0'), name: 'b', routeReflectorClient: false, export: 'to-b' }],
  },
  policies: { 'to-b': { rules: [{ match: { prefixes: ['10.66.0.0/16 le 32'] }, action: 'accept' }] } },
  ports: { tob: ['10.255.66.1/31'] },
  commands: [`ip route add 10.254.0.100/32 via ${theirs(71)}`, 'ip route add 10.255.64.0/31 via 10.255.66.0'],
};

const kMore = {
  bgp: { asn: 65009, routerId: '10.254.0.9', loopbacks: ['10.254.0.9/32'], gracefulRestart: restarting },
};

const member = (asn: number, n: number, more: object[] = []) => ({
  config: {
    bgp: {
      asn,
      routerId: `10.254.0.${n}`,
      profile: 'fabric',
      confederation: { id: 65100, members: [65101, 65102] },
      gracefulRestart: restarting,
      networks: [ourPrefixOf(n)],
      groups: {
        quick: { timers: { hold: '30s', keepalive: '10s', connectRetry: '1s' }, families: ['ipv4'] },
      },
      peers: [{ address: theirs(n), name: 'f2', remoteAs: 65102, ...quick }, ...more],
    },
  },
});

function ourPrefixOf(n: number): string {
  return `10.${n}.1.0/24`;
}

export const fabric = fabricOf(
  'mxfrr',
  stringify({
    nodes: {
      a: leafdNode('a', wires, star, aMore),
      b: leafdNode('b', wires, star, bMore, ['2001:db8:70::/127']),
      c: leafdNode('c', wires, star, cMore),
      k: leafdNode('k', wires, star, kMore),
      d: {
        ...member(65101, 91, [{ address: ours(94), name: 'a', remoteAs: 65001, ...quick }]),
        ports: { star: [`${ours(91)}/31`], toa: [`${theirs(94)}/31`] },
      },
      e: { ...member(65102, 92), ports: { star: [`${ours(92)}/31`] } },
      f1: {
        kind: 'frr',
        config: f1,
        addresses: ['10.254.0.100/32'],
        ports: {
          ...Object.fromEntries(
            ['a', 'b', 'c', 'k'].map((node) => [
              `to${node}`,
              [...peerPorts(node, wires), ...(node === 'b' ? ['2001:db8:70::1/127'] : [])],
            ]),
          ),
          six: ['2001:db8:2::1/127'],
        },
        commands: [
          `ip route add 10.254.0.1/32 via ${ours(1)}`,
          `ip route add 10.255.60.0/31 via ${ours(1)}`,
          `ip route add 10.255.62.0/23 via ${ours(70)}`,
          `ip route add 10.255.64.0/31 via ${ours(70)}`,
          'ip link add br100 type bridge',
          'ip link add vx100 type vxlan id 100 dstport 4789 local 10.254.0.100 nolearning',
          'ip link add vm0 type veth peer name vm1',
          'ip link set vx100 master br100',
          'ip link set vm0 master br100',
          'for port in br100 vx100 vm0 vm1; do ip link set $port up; done',
          'bridge fdb add 02:00:00:00:00:99 dev vm0 master static',
        ],
      },
      f2: {
        kind: 'frr',
        config: f2,
        ports: { tod: [`${theirs(91)}/31`], toe: [`${theirs(92)}/31`], toa: [`${theirs(93)}/31`] },
      },
      g: {
        kind: 'gobgp',
        config: g,
        ports: { tob: [`${theirs(64)}/31`, '2001:db8:64::1/127'] },
        afterStart: sourced,
      },
      x: {
        kind: 'exabgp',
        config: x,
        ports: { toa: [60, 61, 62].map((n) => `${theirs(n)}/31`), tob: [`${theirs(63)}/31`] },
      },
      h: { kind: 'host', addresses: ['10.253.0.9/24'] },
    },
    links: [
      ...['a', 'b', 'c', 'k'].map((node) => [`${node}:star`, `f1:to${node}`]),
      ['a:un', 'f1:un'],
      ['a:six', 'f1:six'],
      ['a:far', 'h:eth0'],
      ['a:tox', 'x:toa'],
      ['b:tox', 'x:tob'],
      ['b:tog', 'g:tob'],
      ['b:toc', 'c:tob'],
      ['d:star', 'f2:tod'],
      ['e:star', 'f2:toe'],
      ['a:confed', 'f2:toa'],
      ['a:member', 'd:toa'],
    ],
  }),
);
