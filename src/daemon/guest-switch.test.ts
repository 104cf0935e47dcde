// When the code of guests is needed by a machine whose configuration has none.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { GUEST_BRIDGE_ALIAS, GUEST_STATE_FILE } from '../dataplane/guest-wish.ts';
import { isSomethingLeft } from './guest-switch.ts';

const directory = mkdtempSync(join(tmpdir(), 'leafd-guest-switch-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test('settings to take back, or a bridge that leafd made, are left of a life with guests', () => {
  const links = new Map([[1, { alias: 'uplink' }]]);
  expect(isSomethingLeft(directory, links)).toBe(false);
  links.set(2, { alias: GUEST_BRIDGE_ALIAS });
  expect(isSomethingLeft(directory, links)).toBe(true);
  links.delete(2);
  writeFileSync(join(directory, GUEST_STATE_FILE), '{}');
  expect(isSomethingLeft(directory, links)).toBe(true);
});
