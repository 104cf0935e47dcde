// The corpora of OpenPERouter's files: every file of test/bad-config/openperouter is refused at exactly the places that
// its first line names, every one of test/good-config/openperouter is taken. And what several files are together.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { checkOpenperouter, openperouterFiles } from './check-openperouter.ts';

const bad = 'test/bad-config/openperouter';
const good = 'test/good-config/openperouter';

describe('refused, at the place', () => {
  const names = readdirSync(bad).sort();
  test('there are many ways to be wrong', () => expect(names.length).toBeGreaterThan(150));
  test.each(names)('%s', (name) => {
    const file = join(bad, name);
    const text = readFileSync(file, 'utf8');
    const [judged, ...more] = checkOpenperouter([file]);
    expect(more).toEqual([]);
    const places = judged!.problems.map(({ where, path }) => `${where.line}:${where.column} ${path || '-'}`);
    expect(places.join(', ')).toBe(/^# expect: (.+)$/m.exec(text)![1]);
    for (const secret of text.matchAll(/password: "?([^,}"\s]{3,})/g))
      for (const { reason, hint } of judged!.problems) expect(`${reason} ${hint}`).not.toContain(secret[1]!);
  });
});

describe('taken', () => {
  test.each(readdirSync(good).sort())('%s', (name) => {
    const file = join(good, name);
    const [judged] = checkOpenperouter([file]);
    expect(judged!.problems).toEqual([]);
    const told = judged!.warnings.map(({ where, path }) => `${where.line} ${path}`);
    expect(told.join(', ')).toBe(/^# warns: (.+)$/m.exec(readFileSync(file, 'utf8'))?.[1] ?? '');
    expect(openperouterFiles(file)).toEqual([file]);
  });
});

describe('several files', () => {
  const folder = mkdtempSync(join(tmpdir(), 'leafd-openperouter-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const put = (name: string, text: string): string => {
    const file = join(folder, name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
    return file;
  };
  const vni = (vrf: string) => `l3vnis:\n  - {vrf: ${vrf}, vni: 100}\n`;

  test('are judged together', () => {
    const files = [put('one/openpe_a.yaml', vni('red')), put('one/openpe_b.yaml', vni('blue'))];
    const [a, b] = checkOpenperouter(files);
    expect(a!.problems).toEqual([]);
    expect(b!.problems).toMatchObject([{ where: { file: files[1], line: 2 }, path: 'L3VNI/openpe_b.0.vni' }]);
    for (const file of files) expect(checkOpenperouter([file])[0]!.problems).toEqual([]);
  });

  test('a directory has its configs, manifests of our kinds and the node file; others are passed over', () => {
    const node = put('two/node-config.yaml', 'nodeIndex: {index: 300}\n');
    const config = put(
      'two/configs/openpe_a.yaml',
      'bgppassthrough:\n  hostsession: {asn: 1, hostasn: 2, localcidr: {ipv4: 192.0.2.0/24}}\n',
    );
    put('two/other.yaml', 'apiVersion: v1\nkind: ConfigMap\n');
    put('two/leafd.yaml', 'bgp: {asn: 65101}\n');
    put('two/notes.txt', 'apiVersion: network.openperouter.io/v1alpha1\n');
    expect(openperouterFiles(join(folder, 'two'))).toEqual([node, config]);
    const judged = checkOpenperouter([node, config]);
    expect(judged.map(({ problems }) => problems.length)).toEqual([0, 1]);
    expect(judged[1]!.problems[0]).toMatchObject({ reason: 'has no address for node index 300' });
  });

  test('what is not there, or not of this sort, is for others to tell', () => {
    expect(openperouterFiles(join(folder, 'none.yaml'))).toEqual([]);
    expect(openperouterFiles(put('leafd.yaml', 'bgp: {asn: 65101}\npassthrough: {nodeIndex: 1}\n'))).toEqual(
      [],
    );
    expect(openperouterFiles(put('configmap.yaml', 'apiVersion: v1\nkind: ConfigMap\n'))).toEqual([]);
    const json = '{"kind": "L3VNI", "apiVersion": "network.openperouter.io/v1alpha1"}';
    expect(openperouterFiles(put('vni.json', json))).toHaveLength(1);
  });

  test('a passthrough on nodes of which none has an Underlay is warned of', () => {
    const session = 'spec: {hostSession: {asn: 1, hostASN: 2, localCIDR: {ipv4: 192.0.2.0/24}}}';
    const head = 'apiVersion: network.openperouter.io/v1alpha1\nkind: L3Passthrough\nmetadata: {name: pt}\n';
    const [judged] = checkOpenperouter([put('pt.yaml', head + session)]);
    expect(judged).toMatchObject({ problems: [], warnings: [{ path: 'L3Passthrough/pt' }] });
  });
});
