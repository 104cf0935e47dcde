// Who learns what from whom: unnumbered and addressed sessions, rows and fabrics, reflection, defaults and profiles.

import { expect, test } from 'vitest';
import {
  bed,
  installed4,
  policy,
  prefixes,
  received,
  routes,
  row,
  state,
  UP_MS,
} from '../../test/sim/bed.ts';
import { parseIp } from '../net/ip.ts';
import { closTopology, fabricPeer, prefix } from '../sim/clos.ts';
import { findViolation } from '../sim/invariants.ts';
import { World } from '../sim/world.ts';

test('two unnumbered routers exchange IPv4 over IPv6 next hops (RFC 8950), and IPv6', () => {
  const world = row('ab');
  world.run(UP_MS);
  expect(routes(world, 'a')).toEqual([
    '10.0.0.1/32: via self',
    '10.0.0.2/32: 65002 via fe80::2:1%eth2',
    '2001:db8::1/128: via self',
    '2001:db8::2/128: 65002 via fe80::2:1%eth2',
  ]);
  const { negotiated } = world.peer('a', 'eth2');
  expect(negotiated!.extendedNextHop).toBe(0b01);
  expect(findViolation(world, 'oracle')).toBeUndefined();
});

test('a route goes through a row of routers and is taken back through it', () => {
  const world = row('abcd');
  world.run(UP_MS);
  expect(routes(world, 'd')).toContain('10.0.0.1/32: 65003 65002 65001 via fe80::3:2%eth1');
  world.node('a').addStatic(prefix('192.0.2.1/32'));
  world.run(500);
  expect(prefixes(world, 'd')).toContain('192.0.2.1/32');
  world.node('a').removeStatic(prefix('192.0.2.1/32'));
  world.run(500);
  expect(prefixes(world, 'd')).not.toContain('192.0.2.1/32');
  expect(installed4(world, 'd')).toEqual(['10.0.0.1/32', '10.0.0.2/32', '10.0.0.3/32']);
});

test('a leaf of a Clos spreads over both spines, and a spine does not go through a leaf', () => {
  const world = new World(closTopology({ spines: 2, leaves: 3, guestsPerLeaf: 1, scheme: 'ebgp' }), 3);
  world.boot();
  world.run(UP_MS);
  const words = [0xc6120301];
  const ways = world.node('leaf1').kernel.lookup(0, words)!;
  expect(ways.map(({ ifindex }) => ifindex).sort()).toEqual([1, 2]);
  expect(prefixes(world, 'spine1')).not.toContain('10.255.0.2/32');
  expect(findViolation(world, 'oracle')).toBeUndefined();
});

test('internal routes go to clients and not between others (RFC 4456)', () => {
  const internal = { remoteAs: { kind: 'internal' } } as const;
  const nodes = (client: boolean) => [
    {
      name: 'r',
      asn: 65000,
      peer: { ...internal, routeReflectorClient: client, nextHopSelf: 'all' as const },
    },
    { name: 'a', asn: 65000, peer: internal, networks: ['10.0.0.1/32'] },
    { name: 'b', asn: 65000, peer: internal, networks: ['10.0.0.2/32'] },
  ];
  const links = ['r:eth1 a:eth1', 'r:eth2 b:eth1'];
  const reflecting = bed(nodes(true), links);
  reflecting.run(UP_MS);
  expect(routes(reflecting, 'a')).toEqual(['10.0.0.1/32: via self', '10.0.0.2/32: via fe80::1:1%eth1']);
  const { ribs, pool } = reflecting.router('a');
  const id = ribs[0]!.find(0x0a000002, 0, 0, 0, 32);
  const attrId = ribs[0]!.paths.attrId[ribs[0]!.prefixes.bestPath[id]!]!;
  expect(pool.originatorId[attrId]).toBe(0x0a000003);
  expect(pool.clusterListLength[attrId]).toBe(1);
  const plain = bed(nodes(false), links);
  plain.run(UP_MS);
  expect(prefixes(plain, 'a')).toEqual(['10.0.0.1/32']);
});

test('where every router reflects as a next hop, several paths are as long as each other and make no loop', () => {
  const world = new World(closTopology({ spines: 2, leaves: 3, guestsPerLeaf: 1, scheme: 'mesh' }), 4);
  world.boot();
  world.run(UP_MS);
  // The other leaves know a way to leaf 1 as well, by their other spine: it is longer, and leads back.
  world.setUp(world.cable('spine1', 'eth1'), false);
  world.run(UP_MS);
  expect(world.node('spine2').kernel.lookup(0, [0x0aff0101])).toHaveLength(1);
  expect(world.node('spine1').kernel.lookup(0, [0x0aff0101])).toHaveLength(2);
  expect(findViolation(world, 'oracle')).toBeUndefined();
});

test('an internal peer gets the next hop unchanged, unless we put ourselves', () => {
  for (const nextHopSelf of ['never', 'all'] as const) {
    const internal = { ...fabricPeer(true), families: 1, kind: 'address' as const };
    const world = bed(
      [
        {
          name: 'x',
          asn: 65009,
          networks: ['10.0.0.9/32'],
          addresses: ['eth1 192.0.2.1/31'],
          peers: [{ ...fabricPeer(false), families: 1, kind: 'address', address: parseIp('192.0.2.0')! }],
        },
        {
          name: 'a',
          asn: 65000,
          addresses: ['eth1 192.0.2.0/31', 'eth2 192.0.2.2/31'],
          peers: [
            { ...fabricPeer(false), families: 1, kind: 'address', address: parseIp('192.0.2.1')! },
            { ...internal, nextHopSelf, address: parseIp('192.0.2.3')! },
          ],
        },
        {
          name: 'b',
          asn: 65000,
          addresses: ['eth1 192.0.2.3/31'],
          peers: [{ ...internal, address: parseIp('192.0.2.2')! }],
        },
      ],
      ['x:eth1 a:eth1', 'a:eth2 b:eth1'],
    );
    world.run(UP_MS);
    const id = world.router('b').ribs[0]!.find(0x0a000009, 0, 0, 0, 32);
    const { firstPath, bestPath } = world.router('b').ribs[0]!.prefixes;
    const { nextHops, paths } = world.router('b').ribs[0]!;
    const hop = nextHops.addressOf(paths.nextHopId[firstPath[id]!]!);
    expect([...hop]).toEqual(nextHopSelf === 'all' ? [192, 0, 2, 2] : [192, 0, 2, 1]);
    // Nothing leads b to the far link, so that an unchanged next hop is no use to it.
    expect(bestPath[id] !== 0).toBe(nextHopSelf === 'all');
  }
});

test('without policy and profile an external session carries nothing (RFC 8212)', () => {
  const accept = policy('any');
  for (const [settings, there, here] of [
    [{}, [], []],
    [{ import: accept }, [], ['10.0.0.2/32']],
    [{ export: accept }, ['10.0.0.1/32'], []],
    [{ import: accept, export: accept }, ['10.0.0.1/32'], ['10.0.0.2/32']],
  ] as const) {
    const world = bed(
      [
        { name: 'a', asn: 65001, networks: ['10.0.0.1/32'], peer: settings, config: { profile: 'none' } },
        { name: 'b', asn: 65002, networks: ['10.0.0.2/32'] },
      ],
      ['a:eth1 b:eth1'],
    );
    world.run(UP_MS);
    expect(state(world, 'a', 'eth1')).toBe('established');
    expect(prefixes(world, 'b').filter((text) => text !== '10.0.0.2/32')).toEqual(there);
    expect(prefixes(world, 'a').filter((text) => text !== '10.0.0.1/32')).toEqual(here);
    // What is refused is kept, so that a policy that comes later needs nothing from the peer.
    expect(received(world, 'a', 'eth1')).toEqual(['10.0.0.2/32']);
  }
});

test('a host tells only what is its own, whatever its policy says', () => {
  for (const settings of [{}, { export: policy('all') }]) {
    const world = bed(
      [
        { name: 'tor1', asn: 65001, networks: ['10.0.0.1/32'] },
        {
          name: 'host',
          asn: 65100,
          networks: ['10.0.0.100/32'],
          statics: ['192.0.2.7/32'],
          peer: settings,
          config: { profile: 'host' },
        },
        { name: 'tor2', asn: 65002, networks: ['10.0.0.2/32'] },
      ],
      ['tor1:eth1 host:eth1', 'tor2:eth1 host:eth2'],
    );
    world.run(UP_MS);
    expect(prefixes(world, 'host')).toEqual(['10.0.0.1/32', '10.0.0.100/32', '10.0.0.2/32', '192.0.2.7/32']);
    expect(prefixes(world, 'tor2')).toEqual(['10.0.0.100/32', '10.0.0.2/32', '192.0.2.7/32']);
  }
});

test('redistribution follows kernel routes, its policy and the configuration', () => {
  const refuse = policy('lab', {
    match: { prefixes: [{ prefix: '198.51.100.0/24', ge: 24 }] },
    action: 'reject',
  });
  const world = bed(
    [
      { name: 'a', asn: 65001, statics: ['192.0.2.1/32', '198.51.100.1/32'], config: { redistribute: {} } },
      { name: 'b', asn: 65002 },
    ],
    ['a:eth1 b:eth1'],
  );
  world.run(UP_MS);
  expect(prefixes(world, 'b')).toEqual([]);
  const reload = (redistribute: object): void => {
    world.node('a').configure({ ...world.node('a').config, redistribute });
    world.run(200);
  };
  reload({ static: {} });
  expect(prefixes(world, 'b')).toEqual(['192.0.2.1/32', '198.51.100.1/32']);
  reload({ static: { policy: refuse } });
  expect(prefixes(world, 'b')).toEqual(['192.0.2.1/32']);
  world.node('a').addStatic(prefix('198.51.100.2/32'));
  world.node('a').addStatic(prefix('192.0.2.2/32'));
  world.run(200);
  expect(prefixes(world, 'b')).toEqual(['192.0.2.1/32', '192.0.2.2/32']);
  reload({});
  expect(prefixes(world, 'b')).toEqual([]);
});

test('a link-local address is a peer once its interface is there', () => {
  const peer = { ...fabricPeer(false), kind: 'address' as const, interface: 'eth1' };
  const world = bed(
    [
      {
        name: 'a',
        asn: 65001,
        networks: ['10.0.0.1/32'],
        peers: [{ ...peer, address: parseIp('fe80::2:1')! }],
      },
      { name: 'b', asn: 65002, networks: ['10.0.0.2/32'] },
    ],
    ['a:eth1 b:eth1'],
  );
  world.run(UP_MS);
  expect(state(world, 'a', 'fe80::2:1%eth1')).toBe('established');
  expect(routes(world, 'a')).toContain('10.0.0.2/32: 65002 via fe80::2:1%eth1');
});

test('strangers of a range are peers while they have something to say, up to a limit', () => {
  const stranger = (host: number) => ({
    name: `h${host}`,
    asn: 65100 + host,
    networks: [`10.0.0.${host}/32`],
    addresses: [`eth1 192.0.2.${host * 2 + 1}/31`],
    peers: [
      {
        ...fabricPeer(false),
        families: 1,
        kind: 'address' as const,
        address: parseIp(`192.0.2.${host * 2}`)!,
      },
    ],
  });
  const range = { ...fabricPeer(false), families: 1, kind: 'range' as const, range: prefix('192.0.2.0/24') };
  const world = bed(
    [
      {
        name: 'a',
        asn: 65001,
        addresses: ['eth1 192.0.2.2/31', 'eth2 192.0.2.4/31', 'eth3 192.0.2.6/31'],
        peers: [{ ...range, limit: 2 }],
        config: { profile: 'fabric' },
      },
      stranger(1),
      stranger(2),
      stranger(3),
    ],
    ['a:eth1 h1:eth1', 'a:eth2 h2:eth1', 'a:eth3 h3:eth1'],
  );
  world.run(UP_MS);
  const peers = (): string[] => [...world.router('a').directory.byName.keys()].sort();
  expect(peers()).toHaveLength(2);
  expect(prefixes(world, 'a')).toHaveLength(2);
  const [gone] = peers();
  const host = world.nodes.find((node) =>
    node.ports[0]!.addresses.some(({ bytes }) => bytes.join('.') === gone),
  )!;
  host.stop(true);
  world.run(UP_MS);
  // Its place is the third one's now.
  expect(peers()).toHaveLength(2);
  expect(peers()).not.toContain(gone);
});
