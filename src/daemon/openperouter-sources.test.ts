// What a cluster tells is taken whenever it comes: while the daemon starts, long after, or with a later configuration.

import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { until as untilSeen } from '../../test/support/fabric.ts';
import { RecordedApi } from '../../test/support/recorded-api.ts';
import { Configuration } from './configuration.ts';
import { OpenperouterSources } from './openperouter-sources.ts';

let api: RecordedApi;
let directory: string;
let file: string;
let sources: OpenperouterSources;

beforeEach(() => {
  api = new RecordedApi();
  directory = mkdtempSync(join(tmpdir(), 'leafd-sources-'));
  mkdirSync(join(directory, 'configs'));
  file = join(directory, 'leafd.yaml');
});

afterEach(async () => {
  await sources.close();
  await api.close();
  rmSync(directory, { recursive: true, force: true });
});

function read(withCluster: boolean, firstAnswerMs = 20_000): Configuration {
  sources = new OpenperouterSources({ stateDir: directory, trouble() {}, tell() {}, firstAnswerMs });
  writeFileSync(file, text(withCluster));
  return Configuration.read(file, sources);
}

function text(withCluster: boolean): string {
  const kubernetes = withCluster ? `, kubernetes: {kubeconfig: ${api.kubeconfig}, node: node1}` : '';
  return `passthrough: {openperouter: {directory: ${directory}${kubernetes}}}\n`;
}

/** Waits. */
const until = (holds: () => boolean, timeoutMs = 10_000): Promise<unknown> =>
  untilSeen(holds, Boolean, { timeoutMs, everyMs: 10 });

/** Resources of the cluster in the configuration in force. */
const seen = (configuration: Configuration): number => configuration.openperouter?.resources.length ?? 0;

/** As the daemon does once it is up. */
function follow(configuration: Configuration): void {
  configuration.onChange(({ intent }) => sources.follow(intent));
  sources.onChange(() => void configuration.refresh());
}

test('a cluster that answers in time is in force from the start', async () => {
  await api.up();
  const configuration = read(true);
  await sources.begin(configuration);
  expect(seen(configuration)).toBeGreaterThan(0);
});

test('a cluster that answers after the start is taken when it does', async () => {
  await api.up();
  api.refusals.set('/', 'hang');
  const configuration = read(true, 100);
  await sources.begin(configuration);
  expect(seen(configuration)).toBe(0);
  follow(configuration);
  await api.down();
  api.refusals.clear();
  await api.up();
  await until(() => seen(configuration) > 0, 15_000);
});

test('what a cluster tells before anybody listens is told then', async () => {
  await api.up();
  const configuration = read(true, 1);
  await sources.begin(configuration);
  // Written when it was told.
  await until(() => existsSync(join(directory, 'kubernetes.json')));
  expect(seen(configuration)).toBe(0);
  follow(configuration);
  await until(() => seen(configuration) > 0);
});

test('a cluster comes and goes with the configuration', async () => {
  await api.up();
  const configuration = read(false);
  await sources.begin(configuration);
  follow(configuration);
  await configuration.apply([{ file, text: text(true) }]);
  await until(() => seen(configuration) > 0);
  await configuration.apply([{ file, text: text(false) }]);
  await until(() => seen(configuration) === 0);
});
