// The labs around BIRD and GoBGP. `p` (AS 65000) is the speaker looked at: `a` (AS 65001) outside with a wire for every
// behaviour of eBGP, `b` and `c` inside, `k` (AS 65009) outside to be killed. `p2`, member 65102 of confederation 65100,
// has `d` (65101) and `e` (65102) in it and `a` outside, and is killed itself. g (GoBGP) tells `b` what leafd cannot
// originate, x (ExaBGP) tells everybody what no well-behaved speaker would. What is in them of leafd is here.

import { stringify } from 'yaml';
import { type Fabric, fabricOf } from '../../support/fabric.ts';
import { leafdNode, ours, peerPorts, theirs, type Wire } from './star.ts';

export const ASN = 65000;

/** Families with keys of their own; what the peer does not have is not agreed on. */
export const opaque = ['vpnv4', 'vpnv6', 'evpn', 'flowspec4', 'flowspec6', 'flowspecVpn4', 'rtc'];

const every = ['ipv4', 'ipv6', ...opaque, 'flowspecVpn6'];

type Settings = Readonly<Record<string, unknown>>;

const some = (n: number): string[] => [2, 3, 4].map((m) => `20.${n}.${m}.0/24`);

const a = (n: number, peer: Settings | null = {}, more: Partial<Wire> = {}): Wire => ({
  n,
  node: 'a',
  peer,
  ...more,
});
const on = (node: string, n: number, peer: Settings = {}, more: Partial<Wire> = {}): Wire => ({
  n,
  node,
  peer,
  ...more,
});

const shared: readonly Wire[] = [
  a(1, {}, { networks: ['10.1.2.0/24'] }),
  a(3, { role: 'provider' }, { tells: ['20.55.0.0/16 le 32'] }),
  a(4, { role: 'peer' }),
  a(5, { password: 'right' }),
  a(6, { password: 'wrong' }),
  a(7, { password: 'first' }),
  a(8, { range: '10.255.8.0/31', password: 'ranged', name: 'near' }),
  a(9, { password: 'listened' }),
  a(10, { ttlSecurity: true }),
  a(11, { ttlSecurity: true }),
  a(12, { passive: true }),
  a(13),
  a(14, { remoteAs: 'any' }),
  a(15, { localAs: 65051 }, { remoteAs: 65051 }),
  a(16, { localAs: { asn: 65052, noPrepend: true } }, { remoteAs: 65052 }),
  a(17, { localAs: { asn: 65053, replaceAs: true } }, { remoteAs: 65053 }),
  a(18),
  a(19, { allowAsIn: 1 }),
  a(20, { removePrivateAs: { all: true } }, { tells: ['33.60.0.0/16 le 32'] }),
  a(21, { removePrivateAs: { all: true, replace: true } }, { tells: ['33.60.0.0/16 le 32'] }),
  a(22, { asOverride: true }, { tells: ['33.61.0.0/16 le 32'] }),
  a(24, { defaultOriginate: true }),
  a(25, {}, { hears: ['0.0.0.0/0'] }),
  a(26, { maxPrefix: { limit: 2, action: 'warn' } }, { hears: some(26) }),
  a(27, { maxPrefix: { limit: 2, action: 'drop' } }, { hears: some(27) }),
  a(28, { maxPrefix: { limit: 2, action: 'restart', restartAfter: '3s' } }, { hears: some(28) }),
  a(29, { maxPrefix: { limit: 2, action: 'shutdown' } }, { hears: some(29) }),
  a(30, {}, { networks: ['10.30.2.0/24', '10.30.3.0/24'] }),
  a(31),
  a(32),
  a(33, { gracefulShutdown: true }),
  a(34, { addPath: { receive: false, send: 'all' } }, { tells: ['33.62.0.0/16 le 32'] }),
  a(35, { addPath: { receive: false, send: 'best', sendMax: 2 } }, { tells: ['33.62.0.0/16 le 32'] }),
  a(36, { addPath: { receive: true, send: 'none' } }, { hears: ['34.36.0.0/16'] }),
  a(38, {}, { sets: { communities: { add: Array.from({ length: 1300 }, (_, i) => `65001:${i + 1}`) } } }),
  a(39, {}, { tells: ['33.63.0.0/16 le 32'] }),
  a(40, {}, { hears: ['20.100.0.0/16'] }),
  a(41, {}, { hears: ['20.100.0.0/16'] }),
  a(42, { import: 'preferred' }, { hears: ['20.101.0.0/16'] }),
  a(43, { weight: 500 }, { hears: ['20.101.0.0/16'] }),
  a(44, { nextHopUnchanged: true }, { tells: ['33.60.0.0/16 le 32'] }),
  a(45, { blackhole: true }, { sets: { communities: { add: ['blackhole'] } } }),
  a(46, {}, { hears: ['34.46.0.0/16'] }),
  a(47, { asSet: 'accept' }, { hears: ['34.46.0.0/16'] }),
  a(48, {}, { tells: ['33.0.0.0/8'] }),
  a(49, {}, { tells: ['10.149.0.0/16 le 32'] }),
  a(50, { families: every, addPath: { receive: true } }),
  a(
    51,
    {},
    {
      sets: {
        communities: { add: ['65001:51'] },
        largeCommunities: { add: ['65001:5:1'] },
        extendedCommunities: { add: ['rt:65001:51', 'soo:65001:51'] },
      },
    },
  ),
  a(52, {}, { sets: { communities: { add: ['no-export'] } } }),
  a(53, {}, { sets: { communities: { add: ['no-advertise'] } } }),
  a(54, { import: 'by-path' }, { hears: ['10.80.0.0/16'] }),
  a(55, { role: 'customer' }),
  a(56, { role: 'peer' }, { tells: ['20.55.0.0/16 le 32'] }),
  a(57, { export: 'judged' }, { networks: ['10.57.2.0/25'] }),
  a(58, {}, { tells: ['192.168.58.0/24', '192.168.59.0/24'] }),
  a(59, {}, { tells: ['33.64.0.0/16 le 32'] }),
  on(
    'b',
    70,
    { routeReflectorClient: true, families: ['ipv4', ...opaque], export: 'accept-all' },
    { hears: ['10.49.0.0/16', '34.0.0.0/8'] },
  ),
  on('b', 74, { nextHopSelf: 'external', routeReflectorClient: true, export: 'accept-all' }),
  on('b', 75, { nextHopSelf: true, routeReflectorClient: true, export: 'accept-all' }),
  on('b', 76, {}, { hears: ['10.70.0.0/16'] }),
  on('c', 71, {}, { hears: ['10.70.0.0/16'] }),
  on('c', 72, {}, { hears: ['33.68.0.0/16'], tells: ['33.68.0.0/16 le 32'] }),
  on('k', 80, {}, { hears: ['10.0.0.0/8'] }),
];

/** A speaker's own words for wires, by number; a wire it cannot have is false. */
export type Words = Readonly<Record<number, Partial<Wire> | false>>;

export const wiresWith = (words: Words): Wire[] =>
  shared.filter(({ n }) => words[n] !== false).map((wire) => ({ ...wire, ...(words[wire.n] || {}) }));

/** Prefixes the peer originates: 20.N.1.0/24 of every wire and single ones a wire hears. */
export const originatedOver = (wires: readonly Wire[]): string[] => [
  ...new Set([
    ...wires.flatMap(({ n, hears = [] }) => [
      `20.${n}.1.0/24`,
      ...hears.filter((one) => one.startsWith(`20.${n}.`)),
    ]),
    // Only host routes are discarded for BLACKHOLE; 33.68 is what c also has from outside.
    ...['20.45.1.1/32', '20.100.1.0/24', '20.101.1.0/24', '33.68.1.0/24', '0.0.0.0/0'],
  ]),
];

/** ExaBGP's sessions with the peer itself: wire and AS. */
export const outsidersOfPeer = [165, 166, 167].map((n) => ({ n, asn: 65025 + n - 165 }));

const path = (prefix: string, at: string, ases: string, more = '') =>
  `route ${prefix} next-hop ${at} as-path [ ${ases} ]${more};`;

function exabgp(): string {
  const session = (n: number, asn: number, peerAs: number, told: string[]) =>
    `neighbor ${ours(n)} { router-id ${theirs(n)}; local-address ${theirs(n)}; local-as ${asn}; peer-as ${peerAs};
  hold-time 30; family { ipv4 unicast; } static { ${told.join('\n')} } }`;
  const at = theirs(60);
  const strange = ' attribute [ 0x63 0xc0 0x01020304 ] attribute [ 0x64 0x80 0x0a0b ]';
  const first = [
    path('33.60.1.0/24', at, '65020'),
    path('33.60.2.0/24', at, '65020 3333 65021'),
    path('33.61.1.0/24', at, '65020 65000'),
    path('33.62.1.0/24', at, '65020'),
    path('33.63.1.0/24', at, '65020 4200000001'),
    path('33.64.1.0/24', at, '65020', strange),
  ];
  const several = (n: number, asn: number) => path('34.36.1.0/24', theirs(n), `${asn}`);
  return [
    session(60, 65020, 65001, first),
    session(61, 65021, 65001, [path('33.62.1.0/24', theirs(61), '65021')]),
    session(62, 65022, 65001, [path('33.62.1.0/24', theirs(62), '65022')]),
    session(63, 65023, ASN, [path('33.69.1.0/24', theirs(63), '65023')]),
    session(68, 65028, ASN, [path('33.68.1.0/24', theirs(68), '65028')]),
    ...outsidersOfPeer.map(({ n, asn }) =>
      session(n, asn, ASN, [
        several(n, asn),
        ...(n === 165 ? [path('34.46.1.0/24', theirs(n), '65025 ( 65090 65091 )')] : []),
      ]),
    ),
  ].join('\n');
}

const rib = (family: string, words: string) => `gobgp global rib add -a ${family} ${words}`;

/** What GoBGP originates, by family of leafd, and by which prefix it is known. */
export const sourced = {
  vpnv4: rib('vpnv4', '33.65.1.0/24 label 100 rd 65000:64 rt 65000:64 nexthop 10.255.64.1'),
  /** Of a target that nobody asks for. */
  other: rib('vpnv4', '33.65.2.0/24 label 102 rd 65000:64 rt 65000:65 nexthop 10.255.64.1'),
  vpnv6: rib('vpnv6', '2001:db8:65::/48 label 101 rd 65000:64 rt 65000:64 nexthop 2001:db8:64::1'),
  macIp: rib(
    'evpn',
    'macadv aa:bb:cc:00:00:01 33.66.0.1 etag 0 label 1000 rd 65000:64 rt 65000:64 encap vxlan',
  ),
  multicast: rib(
    'evpn',
    'multicast 10.255.64.1 etag 0 rd 65000:64 rt 65000:64 encap vxlan pmsi ingress-repl 1000 10.255.64.1',
  ),
  ipPrefix: rib('evpn', 'prefix 33.66.2.0/24 gw 10.255.64.1 etag 0 label 2000 rd 65000:64 rt 65000:64'),
  flowspec4: rib(
    'ipv4-flowspec',
    "match destination 33.67.1.0/24 protocol '==tcp' destination-port '==80' then discard",
  ),
  flowspec6: rib('ipv6-flowspec', "match destination 2001:db8:67::/48 protocol '==tcp' then discard"),
};

export const opaqueOfGobgp = [
  'l3vpn-ipv4-unicast',
  'l3vpn-ipv6-unicast',
  'l2vpn-evpn',
  'ipv4-flowspec',
  'ipv6-flowspec',
];

const source = stringify({
  global: { config: { as: ASN, 'router-id': '10.254.0.64' } },
  neighbors: [
    {
      config: { 'neighbor-address': ours(64), 'peer-as': ASN },
      timers: { config: { 'hold-time': 30, 'keepalive-interval': 10, 'connect-retry': 1 } },
      'afi-safis': opaqueOfGobgp.map((name) => ({ config: { 'afi-safi-name': name } })),
    },
  ],
});

const quick = { group: 'quick' };
const outsider = (n: number) => ({
  address: theirs(n),
  name: `x${n}`,
  remoteAs: 65000 + n - 40,
  families: ['ipv4'],
  ...quick,
});
const restarting = { restartTime: '6s', stalePathTime: '20s', longLivedStaleTime: '60s' };
const accepting = (...prefixes: string[]) => ({ rules: [{ match: { prefixes }, action: 'accept' }] });

const aMore = {
  // Long enough for an OPEN of all families to need the long form of its parameters.
  node: { name: 'leaf-a-in-the-first-rack-of-the-second-row-of-the-third-hall' },
  bgp: {
    asn: 65001,
    routerId: '10.254.0.1',
    loopbacks: ['10.254.0.1/32'],
    linkBandwidth: true,
    gracefulRestart: restarting,
    routes: [
      { prefix: '10.149.1.0/24', via: '10.253.0.9' },
      { prefix: '10.49.7.0/24', blackhole: true },
    ],
    aggregates: [{ prefix: '33.0.0.0/8' }],
    redistribute: { connected: { policy: 'lan' }, kernel: { policy: 'lan' } },
    peers: [
      { interface: 'un', ...quick, export: 'six' },
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
      ...[60, 61, 62].map((n) => ({ ...outsider(n), export: 'from-p' })),
      ...['10.255.93.1', '10.255.94.1'].map((address, i) => ({
        ...{ address, name: `w${93 + i}`, remoteAs: 65100, families: ['ipv4'], ...quick, export: 'x93' },
      })),
    ],
    networks: ['2001:db8:1002::/48', '10.93.1.0/24', '10.23.1.0/24'],
  },
  policies: {
    preferred: { rules: [{ set: { localPref: 300 }, action: 'accept' }] },
    'from-p': accepting('20.0.0.0/8 le 32'),
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
    six: accepting('2001:db8:1002::/48', '10.1.0.0/16 le 32'),
    x23: accepting('10.23.0.0/16 le 32'),
    x93: accepting('10.93.0.0/16 le 32'),
    lan: accepting('192.168.0.0/16 le 32'),
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

const inside = (address: string, name: string) => ({
  ...{ address, name, remoteAs: 'internal', ...quick, families: ['ipv4', ...opaque], export: 'accept-all' },
});

const bMore = {
  bgp: {
    asn: ASN,
    routerId: '10.254.0.2',
    peers: [
      outsider(63),
      { ...inside(theirs(64), 'g'), families: opaque, routeReflectorClient: true },
      { ...inside('10.255.66.1', 'c'), routeReflectorClient: true },
      { ...inside(theirs(73), 'r'), families: ['vpnv4', 'rtc'], routeReflectorClient: true },
    ],
  },
  ports: {
    tox: [`${ours(63)}/31`],
    tog: [`${ours(64)}/31`, '2001:db8:64::/127'],
    toc: ['10.255.66.0/31'],
    tor: [`${ours(73)}/31`],
  },
  commands: [`ip route add 10.255.0.0/16 via ${theirs(70)}`, `ip -6 route add 2001:db8::/32 dev tog`],
};

const cMore = {
  bgp: {
    asn: ASN,
    routerId: '10.254.0.3',
    bestExternal: true,
    networks: ['10.66.1.0/24'],
    peers: [
      // Without route targets: it takes every VPN route.
      {
        ...inside('10.255.66.0', 'b'),
        families: ['ipv4', ...opaque.filter((one) => one !== 'rtc')],
        export: 'to-b',
      },
      { ...outsider(68), export: 'reject-all' },
    ],
  },
  policies: { 'to-b': accepting('10.66.0.0/16 le 32') },
  ports: { tob: ['10.255.66.1/31'], tox: [`${ours(68)}/31`] },
  commands: [`ip route add 10.255.0.0/16 via ${theirs(71)}`, `ip -6 route add 2001:db8::/32 dev tob`],
};

const kMore = {
  bgp: { asn: 65009, routerId: '10.254.0.9', gracefulRestart: restarting },
};

const member = (asn: number, n: number, more: object[] = []) => ({
  config: {
    bgp: {
      asn,
      routerId: `10.254.0.${n}`,
      profile: 'fabric',
      confederation: { id: 65100, members: [65101, 65102] },
      gracefulRestart: restarting,
      networks: [`10.${n}.1.0/24`],
      groups: {
        quick: {
          timers: { hold: '30s', keepalive: '10s', connectRetry: '1s' },
          idleHold: '1s',
          families: ['ipv4'],
        },
      },
      peers: [{ address: theirs(n), name: 'p2', remoteAs: 65102, ...quick }, ...more],
    },
  },
});

/** A foreign daemon's node: kind, configuration and more of its own. */
export type Foreign = { kind: string; config: string; afterStart?: string[]; addresses?: string[] };

/**
 * The lab of a speaker; `p2` speaks for confederation 65100 and is killed. `r` has a session of VPN routes and route
 * targets with `b`, where the speaker knows them.
 */
export function fleetOf(title: string, wires: readonly Wire[], p: Foreign, p2: Foreign, r?: Foreign): Fabric {
  const star = { asn: ASN };
  const nodes = ['a', 'b', 'c', 'k'] as const;
  const mores = { a: aMore, b: bMore, c: cMore, k: kMore };
  const text = stringify({
    nodes: {
      ...Object.fromEntries(nodes.map((node) => [node, leafdNode(node, wires, star, mores[node])])),
      d: {
        ...member(65101, 91, [{ address: ours(94), name: 'a', remoteAs: 65001, ...quick }]),
        ports: { star: [`${ours(91)}/31`], toa: [`${theirs(94)}/31`] },
        commands: [`ip route add 10.255.0.0/16 via ${theirs(91)}`],
      },
      e: {
        ...member(65102, 92),
        ports: { star: [`${ours(92)}/31`] },
        commands: [`ip route add 10.255.0.0/16 via ${theirs(92)}`],
      },
      p: {
        addresses: ['10.254.0.100/32'],
        ...p,
        ports: {
          ...Object.fromEntries(nodes.map((node) => [`to${node}`, peerPorts(node, wires)])),
          six: ['2001:db8:2::1/127'],
          un: [],
          tox: outsidersOfPeer.map(({ n }) => `${ours(n)}/31`),
        },
        commands: [`ip route add 10.254.0.1/32 via ${ours(1)}`],
      },
      p2: {
        ...p2,
        ports: { tod: [`${theirs(91)}/31`], toe: [`${theirs(92)}/31`], toa: [`${theirs(93)}/31`] },
      },
      ...(r && { r: { ...r, ports: { tob: [`${theirs(73)}/31`] } } }),
      g: {
        kind: 'gobgp',
        config: source,
        ports: { tob: [`${theirs(64)}/31`, '2001:db8:64::1/127'] },
        afterStart: Object.values(sourced),
      },
      x: {
        kind: 'exabgp',
        config: exabgp(),
        ports: {
          toa: [60, 61, 62].map((n) => `${theirs(n)}/31`),
          tob: [`${theirs(63)}/31`],
          toc: [`${theirs(68)}/31`],
          top: outsidersOfPeer.map(({ n }) => `${theirs(n)}/31`),
        },
      },
      h: { kind: 'host', addresses: ['10.253.0.9/24'] },
    },
    links: [
      ...nodes.map((node) => [`${node}:star`, `p:to${node}`]),
      ['a:un', 'p:un'],
      ['a:six', 'p:six'],
      ['a:far', 'h:eth0'],
      ['a:tox', 'x:toa'],
      ['b:tox', 'x:tob'],
      ['c:tox', 'x:toc'],
      ['p:tox', 'x:top'],
      ...(r ? [['b:tor', 'r:tob']] : []),
      ['b:tog', 'g:tob'],
      ['b:toc', 'c:tob'],
      ['d:star', 'p2:tod'],
      ['e:star', 'p2:toe'],
      ['a:confed', 'p2:toa'],
      ['a:member', 'd:toa'],
    ],
  });
  return fabricOf(title, text);
}
