// Guests that go to another hypervisor under a ping every 15 ms: a real one, moved live by QEMU at its own pace, slowly,
// not in the end, and 50 times in a row; and one of the lab.

import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { GuestView } from '../../src/api/views.ts';
import { until } from '../support/fabric.ts';
import {
  ask,
  everywhere,
  type Hypervisor,
  hypervisorFabric,
  hypervisors,
  isOwnRoute,
  pathsTo,
  type RouteLog,
  routeEvent,
  routeLog,
  routers,
} from '../support/hypervisor.ts';
import { describePing, type PingReport, pingsDuring } from '../support/pinger.ts';
import {
  bootGuest,
  cancelMigration,
  type Incoming,
  type MigrationView,
  migrate,
  migrationCompleted,
  migrationProgress,
  prepareIncoming,
  type QemuGuest,
  setPace,
  startMigration,
} from '../support/qemu.ts';

const long = process.env.LEAFD_TEST_LONG === '1';
const fabric = hypervisorFabric('moving');

const vm = { name: 'vm100', port: 'tap100i0', mac: '02:00:00:00:30:00' };
const addresses = ['192.0.2.30', '2001:db8:100::80'];
const lengths = ['192.0.2.30/32', '2001:db8:100::80/128'];
const db1 = ['192.0.2.21', '2001:db8:100::21'];

let guest: QemuGuest;
let at: Hypervisor = 'hv1';
let boots = 0;

const nextOf = (node: Hypervisor): Hypervisor => hypervisors[(hypervisors.indexOf(node) + 1) % 3]!;

const call = (node: Hypervisor, method: string, path: string, body?: unknown) =>
  ask<GuestView>(fabric, node, method, `/v1/guests${path}`, body);

beforeAll(async () => {
  await fabric.up();
  guest = await bootGuest({
    name: 'moving',
    netns: fabric.netns(at),
    tap: vm.port,
    bridge: 'vmbr1',
    mac: vm.mac,
    addresses: lengths,
  });
  await call(at, 'POST', '', { ...vm, addresses });
  await everywhere(fabric, addresses, at, 3000);
});

afterAll(async () => {
  await guest?.kill();
  expect(await fabric.down()).toEqual([]);
});

const logs = new Map<Hypervisor, RouteLog>();

afterEach(async () => {
  for (const log of logs.values()) await log.stop();
  logs.clear();
});

/** From a spine, from a guest elsewhere and from another hypervisor, in each family. */
const flows = () =>
  addresses.flatMap((to) => ['spine1', 'web1', 'hv3'].map((from) => ({ netns: fabric.netns(from), to })));

/** The guest's addresses led to the guest itself here at these times. */
const ownEvents = (node: Hypervisor) =>
  addresses.flatMap((address) => logs.get(node)!.events(address)).filter(isOwn);

function isOwn({ deleted, line }: { deleted: boolean; line: string }): boolean {
  return !deleted && isOwnRoute(line);
}

/** Tells the target of the guest, as a hook does before it starts the second QEMU, and starts that. */
async function prepare(to: Hypervisor, options: { qmp?: boolean } = {}): Promise<Incoming> {
  for (const node of [at, to]) logs.set(node, await routeLog(fabric, node));
  const name = `moving${++boots}`;
  const place = { name, netns: fabric.netns(to) };
  if (!options.qmp) await call(to, 'POST', `/${vm.name}/expect`, expectation());
  const incoming = await prepareIncoming(guest, place);
  if (options.qmp)
    await call(to, 'POST', `/${vm.name}/expect`, { ...expectation(), qmp: incoming.target.spareQmpPath });
  expect((await call(to, 'GET', `/${vm.name}`)).state).toBe('expected');
  return incoming;
}

function expectation() {
  const { name: _, ...place } = vm;
  return { ...place, addresses, from: at };
}

/** After the guest runs at the target: the source's QEMU ends and its hook says so. */
async function settle(to: Hypervisor, incoming: Incoming): Promise<void> {
  const from = at;
  await guest.kill();
  guest = incoming.target;
  at = to;
  await call(from, 'DELETE', `/${vm.name}`);
}

/** Judges a cut-over by the kernels of both and by all RIBs. */
async function judge(from: Hypervisor, to: Hypervisor, view: MigrationView, reports: readonly PingReport[]) {
  const arrivals = await Promise.all(
    addresses.map((address) =>
      routeEvent(logs.get(to)!, address, isOwn, 1000, `the route to ${address} on ${to}`),
    ),
  );
  const departures = await Promise.all(
    addresses.map((address) =>
      routeEvent(
        logs.get(from)!,
        address,
        (event) => event.atMs >= view.stopMs && !isOwn(event),
        1000,
        `the end of ${address} on ${from}`,
      ),
    ),
  );
  const after = (events: readonly { atMs: number }[]) =>
    events.map((event) => Math.round(event.atMs - view.resumeMs)).join('/');
  console.log(
    `${from} to ${to}: ${view.tookMs.toFixed(0)} ms, stopped for ${(view.resumeMs - view.stopMs).toFixed(0)} ms; ` +
      `after RESUME: route on target ${after(arrivals)} ms, gone from source ${after(departures)} ms; ` +
      reports.map(describePing).join('; '),
  );
  for (const { atMs } of arrivals) expect(atMs).toBeGreaterThanOrEqual(Math.floor(view.resumeMs));
  for (const { atMs } of departures) expect(atMs - view.resumeMs).toBeLessThanOrEqual(1000);
  for (const report of reports) expect(report.longestGapMs, describePing(report)).toBeLessThanOrEqual(300);
}

/** A whole migration under pings; with `linger` the source's QEMU ends when all have seen that the guest has gone. */
async function moveLive(to: Hypervisor, options: { qmp?: boolean; linger?: boolean } = {}): Promise<void> {
  const from = at;
  const { reports, event: view } = await pingsDuring(flows(), async () => {
    const incoming = await prepare(to, options);
    // The target has its tap and is told; nothing of it may show.
    for (const address of addresses) expect(await pathsTo(fabric, 'spine1', address)).toEqual([from]);
    const migration = await migrate(guest, incoming);
    if (!options.linger) await settle(to, incoming);
    const leftMs = Math.max(1, migration.resumeMs + 1000 - Date.now());
    await everywhere(fabric, addresses, to, leftMs).catch((error: Error) => {
      const log = (node: Hypervisor) => `${node}:\n${fabric.log(node).split('\n').slice(-12).join('\n')}`;
      const dead = incoming.target.death() ?? '';
      throw new Error(`${error.message}\n${log(from)}\n${log(to)}\n${dead}`);
    });
    if (options.linger) await settle(to, incoming);
    return migration;
  });
  await judge(from, to, view, reports);
  for (const log of logs.values()) await log.stop();
  logs.clear();
}

it('a real guest is migrated live and back: silent for at most 300 ms, nothing too early, nothing left', async () => {
  const first = at;
  await moveLive(nextOf(at), { linger: true });
  await moveLive(first, { qmp: true });
  const { addresses: rows } = await call(first, 'GET', `/${vm.name}`);
  expect(rows.map(({ state, sequence }) => ({ state, sequence }))).toEqual([
    { state: 'attached', sequence: 2 },
    { state: 'attached', sequence: 2 },
  ]);
});

it('a second move within the time of the first one being fresh does not tie', async () => {
  await moveLive(nextOf(at));
  await moveLive(nextOf(at), { linger: true });
  for (const node of routers)
    for (const address of addresses)
      expect(new Set(await pathsTo(fabric, node, address))).toEqual(new Set([node === at ? 'own' : at]));
});

it('a cancelled migration loses nothing and is never announced by the target', async () => {
  const from = at;
  const to = nextOf(at);
  const { reports } = await pingsDuring(flows(), async () => {
    const incoming = await prepare(to);
    await setPace(guest, 1 << 20);
    await startMigration(guest, incoming);
    await until(
      () => migrationProgress(guest),
      ({ status, transferred }) => status === 'active' && transferred > 1 << 20,
      { timeoutMs: 5000, what: 'a migration under way' },
    );
    await cancelMigration(guest, incoming);
    // With its tap the expectation may be gone already: a hook says so all the same.
    await call(to, 'DELETE', `/${vm.name}`).catch((error: Error) => expect(error.message).toContain('404'));
    for (const node of routers)
      for (const address of addresses)
        expect(new Set(await pathsTo(fabric, node, address))).toEqual(
          new Set([node === from ? 'own' : from]),
        );
  });
  console.log(reports.map(describePing).join('; '));
  expect(reports.filter(({ lost }) => lost > 0).map(describePing)).toEqual([]);
  expect(ownEvents(to)).toEqual([]);
  expect(ownEvents(from)).toEqual([]);
});

it(`a migration of ${long ? 60 : 6} s loses nothing, and is announced at its end only`, async () => {
  const from = at;
  const to = nextOf(at);
  let incoming: Incoming | undefined;
  const { reports, event: startedMs } = await pingsDuring(flows(), async () => {
    incoming = await prepare(to);
    await setPace(guest, 600 << 10);
    const started = await startMigration(guest, incoming);
    await until(
      () => Date.now() - started,
      (tookMs) => tookMs >= (long ? 60_000 : 6000),
      { timeoutMs: 70_000, everyMs: 200 },
    );
    expect((await migrationProgress(guest)).status).toBe('active');
    for (const address of addresses) expect(await pathsTo(fabric, 'spine1', address)).toEqual([from]);
    return started;
  });
  expect(reports.filter(({ lost }) => lost > 0).map(describePing)).toEqual([]);
  expect(ownEvents(to)).toEqual([]);
  const last = await pingsDuring(flows(), async () => {
    await setPace(guest, 1 << 30);
    const view = await migrationCompleted(guest, incoming!, startedMs);
    await settle(to, incoming!);
    await everywhere(fabric, addresses, to, 2000);
    return view;
  });
  await judge(from, to, last.event, last.reports);
});

it('a real guest is migrated live 50 times in a row', async () => {
  const sequences = async () =>
    (await call(at, 'GET', `/${vm.name}`)).addresses.map(({ sequence }) => sequence);
  const before = await sequences();
  for (let move = 0; move < 50; move++) await moveLive(nextOf(at), { linger: move % 2 === 0 });
  expect(await sequences()).toEqual(before.map((sequence) => sequence + 50));
}, 300_000);

const moves = long ? 50 : 10;

it(`a guest of the lab that moves ${moves} times in a row is where it is each time`, async () => {
  const order: Hypervisor[] = ['hv3', 'hv1', 'hv2'];
  const watched = db1.flatMap((to) => ['spine1', 'web1'].map((from) => ({ netns: fabric.netns(from), to })));
  const slow: string[] = [];
  const { reports } = await pingsDuring(watched, async () => {
    for (let move = 0; move < moves; move++) {
      const to = order[move % order.length]!;
      const { cutOverAtMs } = await fabric.lab<{ cutOverAtMs: number }>('migrate', 'db1', to);
      await everywhere(fabric, db1, to, 2000);
      const tookMs = Date.now() - cutOverAtMs;
      if (tookMs > 2000) slow.push(`move ${move + 1} to ${to}: ${tookMs} ms`);
    }
  });
  console.log(reports.map(describePing).join('; '));
  expect(slow).toEqual([]);
  for (const report of reports) expect(report.longestGapMs, describePing(report)).toBeLessThanOrEqual(300);
  const { addresses: rows } = await ask<GuestView>(fabric, order[(moves - 1) % 3]!, 'GET', '/v1/guests/db1');
  expect(rows.map(({ sequence }) => sequence)).toEqual([moves, moves]);
});
