// The fleet around ExaBGP, which has no table: it announces what its file says and hands what it hears to a program,
// as JSON. Its side of a cell is that record, replayed.

import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { runOrThrow, scratchFile } from '../../support/fabric.ts';
import type { Eye, Seen } from './cells.ts';
import { ASN, fleetOf, originatedOver, type Words, wiresWith } from './fleet.ts';
import { ours, theirs } from './star.ts';

const words: Words = {
  ...Object.fromEntries([3, 4, 50, 55, 56].map((n) => [n, false])),
  9: { peer: {} },
};

export const wires = wiresWith(words);

const record = scratchFile('exabgp-hears.json', '');
const commands = scratchFile('exabgp-is-told.txt', '');
const script = scratchFile(
  'exabgp-record.sh',
  `tail -n 0 -f ${commands} & said=$!
while read -r line; do printf '%s\\n' "$line" >> ${record}; done
kill $said`,
);

/** Says something to the ExaBGP that runs now; one started later does not hear of it. */
export const say = (words: string): void => appendFileSync(commands, `${words}\n`);

/** A flow specification, whose sections it wants on lines of their own. */
const flow = (name: string, match: string, more = ''): string =>
  ` route ${name} {\n${more}\n match {\n${match.replaceAll('; ', ';\n')}\n }\n then {\n discard;\n }\n }`;

/** What stands behind a wire's neighbour and its routes. */
const options: Record<number, string> = {
  1: 'hold-time 12;',
  5: 'md5-password right;',
  6: 'md5-password other;',
  7: 'md5-password first;',
  8: 'md5-password ranged;',
  9: 'passive true;',
  10: 'outgoing-ttl 255; incoming-ttl 255;',
  11: 'outgoing-ttl 1;',
  13: 'passive true;',
  // VPN routes as `static`: from `announce { ipv4 { mpls-vpn … } }` 4.2.21 puts label and distinguisher into the NLRI
  // of IPv4 unicast, of 112 bits, which rightly ends the session with 3/10.
  70: `static {
 route 20.70.9.0/24 next-hop ${theirs(70)} rd 65000:70 label 700 extended-community [ target:65000:70 ];
 route 2001:db8:7009::/48 next-hop 2001:db8:2::1 rd 65000:70 label 701 extended-community [ target:65000:70 ];
 }
 flow {
${[
  flow('four', 'destination 20.70.3.0/24; protocol udp;'),
  flow('six', 'destination 2001:db8:7003::/48; next-header udp;'),
  flow('toward-vpn', 'destination 20.70.2.0/24; protocol tcp;', 'rd 65000:70;'),
].join('\n')}
 }`,
  34: 'capability { add-path receive; }',
  35: 'capability { add-path receive; }',
  36: 'capability { add-path send; }',
  38: 'capability { extended-message enable; }',
  39: 'capability { asn4 disable; }',
  49: 'capability { route-refresh enable; }',
  80: 'capability { graceful-restart 20; }',
};
const bandwidth = (hex: string) => `extended-community [ 0x4004fde8${hex} ]`;
const attributes: Record<number, string> = {
  18: 'as-path [ 65000 65001 ]',
  19: 'as-path [ 65000 65001 ]',
  33: 'community [ 65535:0 ]',
  38: `community [ ${Array.from({ length: 1300 }, (_, i) => `65000:${i + 1}`).join(' ')} ]`,
  39: 'as-path [ 65000 4200000002 ]',
  40: bandwidth('4b3ebc20'),
  41: bandwidth('4bbebc20'),
  45: 'community [ 65535:666 ]',
  46: 'as-path [ 65000 65025 ( 65090 65091 ) ]',
  47: 'as-path [ 65000 65025 ( 65090 65091 ) ]',
  48: 'atomic-aggregate aggregator ( 65000:10.254.0.100 )',
  51: 'community [ 65000:51 ] large-community [ 65000:5:1 ] extended-community [ target:65000:51 origin:65000:51 ]',
  70: 'aigp 70',
};
const asnOf: Record<string, number> = { a: 65001, b: ASN, c: ASN, k: 65009 };

const own = originatedOver(wires);
const told = (n: number, hears: readonly string[] = []) =>
  own.filter((prefix) => prefix.startsWith(`20.${n}.`) || hears.some((one) => sameNet(one, prefix)));
const sameNet = (one: string, prefix: string): boolean => {
  const [net, length] = one.split('/') as [string, string];
  return length === '16' ? prefix.startsWith(`${net.split('.').slice(0, 2).join('.')}.`) : one === prefix;
};

const neighbour = (
  remote: string,
  local: string,
  asn: number,
  more: string,
  families: string,
  routes: string[],
) =>
  `neighbor ${remote} { router-id 10.254.0.100; local-address ${local}; local-as ${ASN}; peer-as ${asn};
  ${more.includes('hold-time') ? '' : 'hold-time 30;'} ${more}
  family { ${families} } api { processes [ record ]; neighbor-changes; receive { parsed; update; notification; refresh; } }
  announce { ${routes.join('\n')} } }`;

/** One prefix three times over wire 36. */
const several = [5, 6, 7].map(
  (i) =>
    `ipv4 { unicast 34.36.1.0/24 next-hop ${theirs(36)} path-information 0.0.0.${i} as-path [ 65000 6502${i} ]; }`,
);

const opaque = 'ipv4 unicast; ipv4 mpls-vpn; ipv6 mpls-vpn; ipv4 flow; ipv6 flow; ipv4 flow-vpn; l2vpn evpn;';

const extended = 'capability { nexthop true; } nexthop { ipv4 unicast ipv6; }';

const config = `
process record { run /bin/sh ${script}; encoder json; }
${wires
  .map(({ n, node, remoteAs, hears }) => {
    const more = attributes[n] ?? '';
    const routes = [...told(n, hears), ...(n === 46 || n === 47 ? ['34.46.1.0/24'] : [])].map(
      (prefix) => `ipv4 { unicast ${prefix} next-hop ${theirs(n)} ${more}; }`,
    );
    if (n === 36) routes.push(...several);
    const asn = remoteAs ?? asnOf[node]!;
    return neighbour(
      n === 9 ? `${ours(n)}/31` : ours(n),
      theirs(n),
      asn,
      options[n] ?? '',
      n === 70 ? opaque : 'ipv4 unicast;',
      routes,
    );
  })
  .join('\n')}
${neighbour('2001:db8:2::', '2001:db8:2::1', 65001, extended, 'ipv4 unicast; ipv6 unicast;', [
  'ipv6 { unicast 2001:db8:2002::/48 next-hop 2001:db8:2::1; }',
  'ipv4 { unicast 20.2.1.0/24 next-hop 2001:db8:2::1; }',
])}
${neighbour('10.254.0.1', '10.254.0.100', 65001, 'outgoing-ttl 3;', 'ipv4 unicast;', [])}
`;

const idle = `neighbor ${ours(91)} { router-id 10.254.0.102; local-address ${theirs(91)}; local-as 65102; peer-as 65101; }`;

export const fabric = fleetOf('mxexa', wires, { kind: 'exabgp', config }, { kind: 'exabgp', config: idle });

// biome-ignore lint/suspicious/noExplicitAny: JSON of another program.
type Loose = any;

const messages = (): Loose[] =>
  readFileSync(record, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('{') && line.endsWith('}'))
    // Of a refresh it writes ""ipv4"".
    .map((line) => JSON.parse(line.replaceAll(/\p{Cc}/gu, ' ').replaceAll(/""(\w+)""/g, '"$1"')));

const remoteOf = (n: number): string => (n === 2 ? '2001:db8:2::' : n === 23 ? '10.254.0.1' : ours(n));
const join = (list: Loose[] = []): string[] => list.map((one) => [one].flat().join(':'));

function seenOf(attribute: Loose, nextHop: string, text: string): Seen {
  const segments = Object.values((attribute['as-path'] ?? {}) as Record<string, Loose>);
  const asPath = segments.every((one) => typeof one === 'number')
    ? segments.join(' ')
    : segments.map((one) => one.value.join(' ')).join(' ');
  return {
    ...{ text, nextHop, asPath, from: '', origin: attribute.origin ?? '' },
    ...(attribute.med !== undefined && { med: attribute.med }),
    ...(attribute['local-preference'] !== undefined && { localPref: attribute['local-preference'] }),
    communities: join(attribute.community),
    largeCommunities: join(attribute['large-community']),
    extendedCommunities: (attribute['extended-community'] ?? []).map((one: Loose) =>
      String(one.string)
        .replace('target:', 'rt:')
        .replace(/^origin:(\d+):0\.0\.0\.(\d+)$/, 'soo:$1:$2'),
    ),
    originator: attribute['originator-id'] ?? '',
    clusters: attribute['cluster-list'] ?? [],
    aggregator: String(attribute.aggregator ?? '').replace(':', ' '),
    atomic: attribute['atomic-aggregate'] === true,
  };
}

/** What is left of a neighbour's updates of a prefix after its withdrawals. */
function heard(n: number, prefix: string): Seen[] {
  const paths = new Map<string, Seen>();
  for (const { type, neighbor } of messages()) {
    if (neighbor?.address?.peer !== remoteOf(n)) continue;
    if (type === 'state' && neighbor.state === 'down') paths.clear();
    const update = neighbor.message?.update;
    if (update === undefined) continue;
    for (const list of Object.values((update.withdraw ?? {}) as Record<string, Loose[]>))
      for (const one of list) if (one.nlri === prefix) paths.delete(one['path-information'] ?? '');
    for (const byHop of Object.values((update.announce ?? {}) as Record<string, Record<string, Loose[]>>))
      for (const [hop, list] of Object.entries(byHop))
        for (const one of list)
          if (one.nlri === prefix) {
            const text = JSON.stringify({ ...update.attribute, ...one });
            paths.set(one['path-information'] ?? '', seenOf(update.attribute ?? {}, hop, text));
          }
  }
  return [...paths.values()];
}

/** The process of the last session with a neighbour that came up. */
export const processOf = (n: number): number | undefined =>
  messages()
    .filter(({ type, neighbor }) => type === 'state' && neighbor.address.peer === remoteOf(n))
    .findLast(({ neighbor }) => neighbor.state === 'up')?.pid;

/** All it heard of a neighbour, as it wrote it. */
export const everything = (n: number): string =>
  JSON.stringify(messages().filter(({ neighbor }) => neighbor?.address?.peer === remoteOf(n)));

export const eye: Eye = {
  fabric,
  wires,
  takes: async (n, prefix) => heard(n, prefix),
  takes2: async () => [],
  tells: async (n, prefix) =>
    config.includes(`unicast ${prefix} next-hop ${n === 2 ? '2001' : theirs(n)}`) ? prefix : '',
  session: async (n) => {
    const states = messages().filter(
      ({ type, neighbor }) => type === 'state' && neighbor.address.peer === remoteOf(n),
    );
    return `state ${states.at(-1)?.neighbor.state ?? 'none'}`;
  },
  up: 'state up',
  log: () => readFileSync(`${fabric.directory('p')}/exabgp.log`, 'utf8'),
  refresh: async () => {},
  stop: async () => {},
  withdraw: async () => {},
  announce: async () => {},
  password: async (_, text) => {
    const file = `${fabric.directory('p')}/exabgp.conf`;
    writeFileSync(file, readFileSync(file, 'utf8').replace('md5-password first;', `md5-password ${text};`));
    await runOrThrow(['kill', '-USR1', String(await fabric.pid('p'))]);
  },
};
