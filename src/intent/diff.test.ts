// A plan is a promise: what it calls live must not cost a session, and a session nothing is said about stays.

import { expect, test } from 'vitest';
import { diffIntents, heaviest } from './diff.ts';
import type { Intent } from './intent.ts';
import { loadConfig, problemLines } from './load.ts';

function intent(text: string): Intent {
  const result = loadConfig([{ file: 'a.yaml', text }], { hostname: 'leaf1' });
  expect(problemLines(result.problems)).toEqual([]);
  return result.intent!;
}

const base = `
bgp:
  asn: 65101
  routerId: 10.0.0.1
  profile: fabric
  loopbacks: [10.0.0.1/32]
  groups: {g: {timers: {hold: 9s}, password: old}}
  peers:
    - {interface: "eth*", group: g, import: p}
    - {address: 192.0.2.1, remoteAs: 65002}
policies:
  prefixSets: {private: [10.0.0.0/8], unused: [192.0.2.0/24]}
  p: {rules: [{match: {prefixes: private}, action: accept}]}
`;

const changed = (from: string, to: string) =>
  diffIntents(intent(base), intent(base.replace(from, to))).map(
    (one) => `${one.effect}: ${one.kind} ${one.text}`,
  );

test('the same configuration, differently written, is no change', () => {
  const rewritten = base
    .replace('{interface: "eth*", group: g, import: p}', '{import: p, group: g, interface: eth*}')
    .replace('hold: 9s', 'hold: 9000ms')
    .replace(
      '{match: {prefixes: private}, action: accept}',
      '{action: accept, match: {prefixes: [private]}}',
    );
  expect(diffIntents(intent(base), intent(rewritten))).toEqual([]);
});

test('a new and a lost peer touch no other', () => {
  expect(changed('{address: 192.0.2.1, remoteAs: 65002}', '{address: 192.0.2.9, remoteAs: 65002}')).toEqual([
    'session reset: remove peer 192.0.2.1',
    'live: add peer 192.0.2.9',
  ]);
});

test('distances change live, the missing ones are those of FRR', () => {
  expect(changed('profile: fabric', 'profile: fabric\n  distance: {internal: 150}')).toEqual([
    'live: add bgp.distance: external 20, internal 150, local 200',
  ]);
});

test('what only OPEN says waits for the next session, through a group too', () => {
  expect(changed('hold: 9s', 'hold: 30s')).toEqual([
    'live: change peer eth*: timers.hold 9s -> 30s, with the next session',
    'live: change peer eth*: timers.keepalive 3s -> 10s, with the next session',
  ]);
});

test('what both sides agreed on costs the session; what single families say has its name', () => {
  expect(
    changed('group: g, import: p', 'group: g, import: p, families: {ipv4: {}, evpn: {import: p}}'),
  ).toEqual([
    'session reset: change peer eth*: families ipv4 ipv6 -> ipv4 evpn',
    'soft refresh: change peer eth*: families.evpn.import p',
  ]);
  expect(changed('remoteAs: 65002', 'remoteAs: 65002, role: peer, bfd: true, weight: 5')).toEqual([
    'session reset: change peer 192.0.2.1: role peer',
    'live: change peer 192.0.2.1: bfd 3 x 300ms, receive 300ms, TTL 255',
    'soft refresh: change peer 192.0.2.1: weight 0 -> 5',
  ]);
});

test('static routes, aggregates and validation change by name', () => {
  const routes =
    '  routes: [{prefix: 10.9.0.0/16, via: 192.0.2.9}]\n  aggregates: [{prefix: 10.0.0.0/8}]\n  groups:';
  expect(changed('  groups:', routes)).toEqual([
    'live: add route 10.9.0.0/16: via 192.0.2.9',
    'live: add aggregate 10.0.0.0/8: with more specifics',
  ]);
  expect(
    changed('policies:', 'rpki: {servers: [{address: a.example, port: 323, retry: 9s}]}\npolicies:'),
  ).toEqual(['live: add rpki a.example port 323: retry 9s']);
});

test('a policy that is called is part of those that call it', () => {
  const calling = base.replace('action: accept}', 'call: q, action: accept}');
  const [before, after] = ['accept', 'reject'].map((action) =>
    intent(`${calling}  q: {rules: [{action: ${action}}]}\n`),
  );
  expect(diffIntents(before!, after!).map((one) => `${one.effect}: ${one.text}`)).toEqual([
    'soft refresh: policy p: used by eth*',
    'soft refresh: policy q: used by policy p',
  ]);
});

test('who we are begins with another life', () => {
  expect(changed('asn: 65101', 'asn: 65109')[0]).toBe('restart: change bgp.asn: 65101 -> 65109');
});

test('what the daemon and the router do at once is not told to cost more', () => {
  expect(changed('policies:', 'kernel: {nexthopCompat: 1}\npolicies:')).toEqual([
    'live: change kernel.nexthopCompat: auto -> 1',
  ]);
  const internal = base.replace('remoteAs: 65002', 'remoteAs: internal');
  const client = internal.replace('remoteAs: internal', 'remoteAs: internal, routeReflectorClient: true');
  expect(diffIntents(intent(internal), intent(client)).map((one) => one.effect)).toEqual(['soft refresh']);
});

test('a password changes without being told', () => {
  const lines = changed('password: old', 'password: fresh');
  expect(lines).toEqual(['live: change peer eth*: password changed']);
});

test('policies: a changed set is a soft refresh for those who use it', () => {
  expect(changed('private: [10.0.0.0/8]', 'private: [10.0.0.0/9]')).toEqual([
    'soft refresh: change policy p: used by eth*',
  ]);
  expect(changed('unused: [192.0.2.0/24]', 'unused: []')).toEqual([]);
  expect(changed('import: p', 'import: accept-all')).toEqual([
    'soft refresh: change peer eth*: import p -> accept-all',
  ]);
});

test('profile: only peers whose policy it decides', () => {
  const lines = changed('profile: fabric', 'profile: host');
  expect(lines).toEqual([
    'soft refresh: change bgp.profile: fabric -> host',
    'soft refresh: change peer eth*: export by profile host',
    'soft refresh: change peer 192.0.2.1: export by profile host',
  ]);
});

test('prefixes, redistribution, shutdown, and what needs a restart', () => {
  expect(
    changed('loopbacks: [10.0.0.1/32]', 'loopbacks: [10.0.0.2/32]\n  redistribute: {static: true}'),
  ).toEqual([
    'live: remove loopback 10.0.0.1/32',
    'live: add loopback 10.0.0.2/32',
    'live: add redistribute static: all',
  ]);
  expect(changed('remoteAs: 65002', 'remoteAs: 65002, shutdown: true')).toEqual([
    'session reset: change peer 192.0.2.1: shut down',
  ]);
  const restart = diffIntents(intent(base), intent(`${base}kernel: {fib: false}\nnode: {labels: {a: b}}\n`));
  expect(restart.map((one) => one.effect)).toEqual(['live', 'restart']);
  expect(heaviest(restart)).toBe('restart');
  expect(heaviest([])).toBe('live');
});

test('guests change live, each bridge and binding by its name', () => {
  const guests = `guests:
  bridges: [{name: vmbr1}, {name: vmbr2}]
  taps: ["tap*"]
  bind:
    - {name: web1, port: tap1, addresses: [192.0.2.10]}
    - {name: web2, port: tap2, addresses: [192.0.2.11]}
`;
  const between = (from: string, to: string) =>
    diffIntents(intent(base + from), intent(base + to)).map(
      (one) => `${one.effect}: ${one.kind} ${one.text}`,
    );
  expect(between(guests, guests)).toEqual([]);
  expect(between('', 'guests: {taps: [tap1], bind: [{name: web1, port: tap1}]}')).toEqual([
    'live: add guests: looked after from now on',
    'live: add guest web1: port tap1',
  ]);
  expect(between('guests: {taps: [tap1]}', '')).toEqual(['live: remove guests: no longer looked after']);
  const after = guests
    .replace('{name: vmbr2}', '{name: vmbr2, isolate: false, allowed: [192.0.2.0/24]}')
    .replace('192.0.2.11', '2001:db8::11')
    .replace('    - {name: web1, port: tap1, addresses: [192.0.2.10]}\n', '')
    .replace('taps:', 'reserved: [10.0.0.0/8]\n  dhcp: {dns: [192.0.2.53]}\n  filter: false\n  taps:');
  expect(between(guests, after)).toEqual([
    'live: change guests.reserved: none -> 10.0.0.0/8',
    'live: change guests.dhcp: off -> on',
    'live: add guests.dhcp.dns: 192.0.2.53',
    'live: add guests.dhcp.leaseTime: 1h',
    'live: change guests.filter: on -> off',
    'live: change guest bridge vmbr2: made when absent, ports isolated -> ' +
      'made when absent, ports reach each other, allowed 192.0.2.0/24',
    'live: remove guest web1: port tap1, 192.0.2.10',
    'live: change guest web2: port tap2, 192.0.2.11 -> port tap2, 2001:db8::11',
  ]);
});

test('a policy of guests that changes names them', () => {
  const before = `${base}guests: {taps: [tap1], policy: p}\n`;
  const changes = diffIntents(intent(before), intent(before.replace('[10.0.0.0/8]', '[10.0.0.0/9]')));
  expect(changes.map((one) => one.text)).toEqual(['policy p: used by eth*, guests']);
});

test('who speaks waits for a restart; whom moves are believed of costs a refresh', () => {
  expect(changed('remoteAs: 65002}', 'remoteAs: 65002, moves: true}')).toEqual([
    'soft refresh: change peer 192.0.2.1: moves on',
  ]);
  const none = intent('bgp: {speaker: none, asn: 65101, routerId: 10.0.0.1}');
  const speaks = intent('bgp: {asn: 65101, routerId: 10.0.0.1}');
  expect(diffIntents(none, speaks).map((one) => `${one.effect}: ${one.text}`)).toEqual([
    'restart: bgp.speaker: none -> leafd',
  ]);
});

const fabric = 'bgp: {asn: 64514, routerId: 10.0.0.1, profile: fabric, peers: [{interface: eth1}]}\n';
const section = `passthrough:
  uplinks: [eth1, {interface: eth0, mode: macvlan, name: up0, addresses: [192.0.2.5/24]}]
  localCIDR: {ipv4: 192.169.10.0/24}
  speakers: [{name: frr, remoteAs: 64515}, {name: bird, remoteAs: 64516, hostAddress: {ipv4: 192.169.10.3}}]
`;
const linesBetween = (before: string, after: string) =>
  diffIntents(intent(before), intent(after)).map((one) => `${one.effect}: ${one.kind} ${one.text}`);
const passed = (from: string, to: string) =>
  linesBetween(fabric + section, (fabric + section).replace(from, to));

const moves = 'moves into perouter with its addresses (ssh to them ends)';

test('passthrough begins with another speaker, and says which NICs move', () => {
  expect(linesBetween(fabric + section, fabric + section)).toEqual([]);
  expect(linesBetween(fabric, fabric + section)).toEqual([
    'live: add network 192.169.10.2/32',
    'live: add network 192.169.10.3/32',
    'session reset: add passthrough: leafd speaks in the namespace perouter from now on, all sessions begin anew',
    `live: add uplink eth1: ${moves}; it comes back when no session of the fabric is up within 1m`,
    'live: add uplink up0: a macvlan of eth0 is made in perouter, 192.0.2.5/24',
    'live: add peer frr-ipv4',
    'live: add peer bird-ipv4',
  ]);
  expect(linesBetween(fabric + section, fabric).slice(2)).toEqual([
    "session reset: remove passthrough: leafd speaks in the host's namespace again, all sessions begin anew",
    'session reset: remove uplink eth1: goes back to the host, sessions over it end',
    'session reset: remove uplink up0: a macvlan of eth0 is deleted, sessions over it end',
    'session reset: remove peer frr-ipv4',
    'session reset: remove peer bird-ipv4',
  ]);
});

test('a changed speaker is a changed peer, and no other session is touched', () => {
  expect(passed('remoteAs: 64515', 'remoteAs: 64515, bfd: {interval: 100ms}')).toEqual([
    'live: change peer frr-ipv4: bfd 3 x 100ms, receive 100ms, TTL 255',
  ]);
  expect(passed('{ipv4: 192.169.10.3}', '{ipv4: 192.169.10.9}')).toEqual([
    'live: remove network 192.169.10.3/32',
    'live: add network 192.169.10.9/32',
    'live: change passthrough.hostAddress: 192.169.10.2/24 192.169.10.3/24 -> 192.169.10.2/24 192.169.10.9/24',
    'session reset: remove peer bird-ipv4',
    'live: add peer bird-ipv4',
  ]);
  expect(passed('passthrough:', 'passthrough:\n  awaitSpeakers: 5s')).toEqual([
    'live: change peer frr-ipv4: awaitSpeakers 30s -> 5s, with the next restart',
    'live: change peer bird-ipv4: awaitSpeakers 30s -> 5s, with the next restart',
  ]);
});

test('uplinks come live; what goes, or loses an address, takes its sessions along', () => {
  expect(passed('[eth1, ', '[eth1, eth2, ')).toEqual([
    `live: add uplink eth2: ${moves}; it comes back when no session of the fabric is up within 1m`,
  ]);
  expect(passed('uplinks: [eth1, ', 'confirm: 0s\n  uplinks: [eth3, ')).toEqual([
    'live: change passthrough.confirm: 1m -> 0s',
    'session reset: remove uplink eth1: goes back to the host, sessions over it end',
    `live: add uplink eth3: ${moves}, and stays there whether a session comes up or not`,
  ]);
  expect(passed('[192.0.2.5/24]}', '[192.0.2.5/24, "2001:db8::5/64"], mtu: 9000}')).toEqual([
    'live: change uplink up0: mtu 9000',
    'live: change uplink up0: addresses 192.0.2.5/24 -> 192.0.2.5/24 2001:db8::5/64',
  ]);
  expect(passed('192.0.2.5/24', '192.0.2.6/24')).toEqual([
    'session reset: change uplink up0: addresses 192.0.2.5/24 -> 192.0.2.6/24',
  ]);
  expect(passed('[eth1, ', '[{interface: eth1, mode: macvlan}, ')).toEqual([
    'session reset: change uplink eth1: goes back to the host, sessions over it end, then ' +
      'a macvlan of eth1 is made in perouter',
  ]);
});

test('who speaks in a router namespace is another speaker, not another life', () => {
  expect(passed('asn: 64514', 'asn: 64520')).toEqual([
    'session reset: change bgp.asn: 64514 -> 64520, all sessions begin anew',
  ]);
  expect(passed('routerId: 10.0.0.1', 'routerId: 10.0.0.2, port: 1179')).toEqual([
    'session reset: change bgp.routerId: 10.0.0.1 -> 10.0.0.2, all sessions begin anew',
    'session reset: change bgp.port: 179 -> 1179, all sessions begin anew',
    'session reset: change bgp.clusterId: 10.0.0.1 -> 10.0.0.2, all sessions begin anew',
  ]);
  const alone = fabric.replace('asn: 64514', 'asn: 64520');
  expect(linesBetween(fabric + section, alone)[0]).toBe(
    'session reset: change bgp.asn: 64514 -> 64520, all sessions begin anew',
  );
  expect(passed('asn: 64514', 'asn: 64514, multipath: 2')).toEqual(['live: change bgp.multipath: 16 -> 2']);
  expect(passed('passthrough:', 'passthrough:\n  netns: router-1')).toEqual([
    'session reset: change passthrough.netns: perouter -> router-1, all sessions begin anew',
  ]);
});

test('the leg towards the host, and where resources are read from', () => {
  expect(passed('passthrough:', 'passthrough:\n  nodeIndex: 7\n  mtu: 1400\n  restoreOnStop: true')).toEqual([
    'live: remove network 192.169.10.2/32',
    'live: add network 192.169.10.9/32',
    'live: change passthrough.nodeIndex: 0 -> 7',
    'live: change passthrough.hostAddress: 192.169.10.2/24 192.169.10.3/24 -> 192.169.10.9/24 192.169.10.3/24',
    'live: add passthrough.mtu: 1400',
    'live: change passthrough.restoreOnStop: off -> on',
    'session reset: remove peer frr-ipv4',
    'live: add peer frr-ipv4',
  ]);
  expect(passed('passthrough:', 'passthrough:\n  openperouter: {kubernetes: {namespace: pe}}')).toEqual([
    'live: add passthrough.openperouter: /etc/openperouter',
    'live: add passthrough.openperouter.kubernetes: service account, namespace pe',
  ]);
});
