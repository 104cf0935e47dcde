// Whose a connection is, by the kernel's word: of users who call, of users who are called, before and after their
// programs have taken the connection, and of sockets that nobody holds any more.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { parseIp } from '../../src/net/ip.ts';
import { createNetns, removeNetns } from '../../src/netlink/netns.ts';
import { connectionOwner } from '../../src/netlink/socket-owner.ts';
import { closeFd } from '../../src/netlink/sys.ts';
import { type Accepted, connectTcp, type Listener, listenTcp } from '../../src/netlink/tcp.ts';
import { until } from '../support/fabric.ts';

const HOST = `lfso-${process.pid}-h`;
const ROUTER = `lfso-${process.pid}-r`;
const UID = 4242;
const ip = (...words: string[]) => execFileSync('ip', words, { encoding: 'utf8' });
const children: ChildProcess[] = [];
const open: (() => void)[] = [];
let ifindex = 0;

/** Perl in the host's namespace as a user; resolves with the first line it prints. */
async function asUser(uid: number, script: string): Promise<void> {
  const words = ['netns', 'exec', HOST, 'setpriv', `--reuid=${uid}`, '--clear-groups', 'perl', '-e', script];
  const child = spawn('ip', words, { stdio: ['pipe', 'pipe', 'inherit'] });
  children.push(child);
  for await (const _line of createInterface({ input: child.stdout! })) return;
  throw new Error('no line');
}

function listen(address: string): { listener: Listener; accepted: Accepted[] } {
  const accepted: Accepted[] = [];
  const options = { netns: ROUTER, address: parseIp(address)!, port: 179 };
  const listener = listenTcp(options, (one) => accepted.push(one));
  open.push(() => {
    listener.close();
    for (const { fd } of accepted) closeFd(fd);
  });
  return { listener, accepted };
}

const arrived = (accepted: Accepted[], count: number) =>
  until(
    () => accepted.length,
    (length) => length === count,
    { timeoutMs: 3000 },
  );

/** Who called, as the host sees it. */
function callerOf({ local, remote }: Accepted, device = ifindex): number | undefined {
  return connectionOwner({ near: remote, far: local }, { netns: HOST, ifindex: device, accepting: false });
}

const begin = 'use Socket qw(:all); $| = 1;';
const stay = 'print "1\\n"; <STDIN>;';

/** Calls an address from a socket of its family, or of both; `before`: what is done to the socket. */
function call(to: string, then = stay, before = ''): string {
  const [family, address] = to.includes(':')
    ? ['AF_INET6', 'pack_sockaddr_in6']
    : ['AF_INET', 'pack_sockaddr_in'];
  return `${begin} socket(S, ${family}, SOCK_STREAM, 6) or die; ${before}
    connect(S, ${address}(179, inet_pton(${family}, '${to}'))) or die $!; ${then}`;
}

function serve(then: string): string {
  return `${begin} socket(S, AF_INET, SOCK_STREAM, 6) or die;
    bind(S, pack_sockaddr_in(1790, inet_aton('192.0.2.2'))) or die $!; listen(S, 5) or die; print "1\\n"; ${then}`;
}

beforeAll(() => {
  createNetns(HOST);
  createNetns(ROUTER);
  ip('-n', HOST, 'link', 'add', 'pt-host', 'type', 'veth', 'peer', 'name', 'pt-ns', 'netns', ROUTER);
  for (const [name, link, last] of [
    [HOST, 'pt-host', '2'],
    [ROUTER, 'pt-ns', '1'],
  ]) {
    ip('-n', name!, 'link', 'set', 'lo', 'up');
    ip('-n', name!, 'link', 'set', link!, 'up');
    ip('-n', name!, 'addr', 'add', `192.0.2.${last}/24`, 'dev', link!);
    ip('-n', name!, 'addr', 'add', `fd00::${last}/64`, 'dev', link!, 'nodad');
  }
  ifindex = JSON.parse(ip('-n', HOST, '-j', 'link', 'show', 'pt-host'))[0].ifindex;
});

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  for (const close of open.splice(0)) close();
});

afterAll(() => {
  removeNetns(HOST);
  removeNetns(ROUTER);
});

test.each([
  ['IPv4', '0.0.0.0', '192.0.2.1', UID],
  ['IPv6', '::', 'fd00::1', UID],
  ['root', '0.0.0.0', '192.0.2.1', 0],
])('who called: %s', async (_what, any, to, uid) => {
  const { accepted } = listen(any);
  await asUser(uid, call(to));
  await arrived(accepted, 1);
  expect(callerOf(accepted[0]!)).toBe(uid);
});

test('a socket of both families and one that is bound to its link are found', async () => {
  const { accepted } = listen('0.0.0.0');
  await asUser(UID, call('::ffff:192.0.2.1'));
  await arrived(accepted, 1);
  expect(callerOf(accepted[0]!)).toBe(UID);
  await asUser(UID, call('192.0.2.1', stay, "setsockopt(S, SOL_SOCKET, 25, 'pt-host') or die;"));
  await arrived(accepted, 2);
  expect(callerOf(accepted[1]!)).toBe(UID);
  expect(callerOf(accepted[1]!, 0)).toBeUndefined();
});

test('nobody holds what was closed, whatever was sent before', async () => {
  const { accepted } = listen('0.0.0.0');
  await asUser(UID, call('192.0.2.1', `send(S, 'x' x 100, 0); close(S); ${stay}`));
  await arrived(accepted, 1);
  expect(callerOf(accepted[0]!)).toBeUndefined();
});

test('nobody of this namespace has made what came through it; a listener at that port is not who called', async () => {
  const { accepted } = listen('0.0.0.0');
  await asUser(UID, call('192.0.2.1'));
  await arrived(accepted, 1);
  const { local, remote } = accepted[0]!;
  const other = { address: remote.address, port: 1790 };
  await asUser(0, serve('<STDIN>;'));
  const ends = { near: other, far: local };
  expect(connectionOwner(ends, { netns: HOST, ifindex, accepting: false })).toBeUndefined();
  expect(connectionOwner(ends, { netns: HOST, ifindex, accepting: true })).toBeUndefined();
});

test.each([
  ['waits in the queue of the listener', '<STDIN>;', 0],
  ['was taken', "accept(C, S) or die; send(C, 'y', 0); <STDIN>;", 1],
])('who was called, when the connection %s', async (_what, then, bytes) => {
  await asUser(UID, serve(then));
  const result = await new Promise<{ fd: number; port: number }>((resolve, reject) => {
    connectTcp({ netns: ROUTER, remote: parseIp('192.0.2.2')!, port: 1790 }, (one) =>
      one.kind === 'connected' ? resolve({ fd: one.fd, port: one.local.port }) : reject(one.error),
    );
  });
  open.push(() => closeFd(result.fd));
  const received = () => ip('netns', 'exec', ROUTER, 'cat', '/proc/net/tcp');
  if (bytes > 0) await until(received, (text) => text.includes(':00000001 '), { timeoutMs: 3000 });
  const near = { address: parseIp('192.0.2.2')!, port: 1790 };
  const far = { address: parseIp('192.0.2.1')!, port: result.port };
  expect(connectionOwner({ near, far }, { netns: HOST, ifindex, accepting: true })).toBe(UID);
  if (bytes === 0)
    expect(connectionOwner({ near, far }, { netns: HOST, ifindex, accepting: false })).toBeUndefined();
});
