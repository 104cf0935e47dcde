// The router namespace on the real kernel: made, repaired whatever is done to it by hand, and taken back exactly. The
// host is a namespace of its own, the fabric another; NICs are legs of veths.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createNetns, listNetns, netnsInode, removeNetns } from '../../src/netlink/netns.ts';
import { flushPassthrough } from '../../src/passthrough/flush.ts';
import { keptNetns } from '../../src/passthrough/kept.ts';
import { PassthroughPlane } from '../../src/passthrough/plane.ts';
import type { PassthroughEvent } from '../../src/passthrough/plane-view.ts';
import { run, until } from '../support/fabric.ts';
import {
  address,
  eth1,
  exec,
  fabric,
  home,
  intent,
  ip,
  makeHost,
  netns,
  pings,
  put,
  removeHost,
  sysctl,
} from '../support/plane-host.ts';

const root = process.getuid?.() === 0;
const SYSCTLS = [
  'net.ipv4.ip_forward',
  'net.ipv6.conf.all.forwarding',
  'net.ipv4.conf.all.arp_accept',
  'net.ipv4.conf.default.arp_accept',
  'net.ipv6.conf.all.accept_untracked_na',
  'net.ipv6.conf.default.accept_untracked_na',
];

describe.skipIf(!root)('passthrough on the kernel', () => {
  let stateDir: string;
  let plane: PassthroughPlane | undefined;
  let events: PassthroughEvent[];
  let isUplinkUp: boolean;

  beforeEach(() => {
    stateDir = makeHost();
    events = [];
    isUplinkUp = false;
  });

  afterEach(() => {
    plane?.close();
    plane = undefined;
    removeHost(stateDir);
  });

  function begin(name = netns): PassthroughPlane {
    plane = new PassthroughPlane({
      netns: name,
      stateDir,
      home,
      isUplinkUp: () => isUplinkUp,
      event: (event) => events.push(event),
    });
    return plane;
  }

  function restart(): PassthroughPlane {
    plane!.close();
    events = [];
    return begin();
  }

  const indexOf = (where: string, name: string): number =>
    (JSON.parse(ip(where, `-j link show ${name}`)) as { ifindex: number }[])[0]!.ifindex;

  const unfinished = () => plane!.status().filter(({ state }) => state !== 'done');
  const told = (kind: string): string[] =>
    events.filter((event) => event.kind === kind).map(({ text }) => text);
  const soon = <T>(look: () => Promise<T> | T, holds: (seen: T) => boolean, what: string, timeoutMs = 3000) =>
    until(look, holds, { timeoutMs, everyMs: 5, what });

  /** How long something was away after it was broken, in ms. */
  async function repaired(
    what: string,
    breakIt: () => void,
    isWhole: () => Promise<boolean> | boolean,
  ): Promise<number> {
    await soon(isWhole, Boolean, `${what} before`);
    breakIt();
    const startMs = performance.now();
    await soon(isWhole, Boolean, what);
    return performance.now() - startMs;
  }

  test('names, addresses and sysctls are as OpenPERouter has them; the host’s own are not touched', async () => {
    const before = sysctl(home, ...SYSCTLS, 'net.ipv4.conf.default.forwarding');
    begin().setIntent(intent);
    expect(unfinished()).toEqual([]);
    expect(sysctl(netns, ...SYSCTLS)).toEqual(['1', '1', '1', '1', '1', '1']);
    expect(sysctl(home, ...SYSCTLS, 'net.ipv4.conf.default.forwarding')).toEqual(before);
    expect(ip(home, 'addr show pt-host')).toMatch(/inet 192\.169\.10\.2\/24[\s\S]*inet6 fd00:10::2\/64/);
    expect(ip(netns, 'addr show pt-ns')).toMatch(/inet 192\.169\.10\.1\/24[\s\S]*inet6 fd00:10::1\/64/);
    expect(ip(home, '-d link show pt-host')).toContain(`alias leafd passthrough ${netns}`);
    expect(ip(netns, 'link show lo')).toContain('UP');
    // Both families at once: no address is looked for duplicates first.
    expect([await pings(home, '192.169.10.1'), await pings(home, 'fd00:10::1')]).toEqual([true, true]);
    expect(plane!.view()).toMatchObject({
      netns,
      made: true,
      inode: netnsInode(netns),
      trial: { state: 'none' },
      veth: { host: { present: true, up: true, mtu: 1500 }, router: { present: true, up: true } },
      warnings: [],
    });
    // What is there is left alone: the addresses' lifetimes and indexes are the same afterwards.
    const links = ip(home, '-o link');
    plane!.setIntent({ ...intent });
    expect(ip(home, '-o link')).toBe(links);
    expect(told('repaired')).toEqual([]);
  });

  test('what is done to it by hand is undone within a second, most of it at once', async () => {
    begin().setIntent(intent);
    const macs = (): string[] => [plane!.view().veth!.host.mac, plane!.view().veth!.router.mac];
    const before = macs();
    const reached = async (): Promise<boolean> =>
      (await pings(home, '192.169.10.1')) && (await pings(home, 'fd00:10::1'));
    const cases: [string, () => void, () => Promise<boolean> | boolean][] = [
      ['pt-host', () => void ip(home, 'link del pt-host'), reached],
      ['pt-ns down', () => void ip(netns, 'link set pt-ns down'), reached],
      ['pt-host down', () => void ip(home, 'link set pt-host down'), reached],
      ['address', () => void ip(home, 'addr del 192.169.10.2/24 dev pt-host'), reached],
      ['all addresses', () => void ip(netns, 'addr flush dev pt-ns'), reached],
      ['renamed', () => void ip(netns, 'link set pt-ns down name other'), reached],
      [
        'mtu',
        () => void ip(netns, 'link set pt-ns mtu 1300'),
        () => ip(netns, 'link show pt-ns').includes('mtu 1500'),
      ],
      ['lo', () => void ip(netns, 'link set lo down'), () => pings(netns, '127.0.0.1')],
      [
        'forwarding',
        () => void put(netns, 'net.ipv4.ip_forward=0'),
        () => sysctl(netns, 'net.ipv4.ip_forward', 'net.ipv4.conf.pt-ns.forwarding').join() === '1,1',
      ],
      [
        'forwarding of a link',
        () => void put(netns, 'net.ipv6.conf.pt-ns.forwarding=0'),
        () => sysctl(netns, 'net.ipv6.conf.pt-ns.forwarding')[0] === '1',
      ],
      [
        'arp_accept',
        () => void put(netns, 'net.ipv4.conf.all.arp_accept=0'),
        () => sysctl(netns, 'net.ipv4.conf.all.arp_accept')[0] === '1',
      ],
    ];
    const tookMs: Record<string, number> = {};
    for (const [what, breakIt, isWhole] of cases) tookMs[what] = await repaired(what, breakIt, isWhole);
    for (const [what, ms] of Object.entries(tookMs)) expect(ms, what).toBeLessThan(1000);
    expect(macs()).toEqual(before);
    expect(unfinished()).toEqual([]);
    expect(told('repaired').join('\n')).toMatch(/veth pt-host pt-ns[\s\S]*net\.ipv4\.ip_forward/);
  });

  test('who fights over an object gets an answer once a second, not at every blow', async () => {
    begin().setIntent(intent);
    const mtu = (): boolean => ip(netns, 'link show pt-ns').includes('mtu 1300');
    let blows = 0;
    for (const endMs = performance.now() + 2500; performance.now() < endMs; ) {
      if (!mtu()) {
        ip(netns, 'link set pt-ns mtu 1300');
        blows++;
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(blows).toBeGreaterThan(20);
    expect(told('repaired').length).toBeLessThan(25);
    await soon(
      () => mtu(),
      (is) => !is,
      'the last word',
    );
  });

  test('addresses and links of others on both sides stay', async () => {
    begin().setIntent(intent);
    ip(home, 'addr add 10.9.9.9/32 dev pt-host');
    ip(netns, 'link add theirs type bridge');
    ip(netns, 'addr add 10.8.8.8/32 dev theirs');
    ip(home, 'addr del 192.169.10.2/24 dev pt-host');
    await soon(
      () => ip(home, 'addr show pt-host'),
      (text) => text.includes('192.169.10.2'),
      'our address',
    );
    expect(ip(home, 'addr show pt-host')).toContain('10.9.9.9');
    expect(ip(netns, 'addr show theirs')).toContain('10.8.8.8');
    plane!.setIntent({ ...intent, veth: { ...intent.veth!, hostAddresses: [address('192.169.10.7/24')] } });
    const text = ip(home, 'addr show pt-host');
    expect(text).toContain('192.169.10.7/24');
    expect(text).toContain('10.9.9.9');
    expect(text).not.toContain('192.169.10.2');
  });

  test('the node’s own address stays the first, which the host speaks from', async () => {
    const veth = {
      ...intent.veth!,
      hostAddresses: [...intent.veth!.hostAddresses, address('192.169.10.3/24')],
    };
    put(home, 'net.ipv4.conf.all.promote_secondaries=1');
    begin().setIntent({ ...intent, veth });
    const source = (): string => ip(home, 'route get 192.169.10.1');
    expect(source()).toContain('src 192.169.10.2 ');
    ip(home, 'addr del 192.169.10.2/24 dev pt-host');
    expect(source()).toContain('src 192.169.10.3 ');
    await soon(source, (text) => text.includes('src 192.169.10.2 '), 'the first address');
    await soon(
      () => ip(home, 'addr show pt-host'),
      (text) => text.includes('192.169.10.3/24'),
      'the other',
    );
    expect(unfinished()).toEqual([]);
  });

  test('a namespace that was deleted while leafd was away is made again, with all that was in it', async () => {
    begin().setIntent(intent);
    const { mac } = plane!.view().veth!.host;
    plane!.close();
    exec('ip', 'netns', 'delete', netns);
    begin().setIntent(intent);
    expect(plane!.view()).toMatchObject({ made: true, veth: { host: { mac, present: true } } });
    expect(await pings(home, '192.169.10.1')).toBe(true);
  });

  test('`ip netns delete` takes the name only, which comes back, and no packet is lost', async () => {
    begin().setIntent(intent);
    const inode = netnsInode(netns);
    await soon(() => pings(home, 'fd00:10::1'), Boolean, 'a way');
    const child: ChildProcess = spawn(
      'ip',
      ['netns', 'exec', home, 'ping', '-i0.01', '-c80', '-q', '192.169.10.1'],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    );
    let output = '';
    child.stdout!.on('data', (text: Buffer) => (output += text.toString()));
    const ended = new Promise((resolve) => child.on('close', resolve));
    for (let i = 0; i < 3; i++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      exec('ip', 'netns', 'delete', netns);
      await soon(
        () => listNetns().includes(netns) && netnsInode(netns),
        (seen) => seen === inode,
        'the name',
        1000,
      );
    }
    // An unmount alone is found by looking.
    exec('umount', '-l', `/run/netns/${netns}`);
    await soon(
      () => netnsInode(netns),
      (seen) => seen === inode,
      'the mount',
      1000,
    );
    await ended;
    expect(output).toContain('80 packets transmitted, 80 received, 0% packet loss');
    expect(told('repaired')).toHaveLength(4);
  });

  test('another namespace under the name is told and not fought over; ours goes on', async () => {
    begin().setIntent(intent);
    const inode = netnsInode(netns);
    plane!.status();
    exec('umount', '-l', `/run/netns/${netns}`);
    exec('mount', '--bind', `/run/netns/${fabric}`, `/run/netns/${netns}`);
    await soon(
      () => unfinished(),
      ([first]) => first?.kind === 'namespace',
      'the error',
    );
    expect(unfinished()[0]).toMatchObject({ state: 'error', errno: 'EEXIST' });
    expect(netnsInode(netns)).toBe(netnsInode(fabric));
    ip(home, 'link del pt-host');
    await soon(() => pings(home, '192.169.10.1'), Boolean, 'the veth');
    exec('ip', 'netns', 'delete', netns);
    await soon(
      () => listNetns().includes(netns) && netnsInode(netns),
      (seen) => seen === inode,
      'the name',
    );
    await soon(
      () => unfinished(),
      (list) => list.length === 0,
      'peace',
    );
  });

  test('a namespace that only leafd sees is told', async () => {
    const script = join(stateDir, 'warn.mts');
    const source = join(import.meta.dirname, '..', '..', 'src', 'passthrough', 'namespace.ts');
    const lines = [
      `import { RouterNamespace } from '${source}';`,
      `const namespace = new RouterNamespace('${netns}', undefined);`,
      'console.log(namespace.made, namespace.warning() ?? "seen");',
      'namespace.remove();',
    ];
    writeFileSync(script, lines.join('\n'));
    const tsx = join(import.meta.dirname, '..', '..', 'node_modules', '.bin', 'tsx');
    const hidden = await run(['unshare', '-m', '--propagation', 'slave', tsx, script]);
    expect(hidden.stdout).toMatch(/^true the namespace lfpp-\d+-r is not seen by the rest of the machine/);
    // One that came from outside is seen there, wherever leafd runs.
    removeNetns(netns);
    createNetns(netns);
    expect((await run(['unshare', '-m', '--propagation', 'slave', tsx, script])).stdout).toBe('false seen\n');
  });

  test('a namespace that was there is adopted, and left as it was', async () => {
    createNetns(netns);
    put(netns, 'net.ipv4.ip_forward=0');
    put(netns, 'net.ipv4.conf.all.arp_accept=0');
    ip(netns, 'link add theirs type bridge');
    begin().setIntent(intent);
    expect(plane!.view().made).toBe(false);
    expect(plane!.view().sysctls[0]).toMatchObject({ before: '0', now: '1', changed: true });
    restart().setIntent(intent);
    expect(plane!.view().made).toBe(false);
    plane!.setIntent(undefined);
    expect(listNetns()).toContain(netns);
    expect(sysctl(netns, 'net.ipv4.ip_forward', 'net.ipv4.conf.all.arp_accept')).toEqual(['0', '0']);
    expect(ip(netns, '-o link')).toContain('theirs');
    expect(ip(netns, '-o link')).not.toContain('pt-ns');
    expect(existsSync(join(stateDir, 'passthrough.json'))).toBe(false);
  });

  test('what OpenPERouter left is taken over as it is: namespace, veth and NIC', async () => {
    createNetns(netns);
    ip(netns, 'link set lo up');
    ip(home, `link set eth1 netns ${netns}`);
    ip(netns, 'link set eth1 group 4242 up');
    ip(netns, 'addr add 192.168.11.3/24 dev eth1');
    ip(home, `link add pt-host type veth peer name pt-ns netns ${netns}`);
    for (const [where, name, host] of [
      [home, 'pt-host', 2],
      [netns, 'pt-ns', 1],
    ] as const) {
      ip(where, `addr add 192.169.10.${host}/24 dev ${name}`);
      ip(where, `-6 addr add fd00:10::${host}/64 dev ${name} nodad`);
      ip(where, `link set ${name} up`);
    }
    const index = indexOf(home, 'pt-host');
    begin().setIntent({ ...intent, uplinks: [eth1] });
    await until(unfinished, (left) => left.length === 0, { timeoutMs: 3000 });
    expect(indexOf(home, 'pt-host'), 'not made anew').toBe(index);
    expect(ip(home, '-o addr show dev pt-host').match(/192\.169\.10\.2\/24/g)).toHaveLength(1);
    expect(await pings(home, '192.169.10.1')).toBe(true);
    expect(await pings(netns, '192.168.11.2')).toBe(true);
    plane!.setIntent(undefined);
    expect(ip(home, '-o link')).not.toContain('pt-host');
    expect(ip(home, '-o addr show dev eth1')).toContain('192.168.11.3/24');
  });

  test('one leg of that name, or two that are no pair, are somebody else’s', async () => {
    ip(home, 'link add pt-host type veth peer name other');
    begin().setIntent(intent);
    expect(unfinished()).toMatchObject([{ kind: 'veth', state: 'error', errno: 'EEXIST' }]);
    ip(netns, 'link add pt-ns type veth peer name another');
    await until(unfinished, (left) => left.length > 0, { timeoutMs: 3000 });
    plane!.setIntent(intent);
    expect(unfinished()).toMatchObject([{ kind: 'veth', state: 'error', errno: 'EEXIST' }]);
    expect(ip(home, '-o link')).toContain('pt-host@other');
    for (const [where, name] of [
      [home, 'pt-host'],
      [netns, 'pt-ns'],
    ] as const)
      ip(where, `link del ${name}`);
    await until(unfinished, (left) => left.length === 0, { timeoutMs: 3000 });
  });

  test('a restart finds all as it was; without an intent everything of ours goes, and comes again', async () => {
    begin().setIntent(intent);
    const links = ip(home, '-o link');
    restart().setIntent(intent);
    expect(ip(home, '-o link')).toBe(links);
    expect(plane!.view().made).toBe(true);
    plane!.setIntent(undefined);
    expect(listNetns()).not.toContain(netns);
    expect(ip(home, '-o link')).not.toContain('pt-host');
    expect(existsSync(join(stateDir, 'passthrough.json'))).toBe(false);
    expect(plane!.status()).toEqual([]);
    plane!.setIntent(intent);
    expect(unfinished()).toEqual([]);
    expect(await pings(home, '192.169.10.1')).toBe(true);
  });

  test('a namespace of ours in which somebody else has something is left, and told', async () => {
    begin().setIntent(intent);
    ip(netns, 'link add theirs type bridge');
    plane!.setIntent(undefined);
    expect(listNetns()).toContain(netns);
    expect(told('trial')).toEqual([`the namespace ${netns} is left for link theirs`]);
    expect(ip(home, '-o link')).not.toContain('pt-host');
    ip(netns, 'link del theirs');
    const sleeper = spawn('ip', ['netns', 'exec', netns, 'sleep', '60'], { stdio: 'ignore' });
    try {
      const isIn = (): boolean => exec('ip', 'netns', 'pids', netns).includes(String(sleeper.pid));
      await soon(isIn, Boolean, 'the process');
      const occupants = [`process ${sleeper.pid} (sleep)`];
      expect(flushPassthrough({ stateDir, home })).toMatchObject({ namespaces: 0, occupants, failures: [] });
    } finally {
      const ended = new Promise((resolve) => sleeper.on('close', resolve));
      sleeper.kill('SIGKILL');
      await ended;
    }
    // It stays known as ours.
    expect(flushPassthrough({ stateDir, home })).toMatchObject({ namespaces: 1 });
    expect(listNetns()).not.toContain(netns);
  });

  test('a flush without a daemon takes everything back', () => {
    isUplinkUp = true;
    begin().setIntent({ ...intent, uplinks: [eth1], confirmMs: 0 });
    plane!.close();
    const nothing = { nics: 0, links: 0, namespaces: 0, sysctls: 0, failures: [], occupants: [] };
    const all = { ...nothing, nics: 1, links: 2, namespaces: 1 };
    expect(flushPassthrough({ stateDir, home })).toEqual(all);
    expect(listNetns()).not.toContain(netns);
    expect(ip(home, 'addr show eth1')).toContain('192.168.11.3/24');
    expect(ip(home, '-o link')).not.toContain('pt-host');
    expect(flushPassthrough({ stateDir, home })).toEqual(nothing);
  });

  test('a flush says what it could not take back, and takes it back later', () => {
    begin().setIntent({ ...intent, uplinks: [eth1], confirmMs: 0 });
    plane!.close();
    ip(home, 'link add eth1 type bridge');
    const failures = ['nic eth1: the host has another link named eth1'];
    expect(flushPassthrough({ stateDir, home })).toMatchObject({
      nics: 0,
      links: 2,
      namespaces: 0,
      failures,
    });
    ip(home, 'link delete eth1');
    expect(flushPassthrough({ stateDir, home })).toMatchObject({ nics: 1, namespaces: 1, failures: [] });
    expect(ip(home, 'addr show eth1')).toContain('192.168.11.3/24');
  });

  test('another name of the namespace: the former one is left first', () => {
    begin().setIntent(intent);
    plane!.close();
    begin(`${netns}2`).setIntent({ ...intent, netns: `${netns}2` });
    expect(listNetns()).not.toContain(netns);
    expect(keptNetns(stateDir)).toBe(`${netns}2`);
    expect(unfinished()).toEqual([]);
  });

  test('a NIC moves on trial, is confirmed by a session, and later lives need no trial', async () => {
    const wanted = { ...intent, uplinks: [eth1] };
    begin().setIntent(wanted);
    expect(plane!.view().trial).toMatchObject({ state: 'running', uplinks: ['eth1'] });
    expect(plane!.view().uplinks).toMatchObject([
      { name: 'eth1', place: 'router', state: 'done', mtu: 9000, up: true },
    ]);
    expect(plane!.view().uplinks[0]!.addresses).toContain('192.168.11.3/24');
    expect(told('nicMoved')).toEqual([`eth1 is in ${netns} now`]);
    // The veth is as large as the uplink.
    expect(plane!.view().veth).toMatchObject({ host: { mtu: 9000 }, router: { mtu: 9000 } });
    await soon(() => pings(netns, '192.168.11.2'), Boolean, 'the fabric');
    isUplinkUp = true;
    await soon(
      () => plane!.view().trial.state,
      (state) => state === 'confirmed',
      'the confirmation',
    );
    expect(told('confirmed')).toHaveLength(1);
    isUplinkUp = false;
    // As after a power cut: the fabric may need longer than the trial.
    restart().setIntent(wanted);
    expect(plane!.view().trial.state).toBe('confirmed');
    plane!.restore();
    expect(ip(home, 'addr show eth1')).toContain('192.168.11.3/24');
    expect(listNetns()).not.toContain(netns);
    restart().setIntent(wanted);
    expect(plane!.view().trial.state).toBe('confirmed');
    // A trial that was cut short by a stop is none when leafd comes again.
    plane!.setIntent({ ...wanted, uplinks: [] });
    plane!.setIntent(wanted);
    expect(plane!.view().trial.state).toBe('running');
    plane!.restore();
    restart();
    expect(plane!.view().trial.state).toBe('none');
    plane!.setIntent(wanted);
    expect(plane!.confirm()).toBe(true);
    expect(plane!.view().uplinks[0]!.place).toBe('router');
    // Removed from the configuration it goes home.
    plane!.setIntent(intent);
    expect(ip(home, 'addr show eth1')).toContain('192.168.11.3/24');
    expect(told('nicReturned')).toEqual(['eth1 is in the host again']);
  });

  test('without a session the NIC goes home, and stays there until something changes', async () => {
    const wanted = { ...intent, uplinks: [eth1], confirmMs: 1200 };
    begin().setIntent(wanted);
    expect(plane!.view().uplinks[0]!.place).toBe('router');
    await soon(
      () => plane!.view().trial.state,
      (state) => state === 'rolledBack',
      'the end',
    );
    expect(told('rolledBack')).toEqual([
      'eth1 rolled back to the host: no session of the fabric came up within 1.2 s',
    ]);
    expect(ip(home, 'addr show eth1')).toContain('192.168.11.3/24');
    expect(await pings(home, '192.168.11.2')).toBe(true);
    plane!.setIntent({ ...wanted });
    expect(plane!.view().uplinks[0]).toMatchObject({ place: 'home', state: 'pending' });
    expect(plane!.view().uplinks[0]!.error).toMatch(/^rolled back to the host: no session/);
    expect([plane!.confirm(), plane!.rollBack()]).toEqual([false, false]);
    // The operator's word, then another configuration, then the next start.
    expect(plane!.retry()).toBe(true);
    expect(plane!.view().uplinks[0]!.place).toBe('router');
    expect(plane!.rollBack()).toBe(true);
    expect(plane!.view()).toMatchObject({ trial: { state: 'rolledBack' }, uplinks: [{ place: 'home' }] });
    plane!.setIntent({ ...wanted, confirmMs: 1300 });
    expect(plane!.view().uplinks[0]!.place).toBe('router');
    expect(plane!.rollBack()).toBe(true);
    restart().setIntent(wanted);
    expect(plane!.view()).toMatchObject({ trial: { state: 'running' }, uplinks: [{ place: 'router' }] });
    expect(plane!.confirm()).toBe(true);
    expect(plane!.view().trial.state).toBe('confirmed');
  });

  test('a crash does not prolong the trial', async () => {
    const wanted = { ...intent, uplinks: [eth1], confirmMs: 2500 };
    begin().setIntent(wanted);
    const left = (): number => plane!.view().trial.remainingMs!;
    const before = await soon(left, (ms) => ms < 1900, 'a part of it');
    restart().setIntent(wanted);
    expect(left()).toBeLessThanOrEqual(before);
    await soon(
      () => plane!.view().trial.state,
      (state) => state === 'rolledBack',
      'the end',
    );
    expect(ip(home, 'addr show eth1')).toContain('192.168.11.3/24');
  });

  test('an uplink that comes later moves when it is there, and the default route is told of', async () => {
    ip(home, 'route add default via 192.168.11.2');
    begin().setIntent({
      ...intent,
      uplinks: [eth1, { ...eth1, name: 'eth2', parent: 'eth2' }],
      confirmMs: 0,
    });
    expect(plane!.view().warnings).toMatchObject([expect.stringContaining('default route')]);
    expect(unfinished()).toMatchObject([{ key: 'nic eth2', state: 'pending' }]);
    ip(home, `link add eth2 type veth peer name tor2 netns ${fabric}`);
    await soon(
      () => ip(netns, '-o link'),
      (text) => text.includes('eth2'),
      'eth2',
    );
    await soon(
      () => plane!.view().veth!.host.mtu,
      (mtu) => mtu === 1500,
      'the MTU',
    );
    expect(plane!.view().warnings).toContainEqual('uplinks differ in MTU: eth1 9000, eth2 1500');
  });

  test('looking after all this costs next to nothing', async () => {
    begin().setIntent({ ...intent, uplinks: [eth1], confirmMs: 0 });
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const before = process.cpuUsage();
    await new Promise((resolve) => setTimeout(resolve, 4000));
    const { user, system } = process.cpuUsage(before);
    // Mostly the test's own; a pass that follows from each pass would take all of it.
    expect((user + system) / 4_000_000).toBeLessThan(0.1);
  });
});
