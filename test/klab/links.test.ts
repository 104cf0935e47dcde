// What the machines that run the other layers may lack: macvlan, VLAN, VRF and dummy links, accept_untracked_na, and
// network cards that are hardware to the kernel. Runs inside the kernel lab (scripts/klab), and shows that the lab has
// what its tests need, that leafd's own messages make these links across namespaces, and what becomes of a card when
// the namespace that it was moved into dies.

import { execFileSync } from 'node:child_process';
import { closeSync, constants, existsSync, openSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { decodeLink, encodeLinkDump, encodeLinkSet, type Link } from '../../src/netlink/link.ts';
import { encodeLinkMove, encodeMacvlanAdd, encodeVlanAdd } from '../../src/netlink/link-create.ts';
import { createNetns, netnsPath, removeNetns, withNetns } from '../../src/netlink/netns.ts';
import { kernelRtnl, type Rtnl } from '../../src/netlink/rtnl.ts';
import { until } from '../support/fabric.ts';

const ROUTER = `lfkl-${process.pid}-r`;
const FAR = `lfkl-${process.pid}-f`;
/** Two cards on one hub, given to the machine by the runner. */
const CARD = 'eth0';
const FAR_CARD = 'eth1';

const ip = (...words: string[]): string => execFileSync('ip', words, { encoding: 'utf8' });
const pings = (netns: string, address: string): boolean => {
  try {
    execFileSync('ip', ['netns', 'exec', netns, 'ping', '-c', '1', '-W', '1', address], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

let home: Rtnl;
let netnsFd = -1;

function links(rtnl: Rtnl): Map<string, Link> {
  const found = new Map<string, Link>();
  rtnl.dumpNow({
    encode: (writer, seq) => encodeLinkDump(writer, seq),
    onMessage: (_type, _flags, bytes, start, end) => {
      const link = decodeLink(bytes, start, end);
      if (link) found.set(link.name, link);
    },
  });
  return found;
}

function linksIn(netns: string): Map<string, Link> {
  const rtnl = kernelRtnl(netns);
  try {
    return links(rtnl);
  } finally {
    rtnl.close();
  }
}

function write(encode: Parameters<Rtnl['write']>[0]): void {
  const { failed } = home.write(encode);
  expect(failed).toEqual([]);
}

/** Ends the router's namespace; again is nothing. */
function killRouter(): void {
  if (netnsFd >= 0) closeSync(netnsFd);
  netnsFd = -1;
  removeNetns(ROUTER);
}

beforeEach(() => {
  createNetns(ROUTER);
  createNetns(FAR);
  netnsFd = openSync(netnsPath(ROUTER), constants.O_RDONLY);
  home = kernelRtnl();
  ip('link', 'set', CARD, 'up');
  ip('link', 'set', FAR_CARD, 'netns', FAR);
  ip('-n', FAR, 'link', 'set', FAR_CARD, 'up');
});

afterEach(async () => {
  home.close();
  killRouter();
  removeNetns(FAR);
  const cards = () => [CARD, FAR_CARD].filter((name) => existsSync(`/sys/class/net/${name}`));
  await until(cards, (seen) => seen.length === 2, { timeoutMs: 10_000, what: 'both cards at home' });
  for (const name of [CARD, FAR_CARD]) {
    ip('link', 'set', name, 'down', 'group', '0');
    ip('address', 'flush', 'dev', name);
  }
});

describe('the kernel of the lab', () => {
  test.each(['vrf', 'dummy', 'macvlan'])('makes links of kind %s', (kind) => {
    const words = kind === 'vrf' ? ['table', '101'] : kind === 'macvlan' ? ['mode', 'bridge'] : [];
    const parent = kind === 'macvlan' ? ['link', CARD] : [];
    ip('link', 'add', ...parent, 'name', 'lfkl0', 'type', kind, ...words);
    expect(links(home).get('lfkl0')?.kind).toBe(kind);
    ip('link', 'delete', 'lfkl0');
  });

  test('knows accept_untracked_na', () => {
    const path = '/proc/sys/net/ipv6/conf/all/accept_untracked_na';
    expect(withNetns(ROUTER, () => existsSync(path))).toBe(true);
  });

  test('gives two cards that are hardware', () => {
    expect(links(home).get(CARD)).toMatchObject({ kind: '', lower: 0 });
  });
});

describe('links on top of a card, made into the router namespace', () => {
  test('a macvlan reaches the neighbour on the wire while the card stays at home', () => {
    const parent = links(home).get(CARD)!.ifindex;
    write((writer, seq) =>
      encodeMacvlanAdd(writer, seq, { parent, name: 'up0', netnsFd, mode: 'bridge', mtu: 1400 }),
    );
    const made = linksIn(ROUTER).get('up0');
    expect(made).toMatchObject({ kind: 'macvlan', mtu: 1400, lower: parent, lowerElsewhere: true });
    expect(links(home).get(CARD)?.up).toBe(true);
    ip('-n', ROUTER, 'address', 'add', '192.0.2.1/24', 'dev', 'up0');
    ip('-n', ROUTER, 'link', 'set', 'up0', 'up');
    ip('-n', FAR, 'address', 'add', '192.0.2.2/24', 'dev', FAR_CARD);
    expect(pings(ROUTER, '192.0.2.2')).toBe(true);
  });

  test('a VLAN carries tagged frames only', () => {
    const parent = links(home).get(CARD)!.ifindex;
    write((writer, seq) => encodeVlanAdd(writer, seq, { parent, name: 'up100', netnsFd, id: 100 }));
    expect(linksIn(ROUTER).get('up100')).toMatchObject({ kind: 'vlan', lower: parent });
    ip('-n', ROUTER, 'address', 'add', '192.0.2.1/24', 'dev', 'up100');
    ip('-n', ROUTER, 'link', 'set', 'up100', 'up');
    ip('-n', FAR, 'address', 'add', '192.0.2.2/24', 'dev', FAR_CARD);
    expect(pings(ROUTER, '192.0.2.2')).toBe(false);
    ip('-n', FAR, 'address', 'flush', 'dev', FAR_CARD);
    ip('-n', FAR, 'link', 'add', 'link', FAR_CARD, 'name', 'tagged', 'type', 'vlan', 'id', '100');
    ip('-n', FAR, 'address', 'add', '192.0.2.2/24', 'dev', 'tagged');
    ip('-n', FAR, 'link', 'set', 'tagged', 'up');
    expect(pings(ROUTER, '192.0.2.2')).toBe(true);
  });
});

describe('a link in a namespace that dies', () => {
  test('a card comes home down and without addresses, with its name, MAC and group', async () => {
    const before = links(home).get(CARD)!;
    write((writer, seq) => encodeLinkMove(writer, seq, before.ifindex, netnsFd));
    const inside = linksIn(ROUTER).get(CARD)!;
    expect([...inside.mac]).toEqual([...before.mac]);
    const router = kernelRtnl(ROUTER);
    router.write((writer, seq) =>
      encodeLinkSet(writer, seq, { ifindex: inside.ifindex, group: 4242, up: true }),
    );
    router.close();
    ip('-n', ROUTER, 'address', 'add', '192.0.2.1/24', 'dev', CARD);
    killRouter();
    const back = await until(
      () => links(home).get(CARD),
      (link) => link !== undefined,
      { timeoutMs: 10_000, what: 'the card at home' },
    );
    expect([...back!.mac]).toEqual([...before.mac]);
    expect(back).toMatchObject({ up: false, group: 4242 });
    expect(ip('-o', 'address', 'show', 'dev', CARD)).not.toContain('192.0.2.1');
  });

  test('a dummy, as every link made by software, is gone', async () => {
    ip('link', 'add', 'lfkl1', 'type', 'dummy');
    const { ifindex } = links(home).get('lfkl1')!;
    write((writer, seq) => encodeLinkMove(writer, seq, ifindex, netnsFd));
    expect(linksIn(ROUTER).has('lfkl1')).toBe(true);
    const card = links(home).get(CARD)!;
    write((writer, seq) => encodeLinkMove(writer, seq, card.ifindex, netnsFd));
    killRouter();
    // The card is back: the namespace has ended, and the dummy did not come along.
    await until(() => links(home).has(CARD), Boolean, { timeoutMs: 10_000, what: 'the card at home' });
    expect(links(home).has('lfkl1')).toBe(false);
  });
});
