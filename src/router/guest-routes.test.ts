// Routes of guests: in the kernel on their link, told with their sequence, and what others say of the same addresses.

import { expect, test } from 'vitest';
import { compilePolicies, policyChain } from '../policy/compile.ts';
import { IPV4, IPV6 } from '../wire/bgp/family.ts';
import type { AddressPeer } from './config.ts';
import { ip, neighbour, prefixNlri, type RouteRig, routeRig, update } from './route-rig.test-data.ts';

const TAP = 7;
const BRIDGE = 8;
const FOUR = ip('198.51.100.7');
const SIX = ip('2001:db8:100::7');
const settled = { ifindex: TAP, sequence: 3, fresh: false, metric: 0 };

const external = (more: Partial<AddressPeer> = {}) => neighbour('192.0.2.2', more);
const internal = neighbour('192.0.2.3', { remoteAs: { kind: 'internal' } });

function withLinks(rig: RouteRig): RouteRig {
  rig.router.linkChanged({ ifindex: TAP, name: 'tap7', up: true });
  rig.router.linkChanged({ ifindex: BRIDGE, name: 'vmbr1', up: true });
  rig.run();
  return rig;
}

function says(prefix: string, largeCommunities: string[], asPath = '65002'): Uint8Array {
  const four = !prefix.includes(':');
  const nextHop = four ? '192.0.2.2' : '2001:db8:ffff::2';
  const attributes = { origin: 'igp', asPath, localPref: 100, largeCommunities } as const;
  return update(four ? IPV4 : IPV6, [prefixNlri(prefix)], { attributes, nextHop });
}

const gone = (prefix: string): Uint8Array => update(IPV4, [prefixNlri(prefix)]);

test('a guest is reached on its link, in both families, and told as the link is', () => {
  const rig = withLinks(routeRig([external()]));
  const far = rig.up('192.0.2.2');
  rig.router.guests.set(FOUR, settled);
  rig.router.guests.set(SIX, { ...settled, ifindex: BRIDGE, metric: 30 });
  expect(rig.router.guests.isAnnounced(FOUR)).toBe(false);
  rig.run();
  expect([...rig.kernel].sort()).toEqual([
    ['198.51.100.7/32', ['%7']],
    ['2001:db8:100::7/128', ['%8']],
  ]);
  expect(rig.metrics.get('2001:db8:100::7/128')).toBe(30);
  expect(rig.metrics.get('198.51.100.7/32')).toBe(0);
  expect(rig.router.guests.isAnnounced(FOUR)).toBe(true);
  const told = far.has.get('198.51.100.7/32')!;
  // Settled: our AS once more, the sequence, and ourselves as next hop.
  expect(told.attributes).toMatchObject({ asPath: '65001 65001', largeCommunities: ['65001:28022:3'] });
  expect(told.nextHop).toBe('192.0.2.1');
  expect(far.has.has('2001:db8:100::7/128')).toBe(true);

  rig.router.linkChanged({ ifindex: TAP, name: 'tap7', up: false });
  rig.run();
  expect(far.has.has('198.51.100.7/32')).toBe(false);
  expect(rig.kernel.has('198.51.100.7/32')).toBe(false);
  expect(rig.router.guests.isAnnounced(FOUR)).toBe(false);
  rig.router.linkChanged({ ifindex: TAP, name: 'tap7', up: true });
  rig.run();
  expect(far.has.has('198.51.100.7/32')).toBe(true);

  rig.router.linkRemoved(TAP);
  rig.router.guests.remove(FOUR);
  rig.router.guests.remove(SIX);
  rig.run();
  expect([rig.kernel.size, far.has.size, rig.router.origination.size]).toEqual([0, 0, 0]);
  expect(rig.router.nextHopTable.size).toBe(0);
});

test('a fresh move is told with the higher LOCAL_PREF inside and without the prepend outside', () => {
  const rig = withLinks(routeRig([external(), internal], { guests: { freshPreference: 250 } }));
  const [outside, inside] = [rig.up('192.0.2.2'), rig.up('192.0.2.3', 65001)];
  rig.router.guests.set(FOUR, { ...settled, fresh: true, metric: 10 });
  rig.run();
  const asTold = () => [outside, inside].map((far) => far.has.get('198.51.100.7/32')!.attributes);
  expect(asTold()).toMatchObject([
    { asPath: '65001', largeCommunities: ['65001:28023:3'] },
    { asPath: '', localPref: 250, largeCommunities: ['65001:28023:3'] },
  ]);
  rig.given.length = 0;
  rig.router.guests.set(FOUR, { ...settled, metric: 20 });
  rig.run();
  expect(asTold()).toMatchObject([
    { asPath: '65001 65001', largeCommunities: ['65001:28022:3'] },
    { asPath: '', localPref: 100, largeCommunities: ['65001:28022:3'] },
  ]);
  // The kernel is told of the other metric once, and of nothing in between.
  expect(rig.given).toEqual(['198.51.100.7/32 %7 20']);
  rig.given.length = 0;
  rig.router.guests.set(FOUR, { ...settled, metric: 20 });
  rig.run();
  expect(rig.given).toEqual([]);
  // Another link: one message as well.
  rig.router.guests.set(FOUR, { ...settled, metric: 20, ifindex: BRIDGE });
  rig.run();
  expect(rig.given).toEqual(['198.51.100.7/32 %8 20']);
  rig.given.length = 0;
  rig.router.guests.remove(FOUR);
  rig.run();
  expect(rig.given).toEqual(['198.51.100.7/32 gone']);
});

test('a metric of its own is over the distances, and only while the route is ours', () => {
  const distance = { external: 50, internal: 150, local: 200 };
  const rig = withLinks(routeRig([external()], { distance }));
  const far = rig.up('192.0.2.2');
  rig.router.guests.set(FOUR, { ...settled, metric: 30 });
  rig.router.guests.set(SIX, settled);
  rig.run();
  expect([...rig.metrics].sort()).toEqual([
    ['198.51.100.7/32', 30],
    ['2001:db8:100::7/128', 200],
  ]);
  far.say(says('198.51.100.7/32', []));
  rig.router.linkChanged({ ifindex: TAP, name: 'tap7', up: false });
  rig.run();
  expect([...rig.kernel]).toEqual([['198.51.100.7/32', ['192.0.2.2%2']]]);
  expect(rig.metrics.get('198.51.100.7/32')).toBe(50);
  rig.router.linkChanged({ ifindex: TAP, name: 'tap7', up: true });
  rig.run();
  expect(rig.metrics.get('198.51.100.7/32')).toBe(30);
});

test('watching tells the highest sequence of other nodes, also where their path is not the best', () => {
  const peers = [external({ moves: true }), internal];
  const rig = withLinks(routeRig(peers));
  const [outside, inside] = [rig.up('192.0.2.2'), rig.up('192.0.2.3', 65001)];
  outside.say(says('198.51.100.7/32', ['65002:28022:1']));
  rig.router.guests.set(FOUR, settled);
  rig.run();
  expect(rig.router.guests.watch(FOUR)).toEqual({ sequence: 1 });
  expect(rig.router.guests.watch(SIX)).toBeUndefined();
  expect(rig.heard).toEqual([]);
  inside.say(says('198.51.100.7/32', ['65009:28023:4', '1:2:3', '65002:28022:2']));
  expect(rig.heard).toEqual(['198.51.100.7 4']);
  // Our own is the best all the time, by weight.
  expect(rig.router.guests.isAnnounced(FOUR)).toBe(true);
  outside.say(says('198.51.100.7/32', ['65002:28022:2']));
  expect(rig.heard).toHaveLength(1);
  inside.say(gone('198.51.100.7/32'));
  expect(rig.heard.at(-1)).toBe('198.51.100.7 2');
  // A session that ends takes what it said with it.
  rig.router.connectionLost(outside.connection);
  rig.run();
  expect(rig.heard.at(-1)).toBe('198.51.100.7 nobody');
  const six = '2001:db8:100::7/128';
  inside.say(
    update(IPV6, [prefixNlri(six)], {
      attributes: { origin: 'igp', asPath: '', localPref: 100 },
      nextHop: '2001:db8:ffff::2',
    }),
  );
  expect(rig.heard.at(-1)).toBe('2001:db8:100::7 0');
  rig.router.guests.unwatch(FOUR);
  rig.router.guests.unwatch(SIX);
  const count = rig.heard.length;
  inside.say(says('198.51.100.7/32', ['65009:28023:9']));
  expect(rig.heard).toHaveLength(count);
});

test('what is heard may be answered from within: the source lets go, and sends stragglers after its guest', () => {
  const rig = withLinks(routeRig([external({ moves: true })]));
  const far = rig.up('192.0.2.2');
  rig.router.guests.set(FOUR, settled);
  rig.run();
  rig.router.guests.watch(FOUR);
  far.say(says('198.51.100.7/32', ['65002:28023:4']));
  expect(rig.heard).toEqual(['198.51.100.7 4']);
  rig.router.guests.remove(FOUR);
  rig.run();
  expect(rig.kernel.get('198.51.100.7/32')).toEqual(['192.0.2.2%2']);
  expect(far.has.has('198.51.100.7/32')).toBe(false);
  // Back again, one higher.
  rig.router.guests.set(FOUR, { ...settled, sequence: 5, fresh: true });
  rig.run();
  expect(far.has.get('198.51.100.7/32')!.attributes.largeCommunities).toEqual(['65001:28023:5']);
  expect(rig.kernel.get('198.51.100.7/32')).toEqual(['%7']);
});

test('whom nobody believes about moves is heard without them', () => {
  const rig = withLinks(routeRig([external()]));
  const far = rig.up('192.0.2.2');
  expect(rig.router.guests.watch(FOUR)).toBeUndefined();
  far.say(says('198.51.100.7/32', ['65002:28023:9', '1:2:3']));
  expect(rig.heard).toEqual(['198.51.100.7 0']);
  const { config } = rig.router;
  rig.router.configure({ ...config, peers: [external({ moves: true })] });
  rig.run();
  expect(rig.heard).toEqual(['198.51.100.7 0', '198.51.100.7 9']);
  expect(far.peer.counters.establishedCount).toBe(1);
});

test('guests come with the first word after a restart, before End-of-RIB', () => {
  const rig = routeRig([external()], { gracefulRestart: restart }, { restarting: true });
  rig.router.guests.set(FOUR, settled);
  withLinks(rig);
  const far = rig.up('192.0.2.2');
  expect([far.has.size, far.ended.size]).toEqual([0, 0]);
  far.say(update(IPV4, []), update(IPV6, []));
  rig.run(5000);
  expect(far.has.has('198.51.100.7/32')).toBe(true);
  expect(far.ended.size).toBe(2);
});

test('a guest that went elsewhere while we were away is never announced by us', () => {
  const settings = { gracefulRestart: restart };
  const rig = routeRig([external({ moves: true })], settings, {
    restarting: true,
    onHeard: (router, address) => router.guests.remove(address),
  });
  withLinks(rig);
  const far = rig.up('192.0.2.2');
  const told: string[] = [];
  const { set } = far.has;
  far.has.set = (key, value) => {
    told.push(key);
    return set.call(far.has, key, value);
  };
  rig.router.guests.set(FOUR, settled);
  rig.router.guests.set(SIX, settled);
  rig.router.guests.watch(FOUR);
  far.say(says('198.51.100.7/32', ['65002:28022:4']), update(IPV4, []), update(IPV6, []));
  rig.run(5000);
  expect(rig.heard).toEqual(['198.51.100.7 4']);
  expect(told).toEqual(['2001:db8:100::7/128']);
  expect(rig.kernel.get('198.51.100.7/32')).toEqual(['192.0.2.2%2']);
});

const restart = { restartTimeMs: 120_000, stalePathTimeMs: 360_000, notification: true };

test('four thousand guests on two thousand links in one turn', () => {
  const rig = routeRig([external()]);
  const far = rig.up('192.0.2.2');
  for (let i = 0; i < 2000; i++) rig.router.linkChanged({ ifindex: 100 + i, name: `tap${i}`, up: true });
  rig.run();
  const started = performance.now();
  for (let i = 0; i < 2000; i++) {
    const route = { ...settled, ifindex: 100 + i };
    rig.router.guests.set(Uint8Array.of(198, 18, i >> 8, i), route);
    const six = SIX.slice();
    six[14] = i >> 8;
    six[15] = i;
    rig.router.guests.set(six, route);
  }
  rig.run();
  const tookMs = performance.now() - started;
  expect(far.has.size).toBe(4000);
  expect(rig.kernel.size).toBe(4000);
  expect(tookMs).toBeLessThan(1500);
});

test('the policy of guests sets attributes; what it refuses is in the kernel and told to nobody', () => {
  const policies = compilePolicies({
    policies: {
      tenants: {
        rules: [
          { name: 'no six', match: { family: 'ipv6' }, action: 'reject' },
          {
            name: 'mark',
            match: { source: 'guest' },
            set: { communities: { add: ['65001:7'] } },
            action: 'accept',
          },
        ],
        default: 'reject',
      },
    },
  });
  const policy = policyChain(policies, ['tenants'], 'guests');
  const rig = withLinks(routeRig([external()], { guests: { freshPreference: 200, policy } }));
  const far = rig.up('192.0.2.2');
  rig.router.guests.set(FOUR, settled);
  rig.router.guests.set(SIX, settled);
  rig.run();
  expect([...far.has.keys()]).toEqual(['198.51.100.7/32']);
  expect(far.has.get('198.51.100.7/32')!.attributes.communities).toEqual(['65001:7']);
  expect(rig.kernel.get('2001:db8:100::7/128')).toEqual(['%7']);
  expect(rig.router.guests.isAnnounced(SIX)).toBe(false);
  // Without the policy all are told.
  rig.router.configure({ ...rig.router.config, guests: { freshPreference: 200 } });
  rig.run();
  expect(far.has.size).toBe(2);
  expect(far.has.get('198.51.100.7/32')!.attributes.communities).toBeUndefined();
});
