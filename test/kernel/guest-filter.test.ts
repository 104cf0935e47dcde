// The filter of guests on a real bridge: two guests behind isolated ports of a hypervisor's bridge, and a node behind
// its uplink. Each attack is sent as a raw frame; it must be counted and told with its reason, and reach neither the
// bridge nor the stack. The same frame in its honest form must get through, so that each test can fail.

import { execFile, execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { GuestFilter } from '../../src/dataplane/guest-filter.ts';
import type { GuestDrop, GuestPlaneIntent, GuestPortWish } from '../../src/dataplane/guest-wish.ts';
import { parsePrefix } from '../../src/net/prefix.ts';
import { createNetns, removeNetns, withNetns } from '../../src/netlink/netns.ts';
import { until } from '../support/fabric.ts';
import {
  A4,
  A6,
  attacks,
  B4,
  B6,
  bytes,
  four,
  GATEWAY_MAC,
  honest,
  MAC_A,
  MAC_B,
  six,
} from '../support/guest-frames.ts';
import { frame, icmp6, ip4, ip6, neighbourMessage, RawLink, tcp, udp } from '../support/raw-link.ts';

const HV = `lfgf-${process.pid}-h`;
const A = `lfgf-${process.pid}-a`;
const B = `lfgf-${process.pid}-b`;
const UP = `lfgf-${process.pid}-u`;
const ALL = [HV, A, B, UP];

const ip = (...words: string[]) => execFileSync('ip', words, { encoding: 'utf8' });
const nft = (...words: string[]) => ip('netns', 'exec', HV, 'nft', ...words);
const mac = (bytes: Uint8Array) => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');

function sysctl(netns: string, values: Record<string, string>): void {
  withNetns(netns, () => {
    for (const [key, value] of Object.entries(values)) writeFileSync(`/proc/sys/net/${key}`, value);
  });
}

function addGuest(netns: string, tap: string, hardware: Uint8Array, four: string, six: string): void {
  ip('-n', HV, 'link', 'add', tap, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns);
  ip('-n', HV, 'link', 'set', tap, 'addrgenmode', 'none');
  ip('-n', HV, 'link', 'set', tap, 'master', 'br0', 'up');
  ip('-n', HV, 'link', 'set', tap, 'type', 'bridge_slave', 'isolated', 'on');
  ip('-n', netns, 'link', 'set', 'eth0', 'address', mac(hardware));
  // A redirect that was believed once would lead astray for the rest of the tests.
  const quiet = { accept_dad: '0', accept_ra: '0', accept_redirects: '0' };
  for (const [key, value] of Object.entries(quiet)) sysctl(netns, { [`ipv6/conf/eth0/${key}`]: value });
  ip('-n', netns, 'link', 'set', 'eth0', 'up');
  ip('-n', netns, 'addr', 'add', `${four}/32`, 'dev', 'eth0');
  ip('-n', netns, 'addr', 'add', `${six}/128`, 'dev', 'eth0', 'nodad');
  ip('-n', netns, 'route', 'add', 'default', 'via', '169.254.0.1', 'dev', 'eth0', 'onlink');
  ip('-n', netns, '-6', 'route', 'add', 'default', 'via', 'fe80::1', 'dev', 'eth0');
  for (const address of [four, six]) {
    ip('-n', HV, 'route', 'replace', address, 'dev', 'br0');
    ip('-n', HV, 'neigh', 'replace', address, 'lladdr', mac(hardware), 'dev', 'br0', 'nud', 'permanent');
  }
}

beforeAll(() => {
  for (const name of ALL) {
    createNetns(name);
    ip('-n', name, 'link', 'set', 'lo', 'up');
  }
  ip('-n', HV, 'link', 'add', 'br0', 'type', 'bridge', 'mcast_snooping', '0');
  ip('-n', HV, 'link', 'set', 'br0', 'address', mac(GATEWAY_MAC), 'addrgenmode', 'none');
  ip('-n', HV, 'link', 'set', 'br0', 'up');
  ip('-n', HV, 'addr', 'add', '169.254.0.1/32', 'dev', 'br0', 'scope', 'link');
  ip('-n', HV, 'addr', 'add', 'fe80::1/64', 'dev', 'br0', 'nodad');
  ip('-n', HV, 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'up0', 'netns', UP);
  ip('-n', HV, 'addr', 'add', '10.0.0.1/24', 'dev', 'up0');
  ip('-n', UP, 'addr', 'add', '10.0.0.2/24', 'dev', 'up0');
  for (const name of [HV, UP]) ip('-n', name, 'link', 'set', 'up0', 'up');
  ip('-n', UP, 'route', 'add', 'default', 'via', '10.0.0.1');
  sysctl(HV, {
    'ipv4/ip_forward': '1',
    'ipv6/conf/all/forwarding': '1',
    'ipv4/conf/all/send_redirects': '0',
    'ipv4/conf/br0/send_redirects': '0',
    'ipv4/icmp_ratelimit': '0',
  });
  addGuest(A, 'tapA', MAC_A, A4, A6);
  addGuest(B, 'tapB', MAC_B, B4, B6);
});

afterAll(() => {
  for (const name of ALL) removeNetns(name);
});

const intent: GuestPlaneIntent = {
  gatewayMac: GATEWAY_MAC,
  gateway4: bytes('169.254.0.1'),
  gateway6: bytes('fe80::1'),
  bridges: [{ name: 'br0', create: false, isolate: true }],
  taps: [],
  filter: true,
  reach: { tcp: [22], udp: [53] },
  reserved: [parsePrefix('10.0.0.0/24')!, parsePrefix('10.0.0.2/32')!],
};

const ifindex = (name: string) => RawLink.ifindex(HV, name);
const bridge = () => [{ ifindex: ifindex('br0'), name: 'br0' }];

function wish(name: string, hardware: Uint8Array, addresses: readonly string[]): GuestPortWish {
  return {
    ifindex: ifindex(name),
    name,
    gatewayIfindex: ifindex('br0'),
    macs: [hardware],
    addresses: addresses.map((address) => ({ address: bytes(address), mac: hardware })),
  };
}

const wishA = () => wish('tapA', MAC_A, [A4, A6]);
const wishB = () => wish('tapB', MAC_B, [B4, B6]);

let filter: GuestFilter;
let drops: GuestDrop[] = [];
let links: RawLink[] = [];

function newFilter(): GuestFilter {
  return new GuestFilter({ netns: HV, onDrop: (drop) => drops.push(drop) });
}

function link(netns: string, name: string): RawLink {
  const raw = RawLink.open(netns, name);
  links.push(raw);
  return raw;
}

beforeEach(() => {
  drops = [];
  links = [];
  filter = newFilter();
  filter.setIntent(intent, bridge());
  filter.setPorts([wishA(), wishB()]);
});

afterEach(() => {
  for (const raw of links) raw.close();
  filter.flush();
  filter.close();
});

const SNMP6 = '/proc/thread-self/net/snmp6';
const neighboursOf = (dev: string) => ip('-n', HV, '-6', 'neigh', 'show', 'dev', dev).split('\n').length;
const counted = (name: string, reason: string) => filter.drops().get(ifindex(name))?.[reason] ?? 0;

function ping(netns: string, to: string, ...words: string[]): Promise<{ received: number; sent: number }> {
  return new Promise((resolve) => {
    const argv = ['netns', 'exec', netns, 'ping', '-q', '-W', '1', ...words, to];
    execFile('ip', argv, { encoding: 'utf8' }, (_error, stdout) => {
      const found = /(\d+) packets transmitted, (\d+) received/.exec(stdout);
      resolve({ sent: Number(found?.[1] ?? 0), received: Number(found?.[2] ?? 0) });
    });
  });
}

/** What came of a frame that was sent: its end is looked for, since the kernels themselves send frames now and then. */
const arrived = (raw: RawLink, sent: Uint8Array) =>
  raw.received().filter((seen) => Buffer.from(seen).includes(Buffer.from(sent.subarray(-24))));

/** Frames for the guest alone. */
const answers = (raw: RawLink) =>
  raw.received().filter((seen) => Buffer.from(seen.subarray(0, 6)).equals(MAC_A));

describe('on its port', () => {
  it.each(attacks)('%s is dropped, counted and told', async (_what, make, reason) => {
    const bridgeSide = link(HV, 'br0');
    const before = counted('tapA', reason);
    const sent = make();
    link(A, 'eth0').send(sent);
    await until(
      () => counted('tapA', reason),
      (now) => now === before + 1,
      { timeoutMs: 2000 },
    );
    const told = await until(
      () => drops[0],
      (drop) => drop !== undefined,
      { timeoutMs: 2000 },
    );
    expect(told).toMatchObject({ ifindex: ifindex('tapA'), reason });
    expect(told!.mac).toEqual(reason === 'otherMac' ? MAC_B : MAC_A);
    expect(told!.packet.length).toBeGreaterThan(0);
    expect(told!.packet.length).toBeLessThanOrEqual(128);
    expect(arrived(bridgeSide, sent)).toEqual([]);
    const others = Object.entries(filter.drops().get(ifindex('tapA')) ?? {});
    expect(others.filter(([name, count]) => name !== reason && count > 0)).toEqual([]);
  });

  it.each(honest)('%s passes', async (_what, make) => {
    const bridgeSide = link(HV, 'br0');
    const sent = make();
    link(A, 'eth0').send(sent);
    await until(
      () => arrived(bridgeSide, sent).length,
      (count) => count === 1,
      { timeoutMs: 2000 },
    );
    expect(filter.drops().get(ifindex('tapA'))).toBeUndefined();
  });

  it('a group joined without an address is dropped in silence', async () => {
    const bridgeSide = link(HV, 'br0');
    const raw = link(A, 'eth0');
    raw.send(four('0.0.0.0', Uint8Array.of(0x22, 0, 0, 0, 0, 0, 0, 0), 2, '224.0.0.22'));
    const sent = four(A4, udp(9, 9), 17);
    raw.send(sent);
    await until(
      () => arrived(bridgeSide, sent).length,
      (count) => count === 1,
      { timeoutMs: 2000 },
    );
    expect(filter.drops().get(ifindex('tapA'))).toBeUndefined();
  });

  it('logs at a limited rate, and counts all', async () => {
    const raw = link(A, 'eth0');
    for (let i = 0; i < 500; i++) raw.send(four(B4, udp(9, 9), 17));
    await until(
      () => counted('tapA', 'spoofed4'),
      (count) => count === 500,
      { timeoutMs: 2000 },
    );
    await until(
      () => drops.length,
      (count) => count > 0,
      { timeoutMs: 2000 },
    );
    expect(drops.length).toBeLessThan(20);
  });
});

describe('this machine', () => {
  const refused: [string, () => Uint8Array][] = [
    ['BGP', () => four(A4, tcp(40000, 179, 0x02), 6)],
    ['BGP in a connection that is none', () => four(A4, tcp(40000, 179, 0x10), 6)],
    ['the API', () => four(A4, tcp(40000, 7179, 0x02), 6, '10.0.0.1')],
    ['a TCP port that is not opened', () => four(A4, tcp(40000, 8080, 0x02), 6)],
    ['BFD', () => four(A4, udp(49152, 3784), 17)],
    ['VXLAN', () => four(A4, udp(49152, 4789), 17, '10.0.0.1')],
    ['BGP over IPv6', () => six(A6, tcp(40000, 179, 0x02), 6)],
    ['BFD over IPv6', () => six(A6, udp(49152, 4784), 17)],
    ['VXLAN of another node', () => four(A4, udp(49152, 4789), 17, '10.0.0.2')],
    ['the API of another node', () => four(A4, tcp(40000, 7179, 0x02), 6, '10.0.0.2')],
    ['BGP of another node', () => four(A4, tcp(40000, 179, 0x02), 6, '10.0.0.2')],
  ];

  it.each(refused)('%s is dropped as hypervisor', async (_what, make) => {
    const raw = link(A, 'eth0');
    const uplink = link(UP, 'up0');
    const sent = make();
    raw.send(sent);
    await until(
      () => counted('br0', 'hypervisor'),
      (count) => count === 1,
      { timeoutMs: 2000 },
    );
    const told = await until(
      () => drops[0],
      (drop) => drop !== undefined,
      { timeoutMs: 2000 },
    );
    expect(told).toMatchObject({ ifindex: ifindex('br0'), reason: 'hypervisor', mac: MAC_A });
    expect(answers(raw)).toEqual([]);
    expect(arrived(uplink, sent)).toEqual([]);
  });

  it('opened ports answer, and other nodes are reached', async () => {
    const raw = link(A, 'eth0');
    const answered = (make: Uint8Array) => {
      answers(raw);
      raw.send(make);
      return until(
        () => answers(raw).length,
        (count) => count > 0,
        { timeoutMs: 2000 },
      );
    };
    // Nobody listens: RST and port unreachable show that the stack was reached.
    await answered(four(A4, tcp(40000, 22, 0x02), 6));
    await answered(six(A6, tcp(40000, 22, 0x02), 6));
    await answered(four(A4, udp(49152, 53), 17));
    const uplink = link(UP, 'up0');
    const sent = four(A4, udp(49152, 5000), 17, '10.0.0.2');
    raw.send(sent);
    await until(
      () => arrived(uplink, sent).length,
      (count) => count > 0,
      { timeoutMs: 2000 },
    );
    expect(filter.drops()).toEqual(new Map());
  });

  it('link-local addresses that a guest makes up do not fill the table of neighbours', async () => {
    const raw = link(A, 'eth0');
    const before = neighboursOf('br0');
    for (let i = 1; i <= 200; i++) {
      const source = bytes(`fe80::bad:${i.toString(16)}`);
      const toGateway = ip6(source, bytes('fe80::1'), 58, neighbourMessage(135, bytes('fe80::1'), MAC_A));
      raw.send(frame(GATEWAY_MAC, MAC_A, 0x86dd, toGateway));
    }
    await until(
      () => counted('tapA', 'spoofed6'),
      (count) => count >= 150,
      { timeoutMs: 2000 },
    );
    expect(neighboursOf('br0') - before).toBeGreaterThan(10);
    expect(neighboursOf('br0') - before).toBeLessThan(50);
  });

  it('requests of DHCP and the search for routers are dropped in silence', async () => {
    const raw = link(A, 'eth0');
    const solicitations = () =>
      withNetns(HV, () => /RouterSolicits\s+(\d+)/.exec(readFileSync(SNMP6, 'utf8'))![1]);
    const before = solicitations();
    raw.send(six('fe80::a', icmp6(133, new Uint8Array(4))));
    raw.send(four(A4, udp(68, 67), 17));
    raw.send(six('fe80::a', udp(546, 547), 17));
    raw.send(four(A4, tcp(40000, 22, 0x02), 6));
    await until(
      () => answers(raw).length,
      (count) => count === 1,
      { timeoutMs: 2000 },
    );
    expect(solicitations()).toBe(before);
    expect(filter.drops()).toEqual(new Map());
  });

  it('sends no redirect to guests, which it does without the guard', async () => {
    nft('add', 'table', 'inet', 'probe');
    nft('add', 'chain', 'inet', 'probe', 'out', '{ type filter hook output priority -400; }');
    nft('add', 'rule', 'inet', 'probe', 'out', 'icmpv6', 'type', 'nd-redirect', 'counter');
    const raw = link(A, 'eth0');
    const redirects = () => raw.received().filter((f) => f[12] === 0x86 && f[20] === 58 && f[54] === 137);
    const pinged = async () => {
      expect(await ping(A, B6, '-c', '5', '-i', '0.02')).toEqual({ sent: 5, received: 5 });
      return /counter packets (\d+)/.exec(nft('list', 'table', 'inet', 'probe'))![1];
    };
    const limit = { timeoutMs: 10_000 };
    await until(pinged, (tried) => Number(tried) > 0, limit);
    expect(redirects()).toEqual([]);
    filter.flush();
    await until(
      async () => ((await pinged()) ? redirects().length : 0),
      (seen) => seen > 0,
      limit,
    );
    nft('delete', 'table', 'inet', 'probe');
  });
});

describe('through the gateway', () => {
  it.each(['169.254.0.1', 'fe80::1%eth0', B4, B6, '10.0.0.2'])('%s is reached', async (to) => {
    expect(await ping(A, to, '-c', '5', '-i', '0.02')).toEqual({ sent: 5, received: 5 });
    expect(filter.drops()).toEqual(new Map());
  });

  it.each(['169.254.0.1', 'fe80::1%eth0', B4, B6])('%s is reached by fragments', async (to) => {
    expect(await ping(A, to, '-c', '2', '-i', '0.02', '-s', '4000')).toEqual({ sent: 2, received: 2 });
    expect(filter.drops()).toEqual(new Map());
  });

  it('an address that is taken away is reached no more', async () => {
    filter.setPorts([wish('tapA', MAC_A, [A4])]);
    expect(await ping(A, '169.254.0.1', '-c', '2', '-i', '0.02')).toMatchObject({ received: 2 });
    expect(await ping(A, B6, '-c', '2', '-i', '0.02')).toMatchObject({ received: 0 });
    filter.setPorts([wishA()]);
    expect(await ping(A, B6, '-c', '2', '-i', '0.02')).toMatchObject({ received: 2 });
  });

  it('a port without wishes is open again, a port with none admitted is shut', async () => {
    filter.setPorts([{ ...wishA(), macs: [], addresses: [] }]);
    expect(await ping(A, '169.254.0.1', '-c', '1')).toMatchObject({ received: 0 });
    filter.removePorts([ifindex('tapA')]);
    expect(await ping(A, '169.254.0.1', '-c', '1')).toMatchObject({ received: 1 });
    expect(nft('list', 'ruleset')).not.toContain('port-tapA');
  });
});

it('a routed tap is port and guest link in one', async () => {
  ip('-n', HV, 'link', 'set', 'tapB', 'nomaster');
  ip('-n', HV, 'link', 'set', 'tapB', 'address', mac(GATEWAY_MAC));
  ip('-n', HV, 'addr', 'add', '169.254.0.1/32', 'dev', 'tapB', 'scope', 'link');
  ip('-n', HV, 'addr', 'add', 'fe80::1/64', 'dev', 'tapB', 'nodad');
  for (const address of [B4, B6]) {
    ip('-n', HV, 'neigh', 'del', address, 'dev', 'br0');
    ip('-n', HV, 'route', 'replace', address, 'dev', 'tapB');
    ip('-n', HV, 'neigh', 'replace', address, 'lladdr', mac(MAC_B), 'dev', 'tapB', 'nud', 'permanent');
  }
  const tap = ifindex('tapB');
  filter.setIntent({ ...intent, taps: ['tapB'] }, [...bridge(), { ifindex: tap, name: 'tapB' }]);
  filter.setPorts([wishA(), { ...wishB(), gatewayIfindex: tap }]);
  for (const to of [A4, A6, '169.254.0.1', 'fe80::1%eth0'])
    expect(await ping(B, to, '-c', '2', '-i', '0.02')).toMatchObject({ received: 2 });
  const raw = link(B, 'eth0');
  const said = (from: string, payload: Uint8Array, protocol: number) =>
    raw.send(frame(GATEWAY_MAC, MAC_B, 0x0800, ip4(bytes(from), bytes('169.254.0.1'), protocol, payload)));
  said(B4, tcp(40000, 179, 0x02), 6);
  said(A4, udp(9, 9), 17);
  await until(
    () => filter.drops().get(tap),
    (seen) => seen?.hypervisor === 1 && seen.spoofed4 === 1,
    { timeoutMs: 2000 },
  );
  await until(
    () => drops.map((drop) => `${drop.ifindex} ${drop.reason}`).sort(),
    (told) => told.join() === `${tap} hypervisor,${tap} spoofed4`,
    { timeoutMs: 2000 },
  );
  ip('-n', HV, 'link', 'delete', 'tapB');
  addGuest(B, 'tapB', MAC_B, B4, B6);
});

describe('over time', () => {
  /** The rules with their handles: another handle is another rule. */
  const rules = () => nft('-a', '-s', 'list', 'ruleset').replace(/\s*elements = \{[^}]*\}/g, '');

  it('a restart takes over what is there and loses nothing', async () => {
    const before = rules();
    const pings = [ping(A, B4, '-c', '300', '-i', '0.005'), ping(A, B6, '-c', '300', '-i', '0.005')];
    filter.close();
    for (let i = 0; i < 5; i++) {
      const next = newFilter();
      next.setIntent(intent, bridge());
      next.setPorts([wishA(), wishB()]);
      next.sweep();
      next.close();
    }
    expect(rules()).toBe(before);
    filter = newFilter();
    filter.setIntent(intent, bridge());
    filter.setPorts([wishA(), wishB()]);
    for (const done of await Promise.all(pings)) expect(done).toEqual({ sent: 300, received: 300 });
    expect(rules()).toBe(before);
  });

  it('other rules replace the older ones at once', async () => {
    const pings = [ping(A, B4, '-c', '300', '-i', '0.005'), ping(A, B6, '-c', '300', '-i', '0.005')];
    for (let i = 2; i < 30; i++) {
      const gateway6 = bytes(`fe80::${i.toString(16)}`);
      const reach = { tcp: [22, 1000 + i], udp: [53] };
      filter.setIntent({ ...intent, gateway6, reach }, bridge());
    }
    expect(nft('list', 'chain', 'netdev', 'leafd', 'source6')).toContain(
      '!= 0xfe80000000000000000000000000001d',
    );
    expect(nft('list', 'set', 'inet', 'leafd', 'reach')).toContain('1029');
    expect(nft('list', 'set', 'inet', 'leafd', 'reach')).not.toContain('1028');
    for (const done of await Promise.all(pings)) expect(done).toEqual({ sent: 300, received: 300 });
  });

  it('a sweep removes what nobody wished, and nothing else', () => {
    nft('add', 'set', 'netdev', 'leafd', 'older', '{ type ether_addr; }');
    nft('add', 'chain', 'netdev', 'leafd', 'old');
    nft('add', 'rule', 'netdev', 'leafd', 'old', 'ether', 'saddr', '@older', 'accept');
    nft('add', 'table', 'inet', 'foreign');
    filter.close();
    filter = newFilter();
    filter.setIntent(intent, bridge());
    filter.setPorts([wishA()]);
    expect(nft('list', 'ruleset')).toContain('port-tapB');
    filter.sweep();
    const left = nft('list', 'ruleset');
    expect(left).toContain('port-tapA');
    expect(left).not.toMatch(/port-tapB|02:00:00:00:01:0b|older|chain old/);
    expect(left).toContain('table inet foreign');
    nft('delete', 'table', 'inet', 'foreign');
  });

  it('sets of another layout are replaced together with the ports', async () => {
    filter.flush();
    filter.close();
    nft('add', 'table', 'netdev', 'leafd');
    nft('add', 'set', 'netdev', 'leafd', 'ip4', '{ type ipv4_addr; }');
    nft('add', 'chain', 'netdev', 'leafd', 'guest');
    nft('add', 'rule', 'netdev', 'leafd', 'guest', 'ip', 'saddr', '@ip4', 'accept');
    filter = newFilter();
    filter.setIntent(intent, bridge());
    expect(nft('list', 'set', 'netdev', 'leafd', 'ip4')).toContain('type ipv4_addr\n');
    filter.setPorts([wishA(), wishB()]);
    expect(filter.status().filter((object) => object.state !== 'done')).toEqual([]);
    expect(nft('list', 'set', 'netdev', 'leafd', 'ip4')).toContain(A4);
    expect(await ping(A, B4, '-c', '2', '-i', '0.02')).toMatchObject({ received: 2 });
  });

  it('a flush of the whole ruleset by others is repaired', async () => {
    nft('flush', 'ruleset');
    const whole = (text: string) => text.includes('port-tapA') && text.includes('port-tapB');
    await until(() => nft('list', 'ruleset'), whole, { timeoutMs: 3000 });
    expect(await ping(A, B4, '-c', '2', '-i', '0.02')).toMatchObject({ received: 2 });
    link(A, 'eth0').send(four(B4, udp(9, 9), 17));
    await until(
      () => counted('tapA', 'spoofed4'),
      (count) => count === 1,
      { timeoutMs: 2000 },
    );
  });

  it.each(['before', 'after'])(
    'a tap that comes back is filtered anew, its old one removed %s',
    async (when) => {
      const old = ifindex('tapB');
      ip('-n', HV, 'link', 'delete', 'tapB');
      if (when === 'before') filter.removePorts([old]);
      addGuest(B, 'tapB', MAC_B, B4, B6);
      expect(ifindex('tapB')).not.toBe(old);
      filter.setPorts([wishB()]);
      if (when === 'after') filter.removePorts([old]);
      expect(filter.status().filter((object) => object.state !== 'done')).toEqual([]);
      expect(await ping(B, A4, '-c', '2', '-i', '0.02')).toMatchObject({ received: 2 });
      link(B, 'eth0').send(frame(GATEWAY_MAC, MAC_B, 0x0800, ip4(bytes(A4), bytes(B4), 17, udp(9, 9))));
      await until(
        () => counted('tapB', 'spoofed4'),
        (count) => count === 1,
        { timeoutMs: 2000 },
      );
      const elements = nft('list', 'set', 'netdev', 'leafd', 'macs');
      expect(elements.match(/02:00:00:00:01:0b/g)).toHaveLength(1);
    },
  );

  it('one port that the kernel refuses does not hold up the others', async () => {
    const wrong = { ...wishB(), ifindex: 4_000_000, name: 'a-name-that-is-far-too-long-for-a-link' };
    filter.removePorts([ifindex('tapA')]);
    filter.setPorts([wrong, wishA()]);
    const failed = filter.status().filter((object) => object.state === 'error');
    expect(failed).toMatchObject([{ key: `filter ${wrong.name}`, kind: 'filter', state: 'error' }]);
    expect(nft('list', 'ruleset')).toContain('port-tapA');
    expect(await ping(A, B4, '-c', '1')).toMatchObject({ received: 1 });
  });

  it('switched off, ports are open and the machine is guarded still', async () => {
    const bridgeSide = link(HV, 'br0');
    const spoofed = frame(GATEWAY_MAC, MAC_B, 0x0800, ip4(bytes(B4), bytes(B4), 17, udp(9, 9)));
    filter.setIntent({ ...intent, filter: false }, bridge());
    link(A, 'eth0').send(spoofed);
    await until(
      () => arrived(bridgeSide, spoofed).length,
      (count) => count === 1,
      { timeoutMs: 2000 },
    );
    link(A, 'eth0').send(four(A4, tcp(40000, 179, 0x02), 6));
    await until(
      () => counted('br0', 'hypervisor'),
      (count) => count === 1,
      { timeoutMs: 2000 },
    );
    filter.setIntent(intent, bridge());
    link(A, 'eth0').send(spoofed);
    await until(
      () => counted('tapA', 'otherMac'),
      (count) => count === 1,
      { timeoutMs: 2000 },
    );
  });

  it('a flush leaves no table', () => {
    filter.flush();
    expect(nft('list', 'ruleset')).toBe('');
    expect(filter.status()).toEqual([]);
  });

  it('a namespace that is not there is told of', () => {
    const lost = new GuestFilter({ netns: `${HV}-lost` });
    lost.setIntent(intent, bridge());
    lost.setPorts([wishA()]);
    expect(lost.drops()).toEqual(new Map());
    expect(lost.status().map(({ key, state, errno }) => [key, state, errno])).toEqual([
      ['filter guard', 'error', 'netns-absent'],
      ['filter log', 'done', undefined],
      ['filter hearing', 'done', undefined],
      ['filter rules', 'error', 'netns-absent'],
      ['filter tapA', 'pending', undefined],
    ]);
    lost.close();
  });

  it('a second listener of the log is told of, and filters all the same', () => {
    const second = newFilter();
    second.setIntent(intent, bridge());
    expect(second.status().find((object) => object.state === 'error')).toMatchObject({
      key: 'filter log',
      errno: 'EPERM',
    });
    second.close();
  });
});
