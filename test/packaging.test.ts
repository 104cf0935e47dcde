// Holds what is in packaging against the program: what the manifests mount is where leafd looks, what the cluster
// grants is what leafd asks, the image has all it copies. None of it can run here, so that a word that is wrong in
// these files would be noticed by operators first.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { createProgram } from '../src/cli/program.ts';
import { readArguments } from '../src/daemon/arguments.ts';
import { DEFAULT_CONFIG_FILE } from '../src/intent/files.ts';
import { loadConfig, problemLines } from '../src/intent/load.ts';
import { version } from '../src/lib/version.ts';
import { GROUPS, RESOURCE_TYPES, STATUS_PLURAL } from '../src/passthrough/kubernetes-resources.ts';

const DIRECTORY = 'packaging/kubernetes';

interface Manifest {
  kind: string;
  metadata: { name: string; namespace?: string };
  rules: { apiGroups: string[]; resources: string[]; verbs: string[]; resourceNames?: string[] }[];
  data: Record<string, string>;
  spec: {
    updateStrategy: { rollingUpdate: { maxSurge: number; maxUnavailable: number } };
    template: { spec: PodSpec };
  };
}

interface PodSpec {
  hostNetwork: boolean;
  serviceAccountName: string;
  nodeSelector: Record<string, string>;
  containers: {
    args: string[];
    env: { name: string; valueFrom: { fieldRef: { fieldPath: string } } }[];
    securityContext: { privileged: boolean; capabilities: { add: string[] } };
    volumeMounts: { name: string; mountPath: string; mountPropagation?: string }[];
    startupProbe: Probe;
    livenessProbe: Probe;
    readinessProbe: Probe;
  }[];
  volumes: { name: string; hostPath?: { path: string }; configMap?: { name: string } }[];
}

interface Probe {
  exec: { command: string[] };
}

const read = (path: string): string => readFileSync(path, 'utf8');
const kustomization = parse(read(join(DIRECTORY, 'kustomization.yaml'))) as {
  resources: string[];
  images: { name: string; newTag: string }[];
};
const manifests = (name: string): Manifest[] =>
  parseAllDocuments(read(join(DIRECTORY, name))).map((document) => document.toJS() as Manifest);
const all = kustomization.resources.flatMap(manifests);
const one = (kind: string): Manifest => all.find((manifest) => manifest.kind === kind)!;
const pod = one('DaemonSet').spec.template.spec;
const container = pod.containers[0]!;

describe('the DaemonSet', () => {
  const options = readArguments(container.args);
  const mountOf = (path: string) => container.volumeMounts.find(({ mountPath }) => mountPath === path);
  const hostPathOf = (path: string) =>
    pod.volumes.find(({ name }) => name === mountOf(path)?.name)?.hostPath?.path;

  test('gives leafd its configuration, state and socket where it looks for them', () => {
    expect(options).toMatchObject({
      mode: 'run',
      config: DEFAULT_CONFIG_FILE,
      state: readArguments([]).state,
    });
    expect(mountOf(dirname(options.config))?.name).toBe('config');
    expect(hostPathOf(options.state)).toBe(options.state);
    const { intent } = loadConfig([{ file: 'leafd.yaml', text: 'bgp: {asn: 65000, routerId: 10.0.0.1}' }], {
      hostname: 'node1',
    });
    expect(hostPathOf(dirname(intent!.api.socket))).toBe(dirname(intent!.api.socket));
  });

  test('shows the host the namespaces that leafd makes', () => {
    expect(mountOf('/run/netns')?.mountPropagation).toBe('Bidirectional');
    expect(hostPathOf('/run/netns')).toBe('/run/netns');
    expect(pod.hostNetwork).toBe(true);
    expect(container.securityContext.privileged).toBe(true);
  });

  test('adds the capabilities that errors of leafd name, and no more', () => {
    const named = new Set(
      sourcesBelow('src')
        .flatMap((path) => [...read(path).matchAll(/'[^'\n]*\bCAP_\w+[^'\n]*'/g)].map(([text]) => text))
        .flatMap((text) => [...text.matchAll(/\bCAP_([A-Z_]+)\b/g)].map((found) => found[1]!)),
    );
    expect([...named].sort()).toEqual(container.securityContext.capabilities.add.toSorted());
  });

  test('has one leafd a node at a time, also in a rollout', () => {
    expect(one('DaemonSet').spec.updateStrategy.rollingUpdate).toEqual({ maxSurge: 0, maxUnavailable: 1 });
  });

  test('runs on the nodes that its documents tell how to label', () => {
    const [[key, value]] = Object.entries(pod.nodeSelector) as [[string, string]];
    for (const path of [join(DIRECTORY, 'README.md'), 'docs/kubernetes.md'])
      expect(read(path)).toContain(`kubectl label node worker1 ${key}=${value}`);
  });

  test('asks leafctl for what it knows', () => {
    const terminal = { out: () => {}, err: () => {}, isTerminal: false, columns: 80, environment: {} };
    const { command } = createProgram(terminal as never);
    const names = command.commands.map((known) => known.name());
    for (const probe of [container.startupProbe, container.livenessProbe, container.readinessProbe]) {
      expect(probe.exec.command[0]).toBe('leafctl');
      expect(names).toContain(probe.exec.command[1]);
    }
  });

  test('says the name of the node, which the hostname need not be', () => {
    expect(container.env).toEqual([
      { name: 'NODE_NAME', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
    ]);
  });
});

describe('the configuration', () => {
  test('is a good one, follows the cluster, and OpenPERouter’s files where they are mounted', () => {
    const text = one('ConfigMap').data['leafd.yaml']!;
    const result = loadConfig([{ file: 'leafd.yaml', text }], { hostname: 'node1' });
    expect(problemLines(result.problems)).toEqual([]);
    const { openperouter } = result.intent!.passthrough!;
    expect(openperouter?.kubernetes).toEqual({});
    expect(container.volumeMounts.map(({ mountPath }) => mountPath)).toContain(openperouter?.directory);
  });
});

describe('what the cluster grants', () => {
  const rules = one('ClusterRole').rules;
  const granted = (group: string, resource: string): string[] =>
    rules
      .filter(({ apiGroups, resources }) => apiGroups.includes(group) && resources.includes(resource))
      .flatMap(({ verbs }) => verbs);

  test.each(RESOURCE_TYPES.map(({ group, plural }) => [plural, group]))(
    '%s of %s are read',
    (plural, group) => {
      expect(granted(group, plural)).toEqual(['list', 'watch']);
    },
  );

  test.each(GROUPS)('the status is written in %s', (group) => {
    expect(granted(group, STATUS_PLURAL)).toEqual(['get', 'create']);
    expect(granted(group, `${STATUS_PLURAL}/status`)).toEqual(['patch']);
  });

  test('is nothing else: no wildcard, and no Secrets but those that are named', () => {
    expect(granted('', 'nodes')).toEqual(['list', 'watch']);
    const resources = new Set(rules.flatMap((rule) => rule.resources));
    expect(resources.size).toBe(new Set(RESOURCE_TYPES.map(({ plural }) => plural)).size + 3);
    expect(JSON.stringify(rules)).not.toMatch(/\*|secrets/);
    const secrets = manifests('secrets.yaml').find(({ kind }) => kind === 'Role')!.rules;
    expect(secrets).toHaveLength(1);
    expect(secrets[0]?.resourceNames?.length).toBeGreaterThan(0);
  });

  test('goes to the account of the pods', () => {
    expect(one('ServiceAccount').metadata).toEqual({
      name: pod.serviceAccountName,
      namespace: 'leafd-system',
    });
  });
});

describe('the kustomization', () => {
  test('has all manifests but the example of Secrets', () => {
    const files = readdirSync(DIRECTORY).filter((name) => name.endsWith('.yaml'));
    expect(files.sort()).toEqual([...kustomization.resources, 'kustomization.yaml', 'secrets.yaml'].sort());
  });

  test('takes the image of this version', () => {
    expect(kustomization.images).toEqual([{ name: 'leafd', newTag: version }]);
  });
});

describe('the image', () => {
  const lines = read('packaging/container/Containerfile').split('\n');
  const copied = lines
    .filter((line) => line.startsWith('COPY ') && !line.includes('--from='))
    .flatMap((line) => line.split(/\s+/).slice(1, -1));

  test('is made of files that are here and that the builder is given', () => {
    expect(copied.filter((path) => !existsSync(path))).toEqual([]);
    const given = read('packaging/container/Containerfile.dockerignore').match(/^!.+$/gm);
    expect(given?.map((line) => line.slice(1)).sort()).toEqual([...copied].sort());
  });

  test('comes from images without a registry of ours', () => {
    const bases = lines.filter((line) => line.startsWith('FROM ')).map((line) => line.split(' ')[1]);
    expect(new Set(bases)).toEqual(new Set(['node:20-slim']));
  });
});

function sourcesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .map((name) => join(directory, name));
}
