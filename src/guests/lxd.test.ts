// The driver against an LXD of the test's own: what instances mean, and that it survives answers that are late, wrong
// or absent. The real one is in test/e2e/guests-lxd.test.ts.

import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { LeafdError } from '../lib/leafd-error.ts';
import { formatIp } from '../net/ip.ts';
import { prefixText } from '../net/prefix.ts';
import type { Binding } from './binding.ts';
import { LxdDriver, type LxdGuests } from './lxd.ts';
import { lxdBindings, readInstance, readLifecycleEvent } from './lxd-instance.ts';

type Json = Record<string, unknown>;

/** An instance as LXD gives it. */
function instance(name: string, more: { config?: Json; nic?: Json; fields?: Json } = {}): Json {
  return {
    name,
    project: 'default',
    location: 'none',
    status: 'Running',
    type: 'container',
    expanded_config: {
      'user.leafd.eth0.addresses': '192.0.2.30, 2001:db8::30',
      'volatile.eth0.host_name': `veth-${name}`,
      'volatile.eth0.hwaddr': '00:16:3e:00:00:30',
      ...more.config,
    },
    expanded_devices: {
      root: { type: 'disk', pool: 'default', path: '/' },
      eth0: { type: 'nic', nictype: 'bridged', parent: 'vmbr1', name: 'eth0', ...more.nic },
    },
    ...more.fields,
  };
}

const around = { member: undefined, isGuestBridge: (name: string) => name === 'vmbr1', wallMs: 7 };

const read = (value: Json, member?: string) => {
  const { bindings, problems } = lxdBindings(readInstance(value)!, { ...around, member });
  const texts = bindings.map(({ name, port, bridge, addresses, allowed }) => ({
    name,
    port,
    bridge,
    addresses: addresses.map((one) => formatIp(one)),
    allowed: allowed.map(prefixText),
  }));
  return { bindings: texts, problems };
};

describe('an instance', () => {
  test('on a guest bridge has the addresses of its keys, under its name and the device', () => {
    const value = instance('c1', { config: { 'user.leafd.eth0.allowed': '192.0.2.64/26,2001:db8::99' } });
    expect(read(value)).toEqual({
      bindings: [
        {
          name: 'c1-eth0',
          port: 'veth-c1',
          bridge: 'vmbr1',
          addresses: ['192.0.2.30', '2001:db8::30'],
          allowed: ['192.0.2.64/26', '2001:db8::99/128'],
        },
      ],
      problems: [],
    });
  });

  test('of another project carries it in its name', () => {
    expect(read(instance('c1', { fields: { project: 'blue' } })).bindings[0]!.name).toBe('blue_c1-eth0');
  });

  test('on a managed bridge has the name of the network', () => {
    const nic = { nictype: undefined, parent: undefined, network: 'vmbr1' };
    expect(read(instance('c1', { nic })).bindings).toHaveLength(1);
  });

  test('with a routed NIC has the addresses of the device', () => {
    const nic = {
      nictype: 'routed',
      parent: undefined,
      'ipv4.address': '192.0.2.31',
      'ipv6.address': 'none',
    };
    expect(read(instance('r1', { nic })).bindings).toMatchObject([
      { addresses: ['192.0.2.31'], bridge: undefined },
    ]);
  });

  test('that is stopped, on another member, on a bridge of others or without a host end has none', () => {
    expect(read(instance('c1', { fields: { status: 'Stopped' } })).bindings).toEqual([]);
    expect(read(instance('c1', { fields: { location: 'm2' } }), 'm1').bindings).toEqual([]);
    expect(read(instance('c1', { fields: { location: 'm1' } }), 'm1').bindings).toHaveLength(1);
    expect(read(instance('c1', { nic: { parent: 'lxdbr0' } })).bindings).toEqual([]);
    expect(read(instance('c1', { nic: { nictype: 'macvlan' } })).bindings).toEqual([]);
    expect(read(instance('c1', { config: { 'volatile.eth0.host_name': undefined } })).bindings).toEqual([]);
  });

  test('with entries that cannot be meant keeps the others, and each is told', () => {
    const wrong = '192.0.2.30/24, fe80::7, x';
    const config = {
      'user.leafd.eth0.addresses': `${wrong}, 192.0.2.9`,
      'user.leafd.eth0.allowed': '192.0.2.1/24',
    };
    const { bindings, problems } = read(instance('c1', { config }));
    expect(bindings).toMatchObject([{ addresses: ['192.0.2.9'], allowed: [] }]);
    expect(problems).toEqual([
      'c1: user.leafd.eth0.allowed: 192.0.2.1/24: must be a prefix or an address',
      'c1: user.leafd.eth0.addresses: 192.0.2.30/24: must be one address, without a length or with /32',
      'c1: user.leafd.eth0.addresses: fe80::7: is link-local: no guest is reached by it',
      'c1: user.leafd.eth0.addresses: x: must be an IPv4 or IPv6 address',
    ]);
  });

  test('is read with limits', () => {
    const many = Array.from({ length: 100 }, (_, i) => `192.0.2.${i}`).join();
    const { bindings, problems } = read(instance('c1', { config: { 'user.leafd.eth0.addresses': many } }));
    expect(bindings[0]!.addresses).toHaveLength(64);
    expect(problems).toEqual(['c1: user.leafd.eth0.addresses: 100 entries, 64 are read']);
  });

  test('anything else is none', () => {
    for (const value of [undefined, null, 7, 'c1', [], {}, { name: '' }, { name: 7 }])
      expect(readInstance(value)).toBeUndefined();
    expect(
      read({ name: 'c1', status: 'Running', expanded_devices: 7, expanded_config: [] }).bindings,
    ).toEqual([]);
  });
});

test('lifecycle events name their instance, after a rename the old name too', () => {
  const event = (metadata: Json, more: Json = {}) => ({
    type: 'lifecycle',
    location: 'm1',
    ...more,
    metadata,
  });
  const source = '/1.0/instances/c%201?project=blue';
  expect(readLifecycleEvent(event({ action: 'instance-started', source }, { project: 'blue' }))).toEqual({
    names: ['c 1'],
    project: 'blue',
    location: 'm1',
  });
  const renamed = { action: 'instance-renamed', source: '/1.0/instances/new', context: { old_name: 'old' } };
  expect(readLifecycleEvent(event(renamed))?.names).toEqual(['new', 'old']);
  const others = [
    event({ action: 'network-created', source }),
    event({ action: 'instance-started', source: '/1.0/operations/7' }),
    event({ action: 'instance-started' }),
    { type: 'logging', metadata: { action: 'instance-started', source } },
    undefined,
    7,
    [],
  ];
  for (const other of others) expect(readLifecycleEvent(other)).toBeUndefined();
});

/** An LXD whose answers are the test's. */
class FakeLxd {
  readonly folder = mkdtempSync(join(tmpdir(), 'leafd-lxd-'));
  readonly socket = join(this.folder, 'unix.socket');
  readonly asked: string[] = [];
  instances: Json[] = [];
  environment: Json = { server_name: 'm1', server_clustered: false };
  /** In place of the answer to a path that contains it. */
  spoilt: { path: string; with: 'hang' | 'rubbish' | 'error' } | undefined;
  private server: Server | undefined;
  private sockets: WebSocketServer | undefined;

  async start(options: { autoPong?: boolean } = {}): Promise<void> {
    const server = createServer((request, response) => {
      const path = request.url!;
      this.asked.push(path);
      if (this.spoilt !== undefined && path.includes(this.spoilt.path)) {
        if (this.spoilt.with === 'rubbish') response.end('<html>');
        else if (this.spoilt.with === 'error')
          response.writeHead(500).end('{"type":"error","error":"no database"}');
        return;
      }
      const name = /^\/1\.0\/instances\/([^?]+)/.exec(path)?.[1];
      const one = this.instances.find((each) => each.name === name);
      const all = path.startsWith('/1.0/instances?') ? this.instances : { environment: this.environment };
      const metadata = name === undefined ? all : one;
      if (metadata === undefined) response.writeHead(404).end('{"type":"error","error":"not found"}');
      else response.end(JSON.stringify({ type: 'sync', metadata }));
    });
    this.server = server;
    this.sockets = new WebSocketServer({ server, autoPong: options.autoPong ?? true });
    await new Promise<void>((resolve) => server.listen(this.socket, resolve));
  }

  say(action: string, name: string, more: Json = {}): void {
    const metadata = { action, source: `/1.0/instances/${name}` };
    for (const one of this.streams())
      one.send(JSON.stringify({ type: 'lifecycle', project: 'default', ...more, metadata }));
  }

  streams(): WebSocket[] {
    return [...(this.sockets?.clients ?? [])];
  }

  async stop(): Promise<void> {
    for (const one of this.streams()) one.terminate();
    this.server?.closeAllConnections();
    await new Promise((resolve) => this.server?.close(resolve));
    this.sockets?.close();
  }
}

class Recorder implements LxdGuests {
  readonly there = new Map<string, Binding>();
  readonly told: string[] = [];
  readonly reports: string[] = [];
  refused: string | undefined;
  bridges = new Set(['vmbr1']);

  bindings = (): Binding[] => [...this.there.values()];
  isGuestBridge = (name: string): boolean => this.bridges.has(name);
  wallMs = (): number => 7;
  attach(binding: Binding): void {
    if (binding.name === this.refused) throw new LeafdError('conflict', '192.0.2.30 is an address of web1');
    this.told.push(`+${binding.name}`);
    this.there.set(binding.name, binding);
  }
  detach(name: string): void {
    this.told.push(`-${name}`);
    this.there.delete(name);
  }
}

describe('the driver', () => {
  const open: { close(): unknown }[] = [];
  afterEach(async () => {
    for (const one of open.splice(0).reverse()) await one.close();
  });

  async function bed(options: { start?: boolean; autoPong?: boolean; pingEveryMs?: number } = {}) {
    const lxd = new FakeLxd();
    open.push({
      close: async () => {
        await lxd.stop();
        rmSync(lxd.folder, { recursive: true });
      },
    });
    if (options.start !== false) await lxd.start({ autoPong: options.autoPong ?? true });
    const guests = new Recorder();
    const drive = (): LxdDriver => {
      const driver = new LxdDriver({
        socket: lxd.socket,
        guests,
        report: (_, text) => void guests.reports.push(text),
        retryMs: { first: 5, longest: 40 },
        ...(options.pingEveryMs !== undefined && { pingEveryMs: options.pingEveryMs }),
      });
      open.push(driver);
      return driver;
    };
    return { lxd, guests, drive };
  }

  const soon = (look: () => unknown, wanted: unknown) =>
    vi.waitFor(() => expect(look()).toEqual(wanted), { timeout: 5000, interval: 2 });

  test('lists first, then asks for what events are about; what has gone is detached', async () => {
    const { lxd, guests, drive } = await bed();
    lxd.instances = [instance('c1'), instance('c2', { fields: { status: 'Stopped' } })];
    drive();
    await soon(() => guests.told, ['+c1-eth0']);
    lxd.instances[1] = instance('c2');
    lxd.say('instance-started', 'c2');
    await soon(() => guests.told, ['+c1-eth0', '+c2-eth0']);
    // The same again, and of an instance that is none any more.
    lxd.say('instance-updated', 'c2');
    lxd.instances.shift();
    lxd.say('instance-deleted', 'c1');
    await soon(() => guests.told, ['+c1-eth0', '+c2-eth0', '-c1-eth0']);
    expect(lxd.asked.filter((path) => path.startsWith('/1.0/instances?'))).toHaveLength(1);
  });

  test('events of other members cost no request, unless the instance was here', async () => {
    const { lxd, guests, drive } = await bed();
    lxd.environment = { server_name: 'm1', server_clustered: true };
    lxd.instances = [instance('c1', { fields: { location: 'm1' } })];
    const driver = drive();
    await soon(() => guests.told, ['+c1-eth0']);
    expect(driver.status().member).toBe('m1');
    const before = lxd.asked.length;
    lxd.say('instance-started', 'c9', { location: 'm2' });
    lxd.instances = [instance('c1', { fields: { location: 'm2' } })];
    lxd.say('instance-started', 'c1', { location: 'm2' });
    await soon(() => guests.told, ['+c1-eth0', '-c1-eth0']);
    expect(lxd.asked.slice(before)).toEqual(['/1.0/instances/c1?project=default']);
  });

  test('a binding that the table refuses is told once and costs the others nothing', async () => {
    const { lxd, guests, drive } = await bed();
    guests.refused = 'c1-eth0';
    lxd.instances = [instance('c1'), instance('c2')];
    const driver = drive();
    await soon(() => guests.told, ['+c2-eth0']);
    expect(driver.status().problems).toEqual(['c1-eth0: 192.0.2.30 is an address of web1']);
    driver.refresh();
    await soon(() => lxd.asked.length, 4);
    guests.refused = undefined;
    driver.refresh();
    await soon(() => guests.told, ['+c2-eth0', '+c1-eth0']);
    await soon(() => driver.status().problems, []);
    expect(guests.reports).toEqual(['c1-eth0: 192.0.2.30 is an address of web1']);
  });

  test('other guest bridges are other bindings', async () => {
    const { lxd, guests, drive } = await bed();
    lxd.instances = [instance('c1')];
    const driver = drive();
    await soon(() => guests.told, ['+c1-eth0']);
    guests.bridges = new Set();
    driver.refresh();
    await soon(() => guests.told, ['+c1-eth0', '-c1-eth0']);
  });

  test('a daemon that comes later is found; one that goes is told once and changes nothing', async () => {
    const { lxd, guests, drive } = await bed({ start: false });
    lxd.instances = [instance('c1')];
    const driver = drive();
    await soon(() => guests.reports.length, 1);
    await lxd.start();
    await soon(() => guests.told, ['+c1-eth0']);
    await lxd.stop();
    await soon(() => driver.status().connected, false);
    expect(guests.told).toEqual(['+c1-eth0']);
    lxd.instances = [];
    await lxd.start();
    await soon(() => guests.told, ['+c1-eth0', '-c1-eth0']);
    expect(guests.reports.filter((text) => text === 'LXD answers')).toHaveLength(2);
  });

  test('answers that are an error or no JSON, or do not come, are asked for again', async () => {
    const { lxd, guests, drive } = await bed();
    lxd.instances = [instance('c1')];
    lxd.spoilt = { path: '/1.0/instances?', with: 'error' };
    const driver = drive();
    await soon(() => guests.reports, [expect.stringContaining('status 500: no database')]);
    lxd.spoilt = { path: '/1.0', with: 'rubbish' };
    await soon(() => guests.reports.at(-1), expect.stringContaining('the answer is no JSON'));
    lxd.spoilt = { path: '/1.0/instances?', with: 'hang' };
    await soon(() => guests.reports.at(-1), expect.stringContaining('no answer in 2500 ms'));
    expect(guests.told).toEqual([]);
    lxd.spoilt = undefined;
    await soon(() => guests.told, ['+c1-eth0']);
    await soon(() => driver.status().problems, []);
  });

  test('a stream that answers no ping is opened anew', async () => {
    const { lxd, guests, drive } = await bed({ autoPong: false, pingEveryMs: 20 });
    drive();
    await soon(() => guests.reports[0], expect.stringContaining('no answer to a ping'));
    await soon(() => lxd.asked.filter((path) => path === '/1.0').length > 1, true);
  });

  test('more events than questions are kept end in one list', async () => {
    const { lxd, guests, drive } = await bed();
    drive();
    await soon(() => lxd.asked.length, 2);
    lxd.spoilt = { path: '/1.0/instances/c0?', with: 'hang' };
    lxd.say('instance-started', 'c0');
    await soon(() => lxd.asked.length, 3);
    for (let i = 1; i <= 400; i++) lxd.say('instance-started', `c${i}`);
    lxd.instances = [instance('c400')];
    await soon(() => guests.told, ['+c400-eth0']);
    expect(lxd.asked.length).toBeLessThan(20);
  });

  test('after its end nothing is done', async () => {
    const { lxd, guests, drive } = await bed();
    const driver = drive();
    await soon(() => lxd.asked.length, 2);
    driver.close();
    await soon(() => lxd.streams().length, 0);
    lxd.instances = [instance('c1')];
    lxd.say('instance-started', 'c1');
    driver.refresh();
    expect(guests.told).toEqual([]);
    expect(guests.reports).toEqual([]);
  });
});
