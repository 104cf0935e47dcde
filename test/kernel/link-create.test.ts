// Links made across namespaces and moved between them, against the real kernel. Kinds that this kernel does not have
// are refused by it as such, which shows that it has read the message as far as the kind.

import { execFileSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decodeLink, encodeLinkDump, encodeLinkSet, type Link } from '../../src/netlink/link.ts';
import {
  encodeLinkMove,
  encodeMacvlanAdd,
  encodeVethAdd,
  encodeVlanAdd,
} from '../../src/netlink/link-create.ts';
import type { MessageWriter } from '../../src/netlink/message.ts';
import { createNetns, netnsPath, removeNetns } from '../../src/netlink/netns.ts';
import { kernelRtnl, type Rtnl } from '../../src/netlink/rtnl.ts';
import { errnoName } from '../../src/netlink/sys.ts';

const here = `lflc-${process.pid}-a`;
const there = `lflc-${process.pid}-b`;
const root = process.getuid?.() === 0;

function links(rtnl: Rtnl): Map<string, Link> {
  const found = new Map<string, Link>();
  rtnl.dumpNow({
    encode: encodeLinkDump,
    onMessage: (_type, _flags, bytes, start, end) => {
      const link = decodeLink(bytes, start, end);
      if (link) found.set(link.name, link);
    },
  });
  return found;
}

function kindMissing(kind: string): boolean {
  const id = kind === 'vlan' ? ['id', '8'] : [];
  try {
    execFileSync('ip', ['-n', here, 'link', 'add', 'link', 'va', 'name', 'probe', 'type', kind, ...id], {
      stdio: 'pipe',
    });
    execFileSync('ip', ['-n', here, 'link', 'del', 'probe']);
    return false;
  } catch {
    return true;
  }
}

describe.skipIf(!root)('links between namespaces', () => {
  let near: Rtnl;
  let far: Rtnl;
  let netnsFd = -1;
  const write = (encode: (writer: MessageWriter, seq: number) => void): string => {
    const { outcome, failed } = near.write(encode);
    expect(outcome).toBe('known');
    return failed[0] ? errnoName(failed[0].errno) : 'done';
  };

  beforeAll(() => {
    createNetns(here);
    createNetns(there);
    near = kernelRtnl(here);
    far = kernelRtnl(there);
    netnsFd = openSync(netnsPath(there), 'r');
    const veth = { name: 'va', mtu: 1400, peer: { name: 'vb', netnsFd, mtu: 1300 } };
    expect(write((w, seq) => encodeVethAdd(w, seq, veth))).toBe('done');
  });
  afterAll(() => {
    if (netnsFd >= 0) closeSync(netnsFd);
    near?.close();
    far?.close();
    removeNetns(here);
    removeNetns(there);
  });

  test('a veth has one leg here and one there, and its name is refused a second time', () => {
    expect(links(near).get('va')).toMatchObject({ kind: 'veth', mtu: 1400, up: false, lowerElsewhere: true });
    expect(links(far).get('vb')).toMatchObject({ kind: 'veth', mtu: 1300, lowerElsewhere: true });
    const again = { name: 'va', peer: { name: 'vc', netnsFd } };
    expect(write((w, seq) => encodeVethAdd(w, seq, again))).toBe('EEXIST');
    expect(links(far).has('vc')).toBe(false);
  });

  test('MTU, group, master, name and alias are set by index', () => {
    execFileSync('ip', ['-n', here, 'link', 'add', 'br0', 'type', 'bridge']);
    const [va, br0] = [links(near).get('va')!.ifindex, links(near).get('br0')!.ifindex];
    const change = { ifindex: va, name: 'vx', mtu: 1280, group: 4242, master: br0, alias: 'ours' };
    expect(write((w, seq) => encodeLinkSet(w, seq, change))).toBe('done');
    expect(links(near).get('vx')).toMatchObject(change);
    const back = { ifindex: va, name: 'va', group: 0, master: 0 };
    expect(write((w, seq) => encodeLinkSet(w, seq, back))).toBe('done');
    expect(links(near).get('va')).toMatchObject({ group: 0, master: 0, mtu: 1280 });
  });

  test('a link moves, and is refused where its name is taken', () => {
    execFileSync('ip', ['-n', here, 'link', 'add', 'm0', 'type', 'veth', 'peer', 'name', 'm1']);
    const move = (name: string): string => {
      const { ifindex } = links(near).get(name)!;
      return write((w, seq) => encodeLinkMove(w, seq, ifindex, netnsFd));
    };
    expect(move('m0')).toBe('done');
    expect(links(near).has('m0')).toBe(false);
    expect(links(far).get('m0')).toMatchObject({ kind: 'veth', up: false });
    execFileSync('ip', ['-n', here, 'link', 'set', 'm1', 'name', 'm0']);
    expect(move('m0')).toBe('EEXIST');
    expect(move('br0')).toBe('EINVAL');
  });

  test('a macvlan and a VLAN, where the kernel has them', () => {
    const parent = links(near).get('va')!.ifindex;
    const macvlan = write((w, seq) =>
      encodeMacvlanAdd(w, seq, { parent, name: 'mv0', netnsFd, mode: 'bridge', mtu: 1280 }),
    );
    const vlan = write((w, seq) => encodeVlanAdd(w, seq, { parent, name: 'va.7', netnsFd, id: 7 }));
    expect(macvlan).toBe(kindMissing('macvlan') ? 'EOPNOTSUPP' : 'done');
    expect(vlan).toBe(kindMissing('vlan') ? 'EOPNOTSUPP' : 'done');
    if (macvlan === 'done') expect(links(far).get('mv0')).toMatchObject({ kind: 'macvlan', lower: parent });
    if (vlan === 'done') expect(links(far).get('va.7')).toMatchObject({ kind: 'vlan', lower: parent });
  });
});
