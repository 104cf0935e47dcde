// The file of attachments: many changes are one write, who waits is told when it is on disk, a disk that fails ends
// nothing.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import type { LeafdError } from '../lib/leafd-error.ts';
import { Attachments } from './attachments.ts';

const directory = mkdtempSync(join(tmpdir(), 'leafd-attachments-'));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function store(name: string) {
  const path = join(directory, name, 'guests.json');
  const troubles: LeafdError[] = [];
  const state = { text: '', texts: 0 };
  const attachments = new Attachments({
    path,
    text: () => {
      state.texts++;
      return state.text;
    },
    trouble: (error) => troubles.push(error),
  });
  return { attachments, path, troubles, state };
}

test('changes of one turn are one write, and saved() means on disk', async () => {
  const { attachments, path, state } = store('one');
  expect(attachments.read()).toBeUndefined();
  for (let i = 0; i < 100; i++) {
    state.text = `${i}`;
    attachments.changed();
  }
  await attachments.saved();
  expect(readFileSync(path, 'utf8')).toBe('99');
  expect(state.texts).toBe(1);
  expect(attachments.read()).toBe('99');
});

test('a change while a write is under way is written after it', async () => {
  const { attachments, path, state } = store('two');
  state.text = 'first';
  attachments.changed();
  await new Promise((resolve) => setImmediate(resolve));
  state.text = 'second';
  await attachments.saved();
  expect(readFileSync(path, 'utf8')).toBe('second');
});

test('where the disk fails who waits is told, the old file stays, and the next try succeeds', async () => {
  const { attachments, path, troubles, state } = store('three');
  state.text = 'old';
  attachments.changed();
  await attachments.saved();
  // A directory in the way of the temporary file: whatever uid runs the test, it cannot be written.
  mkdirSync(`${path}.tmp`);
  writeFileSync(join(`${path}.tmp`, 'x'), '');
  state.text = 'new';
  attachments.changed();
  await expect(attachments.saved()).rejects.toMatchObject({ code: 'state-unwritable' });
  await expect(attachments.saved()).rejects.toMatchObject({ code: 'state-unwritable' });
  expect(troubles).toHaveLength(1);
  expect(readFileSync(path, 'utf8')).toBe('old');
  rmSync(`${path}.tmp`, { recursive: true });
  await attachments.saved();
  expect(readFileSync(path, 'utf8')).toBe('new');
});

test('closing writes what is left', async () => {
  const { attachments, path, state } = store('four');
  state.text = 'last';
  attachments.changed();
  await attachments.close();
  expect(readFileSync(path, 'utf8')).toBe('last');
});
