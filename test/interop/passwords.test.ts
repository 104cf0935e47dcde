// TCP MD5 passwords (RFC 2385) with FRR and BIRD: the right one comes up, a wrong one, or one that only one side has,
// never does, and does once it is put right, without touching the other sessions; the same for ranges. Where both sides
// change theirs within the hold time, as two leafd can, no session ends.

import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { stringify } from 'yaml';
import type { EventsView, PeersView, RoutesView } from '../../src/api/views.ts';
import { editConfig, fabricOf, scratchFile, sleep, until } from '../support/fabric.ts';

const timers = { hold: '9s', keepalive: '3s', connectRetry: '1s' };
const fabricGroup = { remoteAs: 'external', timers };

const frr = `
frr defaults datacenter
router bgp 65002
 bgp router-id 10.255.0.2
 no bgp ebgp-requires-policy
${[1, 2, 3, 4]
  .map(
    (port) =>
      ` neighbor eth${port} interface remote-as external\n neighbor eth${port} timers 3 9\n neighbor eth${port} timers connect 1`,
  )
  .join('\n')}
 neighbor eth1 password right
 neighbor eth2 password wrong
 neighbor eth4 password right
 neighbor 10.0.9.0 remote-as 65001
 neighbor 10.0.9.0 timers connect 1
 neighbor 10.0.9.0 password right
exit
`;

const bird = `
log stderr all;
router id 10.255.0.3;
protocol device { scan time 2; }
protocol bgp right { local 10.0.8.1 as 65003; neighbor 10.0.8.0 as 65001; password "right"; connect retry time 1; ipv4 { import all; export all; }; }
protocol bgp wrong { local 10.0.7.1 as 65003; neighbor 10.0.7.0 as 65001; password "wrong"; connect retry time 1; ipv4 { import all; export all; }; }
protocol bgp ranged4 { local 10.0.6.1 as 65003; neighbor 10.0.6.0 as 65001; password "ranged"; connect retry time 1; ipv4 { import all; export all; }; }
protocol bgp ranged6 { local 2001:db8:6::1 as 65003; neighbor 2001:db8:6:: as 65001; password "ranged"; connect retry time 1; ipv6 { import all; export all; }; }
protocol bgp rangedwrong4 { local 10.0.6.3 as 65003; neighbor 10.0.6.2 as 65001; password "right"; connect retry time 1; ipv4 { import all; export all; }; }
protocol bgp rangednone6 { local 2001:db8:6::3 as 65003; neighbor 2001:db8:6::2 as 65001; connect retry time 1; ipv6 { import all; export all; }; }
`;

// Two leafd, over every kind of address: unnumbered, IPv4, IPv6, and one that calls into a range.
const swift = { hold: '6s', keepalive: '1s', connectRetry: '1s' };
const r2 = {
  bgp: {
    asn: 65004,
    loopbacks: ['10.255.0.4/32', '2001:db8:ffff::4/128'],
    profile: 'fabric',
    gracefulRestart: false,
    groups: { swift: { remoteAs: 'external', timers: swift, password: 'old' } },
    peers: [
      { interface: 'eth5', group: 'swift' },
      { address: '10.0.5.0', group: 'swift', families: ['ipv4'] },
      { address: '2001:db8:5::', group: 'swift', families: ['ipv6'] },
      { address: '10.0.5.2', group: 'swift', families: ['ipv4'], localAddress: '10.0.5.3' },
    ],
  },
};

const fabric = fabricOf(
  'md5',
  stringify({
    nodes: {
      r1: {
        config: {
          bgp: {
            asn: 65001,
            loopbacks: ['10.255.0.1/32'],
            profile: 'fabric',
            groups: {
              fabric: fabricGroup,
              swift: { remoteAs: 'external', timers: swift, password: 'old' },
            },
            gracefulRestart: false,
            peers: [
              // eth1 the right one, eth2 another than FRR's, eth3 one where FRR has none.
              ...[1, 2, 3].map((port) => ({ interface: `eth${port}`, group: 'fabric', password: 'right' })),
              // eth4: FRR has one, we have none.
              { interface: 'eth4', group: 'fabric' },
              { range: '10.0.6.0/24', remoteAs: 65003, password: 'ranged', families: ['ipv4'] },
              { range: '2001:db8:6::/64', remoteAs: 65003, password: 'ranged', families: ['ipv6'] },
              { interface: 'eth5', group: 'swift' },
              { address: '10.0.5.1', group: 'swift', families: ['ipv4'] },
              { address: '2001:db8:5::1', group: 'swift', families: ['ipv6'] },
              { range: '10.0.5.0/24', group: 'swift', families: ['ipv4'] },
              ...['10.0.9.1', '10.0.8.1', '10.0.7.1'].map((address) => {
                return { address, group: 'fabric', families: ['ipv4'], password: 'right' };
              }),
            ],
          },
        },
        ports: {
          num9: ['10.0.9.0/31'],
          num8: ['10.0.8.0/31'],
          num7: ['10.0.7.0/31'],
          num6: ['10.0.6.0/31', '10.0.6.2/31', '2001:db8:6::/127', '2001:db8:6::2/127'],
          num5: ['10.0.5.0/31', '10.0.5.2/31', '2001:db8:5::/127'],
        },
      },
      f1: { kind: 'frr', config: frr, ports: { num9: ['10.0.9.1/31'] } },
      b1: {
        kind: 'bird',
        config: bird,
        ports: {
          num8: ['10.0.8.1/31'],
          num7: ['10.0.7.1/31'],
          num6: ['10.0.6.1/31', '10.0.6.3/31', '2001:db8:6::1/127', '2001:db8:6::3/127'],
        },
      },
      r2: { config: r2, ports: { num5: ['10.0.5.1/31', '10.0.5.3/31', '2001:db8:5::1/127'] } },
    },
    links: [
      ...[1, 2, 3, 4].map((port) => [`r1:eth${port}`, `f1:eth${port}`]),
      ['r1:num6', 'b1:num6'],
      ['r1:num5', 'r2:num5'],
      ['r1:eth5', 'r2:eth5'],
      ['r1:num9', 'f1:num9'],
      ['r1:num8', 'b1:num8'],
      ['r1:num7', 'b1:num7'],
    ],
  }),
);

const ranged = ['10.0.6.1', '2001:db8:6::1'];
const ofLeafd = ['10.0.5.1', '10.0.5.3', '2001:db8:5::1', 'eth5'];
const right = ['10.0.8.1', '10.0.9.1', 'eth1', ...ranged, ...ofLeafd].sort();
const wrong = ['10.0.7.1', 'eth2', 'eth3'];
const onlyTheirs = 'eth4';

async function established(): Promise<string[]> {
  const { peers } = await fabric.get<PeersView>('r1', '/v1/peers');
  return peers
    .filter((peer) => peer.state === 'established')
    .map((peer) => peer.name)
    .sort();
}

beforeAll(async () => {
  await fabric.up({ waitSeconds: 0 });
});

afterAll(async () => {
  expect(await fabric.down()).toEqual([]);
});

it('sessions with the right password come up, numbered and unnumbered', async () => {
  await until(established, (seen) => right.every((name) => seen.includes(name)), {
    timeoutMs: 15_000,
    what: right.join(),
  });
});

it('sessions with a wrong password, or one that only we have, never do', async () => {
  await sleep(5000);
  expect(await established()).toEqual(right);
  const { events } = await fabric.get<EventsView>('r1', '/v1/events?since=0&limit=1000');
  const up = events.filter((event) => event.kind === 'peer-up').map((event) => event.peer);
  expect([...new Set(up)].sort()).toEqual(right);
  for (const name of wrong)
    expect((await fabric.leafctl('r1', 'why', name)).stdout).toMatch(
      /a password is set: packets of a peer with another/,
    );
});

it('shows no password', async () => {
  const log = fabric.log('r1');
  const details = await Promise.all(right.map((name) => fabric.leafctl('r1', '-j', 'peers', name)));
  const plan = await fabric.leafctl('r1', '-j', 'plan', fabric.configOf('r1'));
  for (const text of [log, plan.stdout, ...details.map(({ stdout }) => stdout)])
    expect(text).not.toContain('right');
});

it('the right password, applied, brings them up and resets no other session', async () => {
  const since = async () => {
    const { peers } = await fabric.get<PeersView>('r1', '/v1/peers');
    return peers.filter(({ name }) => right.includes(name)).map((peer) => `${peer.name} ${peer.since}`);
  };
  const before = await since();
  const mended = editConfig(await readFile(fabric.configOf('r1'), 'utf8'), ({ bgp }) => {
    for (const peer of bgp.peers) {
      if (peer.interface === 'eth2' || peer.address === '10.0.7.1') peer.password = 'wrong';
      if (peer.interface === 'eth3') delete peer.password;
      if (peer.interface === 'eth4') peer.password = 'right';
    }
  });
  expect((await fabric.leafctl('r1', 'apply', scratchFile('mended.yaml', mended))).stderr).toBe('');
  const all = [...right, ...wrong, onlyTheirs].sort();
  await until(established, (seen) => seen.join() === all.join(), { timeoutMs: 15_000, what: all.join() });
  expect(await since()).toEqual(before);
});

const changeTo = async (node: string, password: string) => {
  const changed = editConfig(await readFile(fabric.configOf(node), 'utf8'), ({ bgp }) => {
    bgp.groups.swift.password = password;
    bgp.networks = password === 'old' ? [] : ['192.0.2.0/24', '2001:db8:c::/48'];
    for (const peer of bgp.peers) {
      // As the test before has left it.
      if (peer.interface === 'eth2' || peer.address === '10.0.7.1') peer.password = 'wrong';
      if (peer.interface === 'eth3') delete peer.password;
      if (peer.interface === 'eth4') peer.password = 'right';
    }
  });
  const { stderr } = await fabric.leafctl(node, 'apply', scratchFile(`${node}-${password}.yaml`, changed));
  expect(stderr).toBe('');
};

/** Since when each session is up. */
async function sinceOf(names: readonly string[]): Promise<string[]> {
  const { peers } = await fabric.get<PeersView>('r1', '/v1/peers');
  return peers
    .filter(({ name, state }) => names.includes(name) && state === 'established')
    .map((peer) => `${peer.name} ${peer.since}`)
    .sort();
}

it('a password that both sides change within the hold time ends no session, and counts from then on', async () => {
  const before = await sinceOf(right);
  expect(before).toHaveLength(right.length);
  await changeTo('r1', 'new');
  await sleep(1500);
  await changeTo('r2', 'new');
  await sleep(7000);
  expect(await sinceOf(right)).toEqual(before);
  // What was told meanwhile has come, on every session, though it was signed with a key that the other side had not yet.
  for (const name of ofLeafd) {
    const { routes } = await fabric.get<RoutesView>('r1', `/v1/routes?peer=${encodeURIComponent(name)}`);
    expect(routes.map(({ prefix }) => prefix)).toEqual(
      expect.arrayContaining([name.includes('::') ? '2001:db8:c::/48' : '192.0.2.0/24']),
    );
  }
});

it('a password that one side alone changes ends its sessions with the hold time, and no others', async () => {
  const others = right.filter((name) => !ofLeafd.includes(name));
  const before = await sinceOf(others);
  await changeTo('r2', 'old');
  await until(
    () => sinceOf(ofLeafd),
    (seen) => seen.length === 0,
    { timeoutMs: 10_000, what: 'no session' },
  );
  await changeTo('r1', 'old');
  await until(
    () => sinceOf(ofLeafd),
    (seen) => seen.length === ofLeafd.length,
    { timeoutMs: 10_000 },
  );
  expect(await sinceOf(others)).toEqual(before);
});
