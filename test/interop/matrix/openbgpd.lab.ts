// The fleet around OpenBGPD: bgpd.conf from the wires, and how `bgpctl -j` is read. It speaks for no confederation and
// has no way to keep routes over its own restart, so p2 is a bystander.

import { readFileSync, writeFileSync } from 'node:fs';
import type { Eye, Seen } from './cells.ts';
import { ASN, fleetOf, originatedOver, outsidersOfPeer, type Words, wiresWith } from './fleet.ts';
import { ours, theirs, type Wire } from './star.ts';

/** `words` are statements of the neighbour, `changes` attribute sets of what is told. */
const words: Words = {
  1: { words: ['holdtime 12'] },
  3: { words: ['announce policy customer'] },
  4: { words: ['announce policy customer'] },
  5: { words: ['tcp md5sig password right'] },
  6: { words: ['tcp md5sig password other'] },
  7: { words: ['tcp md5sig password first'] },
  8: { words: ['tcp md5sig password ranged'] },
  // Keys of templates are not given to the kernel here: the range has none.
  9: { peer: {} },
  10: { words: ['ttl-security yes'] },
  13: { words: ['passive'] },
  18: { hears: ['10.51.0.0/16'] },
  19: { hears: ['10.51.0.0/16'] },
  25: { words: ['export default-route'] },
  30: { words: ['max-prefix 2'] },
  33: { changes: ['community GRACEFUL_SHUTDOWN'] },
  34: { words: ['announce add-path recv yes'] },
  35: { words: ['announce add-path recv yes'] },
  36: { words: ['announce add-path send all'] },
  39: { words: ['announce as-4byte no'] },
  44: { words: ['multihop 4'] },
  45: { changes: ['community 65535:666'] },
  48: { tells: ['33.0.0.0/8', '10.91.0.0/16 le 32'] },
  49: { words: ['announce enhanced refresh yes'] },
  51: {
    changes: [
      'community 65000:51',
      'large-community 65000:5:1',
      'ext-community rt 65000:51',
      'ext-community soo 65000:51',
    ],
  },
  52: { changes: ['community NO_EXPORT'] },
  53: { changes: ['community NO_ADVERTISE'] },
  55: { words: ['announce policy provider'] },
  56: { words: ['announce policy peer'] },
  70: { words: ['route-reflector 10.254.0.100', 'announce IPv4 vpn', 'announce IPv6 vpn'] },
  71: { words: ['route-reflector 10.254.0.100'] },
  72: { words: ['route-reflector 10.254.0.100'], changes: ['localpref 300'] },
  74: { words: ['route-reflector 10.254.0.100'] },
  75: { words: ['route-reflector 10.254.0.100'] },
  76: { words: ['route-reflector 10.254.0.100'] },
};

export const wires = wiresWith(words);

const asnOf: Record<string, number> = { a: 65001, b: ASN, c: ASN, k: 65009 };

/** `10.1.0.0/16` of a wire stands for what is in it; a single prefix for itself. */
const pattern = (prefix: string) => (/\/(8|16)$/.test(prefix) ? `${prefix} or-longer` : prefix);

function neighbour({ n, node, words: own = [], remoteAs }: Wire, password?: string): string {
  const address = n === 9 ? `${ours(n)}/31` : ours(n);
  const said = password === undefined ? own : [`tcp md5sig password ${password}`];
  const role = said.some((word) => word.includes('policy')) ? [] : ['announce policy no'];
  return `neighbor ${address} {
  descr "w${n}"
  remote-as ${remoteAs ?? asnOf[node]}
  local-address ${theirs(n)}
${n === 9 ? '  passive\n' : ''}${[...role, ...said].map((word) => `  ${word}\n`).join('')}}`;
}

function filters({ n, hears = [], changes = [] }: Wire): string {
  const to = n === 9 ? 'group ranged' : ours(n);
  const nets = [`20.${n}.0.0/16`, ...hears].map(pattern).join(', ');
  const set = changes.length === 0 ? '' : ` set { ${changes.join(' ')} }`;
  return `allow to ${to} prefix { ${nets} }${set}`;
}

const indented = (text: string): string => text.replace(/^/gm, '  ');

const config = (passwords: Readonly<Record<number, string>> = {}) => `
AS ${ASN}
router-id 10.254.0.100
fib-update no
holdtime 30
connect-retry 1
reject as-set no
${originatedOver(wires)
  .map((prefix) => `network ${prefix}`)
  .join('\n')}
network 20.1.2.0/24
network 2001:db8:2002::/48
group ranged {
${wires
  .filter(({ n }) => n === 9)
  .map((wire) => indented(neighbour(wire)))
  .join('\n')}
}
${wires
  .filter(({ n }) => n !== 9)
  .map((wire) => neighbour(wire, passwords[wire.n]))
  .join('\n')}
neighbor 2001:db8:2:: {
  descr "w2"
  remote-as 65001
  local-address 2001:db8:2::1
}
neighbor 10.254.0.1 {
  descr "w23"
  remote-as 65001
  local-address 10.254.0.100
  multihop 3
}
${outsidersOfPeer
  .map(
    ({ n, asn }) =>
      `neighbor ${theirs(n)} {\n  descr "x${n}"\n  remote-as ${asn}\n  local-address ${ours(n)}\n}`,
  )
  .join('\n')}
allow from any
match from any community GRACEFUL_SHUTDOWN set { localpref 0 }
deny to any
${wires.map(filters).join('\n')}
allow to 2001:db8:2:: prefix 2001:db8:2002::/48
allow to 10.254.0.1 prefix { 20.31.0.0/16 or-longer }
allow to 10.255.70.0 prefix { 10.0.0.0/8 or-longer }
`;

const bystander = `
AS 65102
router-id 10.254.0.102
fib-update no
neighbor 10.255.93.0 {
  remote-as 65001
  passive
  down
}
`;

export const fabric = fleetOf(
  'mxobgpd',
  wires,
  { kind: 'openbgpd', config: config() },
  { kind: 'openbgpd', config: bystander },
);

/** bgpctl of a node; its words whatever the exit code. */
export const bgpctl = (...words: string[]): Promise<string> =>
  fabric
    .inside('p', 'bgpctl', '-s', `${fabric.directory('p')}/bgpd.sock`, ...words)
    .then(({ stdout, stderr }) => `${stdout}${stderr}`);

// biome-ignore lint/suspicious/noExplicitAny: bgpctl has a shape of its own for every question.
type Json = any;

const names: Record<string, string> = {
  GRACEFUL_SHUTDOWN: '65535:0',
  BLACKHOLE: '65535:666',
  NO_EXPORT: '65535:65281',
  NO_ADVERTISE: '65535:65282',
};

function seenOf(path: Json): Seen {
  const of = (type: string): Json => (path.attributes ?? []).find((one: Json) => one.type === type);
  const aggregator = of('Aggregator');
  const otc = of('OTC');
  return {
    text: JSON.stringify(path),
    from: path.neighbor?.description ?? '',
    asPath: path.aspath,
    nextHop: path.exit_nexthop,
    origin: path.origin.toLowerCase(),
    med: path.metric,
    localPref: path.localpref,
    ...(otc && { otc: otc.as }),
    communities: (path.communities ?? []).map((one: string) => names[one] ?? one),
    largeCommunities: path.large_communities ?? [],
    extendedCommunities: (path.extended_communities ?? []).map((one: string) => one.replace(' ', ':')),
    originator: of('Originator Id')?.originator ?? '',
    clusters: of('Cluster Id List')?.cluster_list ?? [],
    aggregator: aggregator === undefined ? '' : `${aggregator.AS} ${aggregator.router_id}`,
    atomic: of('Atomic Aggregate') !== undefined,
  };
}

const addresses: Record<number, string> = { 2: '2001:db8:2::', 23: '10.254.0.1' };
export const addressOf = (n: number): string => addresses[n] ?? ours(n);

const passwords: Record<number, string> = {};

export const eye: Eye = {
  fabric,
  wires,
  takes: async (n, prefix) => {
    const text = await bgpctl('-j', 'show', 'rib', 'detail', 'neighbor', addressOf(n), prefix);
    return (JSON.parse(text).rib ?? []).map(seenOf);
  },
  takes2: async () => [],
  tells: (n, prefix) => bgpctl('show', 'rib', 'out', 'neighbor', addressOf(n), prefix),
  session: (n) => bgpctl('-j', 'show', 'neighbor', addressOf(n)),
  up: '"state": "Established"',
  log: () => readFileSync(`${fabric.directory('p')}/bgpd.log`, 'utf8'),
  refresh: (n) => bgpctl('neighbor', addressOf(n), 'refresh'),
  stop: (n, text) => bgpctl('neighbor', addressOf(n), 'down', text),
  withdraw: () => bgpctl('network', 'delete', '20.1.2.0/24'),
  announce: () => bgpctl('network', 'add', '20.1.2.0/24'),
  password: async (n, text) => {
    passwords[n] = text;
    const file = `${fabric.directory('p')}/bgpd.conf`;
    const socket = readFileSync(file, 'utf8').split('\n')[0]!;
    writeFileSync(file, `${socket}\n${config(passwords)}`);
    await bgpctl('reload');
    // "After changing keys, a session needs to be reset to use the new keys."
    await bgpctl('neighbor', addressOf(n), 'clear');
  },
};
