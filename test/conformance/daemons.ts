// The daemons that can be put to the test: how each is told of the same neighbours and started in the namespace of
// the bed. Attackers come from ranges of addresses, a fresh one after every reset, so that no idle hold time stands
// between two cases; watchers and the canary are passive neighbours.

import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DAEMON, EXTERNAL_AS, LOCAL_AS } from './case.ts';

export type DaemonName = 'leafd' | 'frr' | 'bird' | 'gobgp' | 'openbgpd';
export const DAEMONS: readonly DaemonName[] = ['leafd', 'frr', 'bird', 'gobgp', 'openbgpd'];

export interface DaemonRun {
  readonly files: Readonly<Record<string, string>>;
  /** In the order they start; the last one is the daemon under test. */
  readonly commands: readonly { argv: readonly string[]; ready?: string }[];
  /** Run when all are ready. */
  readonly load?: readonly string[];
  readonly owner?: string;
}

export interface Neighbour {
  readonly name: string;
  readonly address: string;
  readonly asn: number;
  readonly client?: boolean;
}

export const WATCHERS = {
  external: { name: 'external', address: '10.96.0.21', asn: 65009 },
  internal: { name: 'internal', address: '10.96.0.22', asn: LOCAL_AS, client: true },
  old: { name: 'old', address: '10.96.0.23', asn: 65010 },
} as const satisfies Record<string, Neighbour>;
export const CANARY: Neighbour = { name: 'canary', address: '10.96.0.31', asn: 65020 };
const neighbours: readonly Neighbour[] = [...Object.values(WATCHERS), CANARY];

/** Ranges the attackers come from. */
export interface AttackerRange {
  readonly name: string;
  /** The first two bytes of the addresses. */
  readonly start: string;
  readonly range: string;
  readonly asn: number;
  /** What the daemon is to these peers (RFC 9234). */
  readonly role?: 'provider' | 'peer' | 'customer';
}

const attackers = (
  name: string,
  start: string,
  asn: number,
  role?: AttackerRange['role'],
): AttackerRange => ({
  ...{ name, start, range: `${start}.0.0/16`, asn },
  ...(role === undefined ? {} : { role }),
});

export const RANGES = {
  external: attackers('ext', '10.97', EXTERNAL_AS),
  internal: attackers('int', '10.98', LOCAL_AS),
  customer: attackers('cust', '10.99', 65011, 'provider'),
  peering: attackers('peering', '10.100', 65012, 'peer'),
  provider: attackers('prov', '10.101', 65013, 'customer'),
} as const satisfies Record<string, AttackerRange>;
const ranges: readonly AttackerRange[] = Object.values(RANGES);

const allFamilies = [
  ['ipv4', 'ipv6', 'vpnv4', 'vpnv6', 'evpn', 'rtc'],
  ['flowspec4', 'flowspec6', 'flowspecVpn4', 'flowspecVpn6'],
].flat();

export function daemonRun(name: DaemonName, directory: string): DaemonRun {
  if (name === 'frr') return frr(directory);
  if (name === 'bird') return bird(directory);
  if (name === 'gobgp') return gobgp(directory);
  return name === 'openbgpd' ? openbgpd(directory) : leafd(directory);
}

/** The checkout whose build is tested; another one can be named to test a snapshot. */
const checkout = process.env.LEAFD_CONFORMANCE_TREE ?? fileURLToPath(new URL('../..', import.meta.url));

// The richest configuration that this build takes: add-path and the further families where it has them.
function leafd(directory: string): DaemonRun {
  const config = join(directory, 'leafd.json.yaml');
  const make = (families: readonly string[], more: object, roles = true) => {
    const options = { families, timers: { hold: '90s' }, ...more };
    return JSON.stringify({
      node: { name: 'dut' },
      kernel: { fib: false },
      bgp: {
        asn: LOCAL_AS,
        routerId: DAEMON,
        profile: 'fabric',
        peers: [
          ...ranges.map(({ name, range, asn, role }) => ({
            ...{ name, range, remoteAs: asn, maxPeers: 5000, ...options },
            ...(role === undefined || !roles ? {} : { role }),
          })),
          ...neighbours.map(({ name, address, asn, client }) => ({
            ...{ name, address, remoteAs: asn, passive: true, ...options },
            ...(client === true ? { routeReflectorClient: true } : {}),
          })),
        ],
      },
    });
  };
  const check = (text: string) => {
    writeFileSync(config, text);
    return spawnSync(join(checkout, 'bin/leafctl'), ['check', config]).status === 0;
  };
  const addPath = { addPath: { receive: true } };
  const choices = [
    make(allFamilies, addPath),
    make(allFamilies, {}),
    make(['ipv4', 'ipv6'], addPath),
    make(['ipv4', 'ipv6'], {}, false),
  ];
  const socket = join(directory, 'leafd.sock');
  const options = ['--config', config, '--socket', socket, '--state', join(directory, 'state')];
  return {
    files: { [config]: choices.find(check) ?? choices.at(-1)! },
    commands: [{ argv: [join(checkout, 'bin/leafd'), ...options], ready: socket }],
  };
}

function frr(directory: string): DaemonRun {
  const config = join(directory, 'frr.conf');
  const lines = (name: string, asn: number) => [
    ` neighbor ${name} remote-as ${asn}`,
    ` neighbor ${name} advertisement-interval 0`,
    ...(name.includes('.') ? [` neighbor ${name} passive`] : []),
  ];
  const family = (words: string) => [
    ` address-family ${words}`,
    ...ranges.map(({ name }) => `  neighbor ${name} activate`),
    ...neighbours.flatMap(({ address, client }) => [
      `  neighbor ${address} activate`,
      ...(client === true ? [`  neighbor ${address} route-reflector-client`] : []),
    ]),
    ' exit-address-family',
  ];
  const text = [
    'frr defaults traditional',
    'hostname dut',
    `router bgp ${LOCAL_AS}`,
    ` bgp router-id ${DAEMON}`,
    ' no bgp ebgp-requires-policy',
    ' no bgp default ipv4-unicast',
    ' no bgp network import-check',
    ' coalesce-time 10',
    ' bgp listen limit 5000',
    ...ranges.flatMap(({ name, asn, role }) => [
      ` neighbor ${name} peer-group`,
      ...lines(name, asn),
      ...(role === undefined ? [] : [` neighbor ${name} local-role ${role}`]),
    ]),
    ...ranges.map(({ name, range }) => ` bgp listen range ${range} peer-group ${name}`),
    ...neighbours.flatMap(({ address, asn }) => lines(address, asn)),
    ...['ipv4 unicast', 'ipv6 unicast', 'ipv4 vpn', 'ipv6 vpn', 'l2vpn evpn'].flatMap(family),
    ...['ipv4 flowspec', 'ipv6 flowspec'].flatMap(family),
    'exit',
    '',
  ];
  const daemon = (program: string) => ({
    argv: [
      `/usr/lib/frr/${program}`,
      ...['--vty_socket', directory, '-z', join(directory, 'zserv.api')],
      ...['-i', join(directory, `${program}.pid`), '--log', 'stdout'],
    ],
    ready: join(directory, `${program}.vty`),
  });
  return {
    files: { [config]: text.join('\n') },
    commands: [daemon('zebra'), daemon('bgpd')],
    load: ['vtysh', '--vty_socket', directory, '-f', config],
    owner: 'frr',
  };
}

function bird(directory: string): DaemonRun {
  const config = join(directory, 'bird.conf');
  const socket = join(directory, 'bird.ctl');
  const channel = (name: string, table = '') =>
    `${name} { ${table} import all; export where source = RTS_BGP; };`;
  const text = [
    `router id ${DAEMON};`,
    'vpn4 table vpn4t; vpn6 table vpn6t; flow4 table flow4t; flow6 table flow6t;',
    'protocol device {}',
    'protocol direct { ipv4; ipv6; }',
    'template bgp dut {',
    `  local ${DAEMON} as ${LOCAL_AS};`,
    `  ${channel('ipv4')} ${channel('ipv6')}`,
    `  ${channel('vpn4 mpls', 'table vpn4t;')} ${channel('vpn6 mpls', 'table vpn6t;')}`,
    `  ${channel('flow4', 'table flow4t;')} ${channel('flow6', 'table flow6t;')}`,
    '  enable extended messages on;',
    '}',
    ...ranges.map(
      ({ name, range, asn, role }) =>
        `protocol bgp to_${name} from dut { neighbor range ${range} as ${asn}; direct; dynamic name "${name}"; ` +
        `${role === undefined ? '' : `local role ${role}; `}}`,
    ),
    ...neighbours.map(
      ({ name, address, asn, client }) =>
        `protocol bgp to_${name} from dut { neighbor ${address} as ${asn}; direct; passive; ` +
        `${client === true ? 'rr client; ' : ''}}`,
    ),
    '',
  ];
  return {
    files: { [config]: text.join('\n') },
    commands: [
      {
        argv: ['bird', '-f', '-c', config, '-s', socket, '-P', join(directory, 'bird.pid')],
        ready: socket,
      },
    ],
  };
}

function gobgp(directory: string): DaemonRun {
  const config = join(directory, 'gobgpd.json');
  const names = ['ipv4-unicast', 'ipv6-unicast', 'l3vpn-ipv4-unicast', 'l3vpn-ipv6-unicast', 'l2vpn-evpn'];
  names.push('ipv4-flowspec', 'ipv6-flowspec', 'l3vpn-ipv4-flowspec', 'l3vpn-ipv6-flowspec');
  const session = {
    'afi-safis': names.map((name) => ({ config: { 'afi-safi-name': name } })),
    'error-handling': { config: { 'treat-as-withdraw': true } },
    timers: { config: { 'hold-time': 90, 'idle-hold-time-after-reset': 1, 'connect-retry': 1 } },
    transport: { config: { 'passive-mode': true } },
  };
  const text = {
    global: { config: { as: LOCAL_AS, 'router-id': DAEMON } },
    'peer-groups': ranges.map(({ name, asn }) => ({
      config: { 'peer-group-name': name, 'peer-as': asn },
      ...session,
    })),
    'dynamic-neighbors': ranges.map(({ name, range }) => ({ config: { prefix: range, 'peer-group': name } })),
    neighbors: neighbours.map(({ address, asn, client }) => ({
      config: { 'neighbor-address': address, 'peer-as': asn },
      ...session,
      ...(client === true
        ? {
            'route-reflector': {
              config: { 'route-reflector-client': true, 'route-reflector-cluster-id': DAEMON },
            },
          }
        : {}),
    })),
  };
  return {
    files: { [config]: JSON.stringify(text) },
    commands: [
      { argv: ['gobgpd', '-f', config, '-t', 'json', '--api-hosts', '127.0.0.1:50051', '--log-plain'] },
    ],
  };
}

// 7.7 has neither EVPN nor FlowSpec that its parser would take from a neighbour.
function openbgpd(directory: string): DaemonRun {
  const config = join(directory, 'bgpd.conf');
  const socket = join(directory, 'bgpd.sock');
  const families = 'announce IPv4 unicast\nannounce IPv6 unicast\nannounce IPv4 vpn\nannounce IPv6 vpn';
  const text = [
    `socket "${socket}"`,
    `AS ${LOCAL_AS}`,
    `router-id ${DAEMON}`,
    'fib-update no',
    `listen on ${DAEMON}`,
    ...ranges.map(({ range, asn }) => `neighbor ${range} {\nremote-as ${asn}\n${families}\n}`),
    ...neighbours.map(
      ({ address, asn, client }) =>
        `neighbor ${address} {\nremote-as ${asn}\npassive\n${families}\n${client === true ? 'route-reflector\n' : ''}}`,
    ),
    'allow from any',
    'allow to any',
    '',
  ];
  return {
    files: { [config]: text.join('\n') },
    commands: [{ argv: ['/usr/sbin/bgpd', '-d', '-f', config], ready: socket }],
  };
}

/** The Debian package that has the daemon, when it is missing. */
export function missingPackage(name: DaemonName): string | undefined {
  const programs: Record<DaemonName, [path: string, debianPackage: string]> = {
    leafd: [join(checkout, 'dist/leafd.js'), 'leafd itself: npm run build'],
    frr: ['/usr/lib/frr/bgpd', 'frr'],
    bird: ['/usr/sbin/bird', 'bird2'],
    gobgp: ['/usr/bin/gobgpd', 'gobgpd'],
    openbgpd: ['/usr/sbin/bgpd', 'openbgpd'],
  };
  return existsSync(programs[name][0]) ? undefined : programs[name][1];
}
