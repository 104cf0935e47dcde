// What sessions agree on with BIRD and FRR: roles (RFC 9234), extended messages (RFC 8654), enhanced refresh (RFC
// 7313), graceful restart with NOTIFICATIONs (RFC 8538) and its long-lived form (RFC 9494): that both sides say so, and
// that each keeps the routes of the other as it must.

import { afterAll, beforeAll, expect, it } from 'vitest';
import { stringify } from 'yaml';
import type { PeersView, RoutesView } from '../../src/api/views.ts';
import { fabricOf, sleep, until } from '../support/fabric.ts';

const timers = { hold: '9s', keepalive: '3s', connectRetry: '1s' };

const frr = `
frr defaults datacenter
router bgp 65002
 bgp router-id 10.255.0.2
 no bgp ebgp-requires-policy
 no bgp network import-check
 bgp graceful-restart
 bgp graceful-restart notification
 bgp graceful-restart preserve-fw-state
 neighbor 10.0.9.0 remote-as 65001
 neighbor 10.0.9.0 timers 3 9
 neighbor 10.0.9.0 timers connect 1
 neighbor 10.0.9.0 local-role customer
 neighbor 10.0.7.0 remote-as 65001
 neighbor 10.0.7.0 timers connect 1
 neighbor 10.0.7.0 local-role customer
 address-family ipv4 unicast
  network 198.51.100.2/32
 exit-address-family
exit
ip route 198.51.100.2/32 blackhole
`;

const bird = `
log stderr all;
router id 10.255.0.3;
protocol device { scan time 2; }
protocol static { ipv4; route 198.51.100.3/32 blackhole; }
protocol bgp wide { local 10.0.8.1 as 65003; neighbor 10.0.8.0 as 65001; connect retry time 1;
  local role customer; require roles on; enable extended messages on; enable route refresh on;
  graceful restart on; graceful restart time 20; long lived graceful restart on; long lived stale time 60;
  ipv4 { import all; export all; }; }
protocol bgp plain { local 10.0.6.1 as 65003; neighbor 10.0.6.0 as 65001; connect retry time 1; capabilities off;
  ipv4 { import all; export all; }; }
`;

const fabric = fabricOf(
  'sess',
  stringify({
    nodes: {
      r1: {
        config: {
          bgp: {
            asn: 65001,
            loopbacks: ['10.255.0.1/32'],
            profile: 'fabric',
            gracefulRestart: { restartTime: '20s', longLivedStaleTime: '60s' },
            groups: { edge: { remoteAs: 'external', timers, families: ['ipv4'] } },
            peers: [
              { address: '10.0.9.1', group: 'edge', role: 'provider' },
              // FRR says customer there: not what a peer of a peer is.
              { address: '10.0.7.1', group: 'edge', role: 'peer' },
              { address: '10.0.8.1', group: 'edge', role: 'provider', roleStrict: true },
              { address: '10.0.6.1', group: 'edge' },
            ],
          },
        },
        ports: { num9: ['10.0.9.0/31'], num8: ['10.0.8.0/31'], num7: ['10.0.7.0/31'], num6: ['10.0.6.0/31'] },
      },
      f1: { kind: 'frr', config: frr, ports: { num9: ['10.0.9.1/31'], num7: ['10.0.7.1/31'] } },
      b1: { kind: 'bird', config: bird, ports: { num8: ['10.0.8.1/31'], num6: ['10.0.6.1/31'] } },
    },
    links: ['9', '7']
      .map((n) => [`r1:num${n}`, `f1:num${n}`])
      .concat(['8', '6'].map((n) => [`r1:num${n}`, `b1:num${n}`])),
  }),
);

async function established(): Promise<string[]> {
  const { peers } = await fabric.get<PeersView>('r1', '/v1/peers');
  return peers
    .filter((peer) => peer.state === 'established')
    .map((peer) => peer.name)
    .sort();
}

const routes = async (): Promise<string> => JSON.stringify(await fabric.get<RoutesView>('r1', '/v1/routes'));

beforeAll(async () => {
  await fabric.up({ waitSeconds: 0 });
});

afterAll(async () => {
  expect(await fabric.down()).toEqual([]);
});

it('roles that fit come up with both, one that does not is refused; a speaker without capabilities comes up', async () => {
  const fits = ['10.0.6.1', '10.0.8.1', '10.0.9.1'];
  await until(established, (seen) => seen.join() === fits.join(), { timeoutMs: 15_000, what: fits.join() });
  await sleep(2000);
  expect(await established()).toEqual(fits);
  expect((await fabric.leafctl('r1', 'peers', '10.0.7.1')).stdout).toContain('Role Mismatch');
});

it('BIRD has seen what we offer', async () => {
  const said = await fabric.out(
    'b1',
    'birdc',
    '-s',
    `${fabric.directory('b1')}/bird.ctl`,
    'show',
    'protocols',
    'all',
    'wide',
  );
  for (const words of [
    'Route refresh',
    'Enhanced refresh',
    'Extended message',
    'Graceful restart',
    'Long-lived graceful restart',
    'Role: provider',
    'Hostname: r1',
  ])
    expect(said).toContain(words);
});

it('a refresh is answered by both, and loses nothing', async () => {
  await until(routes, (seen) => seen.includes('198.51.100.2') && seen.includes('198.51.100.3'), {
    timeoutMs: 10_000,
  });
  for (const name of ['10.0.8.1', '10.0.9.1'])
    expect((await fabric.leafctl('r1', 'peer', 'refresh', name)).exitCode).toBe(0);
  await sleep(1500);
  const seen = await routes();
  expect(seen).toContain('198.51.100.2');
  expect(seen).toContain('198.51.100.3');
});

it('BIRD that is killed leaves its routes with us: for the restart time, then as long-lived stale', async () => {
  const pid = await fabric.pid('b1');
  process.kill(pid, 'SIGKILL');
  await until(established, (seen) => !seen.includes('10.0.8.1'), { timeoutMs: 10_000 });
  expect(await routes()).toContain('198.51.100.3');
  await sleep(22_000);
  const seen = await routes();
  expect(seen).toContain('198.51.100.3');
  expect(seen).toContain('llgr-stale');
}, 60_000);
