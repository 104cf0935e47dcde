// Resources from the Kubernetes API, against a recorded API server over TLS: what is handed on, and what happens when
// the server is away, forgets, refuses, hangs or is only half there.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { until } from '../../test/support/fabric.ts';
import { RecordedApi } from '../../test/support/recorded-api.ts';
import type { KubernetesIntent } from '../intent/passthrough.ts';
import type { SourceText } from '../intent/tree.ts';
import type { LeafdError } from '../lib/leafd-error.ts';
import { type KubernetesOptions, KubernetesSource } from './kubernetes.ts';
import type { NodeFacts } from './kubernetes-resources.ts';

const GROUP = '/apis/network.openperouter.io/v1alpha1';
const UNDERLAYS = `${GROUP}/underlays`;
const VNIS = `${GROUP}/l3vnis`;
const SECRETS = '/api/v1/namespaces/openperouter-system/secrets';
const STATUSES = `${GROUP}/namespaces/openperouter-system/routernodeconfigurationstatuses`;

const timing = {
  requestMs: 1000,
  watchMs: 60_000,
  retryFirstMs: 20,
  retryLongestMs: 100,
  absentMs: 150,
  debounceMs: 10,
  reportMs: 20,
};

interface Set {
  sources: readonly SourceText[];
  node: NodeFacts;
  secrets: ReadonlyMap<string, string>;
}

let api: RecordedApi;
let stateDir: string;
let sources: KubernetesSource[];
let sets: Set[];
let troubles: LeafdError[];
let told: string[];

beforeEach(async () => {
  api = new RecordedApi();
  stateDir = mkdtempSync(join(tmpdir(), 'leafd-kept-'));
  sources = [];
  sets = [];
  troubles = [];
  told = [];
  await api.up();
});

afterEach(async () => {
  for (const source of sources) await source.close();
  await api.close();
  rmSync(stateDir, { recursive: true, force: true });
});

async function watch(
  intent: Partial<KubernetesIntent & { nodeName: string }> = {},
  options: KubernetesOptions = {},
): Promise<KubernetesSource> {
  const source = new KubernetesSource(
    { kubeconfig: api.kubeconfig, nodeName: 'node1', ...intent },
    {
      changed: (found, node, secrets) => sets.push({ sources: found, node, secrets }),
      trouble: (error) => troubles.push(error),
      tell: (text) => told.push(text),
    },
    { timing, stateDir, ...options },
  );
  sources.push(source);
  await source.start();
  return source;
}

const names = (set: Set | undefined): string[] =>
  (set?.sources ?? []).map(({ file }) => file.replace('kubernetes:openperouter-system/', ''));
const lastSet = (holds: (set: Set | undefined) => boolean) =>
  until(() => sets.at(-1), holds, { timeoutMs: 10_000, everyMs: 5, what: 'the set' });
const trouble = (code: string) =>
  until(
    () => troubles.map((error) => error.code),
    (codes) => codes.includes(code),
    { timeoutMs: 10_000, everyMs: 5, what: code },
  );
const firstSet = () => lastSet((set) => set !== undefined);
const watching = (path: string, count = 1) =>
  until(
    () => api.watchesOf(path),
    (open) => open === count,
    { timeoutMs: 10_000, everyMs: 5, what: `watch of ${path}` },
  );
const neighbors = (set: Set | undefined): number =>
  (JSON.parse(set!.sources.find(({ file }) => file.includes('/Underlay/'))!.text) as UnderlayText).spec
    .neighbors.length;

interface UnderlayText {
  spec: { neighbors: unknown[] };
}

describe('what is there', () => {
  test('is handed on whole and once: resources, the node, the password that is named', async () => {
    await watch();
    const set = await firstSet();
    expect(names(set)).toEqual(['L3Passthrough/passthrough', 'Underlay/underlay']);
    expect(set?.node).toMatchObject({ index: 3, labels: { 'kubernetes.io/hostname': 'node1' } });
    expect([...set!.secrets]).toEqual([
      ['openperouter-system/tor-password/password', 's3cret'],
      ['openperouter-system/tor-password', 's3cret'],
    ]);
    expect(sets).toHaveLength(1);
    expect(troubles).toEqual([]);
  });

  test('is configuration and nothing else', async () => {
    await watch();
    const set = await firstSet();
    const underlay = JSON.parse(set!.sources[1]!.text) as Record<string, unknown>;
    expect(Object.keys(underlay)).toEqual(['apiVersion', 'kind', 'metadata', 'spec']);
    expect(underlay).toMatchObject({
      apiVersion: 'network.openperouter.io/v1alpha1',
      kind: 'Underlay',
      metadata: { name: 'underlay', namespace: 'openperouter-system' },
    });
    expect(Object.keys(underlay.metadata as object)).toEqual(['name', 'namespace']);
  });

  test('comes without mirrors of static files, and asks for no Secret but those that are named', async () => {
    await watch();
    expect(names(await firstSet())).not.toContain('L3VNI/static-node1-red');
    const selectors = api.asked('GET', SECRETS).map(({ query }) => query.get('fieldSelector'));
    expect(new Set(selectors)).toEqual(new Set(['metadata.name=tor-password']));
  });

  test('comes in pages', async () => {
    api.pageSize = 1;
    api.play('vni-added');
    await watch();
    expect(names(await firstSet())).toContain('L3VNI/blue');
    expect(api.asked('GET', VNIS).some(({ query }) => query.get('continue') === '1')).toBe(true);
  });

  test('comes without what is too large, of which is told until it is smaller', async () => {
    const underlay = api.object(UNDERLAYS, 'underlay') as unknown as { spec: { filler?: string } };
    underlay.spec.filler = 'x'.repeat(300_000);
    await watch();
    expect(names(await firstSet())).toEqual(['L3Passthrough/passthrough']);
    expect(troubles.map(({ code }) => code)).toEqual(['kubernetes-limit']);
    await watching(UNDERLAYS);
    expect(told).toEqual([]);
    api.play('neighbor-added');
    await lastSet((set) => set?.sources.length === 2);
    expect(told).toHaveLength(1);
  });

  test('comes from one namespace where one is named', async () => {
    await watch({ namespace: 'openperouter-system' });
    expect(names(await firstSet())).toHaveLength(2);
    expect(api.asked('GET', UNDERLAYS)).toEqual([]);
  });

  test('comes from both groups, of one name the newer', async () => {
    api.groups.add('openpe.openperouter.github.io');
    await watch();
    const set = await firstSet();
    expect(names(set)).toEqual(['L3Passthrough/passthrough', 'Underlay/old-underlay', 'Underlay/underlay']);
    expect(set?.sources[0]?.text).toContain('network.openperouter.io/v1alpha1');
  });

  test('is reached from a pod with its service account', async () => {
    const account = join(stateDir, 'var/run/secrets/kubernetes.io/serviceaccount');
    mkdirSync(account, { recursive: true });
    writeFileSync(join(account, 'token'), api.token);
    writeFileSync(join(account, 'ca.crt'), readFileSync(join(api.directory, 'ca.crt')));
    process.env.KUBERNETES_SERVICE_HOST = '127.0.0.1';
    process.env.KUBERNETES_SERVICE_PORT = String(api.port);
    try {
      const source = new KubernetesSource(
        { nodeName: 'node1' },
        {
          changed: (found, node, secrets) => sets.push({ sources: found, node, secrets }),
          trouble: () => {},
        },
        { timing, serviceAccountRoot: stateDir },
      );
      sources.push(source);
      await source.start();
      expect(names(await firstSet())).toHaveLength(2);
    } finally {
      delete process.env.KUBERNETES_SERVICE_HOST;
      delete process.env.KUBERNETES_SERVICE_PORT;
    }
  });
});

describe('what changes', () => {
  test('is handed on: added, modified, removed', async () => {
    await watch();
    expect(neighbors(await firstSet())).toBe(1);
    await watching(VNIS);
    api.play('vni-added');
    expect(names(await lastSet((set) => set?.sources.length === 3))).toContain('L3VNI/blue');
    api.play('neighbor-added');
    await lastSet((set) => neighbors(set) === 2);
    api.play('vni-removed');
    await lastSet((set) => set?.sources.length === 2);
    expect(troubles).toEqual([]);
  });

  test('in nothing that is configuration is no change', async () => {
    await watch();
    await firstSet();
    await watching('/api/v1/nodes');
    await watching(UNDERLAYS);
    api.play('node-heartbeat');
    api.play('underlay-touched');
    api.play('neighbor-added');
    await lastSet((set) => neighbors(set) === 2);
    expect(sets).toHaveLength(2);
  });

  test('of the node is handed on: labels, index', async () => {
    await watch();
    await firstSet();
    await watching('/api/v1/nodes');
    api.play('node-labelled');
    await lastSet((set) => set?.node.labels.rack === 'r12');
    api.play('node-index');
    await lastSet((set) => set?.node.index === 7);
  });

  test('of a Secret is handed on', async () => {
    await watch();
    await firstSet();
    await watching(SECRETS);
    api.play('password-changed');
    const set = await lastSet((seen) => seen?.secrets.get('openperouter-system/tor-password') === 'other');
    expect(names(set)).toHaveLength(2);
  });

  test('is not missed when watches end, and a bookmark says from where to go on', async () => {
    await watch({}, { timing: { ...timing, retryFirstMs: 1 } });
    await firstSet();
    await watching(VNIS);
    api.play('bookmark');
    const bookmarked = () =>
      api.asked('GET', VNIS).some(({ query }) => query.get('resourceVersion') === '5400');
    await until(
      () => {
        api.endWatches();
        return bookmarked();
      },
      Boolean,
      { timeoutMs: 10_000, what: 'a watch from the bookmark' },
    );
    expect(api.asked('GET', VNIS).filter(({ query }) => query.get('watch') === null)).toHaveLength(1);
    api.play('passthrough-removed');
    await lastSet((set) => set?.sources.length === 1);
  });

  test('is not missed when connections are cut, of which nobody is told', async () => {
    await watch();
    await firstSet();
    // Six kinds, the node, one Secret.
    await until(
      () => api.watches,
      (open) => open === 8,
      { timeoutMs: 10_000, everyMs: 5 },
    );
    expect(api.cutWatches()).toBe(8);
    api.play('vni-added');
    api.play('neighbor-added');
    await lastSet((set) => set?.sources.length === 3 && neighbors(set) === 2);
    expect(troubles).toEqual([]);
  });

  test('is read anew when the server has forgotten the version (410)', async () => {
    await watch();
    await firstSet();
    await watching(VNIS);
    api.play('vni-added');
    await lastSet((set) => set?.sources.length === 3);
    await api.down();
    api.play('vni-removed');
    api.play('neighbor-added');
    api.forget();
    await api.up();
    await lastSet((set) => set?.sources.length === 2 && neighbors(set) === 2);
    expect(api.expired).toBeGreaterThan(0);
    const gone = troubles.filter(({ code }) => code !== 'kubernetes-unreachable');
    expect(gone).toEqual([]);
  });
});

describe('a server that is away', () => {
  test('changes nothing, is told of once, and what it missed comes when it is back', async () => {
    await watch();
    await firstSet();
    await watching(VNIS);
    await api.down();
    await trouble('kubernetes-unreachable');
    api.play('vni-added');
    expect(sets).toHaveLength(1);
    await api.up();
    await lastSet((set) => set?.sources.length === 3);
    expect(troubles.map(({ code }) => code)).toEqual(['kubernetes-unreachable']);
    await until(
      () => told,
      (lines) => lines.includes('kubernetes-unreachable is over'),
      { timeoutMs: 10_000 },
    );
  });

  test('at the start leaves what the last life knew in force', async () => {
    const before = await watch();
    await firstSet();
    await before.close();
    await api.down();
    const known = sets.splice(0).at(-1);
    await watch();
    expect(await firstSet()).toEqual(known);
    await trouble('kubernetes-unreachable');
    api.play('vni-added');
    await api.up();
    await lastSet((set) => set?.sources.length === 3);
    expect(sets).toHaveLength(2);
    const file = join(stateDir, 'kubernetes.json');
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  test('of another node, what is kept is not used; nor what is damaged', async () => {
    const before = await watch();
    await firstSet();
    await before.close();
    await api.down();
    sets.splice(0);
    const other = await watch({ nodeName: 'node2' });
    await trouble('kubernetes-unreachable');
    await other.close();
    writeFileSync(join(stateDir, 'kubernetes.json'), '{"schema":1,"collections":{');
    troubles.splice(0);
    await watch();
    await trouble('kubernetes-unreachable');
    expect(sets).toEqual([]);
  });

  test('that does not answer is given up, and asked again', async () => {
    api.refusals.set(UNDERLAYS, 'hang');
    await watch({}, { timing: { ...timing, requestMs: 100 } });
    await trouble('kubernetes-unreachable');
    expect(sets).toEqual([]);
    api.refusals.clear();
    await firstSet();
  });

  test('closes within a moment, also while it hangs', async () => {
    api.refusals.set('/', 'hang');
    const source = await watch({}, { timing: { ...timing, requestMs: 60_000 } });
    await until(
      () => api.requests.length,
      (count) => count >= 2,
      { timeoutMs: 10_000 },
    );
    const began = performance.now();
    await source.close();
    expect(performance.now() - began).toBeLessThan(1000);
  });

  test('that is too busy is left in peace for as long as it says', async () => {
    api.refusals.set(VNIS, '429');
    await watch();
    await trouble('kubernetes-answer');
    api.refusals.clear();
    await firstSet();
    const asked = api.asked('GET', VNIS).filter(({ query }) => query.get('watch') === null);
    expect(asked).toHaveLength(2);
  });
});

describe('a kind that is not installed', () => {
  test('is looked for again', async () => {
    api.groups.clear();
    await watch();
    expect((await firstSet())?.sources).toEqual([]);
    api.groups.add('network.openperouter.io');
    expect(names(await lastSet((set) => set?.sources.length === 2))).toContain('Underlay/underlay');
    expect(troubles).toEqual([]);
  });

  test('and had resources is gone only when it stays away', async () => {
    await watch({}, { timing: { ...timing, absentMs: 400 } });
    await firstSet();
    await watching(UNDERLAYS);
    api.groups.clear();
    const from = api.asked('GET', UNDERLAYS).length;
    api.cutWatches();
    const asked = () => api.asked('GET', UNDERLAYS).length - from;
    await until(asked, (count) => count >= 2, { timeoutMs: 10_000, everyMs: 5 });
    expect(sets).toHaveLength(1);
    await lastSet((set) => set?.sources.length === 0);
  });
});

describe('a refusal', () => {
  test('of the token is told once, with what is known kept, and the file is read again', async () => {
    await watch();
    await firstSet();
    await watching(VNIS);
    api.token = 'another';
    api.cutWatches();
    await trouble('kubernetes-unauthorized');
    const from = api.requests.length;
    await until(
      () => api.requests.length - from,
      (count) => count > 20,
      { timeoutMs: 10_000 },
    );
    expect(troubles.map(({ code }) => code)).toEqual(['kubernetes-unauthorized']);
    expect(troubles[0]).toMatchObject({ hint: 'has the token or certificate expired?' });
    api.play('vni-added');
    api.writeKubeconfig('another');
    await lastSet((set) => set?.sources.length === 3);
    expect(sets).toHaveLength(2);
  });

  test('of one kind is told, and the rest is handed on', async () => {
    api.refusals.set(UNDERLAYS, '403');
    await watch();
    expect(names(await firstSet())).toEqual(['L3Passthrough/passthrough']);
    expect(troubles.map(({ code }) => code)).toEqual(['kubernetes-forbidden']);
    expect(troubles[0]?.message).toContain('cannot list resource "underlays"');
    api.refusals.clear();
    await lastSet((set) => set?.sources.length === 2);
  });

  test('of a kind that was known leaves what was known', async () => {
    await watch();
    await firstSet();
    await watching(UNDERLAYS);
    api.refusals.set(UNDERLAYS, '403');
    api.cutWatches();
    await trouble('kubernetes-forbidden');
    api.play('vni-added');
    expect(names(await lastSet((set) => set?.sources.length === 3))).toContain('Underlay/underlay');
  });

  test('of discovery is none of the kinds themselves', async () => {
    api.refusals.set(`${GROUP}/`, '503');
    await watch();
    await trouble('kubernetes-answer');
    expect(sets).toEqual([]);
    api.refusals.clear();
    expect(names(await firstSet())).toHaveLength(2);
  });
});

describe('what the operator wrote', () => {
  test('names a kubeconfig that is not there, or is none', async () => {
    await watch({ kubeconfig: join(stateDir, 'absent') });
    await trouble('kubernetes-config');
    expect(troubles[0]?.message).toContain('no such file');
    troubles.splice(0);
    const file = join(stateDir, 'kubeconfig');
    writeFileSync(file, 'clusters: {');
    await watch({ kubeconfig: file });
    await trouble('kubernetes-config');
    api.writeKubeconfig(api.token, file);
    writeFileSync(join(stateDir, 'ca.crt'), readFileSync(join(api.directory, 'ca.crt')));
    await firstSet();
  });

  test('says to be in a cluster where none is', async () => {
    const source = new KubernetesSource(
      { nodeName: 'node1' },
      { changed: () => {}, trouble: (error) => troubles.push(error) },
      { timing },
    );
    sources.push(source);
    await source.start();
    await trouble('kubernetes-config');
    expect(troubles).toHaveLength(1);
  });

  test('names a node that the cluster has not', async () => {
    await watch({ nodeName: 'node9' });
    const set = await firstSet();
    expect(set?.node).toEqual({ labels: {} });
    expect(troubles.map(({ code }) => code)).toEqual(['kubernetes-node']);
  });
});

describe('the status', () => {
  const status = (ready: 'True' | 'False') => ({
    conditions: [
      { type: 'Ready', status: ready, reason: 'ConfigurationSuccessful', message: 'x'.repeat(5000) },
    ],
    failedResources: ready === 'True' ? [] : [{ kind: 'L3VNI', name: 'red', reason: 'ValidationFailed' }],
  });
  const patches = () => api.asked('PATCH', `${STATUSES}/node1/status`);
  const patched = (count: number) =>
    until(patches, (seen) => seen.length === count, { timeoutMs: 10_000, everyMs: 5, what: 'the status' });

  test('is made, owned by the node, and written again only when it is another one', async () => {
    const source = await watch();
    await firstSet();
    source.report(status('True'));
    await patched(1);
    expect(api.asked('POST', STATUSES)[0]?.body).toMatchObject({
      kind: 'RouterNodeConfigurationStatus',
      metadata: {
        name: 'node1',
        namespace: 'openperouter-system',
        ownerReferences: [{ kind: 'Node', name: 'node1' }],
      },
    });
    const first = patches()[0]?.body as {
      status: { conditions: { lastTransitionTime: string; message: string }[] };
    };
    expect(first.status.conditions[0]?.lastTransitionTime).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    expect(first.status.conditions[0]?.message).toHaveLength(1024);
    source.report(status('True'));
    source.report({ status: status('False') });
    await patched(2);
    expect(patches()[1]?.body).toMatchObject({ status: { failedResources: [{ name: 'red' }] } });
    expect(api.asked('POST', STATUSES)).toHaveLength(1);
  });

  test('is written when the kind appears, and a cluster without it is not troubled', async () => {
    api.refusals.set(STATUSES, '403');
    const source = await watch();
    source.report(status('True'));
    await trouble('kubernetes-forbidden');
    await firstSet();
    const from = api.asked('GET', `${STATUSES}/node1`).length;
    await watching(VNIS);
    api.refusals.clear();
    source.report(status('False'));
    await patched(1);
    expect(from).toBe(1);
  });
});
