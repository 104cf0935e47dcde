// `leafctl lab up` is killed with SIGKILL at one moment after another: `down` removes whatever it had made, and the
// same lab can be raised afterwards.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { afterAll, expect, it } from 'vitest';
import { exampleFabric, leafctl, leafctlPath, leftOf, sleep } from '../support/fabric.ts';

const fabric = exampleFabric('clos', 'crash');

afterAll(async () => {
  expect(await fabric.down()).toEqual([]);
});

/** Starts `lab up`, kills it some time after it has begun to make the lab, and says what there was then. */
async function killUpAfter(ms: number): Promise<number> {
  const child = spawn(leafctlPath, ['lab', 'up', fabric.file], { stdio: 'ignore' });
  const ended = new Promise((resolve) => child.once('close', resolve));
  const deadline = performance.now() + 10_000;
  while (!existsSync(`/run/leafd-lab/${fabric.name}`) && performance.now() < deadline) await sleep(2);
  await sleep(ms);
  child.kill('SIGKILL');
  await ended;
  return leftOf(fabric.name).length;
}

it.each([0, 60, 150, 250, 350, 500, 700])(
  'killed %i ms after it began, it leaves nothing that down does not remove',
  async (ms) => {
    const left = await killUpAfter(ms);
    expect(left).toBeGreaterThan(0);
    const down = await leafctl('lab', 'down', fabric.name);
    console.log(`${left} things left; ${down.stdout.trim()}`);
    expect(down).toMatchObject({ exitCode: 0, stderr: '' });
    expect(leftOf(fabric.name)).toEqual([]);
  },
);

it('a lab that is half made refuses up, is told as broken, and goes with down', async () => {
  await killUpAfter(250);
  const again = await leafctl('lab', 'up', fabric.file);
  expect(again.exitCode).toBe(5);
  expect(again.stderr).toMatch(/half made|is up already/);
  expect(again.stderr).toContain(`leafctl lab down ${fabric.name}`);
  const { labs } = JSON.parse((await leafctl('-j', 'lab', 'ls')).stdout) as {
    labs: { name: string; state: string }[];
  };
  expect(labs.find((lab) => lab.name === fabric.name)?.state).toBe('broken');
  expect(await fabric.down()).toEqual([]);
});

it('comes up afterwards as if nothing had been', async () => {
  const { sessions } = await fabric.up();
  expect(sessions).toMatchObject({ established: 12, expected: 12 });
});

it('takes a daemon’s death: told, and mended by restart', async () => {
  const pid = await fabric.pid('leaf2');
  process.kill(pid, 'SIGKILL');
  await sleep(200);
  const status = await leafctl('lab', 'status', fabric.name);
  expect(status.exitCode).toBe(1);
  expect(status.stdout).toMatch(/^leaf2 .*down/m);
  await fabric.lab('restart', 'leaf2');
  await fabric.allSessions();
});
