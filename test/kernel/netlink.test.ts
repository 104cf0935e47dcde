// Sockets, monitor and route feed against the real kernel, in a namespace of its own.

import { execFileSync } from 'node:child_process';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import {
  MessageWriter,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_EXCL,
  RTM_DELROUTE,
  RTM_NEWROUTE,
  RTNLGRP_IPV4_ROUTE,
} from '../../src/netlink/message.ts';
import { LinkMonitor } from '../../src/netlink/monitor.ts';
import { encodeNexthopAdd } from '../../src/netlink/nexthop.ts';
import { encodeRoute } from '../../src/netlink/route.ts';
import { RouteFeed } from '../../src/netlink/route-feed.ts';
import { kernelRtnl } from '../../src/netlink/rtnl.ts';
import { listen, NetlinkSocket } from '../../src/netlink/socket.ts';

const netns = `lfdp-nl-${process.pid}`;
const root = process.getuid?.() === 0;
const ip = (text: string): string =>
  execFileSync('ip', ['-n', netns, ...text.split(' ')], { encoding: 'utf8' });
const turn = (ms = 150): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const style = { family: 2, table: 254, protocol: 179, metric: 20 };

describe.skipIf(!root)('netlink on the kernel', () => {
  const open: { close(): void }[] = [];
  let v0 = 0;

  beforeAll(() => {
    execFileSync('ip', ['netns', 'add', netns]);
    ip('link set lo up');
    ip('link add v0 type veth peer name v1');
    ip('link set v0 up');
    ip('link set v1 up');
    v0 = JSON.parse(ip('-j link show v0'))[0].ifindex;
  });
  afterEach(() => {
    for (const each of open.splice(0).reverse()) each.close();
  });
  afterAll(() => {
    execFileSync('ip', ['netns', 'del', netns]);
  });

  function batch(type: number, flags: number, count: number, nhid: (i: number) => number): MessageWriter {
    const writer = new MessageWriter(new Uint8Array(96_000));
    for (let i = 0; i < count; i++)
      encodeRoute(writer, type, flags, 1 + i, style, 0x0a000000 + i, 0, 0, 0, 32, nhid(i));
    writer.flagLast(NLM_F_ACK);
    return writer;
  }

  function withNexthop(socket: NetlinkSocket): void {
    const writer = new MessageWriter();
    const gateway = Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
    const nexthop = { id: 5, family: 10, protocol: 179, flags: 0, ifindex: v0, gateway, blackhole: false };
    encodeNexthopAdd(writer, 1, NLM_F_CREATE, nexthop);
    expect(socket.batch(writer, 1)).toEqual({ outcome: 'known', failed: [] });
  }

  test('of 1000 messages the failing ones are named, and our echo does not reach us', async () => {
    const socket = NetlinkSocket.open({ netns, receiveBuffer: 8 << 20, sendBuffer: 4 << 20 });
    open.push(socket);
    withNexthop(socket);
    let all = 0;
    let others = 0;
    const base = { netns, groups: [RTNLGRP_IPV4_ROUTE], onOverrun: () => expect.fail('overrun') };
    open.push(listen({ ...base, onMessage: () => all++ }));
    open.push(listen({ ...base, ignorePortIds: [99, socket.portId], onMessage: () => others++ }));
    const bad = [3, 500, 999];
    const add = batch(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, 1000, (i) => (bad.includes(i) ? 77 : 5));
    const result = socket.exchange(add.bytes, add.length, 1000, 1);
    expect(result.outcome).toBe('known');
    expect(result.failed).toEqual(
      bad.map((index) => ({ index, errno: 22, text: 'Nexthop id does not exist' })),
    );
    const remove = batch(RTM_DELROUTE, 0, 1000, () => 0);
    expect(socket.exchange(remove.bytes, remove.length, 1000, 1).failed.map((f) => f.index)).toEqual(bad);
    await turn();
    expect(all).toBe(2 * 997);
    expect(others).toBe(0);
    ip('route add 10.77.0.0/16 dev v0');
    ip('route del 10.77.0.0/16 dev v0');
    await turn();
    expect(others).toBe(2);
    ip('nexthop del id 5');
  });

  test('answers that overflow the receive buffer make the outcome unknown, in time', () => {
    const socket = NetlinkSocket.open({ netns, receiveBuffer: 10_000, sendBuffer: 4 << 20, deadlineMs: 300 });
    open.push(socket);
    const add = batch(RTM_NEWROUTE, NLM_F_CREATE, 1000, () => 77);
    const begin = performance.now();
    expect(socket.exchange(add.bytes, add.length, 1000, 1).outcome).toBe('unknown');
    expect(performance.now() - begin).toBeLessThan(2000);
  });

  test('links and addresses: snapshot, differences, and everything again after a resync', async () => {
    const rtnl = kernelRtnl(netns);
    open.push(rtnl);
    const monitor = new LinkMonitor(rtnl);
    open.push(monitor);
    const seen: string[] = [];
    monitor.subscribe({
      link: (link, change, before) =>
        seen.push(`${link.name} ${change} ${before?.carrier ?? '-'}>${link.carrier}`),
      address: (address, change) => address.family === 2 && seen.push(`${address.bytes.join('.')} ${change}`),
    });
    expect(seen).toContain('v0 added ->true');
    seen.length = 0;
    ip('link set v1 down');
    ip('addr add 10.1.1.1/24 dev v0');
    await turn();
    expect(seen).toContain('v0 changed true>false');
    expect(seen).toContain('10.1.1.1 added');
    seen.length = 0;
    await monitor.resync();
    expect(seen).toEqual([]);
    ip('link add w0 type veth peer name w1');
    await turn();
    expect(monitor.linkByName('w0')).toMatchObject({ kind: 'veth', up: false });
    ip('link del w0');
    await turn();
    expect(monitor.linkByName('w0')).toBeUndefined();
    ip('addr del 10.1.1.1/24 dev v0');
    ip('link set v1 up');
  });

  test('the feed of foreign routes: connected, static, replaced by ours, and silently gone with the link', async () => {
    const rtnl = kernelRtnl(netns);
    open.push(rtnl);
    ip('addr add 10.1.1.1/24 dev v0');
    const feed = new RouteFeed(rtnl);
    open.push(feed);
    const seen: string[] = [];
    feed.subscribe((route, change) =>
      seen.push(`${route.bytes.join('.')}/${route.length} ${route.protocol} ${change}`),
    );
    expect(seen).toEqual(['10.1.1.0/24 2 added']);
    ip('route add 10.5.0.0/16 via 10.1.1.2 proto static');
    ip('route add 10.6.0.0/16 via 10.1.1.2 proto 186');
    await turn();
    ip('route replace 10.5.0.0/16 via 10.1.1.3 proto 179');
    await turn();
    expect(seen.slice(1)).toEqual(['10.5.0.0/16 4 added', '10.5.0.0/16 4 removed']);
    seen.length = 0;
    ip('link set v0 down');
    await turn();
    expect(seen).toEqual(['10.1.1.0/24 2 removed']);
    ip('link set v0 up');
    await turn();
    expect(seen.at(-1)).toBe('10.1.1.0/24 2 added');
    ip('addr del 10.1.1.1/24 dev v0');
    await turn();
    expect(feed.size).toBe(0);
  });
});
