// Guests of hypervisors, from the first sign of life to the last: attached, learned, detached in every way there is,
// attacking each other, and beside a leafd that is killed. Guests are namespaces but for one real one, whose process
// is killed.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EventView, GuestsView, GuestView } from '../../src/api/views.ts';
import type { LabView } from '../../src/lab/lab.ts';
import { formatMac } from '../../src/net/mac.ts';
import { advertiseRouter, claim, dad, offerLease, redirect, spoofed } from '../support/attacks.ts';
import { leafctl, start, until } from '../support/fabric.ts';
import {
  ask,
  everywhere,
  type Hypervisor,
  hypervisorFabric,
  kernelTraces,
  type LooseGuest,
  looseGuest,
  macOfLink,
  nowhere,
  pathsTo,
  prefixOf,
  routeEvent,
  routeLog,
  routers,
  sendFrames,
} from '../support/hypervisor.ts';
import { describePing, pingsDuring } from '../support/pinger.ts';
import { bootGuest } from '../support/qemu.ts';

const fabric = hypervisorFabric('guests');
const gatewayMac = Uint8Array.of(0x02, 0x00, 0x5e, 0x00, 0x01, 0x79);

const web1 = ['192.0.2.11', '2001:db8:100::11'];
const web2 = ['192.0.2.12', '2001:db8:100::12'];
const db1 = ['192.0.2.21', '2001:db8:100::21'];
const db2 = ['192.0.2.22', '2001:db8:100::22'];
const app1 = ['192.0.2.49', '2001:db8:100:f::49'];

beforeAll(async () => {
  await fabric.up();
});

afterAll(async () => {
  expect(await fabric.down()).toEqual([]);
});

const attach = (node: Hypervisor, body: unknown) => ask<GuestsView>(fabric, node, 'POST', '/v1/guests', body);
const detach = (node: Hypervisor, name: string) => ask(fabric, node, 'DELETE', `/v1/guests/${name}`);
const guestOf = (node: Hypervisor, name: string) => fabric.get<GuestView>(node, `/v1/guests/${name}`);
const eventsOf = async (node: Hypervisor): Promise<EventView[]> =>
  (await fabric.get<{ events: EventView[] }>(node, '/v1/events?limit=1000')).events;

/** Whether `count` packets from a namespace all come back. */
async function reaches(node: string, address: string, count = 2): Promise<string> {
  const words = ['ping', '-n', '-q', '-c', String(count), '-i', '0.05', '-W', '1', address];
  const { stdout } = await fabric.inside(node, ...words);
  return /\d+ packets transmitted, \d+ received/.exec(stdout)?.[0] ?? stdout;
}

const allOf = (count: number): string => `${count} packets transmitted, ${count} received`;

async function withLoose<T>(
  on: Hypervisor,
  addresses: readonly string[],
  work: (guest: LooseGuest) => Promise<T>,
  options: { plugged?: boolean } = {},
): Promise<T> {
  const guest = await looseGuest(fabric, on, addresses, options);
  try {
    return await work(guest);
  } finally {
    await ask(fabric, on, 'DELETE', `/v1/guests/${guest.name}`).catch(() => {});
    await guest.remove();
  }
}

describe('attached', () => {
  it('guests are in the kernel of their hypervisor, in every RIB, and reach each other', async () => {
    await everywhere(fabric, [...web1, ...web2], 'hv1', 3000);
    await everywhere(fabric, [...db1, ...db2], 'hv2', 3000);
    for (const [family, address] of [
      ['-4', web1[0]!],
      ['-6', web1[1]!],
    ] as const) {
      const show = ['ip', '-N', family, 'route', 'show', prefixOf(address), 'proto', '179'];
      expect((await fabric.out('hv1', ...show)).trim()).toMatch(/^\S+ .*metric 1024/);
      expect(await fabric.out('hv1', 'ip', 'route', 'get', address)).toContain(' dev vmbr1 ');
    }
    for (const address of web1)
      expect(await fabric.out('hv1', 'ip', 'neigh', 'show', address)).toMatch(/lladdr 02:.* PERMANENT/);
    const pairs = ['spine1', 'hv3', 'web2', 'db1'].flatMap((from) => web1.map((to) => [from, to] as const));
    const answers = await Promise.all(pairs.map(([from, to]) => reaches(from, to)));
    expect(answers).toEqual(pairs.map(() => allOf(2)));
  });

  it('a guest is in every other RIB within 1 s, and reached from anywhere', async () => {
    await withLoose('hv2', ['192.0.2.91', '2001:db8:100::91'], async (guest) => {
      const startedMs = performance.now();
      await attach('hv2', guest.binding);
      await everywhere(fabric, guest.addresses, 'hv2', 1000);
      console.log(`attached to everywhere: ${(performance.now() - startedMs).toFixed(0)} ms`);
      for (const address of guest.addresses)
        for (const from of ['spine2', 'web1', 'db1']) expect(await reaches(from, address)).toBe(allOf(2));
      expect((await guestOf('hv2', guest.name)).state).toBe('attached');
    });
  });
});

describe('detached', () => {
  /** Attaches a guest, ends it in one way, and tells how long spine1 still had its routes. */
  async function withdrawal(
    guest: LooseGuest,
    end: () => Promise<unknown>,
    timeoutMs: number,
  ): Promise<number> {
    await attach('hv2', guest.binding);
    await everywhere(fabric, guest.addresses, 'hv2', 2000);
    const log = await routeLog(fabric, 'spine1');
    const startedMs = Date.now();
    await end();
    const gone = (address: string) =>
      routeEvent(log, address, (event) => event.deleted, timeoutMs, `the end of ${address} on spine1`);
    const events = await Promise.all(guest.addresses.map(gone));
    await log.stop();
    await nowhere(fabric, guest.addresses, 1000);
    return Math.max(...events.map(({ atMs }) => atMs)) - startedMs;
  }

  const noTrace = (guest: LooseGuest) =>
    until(
      () => kernelTraces(fabric, 'hv2', guest),
      (traces) => traces.length === 0,
      { timeoutMs: 2000, what: 'no trace in the kernel' },
    );

  it('by the API: withdrawn within 200 ms, nothing left in the kernel', async () => {
    await withLoose('hv2', ['192.0.2.92', '2001:db8:100::92'], async (guest) => {
      const tookMs = await withdrawal(guest, () => detach('hv2', guest.name), 2000);
      console.log(`detached: withdrawn after ${tookMs} ms`);
      expect(tookMs).toBeLessThanOrEqual(200);
      // Its port is still there, and lets nothing through.
      await noTrace({ ...guest, tap: 'none', mac: 'none' });
      expect(await reaches(guest.name, '10.255.0.1')).toBe('2 packets transmitted, 0 received');
      expect((await kernelTraces(fabric, 'hv2', guest)).join('\n')).toContain(`device "${guest.tap}"`);
      await guest.unplug();
      await noTrace(guest);
    });
  });

  it('by deletion of the tap: withdrawn within 200 ms; back with the tap, filter and all', async () => {
    await withLoose('hv2', ['192.0.2.93', '2001:db8:100::93'], async (guest) => {
      const tookMs = await withdrawal(guest, () => guest.unplug(), 2000);
      console.log(`tap deleted: withdrawn after ${tookMs} ms`);
      expect(tookMs).toBeLessThanOrEqual(200);
      await noTrace(guest);
      expect((await guestOf('hv2', guest.name)).state).toBe('waiting');
      await guest.plug();
      await everywhere(fabric, guest.addresses, 'hv2', 2000);
      expect(await reaches('spine1', guest.addresses[1]!)).toBe(allOf(2));
      expect((await kernelTraces(fabric, 'hv2', guest)).join('\n')).toContain(guest.tap);
    });
  });

  it('by loss of carrier: withdrawn within 2 s; a guest that only starts anew keeps its routes', async () => {
    await withLoose('hv2', ['192.0.2.94', '2001:db8:100::94'], async (guest) => {
      const eth0 = (state: string) => fabric.inside(guest.name, 'ip', 'link', 'set', 'eth0', state);
      await attach('hv2', guest.binding);
      await everywhere(fabric, guest.addresses, 'hv2', 2000);
      const log = await routeLog(fabric, 'spine1');
      await eth0('down');
      await until(
        () => fabric.out('hv2', 'ip', 'link', 'show', guest.tap),
        (text) => text.includes('NO-CARRIER'),
        { timeoutMs: 2000, everyMs: 5 },
      );
      await eth0('up');
      await log.stop();
      expect(guest.addresses.flatMap((address) => log.events(address))).toEqual([]);
      const tookMs = await withdrawal(guest, () => eth0('down'), 4000);
      console.log(`carrier lost: withdrawn after ${tookMs} ms`);
      expect(tookMs).toBeLessThanOrEqual(2000);
    });
  });

  it('by kill -9 of a real guest: withdrawn within 200 ms, nothing left', async () => {
    const addresses = ['192.0.2.95', '2001:db8:100::95'];
    const real = { tap: 'tap100i0', mac: '02:00:00:00:95:00', addresses };
    const guest = await bootGuest({
      name: 'killed',
      netns: fabric.netns('hv2'),
      bridge: 'vmbr1',
      ...real,
      addresses: ['192.0.2.95/32', '2001:db8:100::95/128'],
    });
    try {
      await attach('hv2', { name: 'vm100', port: real.tap, mac: real.mac, addresses });
      await everywhere(fabric, addresses, 'hv2', 2000);
      for (const address of addresses)
        await until(
          () => reaches('web1', address),
          (text) => text === allOf(2),
          { timeoutMs: 5000 },
        );
      const log = await routeLog(fabric, 'spine1');
      const startedMs = Date.now();
      await guest.kill();
      const ends = await Promise.all(
        addresses.map((address) =>
          routeEvent(log, address, (one) => one.deleted, 2000, `the end of ${address}`),
        ),
      );
      await log.stop();
      const tookMs = Math.max(...ends.map(({ atMs }) => atMs)) - startedMs;
      console.log(`killed: withdrawn after ${tookMs} ms`);
      expect(tookMs).toBeLessThanOrEqual(200);
      await nowhere(fabric, addresses, 1000);
      await until(
        () => kernelTraces(fabric, 'hv2', real),
        (traces) => traces.length === 0,
        { timeoutMs: 2000, what: 'no trace in the kernel' },
      );
    } finally {
      await guest.kill();
      await detach('hv2', 'vm100');
    }
  });
});

describe('learned', () => {
  it('IPv6 from duplicate address detection alone, within 2 s', async () => {
    await everywhere(fabric, [app1[1]!], 'hv3', 2000);
    expect(await pathsTo(fabric, 'spine1', app1[0]!)).toEqual([]);
    const address = '2001:db8:100:f::51';
    const startedMs = performance.now();
    await fabric.out('app1', 'ip', 'addr', 'add', `${address}/128`, 'dev', 'eth0');
    await everywhere(fabric, [address], 'hv3', 2000);
    console.log(`DAD to everywhere: ${(performance.now() - startedMs).toFixed(0)} ms`);
  });

  it('IPv4 within 1 s, with rp_filter=1 preset everywhere', async () => {
    const startedMs = performance.now();
    expect(await reaches('app1', '169.254.0.1', 1)).toBe(allOf(1));
    await everywhere(fabric, [app1[0]!], 'hv3', 1000);
    console.log(`first ARP to everywhere: ${(performance.now() - startedMs).toFixed(0)} ms`);
    expect(await reaches('spine1', app1[0]!)).toBe(allOf(2));
    expect(await reaches('app1', web1[0]!)).toBe(allOf(2));
  });

  it('a silent guest whose addresses are known, within 3 s', async () => {
    await withLoose('hv2', ['192.0.2.96', '2001:db8:100::96'], async ({ name, tap, addresses }) => {
      const startedMs = performance.now();
      await attach('hv2', { name, port: tap, addresses });
      await everywhere(fabric, addresses, 'hv2', 3000);
      console.log(`silent guest to everywhere: ${(performance.now() - startedMs).toFixed(0)} ms`);
      expect(await reaches('spine1', addresses[0]!)).toBe(allOf(2));
    });
  });
});

describe('a guest that attacks', () => {
  const nothing = ['198.51.100.9', '2001:db8:bad::9'];
  const linkLocal = 'fe80::bad';
  const stranger = Uint8Array.of(2, 0, 0, 0, 6, 6);
  const macs = async () => ({
    own: await macOfLink(fabric.netns('web2'), 'eth0'),
    victim: await macOfLink(fabric.netns('web1'), 'eth0'),
  });
  type Macs = Awaited<ReturnType<typeof macs>>;

  // What it sends, and for what it is refused: the first that judges it gives the reason.
  const attacks: [title: string, frames: (macs: Macs) => Uint8Array[], refusals: string[]][] = [
    ["claims another guest's IPv4 address", ({ own }) => [claim(own, web1[0]!)], ['otherGuest']],
    ["claims another guest's IPv6 address", ({ own }) => [claim(own, web1[1]!)], ['otherGuest']],
    [
      "claims another hypervisor's guest's address",
      ({ own }) => [claim(own, db1[0]!)],
      ['notAllowed', 'otherNode'],
    ],
    ['claims the gateway', ({ own }) => [claim(own, '169.254.0.1')], ['reserved']],
    ['claims fe80::1', ({ own }) => [claim(own, 'fe80::1')], ['reserved']],
    ["claims the hypervisor's loopback", ({ own }) => [claim(own, '10.255.1.1')], ['reserved', 'notAllowed']],
    ['claims an IPv4 address outside its list', ({ own }) => [claim(own, nothing[0]!)], ['notAllowed']],
    ['claims an IPv6 address outside its list', ({ own }) => [dad(own, nothing[1]!)], ['notAllowed']],
    ['speaks from another MAC', () => [claim(stranger, web2[0]!)], ['otherMac']],
    ['advertises itself as router', ({ own }) => [advertiseRouter(own, linkLocal)], ['routerAdvertisement']],
    [
      'redirects another guest',
      ({ own, victim }) => [redirect(own, 'fe80::1', { mac: victim, address: web1[1]! }, db1[1]!)],
      ['redirect', 'spoofed6'],
    ],
    ['offers leases', ({ own }) => [offerLease(own, web2[0]!, '192.0.2.99')], ['dhcpServer']],
    ['spoofs an IPv4 source', ({ own }) => [spoofed(own, gatewayMac, nothing[0]!, db1[0]!)], ['spoofed4']],
    ['spoofs an IPv6 source', ({ own }) => [spoofed(own, gatewayMac, nothing[1]!, db1[1]!)], ['spoofed6']],
    [
      "spoofs another guest's source",
      ({ own }) => [spoofed(own, gatewayMac, web1[0]!, db1[0]!)],
      ['spoofed4'],
    ],
  ];

  const refusedOn = async (node: Hypervisor, name: string): Promise<Record<string, number>> =>
    (await guestOf(node, name)).refused ?? {};
  const sum = (counts: Record<string, number>, names: readonly string[]): number =>
    names.reduce((total, name) => total + (counts[name] ?? 0), 0);

  it.each(attacks)(
    '%s: counted, told, nothing announced or forwarded, the owner unharmed',
    async (_, make, refusals) => {
      const known = await macs();
      const frames = make(known);
      const before = await refusedOn('hv1', 'web2');
      const lastEvent = (await eventsOf('hv1')).at(-1)?.id ?? 0;
      const paths = await Promise.all([...web1, ...db1].map((address) => pathsTo(fabric, 'spine1', address)));
      // Isolation lets nothing of it to its neighbour, the filter nothing through the hypervisor.
      const strangers = `ether src ${formatMac(known.own)} or ether src ${formatMac(stranger)} or udp port 4444`;
      const sniffers = (
        [
          ['web1', strangers],
          ['db1', 'udp port 4444'],
        ] as const
      ).map(([node, filter]) =>
        start([
          'ip',
          'netns',
          'exec',
          fabric.netns(node),
          'tcpdump',
          '--immediate-mode',
          '-lni',
          'eth0',
          filter,
        ]),
      );
      try {
        for (const sniffer of sniffers)
          await until(sniffer.text, (text) => text.includes('listening on'), { timeoutMs: 5000 });
        const flows = [
          ...[...web1, ...web2].map((to) => ({ netns: fabric.netns('spine1'), to })),
          { netns: fabric.netns('web1'), to: db1[0]! },
          { netns: fabric.netns('web1'), to: web2[1]! },
        ];
        const { reports } = await pingsDuring(flows, async () => {
          for (let round = 0; round < 3; round++) sendFrames(fabric.netns('web2'), 'eth0', frames);
          await until(
            () => refusedOn('hv1', 'web2'),
            (counts) => sum(counts, refusals) > sum(before, refusals),
            { timeoutMs: 2000, what: `a count of ${refusals.join(' or ')}` },
          );
        });
        expect(reports.filter(({ lost }) => lost > 0).map(describePing)).toEqual([]);
      } finally {
        await Promise.all(sniffers.map((one) => one.stop()));
      }
      const events = (await eventsOf('hv1')).filter(
        (one) => one.id > lastEvent && one.kind === 'guest-refused',
      );
      expect(events.length).toBeGreaterThan(0);
      expect(events.length).toBeLessThanOrEqual(2);
      for (const address of nothing)
        for (const node of routers) expect(await pathsTo(fabric, node, address)).toEqual([]);
      const after = await Promise.all([...web1, ...db1].map((address) => pathsTo(fabric, 'spine1', address)));
      expect(after).toEqual(paths);
      const heard = sniffers.flatMap((one) => one.text().split('\n'));
      expect(heard.filter((line) => /^\d\d:\d\d:\d\d\.\d+ /.test(line))).toEqual([]);
    },
  );

  it('claims 20 addresses: 8 are learned, the others refused, its first ones stay', async () => {
    const own = await macOfLink(fabric.netns('app2'), 'eth0');
    const before = await everywhere(fabric, ['2001:db8:100:f::50'], 'hv3', 2000);
    expect(before).toBeLessThan(2000);
    const many = Array.from({ length: 20 }, (_, index) => `2001:db8:100:f::1:${(index + 1).toString(16)}`);
    const { reports } = await pingsDuring(
      [{ netns: fabric.netns('spine1'), to: '2001:db8:100:f::50' }],
      async () => {
        const frames = many.map((address) => dad(own, address));
        sendFrames(fabric.netns('app2'), 'eth0', frames);
        await until(
          () => refusedOn('hv3', 'tapapp2'),
          (counts) => (counts.tooMany ?? 0) > 0,
          { timeoutMs: 2000, what: 'a count of tooMany' },
        );
      },
    );
    expect(reports.map(({ lost }) => lost)).toEqual([0]);
    const { addresses } = await guestOf('hv3', 'tapapp2');
    expect(addresses.length).toBeLessThanOrEqual(8);
    expect(addresses.map(({ address }) => address)).toContain('2001:db8:100:f::50');
    const announced = await Promise.all(many.map((address) => pathsTo(fabric, 'spine1', address)));
    expect(announced.filter((paths) => paths.length > 0).length).toBeLessThanOrEqual(7);
  });

  it.each([
    ['the BGP of its hypervisor', '10.255.1.1', 179],
    ['BGP at the gateway', '169.254.0.1', 179],
    ['BGP at fe80::1', 'fe80::1%eth0', 179],
  ])('cannot reach %s, though it can ping it', async (_, address, port) => {
    const connect = `exec 3<>/dev/tcp/${address}/${port}`;
    const tries = await fabric.inside('web2', 'timeout', '1', 'bash', '-c', connect);
    expect(tries.exitCode).toBe(124);
    expect(await reaches('web2', address)).toBe(allOf(2));
    if (address.startsWith('10.')) {
      const others = await fabric.inside('spine1', 'timeout', '5', 'bash', '-c', connect);
      expect(others.exitCode).toBe(0);
    }
  });

  it('two guests of one bridge: 60 of 60 IPv6 pings, and no redirect is taken', async () => {
    expect(await reaches('web1', web2[1]!, 60)).toBe(allOf(60));
    expect(await fabric.out('web1', 'ip', '-6', 'route', 'get', web2[1]!)).toContain('via fe80::1');
    expect(await fabric.out('web1', 'ip', '-6', 'route', 'show', 'cache')).not.toMatch(
      /redirect|2001:db8:100::12/,
    );
    expect(await fabric.out('web1', 'ip', '-6', 'neigh', 'show')).not.toContain(web2[1]!);
  });
});

describe('the lab', () => {
  const whereIs = async (name: string): Promise<string | undefined> => {
    const { guests } = JSON.parse((await leafctl('-j', 'lab', 'status', fabric.name)).stdout) as LabView;
    return guests.find((guest) => guest.name === name)?.on;
  };

  it('moves a guest cold, and leaves one whose migration is cancelled where it is', async () => {
    await fabric.lab('migrate', 'db2', 'hv3', '--cold');
    await everywhere(fabric, db2, 'hv3', 2000);
    expect(await whereIs('db2')).toBe('hv3');
    for (const address of db2) expect(await reaches('web1', address)).toBe(allOf(2));
    const flows = db2.map((to) => ({ netns: fabric.netns('spine1'), to }));
    const { reports } = await pingsDuring(flows, () => fabric.lab('migrate', 'db2', 'hv1', '--cancel'));
    expect(reports.filter(({ lost }) => lost > 0).map(describePing)).toEqual([]);
    expect(await whereIs('db2')).toBe('hv3');
    await everywhere(fabric, db2, 'hv3', 1000);
    expect((await fabric.get<GuestsView>('hv1', '/v1/guests')).guests.map(({ name }) => name)).not.toContain(
      'db2',
    );
  });

  it('moves a guest live that nobody tells of: what it says is enough', async () => {
    const app2 = ['2001:db8:100:f::50'];
    await everywhere(fabric, app2, 'hv3', 2000);
    const flows = app2.map((to) => ({ netns: fabric.netns('spine1'), to }));
    const { reports } = await pingsDuring(flows, async () => {
      await fabric.lab('migrate', 'app2', 'hv2');
      await everywhere(fabric, app2, 'hv2', 2000);
    });
    console.log(reports.map(describePing).join('; '));
    expect(await whereIs('app2')).toBe('hv2');
    expect(await fabric.out('app2', 'ip', 'neigh', 'show', 'fe80::1')).toContain('02:00:5e:00:01:79');
  });
});

describe('beside a leafd that is killed', () => {
  it('traffic loses nothing, what changed meanwhile is right within 3 s, and no other route flaps', async () => {
    const gone = await looseGuest(fabric, 'hv1', ['192.0.2.97', '2001:db8:100::97']);
    const comes = await looseGuest(fabric, 'hv1', ['192.0.2.98', '2001:db8:100::98'], { plugged: false });
    try {
      await attach('hv1', gone.binding);
      await attach('hv1', comes.binding);
      await everywhere(fabric, gone.addresses, 'hv1', 2000);
      await nowhere(fabric, comes.addresses, 1000);
      const log = await routeLog(fabric, 'spine1');
      const flows = [
        ...web1.map((to) => ({ netns: fabric.netns('spine1'), to })),
        ...db1.map((to) => ({ netns: fabric.netns('web2'), to })),
        ...web2.map((to) => ({ netns: fabric.netns('web1'), to })),
      ];
      const { reports, event: tookMs } = await pingsDuring(flows, async () => {
        await fabric.lab('stop', 'hv1', '--kill');
        await gone.unplug();
        await comes.plug();
        await fabric.lab('restart', 'hv1');
        const backMs = performance.now();
        await nowhere(fabric, gone.addresses, 3000);
        await everywhere(fabric, comes.addresses, 'hv1', 3000);
        return performance.now() - backMs;
      });
      await log.stop();
      console.log(`right ${tookMs.toFixed(0)} ms after its return; ${reports.map(describePing).join('; ')}`);
      expect(reports.filter(({ lost }) => lost > 0).map(describePing)).toEqual([]);
      expect(tookMs).toBeLessThanOrEqual(3000);
      for (const address of [...web1, ...web2, ...db1, ...db2]) expect(log.events(address)).toEqual([]);
      expect(await kernelTraces(fabric, 'hv1', gone)).toEqual([]);
      expect(await reaches('spine1', comes.addresses[0]!)).toBe(allOf(2));
    } finally {
      for (const guest of [gone, comes]) {
        await ask(fabric, 'hv1', 'DELETE', `/v1/guests/${guest.name}`).catch(() => {});
        await guest.remove();
      }
    }
  });
});
