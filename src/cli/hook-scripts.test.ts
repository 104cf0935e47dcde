// The scripts that hypervisors run, with a leafctl of the test's own: whatever it does, a guest starts within a second,
// unless the operator wants it otherwise.

import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'leafd-hook-scripts-'));
afterAll(() => rmSync(folder, { recursive: true }));

interface Outcome {
  code: number | null;
  out: string;
  err: string;
  tookMs: number;
}

function run(script: string, words: string[], leafctl: string, strict = false): Promise<Outcome> {
  writeFileSync(join(folder, 'leafctl'), `#!/bin/sh\n${leafctl}\n`);
  chmodSync(join(folder, 'leafctl'), 0o755);
  return new Promise((resolve) => {
    const env = { PATH: `${folder}:/usr/bin:/bin`, ...(strict && { LEAFD_HOOK_STRICT: '1' }) };
    const started = performance.now();
    const child = spawn(join('packaging', 'hooks', script), words, { env });
    let [out, err] = ['', ''];
    child.stdout.on('data', (chunk) => void (out += chunk));
    child.stderr.on('data', (chunk) => void (err += chunk));
    child.stdin.on('error', () => {});
    child.stdin.end('<domain/>');
    child.on('close', (code) => resolve({ code, out, err, tookMs: performance.now() - started }));
  });
}

const proxmox = ['100', 'pre-start'];
const libvirt = ['web 1', 'prepare', 'begin', '-'];

test('hand on their words and stdin, and keep stdout empty for libvirt', async () => {
  const echo = 'echo "$#: $*" >&2; cat >&2; echo an answer';
  expect(await run('leafd-proxmox-hook', proxmox, 'echo "$*" >&2')).toMatchObject({
    code: 0,
    err: 'hook proxmox -- 100 pre-start\n',
  });
  expect(await run('leafd-libvirt-hook', libvirt, echo)).toMatchObject({
    code: 0,
    out: '',
    err: '7: hook libvirt -- web 1 prepare begin -\n<domain/>',
  });
});

test('succeed when leafctl fails, unless strict; reconnect always', async () => {
  expect(await run('leafd-proxmox-hook', proxmox, 'exit 5')).toMatchObject({ code: 0 });
  expect(await run('leafd-proxmox-hook', proxmox, 'exit 5', true)).toMatchObject({ code: 5 });
  expect(await run('leafd-libvirt-hook', libvirt, 'exit 5')).toMatchObject({ code: 0 });
  expect(await run('leafd-libvirt-hook', libvirt, 'exit 5', true)).toMatchObject({ code: 5 });
  expect(await run('leafd-libvirt-hook', ['w', 'reconnect', 'begin', '-'], 'exit 5', true)).toMatchObject({
    code: 0,
  });
  // There is none: 127 of the shell.
  expect(await run('leafd-proxmox-hook', proxmox, 'exec /nowhere/leafctl')).toMatchObject({ code: 0 });
});

test('end within about a second when leafctl hangs, deaf to signals', async () => {
  for (const [script, words] of [
    ['leafd-proxmox-hook', proxmox],
    ['leafd-libvirt-hook', libvirt],
  ] as const) {
    const { code, tookMs } = await run(script, words, "trap '' TERM INT; exec sleep 20");
    expect(code).toBe(0);
    expect(tookMs).toBeLessThan(1500);
  }
});
