// A network card that is hardware, in a router namespace that dies under it: the kernel gives it back bare, under another
// name where its own is taken, and its record makes it what it was, or takes it into the next namespace.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createNetns, removeNetns } from '../../src/netlink/netns.ts';
import { kernelRtnl } from '../../src/netlink/rtnl.ts';
import { NicMover, type NicStatus } from '../../src/passthrough/nic-mover.ts';
import { until } from '../support/fabric.ts';

const ROUTER = `lfkn-${process.pid}-r`;
const CARD = 'eth0';
const FAR_CARD = 'eth1';
const stateDir = mkdtempSync(join(tmpdir(), 'lfkn-'));

const ip = (words: string): string => execFileSync('ip', words.split(' '), { encoding: 'utf8' });

/** What the host has of the card, but for its index. */
function picture(): string {
  const words = [`-d link show dev ${CARD}`, `address show dev ${CARD}`, 'route', '-6 route'];
  return words.map((each) => ip(each).replace(/^\d+: /, '')).join('');
}

/** One life of leafd: its sockets would keep the namespace alive. */
function reconcile(...wanted: string[]): NicStatus[] {
  const [home, router] = [kernelRtnl(), kernelRtnl(ROUTER)];
  try {
    const sides = { home: { rtnl: home, netns: undefined }, router: { rtnl: router, netns: ROUTER } };
    return new NicMover({ ...sides, stateDir }).reconcile(wanted);
  } finally {
    home.close();
    router.close();
  }
}

/** The namespace dies; the card comes home under this name, and there is a new namespace of the old name. */
async function die(name: RegExp): Promise<void> {
  removeNetns(ROUTER);
  const bare = (text: string): boolean =>
    text.split('\n').some((line) => /group 4242/.test(line) && name.test(line));
  await until(() => ip('-o link'), bare, { timeoutMs: 20_000, what: 'the card at home' });
  createNetns(ROUTER);
}

beforeEach(async () => {
  createNetns(ROUTER);
  ip(`link set ${FAR_CARD} up`);
  ip(`link set ${CARD} up mtu 1400`);
  ip(`address add 192.0.2.5/24 dev ${CARD}`);
  ip(`address add 2001:db8::5/64 dev ${CARD} nodad`);
  const settled = (text: string): boolean => text.includes('fe80') && !/tentative|NO-CARRIER/.test(text);
  await until(() => ip(`address show dev ${CARD}`), settled, { timeoutMs: 20_000, what: 'addresses' });
  ip(`route add default via 192.0.2.1 metric 20`);
  ip(`-6 route add default via 2001:db8::1`);
});

afterEach(async () => {
  if (existsSync(`/run/netns/${ROUTER}`)) removeNetns(ROUTER);
  const isHome = (): boolean => existsSync(`/sys/class/net/${CARD}`);
  await until(isHome, Boolean, { timeoutMs: 20_000, what: 'the card at home' });
  for (const name of [CARD, FAR_CARD]) {
    ip(`link set ${name} down group 0 mtu 1500`);
    ip(`address flush dev ${name}`);
  }
  rmSync(stateDir, { recursive: true, force: true });
});

test('it is made what it was, or goes into the next namespace with its addresses', async () => {
  const before = picture();
  expect(reconcile(CARD)).toMatchObject([{ place: 'router', state: 'done', saved: { addresses: 3 } }]);
  await die(/ eth0:/);
  expect(ip(`address show dev ${CARD}`)).not.toContain('inet');
  expect(reconcile(CARD)).toMatchObject([{ place: 'router', state: 'done' }]);
  const inside = ip(`-n ${ROUTER} address show dev ${CARD}`);
  for (const address of ['192.0.2.5/24', '2001:db8::5/64']) expect(inside).toContain(address);
  await die(/ eth0:/);
  expect(reconcile()).toEqual([{ name: CARD, place: 'home', state: 'done', saved: undefined }]);
  await until(picture, (seen) => seen === before, { timeoutMs: 5000, what: 'all that it was' });
});

test('it has its name again when that is free', async () => {
  const before = picture();
  expect(reconcile(CARD)).toMatchObject([{ place: 'router', state: 'done' }]);
  ip(`link add ${CARD} type dummy`);
  await die(/ dev\d+:/);
  // Its name is taken still: told, and nothing of the other link's is touched.
  expect(reconcile()).toMatchObject([{ place: 'home', state: 'error', errno: 'EEXIST' }]);
  expect(ip(`address show dev ${CARD}`)).not.toContain('inet');
  ip(`link delete ${CARD}`);
  expect(reconcile()).toEqual([{ name: CARD, place: 'home', state: 'done', saved: undefined }]);
  await until(picture, (seen) => seen === before, { timeoutMs: 5000, what: 'all that it was' });
});
