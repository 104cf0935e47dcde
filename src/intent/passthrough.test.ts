// What a passthrough section comes to: its own part, and the peers and networks that it adds to bgp. What is refused
// of it is in test/bad-config; here also what is only warned of.

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { formatIp } from '../net/ip.ts';
import { prefixText } from '../net/prefix.ts';
import type { Intent } from './intent.ts';
import { type LoadResult, loadConfig, problemLines } from './load.ts';
import type { InterfaceAddress, PassthroughIntent } from './passthrough.ts';

const load = (...texts: string[]): LoadResult =>
  loadConfig(
    texts.map((text, index) => ({ file: `${index}.yaml`, text })),
    { hostname: 'node1' },
  );

function taken(...texts: string[]): Intent {
  const { intent, problems } = load(...texts);
  expect(problemLines(problems)).toEqual([]);
  return intent!;
}

const fabric = (peers: string) => `bgp: {asn: 64514, routerId: 10.0.0.1, peers: [${peers}]}\n`;
const head = fabric('{interface: eth1, remoteAs: 64512}');
const cidr = 'localCIDR: {ipv4: 192.169.10.0/24, ipv6: "fd00:10::/64"}';
const speaking = (speakers: string, more = cidr) =>
  taken(`${head}passthrough: {uplinks: [eth1], ${more}, speakers: [${speakers}]}`);

const warningsOf = (text: string) => problemLines(load(text).warnings);

const addressText = ({ bytes, prefixLength }: InterfaceAddress) => `${formatIp(bytes)}/${prefixLength}`;
const vethOf = ({ veth }: PassthroughIntent) => ({
  router: veth!.routerAddresses.map(addressText),
  host: veth!.hostAddresses.map(addressText),
});

/** Peers but those of the fabric, each in a line. */
const sessionsOf = ({ bgp }: Intent) =>
  bgp.peers
    .filter((peer) => peer.awaitMs !== undefined)
    .map(({ name, where, localAddress, families }) => {
      const to = where.kind === 'address' ? formatIp(where.address) : where.kind;
      return `${name}: ${formatIp(localAddress!)} to ${to}, ${families.join(' ')}`;
    });

test('defaults', () => {
  const { passthrough, bgp } = taken(`${head}passthrough: {}`);
  expect(passthrough).toEqual({
    netns: 'perouter',
    nodeIndex: 0,
    uplinks: [],
    speakers: [],
    confirmMs: 60_000,
    restoreOnStop: false,
  });
  expect(bgp.profile).toBe('fabric');
  expect(bgp.networks).toEqual([]);
  expect(taken(head).bgp.profile).toBeUndefined();
});

test('an uplink is a NIC that moves, or something on one that stays', () => {
  const { uplinks } = taken(`${head}passthrough:
  uplinks:
    - eth1
    - {interface: eth2, mtu: 9000}
    - {interface: eth0, mode: macvlan, addresses: [192.0.2.5/24, "fe80::5/64"]}
    - {interface: eth0, mode: vlan, vlan: 100}
    - {interface: eth0, mode: vlan, vlan: 101, name: storage}`).passthrough!;
  expect(uplinks.map(({ name, parent, mode, mtu }) => ({ name, parent, mode, mtu }))).toEqual([
    { name: 'eth1', parent: 'eth1', mode: { kind: 'move' }, mtu: undefined },
    { name: 'eth2', parent: 'eth2', mode: { kind: 'move' }, mtu: 9000 },
    { name: 'eth0', parent: 'eth0', mode: { kind: 'macvlan' }, mtu: undefined },
    { name: 'eth0.100', parent: 'eth0', mode: { kind: 'vlan', id: 100 }, mtu: undefined },
    { name: 'storage', parent: 'eth0', mode: { kind: 'vlan', id: 101 }, mtu: undefined },
  ]);
  expect(uplinks.flatMap(({ addresses }) => addresses.map(addressText))).toEqual([
    '192.0.2.5/24',
    'fe80::5/64',
  ]);
});

test('the leg towards the host has the addresses of OpenPERouter, and those of the host are announced', () => {
  const { passthrough, bgp } = speaking('{name: frr, remoteAs: 64515}', `${cidr}, nodeIndex: 4, mtu: 1400`);
  expect(passthrough!.veth).toMatchObject({ hostLink: 'pt-host', routerLink: 'pt-ns', mtu: 1400 });
  expect(vethOf(passthrough!)).toEqual({
    router: ['192.169.10.1/24', 'fd00:10::1/64'],
    host: ['192.169.10.6/24', 'fd00:10::6/64'],
  });
  expect(bgp.networks.map(prefixText)).toEqual(['192.169.10.6/32', 'fd00:10::6/128']);
});

test('bits beyond the length are taken as OpenPERouter takes them', () => {
  const { passthrough } = speaking('{name: frr, remoteAs: 64515}', 'localCIDR: {ipv4: 192.169.10.17/28}');
  expect(vethOf(passthrough!)).toEqual({ router: ['192.169.10.16/28'], host: ['192.169.10.17/28'] });
});

test('the address of the node is one address, said or not; what is link-local in IPv4 is as good as any', () => {
  const said = speaking('{name: frr, remoteAs: 1, hostAddress: {ipv4: 192.169.10.2}}');
  expect(vethOf(said.passthrough!).host).toEqual(['192.169.10.2/24', 'fd00:10::2/64']);
  const { passthrough } = speaking('{name: frr, remoteAs: 1}', 'localCIDR: {ipv4: 169.254.9.0/30}');
  expect(vethOf(passthrough!)).toEqual({ router: ['169.254.9.1/30'], host: ['169.254.9.2/30'] });
});

test('an address of the host that is announced anyway is so once', () => {
  const text = head.replace('peers:', 'networks: [192.169.10.2/32, 192.0.2.0/24], peers:');
  const { bgp } = taken(`${text}passthrough: {uplinks: [eth1], ${cidr}, speakers: [{name: a, remoteAs: 1}]}`);
  expect(bgp.networks.map(prefixText)).toEqual(['192.169.10.2/32', '192.0.2.0/24', 'fd00:10::2/128']);
});

test('a speaker is a peer of each family, from the router to its address', () => {
  const intent = speaking(`
    {name: frr, remoteAs: 64515},
    {name: bird, remoteAs: 64516, hostAddress: {ipv4: 192.169.10.3, ipv6: "fd00:10::3"}, families: [ipv4]},
    {name: calico, remoteAs: 64517, hostAddress: {ipv4: 192.169.10.4, ipv6: "fd00:10::4"}, dualStack: true}`);
  expect(sessionsOf(intent)).toEqual([
    'frr-ipv4: 192.169.10.1 to 192.169.10.2, ipv4',
    'frr-ipv6: fd00:10::1 to fd00:10::2, ipv6',
    'bird-ipv4: 192.169.10.1 to 192.169.10.3, ipv4',
    'calico: 192.169.10.1 to 192.169.10.4, ipv4 ipv6',
  ]);
  expect(intent.bgp.peers.map(({ name }) => name)[0]).toBe('eth1');
  expect(intent.passthrough!.speakers).toEqual([
    { name: 'frr', peers: ['frr-ipv4', 'frr-ipv6'] },
    { name: 'bird', peers: ['bird-ipv4'] },
    { name: 'calico', peers: ['calico'] },
  ]);
  expect(vethOf(intent.passthrough!).host).toEqual([
    '192.169.10.2/24',
    'fd00:10::2/64',
    '192.169.10.3/24',
    '192.169.10.4/24',
    'fd00:10::3/64',
    'fd00:10::4/64',
  ]);
});

test('both families on one session go over IPv6 where there is no IPv4, and then are one', () => {
  const only6 = 'localCIDR: {ipv6: "fd00:10::/127"}';
  expect(sessionsOf(speaking('{name: frr, remoteAs: 64515, dualStack: true}', only6))).toEqual([
    'frr: fd00:10:: to fd00:10::1, ipv6',
  ]);
});

test('what a speaker says, its group, and the defaults of a link within a machine', () => {
  const text = head.replace(
    'peers:',
    'groups: {g: {remoteAs: 64515, timers: {hold: 9s}, port: 1790}}, peers:',
  );
  const { bgp } = taken(`${text}passthrough:
  uplinks: [eth1]
  ${cidr}
  awaitSpeakers: 20s
  speakers:
    - {name: a, group: g, families: {ipv4: {import: accept-all}, ipv6: {maxPrefix: {limit: 5}}}}
    - {name: b, group: g, timers: {connectRetry: 3s}, hostAddress: {ipv4: 192.169.10.3}, families: [ipv4]}`);
  expect(bgp.peers.slice(1)).toMatchObject([
    {
      name: 'a-ipv4',
      group: 'g',
      port: 1790,
      timers: { holdMs: 9000, keepaliveMs: 3000, connectRetryMs: 1000 },
      byFamily: { ipv4: { import: ['accept-all'] } },
      awaitMs: 20_000,
    },
    { name: 'a-ipv6', byFamily: { ipv6: { maxPrefix: { limit: 5 } } } },
    { name: 'b-ipv4', timers: { connectRetryMs: 3000 } },
  ]);
  expect(bgp.peers[1]!.byFamily).not.toHaveProperty('ipv6');
  expect(bgp.peers[0]!.awaitMs).toBeUndefined();
});

test('families of a group that a speaker cannot have are left out, those it has stay', () => {
  const text = head.replace('peers:', 'groups: {g: {remoteAs: 64515, families: [ipv6, evpn]}}, peers:');
  expect(sessionsOf(taken(`${text}passthrough: {${cidr}, speakers: [{name: a, group: g}]}`))).toEqual([
    'a-ipv6: fd00:10::1 to fd00:10::2, ipv6',
  ]);
});

test('next hops towards a speaker in our own AS are ours, unless it says else', () => {
  const nextHopSelf = (speaker: string) =>
    speaking(`{name: a, families: [ipv4], ${speaker}}`).bgp.peers.at(-1)!.nextHopSelf;
  expect(nextHopSelf('remoteAs: internal')).toBe('all');
  expect(nextHopSelf('remoteAs: 64514')).toBe('all');
  expect(nextHopSelf('remoteAs: any')).toBe('all');
  expect(nextHopSelf('remoteAs: 64515')).toBe('never');
  expect(nextHopSelf('remoteAs: external')).toBe('never');
  expect(nextHopSelf('remoteAs: internal, nextHopSelf: external')).toBe('external');
  expect(nextHopSelf('remoteAs: internal, nextHopSelf: false')).toBe('never');
  expect(nextHopSelf('remoteAs: any, nextHopUnchanged: true')).toBe('never');
});

test('where resources of OpenPERouter are read from', () => {
  const of = (text: string) => taken(`${head}passthrough: {openperouter: ${text}}`).passthrough!.openperouter;
  expect(of('true')).toEqual({ directory: '/etc/openperouter' });
  expect(of('false')).toBeUndefined();
  expect(of('{directory: /x, kubernetes: true}')).toEqual({ directory: '/x', kubernetes: {} });
  expect(of('{kubernetes: {node: n1.example, namespace: pe}}')).toEqual({
    directory: '/etc/openperouter',
    kubernetes: { node: 'n1.example', namespace: 'pe' },
  });
});

test('as long as nobody says who we are, nobody speaks', () => {
  const { bgp, passthrough } = taken('passthrough: {openperouter: true}');
  expect(bgp).toMatchObject({ asn: 64512, routerId: 0xc000_0008, peers: [], networks: [] });
  expect(passthrough).toMatchObject({ netns: 'perouter', uplinks: [], speakers: [] });
  const waiting = taken(
    `bgp: {peers: [{interface: eth1}]}\npassthrough: {openperouter: true, uplinks: [eth1], ${cidr},` +
      ' speakers: [{name: frr, remoteAs: 64515}]}',
  );
  expect(waiting.bgp.peers).toEqual([]);
  expect(waiting.passthrough).toMatchObject({ speakers: [], veth: { hostLink: 'pt-host' } });
  expect(warningsOf(`passthrough: {openperouter: true, uplinks: [eth1], ${cidr}}`)).toEqual([]);
  expect(load('bgp: {peers: [{interface: eth1}]}\npassthrough: {uplinks: [eth1]}').problems[0]).toMatchObject(
    {
      path: 'bgp.asn',
    },
  );
});

test('speakers wait for the resource that says their addresses', () => {
  const text =
    'passthrough: {openperouter: true, mtu: 1400, speakers: [{name: a, remoteAs: 1, hostAddress: {ipv4: 10.0.0.9}}]}';
  const { passthrough } = taken(text);
  expect(passthrough!.speakers).toEqual([]);
  expect(passthrough!.veth).toBeUndefined();
  expect(warningsOf(text)[0]).toMatch(
    /speakers: cannot be reached without localCIDR .*no resource says it yet/,
  );
});

test('routes in a table that nothing asks', () => {
  expect(warningsOf(`${head}passthrough: {uplinks: [eth1]}\nkernel: {table: 100}`)).toEqual([
    expect.stringContaining('kernel.table: is a table that nothing asks'),
  ]);
});

test('resources are read from where the configuration says, and only where it asks for them', () => {
  const asked: string[] = [];
  const read = (openperouter: string) =>
    loadConfig([{ file: 'a.yaml', text: `${head}passthrough: {openperouter: ${openperouter}}` }], {
      hostname: 'node1',
      openperouter: ({ directory }) => {
        asked.push(directory);
        return undefined;
      },
    });
  expect(read('true').intent).toBeDefined();
  expect(read('{directory: /x}').intent).toBeDefined();
  read('false');
  read('[true]');
  read('{directory: [1]}');
  expect(asked).toEqual(['/etc/openperouter', '/x', '/etc/openperouter']);
});

test('peers and uplinks that do not find each other are told', () => {
  const warned = (peers: string, uplinks: string) =>
    warningsOf(`${fabric(peers)}passthrough: {uplinks: [${uplinks}]}`);
  expect(warned('{interface: "eth*"}', 'eth1, eth2')).toEqual([]);
  expect(warned('{interface: eht1}', 'eth1')).toEqual([
    '0.yaml:1:59: bgp.peers.0.interface: matches no uplink of passthrough (did you mean "eth1"?)',
    '0.yaml:2:25: passthrough.uplinks.0: has no peer in bgp.peers (such as {interface: eth1})',
  ]);
  expect(warned('{interface: eth1}', '')).toEqual([
    '0.yaml:1:59: bgp.peers.0.interface: matches no uplink of passthrough (passthrough.uplinks has none)',
  ]);
  expect(warned('{address: "fe80::1%eth2", remoteAs: 1}', 'eth2')).toEqual([]);
  // The addresses of a NIC that moves are not known here: any peer may be beyond it.
  expect(warned('{address: 192.0.2.1, remoteAs: 1}', 'eth1, eth2')).toEqual([]);
  expect(
    warned(
      '{address: 192.0.2.1, remoteAs: 1}',
      'eth1, {interface: eth0, mode: macvlan, addresses: [192.0.2.5/24]}',
    ),
  ).toEqual(['0.yaml:2:25: passthrough.uplinks.0: has no peer in bgp.peers (such as {interface: eth1})']);
});

test('an unnumbered session on the leg towards the host is only made where it is named', () => {
  const text = (pattern: string, more = cidr) =>
    `${fabric(`{interface: eth1}, {interface: "${pattern}"}`)}passthrough:
  uplinks: [eth1]
  ${more}
  speakers: [{name: frr, remoteAs: 64515}]`;
  expect(problemLines(load(text('pt*')).problems)[0]).toContain('matches pt-ns');
  expect(problemLines(load(text('pt-ns')).problems)).toEqual([]);
  expect(warningsOf(text('pt-ns'))).toEqual([]);
});

test('a leg that nobody uses, a group of speakers alone, and one AS for all', () => {
  expect(warningsOf(`${head}passthrough: {uplinks: [eth1], ${cidr}}`)[0]).toContain('has no speakers');
  const groups = head.replace('peers:', 'groups: {g: {remoteAs: 64515}}, peers:');
  const grouped = `${groups}passthrough: {uplinks: [eth1], ${cidr}, speakers: [{name: a, group: g}]}`;
  expect(warningsOf(grouped)).toEqual([]);
  const inOne = (speaker: string) =>
    warningsOf(
      `${fabric('{interface: eth1, remoteAs: internal}')}passthrough: {uplinks: [eth1], ${cidr},` +
        ` speakers: [{name: a, remoteAs: internal${speaker}}]}`,
    );
  expect(inOne('')[0]).toContain('all are in one AS (routeReflectorClient: true)');
  expect(inOne(', routeReflectorClient: true')).toEqual([]);
});

test('keys that people may try are refused with what is there in their place', () => {
  const lines = problemLines(
    load(`${head}passthrough: {vrf: red, ${cidr}, speakers: [{name: a, remoteAs: 1, address: 10.0.0.1}]}`)
      .problems,
  );
  expect(lines[0]).toContain('passthrough.vrf: there is exactly one passthrough, of the default VRF');
  expect(lines[1]).toContain(
    'speakers.0.address: is not a key of a speaker (it is reached at its hostAddress',
  );
  expect(problemLines(load(`${head}passthrough: [{uplinks: [eth1]}]`).problems)).toEqual([
    '0.yaml:2:14: passthrough: there is exactly one passthrough, of the default VRF',
  ]);
});

test('drop-ins join: another speaker in a file of its own', () => {
  const intent = taken(
    `${head}passthrough: {uplinks: [eth1], ${cidr}, speakers: [{name: frr, remoteAs: 64515}]}`,
    'passthrough: {speakers: [{name: b, remoteAs: 1, families: [ipv4], hostAddress: {ipv4: 192.169.10.9}}]}',
  );
  expect(intent.passthrough!.speakers.map(({ name }) => name)).toEqual(['frr', 'b']);
});

test('every key that there is has an example that is taken', () => {
  const text = readFileSync('test/good-config/passthrough.yaml', 'utf8');
  const { bgp, passthrough } = taken(text);
  expect(passthrough).toMatchObject({
    netns: 'router-1',
    nodeIndex: 2,
    confirmMs: 5000,
    restoreOnStop: true,
  });
  expect(bgp.networks.map(prefixText)).toContain('192.169.10.19/32');
  expect(JSON.stringify(bgp)).not.toContain('hunter2');
});

const resources = `
underlays:
  - asn: 64514
    interfaces: [{type: NetworkDevice, networkDevice: {interfaceName: toswitch}}]
    neighbors: [{asn: 64512, address: 192.168.11.2}]
bgppassthrough:
  hostSession: {asn: 64514, hostASN: 64515, localCIDR: {ipv4: 192.169.10.0/24, ipv6: "fd00:10::/64"}}
`;

const withResources = (native: string, text = resources) =>
  loadConfig([{ file: 'leafd.yaml', text: native }], {
    hostname: 'node1',
    openperouter: () => ({
      sources: [{ file: 'openpe_a.yaml', text }],
      node: { index: 1, name: 'node1', labels: {} },
    }),
  });

test('resources of OpenPERouter are the section they could have been', () => {
  const { intent, problems, openperouter } = withResources('passthrough: {openperouter: true, confirm: 10s}');
  expect(problemLines(problems)).toEqual([]);
  expect(openperouter!.resources.map(({ kind, state }) => `${kind} ${state}`)).toEqual([
    'Underlay applied',
    'L3Passthrough applied',
  ]);
  const { bgp, passthrough } = intent!;
  expect(bgp).toMatchObject({ asn: 64514, profile: 'fabric' });
  expect(bgp.peers.map(({ key }) => key)).toEqual([
    'address 192.168.11.2',
    'address 192.169.10.3',
    'address fd00:10::3',
  ]);
  expect(passthrough).toMatchObject({ nodeIndex: 1, confirmMs: 10_000, uplinks: [{ name: 'toswitch' }] });
  expect(vethOf(passthrough!).host).toEqual(['192.169.10.3/24', 'fd00:10::3/64']);
});

test('what stands here joins what resources say: an uplink and a speaker more', () => {
  const { intent, problems } = withResources(`bgp: {peers: [{interface: eth1}]}
passthrough:
  openperouter: true
  uplinks: [eth1]
  speakers: [{name: bird, remoteAs: 64516, families: [ipv4], hostAddress: {ipv4: 192.169.10.77}}]`);
  expect(problemLines(problems)).toEqual([]);
  expect(intent!.passthrough!.uplinks.map(({ name }) => name)).toEqual(['eth1', 'toswitch']);
  expect(sessionsOf(intent!).map((line) => line.split(':')[0])).toHaveLength(3);
});

test('what stands here and in a resource is refused, with both places, and the resources are still told', () => {
  const asn = withResources('bgp: {asn: 64514}\npassthrough: {openperouter: true}');
  expect(problemLines(asn.problems)[0]).toMatch(
    /^openpe_a\.yaml:3:10: bgp\.asn: is already set at leafd\.yaml:1:12/,
  );
  expect(asn.intent).toBeUndefined();
  expect(asn.openperouter!.resources).toHaveLength(2);
  const uplink = withResources('passthrough: {openperouter: true, uplinks: [toswitch]}');
  expect(problemLines(uplink.problems)).toEqual([
    'openpe_a.yaml:4:71: passthrough.uplinks.1: is in the list already',
  ]);
});

test('a faulty resource is no problem of the configuration', () => {
  const { intent, problems, openperouter } = withResources(
    'passthrough: {openperouter: true}',
    resources.replace('asn: 64514\n', 'asn: 0\n'),
  );
  expect(problemLines(problems)).toEqual([]);
  expect(intent!.bgp.peers).toEqual([]);
  expect(openperouter!.problems.length).toBeGreaterThan(0);
});

test('where nothing asks for resources none are joined', () => {
  const { intent, openperouter } = withResources(`${head}passthrough: {uplinks: [eth1]}`);
  expect(openperouter).toBeUndefined();
  expect(intent!.passthrough!.uplinks).toHaveLength(1);
});

test('whose process a peer on the link to the host may be is asked, wherever it stands', () => {
  const users = (peers: string, speakers = '') => {
    const { bgp } = taken(`${fabric(peers)}passthrough: {uplinks: [eth1], ${cidr}, speakers: [${speakers}]}`);
    return Object.fromEntries(bgp.peers.map((peer) => [peer.name, peer.users]));
  };
  const fabricPeers =
    '{interface: eth1, remoteAs: 1}, {address: 192.168.11.2, remoteAs: 1}, {range: 10.0.0.0/8, remoteAs: 1}';
  expect(users(fabricPeers)).toEqual({ eth1: undefined, '192.168.11.2': undefined, '10.0.0.0/8': undefined });
  const onLeg =
    '{interface: pt-ns, remoteAs: 1}, {address: 192.169.10.9, remoteAs: 1}, {range: "fd00:10::100/120", remoteAs: 1}';
  expect(users(onLeg)).toEqual({ 'pt-ns': 'system', '192.169.10.9': 'system', 'fd00:10::100/120': 'system' });
  const speakers =
    '{name: a, remoteAs: 2, families: [ipv4]}, ' +
    '{name: b, remoteAs: 3, users: any, families: [ipv4], hostAddress: {ipv4: 192.169.10.3}}, ' +
    '{name: c, remoteAs: 4, users: [frr, 7], families: [ipv4], hostAddress: {ipv4: 192.169.10.4}}';
  expect(users('', speakers)).toEqual({ 'a-ipv4': 'system', 'b-ipv4': undefined, 'c-ipv4': ['frr', 7] });
  const { bgp } = taken(
    `${fabric(onLeg)}passthrough: {uplinks: [eth1], ${cidr}, users: [7], speakers: [${speakers}]}`,
  );
  expect(bgp.peers.map((peer) => peer.users)).toEqual([[7], [7], [7], [7], undefined, ['frr', 7]]);
});
