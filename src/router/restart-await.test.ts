// A restart that waits for the speakers of its own host: the fabric's side (`tor`) keeps their routes over the crash of
// the router between (`r`), and must never see one go that did not go, however late the speaker tells it again.

import { expect, test } from 'vitest';
import { bed, installed4, type Peer, prefixes, state, told, type World } from '../../test/sim/bed.ts';
import { parseIp } from '../net/ip.ts';
import { fabricPeer, prefix } from '../sim/clos.ts';
import { findViolation, unrest } from '../sim/invariants.ts';
import type { InterfacePeer, PeerSettings } from './config.ts';

const SERVICE = '172.30.0.10/32';
const AWAIT_MS = 30_000;

/**
 * tor - r - the speakers; the first announces the service address. They are known by their addresses as those of a host
 * are.
 */
function node(speakers: Partial<PeerSettings>[], awaitMs = AWAIT_MS): World {
  const near = { ...fabricPeer(false), kind: 'address' as const };
  const tor: InterfacePeer = { ...fabricPeer(false), kind: 'interface', pattern: 'eth*' };
  const world = bed(
    [
      { name: 'tor', asn: 64512, networks: ['192.170.20.0/24'], peers: [tor] },
      {
        name: 'r',
        asn: 64514,
        peers: [tor, ...speakers.map((_, i) => ({ ...near, address: far(i), families: 1, awaitMs }))],
        addresses: speakers.map((_, i) => `pt${i} 192.169.${i}.1/24`),
      },
      ...speakers.map((settings, i) => ({
        name: `host${i}`,
        asn: 64515 + i,
        statics: i === 0 ? [SERVICE] : [`172.30.0.${10 + i}/32`],
        peers: [{ ...near, address: parseIp(`192.169.${i}.1`)!, families: 1, ...settings }],
        addresses: [`eth1 192.169.${i}.2/24`],
      })),
    ],
    ['tor:eth1 r:eth0', ...speakers.map((_, i) => `r:pt${i} host${i}:eth1`)],
  );
  // Long enough for the latest of speakers.
  for (const name of ['tor', 'r']) {
    const { config } = world.node(name);
    const gracefulRestart = { restartTimeMs: 120_000, stalePathTimeMs: 360_000, notification: true };
    world.node(name).configure({ ...config, gracefulRestart });
  }
  world.run(8000);
  expect(unrest(world)).toBeUndefined();
  expect(prefixes(world, 'tor')).toContain(SERVICE);
  return world;
}

const far = (speaker: number): Uint8Array => parseIp(`192.169.${speaker}.2`)!;

/** Starts r again after its crash; it does not take End-of-RIB from those who would not send it. */
function startAgain(world: World): void {
  world.node('r').start(true);
  const { restart } = world.router('r');
  const taken = restart.endOfRib.bind(restart);
  const endOfRib = (peer: Peer, family: number): void => {
    const speaker = world.nodes.find(({ name }) => name === `host${peer.name.split('.')[2]}`);
    if (speaker?.config.peers[0]?.gracefulRestart !== 'off') taken(peer, family);
  };
  Object.defineProperty(restart, 'endOfRib', { value: endOfRib });
}

/** Lives on, and says when the far end, or the kernel between, had the service's route no more. */
function lossesDuring(world: World, durationMs: number): string[] {
  const lost: string[] = [];
  for (let ms = 0; ms < durationMs; ms += 50) {
    world.run(50);
    if (!prefixes(world, 'tor').includes(SERVICE)) lost.push(`${world.nowMs}: tor`);
    if (!installed4(world, 'r').includes(SERVICE)) lost.push(`${world.nowMs}: kernel of r`);
  }
  return lost.slice(0, 3);
}

/** Crashes r and starts it again after a second. */
function restart(world: World): void {
  world.node('r').crash(false);
  world.run(1000);
  startAgain(world);
}

/** How long the restart took until the neighbours were told that this is all. */
function tookMs(world: World, startedMs: number): number {
  const [done] = world.events.filter((one) => one.node === 'r' && one.event.kind === 'restartDone').slice(-1);
  return done!.atMs - startedMs;
}

const kinds = {
  'graceful restart': {},
  'helping others alone, as FRR and BIRD do by themselves': { gracefulRestart: 'helper' },
  'no graceful restart': { gracefulRestart: 'off' },
} as const;

for (const [kind, settings] of Object.entries(kinds))
  test(`a speaker with ${kind}: its route stays, and nobody waits long`, () => {
    const world = node([settings]);
    const startedMs = world.nowMs + 1000;
    restart(world);
    expect(lossesDuring(world, 12_000)).toEqual([]);
    expect(tookMs(world, startedMs)).toBeLessThan(6000);
    expect(world.router('r').isFinishing).toBe(false);
    expect(findViolation(world, 'oracle')).toBeUndefined();
  });

test('a speaker without End-of-RIB that tells its routes two seconds after its session is up', () => {
  const world = node([{ gracefulRestart: 'off' }]);
  world.node('r').crash(false);
  const { advertiser } = world.router('host0');
  Object.defineProperty(advertiser, 'flush', { value: () => false, configurable: true });
  startAgain(world);
  while (state(world, 'r', '192.169.0.2') !== 'established') expect(lossesDuring(world, 50)).toEqual([]);
  expect(lossesDuring(world, 2000)).toEqual([]);
  expect(world.router('r').restart.waitingFor()).toEqual(['192.169.0.2']);
  Reflect.deleteProperty(advertiser, 'flush');
  world.router('host0').wake();
  expect(lossesDuring(world, 8000)).toEqual([]);
  expect(world.router('r').isFinishing).toBe(false);
});

for (const [kind, settings] of Object.entries(kinds))
  test(`a speaker that comes only after twenty seconds, with ${kind}`, () => {
    const world = node([settings]);
    world.node('r').crash(false);
    world.node('host0').crash(false);
    startAgain(world);
    expect(lossesDuring(world, 20_000)).toEqual([]);
    expect(world.router('r').restart.waitingFor()).toEqual(['192.169.0.2']);
    world.node('host0').start(false);
    expect(lossesDuring(world, 9000)).toEqual([]);
    expect(world.router('r').isFinishing).toBe(false);
  });

test('a speaker that restarts at the same moment is waited for: its routes come back with it', () => {
  const world = node([{}]);
  world.node('r').crash(false);
  world.node('host0').crash(false);
  startAgain(world);
  world.run(500);
  // It has heard nothing of its own routes yet: its End-of-RIB comes five seconds late.
  world.node('host0').start(true);
  world.router('host0').restart.hold();
  expect(lossesDuring(world, 10_000)).toEqual([]);
  expect(world.peer('r', '192.169.0.2').negotiated?.gracefulRestart?.restartState).toBe(true);
  expect(world.router('r').restart.waitingFor()).toEqual(['192.169.0.2']);
  world.router('host0').restart.release();
  expect(lossesDuring(world, 20_000)).toEqual([]);
  expect(world.router('r').isFinishing).toBe(false);
});

test('one that is not there is given up after its own time, in the fabric and in the kernel', () => {
  const world = node([{}, {}]);
  const startedMs = world.nowMs + 1000;
  world.node('host0').crash(true);
  restart(world);
  expect(world.router('r').restart.deferUntilMs).toBe(startedMs + AWAIT_MS);
  expect(lossesDuring(world, AWAIT_MS - 500)).toEqual([]);
  world.run(1500);
  expect(tookMs(world, startedMs)).toBe(AWAIT_MS);
  expect(told(world, 'r', 'restartDone').at(-1)?.text).toBe('the time is up for 192.169.0.2');
  expect(prefixes(world, 'tor')).not.toContain(SERVICE);
  expect(prefixes(world, 'tor')).toContain('172.30.0.11/32');
  expect(installed4(world, 'r')).not.toContain(SERVICE);
  expect(world.router('r').isFinishing).toBe(false);
});

test('a time beyond the usual bound is kept to', () => {
  const world = node([{}], 90_000);
  world.node('r').crash(false);
  world.node('host0').crash(false);
  startAgain(world);
  expect(lossesDuring(world, 80_000)).toEqual([]);
  world.node('host0').start(false);
  expect(lossesDuring(world, 8000)).toEqual([]);
  expect(world.router('r').isFinishing).toBe(false);
});

test('one that never falls silent is not waited for beyond its time', () => {
  const world = node([{ gracefulRestart: 'off' }]);
  const startedMs = world.nowMs + 1000;
  restart(world);
  for (let i = 0; i < 80; i++) {
    world.run(400);
    if (i % 2 === 0) world.node('host0').addStatic(prefix('172.30.0.99/32'));
    else world.node('host0').removeStatic(prefix('172.30.0.99/32'));
  }
  expect(tookMs(world, startedMs)).toBe(AWAIT_MS);
});

test('one that the operator has shut down is not waited for', () => {
  const world = node([{}, {}]);
  const { config } = world.node('r');
  const shut = config.peers.map((peer) =>
    peer.kind === 'address' && peer.address[2] === 1 ? { ...peer, shutdown: true } : peer,
  );
  world.node('r').configure({ ...config, peers: shut });
  const startedMs = world.nowMs + 1000;
  restart(world);
  expect(lossesDuring(world, 8000)).toEqual([]);
  expect(tookMs(world, startedMs)).toBeLessThan(6000);
});

test('while there is no restart nobody waits for anybody', () => {
  const world = node([{}, {}]);
  world.node('host1').crash(true);
  world.node('host0').addStatic(prefix('172.30.0.20/32'));
  world.run(100);
  expect(prefixes(world, 'tor')).toContain('172.30.0.20/32');
});

test('a machine that boots waits for nobody', () => {
  const world = bed(
    [
      { name: 'tor', asn: 64512, networks: ['192.170.20.0/24'] },
      { name: 'r', asn: 64514, networks: ['10.0.0.9/32'], peer: { awaitMs: AWAIT_MS } },
    ],
    ['tor:eth1 r:eth0', 'tor:eth2 r:eth1'],
  );
  world.run(3000);
  expect(prefixes(world, 'tor')).toContain('10.0.0.9/32');
});

test.each([
  ['less than it is awaited', AWAIT_MS, 25],
  ['as long as anybody where it is hardly awaited', 5000, 120],
])('a speaker is asked to keep routes for %s', (_, awaitMs, seconds) => {
  const world = node([{}], awaitMs);
  const offered = (name: string) =>
    [...world.router(name).directory.byName.values()].map(({ offered }) =>
      offered!.session.capabilities.flatMap((one) => (one.kind === 'gracefulRestart' ? [one.timeS] : [])),
    );
  expect(offered('r').flat().sort()).toEqual([120, seconds].sort());
});
