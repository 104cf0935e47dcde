// Hundreds of sessions over real sockets: how soon all are up, and what one that floods does to the others. Two
// namespaces and a cable; the speaker is in A, five hundred neighbours with an address each are in B.

import { execFileSync } from 'node:child_process';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { LinkMonitor } from '../../src/netlink/monitor.ts';
import { createNetns, removeNetns, withNetns } from '../../src/netlink/netns.ts';
import { RouteFeed } from '../../src/netlink/route-feed.ts';
import { kernelRtnl, type Rtnl } from '../../src/netlink/rtnl.ts';
import { type ConnectResult, connectTcp, socketFromFd } from '../../src/netlink/tcp.ts';
import {
  defaultPeerSettings,
  defaultRouterSettings,
  type RangePeer,
  type RouterConfig,
} from '../../src/router/config.ts';
import { announce, openOf } from '../../src/router/session-rig.test-data.ts';
import { Speaker } from '../../src/speaker/speaker.ts';
import { keepaliveMessage } from '../../src/wire/bgp/header.ts';
import { sleep } from '../support/fabric.ts';

const A = `lfmany-${process.pid}-a`;
const B = `lfmany-${process.pid}-b`;
const PORT = 1790;
const COUNT = 500;
const HERE = Uint8Array.of(10, 99, 255, 1);
const ip = (...words: string[]) => execFileSync('ip', words, { encoding: 'utf8' });
const addressOf = (i: number) => Uint8Array.of(10, 99, i >> 8, i & 255);

let speaker: Speaker;
let rtnl: Rtnl;
const closing: (() => void)[] = [];

const range: RangePeer = {
  ...defaultPeerSettings,
  kind: 'range',
  range: { bytes: Uint8Array.of(10, 99, 0, 0), length: 16 },
  limit: 1000,
  remoteAs: { kind: 'any' },
  families: 1,
};
const config: RouterConfig = {
  ...defaultRouterSettings,
  nodeName: 'many',
  asn: 65001,
  bgpId: 0x0a63ff01,
  profile: 'fabric',
  networks: [],
  redistribute: {},
  peers: [range],
};

beforeAll(() => {
  createNetns(A);
  createNetns(B);
  ip('link', 'add', 'eth0', 'netns', A, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', B);
  const own = [`addr add 10.99.255.1/16 dev eth0`, 'link set eth0 up', 'link set lo up'];
  execFileSync('ip', ['-n', A, '-batch', '-'], { input: own.join('\n') });
  const theirs = ['link set eth0 up', 'link set lo up'];
  for (let i = 1; i <= COUNT; i++) theirs.push(`addr add 10.99.${i >> 8}.${i & 255}/16 dev eth0`);
  execFileSync('ip', ['-n', B, '-batch', '-'], { input: theirs.join('\n') });
  rtnl = kernelRtnl(A);
  const monitor = new LinkMonitor(rtnl);
  const feed = new RouteFeed(rtnl, { table: 254, protocols: [2], ignorePortIds: [] });
  const world = { monitor, feed, event: () => {}, trouble: () => {} };
  speaker = withNetns(A, () => new Speaker(config, world, { port: PORT, restarting: false }));
  closing.push(
    () => feed.close(),
    () => monitor.close(),
    () => rtnl.close(),
  );
});

afterAll(async () => {
  await speaker.stop(false);
  for (const close of closing.reverse()) close();
  removeNetns(A);
  removeNetns(B);
});

function connect(i: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const local = addressOf(i);
    connectTcp({ netns: B, remote: HERE, port: PORT, localAddress: local }, (result: ConnectResult) => {
      if (result.kind === 'failed') return reject(result.error);
      const socket = socketFromFd(result.fd);
      socket.on('error', () => {});
      closing.push(() => socket.destroy());
      socket.write(openOf(undefined, 65100 + i, i));
      socket.write(keepaliveMessage);
      resolve(socket);
    });
  });
}

function upCount(): number {
  let count = 0;
  for (const { established } of speaker.router.directory.byName.values()) if (established) count++;
  return count;
}

const sockets: Socket[] = [];

it('five hundred neighbours that call at once are up within seconds', async () => {
  const startMs = performance.now();
  const calls = Array.from({ length: COUNT }, (_, i) => connect(i + 1));
  for (const socket of await Promise.all(calls)) sockets.push(socket.resume());
  while (upCount() < COUNT && performance.now() - startMs < 10_000) await sleep(10);
  expect(upCount()).toBe(COUNT);
  expect(performance.now() - startMs).toBeLessThan(5000);
});

it('one that floods does not keep the words of the others from their neighbours', async () => {
  const [flooder, speaking, hearing] = sockets as [Socket, Socket, Socket];
  const flood = Buffer.concat(Array.from({ length: 4000 }, (_, i) => announce(i & 63, 65101, '10.99.0.1')));
  let flooding = true;
  const more = (error?: Error | null): void => {
    if (flooding && !error) flooder.write(flood, more);
  };
  more();
  const took: number[] = [];
  for (let i = 0; i < 30; i++) {
    const heard = new Promise<void>((resolve) => {
      const wanted = Buffer.of(16, 10, 100 + i);
      const listen = (chunk: Buffer): void => {
        if (!chunk.includes(wanted)) return;
        hearing.off('data', listen);
        resolve();
      };
      hearing.on('data', listen);
    });
    const startMs = performance.now();
    speaking.write(announce(100 + i, 65102, '10.99.0.2'));
    await heard;
    took.push(performance.now() - startMs);
  }
  flooding = false;
  took.sort((a, b) => a - b);
  expect(upCount()).toBe(COUNT);
  expect(took.at(-1)).toBeLessThan(1000);
}, 60_000);
