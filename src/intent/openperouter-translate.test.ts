// What accepted resources of OpenPERouter come to: one tree whatever their spelling, addresses by the node's index,
// families and timers by default.

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  four,
  l3vni,
  manifest,
  many,
  node,
  passthrough,
  read,
  statesOf,
  tor,
  treeOf,
  underlay,
} from '../../test/support/openperouter.ts';

describe('spellings', () => {
  const file = (name: string) => readFileSync(`test/good-config/openperouter/${name}.yaml`, 'utf8');

  test('one intent is one tree in all of them', () => {
    const expected = treeOf(read(file('same-c')));
    expect(expected).toEqual({
      bgp: {
        asn: 64514,
        routerId: '10.0.0.1',
        loopbacks: ['100.65.0.0/32'],
        gracefulRestart: { restartTime: '90s', stalePathTime: '360s' },
        peers: [
          {
            address: '192.168.11.2',
            remoteAs: 64512,
            families: ['ipv4', 'ipv6'],
            password: 'topsecret',
            timers: { hold: '90s', keepalive: '30s', connectRetry: '10s' },
            multihop: 255,
            bfd: { interval: '200ms', receive: '100ms', multiplier: 5, passive: true, minTtl: 250 },
            allowAsIn: 3,
          },
          {
            address: '2001:db8:11::2',
            remoteAs: 64513,
            families: ['ipv4', 'ipv6'],
            port: 1179,
            timers: { connectRetry: '5s' },
            allowAsIn: 3,
          },
        ],
      },
      passthrough: {
        nodeIndex: 0,
        uplinks: ['eth1', 'eth2'],
        localCIDR: { ipv4: '192.169.10.0/24', ipv6: 'fd00:10::/64' },
        speakers: [{ name: 'passthrough', remoteAs: 64515 }],
      },
    });
    for (const name of ['same-a', 'same-b', 'same-mixed', 'same-static'])
      expect(treeOf(read(file(name))), name).toEqual(expected);
  });

  test('every value has its place in the file', () => {
    const { config } = read(file('same-a'));
    const bgp = config!.entries.get('bgp')!.value;
    const places = [...(bgp.kind === 'map' ? bgp.entries : [])].map(([key, { value }]) => [
      key,
      value.place.line,
    ]);
    expect(places).toEqual([
      ['asn', 8],
      ['routerId', 9],
      ['loopbacks', 14],
      ['gracefulRestart', 16],
      ['peers', 2],
    ]);
  });
});

describe('addresses of a node', () => {
  const tree = (index: number) =>
    treeOf(
      read(
        underlay({
          tunnelEndpoint: { cidrs: ['100.65.0.0/24', '2001:db8:65::/64'] },
          routerIDCIDR: '10.1.0.0/16',
        }),
        {
          node: { ...node, index },
        },
      ),
    );

  test.each([
    [0, '10.1.0.1', '100.65.0.0/32', '2001:db8:65::/128'],
    [7, '10.1.0.8', '100.65.0.7/32', '2001:db8:65::7/128'],
    [255, '10.1.1.0', '100.65.0.255/32', '2001:db8:65::ff/128'],
  ])('index %d', (index, routerId, v4, v6) => {
    expect(tree(index)).toMatchObject({
      bgp: { routerId, loopbacks: [v4, v6] },
      passthrough: { nodeIndex: index },
    });
  });

  test('an index beyond a pool is refused at the pool', () => {
    const { problems } = read(underlay({ tunnelEndpoint: { cidrs: ['100.65.0.0/24'] } }), {
      node: { ...node, index: 256 },
    });
    expect(problems.map(({ path }) => path)).toEqual([
      'Underlay/fabric.routerIDCIDR',
      'Underlay/fabric.tunnelEndpoint.cidrs.0',
    ]);
  });
});

describe('neighbours', () => {
  const peerOf = (neighbor: object, ...more: string[]) =>
    treeOf(read(many(underlay({ neighbors: [neighbor] }), ...more)))?.bgp.peers[0];
  const six = { asn: 64512, address: '2001:db8::2' };
  const unnumbered = { type: 'External', interface: 'eth1' };
  const v6 = { ipv6: 'fd00:10::/64' };
  const vni = l3vni('red', 100);

  test.each([
    ['IPv4', tor, [], ['ipv4']],
    ['IPv4, passthrough of both', tor, [passthrough({ ...four, ...v6 })], ['ipv4', 'ipv6']],
    ['IPv4, a VNI', tor, [vni], ['ipv4', 'evpn']],
    ['unnumbered', unnumbered, [], ['ipv4']],
    ['unnumbered, passthrough of IPv6', unnumbered, [passthrough(v6)], ['ipv4', 'ipv6']],
    ['IPv6', six, [], ['ipv6']],
    ['IPv6, passthrough of IPv4', six, [passthrough()], ['ipv4', 'ipv6']],
    ['IPv6, a VNI', six, [vni], ['ipv4', 'ipv6', 'evpn']],
    ['a range of IPv6', { asn: 64512, listenRange: '2001:db8::/64' }, [], ['ipv6']],
    ['a range of IPv4', { asn: 64512, listenRange: '192.0.2.0/24' }, [], ['ipv4']],
    ['an empty list', { ...tor, addressFamilies: [] }, [], ['ipv4']],
    ['named ones', { ...tor, addressFamilies: [{ type: 'evpn' }] }, [passthrough()], ['evpn']],
  ])('families by default: %s', (_name, neighbor, more, families) => {
    expect(peerOf(neighbor, ...more).families).toEqual(families);
  });

  test('VPN families are for an Underlay with SRv6 and an L3VPN', () => {
    const srv6 = {
      neighbors: [six],
      tunnelEndpoint: { cidrs: ['2001:db8:1::/64'] },
      isis: { baseNet: '49.0001.0002.0003.0004.00' },
      srv6: { locator: { basePrefix: 'fd00:0:32::/48', format: 'usid-f3216' } },
    };
    const vpn = manifest('L3VPN', 'blue', { vrf: 'blue', rdAssignedNumber: 2, importRTs: ['1:1'] });
    const peers = (...more: string[]) => treeOf(read(many(underlay(srv6), ...more))).bgp.peers[0].families;
    expect(peers(vpn)).toEqual(['ipv6', 'vpnv4', 'vpnv6']);
    expect(peers()).toEqual(['ipv6']);
  });

  test('external ones may have our AS in paths, internal ones get our next hop', () => {
    expect(peerOf(tor)).toMatchObject({ allowAsIn: 3 });
    expect(peerOf(tor)).not.toHaveProperty('nextHopSelf');
    for (const internal of [{ asn: 64514 }, { type: 'Internal' }]) {
      const peer = peerOf({ ...internal, address: '192.168.11.2' });
      expect(peer).toMatchObject({ nextHopSelf: true });
      expect(peer).not.toHaveProperty('allowAsIn');
    }
    const evpn = [{ type: 'ipv4unicast' }, { type: 'evpn' }];
    expect(peerOf({ type: 'Internal', address: '192.168.11.2', addressFamilies: evpn })).toMatchObject({
      nextHopSelf: 'external',
    });
  });

  test('a route reflector', () => {
    const client = [{ type: 'ipv4unicast', properties: [{ type: 'routeReflectorClient' }] }];
    const neighbors = [{ type: 'Internal', listenRange: '192.168.11.9/24', addressFamilies: client }];
    const { bgp } = treeOf(read(underlay({ neighbors, routeReflector: {} })));
    expect(bgp).toMatchObject({
      clusterId: '192.0.2.1',
      peers: [{ range: '192.168.11.0/24', remoteAs: 'internal', routeReflectorClient: true }],
    });
  });

  test.each([
    [{}, { connectRetry: '5s' }],
    [{ connectTimeSeconds: 7 }, { connectRetry: '7s' }],
    [
      { holdTimeSeconds: 0, keepaliveTimeSeconds: 0 },
      { hold: '0s', connectRetry: '5s' },
    ],
    [
      { holdTimeSeconds: 9, keepaliveTimeSeconds: 9 },
      { hold: '9s', connectRetry: '5s' },
    ],
    [
      { holdTime: '3m0s', keepaliveTime: '1m' },
      { hold: '180s', keepalive: '60s', connectRetry: '5s' },
    ],
  ])('timers %j', (timers, expected) => {
    expect(peerOf({ ...tor, ...timers }).timers).toEqual(expected);
  });

  test('BFD, multihop and port', () => {
    expect(peerOf({ ...tor, bfd: {} }).bfd).toBe(true);
    expect(peerOf({ ...tor, bfd: { minimumTTL: 9 } }).bfd).toBe(true);
    expect(peerOf({ ...tor, bfd: { sessionMode: 'Active' } }).bfd).toEqual({ passive: false });
    expect(peerOf({ ...tor, bfd: { transmitInterval: 50 } }).bfd).toEqual({
      interval: '50ms',
      receive: '300ms',
    });
    const properties = [{ type: 'ebgpMultiHop', ebgpMultiHop: { ttl: 3 } }];
    expect(peerOf({ ...tor, properties })).toMatchObject({ multihop: 3 });
    expect(peerOf({ ...tor, ebgpMultiHop: false })).not.toHaveProperty('multihop');
    expect(peerOf({ ...unnumbered, properties })).not.toHaveProperty('multihop');
    expect(peerOf({ ...tor, port: 0 })).not.toHaveProperty('port');
  });

  test('paths are kept as long as a restart may take', () => {
    const gracefulRestart = { restartTimeSeconds: 400 };
    expect(treeOf(read(underlay({ gracefulRestart }))).bgp.gracefulRestart).toEqual({
      restartTime: '400s',
      stalePathTime: '400s',
    });
    expect(treeOf(read(underlay())).bgp).not.toHaveProperty('gracefulRestart');
  });
});

describe('passwords in Secrets', () => {
  const neighbors = [
    { ...tor, passwordSecret: 'tor' },
    { asn: 64512, address: '192.168.11.3' },
  ];
  const text = underlay({ neighbors }, 'fabric', { namespace: 'per' });

  test('are taken from the namespace of the Underlay', () => {
    const result = read(text, { secrets: new Map([['per/tor', 'topsecret']]) });
    expect(treeOf(result).bgp.peers[0].password).toBe('topsecret');
    const named = underlay({ neighbors: [{ ...tor, passwordSecret: { name: 'tor', key: 'md5' } }] }, 'u', {
      namespace: 'per',
    });
    const keyed = read(named, { secrets: new Map([['per/tor/md5', 'other']]) });
    expect(treeOf(keyed).bgp.peers[0].password).toBe('other');
  });

  test('without one the neighbour is left out, the rest applies', () => {
    const result = read(text);
    expect(treeOf(result).bgp.peers.map(({ address }: { address: string }) => address)).toEqual([
      '192.168.11.3',
    ]);
    expect(statesOf(result)).toEqual(['Underlay/fabric applied', 'Underlay/fabric failed DependencyFailed']);
    expect(result.problems).toEqual([]);
    const long = read(text, { secrets: new Map([['per/tor', 'p'.repeat(81)]]) });
    expect(treeOf(long).bgp.peers).toHaveLength(1);
    expect(JSON.stringify(long.resources)).not.toContain('ppp');
  });
});

describe('passthrough', () => {
  const speakerOf = (...texts: string[]) => treeOf(read(many(...texts))).passthrough.speakers[0];

  test('the host by number or type', () => {
    expect(speakerOf(underlay(), passthrough())).toEqual({ name: 'pt', remoteAs: 64515 });
    for (const hostType of ['External', 'internal']) {
      const hostSession = { asn: 64514, hostType, localCIDR: four };
      expect(speakerOf(underlay(), manifest('L3Passthrough', 'pt', { hostSession }))).toMatchObject({
        remoteAs: hostType.toLowerCase(),
      });
    }
  });

  test('bits beyond the length of localCIDR do not matter', () => {
    const tree = treeOf(read(many(underlay(), passthrough({ ipv4: '192.169.10.17/28' }))));
    expect(tree.passthrough.localCIDR).toEqual({ ipv4: '192.169.10.16/28' });
  });

  test('a name that is no name of a peer, or that of one, is not taken', () => {
    expect(speakerOf(underlay(), passthrough(four, 'a'.repeat(60))).name).toBe('passthrough');
    const neighbors = [{ type: 'External', interface: 'eth1' }];
    expect(speakerOf(underlay({ neighbors }), passthrough(four, 'eth1')).name).toBe('passthrough');
  });

  test('without an Underlay it waits', () => {
    const result = read(passthrough());
    expect(result.config).toBeUndefined();
    expect(statesOf(result)).toEqual(['L3Passthrough/pt failed DependencyFailed']);
    expect(result.problems).toEqual([]);
  });

  test('an asn that is not used is said to be so', () => {
    const [report] = read(many(passthrough(), underlay({ asn: 64600 }))).resources;
    expect(report).toMatchObject({ state: 'applied', message: expect.stringContaining('64514 is not used') });
  });
});
