// A restart is invisible: while one daemon of a fabric at rest ends and comes back, packets arrive everywhere, at
// every moment. And what is not a graceful restart is seen at once, so that the first test means something.

import { expect, test } from 'vitest';
import { closTopology, type Scheme } from '../../src/sim/clos.ts';
import { reaches, unrest } from '../../src/sim/invariants.ts';
import { World } from '../../src/sim/world.ts';

const BOOT_MS = 12_000;
const STEP_MS = 10;

function fabric(scheme: Scheme, seed: number): World {
  const world = new World(closTopology({ spines: 2, leaves: 3, guestsPerLeaf: 1, scheme }), seed);
  world.boot();
  world.run(BOOT_MS);
  expect(unrest(world)).toBeUndefined();
  return world;
}

/** Lives through `durationMs` and gathers the moments at which packets did not arrive. */
function lossesDuring(world: World, durationMs: number): string[] {
  const lost: string[] = [];
  // Numbered peers carry IPv4 alone.
  const families = world.nodes[0]!.ports[0]!.addresses.length > 0 ? [4] : [4, 16];
  const guests = world.nodes
    .flatMap((node) => [...node.statics.values()])
    .filter(({ bytes }) => families.includes(bytes.length));
  for (let ms = 0; ms < durationMs; ms += STEP_MS) {
    world.run(STEP_MS);
    for (const node of world.nodes)
      for (const guest of guests) {
        const verdict = reaches(world, node, guest);
        if (verdict !== 'arrives') lost.push(`${world.nowMs} ms, from ${node.name}: ${verdict}`);
      }
  }
  return lost.slice(0, 5);
}

const ends = { crash: 'a crash', stop: 'a stop for a restart' } as const;

for (const scheme of ['ebgp', 'ibgp', 'numbered'] as const)
  for (const [kind, name] of Object.entries(ends))
    test(`${scheme}: ${name} of any daemon loses no packet`, () => {
      const names = fabric(scheme, 1).nodes.map((node) => node.name);
      names.forEach((victim, i) => {
        const world = fabric(scheme, i + 1);
        const node = world.node(victim);
        if (kind === 'crash') node.crash(false);
        else node.stop(false);
        expect(lossesDuring(world, 1500 + 700 * i), `${victim} is down`).toEqual([]);
        node.start(true);
        expect(lossesDuring(world, 8000), `${victim} is back`).toEqual([]);
        world.run(5000);
        expect(unrest(world)).toBeUndefined();
      });
    });

for (const scheme of ['ebgp', 'ibgp'] as const)
  test(`${scheme}: all daemons crash at once and no packet is lost`, () => {
    for (let seed = 1; seed <= 5; seed++) {
      const world = fabric(scheme, seed);
      for (const node of world.nodes) node.crash(false);
      expect(lossesDuring(world, 1000), 'all are down').toEqual([]);
      for (const node of world.nodes) world.schedule.after(world.rng.below(3000), () => node.start(true));
      expect(lossesDuring(world, 15_000), 'all are back').toEqual([]);
      expect(lossesDuring(world, 6000), 'old routes are swept').toEqual([]);
      expect(unrest(world)).toBeUndefined();
    }
  });

test('a leaf that stops for good is seen', () => {
  const world = fabric('ebgp', 1);
  world.node('leaf1').stop(true);
  expect(lossesDuring(world, 1000).length).toBeGreaterThan(0);
});

test('a peer that does not come back in its time is given up', () => {
  const world = fabric('ebgp', 1);
  const { networks } = world.node('leaf1').config;
  world.node('leaf1').crash(false);
  world.run(19_000);
  expect(reaches(world, world.node('leaf2'), networks[0]!)).toBe('arrives');
  world.run(2000);
  expect(reaches(world, world.node('leaf2'), networks[0]!)).toContain('has no way');
});
