// The small values of this room: durations, patterns, suggestions, files, default policies, and the shipped schema.

import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { formatDuration, parseDuration } from './duration.ts';
import { loadConfigFile, readSecretFile } from './files.ts';
import { readConfigFiles } from './files-read.ts';
import { loadConfig, problemLines } from './load.ts';
import { matchesPattern } from './pattern.ts';
import { defaultPolicies } from './profile.ts';
import { jsonSchema, knownKeysAt } from './schema.ts';
import { nearest, suggestion } from './suggest.ts';

const folder = mkdtempSync(join(tmpdir(), 'leafd-intent-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('durations', () => {
  expect(['300ms', '9s', '5m', '2h', '1d', '0s'].map(parseDuration)).toEqual([
    300, 9000, 300_000, 7_200_000, 86_400_000, 0,
  ]);
  for (const bad of ['9', '9 s', '-1s', '1.5s', 's', '', '9sec', '9S'])
    expect(parseDuration(bad)).toBeUndefined();
  fc.assert(fc.property(fc.nat(999_999_999), (ms) => parseDuration(formatDuration(ms)) === ms));
});

test('patterns agree with regular expressions', () => {
  const letters = fc
    .array(fc.constantFrom('a', 'b', '*', '?'), { maxLength: 8 })
    .map((parts) => parts.join(''));
  const name = fc.array(fc.constantFrom('a', 'b'), { maxLength: 8 }).map((parts) => parts.join(''));
  fc.assert(
    fc.property(letters, name, (pattern, text) => {
      const regex = new RegExp(`^${pattern.replaceAll('*', '.*').replaceAll('?', '.')}$`);
      return matchesPattern(pattern, text) === regex.test(text);
    }),
  );
  expect(matchesPattern(`${'a*'.repeat(30)}b`, 'a'.repeat(200))).toBe(false);
});

test('suggestions', () => {
  const keys = ['hold', 'keepalive', 'connectRetry'];
  expect(nearest('connect_retry', keys)).toBe('connectRetry');
  expect(nearest('holdTime', keys)).toBe('hold');
  expect(nearest('kepealive', keys)).toBe('keepalive');
  expect(nearest('zebra', keys)).toBeUndefined();
  expect(suggestion('zebra', keys)).toBe('known: hold, keepalive, connectRetry');
  expect(knownKeysAt(['bgp', 'peers', 3, 'timers'])).toEqual(keys);
  expect(knownKeysAt(['policies', 'p'])).toEqual(['default', 'rules']);
});

test('RFC 8212 and the profiles', () => {
  expect(defaultPolicies(undefined, false)).toEqual({ import: 'reject-all', export: 'reject-all' });
  expect(defaultPolicies(undefined, true)).toEqual({ import: 'accept-all', export: 'accept-all' });
  expect(defaultPolicies('fabric', false)).toEqual({ import: 'accept-all', export: 'accept-all' });
  for (const internal of [true, false])
    expect(defaultPolicies('host', internal)).toEqual({ import: 'accept-all', export: 'own-only' });
});

test('files: drop-ins in the order of their names, hidden and other files left out', () => {
  mkdirSync(join(folder, 'leafd.d'));
  writeFileSync(join(folder, 'leafd.yaml'), 'bgp: {asn: 65101, routerId: 10.0.0.1}');
  for (const name of ['20-b.yaml', '10-a.yaml', '.hidden.yaml', 'c.yaml~'])
    writeFileSync(join(folder, 'leafd.d', name), `bgp: {networks: [10.${name.charCodeAt(0)}.0.0/16]}`);
  const sources = readConfigFiles(join(folder, 'leafd.yaml'));
  expect(sources.map((one) => one.file.slice(folder.length + 1))).toEqual([
    'leafd.yaml',
    'leafd.d/10-a.yaml',
    'leafd.d/20-b.yaml',
  ]);
  expect(loadConfigFile(join(folder, 'leafd.yaml')).intent!.bgp.networks).toHaveLength(2);
  expect(() => readConfigFiles(join(folder, 'none.yaml'))).toThrow(/none\.yaml: no such file \(ENOENT\)/);
});

test('password files: the first line, from the folder of the configuration; others may not read it', () => {
  writeFileSync(join(folder, 'key'), 'hunter2\nsecond line\n');
  writeFileSync(
    join(folder, 'pw.yaml'),
    'bgp: {asn: 65101, routerId: 10.0.0.1, profile: host, peers: [{interface: eth0, passwordFile: key}]}',
  );
  chmodSync(join(folder, 'key'), 0o644);
  const open = loadConfigFile(join(folder, 'pw.yaml'));
  expect(open.intent!.bgp.peers[0]!.password!.reveal()).toBe('hunter2');
  expect(open.warnings[0]).toMatchObject({ path: 'bgp.peers.0.passwordFile', hint: 'chmod 0600 key' });
  chmodSync(join(folder, 'key'), 0o600);
  expect(loadConfigFile(join(folder, 'pw.yaml')).warnings).toEqual([]);
  expect(readSecretFile(folder, '/x')).toMatchObject({ kind: 'failed' });
  writeFileSync(join(folder, 'key'), 'x'.repeat(81));
  expect(loadConfigFile(join(folder, 'pw.yaml')).problems[0]!.reason).toBe('must be at most 80 bytes long');
});

test('the shipped JSON Schema is the one this version makes', () => {
  const shipped = readFileSync('docs/leafd.schema.json', 'utf8');
  expect(shipped, 'run: leafctl schema > docs/leafd.schema.json').toBe(
    `${JSON.stringify(jsonSchema(), null, 2)}\n`,
  );
});

test('docs/configuration.md names every key, and its examples are good configurations', () => {
  const text = readFileSync('docs/configuration.md', 'utf8');
  const keys = new Set<string>();
  const collect = (schema: unknown): void => {
    if (typeof schema !== 'object' || schema === null) return;
    const { properties } = schema as { properties?: Record<string, unknown> };
    for (const key of Object.keys(properties ?? {})) keys.add(key);
    for (const inner of Object.values(schema)) collect(inner);
  };
  collect(jsonSchema());
  expect(keys.size).toBeGreaterThan(80);
  expect([...keys].filter((key) => !new RegExp(`\\b${key}\\b`).test(text))).toEqual([]);
  const examples = [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map((found) => found[1]!);
  const policies = examples.find((one) => one.startsWith('policies:'))!;
  for (const [index, example] of examples.entries()) {
    if (example.startsWith('#') || example === policies) continue;
    const result = loadConfig([{ file: `example ${index}`, text: example + policies }], {
      hostname: 'a',
      readSecret: () => ({ kind: 'read', text: 'secret', exposed: false }),
    });
    expect(problemLines(result.problems)).toEqual([]);
  }
});
