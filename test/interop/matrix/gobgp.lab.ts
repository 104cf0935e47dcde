// The fleet around GoBGP: its configuration from the wires, and how its own words (`gobgp -j`) are read. Policies are
// global: every wire is a statement with its neighbour and prefixes.

import { readFileSync, writeFileSync } from 'node:fs';
import { parse, stringify } from 'yaml';
import { runOrThrow } from '../../support/fabric.ts';
import type { Eye, Seen } from './cells.ts';
import {
  ASN,
  fleetOf,
  opaqueOfGobgp,
  originatedOver,
  outsidersOfPeer,
  type Words,
  wiresWith,
} from './fleet.ts';
import { ours, theirs } from './star.ts';

const words: Words = {
  3: false,
  4: false,
  // It keeps no keys for a range of its own.
  9: { peer: {} },
  // So that the words are not wrapped into a hard reset, which it prints as numbers.
  31: { peer: { gracefulRestart: 'off' } },
  38: false,
  39: false,
  55: false,
  56: false,
  // What a policy prepends stands before GoBGP's own AS.
  18: { peer: { enforceFirstAs: false } },
  19: { peer: { allowAsIn: 1, enforceFirstAs: false } },
};

export const wires = wiresWith(words);

// biome-ignore lint/suspicious/noExplicitAny: a configuration as data.
type Loose = any;

const password = (text: string) => ({ config: { 'auth-password': text } });
const reflecting = { 'route-reflector': { config: { 'route-reflector-client': true } } };
const receiving = { 'add-paths': { config: { receive: true } } };

/** What a neighbour has beside what all have. */
const settings: Record<number, Loose> = {
  1: { timers: { config: { 'hold-time': 12, 'keepalive-interval': 4 } } },
  5: password('right'),
  6: password('other'),
  7: password('first'),
  8: password('ranged'),
  10: { 'ttl-security': { config: { enabled: true, 'ttl-min': 255 } } },
  13: { transport: { config: { 'passive-mode': true } } },
  30: { limit: 2 },
  34: receiving,
  35: receiving,
  36: { 'add-paths': { config: { 'send-max': 8 } } },
  70: { ...reflecting, families: [...opaqueOfGobgp, 'l3vpn-ipv4-flowspec'] },
  71: reflecting,
  72: reflecting,
  74: reflecting,
  75: reflecting,
  76: reflecting,
};

const community = (...list: string[]) => ({
  'set-community': { options: 'add', 'set-community-method': { 'communities-list': list } },
});
const extended = (...list: string[]) => ({
  'set-ext-community': { options: 'add', 'set-ext-community-method': { 'communities-list': list } },
});
const loops = { 'set-as-path-prepend': { as: '65001', 'repeat-n': 1 } };

/** What is changed on the way out, by wire. */
const changes: Record<number, Loose> = {
  18: loops,
  19: loops,
  33: community('65535:0'),
  40: extended('lb:65000:12500000'),
  41: extended('lb:65000:25000000'),
  45: community('65535:666'),
  51: {
    ...community('65000:51'),
    ...extended('rt:65000:51', 'soo:65000:51'),
    'set-large-community': {
      options: 'add',
      'set-large-community-method': { 'communities-list': ['65000:5:1'] },
    },
  },
  52: community('65535:65281'),
  53: community('65535:65282'),
};

const asnOf: Record<string, number> = { a: 65001, b: ASN, c: ASN, k: 65009 };

const restarting = (time: number) => ({
  'graceful-restart': {
    config: {
      enabled: true,
      'restart-time': time,
      'notification-enabled': true,
      'long-lived-enabled': true,
    },
  },
});

function neighbour(
  address: string,
  asn: number,
  { families = [], limit, config, timers, ...more }: Loose = {},
) {
  const names = ['ipv4-unicast', ...families];
  return {
    config: { 'neighbor-address': address, 'peer-as': asn, ...config },
    timers: {
      config: {
        'hold-time': 30,
        'keepalive-interval': 10,
        'connect-retry': 1,
        'idle-hold-time-after-reset': 1,
        ...timers?.config,
      },
    },
    'afi-safis': names.map((name) => ({
      config: { 'afi-safi-name': name },
      'mp-graceful-restart': { config: { enabled: true } },
      'long-lived-graceful-restart': { config: { enabled: true, 'restart-time': 60 } },
      ...(limit && { 'prefix-limit': { config: { 'max-prefixes': limit } } }),
    })),
    ...restarting(20),
    ...more,
  };
}

interface Way {
  name: string;
  address: string;
  prefixes: string[];
  actions?: Loose;
}

const range = (prefix: string) => {
  const length = Number(prefix.split('/')[1]);
  const wide = length > 0 && length <= 16;
  return { 'ip-prefix': prefix, 'masklength-range': wide ? `${length}..32` : `${length}..${length}` };
};

/** Sets and statements that let each neighbour have what is meant for it. */
function policy(ways: readonly Way[]) {
  return {
    'defined-sets': {
      'prefix-sets': ways.map(({ name, prefixes }) => ({
        'prefix-set-name': `p-${name}`,
        'prefix-list': prefixes.map(range),
      })),
      'neighbor-sets': ways.map(({ name, address }) => ({
        'neighbor-set-name': `n-${name}`,
        'neighbor-info-list': [address],
      })),
    },
    'policy-definitions': [
      {
        name: 'out',
        statements: [
          ...ways.map(({ name, actions = {} }) => ({
            name: `s-${name}`,
            conditions: {
              'match-prefix-set': { 'prefix-set': `p-${name}`, 'match-set-options': 'any' },
              'match-neighbor-set': { 'neighbor-set': `n-${name}`, 'match-set-options': 'any' },
            },
            actions: { 'route-disposition': 'accept-route', 'bgp-actions': actions },
          })),
          {
            name: 'others',
            conditions: {
              'bgp-conditions': {
                'afi-safi-in-list': [...opaqueOfGobgp, 'l3vpn-ipv4-flowspec', 'ipv6-unicast', 'rtc'],
              },
            },
            actions: { 'route-disposition': 'accept-route' },
          },
        ],
      },
    ],
  };
}

const config = stringify({
  global: {
    config: { as: ASN, 'router-id': '10.254.0.100' },
    'apply-policy': { config: { 'export-policy-list': ['out'], 'default-export-policy': 'reject-route' } },
  },
  'peer-groups': [
    {
      config: { 'peer-group-name': 'listened', 'peer-as': 65001 },
      'afi-safis': [{ config: { 'afi-safi-name': 'ipv4-unicast' } }],
    },
  ],
  'dynamic-neighbors': [{ config: { prefix: `${ours(9)}/32`, 'peer-group': 'listened' } }],
  neighbors: [
    ...wires
      .filter(({ n }) => n !== 9)
      .map(({ n, node, remoteAs }) => neighbour(ours(n), remoteAs ?? asnOf[node]!, settings[n])),
    neighbour('2001:db8:2::', 65001, { families: ['ipv6-unicast'] }),
    neighbour('10.254.0.1', 65001, {
      'ebgp-multihop': { config: { enabled: true, 'multihop-ttl': 3 } },
      transport: { config: { 'local-address': '10.254.0.100' } },
    }),
    ...outsidersOfPeer.map(({ n, asn }) => neighbour(theirs(n), asn)),
  ],
  ...policy([
    ...wires.map(({ n, hears = [] }) => ({
      name: `${n}`,
      address: `${ours(n)}/32`,
      prefixes: [`20.${n}.0.0/16`, ...hears],
      actions: changes[n],
    })),
    { name: '2', address: '2001:db8:2::/128', prefixes: ['20.1.1.0/24'] },
    { name: 'un', address: 'fe80::/10', prefixes: ['20.1.1.0/24'] },
    { name: '23', address: '10.254.0.1/32', prefixes: ['20.31.0.0/16'] },
  ]),
});

const rib = (family: string, words: string) => `gobgp global rib add -a ${family} ${words}`;

/** What GoBGP itself originates beside unicast prefixes. */
const own = [
  rib('vpnv4', '20.70.9.0/24 label 700 rd 65000:70 rt 65000:70 nexthop 10.255.70.1'),
  rib('vpnv6', '2001:db8:7009::/48 label 701 rd 65000:70 rt 65000:70 nexthop 2001:db8:2::1'),
  rib('evpn', 'macadv aa:bb:cc:00:00:70 20.70.8.1 etag 0 label 1070 rd 65000:70 rt 65000:70 encap vxlan'),
  rib(
    'evpn',
    'multicast 10.255.70.1 etag 0 rd 65000:70 rt 65000:70 encap vxlan pmsi ingress-repl 1070 10.255.70.1',
  ),
  rib('evpn', 'prefix 20.70.7.0/24 gw 10.255.70.1 etag 0 label 2070 rd 65000:70 rt 65000:70'),
  rib(
    'ipv4-flowspec',
    "match destination 20.70.3.0/24 protocol '==udp' destination-port '==53' then discard",
  ),
  rib('ipv6-flowspec', "match destination 2001:db8:7003::/48 protocol '==udp' then discard"),
  rib(
    'ipv4-l3vpn-flowspec',
    "rd 65000:70 match destination 20.70.2.0/24 protocol '==tcp' then discard rt 65000:70",
  ),
];

const unicast = originatedOver(wires).map((prefix) =>
  rib(
    'ipv4',
    `${prefix}${prefix.startsWith('20.70.') ? ' aigp metric 70' : prefix.startsWith('33.68.') ? ' local-pref 300' : ''}`,
  ),
);

const soon = { timers: { config: { 'hold-time': 9, 'keepalive-interval': 3 } } };
const member = (n: number, asn: number) => neighbour(ours(n), asn, { ...restarting(6), ...soon });
const config2 = stringify({
  global: {
    config: { as: 65102, 'router-id': '10.254.0.102' },
    confederation: { config: { enabled: true, identifier: 65100, 'member-as-list': [65101] } },
  },
  neighbors: [member(91, 65101), member(92, 65102), member(93, 65001)],
});

/** A GoBGP for route targets alone. It dies of the default target (3.10, propagateUpdate), which `b` does not tell. */
const config3 = stringify({
  global: { config: { as: ASN, 'router-id': '10.254.0.73' } },
  vrfs: [{ config: { name: 'blue', id: 1, rd: '65000:99', 'both-rt-list': ['65000:64'] } }],
  neighbors: [
    {
      config: { 'neighbor-address': ours(73), 'peer-as': ASN },
      timers: { config: { 'hold-time': 30, 'keepalive-interval': 10, 'connect-retry': 1 } },
      'afi-safis': ['l3vpn-ipv4-unicast', 'rtc'].map((name) => ({ config: { 'afi-safi-name': name } })),
    },
  ],
});

export const own2 = rib('ipv4', '20.90.1.0/24 local-pref 250');

export const fabric = fleetOf(
  'mxgobgp',
  wires,
  {
    kind: 'gobgp',
    config,
    afterStart: [
      [...unicast, rib('ipv4', '20.1.2.0/24'), rib('ipv6', '2001:db8:2002::/48'), ...own].join(' && '),
      // Its neighbour on an interface is whom the kernel knows there by then, of router advertisements: it waits.
      "ip -6 neigh show dev un | grep -v FAILED | grep -q '^fe80'",
      'gobgp neighbor add interface un',
    ],
  },
  { kind: 'gobgp', config: config2, afterStart: [own2] },
  { kind: 'gobgp', config: config3 },
);

export const gobgp = (node: string, ...words: string[]): Promise<string> =>
  fabric.inside(node, 'gobgp', ...words).then(({ stdout, stderr }) => stdout + stderr);

const marks: Record<number, [string, string]> = { 1: ['{', '}'], 2: ['', ''], 3: ['(', ')'], 4: ['[', ']'] };

/** A path of `gobgp -j`. */
function seenOf(path: Loose): Seen {
  const attribute = (type: number) => path.attrs.find((one: Loose) => one.type === type);
  const asPath = (attribute(2)?.as_paths ?? [])
    .map(
      ({ segment_type, asns }: Loose) => marks[segment_type]![0] + asns.join(' ') + marks[segment_type]![1],
    )
    .join(' ');
  const pair = (value: number) => `${value >>> 16}:${value & 0xffff}`;
  const kinds: Record<number, string> = { 2: 'rt', 3: 'soo' };
  const aggregator = attribute(7);
  return {
    text: JSON.stringify(path),
    from: path['neighbor-ip'] ?? '',
    asPath,
    nextHop: attribute(3)?.nexthop ?? attribute(14)?.nexthop ?? '',
    origin: ['igp', 'egp', 'incomplete'][attribute(1)?.value] ?? '',
    ...(attribute(4) && { med: attribute(4).metric }),
    ...(attribute(5) && { localPref: attribute(5).value }),
    communities: (attribute(8)?.communities ?? []).map(pair),
    largeCommunities: (attribute(32)?.value ?? []).map((one: Loose) =>
      [one.ASN, one.LocalData1, one.LocalData2].join(':'),
    ),
    extendedCommunities: (attribute(16)?.value ?? []).map(
      (one: Loose) => `${kinds[one.subtype] ?? one.subtype}:${one.value}`,
    ),
    originator: attribute(9)?.value ?? '',
    clusters: attribute(10)?.value ?? [],
    aggregator: aggregator ? `${aggregator.as} ${aggregator.address}` : '',
    atomic: attribute(6) !== undefined,
  };
}

const wireAddress = (n: number): string => (n === 2 ? '2001:db8:2::' : n === 23 ? '10.254.0.1' : ours(n));
const familyOf = (prefix: string) => ['-a', prefix.includes(':') ? 'ipv6' : 'ipv4'];

/** Paths of a table of JSON, of one prefix. */
export async function paths(node: string, prefix: string, ...words: string[]): Promise<Seen[]> {
  const text = await gobgp(node, ...words, ...familyOf(prefix), '-j');
  const table = JSON.parse(text) as Record<string, Loose[]>;
  return (table[prefix] ?? []).map(seenOf);
}

export const eye: Eye = {
  fabric,
  wires,
  losesPreference: true,
  takes: (n, prefix) => paths('p', prefix, 'neighbor', wireAddress(n), 'adj-in'),
  takes2: (prefix) => paths('p2', prefix, 'global', 'rib'),
  tells: async (n, prefix) => {
    const told = await paths('p', prefix, 'neighbor', wireAddress(n), 'adj-out');
    return told.map(({ text }) => `${prefix} ${text}`).join('\n');
  },
  session: (n) => gobgp('p', 'neighbor', wireAddress(n)),
  up: 'BGP state = ESTABLISHED',
  log: () => readFileSync(`${fabric.directory('p')}/gobgpd.log`, 'utf8'),
  refresh: (n) => gobgp('p', 'neighbor', wireAddress(n), 'softresetin'),
  stop: (n, text) => gobgp('p', 'neighbor', wireAddress(n), 'shutdown', '--reason', text),
  withdraw: () => gobgp('p', 'global', 'rib', 'del', '20.1.2.0/24'),
  announce: () => gobgp('p', 'global', 'rib', 'add', '20.1.2.0/24'),
  password: async (n, text) => {
    const file = `${fabric.directory('p')}/gobgpd.yaml`;
    const config = parse(readFileSync(file, 'utf8'));
    const one = config.neighbors.find((each: Loose) => each.config['neighbor-address'] === ours(n));
    one.config['auth-password'] = text;
    writeFileSync(file, stringify(config));
    await runOrThrow(['kill', '-HUP', String(await fabric.pid('p'))]);
  },
};
