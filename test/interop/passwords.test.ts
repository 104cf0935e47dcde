// TCP MD5 passwords (RFC 2385) with FRR and BIRD: the right one comes up, a wrong one, or one that only one side has,
// never does, and does once it is put right, without touching the other sessions.

import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { stringify } from 'yaml';
import type { EventsView, PeersView } from '../../src/api/views.ts';
import { editConfig, fabricOf, scratchFile, sleep, until } from '../support/fabric.ts';

const timers = { hold: '9s', keepalive: '3s', connectRetry: '1s' };
const fabricGroup = { remoteAs: 'external', timers };

const frr = `
frr defaults datacenter
router bgp 65002
 bgp router-id 10.255.0.2
 no bgp ebgp-requires-policy
${[1, 2, 3]
  .map(
    (port) =>
      ` neighbor eth${port} interface remote-as external\n neighbor eth${port} timers 3 9\n neighbor eth${port} timers connect 1`,
  )
  .join('\n')}
 neighbor eth1 password right
 neighbor eth2 password wrong
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
`;

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
            groups: { fabric: fabricGroup },
            peers: [
              // eth1 the right one, eth2 another than FRR's, eth3 one where FRR has none.
              ...[1, 2, 3].map((port) => ({ interface: `eth${port}`, group: 'fabric', password: 'right' })),
              ...['10.0.9.1', '10.0.8.1', '10.0.7.1'].map((address) => {
                return { address, group: 'fabric', families: ['ipv4'], password: 'right' };
              }),
            ],
          },
        },
        ports: { num9: ['10.0.9.0/31'], num8: ['10.0.8.0/31'], num7: ['10.0.7.0/31'] },
      },
      f1: { kind: 'frr', config: frr, ports: { num9: ['10.0.9.1/31'] } },
      b1: { kind: 'bird', config: bird, ports: { num8: ['10.0.8.1/31'], num7: ['10.0.7.1/31'] } },
    },
    links: [
      ...[1, 2, 3].map((port) => [`r1:eth${port}`, `f1:eth${port}`]),
      ['r1:num9', 'f1:num9'],
      ['r1:num8', 'b1:num8'],
      ['r1:num7', 'b1:num7'],
    ],
  }),
);

const right = ['10.0.8.1', '10.0.9.1', 'eth1'];
const wrong = ['10.0.7.1', 'eth2', 'eth3'];

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
    }
  });
  expect((await fabric.leafctl('r1', 'apply', scratchFile('mended.yaml', mended))).stderr).toBe('');
  const all = [...right, ...wrong].sort();
  await until(established, (seen) => seen.join() === all.join(), { timeoutMs: 15_000, what: all.join() });
  expect(await since()).toEqual(before);
});
