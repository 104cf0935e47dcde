// The speaker against a hostile neighbourhood: who may have an unnumbered session, and who only tries. Two namespaces
// joined by a veth pair; the speaker listens in one, the others connect from the other, or from the speaker's own.

import { execFileSync } from 'node:child_process';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/intent/load.ts';
import { parseIp } from '../../src/net/ip.ts';
import { Icmp6Socket } from '../../src/netlink/icmp6.ts';
import { LinkMonitor } from '../../src/netlink/monitor.ts';
import { createNetns, removeNetns, withNetns } from '../../src/netlink/netns.ts';
import { RouteFeed } from '../../src/netlink/route-feed.ts';
import { kernelRtnl } from '../../src/netlink/rtnl.ts';
import { libcCalls } from '../../src/netlink/sys.ts';
import { type ConnectOptions, type ConnectResult, connectTcp, socketFromFd } from '../../src/netlink/tcp.ts';
import { routerConfigOf } from '../../src/router/from-intent.ts';
import type { RouterEvent } from '../../src/router/ports.ts';
import { Speaker } from '../../src/speaker/speaker.ts';

const A = 'lfskspk-a';
const B = 'lfskspk-b';
const PORT = 1179;
const ip = (...words: string[]) => execFileSync('ip', words, { encoding: 'utf8' });
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const address = (text: string): Uint8Array => parseIp(text)!;
const linkLocalA = address('fe80::a');
const linkLocalB = address('fe80::b');
let indexA = 0;
let indexB = 0;
const close: (() => unknown)[] = [];

beforeAll(async () => {
  createNetns(A);
  createNetns(B);
  ip('-n', A, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', B);
  for (const [name, last] of [
    [A, 'a'],
    [B, 'b'],
  ] as const) {
    ip('-n', name, 'link', 'set', 'lo', 'up');
    ip('-n', name, 'link', 'set', 'eth0', 'addrgenmode', 'none');
    ip('-n', name, 'link', 'set', 'eth0', 'up');
    ip('-n', name, 'addr', 'add', `192.0.2.${last === 'a' ? 1 : 2}/24`, 'dev', 'eth0');
    ip('-n', name, 'addr', 'add', `fe80::${last}/64`, 'dev', 'eth0', 'nodad');
  }
  indexA = withNetns(A, () => Number(libcCalls.if_nametoindex('eth0')));
  indexB = withNetns(B, () => Number(libcCalls.if_nametoindex('eth0')));
  await sleep(200);
});

afterEach(async () => {
  for (const one of close.splice(0).reverse()) await one();
});

afterAll(() => {
  removeNetns(A);
  removeNetns(B);
});

/** A speaker in A with the given peers, all of them passive, and what it tells. */
function speaker(peers: string): { speaker: Speaker; events: RouterEvent[] } {
  const text = `bgp: {asn: 65001, routerId: 192.0.2.1, profile: fabric, port: ${PORT}, peers: [${peers}]}`;
  const result = loadConfig([{ file: 'leafd.yaml', text }], {
    hostname: 'a',
    readSecret: () => ({ kind: 'failed', reason: 'none here' }),
  });
  expect(result.problems).toEqual([]);
  const rtnl = kernelRtnl(A);
  const monitor = new LinkMonitor(rtnl);
  const feed = new RouteFeed(rtnl, { table: 254, protocols: [2], ignorePortIds: [] });
  const events: RouterEvent[] = [];
  const world = { monitor, feed, event: (event: RouterEvent) => void events.push(event), trouble: () => {} };
  const options = { port: PORT, restarting: false };
  const made = withNetns(A, () => new Speaker(routerConfigOf(result.intent!), world, options));
  close.push(async () => {
    await made.stop(false);
    feed.close();
    monitor.close();
    rtnl.close();
  });
  return { speaker: made, events };
}

/** Connects and waits for our OPEN: its message type, 'closed', or 'pending' where nobody answers. */
async function greeting(netns: string, options: Omit<ConnectOptions, 'port'>, waitMs = 600) {
  const wait = sleep(waitMs).then(() => 'pending' as const);
  let attempt: { cancel(): void } | undefined;
  const made = new Promise<ConnectResult>((resolve) => {
    attempt = connectTcp({ netns, port: PORT, ...options }, resolve);
  });
  const result = await Promise.race([made, wait]);
  if (result === 'pending') attempt?.cancel();
  if (result === 'pending') return 'pending';
  // A refusal is a reset, which may come before we have looked.
  if (result.kind === 'failed') return result.error.code === 'connection-reset' ? 'closed' : 'pending';
  const socket = socketFromFd(result.fd);
  close.push(() => socket.destroy());
  return Promise.race([
    new Promise<number | 'closed'>((resolve) => {
      socket.on('data', (bytes) => resolve(bytes[18]!));
      socket.on('error', () => resolve('closed'));
      socket.on('close', () => resolve('closed'));
    }),
    wait,
  ]);
}

const OPEN = 1;
const unnumbered = '{interface: eth0, passive: true}';
const guarded = '{interface: eth0, passive: true, password: open-sesame}';

describe('an unnumbered session', () => {
  it('is for whoever is at the other end of the link', async () => {
    speaker(unnumbered);
    expect(await greeting(B, { remote: linkLocalA, scopeId: indexB })).toBe(OPEN);
  });

  it('is not for users of this machine', async () => {
    const { speaker: made } = speaker(unnumbered);
    expect(await greeting(A, { remote: linkLocalA, scopeId: indexA })).toBe('closed');
    expect(made.router.directory.byName.get('eth0')?.remote).toBeUndefined();
  });

  it('with a password is not for those who are sooner than their key', async () => {
    speaker(guarded);
    expect(await greeting(B, { remote: linkLocalA, scopeId: indexB })).toBe('closed');
  });

  it('with a password is for those who know it', async () => {
    const { speaker: made } = speaker(guarded);
    const neighbour = Icmp6Socket.open({ netns: B, onMessage: () => {} });
    close.push(() => neighbour.close());
    expect(neighbour.sendAdvertisement(indexB, undefined)).toBe(0);
    await sleep(50);
    expect(made.router.directory.byName.get('eth0')?.remote).toEqual(linkLocalB);
    const target = { remote: linkLocalA, scopeId: indexB };
    expect(await greeting(B, target)).toBe('pending');
    expect(await greeting(B, { ...target, md5Key: 'open-sesame' })).toBe(OPEN);
  });
});

describe('TTL security', () => {
  it('lets a neighbour in that is as near as it may be, and nobody who is farther away', async () => {
    const near = '{address: 192.0.2.2, remoteAs: external, passive: true, ttlSecurity: true}';
    const { speaker: made } = speaker(near);
    expect(await greeting(B, { remote: address('192.0.2.1'), ttl: 254 })).toBe('closed');
    expect(made.router.peers.refusals.counts.tooFar).toBe(1);
    expect(made.router.directory.byName.get('192.0.2.2')!.main.session.state).toBe('active');
    expect(await greeting(B, { remote: address('192.0.2.1'), ttl: 255 })).toBe(OPEN);
  });

  it('holds for a range, with as many hops as it has', async () => {
    const far = '{range: 192.0.2.0/24, remoteAs: external, ttlSecurity: 2}';
    const { speaker: made } = speaker(far);
    expect(await greeting(B, { remote: address('192.0.2.1'), ttl: 253 })).toBe('closed');
    expect(made.router.directory.byName.size).toBe(0);
    expect(await greeting(B, { remote: address('192.0.2.1'), ttl: 254 })).toBe(OPEN);
  });
});

describe('a range', () => {
  it('takes strangers, signed where it has a password', async () => {
    speaker('{range: 192.0.2.0/24, remoteAs: external, password: open-sesame}');
    expect(await greeting(B, { remote: address('192.0.2.1') })).toBe('pending');
    expect(await greeting(B, { remote: address('192.0.2.1'), md5Key: 'open-sesame' })).toBe(OPEN);
  });

  it('does not take users of this machine', async () => {
    const { speaker: made } = speaker('{range: 0.0.0.0/0, remoteAs: external}');
    expect(await greeting(A, { remote: address('192.0.2.1') })).toBe('closed');
    expect(await greeting(A, { remote: address('127.0.0.1') })).toBe('closed');
    expect([...made.router.directory.byName.keys()]).toEqual([]);
    expect(await greeting(B, { remote: address('192.0.2.1') })).toBe(OPEN);
  });
});

it('a peer that the operator has named may be on this machine', async () => {
  speaker('{address: 192.0.2.1, remoteAs: external, passive: true}');
  expect(await greeting(A, { remote: address('192.0.2.1'), localAddress: address('192.0.2.1') })).toBe(OPEN);
});
