// A directory of OpenPERouter on disk: which files count, in which order, and which node it makes of this one.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LeafdError } from '../lib/leafd-error.ts';
import { type HostFacts, readOpenperouterDirectory } from './files-openperouter.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'leafd-openperouter-'));
  mkdirSync(join(directory, 'configs'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const put = (name: string, text: string) => writeFileSync(join(directory, name), text);
const host: HostFacts = {
  addressesOf: (name) =>
    name === 'eth0' ? [{ bytes: Uint8Array.from([192, 168, 11, 3]), prefixLength: 24 }] : [],
  hostname: 'this-host',
  labels: { rack: 'r1' },
};
const read = () => readOpenperouterDirectory(directory, host);
const failure = (): LeafdError => {
  try {
    read();
  } catch (error) {
    expect(error).toBeInstanceOf(LeafdError);
    return error as LeafdError;
  }
  throw new Error('was taken');
};

test('configs/openpe_*.yaml in the order of their names, and nothing else', () => {
  for (const name of ['openpe_b.yaml', 'openpe_a.yaml', 'other.yaml', 'openpe_c.yml', '.openpe_d.yaml'])
    put(join('configs', name), `# ${name}\n`);
  put('openpe_e.yaml', '');
  const { sources, node } = read();
  expect(sources.map(({ file, text }) => [file, text])).toEqual(
    ['openpe_a.yaml', 'openpe_b.yaml'].map((name) => [join(directory, 'configs', name), `# ${name}\n`]),
  );
  expect(node).toEqual({ index: 0, name: 'this-host', labels: { rack: 'r1' } });
});

test('the node by number, and by the address of an interface', () => {
  put('node-config.yaml', 'nodeIndex: 7\nnodeName: worker-7\n');
  expect(read().node).toMatchObject({ index: 7, name: 'worker-7' });
  put('node-config.yaml', 'nodeIndex: {interfaceName: eth0}\nlogLevel: debug\n');
  expect(read().node).toMatchObject({ index: 3, name: 'this-host' });
});

test('a node that cannot be told is refused: another may have its addresses', () => {
  put('node-config.yaml', 'nodeIndex: {interfaceName: eth7}\n');
  expect(failure()).toMatchObject({ code: 'node-index-unknown', where: { line: 1, column: 28 } });
  put('node-config.yaml', 'nodeIndex: {interfaceName: eth0, cidr: 10.0.0.0/8}\n');
  expect(failure().message).toContain('within 10.0.0.0/8');
  put('node-config.yaml', 'nodeIndex: {indx: 1}\n');
  expect(failure()).toMatchObject({ code: 'config-invalid', hint: 'did you mean "index"?' });
});

test('a directory that is not there says nothing, one that is a file is told', () => {
  rmSync(join(directory, 'configs'), { recursive: true });
  expect(read().sources).toEqual([]);
  expect(readOpenperouterDirectory(join(directory, 'none'), host)).toMatchObject({
    sources: [],
    node: { index: 0 },
  });
  put('configs', '');
  expect(failure()).toMatchObject({ code: 'config-unreadable' });
});

test.each([
  ['configs/openpe_a.yaml', 'fifo'],
  ['node-config.yaml', 'fifo'],
  ['configs/openpe_a.yaml', '/dev/zero'],
])('%s that is %s is refused, and nobody waits for it', (name, what) => {
  if (what === 'fifo') execFileSync('mkfifo', [join(directory, name)]);
  else symlinkSync(what, join(directory, name));
  expect(failure()).toMatchObject({
    code: 'config-unreadable',
    message: expect.stringContaining('no regular file'),
  });
});

test('more files than a node can have are refused', () => {
  for (let i = 0; i <= 256; i++) put(`configs/openpe_${i}.yaml`, '');
  expect(failure()).toMatchObject({
    code: 'config-unreadable',
    message: expect.stringContaining('257 files'),
  });
});
