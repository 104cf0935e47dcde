// Guests of a real LXD: containers that start, stop, change and move between the members of a cluster, on the guest
// bridge and with a routed NIC. What the driver tells is there within a second of LXD's own event.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Binding } from '../../src/guests/binding.ts';
import { LxdDriver, type LxdGuests } from '../../src/guests/lxd.ts';
import { type LxdEventStream, lxdEvents } from '../../src/guests/lxd-client.ts';
import { formatIp } from '../../src/net/ip.ts';
import { formatMac } from '../../src/net/mac.ts';
import { prefixText } from '../../src/net/prefix.ts';
import { leafdPath, type Running, run, start, until } from '../support/fabric.ts';
import { BRIDGE, type LxdBed, type LxdMember, lxdBed, lxdProcesses } from '../support/lxd.ts';

/** What the driver told, and when; and LXD's own events, as another listener hears them. */
class Recorder implements LxdGuests {
  readonly there = new Map<string, Binding>();
  readonly told: { name: string; what: 'attach' | 'detach'; atMs: number }[] = [];
  readonly events: { action: string; source: string; atMs: number }[] = [];
  readonly reports: string[] = [];
  readonly driver: LxdDriver;
  private readonly stream: LxdEventStream;

  constructor(member: LxdMember, kept: readonly Binding[] = []) {
    for (const binding of kept) this.there.set(binding.name, binding);
    this.stream = lxdEvents(member.socket, {
      onOpen: () => {},
      onEnd: () => {},
      onEvent: (event) => {
        const { action, source } = (event as { metadata: { action: string; source: string } }).metadata;
        this.events.push({ action, source, atMs: performance.now() });
      },
    });
    this.driver = new LxdDriver({
      socket: member.socket,
      guests: this,
      report: (_, text) => void this.reports.push(text),
      retryMs: { first: 50, longest: 400 },
      pingEveryMs: 200,
    });
  }

  bindings = (): Binding[] => [...this.there.values()];
  isGuestBridge = (name: string): boolean => name === BRIDGE;
  wallMs = (): number => Date.now();

  attach(binding: Binding): void {
    this.there.set(binding.name, binding);
    this.told.push({ name: binding.name, what: 'attach', atMs: performance.now() });
  }

  detach(name: string): void {
    this.there.delete(name);
    this.told.push({ name, what: 'detach', atMs: performance.now() });
  }

  /** The addresses of a binding as text, once it is there. */
  async attached(name: string): Promise<Binding> {
    await until(() => this.there.has(name), Boolean, {
      timeoutMs: 5000,
      everyMs: 5,
      what: `${name} attached`,
    });
    return this.there.get(name)!;
  }

  async detached(name: string): Promise<void> {
    await until(() => !this.there.has(name), Boolean, {
      timeoutMs: 5000,
      everyMs: 5,
      what: `${name} detached`,
    });
  }

  async connected(): Promise<void> {
    await until(() => this.driver.status().connected, Boolean, {
      timeoutMs: 5000,
      everyMs: 5,
      what: 'the stream',
    });
  }

  /** How long after LXD's last such event the last word on a binding came. */
  async lagMs(action: string, instance: string, what: 'attach' | 'detach', name: string): Promise<number> {
    const heard = (): number | undefined =>
      this.events.findLast((one) => one.action === action && one.source.includes(instance))?.atMs;
    const event = await until(heard, (at) => at !== undefined, { timeoutMs: 2000, everyMs: 5, what: action });
    return this.told.findLast((one) => one.name === name && one.what === what)!.atMs - event!;
  }

  close(): void {
    this.driver.close();
    this.stream.close();
  }
}

const shown = ({ name, source, guest, bridge, addresses, allowed }: Binding) => ({
  name,
  source,
  guest,
  bridge,
  addresses: addresses.map((one) => formatIp(one)),
  allowed: allowed.map(prefixText),
});

const onBridge = { nictype: 'bridged', parent: BRIDGE };
const lags: string[] = [];

async function within(second: Promise<number>, what: string): Promise<void> {
  const lag = await second;
  lags.push(`${what} ${lag.toFixed(1)} ms`);
  expect(lag, what).toBeLessThan(1000);
}

describe('one LXD', () => {
  let bed: LxdBed;
  let member: LxdMember;
  let guests: Recorder;

  beforeAll(async () => {
    bed = await lxdBed('s', 1);
    member = bed.members[0]!;
    guests = new Recorder(member);
    await guests.connected();
  }, 60_000);
  afterAll(async () => {
    guests?.close();
    if (bed !== undefined) {
      expect(await bed.close()).toEqual([]);
      expect(await lxdProcesses(bed)).toBe('');
    }
  });

  test('a container on the guest bridge is attached when it starts, and detached when it stops', async () => {
    const config = {
      'user.leafd.eth0.addresses': '192.0.2.30, 2001:db8::30',
      'user.leafd.eth0.allowed': '192.0.2.32/28',
    };
    const name = await bed.create(member, 'c1', { nic: onBridge, config });
    expect(guests.there.has(`${name}-eth0`)).toBe(false);
    await bed.act(member, name, 'start');
    const binding = await guests.attached(`${name}-eth0`);
    await within(guests.lagMs('instance-started', name, 'attach', `${name}-eth0`), 'attached');
    expect(shown(binding)).toEqual({
      name: `${name}-eth0`,
      source: 'lxd',
      guest: name,
      bridge: BRIDGE,
      addresses: ['192.0.2.30', '2001:db8::30'],
      allowed: ['192.0.2.32/28'],
    });
    // The host's end is a port of the bridge, and the MAC is the container's.
    const ports = JSON.parse(await member.out('ip', '-j', 'link', 'show', 'master', BRIDGE)) as {
      ifname: string;
    }[];
    expect(ports.map(({ ifname }) => ifname)).toEqual([binding.port]);
    const instance = await member.api<{ config: Record<string, string> }>('GET', `/1.0/instances/${name}`);
    expect(formatMac(binding.mac!)).toBe(instance.config['volatile.eth0.hwaddr']);

    // Another address while it runs.
    await member.api('PATCH', `/1.0/instances/${name}`, {
      config: { 'user.leafd.eth0.addresses': '192.0.2.33' },
    });
    const changed = (): string[] => guests.there.get(`${name}-eth0`)!.addresses.map((one) => formatIp(one));
    await until(changed, (now) => now.join() === '192.0.2.33', {
      timeoutMs: 1000,
      everyMs: 5,
      what: 'the change',
    });

    await bed.act(member, name, 'stop');
    await guests.detached(`${name}-eth0`);
    await within(guests.lagMs('instance-stopped', name, 'detach', `${name}-eth0`), 'detached');
  });

  test('after a restart the binding is on the new port', async () => {
    const config = { 'user.leafd.eth0.addresses': '192.0.2.40' };
    const name = await bed.create(member, 'c2', { nic: onBridge, config });
    await bed.act(member, name, 'start');
    const before = await guests.attached(`${name}-eth0`);
    await bed.act(member, name, 'restart');
    const port = (): string | undefined => guests.there.get(`${name}-eth0`)?.port;
    await until(port, (now) => now !== undefined && now !== before.port, {
      timeoutMs: 2000,
      what: 'the new port',
    });
    await bed.act(member, name, 'stop');
    await guests.detached(`${name}-eth0`);
  });

  test('a routed NIC is taken as it is', async () => {
    const nic = { nictype: 'routed', 'ipv4.address': '192.0.2.31', 'ipv6.address': '2001:db8::31' };
    const name = await bed.create(member, 'r1', { nic });
    await bed.act(member, name, 'start');
    const binding = await guests.attached(`${name}-eth0`);
    await within(guests.lagMs('instance-started', name, 'attach', `${name}-eth0`), 'routed attached');
    expect(shown(binding)).toMatchObject({ addresses: ['192.0.2.31', '2001:db8::31'], bridge: undefined });
    // LXD's own route shows the port.
    expect(await member.out('ip', 'route', 'show', '192.0.2.31')).toContain(`dev ${binding.port}`);
    await bed.act(member, name, 'stop');
    await guests.detached(`${name}-eth0`);
  });

  test('a NIC on a bridge of others is none of ours', async () => {
    await member.out('ip', 'link', 'add', 'other0', 'type', 'bridge');
    const name = await bed.create(member, 'o1', { nic: { nictype: 'bridged', parent: 'other0' } });
    await bed.act(member, name, 'start');
    const started = (): boolean =>
      guests.events.some((one) => one.action === 'instance-started' && one.source.includes(name));
    await until(started, Boolean, { timeoutMs: 2000, what: 'the event' });
    // An instance of ours after it: what it is answered with comes after the answer about the other one.
    const ours = await bed.create(member, 'o2', { nic: onBridge });
    await bed.act(member, ours, 'start');
    await guests.attached(`${ours}-eth0`);
    expect(guests.there.has(`${name}-eth0`)).toBe(false);
    await bed.act(member, name, 'stop');
    await bed.act(member, ours, 'stop');
    await guests.detached(`${ours}-eth0`);
  });

  test('a crash of LXD alone changes nothing: its containers run on, the stream comes back', async () => {
    const config = { 'user.leafd.eth0.addresses': '192.0.2.51' };
    const name = await bed.create(member, 'k0', { nic: onBridge, config });
    await bed.act(member, name, 'start');
    const before = await guests.attached(`${name}-eth0`);
    const told = guests.told.length;
    const lists = guests.reports.length;
    await member.crash();
    await until(() => guests.reports.slice(lists).includes('LXD answers'), Boolean, {
      timeoutMs: 5000,
      what: 'a list',
    });
    expect(guests.told.slice(told)).toEqual([]);
    expect(guests.there.get(`${name}-eth0`)).toBe(before);
    await bed.act(member, name, 'stop');
    await guests.detached(`${name}-eth0`);
  });

  test('what goes down with the machine is detached after the first list', async () => {
    // LXD would start again by itself what ran before.
    const config = { 'user.leafd.eth0.addresses': '192.0.2.50', 'boot.autostart': 'false' };
    const name = await bed.create(member, 'k1', { nic: onBridge, config });
    await bed.act(member, name, 'start');
    await guests.attached(`${name}-eth0`);
    await member.kill();
    await until(
      () => guests.driver.status().connected,
      (now) => !now,
      { timeoutMs: 2000, what: 'the end' },
    );
    // A daemon that is not there changes nothing.
    expect(guests.there.has(`${name}-eth0`)).toBe(true);
    await member.start();
    await guests.connected();
    await guests.detached(`${name}-eth0`);
    expect(guests.driver.status().problems).toEqual([]);
    expect(guests.reports.at(-1)).toBe('LXD answers');
  });

  test('a binding kept from an earlier life goes with the first list, when its instance runs no more', async () => {
    const kept = {
      name: 'gone-eth0',
      source: 'lxd',
      port: 'veth0',
      addresses: [],
      allowed: [],
      sinceMs: 1,
    } as const;
    const later = new Recorder(member, [kept]);
    await later.detached('gone-eth0');
    later.close();
  });
});

/** One leafd in each member's network, neighbours of each other. */
class Daemons {
  readonly running: Running[] = [];
  private readonly scratch = mkdtempSync(join(tmpdir(), 'leafd-lxd-daemons-'));

  constructor(members: readonly LxdMember[]) {
    for (const [index, member] of members.entries()) {
      const n = index + 1;
      const file = join(this.scratch, `${member.name}.yaml`);
      const text = `
node: {name: ${member.name}}
bgp:
  asn: 6510${n}
  loopbacks: [10.255.0.${n}/32, 2001:db8:ff::${n}/128]
  profile: fabric
  peers: [{interface: up0, remoteAs: external}]
guests:
  bridges: [{name: ${BRIDGE}}]
  lxd: {socket: ${member.socket}}
`;
      writeFileSync(file, text);
      const files = ['--config', file, '--socket', join(this.scratch, `${member.name}.sock`)];
      const words = [leafdPath, ...files, '--state', join(this.scratch, member.name)];
      // Ends with this process, whatever ends that.
      const inside = ['setpriv', '--pdeathsig', 'KILL', 'ip', 'netns', 'exec', member.netns];
      this.running.push(start([...inside, ...words]));
    }
  }

  text(): string {
    return this.running.map((one) => one.text()).join('\n');
  }

  async close(): Promise<void> {
    for (const one of this.running) await one.stop();
    rmSync(this.scratch, { recursive: true, force: true });
  }
}

/** Our routes to a host in a member's kernel. */
async function routesTo(member: LxdMember, address: string): Promise<string> {
  const family = address.includes(':') ? '-6' : '-4';
  return (await member.out('ip', family, 'route', 'show', address, 'proto', '179')).trim();
}

/** Waits for the other node's route to come or go, and says how long after LXD's event that was. */
async function routeAfter(
  member: LxdMember,
  address: string,
  is: 'there' | 'gone',
  event: () => number | undefined,
): Promise<number> {
  await until(
    () => routesTo(member, address),
    (text) => (text !== '') === (is === 'there'),
    { timeoutMs: 5000, everyMs: 5, what: `${member.name}: ${address} ${is}` },
  );
  const seenMs = performance.now();
  const atMs = await until(event, (at) => at !== undefined, {
    timeoutMs: 2000,
    everyMs: 5,
    what: 'the event',
  });
  return seenMs - atMs!;
}

describe('a cluster of two', () => {
  let bed: LxdBed;
  const guests: Recorder[] = [];

  beforeAll(async () => {
    bed = await lxdBed('c', 2);
    for (const member of bed.members) guests.push(new Recorder(member));
    for (const one of guests) await one.connected();
  }, 60_000);
  afterAll(async () => {
    process.stdout.write(`after LXD's event: ${lags.join(', ')}\n`);
    for (const one of guests) one.close();
    if (bed === undefined) return;
    expect(await bed.close()).toEqual([]);
    expect(await lxdProcesses(bed)).toBe('');
  });

  test('a container is attached on the member it runs on, and on the other one after a move', async () => {
    const [first, second] = bed.members as [LxdMember, LxdMember];
    const [here, there] = guests as [Recorder, Recorder];
    const config = { 'user.leafd.eth0.addresses': '192.0.2.60' };
    const name = await bed.create(first, 'v1', { nic: onBridge, config });
    await bed.act(first, name, 'start');
    const before = await here.attached(`${name}-eth0`);
    await within(here.lagMs('instance-started', name, 'attach', `${name}-eth0`), 'attached in a cluster');
    expect(here.driver.status().member).toBe('m1');
    await bed.act(first, name, 'stop');
    await here.detached(`${name}-eth0`);

    await first.api('POST', `/1.0/instances/${name}?target=${second.name}`, { name, migration: true });
    await bed.act(first, name, 'start');
    const after = await there.attached(`${name}-eth0`);
    await within(there.lagMs('instance-started', name, 'attach', `${name}-eth0`), 'attached after a move');
    expect(formatMac(after.mac!)).toBe(formatMac(before.mac!));
    const ports = JSON.parse(await second.out('ip', '-j', 'link', 'show', 'master', BRIDGE)) as {
      ifname: string;
    }[];
    expect(ports.map(({ ifname }) => ifname)).toEqual([after.port]);
    expect(here.bindings()).toEqual([]);
    await bed.act(second, name, 'stop');
    await there.detached(`${name}-eth0`);
  });

  test('with leafd on both, its routes are where it is, and it is reached from the other one', async () => {
    const members = bed.members as [LxdMember, LxdMember];
    const daemons = new Daemons(members);
    const [a4, a6] = ['192.0.2.70', '2001:db8::70'];
    const name = bed.instance('d1');
    const eventOf = (action: string, from: number) => (): number | undefined =>
      guests[0]!.events.find((one) => one.atMs > from && one.action === action && one.source.includes(name))
        ?.atMs;
    const reaches = async (member: LxdMember, address: string): Promise<void> => {
      const ping = [
        'ip',
        'netns',
        'exec',
        member.netns,
        'ping',
        '-n',
        '-c',
        '3',
        '-i',
        '0.05',
        '-W',
        '1',
        address,
      ];
      const what = `${member.name} pings ${address}\n${daemons.text().slice(-2000)}`;
      await until(
        () => run(ping),
        ({ exitCode }) => exitCode === 0,
        { timeoutMs: 3000, what },
      );
    };
    try {
      for (const [index, member] of members.entries()) {
        const loopback = `10.255.0.${2 - index}`;
        await until(
          () => routesTo(member, loopback),
          (text) => text !== '',
          { timeoutMs: 15_000, what: loopback },
        );
      }
      await bed.create(members[0], 'd1', {
        nic: onBridge,
        config: {
          'user.leafd.eth0.addresses': `${a4},${a6}`,
          'environment.ADDRESSES': `${a4}/32 ${a6}/128`,
          'environment.GATEWAY4': '169.254.0.1',
          'environment.GATEWAY6': 'fe80::1',
        },
      });
      for (const [here, there] of [
        [members[0], members[1]],
        [members[1], members[0]],
      ] as const) {
        let from = performance.now();
        await bed.act(here, name, 'start');
        const started = eventOf('instance-started', from);
        for (const address of [a4, a6])
          await within(routeAfter(there, address, 'there', started), `${here.name} ${address} announced`);
        expect(await here.out('ip', 'route', 'get', a4)).toContain(`dev ${BRIDGE}`);
        expect(await here.out('ip', 'neigh', 'show', a4)).toContain('PERMANENT');
        for (const address of [a4, a6]) await reaches(there, address);
        from = performance.now();
        await bed.act(here, name, 'stop');
        const stopped = eventOf('instance-stopped', from);
        for (const address of [a4, a6])
          await within(routeAfter(there, address, 'gone', stopped), `${here.name} ${address} withdrawn`);
        const neighbour = (): Promise<string> => here.out('ip', 'neigh', 'show', a4);
        await until(neighbour, (text) => text === '', { timeoutMs: 1000, what: `no neighbour ${a4}` });
        if (here === members[0])
          await here.api('POST', `/1.0/instances/${name}?target=${there.name}`, { name, migration: true });
      }

      // A routed NIC: its link, gateway and route are LXD's and stay so; leafd tells the others.
      const routed = { nictype: 'routed', 'ipv4.address': '192.0.2.71', 'ipv6.address': '2001:db8::71' };
      const r1 = await bed.create(members[0], 'r1', { nic: routed });
      await bed.act(members[0], r1, 'start');
      for (const address of ['192.0.2.71', '2001:db8::71']) {
        await routeAfter(members[1], address, 'there', () => performance.now());
        await reaches(members[1], address);
      }
      const instance = await members[0].api<{ config: Record<string, string> }>(
        'GET',
        `/1.0/instances/${r1}`,
      );
      const port = instance.config['volatile.eth0.host_name']!;
      const link = await members[0].out('ip', 'address', 'show', 'dev', port);
      expect(link).not.toContain('02:00:5e:00:01:79');
      expect(link).toContain('inet6 fe80::1/128');
      const route = await members[0].out('ip', 'route', 'show', '192.0.2.71');
      expect(route).toMatch(new RegExp(`^192\\.0\\.2\\.71 dev ${port} scope link`));
      // It reaches of this machine only what guests may, by the same guard as on bridges.
      expect(await members[0].out('nft', 'list', 'table', 'inet', 'leafd')).toContain(port);
      await bed.act(members[0], r1, 'stop');
      await routeAfter(members[1], '192.0.2.71', 'gone', () => performance.now());
    } finally {
      await daemons.close();
    }
  });
});
