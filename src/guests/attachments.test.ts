// The file of attachments: many changes are one write, who waits is told when it is on disk, a disk that fails ends
// nothing.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { LeafdError } from '../lib/leafd-error.ts';
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

const decode = (text: string) => {
  if (text.startsWith('{')) throw new LeafdError('state-unreadable', 'is damaged', { hint: 'attach again' });
  const skipped = text.includes('?') ? [new LeafdError('state-unreadable', 'entry 1 is wrong')] : [];
  return { text, skipped };
};

test('changes of one turn are one write, and saved() means on disk', async () => {
  const { attachments, path, state } = store('one');
  expect(attachments.load(decode)).toBeUndefined();
  for (let i = 0; i < 100; i++) {
    state.text = `${i}`;
    attachments.changed();
  }
  await attachments.saved();
  expect(readFileSync(path, 'utf8')).toBe('99');
  expect(state.texts).toBe(1);
  expect(attachments.load(decode)?.text).toBe('99');
});

test('a change while a write is under way is written after it', async () => {
  const { attachments, path, state } = store('two');
  attachments.load(decode);
  state.text = 'first';
  attachments.changed();
  await new Promise((resolve) => setImmediate(resolve));
  state.text = 'second';
  await attachments.saved();
  expect(readFileSync(path, 'utf8')).toBe('second');
});

test('changes soon after a write are one more, at once for those who wait', async () => {
  const { attachments, path, state } = store('soon');
  attachments.load(decode);
  attachments.changed();
  await attachments.saved();
  for (let i = 0; i < 10; i++) {
    state.text = `${i}`;
    attachments.changed();
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(state.texts).toBe(1);
  const beganMs = performance.now();
  await Promise.all([attachments.saved(), attachments.saved()]);
  expect(performance.now() - beganMs).toBeLessThan(90);
  expect(state.texts).toBe(2);
  expect(readFileSync(path, 'utf8')).toBe('9');
  state.text = 'later';
  attachments.changed();
  await expect.poll(() => readFileSync(path, 'utf8')).toBe('later');
  expect(state.texts).toBe(3);
});

test('where the disk fails who waits is told, the old file stays, and the next try succeeds', async () => {
  const { attachments, path, troubles, state } = store('three');
  attachments.load(decode);
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
  attachments.load(decode);
  state.text = 'last';
  attachments.changed();
  await attachments.close();
  expect(readFileSync(path, 'utf8')).toBe('last');
});

test('nothing is written before the old file was read', async () => {
  const { attachments, path, state } = store('five');
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, 'of a former life');
  state.text = 'new';
  attachments.changed();
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(readFileSync(path, 'utf8')).toBe('of a former life');
  expect(attachments.load(decode)?.text).toBe('of a former life');
  await attachments.saved();
  expect(readFileSync(path, 'utf8')).toBe('new');
});

test.each(['{damaged', 'good, bad?'])(
  'a file that is not understood, "%s", is told and kept',
  async (old) => {
    const { attachments, path, state, troubles } = store('six');
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, old);
    expect(attachments.load(decode)?.text).toBe(old.startsWith('{') ? undefined : old);
    expect(troubles.map(({ code }) => code)).toEqual(['state-unreadable']);
    expect(troubles[0]!.hint).toContain(`${path}.unread`);
    for (const text of ['new', 'newer']) {
      state.text = text;
      attachments.changed();
      await attachments.saved();
      expect(readFileSync(path, 'utf8')).toBe(text);
      expect(readFileSync(`${path}.unread`, 'utf8')).toBe(old);
    }
  },
);

test('a directory in place of the file is told with its reason, and kept too', async () => {
  const { attachments, path, troubles } = store('seven');
  mkdirSync(path, { recursive: true });
  expect(attachments.load(decode)).toBeUndefined();
  expect(troubles[0]!.message).toMatch(/cannot read .*EISDIR/);
  attachments.changed();
  await attachments.saved();
  expect(readFileSync(path, 'utf8')).toBe('');
});
