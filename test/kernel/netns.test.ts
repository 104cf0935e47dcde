// Network namespaces against the real kernel: windows, creation that iproute2 understands, removal, and the
// poller's promises on descriptors of several namespaces.

import { execFileSync } from 'node:child_process';
import { readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { readlink } from 'node:fs/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { createNetns, listNetns, netnsInode, removeNetns, withNetns } from '../../src/netlink/netns.ts';
import { Poller } from '../../src/netlink/poller.ts';
import { check, closeFd, libcCalls } from '../../src/netlink/sys.ts';

const A = 'lfskns-a';
const B = 'lfskns-b';
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

afterAll(() => {
  removeNetns(A);
  removeNetns(B);
});

describe('namespaces', () => {
  it('makes one that iproute2 can use, enters it and comes home', () => {
    const home = netnsInode();
    createNetns(A);
    expect(netnsInode()).toBe(home);
    expect(listNetns()).toContain(A);
    expect(netnsInode(A)).not.toBe(home);
    execFileSync('ip', ['-n', A, 'link', 'add', 'lfskv0', 'type', 'veth', 'peer', 'name', 'lfskv1']);
    expect(withNetns(A, () => libcCalls.if_nametoindex('lfskv0'))).toBeGreaterThan(0);
    expect(libcCalls.if_nametoindex('lfskv0')).toBe(0);
    expect(withNetns(A, () => netnsInode())).toBe(netnsInode(A));
    expect(netnsInode()).toBe(home);
  });

  it('has its own sysctls and its own children inside the window', () => {
    const path = '/proc/sys/net/ipv4/ip_forward';
    const before = readFileSync(path, 'utf8');
    withNetns(A, () => writeFileSync(path, before.startsWith('1') ? '0' : '1'));
    expect(readFileSync(path, 'utf8')).toBe(before);
    expect(withNetns(A, () => readFileSync(path, 'utf8'))).not.toBe(before);
    const child = withNetns(A, () => execFileSync('readlink', ['/proc/self/ns/net'], { encoding: 'utf8' }));
    expect(child.trim()).toBe(`net:[${netnsInode(A)}]`);
  });

  it('leaves the thread pool at home', async () => {
    const home = readlinkSync('/proc/thread-self/ns/net');
    withNetns(A, () => 0);
    expect(await readlink('/proc/thread-self/ns/net')).toBe(home);
  });

  it('comes home when the function throws, and refuses an asynchronous one', () => {
    const home = netnsInode();
    expect(() =>
      withNetns(A, () => {
        throw new Error('inner');
      }),
    ).toThrow('inner');
    expect(() => withNetns(A, async () => 0)).toThrow('synchronous');
    expect(netnsInode()).toBe(home);
  });

  it('says what is wrong in an operator’s words', () => {
    expect(() => createNetns(A)).toThrow(expect.objectContaining({ code: 'netns-exists' }));
    expect(() => withNetns('lfskns-none', () => 0)).toThrow(
      expect.objectContaining({ code: 'netns-absent' }),
    );
    expect(() => withNetns('/etc/passwd', () => 0)).toThrow(
      expect.objectContaining({ code: 'netns-refused' }),
    );
  });

  it('removes it, once', () => {
    createNetns(B);
    expect(removeNetns(B)).toBe(true);
    expect(removeNetns(B)).toBe(false);
    expect(listNetns()).not.toContain(B);
  });
});

describe('poller', () => {
  const eventFd = () => check('eventfd', libcCalls.eventfd(0, 0x80800));
  const one = () => {
    const value = Buffer.alloc(8);
    value.writeBigUInt64LE(1n);
    return value;
  };

  it('calls for what is ready, and runs promises made in the callback at once', async () => {
    const fd = eventFd();
    const started = performance.now();
    const resolvedAfterMs = await new Promise<number>((resolve) => {
      const watch = Poller.current().add(fd, { readable: true }, (readable, writable) => {
        expect([readable, writable]).toEqual([true, false]);
        watch.close();
        void Promise.resolve().then(() => resolve(performance.now() - started));
      });
      libcCalls.write(fd, one(), 8);
    });
    closeFd(fd);
    expect(resolvedAfterMs).toBeLessThan(90);
  });

  it('does not call a watch that another callback of the same turn closed', async () => {
    const fds = Array.from({ length: 50 }, eventFd);
    let calls = 0;
    const watches = fds.map((fd) =>
      Poller.current().add(fd, { readable: true }, () => {
        calls++;
        for (const watch of watches) watch.close();
      }),
    );
    for (const fd of fds) libcCalls.write(fd, one(), 8);
    await sleep(50);
    for (const fd of fds) closeFd(fd);
    expect(calls).toBe(1);
  });

  it('is silent with an empty interest and speaks again after modify', async () => {
    const fd = eventFd();
    let calls = 0;
    const watch = Poller.current().add(fd, {}, () => {
      calls++;
      watch.modify({});
    });
    libcCalls.write(fd, one(), 8);
    await sleep(20);
    expect(calls).toBe(0);
    watch.modify({ readable: true });
    await sleep(20);
    expect(calls).toBe(1);
    watch.close();
    closeFd(fd);
  });

  it('takes a descriptor number that was closed without telling it and given out anew', async () => {
    const first = eventFd();
    const forgotten = Poller.current().add(first, { readable: true }, () => expect.unreachable());
    closeFd(first);
    const second = eventFd();
    expect(second).toBe(first);
    let calls = 0;
    const watch = Poller.current().add(second, { readable: true }, () => {
      calls++;
      watch.close();
    });
    forgotten.close();
    libcCalls.write(second, one(), 8);
    await sleep(20);
    expect(calls).toBe(1);
    closeFd(second);
  });

  it('survives garbage collection and lets go of the loop when nothing is watched', () => {
    const script = `
      import { Poller } from './src/netlink/poller.ts';
      import { libcCalls } from './src/netlink/sys.ts';
      const fd = libcCalls.eventfd(0, 0x80800);
      const watch = Poller.current().add(fd, { readable: true }, () => { console.log('woken'); watch.close(); });
      for (let i = 0; i < 5; i++) { gc(); await new Promise((r) => setTimeout(r, 10)); }
      const b = Buffer.alloc(8); b[0] = 1; libcCalls.write(fd, b, 8);`;
    const output = execFileSync(
      process.execPath,
      ['--expose-gc', '--import', 'tsx', '--input-type=module', '-e', script],
      { encoding: 'utf8', timeout: 20_000 },
    );
    expect(output.trim()).toBe('woken');
  });
});
