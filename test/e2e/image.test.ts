// What an image of leafd consists of, as its Containerfile puts it together, run on a node with a Kubernetes API (a
// recorded one): resources in the cluster become the router of the node, are followed, and the cluster is told.

import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { PassthroughView } from '../../src/api/views-passthrough.ts';
import { createNetns, netnsPath, removeNetns, withNetns } from '../../src/netlink/netns.ts';
import {
  AF_INET,
  check,
  libcCalls,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
} from '../../src/netlink/sys.ts';
import { type Running, root, run, runOrThrow, scratchFile, start, until } from '../support/fabric.ts';
import { RecordedApi } from '../support/recorded-api.ts';

const NODE = `lfimg-${process.pid}-n`;
const TOR = `lfimg-${process.pid}-t`;
const ROUTER = `lfimg-${process.pid}-pe`;
const STATUS =
  '/apis/network.openperouter.io/v1alpha1/namespaces/openperouter-system/routernodeconfigurationstatuses';

const directory = mkdtempSync(join(tmpdir(), 'leafd-image-'));
const image = join(directory, 'image');
const socket = join(directory, 'leafd.sock');
const state = join(directory, 'state');
const program = (name: string): string => join(image, 'bin', name);
/** In the node's namespace, from a directory where nothing of ours is. */
const inNode = (...argv: string[]): string[] => ['nsenter', `--net=${netnsPath(NODE)}`, '--wd=/', ...argv];
const passthrough = async (): Promise<PassthroughView | undefined> => {
  const { exitCode, stdout } = await run(inNode(program('leafctl'), '-s', socket, '-j', 'passthrough'));
  return exitCode > 1 ? undefined : (JSON.parse(stdout) as PassthroughView);
};

let api: RecordedApi;
let words: string[];
let daemon: Running | undefined;

/** A socket that listens on 127.0.0.1 of the node. */
function listeningInNode(): number {
  return withNetns(NODE, () => {
    const fd = check('socket', libcCalls.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const address = Buffer.alloc(16);
    address.writeUInt16LE(AF_INET, 0);
    address.set([127, 0, 0, 1], 4);
    check('bind', libcCalls.bind(fd, address, address.length));
    check('listen', libcCalls.listen(fd, 64));
    return fd;
  });
}

beforeAll(async () => {
  await runOrThrow([process.execPath, join(root, 'scripts', 'stage.mjs'), image]);
  createNetns(NODE);
  createNetns(TOR);
  await runOrThrow(['ip', '-n', NODE, 'link', 'set', 'lo', 'up']);
  const cable = ['link', 'add', 'toswitch', 'type', 'veth', 'peer', 'name', 'tonode', 'netns', TOR];
  await runOrThrow(['ip', '-n', NODE, ...cable]);
  await runOrThrow(['ip', '-n', NODE, 'address', 'add', '192.168.11.3/24', 'dev', 'toswitch']);
  await runOrThrow(['ip', '-n', NODE, 'link', 'set', 'toswitch', 'up']);
  await runOrThrow(['ip', '-n', TOR, 'link', 'set', 'tonode', 'up']);
  api = new RecordedApi();
  await api.up(listeningInNode());
  const config = [
    'passthrough:',
    `  netns: ${ROUTER}`,
    '  openperouter:',
    `    directory: ${join(directory, 'openperouter')}`,
    `    kubernetes: {kubeconfig: ${api.kubeconfig}, node: node1}`,
  ];
  const file = scratchFile('image.yaml', `${config.join('\n')}\n`);
  words = ['--config', file, '--socket', socket, '--state', state];
});

afterAll(async () => {
  await daemon?.stop();
  await run(inNode(program('leafd'), '--flush', '--state', state));
  await api.close();
  for (const netns of [ROUTER, NODE, TOR]) removeNetns(netns);
  rmSync(directory, { recursive: true, force: true });
});

it('runs from its own files, which are few', async () => {
  for (const name of ['leafd', 'leafctl']) {
    const { exitCode, stdout } = await run(['env', '-C', '/', program(name), '--version']);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/\d+\.\d+\.\d+/);
  }
  const megabytes = Number.parseInt(await runOrThrow(['du', '-sm', image]), 10);
  expect(megabytes).toBeLessThan(20);
  expect(() => statSync(join(image, 'node_modules', '@kubernetes'))).toThrow('ENOENT');
});

it('makes the router that the resources in the cluster ask for', async () => {
  daemon = start(inNode(program('leafd'), ...words));
  const ready = (view: PassthroughView | undefined) =>
    view?.veth?.host.addresses.includes('192.169.10.5/24') === true && view.uplinks[0]?.place === 'router';
  const view = await until(passthrough, ready, { timeoutMs: 20_000, what: daemon.text() || 'the router' });
  expect(view).toMatchObject({ netns: ROUTER, nodeIndex: 3, veth: { router: { name: 'pt-ns' } } });
  expect(view?.uplinks).toMatchObject([{ name: 'toswitch', state: 'done' }]);
  expect(view?.sessions.map(({ peer }) => peer)).toHaveLength(3);
});

it('tells the cluster how its resources fare', async () => {
  const told = () => api.asked('PATCH', `${STATUS}/node1/status`).at(-1)?.body;
  const body = await until(told, (seen) => seen !== undefined, { timeoutMs: 20_000, what: 'the status' });
  const { status } = body as { status: { conditions: { type: string }[] } };
  expect(status.conditions.map(({ type }) => type).sort()).toEqual(['Degraded', 'Ready']);
});

it('follows the cluster: without the resource there is no leg to the host', async () => {
  api.play('passthrough-removed');
  const gone = (view: PassthroughView | undefined) => view !== undefined && view.veth === undefined;
  await until(passthrough, gone, { timeoutMs: 20_000, what: 'the leg gone' });
  const { exitCode } = await run(['ip', '-n', NODE, 'link', 'show', 'pt-host']);
  expect(exitCode).toBe(1);
});

it('starts into what the cluster said last while its API is away', async () => {
  const text = await daemon!.stop();
  expect(daemon!.child.exitCode, text).toBe(0);
  await api.down();
  daemon = start(inNode(program('leafd'), ...words));
  const ready = (view: PassthroughView | undefined) => view?.sessions.length === 1;
  const view = await until(passthrough, ready, { timeoutMs: 20_000, what: 'the session with the fabric' });
  expect(view?.uplinks).toMatchObject([{ name: 'toswitch', place: 'router' }]);
  const log = () => daemon!.text();
  await until(log, (lines) => lines.includes('kubernetes-unreachable'), { timeoutMs: 20_000 });
});
