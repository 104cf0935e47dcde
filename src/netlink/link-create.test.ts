// Links made and moved between namespaces: the bytes. That the kernel takes them is in test/kernel.

import { expect, test } from 'vitest';
import { decodeLink, encodeLinkSet } from './link.ts';
import { encodeLinkMove, encodeMacvlanAdd, encodeVethAdd, encodeVlanAdd } from './link-create.ts';
import { MessageWriter } from './message.ts';

// One field a line.
function bytesOf(text: string): Uint8Array {
  const hex = text.replace(/#.*$/gm, '').replace(/\s+/g, '');
  return Uint8Array.from(hex.match(/../g)!.map((pair) => Number.parseInt(pair, 16)));
}

function written(encode: (writer: MessageWriter) => void): Uint8Array {
  const writer = new MessageWriter(new Uint8Array(8));
  encode(writer);
  return writer.bytes.slice(0, writer.length);
}

const IFINFOMSG = '00 00 0000 00000000 00000000 00000000';

test('a veth with its other leg in another namespace', () => {
  const veth = { name: 'pt-host', mtu: 9000, peer: { name: 'pt-ns', netnsFd: 42, mtu: 1400 } };
  expect(written((w) => encodeVethAdd(w, 7, veth))).toEqual(
    bytesOf(`
      78000000 1000 0506 07000000 00000000   # 120 bytes, RTM_NEWLINK, REQUEST|ACK|EXCL|CREATE, seq 7
      ${IFINFOMSG}
      0c000300 70742d686f737400              # IFLA_IFNAME pt-host
      08000400 28230000                      # IFLA_MTU 9000
      44001280                               # IFLA_LINKINFO, nested
        09000100 7665746800 000000           #   IFLA_INFO_KIND veth
        34000280                             #   IFLA_INFO_DATA, nested
          30000180                           #     VETH_INFO_PEER, nested
            ${IFINFOMSG}
            0a000300 70742d6e7300 0000       #       IFLA_IFNAME pt-ns
            08000400 78050000                #       IFLA_MTU 1400
            08001c00 2a000000                #       IFLA_NET_NS_FD 42
    `),
  );
});

test('a macvlan and a VLAN on a parent, put into another namespace', () => {
  expect(
    written((w) => encodeMacvlanAdd(w, 7, { parent: 3, name: 'up0', netnsFd: 42, mode: 'bridge' })),
  ).toEqual(
    bytesOf(`
      54000000 1000 0506 07000000 00000000
      ${IFINFOMSG}
      08000300 75703000                      # IFLA_IFNAME up0
      08000500 03000000                      # IFLA_LINK 3
      08001c00 2a000000                      # IFLA_NET_NS_FD 42
      1c001280
        0c000100 6d6163766c616e00            #   macvlan
        0c000280 08000100 04000000           #   IFLA_MACVLAN_MODE bridge
    `),
  );
  expect(
    written((w) => encodeVlanAdd(w, 7, { parent: 3, name: 'eth0.100', netnsFd: 42, id: 0x0456, mtu: 1500 })),
  ).toEqual(
    bytesOf(`
      64000000 1000 0506 07000000 00000000
      ${IFINFOMSG}
      0d000300 657468302e31303000 000000     # IFLA_IFNAME eth0.100
      08000400 dc050000                      # IFLA_MTU 1500
      08000500 03000000
      08001c00 2a000000
      1c001280
        09000100 766c616e00 000000           #   vlan
        0c000280 06000100 5604 0000          #   IFLA_VLAN_ID
    `),
  );
});

test('a link is moved by its index', () => {
  expect(written((w) => encodeLinkMove(w, 7, 3, 42))).toEqual(
    bytesOf(`
      28000000 1300 0500 07000000 00000000   # RTM_SETLINK, REQUEST|ACK
      00 00 0000 03000000 00000000 00000000
      08001c00 2a000000
    `),
  );
});

test('what is changed of a link is read back as the kernel tells it', () => {
  const change = { ifindex: 5, name: 'eth9', up: true, alias: 'a', mtu: 1400, group: 4242, master: 8 };
  const bytes = written((w) => encodeLinkSet(w, 7, change));
  expect(decodeLink(bytes, 0, bytes.length)).toMatchObject(change);
  const freed = written((w) => encodeLinkSet(w, 7, { ifindex: 5, group: 0, master: 0 }));
  expect([...freed.subarray(32)]).toEqual([8, 0, 27, 0, 0, 0, 0, 0, 8, 0, 10, 0, 0, 0, 0, 0]);
});
