// Objects of the Kubernetes API as sources of configuration: what is kept of them, and which Secrets they may name.

import { describe, expect, test } from 'vitest';
import {
  type ApiObject,
  configurationOf,
  MAX_SECRETS,
  nodeFacts,
  passwordsOf,
  RESOURCE_TYPES,
  secretReferences,
  sourcesOf,
} from './kubernetes-resources.ts';

const underlay = (neighbors: unknown, namespace = 'system'): ApiObject => ({
  metadata: { name: 'underlay', namespace },
  spec: { neighbors },
});
const decode = (text: string) => Buffer.from(text, 'base64').toString('utf8');
const encode = (text: string) => Buffer.from(text).toString('base64');

describe('Secrets that neighbours name', () => {
  test('are in the namespace of their Underlay, in both spellings', () => {
    const found = secretReferences([
      underlay([
        { passwordSecret: 'plain' },
        { passwordSecret: { name: 'keyed', key: 'bgp', namespace: 'kube-system' } },
      ]),
    ]);
    expect([...found]).toEqual([
      ['system/plain', { namespace: 'system', name: 'plain', keys: ['password'] }],
      ['system/keyed', { namespace: 'system', name: 'keyed', keys: ['bgp'] }],
    ]);
  });

  test.each(['../../nodes', 'a/b', 'x,metadata.name=y', '', 'UPPER', 7, null, ['a']])(
    '%j is none',
    (name) => {
      expect(
        secretReferences([underlay([{ passwordSecret: name }, { passwordSecret: { name } }])]).size,
      ).toBe(0);
    },
  );

  test.each([undefined, 'text', { a: 1 }, [null, 3, 'x']])('neighbors of %j name none', (neighbors) => {
    expect(secretReferences([underlay(neighbors)]).size).toBe(0);
  });

  test('are watched up to a limit', () => {
    const neighbors = Array.from({ length: MAX_SECRETS + 5 }, (_, index) => ({
      passwordSecret: `s${index}`,
    }));
    expect(secretReferences([underlay(neighbors)]).size).toBe(MAX_SECRETS);
  });

  test('give the keys that are asked for, no others', () => {
    const references = secretReferences([
      underlay([{ passwordSecret: 'tor' }, { passwordSecret: { name: 'tor', key: 'second' } }]),
    ]);
    const secret = {
      metadata: { name: 'tor' },
      data: { password: encode('one'), second: encode('two'), third: encode('three') },
    };
    expect([...passwordsOf(references, () => secret, decode)]).toEqual([
      ['system/tor/password', 'one'],
      ['system/tor', 'one'],
      ['system/tor/second', 'two'],
    ]);
    expect(passwordsOf(references, () => undefined, decode).size).toBe(0);
  });
});

describe('the index of a node', () => {
  const at = (text: string) =>
    nodeFacts({ metadata: { name: 'n', annotations: { 'openpe.io/nodeindex': text } } }).index;
  test.each([
    ['0', 0],
    ['65535', 65_535],
    ['65536', undefined],
    ['-1', undefined],
    ['1e3', undefined],
    ['', undefined],
  ])('%j is %j', (text, index) => {
    expect(at(text)).toBe(index);
  });
});

test('sources are sorted, whatever the order of the answers', () => {
  const type = RESOURCE_TYPES[0]!;
  const objects = ['b', 'a'].map((name) => ({ metadata: { name, namespace: 'x' }, spec: {} }));
  expect(sourcesOf([{ type, objects }]).map(({ file }) => file)).toEqual([
    'kubernetes:x/Underlay/a',
    'kubernetes:x/Underlay/b',
  ]);
});

test('the oldest is first, whatever its name', () => {
  const type = RESOURCE_TYPES[0]!;
  const made = (namespace: string, day: number) =>
    configurationOf({
      metadata: { name: 'u', namespace, creationTimestamp: `2026-01-${10 + day}T00:00:00Z` },
      spec: {},
    })!;
  const found = sourcesOf([{ type, objects: [made('tenant', 5), made('system', 1), made('a', 3)] }]);
  expect(found.map(({ file }) => file.split('/')[0])).toEqual([
    'kubernetes:system',
    'kubernetes:a',
    'kubernetes:tenant',
  ]);
  // It is no part of the text, whose lines are told.
  expect(found[0]!.text).not.toContain('2026');
});
