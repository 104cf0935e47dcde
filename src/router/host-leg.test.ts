// A router between a ToR and the BGP speakers of its own host (L3 passthrough): all of them on one leg, each with a
// session of its own, and everything that one side says told to the other.

import { describe, expect, test } from 'vitest';
import { formatIp } from '../net/ip.ts';
import { IPV4, IPV6 } from '../wire/bgp/family.ts';
import type { RouterConfig } from './config.ts';
import {
  type Far,
  ip,
  neighbour,
  prefixNlri,
  type RouteRig,
  routeRig,
  update,
} from './route-rig.test-data.ts';
import { openOf, peerAt, rig } from './session-rig.test-data.ts';

const TOR = '198.51.100.2';
const SERVICE = '172.30.0.10/32';
const FABRIC = '192.170.20.0/24';
const OURS = '192.0.2.1';

const base: Partial<RouterConfig> = { asn: 64514 };

function leg(hosts: ReturnType<typeof neighbour>[], settings: Partial<RouterConfig> = {}): RouteRig {
  const r = routeRig([neighbour(TOR), ...hosts], { ...base, ...settings });
  const uplink = { source: 'connected', metric: 0, ifindex: 3, protocol: 2 } as const;
  r.router.linkChanged({ ifindex: 3, name: 'eth1', up: true });
  r.router.localAddress(ip('198.51.100.1'), true, 3, 24);
  r.router.localAddress(ip('2001:db8:eeee::1'), true, 3, 64);
  r.router.kernelRouteAdded({ ...uplink, bytes: ip('198.51.100.0'), length: 24 });
  r.router.kernelRouteAdded({ ...uplink, bytes: ip('2001:db8:eeee::'), length: 64 });
  return r;
}

function says(far: Far, prefix: string, asPath: string, nextHop: string): void {
  const attributes = { origin: 'igp', asPath, ...(asPath === '' && { localPref: 100 }) } as const;
  const family = prefix.includes(':') ? IPV6 : IPV4;
  far.say(update(family, [prefixNlri(prefix)], { attributes, nextHop }));
}

function withdraws(far: Far, prefix: string): void {
  far.say(update(IPV4, [prefixNlri(prefix)]));
}

const told = (far: Far, prefix: string): string | undefined => {
  const route = far.has.get(prefix);
  return route && `${route.attributes.asPath} via ${route.nextHop}`;
};

test('each side sees the path through both, and us as next hop', () => {
  const r = leg([neighbour('192.0.2.2')]);
  const tor = r.up(TOR, 64512);
  const host = r.up('192.0.2.2', 64515);
  says(host, SERVICE, '64515', '192.0.2.2');
  says(tor, FABRIC, '64512', TOR);
  r.run();
  expect(told(tor, SERVICE)).toBe(`64514 64515 via ${OURS}`);
  expect(told(host, FABRIC)).toBe(`64514 64512 via ${OURS}`);
  expect(r.kernel).toEqual(
    new Map([
      [SERVICE, ['192.0.2.2%2']],
      [FABRIC, [`${TOR}%3`]],
    ]),
  );
});

test('a host within our AS gets us as next hop, of what comes from outside and of what is reflected', () => {
  const internal = {
    remoteAs: { kind: 'internal' },
    nextHopSelf: 'all',
    routeReflectorClient: true,
  } as const;
  const r = leg([neighbour('192.0.2.2', internal), neighbour('192.0.2.3', internal)]);
  const tor = r.up(TOR, 64512);
  const one = r.up('192.0.2.2', 64514);
  const other = r.up('192.0.2.3', 64514);
  says(tor, FABRIC, '64512', TOR);
  says(one, SERVICE, '', '192.0.2.2');
  r.run();
  expect([told(one, FABRIC), told(other, FABRIC)]).toEqual([`64512 via ${OURS}`, `64512 via ${OURS}`]);
  expect(told(other, SERVICE)).toBe(` via ${OURS}`);
  expect(told(tor, SERVICE)).toBe(`64514 via ${OURS}`);
});

describe('both families on one session', () => {
  const service6 = '2001:db8:30::10/128';

  test('over IPv4: IPv6 routes have our global address of the leg as next hop', () => {
    const r = leg([neighbour('192.0.2.2')]);
    const tor = r.up(TOR, 64512);
    const host = r.up('192.0.2.2', 64515);
    says(host, service6, '64515', '2001:db8:ffff::2');
    says(tor, '2001:db8:20::/48', '64512', '2001:db8:eeee::2');
    r.run();
    expect(told(host, '2001:db8:20::/48')).toBe('64514 64512 via 2001:db8:ffff::1');
    expect(r.kernel.get(service6)).toEqual(['2001:db8:ffff::2%2']);
  });

  test('over IPv6: IPv4 routes have it too, where the host can read that (RFC 8950)', () => {
    const can = [{ kind: 'extendedNextHop', entries: [{ afi: 1, safi: 1, nextHopAfi: 2 }] }] as const;
    for (const more of [[], can]) {
      const r = leg([neighbour('2001:db8:ffff::2')]);
      const tor = r.up(TOR, 64512);
      const host = r.up('2001:db8:ffff::2', 64515, [...more]);
      says(tor, FABRIC, '64512', TOR);
      r.run();
      const hop = more.length === 0 ? OURS : '2001:db8:ffff::1';
      expect(told(host, FABRIC)).toBe(`64514 64512 via ${hop}`);
    }
  });
});

test('a host that names its IPv4 address for IPv6 routes, as FRR may, is meant itself', () => {
  const service6 = '2001:db8:30::10/128';
  const mapped = '::ffff:192.0.2.2';
  const r = leg([neighbour('2001:db8:ffff::2'), neighbour('192.0.2.3')]);
  const tor = r.up(TOR, 64512);
  const host = r.up('2001:db8:ffff::2', 64515);
  says(host, service6, '64515', mapped);
  r.run();
  expect(r.kernel.get(service6)).toEqual(['2001:db8:ffff::2%2']);
  expect(told(tor, service6)).toMatch(/^64514 64515 via /);
  // Over IPv4 there is no address that it could mean.
  const four = r.up('192.0.2.3', 64516);
  says(four, '2001:db8:30::20/128', '64516', mapped);
  r.run();
  expect(told(tor, '2001:db8:30::20/128')).toBeUndefined();
  expect(r.kernel.size).toBe(1);
});

test('the address of the host is told, though it is within the subnet of the leg, and no route of ours', () => {
  const own = { bytes: ip('192.0.2.2'), length: 32 };
  const r = leg([neighbour('192.0.2.2')], { networks: [own] });
  const tor = r.up(TOR, 64512);
  expect(told(tor, '192.0.2.2/32')).toBe(`64514 via ${OURS}`);
  expect(r.kernel.has('192.0.2.2/32')).toBe(false);
  // The host says the same of itself: it is still the subnet that leads there.
  const host = r.up('192.0.2.2', 64515);
  says(host, '192.0.2.2/32', '64515', '192.0.2.2');
  r.run();
  expect(r.kernel.has('192.0.2.2/32')).toBe(false);
  expect(told(tor, '192.0.2.2/32')).toBe(`64514 via ${OURS}`);
});

test.each([
  ['in different ASes', 64515, 64516],
  ['in one AS', 64515, 64515],
])('speakers %s that announce the same prefix share its packets', (_name, asnA, asnB) => {
  const r = leg([neighbour('192.0.2.2'), neighbour('192.0.2.3')]);
  const tor = r.up(TOR, 64512);
  const one = r.up('192.0.2.2', asnA);
  const other = r.up('192.0.2.3', asnB);
  says(one, SERVICE, String(asnA), '192.0.2.2');
  says(other, SERVICE, String(asnB), '192.0.2.3');
  r.run();
  expect(r.kernel.get(SERVICE)!.toSorted()).toEqual(['192.0.2.2%2', '192.0.2.3%2']);
  expect(told(tor, SERVICE)).toBe(`64514 64515 via ${OURS}`);
  withdraws(one, SERVICE);
  r.run();
  expect(r.kernel.get(SERVICE)).toEqual(['192.0.2.3%2']);
  expect(told(tor, SERVICE)).toBe(`64514 ${asnB} via ${OURS}`);
  withdraws(other, SERVICE);
  r.run();
  expect([told(tor, SERVICE), r.kernel.get(SERVICE)]).toEqual([undefined, undefined]);
});

test.each([0, 1])(
  'a host that says the routes of the fabric back changes nothing (allowAsIn %i)',
  (allowAsIn) => {
    const r = leg([neighbour('192.0.2.2', { allowAsIn }), neighbour('192.0.2.3')]);
    const tor = r.up(TOR, 64512);
    const host = r.up('192.0.2.2', 64515);
    const other = r.up('192.0.2.3', 64516);
    says(tor, FABRIC, '64512', TOR);
    says(host, FABRIC, '64515 64514 64512', '192.0.2.2');
    r.run();
    expect(r.kernel.get(FABRIC)).toEqual([`${TOR}%3`]);
    expect(told(other, FABRIC)).toBe(`64514 64512 via ${OURS}`);
    expect(told(tor, FABRIC)).toBeUndefined();
    // When the fabric's own is gone, what the host says is a route only where the operator has allowed that.
    withdraws(tor, FABRIC);
    r.run();
    expect(r.kernel.has(FABRIC)).toBe(allowAsIn === 1);
  },
);

describe('while sessions are up', () => {
  const bfd = { minTxMs: 300, minRxMs: 300, multiplier: 3, passive: false, minTtl: 254 };
  const peers = [peerAt('192.0.2.2', { bfd }), peerAt('192.0.2.3', { bfd })];

  function both() {
    const r = rig(peers);
    const connections = ['192.0.2.2', '192.0.2.3'].map((at) => r.up(at));
    for (const connection of connections) r.sent(connection);
    r.bfd.length = 0;
    const untouched = () => {
      r.run(10);
      expect(connections.map((connection) => r.sent(connection))).toEqual([[], []]);
      for (const peer of peers) expect(r.peer(formatIp(peer.address)).counters.establishedCount).toBe(1);
    };
    return { r, untouched };
  }

  test('another BFD interval of one is for its BFD session alone', () => {
    const { r, untouched } = both();
    const slower = peerAt('192.0.2.2', { bfd: { ...bfd, minTxMs: 500 } });
    r.router.configure({ ...r.router.config, peers: [slower, peers[1]!] });
    untouched();
    expect(r.bfd).toEqual([
      {
        peer: r.peer('192.0.2.2').index,
        wanted: expect.objectContaining({ settings: expect.objectContaining({ minTxMs: 500 }) }),
      },
    ]);
  });

  test('another neighbour, and how long a restart waits, are nobody else’s business', () => {
    const { r, untouched } = both();
    const more = [...peers.map((peer) => ({ ...peer, awaitMs: 5000 })), peerAt('192.0.2.4')];
    r.router.configure({ ...r.router.config, peers: more });
    untouched();
    expect(r.bfd).toEqual([]);
    r.up('192.0.2.4', openOf());
    untouched();
    r.router.configure({ ...r.router.config, peers });
    untouched();
  });
});
