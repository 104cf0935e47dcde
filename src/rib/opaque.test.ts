import { expect, test } from 'vitest';
import { ByteWriter } from '../lib/bytes.ts';
import { EVPN, FLOWSPEC4, RTC, VPNV4 } from '../wire/bgp/family.ts';
import { nlriCodecs } from '../wire/bgp/nlri/opaque.ts';
import { attributeBytes } from './sample-attributes.test-data.ts';
import { filterOf, LOCAL_AS, network, ROUTER_ID } from './sample-network.test-data.ts';
import { verifyGroup, verifyRib } from './verify.ts';

/** A label of 20 bits with the bottom-of-stack bit. */
const label = (value: number): number[] => [value >> 12, (value >> 4) & 255, ((value & 15) << 4) | 1];
const ROUTE = '65000:1:10.1.0.0/24';

/** The NLRI on the wire, as a peer sends it. */
function nlri(family: number, key: string, rest: readonly number[]): Uint8Array {
  const out = new ByteWriter();
  const codec = nlriCodecs[family]!;
  const bytes = codec.parse(key)!;
  codec.join(bytes, 0, bytes.length, Uint8Array.from(rest), 0, rest.length, out);
  return out.take();
}

test('VPN routes: one prefix a route distinguisher, the label goes along, a new label is news', () => {
  const net = network({ kind: 'internal', rrClients: true }, undefined, VPNV4);
  const [from, to] = [net.peer('internal', 1, true), net.peer('internal', 2, true)];
  const member = net.join(to);
  const received = net.receivers[member]!;
  const bytes = attributeBytes({ asPath: [7] });
  const attrId = net.pool.intern(bytes, 0, bytes.length);
  const hop = net.hop(1);
  const announce = (key: string, value: number): void => {
    const section = nlri(VPNV4, key, label(value));
    net.rib.announce(from, section, 0, section.length, false, attrId, hop);
    net.settle();
  };
  announce(ROUTE, 100);
  announce('65000:2:10.1.0.0/24', 100);
  expect([...received.routes.keys()]).toEqual([ROUTE, '65000:2:10.1.0.0/24']);
  const first = received.routes.get(ROUTE)!;
  expect(first).toContain(` + ${Buffer.from(label(100)).toString('hex')} via 20202001`);
  announce(ROUTE, 101);
  expect(received.routes.get(ROUTE)).toBe(first.replace('000641', '000651'));
  // The same again is no news.
  announce(ROUTE, 101);
  expect(received.superfluous).toBe(0);
  expect(net.rib.nlriData.size).toBe(2);
  expect(net.rib.nlriText(net.rib.findKey(nlriCodecs[VPNV4]!.parse(ROUTE)!, 0, 12))).toBe(ROUTE);
  expect([...verifyRib(net.rib), ...verifyGroup(net.group)]).toEqual([]);
  const gone = nlri(VPNV4, ROUTE, []);
  net.rib.withdraw(from, gone, 0, gone.length, false);
  net.settle();
  expect([...received.routes.keys()]).toEqual(['65000:2:10.1.0.0/24']);
  net.rib.dropPeer(from);
  net.settle();
  net.pool.release(attrId);
  net.leave(member);
  while (net.group.flush(10));
  net.rib.work(1);
  expect([net.pool.size, net.rib.nlriData.size, net.rib.prefixes.size]).toEqual([0, 0, 0]);
});

test('a VPN route keeps its next hop where it should, and is not sent where that is impossible', () => {
  const net = network({ nextHopUnchanged: true }, undefined, VPNV4);
  const member = net.join(net.peer('external', 2));
  net.sayKey(net.peer('external', 1), ROUTE, label(5), { asPath: [65101] }, net.hop(9));
  net.settle();
  expect(net.receivers[member]!.routes.get(ROUTE)).toContain(' via 20202009');
  const six = net.nextHops.intern(new Uint8Array(16).fill(32), 0, 16, 0);
  net.nextHops.setState(six, true, 0);
  net.sayKey(1, '65000:1:10.2.0.0/24', label(5), { asPath: [65101] }, six);
  net.sayKey(2, '65000:1:10.2.0.0/24', label(5), { asPath: [65101] }, six);
  net.settle();
  expect(net.receivers[member]!.routes.size).toBe(1);
});

test('EVPN: a route type with its MAC and address, several prefixes in one message', () => {
  const net = network({ kind: 'internal', rrClients: true }, undefined, EVPN);
  const from = net.peer('internal', 1, true);
  const member = net.join(net.peer('internal', 2, true));
  const texts: string[] = [];
  for (let vni = 1; vni <= 40; vni++) {
    // Inclusive multicast: type 3, 17 bytes: RD, Ethernet tag, an IPv4 address.
    const key = Uint8Array.of(3, 17, 0, 0, 0xfd, 0xe8, 0, 0, 0, vni, 0, 0, 0, 0, 32, 10, 0, 0, vni);
    const out = [new ByteWriter(), new ByteWriter()] as const;
    nlriCodecs[EVPN]!.split(key, 0, ...out);
    texts.push(nlriCodecs[EVPN]!.text(out[0].bytes, 0, out[0].length));
    const bytes = attributeBytes({ asPath: [] });
    const attrId = net.pool.intern(bytes, 0, bytes.length);
    net.rib.announce(from, key, 0, key.length, false, attrId, net.hop(1));
    net.pool.release(attrId);
  }
  net.settle();
  expect([...net.receivers[member]!.routes.keys()]).toEqual(texts);
  expect(net.receivers[member]!.messages).toBe(1);
  expect(verifyGroup(net.group)).toEqual([]);
});

test('a membership needs no next hop, goes back to the client with our identifier (RFC 4684 3.2)', () => {
  const net = network({ kind: 'internal', rrClients: true }, undefined, RTC);
  const client = net.peer('internal', 1, true);
  const member = net.join(client);
  const hop = net.hop(1);
  net.nextHops.setState(hop, false, 0);
  net.sayKey(client, '65000:rt:65000:7', [], { asPath: [] }, hop);
  net.settle();
  const sent = net.receivers[member]!.routes.get('65000:rt:65000:7');
  const attributes = attributeBytes({
    asPath: [],
    localPref: 100,
    originatorId: ROUTER_ID,
    clusterList: [ROUTER_ID],
  });
  expect(sent).toBe(`${Buffer.from(attributes).toString('hex')} +  via ${'81'.repeat(4)}`);
  expect(net.receivers[member]!.routes).toEqual(net.adjRibOut(member, client));
});

test('to a non-client goes the membership of a client where the best is that of a non-client', () => {
  const net = network({ kind: 'internal' }, undefined, RTC);
  const [client, other] = [net.peer('internal', 9, true), net.peer('internal', 1)];
  const member = net.join(net.peer('internal', 3));
  const id = net.sayKey(other, '65000:rt:65000:7', [], { asPath: [], localPref: 200 }, 0);
  net.settle();
  expect(net.receivers[member]!.routes.size).toBe(0);
  net.sayKey(client, '65000:rt:65000:7', [], { asPath: [], localPref: 100 }, 0);
  net.settle();
  expect(net.rib.paths.peer[net.rib.prefixes.bestPath[id]!]).toBe(other);
  expect(net.group.sourceOf(id)).toBe(client);
  expect(net.receivers[member]!.routes.size).toBe(1);
  expect(verifyGroup(net.group)).toEqual([]);
});

test('flow specifications have no next hop; one that fills a message is not sent', () => {
  const net = network({ nextHopLength: 0 }, undefined, FLOWSPEC4);
  const from = net.peer('external', 1);
  const member = net.join(net.peer('external', 2));
  const bytes = attributeBytes({ asPath: [65101] });
  const attrId = net.pool.intern(bytes, 0, bytes.length);
  // Destination 10.1.0.0/16; then a list of 1358 destination ports of 3 bytes each.
  const ports = Array.from({ length: 1358 }, (_, i) => [i === 1357 ? 0x91 : 0x11, i >> 8, i & 255]).flat();
  const long = [1, 16, 10, 1, 5, ...ports];
  const sections = [
    [4, 1, 16, 10, 1],
    [0xf0 | (long.length >> 8), long.length & 255, ...long],
  ];
  for (const section of sections.map((list) => Uint8Array.from(list)))
    net.rib.announce(from, section, 0, section.length, false, attrId, 0);
  net.settle();
  expect(net.receivers[member]!.routes.size).toBe(1);
  const reasons = [0, 1].map((id) => net.group.explain(member, id));
  expect(reasons).toEqual([0, 8]);
  const sent = [...net.receivers[member]!.routes.values()][0]!;
  expect(sent).toBe(`${Buffer.from(attributeBytes({ asPath: [LOCAL_AS, 65101] })).toString('hex')} +  via `);
  expect(verifyRib(net.rib)).toEqual([]);
});

test('a policy may read what an NLRI carries, and the verification asks it the same', () => {
  const net = network({ kind: 'internal', rrClients: true }, undefined, VPNV4);
  const from = net.peer('internal', 1, true);
  const carries = filterOf((query, answer) => void (answer.accept = query.nlriDataId !== 0), {
    readsPrefix: true,
  });
  net.rib.setImport(from, carries);
  const bytes = attributeBytes({ asPath: [7] });
  const attrId = net.pool.intern(bytes, 0, bytes.length);
  const section = nlri(VPNV4, ROUTE, label(100));
  net.rib.announce(from, section, 0, section.length, false, attrId, net.hop(1));
  net.settle();
  expect(net.rib.routeCount).toBe(1);
  expect(verifyRib(net.rib)).toEqual([]);
});
