// How far away a neighbour may be: TTL security (RFC 5082) on peers and ranges, and sessions over a stated number of
// hops, with FRR and BIRD behind a router that is nobody's neighbour. All of them send with a TTL of 255 where TTL
// security has to refuse them, so that only the way itself tells; that the kernel drops such packets is counted.

import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { stringify } from 'yaml';
import type { PeersView } from '../../src/api/views.ts';
import { editConfig, fabricOf, scratchFile, sleep, until } from '../support/fabric.ts';

const timers = { hold: '3s', keepalive: '1s', connectRetry: '1s' };

const frr = `
frr defaults datacenter
router bgp 65002
 bgp router-id 10.255.0.2
 no bgp ebgp-requires-policy
${['10.1.0.0', '2001:db8:1::']
  .map(
    (peer) =>
      ` neighbor ${peer} remote-as 65001\n neighbor ${peer} timers 1 3\n neighbor ${peer} timers connect 1\n neighbor ${peer} ttl-security hops 2`,
  )
  .join('\n')}
 address-family ipv6 unicast
  neighbor 2001:db8:1:: activate
 exit-address-family
exit
`;

const birdBase = `
log stderr all;
protocol device { scan time 2; }
template bgp any4 { connect retry time 1; error wait time 1, 2; hold time 3; ipv4 { import all; export all; }; }
template bgp any6 { connect retry time 1; error wait time 1, 2; hold time 3; ipv6 { import all; export all; }; }
`;
// BIRD has one session at a time with an address: those of the range call our loopback.
const far = `${birdBase}
router id 10.255.0.3;
protocol bgp two4 from any4 { local 10.3.0.1 as 65003; neighbor 10.1.0.0 as 65001; multihop 2; }
protocol bgp two6 from any6 { local 2001:db8:3::1 as 65003; neighbor 2001:db8:1:: as 65001; multihop 2; }
protocol bgp range4 from any4 { local 10.5.3.1 as 65003; neighbor 10.255.0.1 as 65001; multihop 255; }
protocol bgp range6 from any6 { local 2001:db8:5:3::1 as 65003; neighbor 2001:db8:255::1 as 65001; multihop 255; }
`;
const near = `${birdBase}
router id 10.255.0.4;
protocol bgp range4 from any4 { local 10.5.1.1 as 65004; neighbor 10.5.1.0 as 65001; ttl security on; }
protocol bgp range6 from any6 { local 2001:db8:5:1::1 as 65004; neighbor 2001:db8:5:1:: as 65001; ttl security on; }
`;

const four = { remoteAs: 'any', timers, families: ['ipv4'] };
const six = { remoteAs: 'any', timers, families: ['ipv6'] };

const fabric = fabricOf(
  'hops',
  stringify({
    nodes: {
      r1: {
        config: {
          bgp: {
            asn: 65001,
            loopbacks: ['10.255.0.1/32', '2001:db8:255::1/128'],
            profile: 'fabric',
            gracefulRestart: false,
            peers: [
              { address: '10.2.0.1', ...four, ttlSecurity: true },
              { address: '2001:db8:2::1', ...six, ttlSecurity: true },
              { address: '10.3.0.1', ...four, remoteAs: 65003 },
              { address: '2001:db8:3::1', ...six, remoteAs: 65003 },
              { range: '10.5.0.0/16', ...four, ttlSecurity: true },
              { range: '2001:db8:5::/48', ...six, ttlSecurity: true },
            ],
          },
        },
        ports: { num1: ['10.1.0.0/31', '2001:db8:1::/127'], num5: ['10.5.1.0/31', '2001:db8:5:1::/127'] },
        commands: ['ip route add 10.0.0.0/8 via 10.1.0.1', 'ip -6 route add 2001:db8::/32 via 2001:db8:1::1'],
      },
      between: {
        kind: 'host',
        forwarding: true,
        ports: {
          num1: ['10.1.0.1/31', '2001:db8:1::1/127'],
          num2: ['10.2.0.0/31', '2001:db8:2::/127'],
          num3: ['10.3.0.0/31', '2001:db8:3::/127'],
        },
        commands: [
          'ip route add 10.5.3.1 via 10.3.0.1',
          'ip -6 route add 2001:db8:5:3::1 via 2001:db8:3::1',
          'ip route add 10.255.0.1 via 10.1.0.0',
          'ip -6 route add 2001:db8:255::1 via 2001:db8:1::',
        ],
      },
      f1: {
        kind: 'frr',
        config: frr,
        ports: { num2: ['10.2.0.1/31', '2001:db8:2::1/127'] },
        commands: [
          'ip route add 10.1.0.0/31 via 10.2.0.0',
          'ip -6 route add 2001:db8:1::/127 via 2001:db8:2::',
        ],
      },
      b1: {
        kind: 'bird',
        config: far,
        addresses: ['10.5.3.1/32', '2001:db8:5:3::1/128'],
        ports: { num3: ['10.3.0.1/31', '2001:db8:3::1/127'] },
        commands: ['ip route add 10.0.0.0/8 via 10.3.0.0', 'ip -6 route add 2001:db8::/32 via 2001:db8:3::'],
      },
      n1: { kind: 'bird', config: near, ports: { num5: ['10.5.1.1/31', '2001:db8:5:1::1/127'] } },
    },
    links: [
      ['r1:num1', 'between:num1'],
      ['between:num2', 'f1:num2'],
      ['between:num3', 'b1:num3'],
      ['r1:num5', 'n1:num5'],
    ],
  }),
);

const ofFrr = ['10.2.0.1', '2001:db8:2::1'];
const ofBird = ['10.3.0.1', '2001:db8:3::1'];
const rangeNear = ['10.5.1.1', '2001:db8:5:1::1'];
const rangeFar = ['10.5.3.1', '2001:db8:5:3::1'];

async function established(): Promise<string[]> {
  const { peers } = await fabric.get<PeersView>('r1', '/v1/peers');
  return peers.filter(({ state }) => state === 'established').map(({ address }) => address!);
}
const isJust = (names: readonly string[]) => (seen: string[]) =>
  [...seen].sort().join() === [...names].sort().join();

let text: string;
// biome-ignore lint/suspicious/noExplicitAny: a configuration as data.
async function apply(edit: (peers: any[]) => void): Promise<void> {
  text = editConfig(text, ({ bgp }) => edit(bgp.peers));
  expect((await fabric.leafctl('r1', 'apply', scratchFile('hops.yaml', text))).stderr).toBe('');
}

/** Packets that the kernel of r1 has dropped for their TTL. */
async function droppedForTtl(): Promise<number> {
  const shown = await fabric.out('r1', 'cat', '/proc/net/netstat');
  const [names, values] = shown.split('\n').filter((line) => line.startsWith('TcpExt:'));
  return Number(values!.split(' ')[names!.split(' ').indexOf('TCPMinTTLDrop')]);
}

beforeAll(async () => {
  await fabric.up({ waitSeconds: 0 });
  text = await readFile(fabric.configOf('r1'), 'utf8');
});

afterAll(async () => {
  expect(await fabric.down()).toEqual([]);
});

it('the neighbour on the link is let in; whoever is two hops away is not, by peer, by range, or without multihop', async () => {
  await until(established, (seen) => seen.length >= rangeNear.length, {
    timeoutMs: 15_000,
    what: 'the near ones',
  });
  await sleep(3500);
  expect(await established()).toEqual(expect.arrayContaining(rangeNear));
  expect(await established()).toHaveLength(2);
  expect(await droppedForTtl()).toBeGreaterThan(0);
  expect(fabric.log('r1')).toMatch(/connection refused: it is farther away than TTL security allows/);
  // Nothing is kept of those whom a range does not let in.
  const { peers } = await fabric.get<PeersView>('r1', '/v1/peers');
  expect(peers.filter(({ address }) => rangeFar.includes(address ?? ''))).toEqual([]);
});

it('two hops are allowed, applied live: they come up, and nobody else is disturbed', async () => {
  const sinceNear = async () => {
    const { peers } = await fabric.get<PeersView>('r1', '/v1/peers');
    return peers.filter(({ address }) => rangeNear.includes(address ?? '')).map(({ since }) => since);
  };
  const before = await sinceNear();
  await apply((peers) => {
    for (const peer of peers) {
      if (peer.ttlSecurity === true) peer.ttlSecurity = 2;
      else peer.multihop = 2;
    }
  });
  const all = [...ofFrr, ...ofBird, ...rangeNear, ...rangeFar];
  await until(established, isJust(all), { timeoutMs: 15_000, what: all.join() });
  expect(await sinceNear()).toEqual(before);
});

it('one hop again, applied live: what comes from farther away is not heard any more', async () => {
  await apply((peers) => {
    for (const peer of peers) {
      if (peer.ttlSecurity === 2) peer.ttlSecurity = true;
      else delete peer.multihop;
    }
  });
  await until(established, isJust(rangeNear), { timeoutMs: 12_000, what: 'only the near ones' });
});
