// Passthrough over REST and as a view: which one word it gets and why, whose session is whose, and what is refused.

import { beforeEach, describe, expect, test } from 'vitest';
import type { PassthroughIntent } from '../intent/passthrough.ts';
import type { PassthroughPlaneView, TrialView } from '../passthrough/plane-view.ts';
import type { AddressPeer } from '../router/config.ts';
import type { Peer } from '../router/peer.ts';
import { ip, neighbour, routeRig } from '../router/route-rig.test-data.ts';
import { keepaliveMessage } from '../wire/bgp/header.ts';
import { encodeOpen } from '../wire/bgp/open.ts';
import { createApp } from './app.ts';
import { EventRing } from './events.ts';
import { type FakeBackend, fakeBackend } from './fake-backend.ts';
import { fakePassthrough, fakePassthroughView } from './fake-passthrough.ts';
import {
  type OpenperouterReport,
  type PlanePort,
  passthroughBackend,
  passthroughEvent,
  passthroughStatus,
  passthroughView,
} from './passthrough-view.ts';
import { defaultLimits } from './stream.ts';
import type { PassthroughTrialView } from './views.ts';

const uplink: PassthroughPlaneView['uplinks'][number] = {
  name: 'eth1',
  parent: 'eth1',
  mode: 'move',
  state: 'done',
  place: 'router',
  mac: '02:00:5e:00:53:01',
  mtu: 9000,
  addresses: ['192.0.2.1/24'],
  up: true,
  carrier: true,
};

const look: PassthroughPlaneView = {
  netns: 'perouter',
  made: true,
  inode: 1,
  uplinks: [uplink],
  veth: undefined,
  trial: { state: 'none', uplinks: [] },
  sysctls: [{ key: 'net.ipv4.ip_forward', before: '0', now: '1', wanted: '1', changed: true }],
  warnings: [],
};

const intent: PassthroughIntent = {
  netns: 'perouter',
  nodeIndex: 3,
  uplinks: [{ name: 'eth1', parent: 'eth1', mode: { kind: 'move' }, addresses: [] }],
  speakers: [{ name: 'frr', peers: ['frr-ipv4', 'frr-ipv6'] }],
  confirmMs: 60_000,
  restoreOnStop: false,
};

const tor = '192.0.2.2';
const frr = '198.51.100.2';

/** A router with a ToR and a speaker of the host, and a plane that says what the test wants. */
function rigOf(
  options: {
    plane?: Partial<PassthroughPlaneView>;
    status?: ReturnType<PlanePort['status']>;
    peers?: AddressPeer[];
    report?: OpenperouterReport;
  } = {},
) {
  const peers = options.peers ?? [neighbour(tor, { name: 'tor' }), neighbour(frr, { name: 'frr-ipv4' })];
  const { router } = routeRig(peers);
  const asked: string[] = [];
  const order = (word: string) => () => asked.push(word) > 1;
  const parts = {
    plane: {
      view: () => ({ ...look, ...options.plane }),
      status: () => options.status ?? [],
      confirm: order('confirm'),
      rollBack: order('rollBack'),
      retry: order('retry'),
    },
    intent,
    router,
    time: { originMs: 0, nowMs: () => router.nowMs },
    report: options.report,
  };
  const establish = (address: string): void => {
    const peer: Peer = router.incoming(ip(address), 2)!;
    const connection = router.sessions.newConnection();
    router.accepted(peer, connection, ip('192.0.2.1'));
    const capabilities = [
      { kind: 'multiprotocol', afi: 1, safi: 1 },
      { kind: 'asn4', asn: 65002 },
    ] as const;
    router.received(
      connection,
      encodeOpen({ asn: 65002, holdTimeS: 90, bgpId: 2, capabilities: [...capabilities] }),
    );
    router.received(connection, keepaliveMessage);
  };
  return { asked, parts, establish, view: () => passthroughView(parts) };
}

describe('the one word', () => {
  test('down without the fabric, degraded without the host, up with both', () => {
    const rig = rigOf();
    expect(rig.view()).toMatchObject({
      state: 'down',
      reason: { code: 'fabricDown', text: expect.stringContaining('tor passive: the peer has not called') },
    });
    rig.establish(tor);
    expect(rig.view()).toMatchObject({
      state: 'degraded',
      reason: { code: 'sessionsDown', text: expect.stringContaining('1 of 2 sessions not up: frr-ipv4') },
    });
    rig.establish(frr);
    expect(rig.view()).toMatchObject({ state: 'up' });
    expect(rig.view()).not.toHaveProperty('reason');
    expect(passthroughStatus(rig.view())).toEqual({
      netns: 'perouter',
      state: 'up',
      fabric: { established: 1, known: 1 },
      host: { established: 1, known: 1 },
    });
  });

  test.each<[string, Partial<PassthroughPlaneView['uplinks'][number]>, string]>([
    [
      'not there',
      { state: 'pending', place: 'absent', up: false, carrier: false, error: 'there is no such NIC yet' },
      'uplink eth1: there is no such NIC yet',
    ],
    ['without carrier', { carrier: false }, 'uplink eth1 has no carrier'],
    ['down', { up: false, carrier: false }, 'uplink eth1 is down'],
  ])('an uplink %s is told before what sessions make of it', (_, wrong, text) => {
    const rig = rigOf({ plane: { uplinks: [{ ...uplink, ...wrong }] } });
    const reason = { code: 'fabricDown', text: `no session of the fabric is up: ${text}` };
    expect(rig.view()).toMatchObject({ state: 'down', reason });
    const other = { ...uplink, name: 'eth2', parent: 'eth2' };
    const two = rigOf({ plane: { uplinks: [{ ...uplink, ...wrong }, other] } }).view();
    expect(two.reason?.text).toContain('tor passive');
  });

  test('a NIC that is waited for degrades it', () => {
    const late = {
      ...uplink,
      name: 'eth2',
      state: 'pending',
      place: 'absent',
      error: 'there is no eth2',
    } as const;
    const rig = rigOf({ plane: { uplinks: [uplink, late] } });
    rig.establish(tor);
    rig.establish(frr);
    const reason = { code: 'uplinkFailed', text: 'uplink eth2: there is no eth2' };
    expect(rig.view()).toMatchObject({ state: 'degraded', reason });
  });

  test('taken back is graver than all', () => {
    const reason = 'the operator said so';
    const trial: TrialView = { state: 'rolledBack', uplinks: ['eth1'], reason };
    const rig = rigOf({ plane: { trial } });
    rig.establish(tor);
    expect(rig.view()).toMatchObject({ state: 'rolledBack', reason: { text: 'the operator said so' } });
  });

  test('resources of OpenPERouter without an Underlay', () => {
    const result = { resources: [], problems: [] };
    const rig = rigOf({ peers: [], report: { result, status: { conditions: [], failedResources: [] } } });
    expect(rig.view()).toMatchObject({ state: 'down', reason: { code: 'noUnderlay' } });
  });

  test('no peer of the fabric, or all shut down', () => {
    expect(rigOf({ peers: [neighbour(frr, { name: 'frr-ipv4' })] }).view()).toMatchObject({
      state: 'down',
      reason: { code: 'noFabric' },
    });
    expect(rigOf({ peers: [neighbour(tor, { name: 'tor', shutdown: true })] }).view()).toMatchObject({
      state: 'down',
      reason: { code: 'noFabric' },
    });
  });

  test.each([
    [
      'an uplink',
      {
        plane: {
          uplinks: [{ ...uplink, state: 'error', errno: 'EBUSY', error: 'a VLAN is on top' } as const],
        },
      },
      { code: 'uplinkFailed', text: 'uplink eth1: EBUSY: a VLAN is on top' },
    ],
    [
      'an object of the kernel',
      { status: [{ key: 'veth pt-host', state: 'error', errno: 'EEXIST', text: 'File exists' } as const] },
      { code: 'kernelFailed', text: 'veth pt-host: EEXIST: File exists' },
    ],
  ])('%s that failed degrades it', (_, options, reason) => {
    const rig = rigOf(options);
    rig.establish(tor);
    rig.establish(frr);
    expect(rig.view()).toMatchObject({ state: 'degraded', reason });
  });

  test('a resource of OpenPERouter that failed degrades it; one that is unsupported does not', () => {
    const where = { file: 'openpe_a.yaml', line: 3, column: 1 };
    const problem = { where, path: 'L3VNI/red.vni', reason: 'must be from 1 to 16777215' };
    const report = (state: 'failed' | 'unsupported'): OpenperouterReport => ({
      result: {
        resources: [{ kind: 'L3VNI', name: 'red', where, state, message: 'must be from 1 to 16777215' }],
        problems: [problem],
      },
      status: { conditions: [], failedResources: [] },
    });
    const failed = rigOf({ report: report('failed') });
    const unsupported = rigOf({ report: report('unsupported') });
    for (const { establish } of [failed, unsupported]) for (const one of [tor, frr]) establish(one);
    expect(failed.view()).toMatchObject({
      state: 'degraded',
      reason: { code: 'resourceFailed', text: 'L3VNI red: must be from 1 to 16777215' },
      openperouter: { resources: [{ kind: 'L3VNI', where }], problems: [problem] },
    });
    expect(unsupported.view().state).toBe('up');
  });

  test('a range that nobody has come to lacks nothing', () => {
    const { address: _, ...settings } = neighbour(tor);
    const range = { ...settings, kind: 'range', range: { bytes: ip('203.0.113.0'), length: 24 }, limit: 9 };
    const rig = rigOf({ peers: [neighbour(tor, { name: 'tor' }), range as unknown as AddressPeer] });
    rig.establish(tor);
    expect(rig.view().sessions.map(({ peer }) => peer)).toEqual(['tor', '203.0.113.0/24']);
    expect(rig.view().state).toBe('up');
  });
});

test('whose session is whose: speakers by the names of their peers, uplinks by their subnets', () => {
  const { view } = rigOf();
  expect(
    view().sessions.map(({ peer, side, speaker, uplink: port }) => [peer, side, speaker ?? port]),
  ).toEqual([
    ['tor', 'fabric', 'eth1'],
    ['frr-ipv4', 'host', 'frr'],
  ]);
});

test('what is absent has no MAC and no MTU; sysctls as the kernel view has them', () => {
  const gone = { ...uplink, place: 'absent', mac: '', mtu: 0, addresses: [] } as const;
  const view = rigOf({ plane: { uplinks: [{ ...gone, addresses: [] }] } }).view();
  expect(view.uplinks[0]).not.toHaveProperty('mac');
  expect(view.uplinks[0]).not.toHaveProperty('mtu');
  expect(view.sysctls).toEqual([{ name: 'net.ipv4.ip_forward', value: '1', before: '0' }]);
});

test('orders go to the plane; one that means nothing now is no answer', () => {
  const { parts, asked } = rigOf();
  const backend = passthroughBackend(parts);
  expect(backend.act('confirm')).toBeUndefined();
  expect(backend.act('rollBack')).toEqual({ action: 'rollBack', text: 'the uplinks go back to the host' });
  expect(backend.act('retry')).toMatchObject({ action: 'retry' });
  expect(asked).toEqual(['confirm', 'rollBack', 'retry']);
});

test('events are kebab-case and say whose they are', () => {
  expect(passthroughEvent({ kind: 'nicMoved', text: 'eth1 moved', level: 'warn' })).toEqual({
    kind: 'passthrough-nic-moved',
    level: 'warning',
    text: 'eth1 moved',
  });
});

describe('over REST', () => {
  let backend: FakeBackend;
  beforeEach(() => {
    backend = fakeBackend();
    backend.passthrough = fakePassthrough(backend.asked);
  });
  const app = (way: 'unix' | 'tcp' = 'unix', write = true) =>
    createApp({
      backend,
      events: new EventRing(() => 0, 8),
      way,
      limits: defaultLimits,
      mayWrite: () => write,
      onBug: () => {},
    });
  const post = (path: string, write = true) =>
    app('unix', write).inject({ method: 'POST', url: `/v1/passthrough/${path}` });

  test('the view, and its part of the status', async () => {
    expect((await app().inject('/v1/passthrough')).json()).toEqual(fakePassthroughView);
    expect((await app().inject('/v1/passthrough?x=1')).statusCode).toBe(400);
    expect((await app().inject('/v1/status')).json()).toMatchObject({
      passthrough: { netns: 'perouter', state: 'degraded', host: { established: 1, known: 2 } },
    });
  });

  test('a trial that runs is confirmed or taken back; else it is a conflict', async () => {
    expect((await post('confirm')).json()).toEqual({
      error: {
        code: 'conflict',
        message: 'no trial runs that could be confirmed',
        hint: 'leafctl passthrough',
      },
    });
    expect((await post('retry')).statusCode).toBe(409);
    const trial: PassthroughTrialView = { state: 'running', uplinks: ['eth1'], remainingSeconds: 42 };
    backend.passthrough!.shown = { ...fakePassthroughView, trial };
    expect((await post('rollback')).json()).toEqual({ action: 'rollBack', text: 'rollBack is done' });
    expect(backend.asked).toEqual(['passthrough confirm', 'passthrough retry', 'passthrough rollBack']);
    expect((await post('destroy')).statusCode).toBe(404);
  });

  test('a body that says something is refused', async () => {
    const answer = await app().inject({
      method: 'POST',
      url: '/v1/passthrough/confirm',
      payload: { for: '5m' },
    });
    expect(answer.statusCode).toBe(400);
    expect(answer.body).toContain('for: is not a field');
  });

  test('only root changes, and nobody over TCP', async () => {
    expect((await post('rollback', false)).statusCode).toBe(403);
    const headers = { host: 'localhost' };
    const tcp = await app('tcp').inject({ method: 'POST', url: '/v1/passthrough/rollback', headers });
    expect(tcp.statusCode).toBe(403);
    expect(backend.asked).toEqual([]);
    expect((await app('tcp').inject({ url: '/v1/passthrough', headers })).statusCode).toBe(200);
  });

  test.each([
    ['GET', ''],
    ['POST', '/confirm'],
    ['POST', '/rollback'],
    ['POST', '/retry'],
  ] as const)('%s /v1/passthrough%s where there is none', async (method, path) => {
    backend.passthrough = undefined;
    const answer = await app().inject({ method, url: `/v1/passthrough${path}` });
    expect(answer.statusCode).toBe(404);
    expect(answer.json()).toEqual({
      error: {
        code: 'not-found',
        message: 'there is no passthrough here',
        hint: 'passthrough: in leafd.yaml puts the speaker into a router namespace',
      },
    });
    expect((await app().inject('/v1/status')).json()).not.toHaveProperty('passthrough');
  });
});
