// Guests by hand: the built leafctl against running hypervisors, with the exit codes that scripts go by; what hooks of
// Proxmox and libvirt say, and what the configuration does; a guest with a tap of its own and no bridge; an arrival
// that only QEMU's monitor tells of; two guests with one address on two hypervisors; two thousand in one request.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EventView, GuestsView, GuestView } from '../../src/api/views.ts';
import { claim } from '../support/attacks.ts';
import { editConfig, type Result, root, run, runOrThrow, scratchFile, until } from '../support/fabric.ts';
import {
  ask,
  everywhere,
  type Hypervisor,
  hypervisorFabric,
  kernelTraces,
  looseGuest,
  macOfLink,
  nowhere,
  pathsTo,
  prefixOf,
  type Router,
  sendFrames,
} from '../support/hypervisor.ts';
import { describePing, pingsDuring } from '../support/pinger.ts';
import { bootGuest } from '../support/qemu.ts';

const within = ['192.0.2.0/24', '198.18.0.0/16', '2001:db8:100::/48', '2001:db8:200::/48'];
const fabric = hypervisorFabric('by-hand', {}, { taps: ['vif*'], within });
const directory = mkdtempSync(join(tmpdir(), 'leafd-by-hand-'));
const web1 = ['192.0.2.11', '2001:db8:100::11'];

beforeAll(async () => {
  await fabric.up();
});

afterAll(async () => {
  rmSync(directory, { recursive: true, force: true });
  expect(await fabric.down()).toEqual([]);
});

/** A folder as /etc/pve, with one file in it. */
function proxmoxFolder(file: string, text: string): string {
  const folder = mkdtempSync(join(directory, 'pve-'));
  mkdirSync(join(folder, dirname(file)), { recursive: true });
  writeFileSync(join(folder, file), text);
  return folder;
}

/** What a command on a hypervisor says, after its exit code. */
async function says(node: Hypervisor, ...words: string[]): Promise<string> {
  const { exitCode, stdout, stderr }: Result = await fabric.leafctl(node, ...words);
  return `${exitCode} ${stdout}${stderr}`;
}

const guestOf = (node: Hypervisor, name: string) => fabric.get<GuestView>(node, `/v1/guests/${name}`);

async function received(node: string, address: string): Promise<string> {
  const { stdout } = await fabric.inside(node, 'ping', '-nqc', '2', '-i', '0.05', '-W', '1', address);
  return /\d+ received/.exec(stdout)?.[0] ?? stdout;
}

/** What a guest does with its link. */
async function setUp(netns: string, addresses: readonly string[]): Promise<void> {
  const commands = [
    ...['link set lo up', 'link set eth0 up'],
    ...addresses.map((address) => `addr add ${prefixOf(address)} dev eth0 nodad`),
    ...['route add default via 169.254.0.1 dev eth0 onlink', 'route replace ::/0 via fe80::1 dev eth0'],
  ];
  await runOrThrow(['ip', '-n', netns, '-batch', '-'], { input: `${commands.join('\n')}\n` });
}

describe('leafctl', () => {
  it('attaches, shows, explains and detaches; its exit codes tell what is', async () => {
    const guest = await looseGuest(fabric, 'hv2', ['192.0.2.71', '2001:db8:100::71']);
    const place = ['--port', guest.tap, '--mac', guest.mac, '--address', ...guest.addresses];
    try {
      expect(await says('hv2', 'guests', guest.name)).toMatch(/^1 .*x\d+/s);
      expect(await says('hv2', 'attach', guest.name, ...place)).toMatch(/^0 .*192\.0\.2\.71 +attached/s);
      await everywhere(fabric, guest.addresses, 'hv2', 1000);
      for (const address of guest.addresses) expect(await received('web1', address)).toBe('2 received');
      expect(await says('hv2', 'guests', guest.name)).toMatch(/^0 .*state +attached/s);
      expect(await says('hv2', 'guests')).toMatch(/^0 .*192\.0\.2\.71.*2001:db8:100::71/s);
      const why = await says('hv2', 'why', guest.addresses[0]!);
      expect(why).toMatch(/^0 192\.0\.2\.71 .*binding +x\d+.*Sent to/s);
      expect(why).toContain(guest.mac);
      expect(await says('hv1', 'why', guest.addresses[0]!)).toMatch(/^0 .*65102/s);
      // What another guest, or a wrong word, is refused for.
      expect(await says('hv2', 'attach', 'other', '--address', guest.addresses[0]!)).toMatch(/^2 /);
      const twice = ['attach', 'other', '--mac', '02:00:00:00:77:01', '--address', guest.addresses[0]!];
      expect(await says('hv2', ...twice)).toMatch(/^5 .*192\.0\.2\.71/s);
      expect(await says('hv2', ...twice.slice(0, -1), '203.0.113.1')).toMatch(/^2 .*outside/);
      expect(await says('hv2', ...twice.slice(0, -1), '169.254.0.1')).toMatch(/^2 .*link-local/);
      expect(await says('hv2', 'guests', 'clear', guest.addresses[0]!)).toMatch(/^1 /);
      expect((await run(['bin/leafctl', '-s', '/nowhere.sock', 'guests'])).exitCode).toBe(3);
      expect(await says('hv2', 'detach', guest.name, 'nobody')).toMatch(/^1 .*is detached.*nobody/s);
      await nowhere(fabric, guest.addresses, 1000);
      expect(await says('hv2', 'detach', guest.name)).toMatch(/^1 /);
      expect(await says('hv2', 'why', guest.addresses[0]!)).toMatch(/^1 /);
    } finally {
      await guest.remove();
    }
  });

  it('expects a guest: nothing is told before its first sign, and nothing is left when it does not come', async () => {
    const guest = await looseGuest(fabric, 'hv3', ['192.0.2.72']);
    const address = guest.addresses[0]!;
    const words = ['expect', guest.name, '--port', guest.tap, '--mac', guest.mac, '--address', address];
    try {
      // Its probes would find a guest that answers.
      await runOrThrow(['ip', '-n', guest.netns, 'addr', 'flush', 'dev', 'eth0']);
      expect(await says('hv3', ...words, '--for', '1s')).toMatch(/^0 .*expected/s);
      expect(await says('hv3', 'guests', guest.name)).toMatch(/^1 .*expected/s);
      await until(
        () => says('hv3', 'guests', guest.name),
        (text) => /^1 leafctl: .*no guest/.test(text),
        {
          timeoutMs: 3000,
          what: 'the end of the expectation',
        },
      );
      expect(await says('hv3', ...words, '--from', 'hv1')).toMatch(/^0 .*from hv1/s);
      expect(await pathsTo(fabric, 'spine1', address)).toEqual([]);
      sendFrames(guest.netns, 'eth0', [claim(await macOfLink(guest.netns, 'eth0'), address)]);
      await everywhere(fabric, [address], 'hv3', 1000);
      expect(await says('hv3', 'guests', guest.name)).toMatch(/^0 .*attached/s);
      expect(await says('hv3', 'detach', guest.name)).toMatch(/^0 /);
      await nowhere(fabric, [address], 1000);
    } finally {
      await guest.remove();
    }
  });
});

it('QEMU says RESUME to who expects with --qmp, and that alone announces', async () => {
  const guest = await bootGuest({
    name: 'resumes',
    netns: fabric.netns('hv1'),
    tap: 'tap300i0',
    bridge: 'vmbr1',
    mac: '02:00:00:00:73:00',
    addresses: ['192.0.2.74/32'],
    silent: true,
  });
  // An address that the guest does not have: no frame of it can be the sign.
  const address = '192.0.2.73';
  const expected = ['--port', 'tap300i0', '--mac', '02:00:00:00:73:00', '--address', address];
  const pauseAndGo = async (): Promise<GuestView> => {
    await guest.qmp.ask('stop');
    await guest.qmp.ask('cont');
    return guestOf('hv1', 'resumes');
  };
  try {
    expect(await says('hv1', 'expect', 'resumes', ...expected)).toMatch(/^0 /);
    expect((await pauseAndGo()).state).toBe('expected');
    expect(await says('hv1', 'expect', 'resumes', ...expected, '--qmp', guest.spareQmpPath)).toMatch(/^0 /);
    // Until leafd listens, RESUME is told to nobody.
    const { addresses } = await until(pauseAndGo, ({ state }) => state === 'attached', {
      timeoutMs: 3000,
      what: 'an arrival by RESUME',
    });
    expect(addresses.map(({ reason }) => reason.code)).toEqual(['qmpResume']);
    await everywhere(fabric, [address], 'hv1', 1000);
    await guest.kill();
    await nowhere(fabric, [address], 1000);
  } finally {
    await guest.kill();
    await fabric.leafctl('hv1', 'detach', 'resumes');
  }
});

it('a guest on a tap of its own, without a bridge', async () => {
  const netns = fabric.netns('routed');
  const addresses = ['192.0.2.75', '2001:db8:100::75'];
  const mac = '02:00:00:00:75:00';
  const at = { tap: 'vif75', mac, addresses };
  const host = (...words: string[]) => runOrThrow(['ip', '-n', fabric.netns('hv3'), ...words]);
  await runOrThrow(['ip', 'netns', 'add', netns]);
  try {
    await host(
      'link',
      'add',
      'vif75',
      'type',
      'veth',
      'peer',
      'name',
      'eth0',
      'address',
      mac,
      'netns',
      netns,
    );
    await host('link', 'set', 'vif75', 'up');
    await setUp(netns, addresses);
    expect(await says('hv3', 'attach', 'routed', '--port', 'vif75', '--address', ...addresses)).toMatch(
      /^0 /,
    );
    await everywhere(fabric, addresses, 'hv3', 3000);
    for (const address of addresses) {
      for (const from of ['spine1', 'web1', 'app1']) expect(await received(from, address)).toBe('2 received');
      expect(await host('route', 'get', address)).toContain(' dev vif75 ');
      expect(await host('neigh', 'show', address)).toMatch(/dev vif75 lladdr 02:00:00:00:75:00 PERMANENT/);
    }
    for (const address of web1) expect(await received('routed', address)).toBe('2 received');
    expect(await says('hv3', 'detach', 'routed')).toMatch(/^0 /);
    await nowhere(fabric, addresses, 1000);
    expect(await says('hv3', 'attach', 'routed', '--port', 'vif75', '--address', ...addresses)).toMatch(
      /^0 /,
    );
    await everywhere(fabric, addresses, 'hv3', 3000);
    await host('link', 'delete', 'vif75');
    await nowhere(fabric, addresses, 1000);
    await until(
      () => kernelTraces(fabric, 'hv3', at),
      (traces) => traces.length === 0,
      { timeoutMs: 2000 },
    );
  } finally {
    await fabric.leafctl('hv3', 'detach', 'routed');
    await run(['ip', '-n', fabric.netns('hv3'), 'link', 'delete', 'vif75']);
    await run(['ip', 'netns', 'delete', netns]);
  }
});

it('of two guests with one address the newcomer is frozen, and the first one has it until that is cleared', async () => {
  const addresses = ['192.0.2.76'];
  const address = addresses[0]!;
  const first = await looseGuest(fabric, 'hv1', addresses);
  const second = await looseGuest(fabric, 'hv2', addresses);
  const attach = (node: Hypervisor, { name, tap, mac }: typeof first) =>
    says(node, 'attach', name, '--port', tap, '--mac', mac, '--address', address);
  const rowOf = async (node: Hypervisor, name: string) => (await guestOf(node, name)).addresses[0]!;
  const both = [first, second];
  const voices = await Promise.all(
    both.map(async ({ netns }) => ({ netns, frames: [claim(await macOfLink(netns, 'eth0'), address)] })),
  );
  const frozen = async (node: Router): Promise<EventView[]> =>
    (await fabric.get<{ events: EventView[] }>(node, '/v1/events?limit=1000')).events.filter(
      ({ kind }) => kind === 'guest-frozen',
    );
  try {
    expect(await attach('hv1', first)).toMatch(/^0 /);
    await everywhere(fabric, addresses, 'hv1', 1000);
    expect(await attach('hv2', second)).toMatch(/^0 /);
    const row = await until(
      async () => {
        for (const { netns, frames } of voices) sendFrames(netns, 'eth0', frames);
        return rowOf('hv2', second.name);
      },
      ({ state }) => state === 'frozen',
      { timeoutMs: 15_000, everyMs: 100, what: 'a frozen address' },
    );
    expect(row).toMatchObject({ state: 'frozen', reason: { code: 'duplicate' } });
    expect([(await frozen('hv1')).length, (await frozen('hv2')).length]).toEqual([0, 1]);
    expect(await says('hv2', 'guests', second.name)).toMatch(/^1 .*frozen/s);
    // It knows that in its next life too.
    await fabric.lab('stop', 'hv2', '--kill');
    await fabric.lab('restart', 'hv2');
    await fabric.allSessions();
    // Both go on speaking; the first one is unharmed.
    const { reports } = await pingsDuring([{ netns: fabric.netns('spine1'), to: address }], async () => {
      for (let round = 0; round < 10; round++) {
        for (const { netns, frames } of voices) sendFrames(netns, 'eth0', frames);
        await everywhere(fabric, addresses, 'hv1', 2000);
      }
    });
    expect(reports.filter(({ lost }) => lost > 0).map(describePing)).toEqual([]);
    expect((await rowOf('hv1', first.name)).state).toBe('attached');
    expect((await rowOf('hv2', second.name)).state).toBe('frozen');
    await first.unplug();
    await nowhere(fabric, addresses, 1000);
    expect(await says('hv1', 'guests', 'clear', address)).toMatch(/^1 /);
    expect(await says('hv2', 'guests', 'clear', address)).toMatch(/^0 /);
    await everywhere(fabric, addresses, 'hv2', 3000);
    expect(await received('spine1', address)).toBe('2 received');
  } finally {
    for (const [index, node] of (['hv1', 'hv2'] as const).entries()) {
      await fabric.leafctl(node, 'detach', both[index]!.name);
      await both[index]!.remove();
    }
  }
});

describe('the hooks of hypervisors', () => {
  /** Runs a script of the package as the hypervisor does, for the leafd of a node; it must not take a second. */
  async function hook(
    node: Hypervisor,
    words: readonly string[],
    options: { input?: string; env?: Record<string, string> } = {},
  ): Promise<string> {
    const [script, ...rest] = words;
    const env = {
      PATH: `${join(root, 'bin')}:${process.env.PATH}`,
      LEAFCTL_SOCKET: fabric.socket(node),
      ...options.env,
    };
    const set = Object.entries(env).map(([key, value]) => `${key}=${value}`);
    const startedMs = performance.now();
    const { exitCode, stdout, stderr } = await run(
      ['env', ...set, join(root, 'packaging', 'hooks', script!), ...rest],
      { input: options.input ?? '' },
    );
    expect(performance.now() - startedMs).toBeLessThan(1000);
    return `${exitCode} ${stdout}${stderr}`;
  }

  it('Proxmox: a guest is expected, announced when it is there, attached at once when it only starts', async () => {
    const addresses = ['192.0.2.77', '2001:db8:100::77'];
    // Without addresses it answers nobody who asks for them.
    const guest = await looseGuest(fabric, 'hv2', [], { plugged: false });
    const vmid = /^tap(\d+)i0$/.exec(guest.tap)![1]!;
    const name = `vm${vmid}-net0`;
    const text = `net0: virtio=${guest.mac},bridge=vmbr1\nipconfig0: ip=192.0.2.77/32,ip6=2001:db8:100::77/128\n`;
    // While it migrates its configuration is with the node that it comes from.
    const [pve, other] = [
      proxmoxFolder(`qemu-server/${vmid}.conf`, text),
      proxmoxFolder(`nodes/pve1/qemu-server/${vmid}.conf`, text),
    ];
    const migrating = { LEAFD_PVE_DIR: other, PVE_MIGRATED_FROM: 'pve1' };
    const phase = (word: string, env: Record<string, string>) =>
      hook('hv2', ['leafd-proxmox-hook', vmid, word], { env });
    try {
      expect(await phase('pre-start', migrating)).toMatch(/^0 .*expected/s);
      await guest.plug();
      expect(await phase('post-start', migrating)).toMatch(/^0 .*expected/s);
      expect(await guestOf('hv2', name)).toMatchObject({
        state: 'expected',
        port: guest.tap,
        expected: { from: 'pve1' },
      });
      for (const address of addresses) expect(await pathsTo(fabric, 'spine1', address)).toEqual([]);
      const own = await macOfLink(guest.netns, 'eth0');
      await setUp(guest.netns, addresses);
      sendFrames(
        guest.netns,
        'eth0',
        addresses.map((address) => claim(own, address)),
      );
      await everywhere(fabric, addresses, 'hv2', 1000);
      expect(await phase('post-stop', {})).toMatch(/^0 .*detached/s);
      await nowhere(fabric, addresses, 1000);
      await fabric.get<GuestView>('hv2', `/v1/guests/${name}`).then(
        () => expect.unreachable(),
        (error: Error) => expect(error.message).toContain('404'),
      );
      expect(await phase('post-start', { LEAFD_PVE_DIR: pve })).toMatch(/^0 .*192\.0\.2\.77/s);
      await everywhere(fabric, addresses, 'hv2', 1000);
      expect(await received('web1', addresses[0]!)).toBe('2 received');
      // Without leafd a guest starts, unless the operator wants it otherwise.
      const down = { LEAFD_PVE_DIR: pve, LEAFCTL_SOCKET: '/nowhere.sock' };
      expect(await phase('post-start', down)).toMatch(/^0 .*ENOENT/s);
      expect(await phase('post-start', { ...down, LEAFD_HOOK_STRICT: '1' })).toMatch(/^[1-9]/);
    } finally {
      await fabric.leafctl('hv2', 'detach', name);
      await guest.remove();
    }
  });

  it('libvirt: started, asked again, stopped; nothing on stdout', async () => {
    const address = '192.0.2.78';
    const guest = await looseGuest(fabric, 'hv2', [address]);
    const input = `<domain><name>web7</name><metadata><leafd:guest xmlns:leafd="https://leafd.dev/guest/1">
      <leafd:address>${address}</leafd:address></leafd:guest></metadata><devices><interface type="bridge">
      <mac address="${guest.mac}"/><source bridge="vmbr1"/><target dev="${guest.tap}"/></interface></devices></domain>`;
    const operation = (word: string) =>
      hook('hv2', ['leafd-libvirt-hook', 'web7', word, 'begin', '-'], { input });
    try {
      for (const word of ['started', 'reconnect']) {
        expect(await operation(word)).toBe(`0 leafctl: web7-net0 attached: ${address}\n`);
        await everywhere(fabric, [address], 'hv2', 1000);
      }
      expect(await operation('stopped')).toBe('0 leafctl: web7-net0 detached\n');
      await nowhere(fabric, [address], 1000);
    } finally {
      await fabric.leafctl('hv2', 'detach', 'web7-net0');
      await guest.remove();
    }
  });
});

it('a guest of the configuration comes and goes with it, and by nothing else', async () => {
  const addresses = ['192.0.2.79', '2001:db8:100::79'];
  const guest = await looseGuest(fabric, 'hv1', addresses);
  const before = readFileSync(fabric.configOf('hv1'), 'utf8');
  const bound = { name: guest.name, port: guest.tap, addresses };
  const after = editConfig(before, (config) => {
    config.guests.bind = [bound];
  });
  try {
    expect(await says('hv1', 'apply', scratchFile('with.yaml', after))).toMatch(/^0 /);
    await everywhere(fabric, addresses, 'hv1', 3000);
    for (const address of addresses) expect(await received('spine1', address)).toBe('2 received');
    expect(await guestOf('hv1', guest.name)).toMatchObject({ source: 'config', state: 'attached' });
    expect(await says('hv1', 'detach', guest.name)).toMatch(/^5 .*configuration/s);
    expect(await says('hv1', 'apply', scratchFile('without.yaml', before))).toMatch(/^0 /);
    await nowhere(fabric, addresses, 1000);
    expect(await says('hv1', 'guests', guest.name)).toMatch(/^1 /);
  } finally {
    await fabric.leafctl('hv1', 'apply', scratchFile('without.yaml', before));
    await guest.remove();
  }
});

it('addresses of neighbours, of the machine and of its reserved list are nobody’s, though they are allowed', async () => {
  const [peer, listed, own, free] = ['192.0.2.57', '192.0.2.58', '192.0.2.59', '192.0.2.60'] as const;
  const guest = await looseGuest(fabric, 'hv3', []);
  const before = readFileSync(fabric.configOf('hv3'), 'utf8');
  const after = editConfig(before, ({ bgp, guests }) => {
    bgp.peers.push({ address: peer, remoteAs: 65001 });
    guests.reserved.push(prefixOf(listed));
  });
  try {
    await fabric.out('hv3', 'ip', 'addr', 'add', prefixOf(own), 'dev', 'lo');
    expect(await says('hv3', 'apply', scratchFile('reserved.yaml', after))).toMatch(/^0 /);
    const mac = await macOfLink(guest.netns, 'eth0');
    sendFrames(
      guest.netns,
      'eth0',
      [peer, listed, own, free].map((address) => claim(mac, address)),
    );
    // Claims are judged in the order they are made: the last one was let through.
    await everywhere(fabric, [free], 'hv3', 1000);
    for (const [address, whose] of [
      [peer, 'neighbour'],
      [listed, 'leafd.yaml'],
      [own, 'on lo'],
    ] as const) {
      expect(await says('hv3', 'why', address)).toMatch(new RegExp(`^0 .*${whose}.*reserved +1 `, 's'));
      expect(await pathsTo(fabric, 'spine1', address)).toEqual([]);
    }
    const { addresses, refused } = await guestOf('hv3', guest.tap);
    expect(addresses.map(({ address }) => address)).toEqual([free]);
    expect(refused).toEqual({ reserved: 3 });
  } finally {
    await fabric.leafctl('hv3', 'apply', scratchFile('before.yaml', before));
    await fabric.out('hv3', 'ip', 'addr', 'del', prefixOf(own), 'dev', 'lo');
    await guest.remove();
  }
});

it('two thousand guests in one request, all or none; more than there may be are refused', async () => {
  const bodies = (count: number) =>
    Array.from({ length: count }, (_, index) => {
      const [high, low] = [index >> 8, index & 255].map((byte) => byte.toString(16).padStart(2, '0'));
      const addresses = [`198.18.${index >> 8}.${index & 255}`, `2001:db8:200::${high}${low}`];
      return { name: `many${index}`, port: `many${index}`, mac: `02:00:00:01:${high}:${low}`, addresses };
    });
  const file = (guests: unknown[]) => scratchFile('many.json', JSON.stringify({ guests }));
  const count = async () =>
    (await fabric.get<GuestsView>('hv3', '/v1/guests')).guests.filter(({ name }) => name.startsWith('many'))
      .length;
  const place = ['--mac', '02:00:00:02:00:00', '--address', '198.18.255.1'];
  expect(await says('hv3', 'attach', 'holder', ...place)).toMatch(/^0 /);
  const refused = async (last: object) =>
    says('hv3', 'attach', '--file', file([...bodies(1999), { name: 'last', port: 'last', ...last }]));
  expect(await refused({ addresses: ['198.18.0.0'] })).toMatch(/^2 .*198\.18\.0\.0 .*many0/);
  expect(await refused({ addresses: ['198.18.255.1'] })).toMatch(/^5 .*198\.18\.255\.1/);
  expect(await count()).toBe(0);
  expect(await says('hv3', 'attach', '--file', file(bodies(4097)))).toMatch(/^2 .*at most 4096/s);
  expect(await count()).toBe(0);
  const { guests } = await ask<GuestsView>(fabric, 'hv3', 'POST', '/v1/guests', { guests: bodies(2000) });
  expect(guests.length).toBe(2000);
  expect(await count()).toBe(2000);
  expect((await fabric.leafctl('hv3', 'detach', ...bodies(20).map(({ name }) => name))).exitCode).toBe(0);
  expect(await count()).toBe(1980);
});
