// The one who moves NICs is killed after each step in both directions, and another takes over: whether the NIC is still
// wanted or no more, it ends where it belongs with all that it had.

import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { NicStep } from '../../src/passthrough/nic-mover.ts';
import { furnish, type NicHost, nicHost, type Picture } from '../support/nic-host.ts';

const root = process.getuid?.() === 0;

const inward: readonly NicStep[] = ['saved', 'marked', 'moved', 'up', 'addresses', 'remainders', 'done'];
const homeward: readonly NicStep[] = [
  'movedHome',
  'linkHome',
  'settingsHome',
  'masterHome',
  'upHome',
  'addressesHome',
  'routesHome',
  'neighboursHome',
  'unmarked',
  'forgotten',
];

const MOVER = new URL('../../src/passthrough/nic-mover.ts', import.meta.url).href;
const RTNL = new URL('../../src/netlink/rtnl.ts', import.meta.url).href;

/** A process that moves NICs and is killed once it has done this step. */
function killedAfter(host: NicHost, wanted: readonly string[], step: NicStep, nic: string): void {
  const words = JSON.stringify({ home: host.home, router: host.router, stateDir: host.stateDir });
  const script = `
    const { NicMover } = await import(${JSON.stringify(MOVER)});
    const { kernelRtnl } = await import(${JSON.stringify(RTNL)});
    const { home, router, stateDir } = ${words};
    const side = (netns) => ({ rtnl: kernelRtnl(netns), netns });
    const onStep = (step, name) => {
      if (step === ${JSON.stringify(step)} && name === ${JSON.stringify(nic)}) process.kill(process.pid, 'SIGKILL');
    };
    const mover = new NicMover({ home: side(home), router: side(router), stateDir, onStep });
    console.log(JSON.stringify(mover.reconcile(${JSON.stringify(wanted)})));
    process.exit(1);`;
  const argv = ['--import', 'tsx', '--input-type=module', '-e', script];
  const { signal, stdout, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8' });
  expect(signal, `${stdout}${stderr}`).toBe('SIGKILL');
}

describe.skipIf(!root)('killed while NICs are moved', () => {
  let host: NicHost;
  let home: Picture;
  let away: Picture;
  let inside: Picture;

  beforeAll(async () => {
    host = nicHost('k');
    furnish(host);
    await host.settled();
    home = host.picture(host.home);
    expect(host.mover().reconcile(['eth1'])).toMatchObject([{ place: 'router', state: 'done' }]);
    await host.settled();
    away = host.picture(host.home);
    inside = host.picture(host.router);
    await comeHome();
  });
  afterAll(() => host?.remove());

  async function comeHome(): Promise<void> {
    const list = host.mover().reconcile([]);
    for (const nic of list)
      expect(nic).toEqual({ name: nic.name, place: 'home', state: 'done', saved: undefined });
    expect(await host.pictureLike(host.home, home)).toEqual(home);
  }

  async function goIn(): Promise<void> {
    expect(host.mover().reconcile(['eth1'])).toMatchObject([{ place: 'router', state: 'done' }]);
    expect(await host.pictureLike(host.router, inside)).toEqual(inside);
    expect(await host.pictureLike(host.home, away)).toEqual(away);
  }

  test.each(inward)('inwards after %s: the next one finishes', async (step) => {
    killedAfter(host, ['eth1'], step, 'eth1');
    await goIn();
    await comeHome();
  });

  test.each(inward)('inwards after %s: the next one takes it home', async (step) => {
    killedAfter(host, ['eth1'], step, 'eth1');
    await comeHome();
  });

  test.each(homeward)('homewards after %s: the next one finishes', async (step) => {
    await goIn();
    killedAfter(host, [], step, 'eth1');
    await comeHome();
  });

  test.each(homeward)('homewards after %s: the next one takes it in again', async (step) => {
    await goIn();
    killedAfter(host, [], step, 'eth1');
    await goIn();
    await comeHome();
  });

  test.each(['saved', 'marked', 'moved', 'addresses'] as const)(
    'two NICs, the second after %s',
    async (step) => {
      killedAfter(host, ['eth1', 'eth2'], step, 'eth2');
      expect(
        host
          .mover()
          .reconcile(['eth1', 'eth2'])
          .map((nic) => nic.state),
      ).toEqual(['done', 'done']);
      await comeHome();
    },
  );
});
