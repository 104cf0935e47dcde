// BFD (RFC 5880 to 5883) with FRR's bfdd, BIRD's and leafd's own: paths come up in the intervals both sides want, a link
// that goes silent ends the BGP session within the detection time with Cease 6/10 (RFC 9384), intervals change
// without a flap, and what is ended on purpose has no consequences (RFC 5882, section 3.2).

import { readFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { stringify } from 'yaml';
import type { EventsView, PeerDetailView, PeersView } from '../../src/api/views.ts';
import { editConfig, fabricOf, scratchFile, sleep, until } from '../support/fabric.ts';

const fast = { interval: '50ms', multiplier: 3 };
const timers = { hold: '90s', keepalive: '30s', connectRetry: '1s' };
const group = { remoteAs: 'external', timers, bfd: fast, gracefulRestart: 'off' };
/** What an event may come later than the detection time: starting nft, and a turn of a busy machine. */
const MARGIN_MS = 100;

const frr = `
frr defaults datacenter
bfd
 profile fast
  detect-multiplier 3
  transmit-interval 50
  receive-interval 50
 exit
exit
router bgp 65002
 bgp router-id 10.255.0.2
 bgp graceful-restart-disable
 no bgp ebgp-requires-policy
 neighbor 10.0.1.0 remote-as 65001
 neighbor 10.0.1.0 timers connect 1
 neighbor 10.0.1.0 bfd profile fast
 neighbor eth1 interface remote-as external
 neighbor eth1 timers connect 1
 neighbor eth1 bfd profile fast
exit
`;

const bird = `
log stderr all;
router id 10.255.0.3;
protocol device { scan time 2; }
protocol bfd {
  interface "*" { min rx interval 50 ms; min tx interval 50 ms; idle tx interval 1 s; multiplier 3; };
  multihop { min rx interval 50 ms; min tx interval 50 ms; idle tx interval 1 s; multiplier 3; };
}
protocol static { ipv4; route 10.255.0.1/32 via 10.0.2.0; }
protocol kernel { ipv4 { export all; }; }
template bgp near { connect retry time 1; error wait time 1, 2; bfd on; ipv4 { import all; export none; }; }
protocol bgp leafd from near { local 10.0.2.1 as 65003; neighbor 10.0.2.0 as 65001; }
protocol bgp six from near { local 2001:db8:2::1 as 65003; neighbor 2001:db8:2:: as 65001; ipv6 { import all; export none; }; }
protocol bgp far from near { local 10.255.0.3 as 65003; neighbor 10.255.0.1 as 65001; multihop 2; }
`;

const other = { asn: 65004, loopbacks: ['10.255.0.4/32'], profile: 'fabric', groups: { near: group } };

const fabric = fabricOf(
  'bfd',
  stringify({
    nodes: {
      r1: {
        config: {
          bgp: {
            asn: 65001,
            loopbacks: ['10.255.0.1/32'],
            profile: 'fabric',
            groups: { near: group },
            peers: [
              { interface: 'eth1', group: 'near' },
              { interface: 'eth2', group: 'near' },
              { address: '10.0.1.1', group: 'near' },
              // BIRD would help us to restart, but does not restart itself: its silence is a failure.
              { address: '10.0.2.1', group: 'near', families: ['ipv4'], gracefulRestart: 'full' },
              { address: '2001:db8:2::1', group: 'near' },
              {
                address: '10.255.0.3',
                group: 'near',
                families: ['ipv4'],
                multihop: 2,
                localAddress: '10.255.0.1',
                // BIRD sends packets over several hops with TTL 64.
                bfd: { ...fast, minTtl: 63 },
              },
            ],
          },
        },
        ports: { num1: ['10.0.1.0/31'], num2: ['10.0.2.0/31', '2001:db8:2::/127'] },
        commands: ['ip route add 10.255.0.3/32 via 10.0.2.1'],
      },
      r2: { config: { bgp: { ...other, peers: [{ interface: 'eth1', group: 'near' }] } } },
      f1: { kind: 'frr', config: frr, ports: { num1: ['10.0.1.1/31'] } },
      b1: {
        kind: 'bird',
        config: bird,
        addresses: ['10.255.0.3/32'],
        ports: { num2: ['10.0.2.1/31', '2001:db8:2::1/127'] },
      },
    },
    links: [
      ['r1:eth1', 'f1:eth1'],
      ['r1:num1', 'f1:num1'],
      ['r1:num2', 'b1:num2'],
      ['r1:eth2', 'r2:eth1'],
    ],
  }),
);

const FRR = '10.0.1.1';
const FRR_PORT = 'eth1';
const BIRD = '10.0.2.1';
const BIRD6 = '2001:db8:2::1';
const BIRD_FAR = '10.255.0.3';
const LEAFD = 'eth2';
const all = [FRR, FRR_PORT, BIRD, BIRD6, BIRD_FAR, LEAFD];

const peer = (name: string) => fabric.get<PeerDetailView>('r1', `/v1/peers/${encodeURIComponent(name)}`);
const vtysh = (...lines: string[]) =>
  fabric.out('f1', 'vtysh', '--vty_socket', fabric.directory('f1'), ...lines.flatMap((line) => ['-c', line]));
const birdc = (...words: string[]) =>
  fabric.out('b1', 'birdc', '-s', `${fabric.directory('b1')}/bird.ctl`, ...words);

async function watched(): Promise<Record<string, string>> {
  const { peers } = await fabric.get<PeersView>('r1', '/v1/peers');
  const known = peers.filter((one) => one.address !== undefined);
  return Object.fromEntries(known.map(({ name, state, bfd }) => [name, `${state} ${bfd?.state}`]));
}

const allUp = () =>
  until(watched, (seen) => all.every((name) => seen[name] === 'established up'), {
    timeoutMs: 20_000,
    what: 'all sessions with BFD up',
  });

/**
 * FRR's bgpd asks bfdd for its paths once, and they are lost where bfdd has no zebra yet (src/lab/kinds.ts): then they
 * have to be asked for again.
 */
async function askBfddAgain(): Promise<void> {
  const isUp = async (): Promise<boolean> => {
    const seen = await watched();
    return [FRR, FRR_PORT].every((name) => seen[name] === 'established up');
  };
  for (let tries = 0; tries < 80 && !(await isUp()); tries++) {
    if (tries % 20 === 19) {
      const remove = ['no neighbor 10.0.1.0 bfd', 'no neighbor eth1 bfd'];
      const add = ['neighbor 10.0.1.0 bfd profile fast', 'neighbor eth1 bfd profile fast'];
      await vtysh('configure terminal', 'router bgp 65002', ...remove, ...add);
    }
    await sleep(250);
  }
}

async function eventsSince(id: number): Promise<EventsView['events']> {
  return (await fabric.get<EventsView>('r1', `/v1/events?since=${id}&limit=1000`)).events;
}

async function lastEvent(): Promise<number> {
  return (await fabric.get<EventsView>('r1', '/v1/events?since=0&limit=1000')).next;
}

/** Drops packets in a node as a rule says; `mend` takes it back. */
async function cut(node: string, ...rules: string[]): Promise<number> {
  const chains = ['add table inet cut', 'add chain inet cut in { type filter hook input priority -300; }'];
  chains.push('add chain inet cut out { type filter hook output priority -300; }');
  const atMs = Date.now();
  await fabric.out(node, 'nft', [...chains, ...rules].join('; '));
  return atMs;
}
const mend = (node: string) => fabric.inside(node, 'nft', 'delete table inet cut');

/** How long after `cutMs` the BGP session ended, by leafd's own clock, and what it said. */
async function downAfter(
  name: string,
  since: number,
  cutMs: number,
): Promise<{ afterMs: number; text: string }> {
  const mine = async () =>
    (await eventsSince(since)).find((one) => one.kind === 'peer-down' && one.peer === name);
  const event = await until(mine, (found) => found !== undefined, { timeoutMs: 5000, what: `${name} down` });
  return { afterMs: Date.parse(event!.at) - cutMs, text: event!.text };
}

beforeAll(async () => {
  await fabric.up({ waitSeconds: 0 });
  await askBfddAgain();
});

afterEach(async () => {
  await mend('f1');
  await mend('b1');
  await mend('r2');
});

afterAll(async () => {
  expect(await fabric.down()).toEqual([]);
});

it('paths come up: numbered, unnumbered, IPv6, several hops; both sides agree on the intervals', async () => {
  await allUp();
  await sleep(1000);
  for (const name of all) {
    const { bfd } = await peer(name);
    expect(bfd?.session, name).toMatchObject({
      multihop: name === BIRD_FAR,
      transmitMs: 50,
      receiveMs: 50,
      detectionMs: 150,
      remoteState: 'up',
      diagnostic: 'no diagnostic',
      controlPlaneIndependent: false,
      flaps: 0,
    });
    expect(bfd!.session!.remoteDiscriminator).toBeGreaterThan(0);
    console.log(`${name}: longest silence ${bfd!.session!.worstGapMs} ms of 150`);
  }
  const theirs = JSON.parse(await vtysh('show bfd peers json')) as { status: string; 'remote-id': number }[];
  expect(theirs.map((one) => one.status)).toEqual(['up', 'up']);
  const ours = (await Promise.all([FRR, FRR_PORT].map(peer))).map(
    (one) => one.bfd!.session!.localDiscriminator,
  );
  expect(theirs.map((one) => one['remote-id']).sort()).toEqual(ours.sort());
  const sessions = await birdc('show', 'bfd', 'sessions');
  expect(sessions.match(/ Up .* 0\.050\s+0\.150/g), sessions).toHaveLength(3);
  expect((await fabric.leafctl('r1', 'peers', FRR)).stdout).toMatch(
    /bfd +up since \S+, the peer says up; sent every 50ms, expected every 50ms, lost after 150ms; discriminator 0x/,
  );
  expect((await fabric.leafctl('r1', 'why', FRR)).stdout).toMatch(/BFD sees the path up, lost after 150 ms/);
});

it('FRR goes silent: down within the detection time, and it is told why by Cease 6/10', async () => {
  await allUp();
  const since = await lastEvent();
  const cutMs = await cut('f1', 'add rule inet cut out oifname num1 udp dport 3784 drop');
  const { afterMs, text } = await downAfter(FRR, since, cutMs);
  console.log(`FRR silent: session down after ${afterMs} ms (detection time 150 ms): ${text}`);
  expect(text).toMatch(/BFD down: 6\/10/);
  expect(afterMs).toBeLessThan(150 + MARGIN_MS);
  expect(afterMs).toBeGreaterThan(80);
  const notified = () => vtysh('show bgp neighbors 10.0.1.0 json');
  // Our BFD packets say that the path is down as well: where FRR reads them first it ends the session by itself.
  const told = /"last(ErrorCodeSubcode|NotificationReason|ResetDueTo)": *"(060A|.*BFD)/i;
  await until(notified, (seen) => told.test(seen), { timeoutMs: 2000, what: 'Cease 6/10 at FRR' });
  expect((await fabric.leafctl('r1', 'why', FRR)).stdout).toMatch(
    /it ended the session at .*: control detection time expired: nothing heard for 150 ms/,
  );
  // The other sessions have not noticed.
  const downs = (await eventsSince(since)).filter(
    (one) => one.kind === 'peer-down' || one.kind === 'bfd-down',
  );
  expect([...new Set(downs.map((one) => one.peer))]).toEqual([FRR]);
  await mend('f1');
  await allUp();
});

it.each([
  ['BIRD', 'b1', 'num2', BIRD, [BIRD, BIRD6, BIRD_FAR]],
  ['leafd, unnumbered', 'r2', 'eth1', LEAFD, [LEAFD]],
  ['FRR, unnumbered', 'f1', 'eth1', FRR_PORT, [FRR_PORT]],
])('the link to %s swallows everything: all its sessions end in time', async (_, node, port, name, gone) => {
  await allUp();
  const since = await lastEvent();
  const cutMs = await cut(
    node,
    `add rule inet cut in iifname ${port} drop`,
    `add rule inet cut out oifname ${port} drop`,
  );
  for (const one of gone) {
    const { afterMs, text } = await downAfter(one, since, cutMs);
    console.log(`${name}: ${one} down after ${afterMs} ms`);
    expect(text).toMatch(/BFD down: 6\/10/);
    expect(afterMs).toBeLessThan(150 + MARGIN_MS);
  }
  // The other side has seen it too, long before its hold timer.
  if (node === 'b1')
    await until(
      () => birdc('show', 'protocols'),
      (seen) => /leafd .*BFD session down/.test(seen),
      { timeoutMs: 2000 },
    );
  await mend(node);
  await allUp();
});

it('BFD shut down on the other side has no consequences', async () => {
  await allUp();
  const since = await lastEvent();
  await vtysh('configure terminal', 'bfd', 'profile fast', 'shutdown');
  await until(
    () => peer(FRR),
    ({ bfd }) => bfd?.session?.remoteState === 'adminDown',
    { timeoutMs: 3000 },
  );
  await sleep(1000);
  for (const name of [FRR, FRR_PORT]) expect((await peer(name)).state).toBe('established');
  expect((await eventsSince(since)).map((one) => one.kind)).toEqual(['bfd-admin-down', 'bfd-admin-down']);
  await vtysh('configure terminal', 'bfd', 'profile fast', 'no shutdown');
  await allUp();
});

/** Changes r1's configuration while it runs. */
// biome-ignore lint/suspicious/noExplicitAny: a test edits a configuration as data.
async function reconfigure(edit: (config: any) => void): Promise<void> {
  const text = editConfig(await readFile(fabric.configOf('r1'), 'utf8'), edit);
  const applied = await fabric.leafctl('r1', 'apply', scratchFile('bfd-edited.yaml', text));
  expect(applied.stderr).toBe('');
  expect(applied.exitCode).toBe(0);
}

it('other intervals come into force without a flap on either side', async () => {
  await allUp();
  const since = await lastEvent();
  await reconfigure((config) => {
    config.bgp.groups.near.bfd = { interval: '100ms', receive: '200ms', multiplier: 4 };
  });
  for (const name of [FRR, BIRD, LEAFD])
    await until(
      () => peer(name),
      ({ bfd }) => bfd?.session?.detectionMs === 600 && bfd.session.transmitMs === 100,
      {
        timeoutMs: 3000,
        what: `${name}: the new intervals`,
      },
    );
  await sleep(1000);
  expect((await eventsSince(since)).filter((one) => one.kind !== 'config-applied')).toEqual([]);
  const [told] = (JSON.parse(await vtysh('show bfd peers json')) as Record<string, unknown>[]).filter(
    (one) => one.peer === '10.0.1.0',
  );
  expect(told).toMatchObject({
    'remote-transmit-interval': 100,
    'remote-receive-interval': 200,
    'remote-detect-multiplier': 4,
  });
});

it('without BFD on this side: leafd keeps the session, FRR and BIRD come back without', async () => {
  await allUp();
  const since = await lastEvent();
  await reconfigure((config) => {
    delete config.bgp.groups.near.bfd;
  });
  const there = async () => (await fabric.get<PeersView>('r2', '/v1/peers')).peers[0]!;
  await until(there, ({ bfd }) => bfd?.session?.remoteState === 'adminDown', { timeoutMs: 3000 });
  await sleep(1500);
  expect((await there()).state).toBe('established');
  // RFC 5882 section 3.2 wants no more than that of the others; these versions take AdminDown of a peer for Down.
  const downs = (await eventsSince(since)).filter((one) => one.kind === 'peer-down');
  expect(downs.map((one) => one.peer)).toEqual(expect.not.arrayContaining([LEAFD, BIRD_FAR]));
  console.log(downs.map((one) => one.text).join('; '));
  const without = all.filter((name) => name !== BIRD_FAR);
  await until(watched, (seen) => without.every((name) => seen[name] === 'established undefined'), {
    timeoutMs: 15_000,
    what: 'sessions without BFD',
  });
  expect(await watched()).toMatchObject({ [BIRD_FAR]: 'established up' });
});
