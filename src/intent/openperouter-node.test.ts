// node-config.yaml in its spellings, and the index that an interface's addresses tell.

import { describe, expect, test } from 'vitest';
import { indexFromAddresses, readNodeFile } from './openperouter-node.ts';

describe('node-config.yaml', () => {
  const nodeOf = (text: string) => readNodeFile({ file: 'node-config.yaml', text });
  const eth0 = { value: 'eth0' };

  test.each([
    [
      'nodeIndex: 42\nlogLevel: debug',
      { nodeIndex: { kind: 'index', index: { value: 42 } }, logLevel: 'debug' },
    ],
    [
      'nodeIndex: {index: 0}\nnodeName: n1',
      { nodeIndex: { kind: 'index', index: { value: 0 } }, nodeName: 'n1' },
    ],
    ['nodeindex: {interfacename: eth0}', { nodeIndex: { kind: 'interface', name: eth0 } }],
    ['nodeIndex: {index: 0, interfaceName: eth0}', { nodeIndex: { kind: 'interface', name: eth0 } }],
    ['nodeIndexInterfaceName: eth0', { nodeIndex: { kind: 'interface', name: eth0 } }],
    ['nodeIndex: 0\nnodeIndexInterfaceName: eth0', { nodeIndex: { kind: 'interface', name: eth0 } }],
    [
      'nodeIndex: {interfaceName: eth0, cidr: 192.168.11.3/24}',
      { nodeIndex: { kind: 'interface', cidr: { value: '192.168.11.0/24' } } },
    ],
    ['', {}],
  ])('%j', (text, expected) => {
    expect(nodeOf(text).problems).toEqual([]);
    expect(nodeOf(text).node).toMatchObject(expected);
  });

  test.each([
    ['nodeIndex: -1', '1:12 nodeIndex'],
    ['nodeIndex: 65536', '1:12 nodeIndex'],
    ['nodeIndex: {index: 1.5}', '1:20 nodeIndex.index'],
    ['nodeIndex: {index: 1, interfaceName: eth0}', '1:23 nodeIndex.interfaceName'],
    ['nodeIndex: {index: 1, cidr: 10.0.0.0/8}', '1:23 nodeIndex.cidr'],
    ['nodeIndex: {interfaceName: eth0, cidr: 10.0.0.0}', '1:40 nodeIndex.cidr'],
    ['nodeIndex: {interface: eth0}', '1:13 nodeIndex.interface'],
    ['nodeIndex: 3\nnodeIndexInterfaceName: eth0', '2:1 nodeIndexInterfaceName'],
    ['nodeIndexes: 3', '1:1 nodeIndexes'],
    ['nodeName: 5', '1:11 nodeName'],
    ['{', '1:2 '],
  ])('%j is refused', (text, expected) => {
    const { node: found, problems } = nodeOf(text);
    expect(found).toBeUndefined();
    expect(problems.map(({ where, path }) => `${where.line}:${where.column} ${path}`)).toEqual([expected]);
  });

  test('the index is the host part of an address', () => {
    const at = (text: string, prefixLength: number) => ({
      bytes: Uint8Array.from(text.split('.').map(Number)),
      prefixLength,
    });
    const six = {
      bytes: Uint8Array.from([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 5]),
      prefixLength: 64,
    };
    const within = (value: string) => ({ value, place: { file: '', line: 1, column: 1 } });
    expect(indexFromAddresses([six, at('192.168.11.3', 24)], undefined)).toBe(3);
    expect(indexFromAddresses([at('10.1.2.3', 20)], undefined)).toBe(515);
    expect(indexFromAddresses([six], undefined)).toBe(261);
    expect(indexFromAddresses([at('192.168.11.3', 24), six], within('2001:db8::/32'))).toBe(261);
    expect(indexFromAddresses([at('192.168.11.3', 24)], within('10.0.0.0/8'))).toBeUndefined();
    expect(indexFromAddresses([at('10.1.2.3', 8)], undefined)).toBeUndefined();
    expect(indexFromAddresses([], undefined)).toBeUndefined();
  });
});
