// TCP for BGP against the real kernel: two namespaces joined by a veth pair, every option that BGP needs before the
// handshake, and what an operator is told when the world refuses.

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createNetns, removeNetns, withNetns } from '../../src/netlink/netns.ts';
import { closeFd, getIntOption, libcCalls } from '../../src/netlink/sys.ts';
import {
  type Accepted,
  type ConnectOptions,
  type ConnectResult,
  connectTcp,
  type Listener,
  type ListenOptions,
  listenTcp,
  refuseFd,
  setMd5,
  setMinTtl,
  socketFromFd,
} from '../../src/netlink/tcp.ts';

const A = 'lfsktcp-a';
const B = 'lfsktcp-b';
const ip = (...words: string[]) => execFileSync('ip', words, { encoding: 'utf8' });
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const a4 = Uint8Array.of(192, 0, 2, 1);
const a4second = Uint8Array.of(192, 0, 2, 11);
const b4 = Uint8Array.of(192, 0, 2, 2);
const any4 = new Uint8Array(4);
const any6 = new Uint8Array(16);
const linkLocalA = fe80(0x0a);
const linkLocalB = fe80(0x0b);
let indexA = 0;
let indexB = 0;

function fe80(last: number): Uint8Array {
  const address = new Uint8Array(16);
  address.set([0xfe, 0x80]);
  address[15] = last;
  return address;
}

const open: (() => void)[] = [];

function listen(options: Partial<ListenOptions>): { listener: Listener; accepted: Accepted[]; port: number } {
  const accepted: Accepted[] = [];
  const listener = listenTcp({ netns: B, address: any4, port: 0, ...options }, (one) => accepted.push(one));
  open.push(() => {
    listener.close();
    for (const one of accepted) closeFd(one.fd);
  });
  return { listener, accepted, port: listener.local.port };
}

/** 'pending' when the kernel has said neither yes nor no in the time. */
async function connect(options: Partial<ConnectOptions> & { port: number }, waitMs = 1500) {
  let attempt: { cancel(): void } | undefined;
  const result = await Promise.race([
    new Promise<ConnectResult>((resolve) => {
      attempt = connectTcp({ netns: A, remote: b4, ...options }, resolve);
    }),
    sleep(waitMs).then(() => 'pending' as const),
  ]);
  if (result === 'pending') attempt?.cancel();
  else if (result.kind === 'connected') open.push(() => closeFd(result.fd));
  return result;
}

const connected = expect.objectContaining({ kind: 'connected' });

beforeAll(async () => {
  createNetns(A);
  createNetns(B);
  ip('-n', A, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', B);
  for (const [name, address, last] of [
    [A, '192.0.2.1/24', 'a'],
    [B, '192.0.2.2/24', 'b'],
  ]) {
    ip('-n', name, 'link', 'set', 'lo', 'up');
    ip('-n', name, 'link', 'set', 'eth0', 'addrgenmode', 'none');
    ip('-n', name, 'link', 'set', 'eth0', 'up');
    ip('-n', name, 'addr', 'add', address, 'dev', 'eth0');
    ip('-n', name, 'addr', 'add', `fe80::${last}/64`, 'dev', 'eth0', 'nodad');
  }
  ip('-n', A, 'addr', 'add', '192.0.2.11/32', 'dev', 'eth0');
  indexA = withNetns(A, () => Number(libcCalls.if_nametoindex('eth0')));
  indexB = withNetns(B, () => Number(libcCalls.if_nametoindex('eth0')));
  await sleep(200);
});

afterEach(() => {
  for (const close of open.splice(0)) close();
});

afterAll(() => {
  removeNetns(A);
  removeNetns(B);
});

describe('connect and accept', () => {
  it('tells both ends who they are', async () => {
    const { accepted, port } = listen({});
    const result = await connect({ port, localAddress: a4 });
    expect(result).toEqual(connected);
    if (result === 'pending' || result.kind !== 'connected') return;
    await sleep(20);
    expect(accepted).toHaveLength(1);
    expect(accepted[0].remote).toEqual(result.local);
    expect(accepted[0].local).toEqual({ address: b4, port, scopeId: 0 });
    expect(result.remote).toEqual({ address: b4, port, scopeId: 0 });
  });

  it('hands over descriptors that net.Socket reads, writes and closes', async () => {
    const { clientFd, serverFd } = await freshPair();
    const client = socketFromFd(clientFd);
    const server = socketFromFd(serverFd);
    server.on('data', (bytes) => server.end(bytes));
    const answer = await new Promise<string>((resolve) => {
      let text = '';
      client.on('data', (bytes) => (text += bytes.toString()));
      client.on('end', () => resolve(text));
      client.write('echo');
    });
    expect(answer).toBe('echo');
  });

  it('sets CS6 and no delay on both sides, on IPv4 and IPv6', async () => {
    for (const family of [4, 6]) {
      const { accepted, port } = listen(family === 4 ? {} : { address: any6 });
      const remote = family === 4 ? {} : { remote: linkLocalB, scopeId: indexA };
      const result = await connect({ port, ...remote });
      if (result === 'pending' || result.kind !== 'connected') return expect.unreachable();
      await sleep(20);
      for (const fd of [result.fd, accepted[0].fd]) {
        expect(getIntOption(fd, 6, 1)).toBe(1);
        expect(family === 4 ? getIntOption(fd, 0, 1) : getIntOption(fd, 41, 67)).toBe(0xc0);
      }
    }
  });

  it('connects to a link-local address by scope alone and by device, and tells the scope of the accepted', async () => {
    const { accepted, port } = listen({ address: any6 });
    expect(await connect({ port, remote: linkLocalB, scopeId: indexA })).toEqual(connected);
    expect(await connect({ port, remote: linkLocalB, scopeId: indexA, device: 'eth0' })).toEqual(connected);
    await sleep(20);
    expect(accepted.map((one) => [one.remote.address, one.remote.scopeId, one.local.address])).toEqual([
      [linkLocalA, indexB, linkLocalB],
      [linkLocalA, indexB, linkLocalB],
    ]);
  });

  it('tells an IPv4 peer of a listener of both families by its 4 bytes', async () => {
    const { accepted, port } = listen({ address: any6, v6only: false });
    expect(await connect({ port })).toEqual(connected);
    await sleep(20);
    expect(accepted[0].remote.address).toEqual(a4);
    expect(() => listen({ address: any6, port: port + 1 })).not.toThrow();
    expect(() => listen({ address: any4, port: port + 1 })).not.toThrow();
  });

  it('cancels before and after the descriptor exists without a call', async () => {
    let calls = 0;
    connectTcp({ netns: A, remote: Uint8Array.of(192, 0, 2, 99), port: 179 }, () => calls++).cancel();
    connectTcp({ netns: A, remote: fe80(0x0b), port: 179, device: 'none' }, () => calls++).cancel();
    await sleep(50);
    expect(calls).toBe(0);
  });
});

describe('MD5', () => {
  it('connects with the right key only', async () => {
    const { listener, port } = listen({});
    listener.setMd5(a4, undefined, 'secret');
    const from = { port, localAddress: a4 };
    expect(await connect({ ...from, md5Key: 'secret' })).toEqual(connected);
    expect(await connect({ ...from, md5Key: 'wrong' })).toBe('pending');
    expect(await connect(from)).toBe('pending');
    expect(await connect({ port, localAddress: a4second })).toEqual(connected);
  });

  it('changes and removes a key on the live listener', async () => {
    const { listener, port } = listen({});
    listener.setMd5(a4, undefined, 'old');
    listener.setMd5(a4, undefined, 'new');
    expect(await connect({ port, localAddress: a4, md5Key: 'new' })).toEqual(connected);
    listener.setMd5(a4, undefined, null);
    listener.setMd5(a4, undefined, null);
    expect(await connect({ port, localAddress: a4 })).toEqual(connected);
  });

  it('takes one key for a prefix', async () => {
    const { listener, port } = listen({});
    listener.setMd5(Uint8Array.of(192, 0, 2, 0), 24, 'range');
    expect(await connect({ port, localAddress: a4second, md5Key: 'range' })).toEqual(connected);
    expect(await connect({ port, localAddress: a4 })).toBe('pending');
  });

  it('works between link-local addresses', async () => {
    const { listener, port } = listen({ address: any6, device: 'eth0' });
    listener.setMd5(linkLocalA, undefined, 'six');
    const to = { port, remote: linkLocalB, scopeId: indexA };
    expect(await connect({ ...to, md5Key: 'six' })).toEqual(connected);
    expect(await connect({ ...to, md5Key: 'no' })).toBe('pending');
  });

  it('says what to do when the kernel has no room for more keys', () => {
    const path = '/proc/sys/net/core/optmem_max';
    withNetns(B, () => writeFileSync(path, '20480'));
    const { listener } = listen({});
    let keys = 0;
    const fill = () => {
      for (; keys < 1000; keys++) listener.setMd5(Uint8Array.of(10, 0, keys >> 8, keys), undefined, 'k');
    };
    expect(fill).toThrow(
      expect.objectContaining({ code: 'md5-keys-full', hint: expect.stringContaining('optmem_max') }),
    );
    expect(keys).toBeGreaterThan(50);
    withNetns(B, () => writeFileSync(path, readFileSync(path, 'utf8').replace('20480', '131072')));
    expect(() => listener.setMd5(a4, undefined, 'k'.repeat(81))).toThrow('80 bytes');
    expect(() => listener.setMd5(a4, undefined, '')).toThrow('80 bytes');
  });
});

describe('MD5 keys of a connection that is up', () => {
  it('are changed on both sides without losing it, and matter', async () => {
    const { accepted, listener, port } = listen({});
    listener.setMd5(a4, undefined, 'first');
    const result = await connect({ port, md5Key: 'first' });
    expect(result).toEqual(connected);
    await sleep(20);
    const ours = (result as ConnectResult & { kind: 'connected' }).fd;
    const theirs = accepted[0].fd;
    const passes = (): boolean => {
      const sent = Buffer.from('x');
      libcCalls.send(ours, sent, sent.length, 0);
      return true;
    };
    const read = (): number => Number(libcCalls.recv(theirs, Buffer.alloc(16), 16, 0x40));
    passes();
    await sleep(50);
    expect(read()).toBe(1);
    setMd5(ours, b4, undefined, 'second');
    passes();
    await sleep(100);
    expect(read()).toBe(-1);
    setMd5(theirs, a4, undefined, 'second');
    // What was dropped is sent again by TCP.
    await sleep(1500);
    expect(read()).toBe(1);
  });
});

describe('TTL security', () => {
  it('drops a peer with a low TTL, on the connecting and on the accepted side', async () => {
    const { accepted, port } = listen({ ttl: 255 });
    const result = await connect({ port, ttl: 255, minTtl: 255 });
    expect(result).toEqual(connected);
    const far = listen({ ttl: 64 });
    expect(await connect({ port: far.port, ttl: 255, minTtl: 255 })).toBe('pending');
    await sleep(20);
    setMinTtl(accepted[0].fd, 4, 255);
    expect(getIntOption(accepted[0].fd, 0, 21)).toBe(255);
    expect(getIntOption(accepted[0].fd, 0, 2)).toBe(255);
  });

  it('tells from the SYN how far its sender is', async () => {
    const four = listen({ ttl: 255 });
    const six = listen({ address: any6, ttl: 255 });
    expect(await connect({ port: four.port, ttl: 253 })).toEqual(connected);
    expect(await connect({ port: six.port, remote: linkLocalB, scopeId: indexA, ttl: 7 })).toEqual(connected);
    await sleep(20);
    expect([four.accepted[0].ttl, six.accepted[0].ttl]).toEqual([253, 7]);
  });

  it('refuses without a trace: RST, and nothing left of the connection', async () => {
    const { accepted, port, listener } = listen({ ttl: 255 });
    expect(await connect({ port })).toEqual(connected);
    await sleep(20);
    refuseFd(accepted.pop()!.fd);
    const left = withNetns(B, () => readFileSync('/proc/thread-self/net/tcp', 'utf8'));
    const hex = port.toString(16).toUpperCase().padStart(4, '0');
    const sockets = left.split('\n').filter((line) => line.split(/\s+/)[2]?.endsWith(`:${hex}`));
    expect(sockets.map((line) => line.split(/\s+/)[4])).toEqual(['0A']);
    listener.close();
  });

  it('holds the two kinds apart on one IPv6 listener', async () => {
    const { accepted, port } = listen({ address: any6, ttl: 255 });
    const to = { port, remote: linkLocalB, scopeId: indexA };
    expect(await connect({ ...to, ttl: 255, minTtl: 255 })).toEqual(connected);
    expect(await connect({ ...to, ttl: 5 })).toEqual(connected);
    await sleep(20);
    setMinTtl(accepted[0].fd, 16, 255);
    expect(getIntOption(accepted[0].fd, 41, 73)).toBe(255);
    expect(getIntOption(accepted[1].fd, 41, 73)).toBe(0);
  });
});

describe('what the operator is told', () => {
  const failed = (code: string) => ({ kind: 'failed', error: expect.objectContaining({ code }) });

  it('of a peer', async () => {
    expect(await connect({ port: 4 })).toEqual(failed('connection-refused'));
    expect(await connect({ port: 4, remote: Uint8Array.of(203, 0, 113, 1) })).toEqual(
      failed('peer-unreachable'),
    );
    expect(await connect({ port: 4, localAddress: Uint8Array.of(203, 0, 113, 1) })).toEqual(
      failed('address-absent'),
    );
    expect(await connect({ port: 4, device: 'absent0' })).toEqual(failed('interface-absent'));
    expect(await connect({ port: 4, remote: linkLocalB })).toEqual(failed('tcp-invalid'));
    expect(await connect({ port: 4, netns: 'lfsktcp-none' })).toEqual(failed('netns-absent'));
  });

  it('of a port that is taken', () => {
    const { port } = listen({});
    const again = () => listen({ port });
    expect(again).toThrow(
      expect.objectContaining({ code: 'address-in-use', hint: expect.stringContaining('BGP') }),
    );
    expect(again).toThrow(`port ${port}`);
  });

  it('of missing privilege', () => {
    const script = `
      import { listenTcp } from './src/netlink/tcp.ts';
      process.setgid(65534); process.setuid(65534);
      try { listenTcp({ address: new Uint8Array(4), port: 179 }, () => {}); console.log('listening'); process.exit(); }
      catch (error) { console.log(error.code, error.message); }`;
    const words = ['--import', 'tsx', '--input-type=module', '-e', script];
    const sysctl = '/proc/sys/net/ipv4/ip_unprivileged_port_start';
    const output = withNetns(B, () => {
      writeFileSync(sysctl, '1024');
      return execFileSync(process.execPath, words, { encoding: 'utf8' });
    });
    expect(output).toContain('permission-denied cannot listen on port 179');
  });
});

async function freshPair(): Promise<{ clientFd: number; serverFd: number }> {
  const accepted: Accepted[] = [];
  const listener = listenTcp({ netns: B, address: any4, port: 0 }, (one) => accepted.push(one));
  const result = await new Promise<ConnectResult>((resolve) =>
    connectTcp({ netns: A, remote: b4, port: listener.local.port }, resolve),
  );
  while (accepted.length === 0) await sleep(5);
  listener.close();
  if (result.kind === 'failed') throw result.error;
  return { clientFd: result.fd, serverFd: accepted[0].fd };
}
