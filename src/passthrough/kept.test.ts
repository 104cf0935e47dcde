import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { keptNetns, loadKept, saveKept } from './kept.ts';
import { PASSTHROUGH_STATE_FILE } from './names.ts';

let stateDir: string;
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'leafd-kept-'));
});
afterEach(() => rmSync(stateDir, { recursive: true }));

const whole = {
  schema: 1,
  namespace: { name: 'perouter', made: true, inode: 5, cookie: '7', bootId: 'b' },
  trial: { kind: 'confirmed', set: 'eth1' },
  sysctls: {},
  addresses: ['home pt-host 192.169.10.2/24'],
  making: ['pt-host'],
};
const write = (data: object): void =>
  writeFileSync(join(stateDir, PASSTHROUGH_STATE_FILE), JSON.stringify(data));

test('what is kept is read as it was written; nothing is no file', () => {
  expect(keptNetns(stateDir)).toBeUndefined();
  write(whole);
  const kept = loadKept(stateDir);
  saveKept(stateDir, kept);
  expect(loadKept(stateDir)).toEqual(kept);
  expect(kept).toMatchObject({ namespace: whole.namespace, trial: whole.trial });
  expect([...kept.addresses, ...kept.making]).toEqual([...whole.addresses, ...whole.making]);
});

test.each([
  ['a namespace that is a path', { ...whole, namespace: { ...whole.namespace, name: '../../etc' } }],
  ['a namespace that is this directory', { ...whole, namespace: { ...whole.namespace, name: '.' } }],
  ['a namespace that is a word', { ...whole, namespace: 'perouter' }],
  ['a trial of no kind', { ...whole, trial: { kind: 'maybe', set: 'eth1' } }],
  ['a trial of nothing', { ...whole, trial: { kind: 'confirmed' } }],
  ['sysctls that are none', { ...whole, sysctls: null }],
  ['a file of a later leafd', { ...whole, schema: 99 }],
])('%s is a damaged file, told with a hint', (_what, data) => {
  write(data);
  expect(() => loadKept(stateDir)).toThrow(expect.objectContaining({ code: 'state-unreadable' }));
});
