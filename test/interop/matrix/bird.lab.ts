// The fleet around BIRD: its configuration from the wires, and how its own words (`birdc show route all`) are read.

import { readFileSync, writeFileSync } from 'node:fs';
import { runOrThrow } from '../../support/fabric.ts';
import type { Eye, Seen } from './cells.ts';
import { ASN, fleetOf, originatedOver, outsidersOfPeer, type Words, wiresWith } from './fleet.ts';
import { ours, theirs, type Wire } from './star.ts';

/** Transitive: BIRD takes others off at the border. */
const bandwidth = (float: number) => [`bgp_ext_community.add((generic, 0x0004fde8, ${float}))`];
const loops = ['bgp_path.prepend(65001)'];

/** `words` are of the protocol, those that begin with `ch ` of its channels; `changes` stand in the export filter. */
const words: Words = {
  1: { words: ['hold time 12', 'keepalive time 4', 'advertise hostname on', 'enable route refresh on'] },
  3: { words: ['local role customer', 'allow local as 1'] },
  4: { words: ['local role customer'] },
  5: { words: ['password "right"'] },
  6: { words: ['password "other"'] },
  7: { words: ['password "first"'] },
  8: { words: ['password "ranged"'] },
  9: { words: ['password "listened"'] },
  10: { words: ['ttl security on'] },
  13: { words: ['passive on'] },
  18: { changes: loops },
  19: { changes: loops },
  30: { words: ['ch receive limit 2 action disable'] },
  33: { changes: ['bgp_community.add((65535, 0))'] },
  34: { words: ['ch add paths rx'] },
  35: { words: ['ch add paths rx'] },
  36: { words: ['ch add paths tx'] },
  38: { words: ['enable extended messages on'] },
  39: { words: ['enable as4 off'], changes: ['bgp_path.prepend(4200000002)'] },
  40: { changes: bandwidth(0x4b3ebc20) },
  41: { changes: bandwidth(0x4bbebc20) },
  44: { words: ['ch gateway recursive'] },
  45: { changes: ['bgp_community.add((65535, 666))'] },
  51: {
    changes: [
      'bgp_community.add((65000, 51))',
      'bgp_large_community.add((65000, 5, 1))',
      'bgp_ext_community.add((rt, 65000, 51))',
      'bgp_ext_community.add((ro, 65000, 51))',
    ],
  },
  52: { changes: ['bgp_community.add((65535, 65281))'] },
  53: { changes: ['bgp_community.add((65535, 65282))'] },
  55: { words: ['local role provider'] },
  56: { words: ['local role peer', 'allow local as 1'] },
  70: { words: ['rr client', 'ch aigp originate'] },
  71: { words: ['rr client'] },
  72: {
    words: ['rr client', 'ch add paths rx'],
    changes: ['if net = 33.68.1.0/24 then bgp_local_pref = 300'],
  },
  74: { words: ['rr client'] },
  75: { words: ['rr client'] },
  76: { words: ['rr client'] },
};

export const wires = wiresWith(words);

const asnOf: Record<string, number> = { a: 65001, b: ASN, c: ASN, k: 65009 };

const quick =
  'connect delay time 0; connect retry time 1; error wait time 1, 2; startup hold time 30; graceful restart on; ' +
  'long lived graceful restart on; long lived stale time 60;';

/** `10.1.0.0/16` of a wire stands for what is in it; a single prefix for itself. */
const pattern = (prefix: string) => (/\/(8|16)$/.test(prefix) ? `${prefix}+` : prefix);

function protocol({ n, node, words = [], changes = [], hears = [], remoteAs }: Wire): string {
  const channel = words.filter((word) => word.startsWith('ch ')).map((word) => `${word.slice(3)};`);
  const own = words.filter((word) => !word.startsWith('ch ')).map((word) => `${word};`);
  const nets = [`20.${n}.0.0/16`, ...hears].map(pattern).join(', ');
  const filter = `filter { if net ~ [ ${nets} ] then { ${changes.map((one) => `${one};`).join(' ')} accept; } reject; }`;
  const hold = own.some((word) => word.startsWith('hold')) ? '' : 'hold time 30; keepalive time 10;';
  const others =
    n !== 70
      ? ''
      : ['vpn4 mpls', 'vpn6 mpls', 'flow4', 'flow6']
          .map((family) => `${family} { import all; export all; };`)
          .join(' ');
  const neighbour =
    n === 9
      ? `neighbor range ${ours(n)}/31 as ${asnOf[node]}; dynamic name "w9_";`
      : `neighbor ${ours(n)} as ${remoteAs ?? asnOf[node]};`;
  return `protocol bgp w${n} { local ${theirs(n)} as ${ASN}; ${neighbour} ${hold} ${quick} ${own.join(' ')}
  ipv4 { import all; ${channel.join(' ')} export ${filter}; }; ${others} }`;
}

const config = (passwords: Readonly<Record<number, string>> = {}) => `
log "/dev/stdout" all;
debug protocols { states, events };
router id 10.254.0.100;
mpls table mtab;
ipv4 table master4; ipv6 table master6;
vpn4 table vpntab4; vpn6 table vpntab6; flow4 table flowtab4; flow6 table flowtab6;
protocol device { scan time 2; }
protocol direct { ipv4; ipv6; interface "*"; }
protocol static statics { ipv4;
${originatedOver(wires)
  .map((prefix) => `  route ${prefix} blackhole${prefix === '20.70.1.0/24' ? ' { igp_metric = 70; }' : ''};`)
  .join('\n')}
}
protocol static ways { ipv4; route 10.255.63.0/24 via ${ours(70)}; route 10.255.66.0/24 via ${ours(71)};
  route 10.255.68.0/24 via ${ours(71)}; route 10.254.0.1/32 via ${ours(1)}; }
protocol static coming { ipv4; route 20.1.2.0/24 blackhole; }
protocol static six { ipv6; route 2001:db8:2002::/48 blackhole; }
protocol static flows4 { flow4; route flow4 { dst 20.70.3.0/24; proto = 17; dport = 53; }; }
protocol static flows6 { flow6; route flow6 { dst 2001:db8:7003::/48; next header = 17; }; }
${wires
  .map((wire) => {
    const password = passwords[wire.n];
    if (password === undefined) return protocol(wire);
    return protocol({ ...wire, words: [`password "${password}"`] });
  })
  .join('\n')}
protocol bgp w2 { local 2001:db8:2::1 as ${ASN}; neighbor 2001:db8:2:: as 65001; ${quick}
  ipv4 { extended next hop; import all; export filter { if net = 20.1.1.0/24 then accept; reject; }; };
  ipv6 { import all; export filter { if net ~ [ 2001:db8:2002::/48 ] then accept; reject; }; }; }
protocol bgp w23 { local 10.254.0.100 as ${ASN}; neighbor 10.254.0.1 as 65001; multihop 3; ${quick}
  ipv4 { import all; export filter { if net ~ [ 20.31.0.0/16+ ] then accept; reject; }; }; }
${outsidersOfPeer
  .map(
    ({
      n,
      asn,
    }) => `protocol bgp x${n} { local ${ours(n)} as ${ASN}; neighbor ${theirs(n)} as ${asn}; ${quick}
  ipv4 { import all; export none; }; }`,
  )
  .join('\n')}
`;

const member = (n: number, asn: number, more: string, filter = 'all') =>
  `protocol bgp w${n} { local ${theirs(n)} as 65102; neighbor ${ours(n)} as ${asn}; ${quick} graceful restart time 6;
  hold time 30; confederation 65100; ${more} ipv4 { import all; export ${filter}; }; }`;

const preferring = 'filter { if net = 20.90.1.0/24 then bgp_local_pref = 250; accept; }';
const config2 = `
log "/dev/stdout" all;
router id 10.254.0.102;
protocol device { scan time 2; }
protocol direct { ipv4; interface "*"; }
protocol static { ipv4; route 20.90.1.0/24 blackhole; }
${member(91, 65101, 'confederation member on;', preferring)}
${member(92, 65102, 'confederation member on;')}
${member(93, 65001, '', 'filter { if net ~ [ 10.255.0.0/16+ ] then reject; accept; }')}
`;

export const fabric = fleetOf(
  'mxbird',
  wires,
  { kind: 'bird', config: config() },
  { kind: 'bird', config: config2 },
);

/** birdc of a node; its words whatever the exit code. */
export const birdc = (node: string, ...words: string[]): Promise<string> =>
  fabric
    .inside(node, 'birdc', '-s', `${fabric.directory(node)}/bird.ctl`, ...words)
    .then(({ stdout }) => stdout);

const pairs = (text: string | undefined): string[] =>
  [...(text ?? '').matchAll(/\(([^)]*)\)/g)].map(([, inner]) => inner!.split(/,\s*/).join(':'));

/** The paths in `show route all`: each begins with its kind and the protocol in brackets. */
export function pathsOf(text: string): Seen[] {
  return text
    .split(/^(?=\S.*\[|\s+(?:unicast|blackhole|unreachable|prohibit) \[)/m)
    .filter((block) => block.includes('Type:'))
    .map((block) => {
      const whole = block.replace(/\n\t\t/g, ' ');
      const field = (name: string) => new RegExp(`^\\s+BGP\\.${name}: ?(.*)$`, 'm').exec(whole)?.[1]?.trim();
      const med = field('med');
      const localPref = field('local_pref');
      const otc = field('otc');
      return {
        text: block,
        from: /\[(\S+) /.exec(block)?.[1] ?? '',
        asPath: field('as_path') ?? '',
        nextHop: field('next_hop') ?? '',
        origin: (field('origin') ?? '').toLowerCase(),
        ...(med !== undefined && { med: Number(med) }),
        ...(localPref !== undefined && { localPref: Number(localPref) }),
        ...(otc !== undefined && { otc: Number(otc) }),
        communities: pairs(field('community')),
        largeCommunities: pairs(field('large_community')),
        extendedCommunities: pairs(field('ext_community')).map((one) => one.replace(/^ro:/, 'soo:')),
        originator: field('originator_id') ?? '',
        clusters: (field('cluster_list') ?? '').split(' ').filter((one) => one !== ''),
        aggregator: (field('aggregator') ?? '').replace(/^(\S+) AS(\d+)$/, '$2 $1'),
        atomic: /BGP\.atomic_aggr/.test(block),
      };
    });
}
const passwords: Record<number, string> = {};

export const eye: Eye = {
  fabric,
  wires,
  takes: async (n, prefix) =>
    pathsOf(await birdc('p', 'show', 'route', 'for', prefix, 'all', 'protocol', `w${n}`)),
  tells: (n, prefix) => birdc('p', 'show', 'route', 'for', prefix, 'all', 'export', `w${n}`),
  // The session of a range is named after it.
  session: (n) => birdc('p', 'show', 'protocols', 'all', n === 9 ? 'w9_1' : `w${n}`),
  up: 'BGP state:          Established',
  takes2: async (prefix) => pathsOf(await birdc('p2', 'show', 'route', 'for', prefix, 'all')),
  log: () => readFileSync(`${fabric.directory('p')}/bird.log`, 'utf8'),
  refresh: (n) => birdc('p', 'reload', 'in', `w${n}`),
  stop: (n, text) => birdc('p', 'disable', `w${n}`, `"${text}"`),
  withdraw: async () => {
    await birdc('p', 'disable', 'coming');
  },
  announce: async () => {
    await birdc('p', 'enable', 'coming');
  },
  password: async (n, text) => {
    passwords[n] = text;
    writeFileSync(`${fabric.directory('p')}/bird.conf`, config(passwords));
    const said = await birdc('p', 'configure');
    if (!/Reconfigur/.test(said)) throw new Error(said);
  },
};

/** Whether BIRD likes a configuration; its complaint if not. */
export const judged = (file: string): Promise<string> => runOrThrow(['bird', '-p', '-c', file]);
export { config, config2 };
