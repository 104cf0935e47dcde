// What the settings of a peer do to the routes it gives and gets: default routes of our own, drains, limits, other
// ASNs, families apart, and who we are changing while sessions are up.

import { expect, test } from 'vitest';
import { policy } from '../../test/sim/bed.ts';
import { AS_LOOP, AS_SET_REFUSED, BEST, CONFEDERATION_LOOP, MAX_PREFIX } from '../rib/reason.ts';
import type { Negotiated } from '../session/negotiate.ts';
import type { AttributesInput } from '../wire/bgp/attribute/describe.ts';
import { IPV4, IPV6 } from '../wire/bgp/family.ts';
import type { RouterConfig } from './config.ts';
import { nextHopTowards } from './export-terms.ts';
import { OwnAddresses } from './own-addresses.ts';
import type { Peer } from './peer.ts';
import {
  type Far,
  ip,
  neighbour,
  prefixNlri,
  type RouteRig,
  routeRig,
  update,
} from './route-rig.test-data.ts';

const outside: AttributesInput = { origin: 'igp', asPath: '65002' };
const both = 0b11;

function announce(far: Far, prefixes: string[], attributes = outside, nextHop = '192.0.2.2'): void {
  far.say(update(IPV4, prefixes.map(prefixNlri), { attributes, nextHop }));
}

/** The same peers with other settings of the one with this address. */
function change(rig: RouteRig, settings: object, config: Partial<RouterConfig> = {}, last = 3): void {
  const peers = rig.router.config.peers.map((peer) =>
    peer.kind === 'address' && peer.address.at(-1) === last ? { ...peer, ...settings } : peer,
  );
  rig.router.configure({ ...rig.router.config, peers, ...config });
  rig.run();
}

function reason(rig: RouteRig, text: string): number | undefined {
  const rib = rig.router.ribs[IPV4]!;
  const [length, ...bytes] = prefixNlri(text);
  const [a = 0, b = 0, c = 0, d = 0] = bytes;
  const id = rib.find(((a << 24) | (b << 16) | (c << 8) | d) >>> 0, 0, 0, 0, length!);
  return id < 0 ? undefined : rib.explain(id)[0]?.reason;
}

test('a default route of our own goes to the peer that wants it, through its policy, and is taken back live', () => {
  const rig = routeRig([
    neighbour('192.0.2.2', { families: both }),
    neighbour('192.0.2.3', { families: both, defaultOriginate: {} }),
  ]);
  const a = rig.up('192.0.2.2');
  const b = rig.up('192.0.2.3', 65003);
  expect([...b.has.keys()].sort()).toEqual(['0.0.0.0/0', '::/0']);
  expect(b.has.get('0.0.0.0/0')).toMatchObject({ nextHop: '192.0.2.1', attributes: { asPath: '65001' } });
  expect(b.ended).toEqual(new Set(['ipv4', 'ipv6']));
  expect(a.has.size).toBe(0);
  expect(rig.kernel.size).toBe(0);
  // One of somebody else's does not show through.
  announce(a, ['0.0.0.0/0', '10.0.0.0/8']);
  expect(b.has.get('0.0.0.0/0')!.attributes.asPath).toBe('65001');
  const mark = policy('mark', { set: { communities: { add: ['65001:9'] } }, action: 'accept' });
  change(rig, { byFamily: { [IPV4]: { defaultOriginate: { policy: mark } } } });
  expect(b.has.get('0.0.0.0/0')!.attributes.communities).toEqual(['65001:9']);
  expect(b.has.get('::/0')!.attributes).not.toHaveProperty('communities');
  change(rig, { byFamily: {}, defaultOriginate: undefined });
  expect(b.has.get('0.0.0.0/0')!.attributes.asPath).toBe('65001 65002');
  expect(b.has.has('::/0')).toBe(false);
  change(rig, { defaultOriginate: {} });
  expect(b.has.get('0.0.0.0/0')!.attributes.asPath).toBe('65001');
  expect(b.has.has('10.0.0.0/8')).toBe(true);
  expect(b.peer.counters.establishedCount).toBe(1);
});

test('a drain says so on the way out and is the last choice on the way in, without a reset (RFC 8326)', () => {
  const rig = routeRig([neighbour('192.0.2.2'), neighbour('192.0.2.3'), neighbour('192.0.2.4')]);
  const a = rig.up('192.0.2.2');
  const b = rig.up('192.0.2.3', 65003);
  const c = rig.up('192.0.2.4', 65004);
  announce(a, ['10.1.0.0/16']);
  announce(c, ['10.1.0.0/16'], { origin: 'igp', asPath: '65004 65004 65004' }, '192.0.2.4');
  expect(b.has.get('10.1.0.0/16')!.attributes.asPath).toBe('65001 65002');
  change(rig, { gracefulShutdown: true }, {}, 2);
  expect(b.has.get('10.1.0.0/16')!.attributes.asPath).toBe('65001 65004 65004 65004');
  expect(a.has.get('10.1.0.0/16')!.attributes.communities).toEqual(['graceful-shutdown']);
  change(rig, { gracefulShutdown: false }, { gracefulShutdown: true }, 2);
  expect(b.has.get('10.1.0.0/16')!.attributes.communities).toEqual(['graceful-shutdown']);
  change(rig, {}, { gracefulShutdown: false });
  expect(b.has.get('10.1.0.0/16')!.attributes).toEqual({
    origin: 'igp',
    asPath: '65001 65002',
    asPathSegments: expect.anything(),
  });
  expect(a.peer.counters.establishedCount + b.peer.counters.establishedCount).toBe(2);
  // What the neighbour drains is the last choice, too.
  announce(a, ['10.1.0.0/16'], { ...outside, communities: ['graceful-shutdown'] });
  expect(b.has.get('10.1.0.0/16')!.attributes.asPath).toBe('65001 65004 65004 65004');
});

test('what is refused anyhow does not count against a limit of what is accepted', () => {
  const maxPrefix = { limit: 2, action: 'drop', restartAfterMs: 1000, warnAtPercent: 50 } as const;
  const rig = routeRig([neighbour('192.0.2.2', { byFamily: { [IPV4]: { maxPrefix } } })]);
  const a = rig.up('192.0.2.2');
  const told = (): string[] => rig.events.flatMap((event) => (event.kind === 'maxPrefix' ? event.text : []));
  const looped = { origin: 'igp', asPath: '65002 65001' } as const;
  announce(a, ['10.1.0.0/16', '10.2.0.0/16', '10.3.0.0/16'], looped);
  expect(told()).toEqual([]);
  announce(a, ['10.4.0.0/16', '10.5.0.0/16', '10.6.0.0/16']);
  expect(reason(rig, '10.1.0.0/16')).toBe(AS_LOOP);
  expect(told().at(-1)).toContain('the limit is 2, those beyond are refused');
});

test('limits are of a family: warned of in time, surplus refused, or the session ended', () => {
  const maxPrefix = { limit: 4, action: 'drop', restartAfterMs: 1000, warnAtPercent: 75 } as const;
  const rig = routeRig([neighbour('192.0.2.2', { byFamily: { [IPV4]: { maxPrefix } } })]);
  const a = rig.up('192.0.2.2');
  const told = (): string[] => rig.events.flatMap((event) => (event.kind === 'maxPrefix' ? event.text : []));
  announce(a, ['10.1.0.0/16', '10.2.0.0/16']);
  expect(told()).toEqual([]);
  announce(a, ['10.3.0.0/16', '10.4.0.0/16']);
  expect(told()).toEqual(['4 of at most 4 ipv4 prefixes']);
  announce(a, ['10.5.0.0/16']);
  expect(told().at(-1)).toBe('5 ipv4 prefixes, the limit is 4, those beyond are refused');
  expect(reason(rig, '10.4.0.0/16')).toBe(BEST);
  expect(reason(rig, '10.5.0.0/16')).toBe(MAX_PREFIX);
  change(rig, { byFamily: { [IPV4]: { maxPrefix: { ...maxPrefix, limit: 9 } } } }, {}, 2);
  expect(reason(rig, '10.5.0.0/16')).toBe(BEST);
  expect(a.peer.counters.establishedCount).toBe(1);
  // A lower limit is held against what is there already.
  change(rig, { byFamily: { [IPV4]: { maxPrefix: { ...maxPrefix, action: 'restart' } } } }, {}, 2);
  expect(a.peer.established).toBeUndefined();
});

test('a family has its own policies', () => {
  const none = policy('none', { action: 'reject' });
  const rig = routeRig([
    neighbour('192.0.2.2', { families: both, byFamily: { [IPV6]: { import: none } } }),
    neighbour('192.0.2.3', { families: both }),
  ]);
  const a = rig.up('192.0.2.2');
  const b = rig.up('192.0.2.3', 65003);
  announce(a, ['10.1.0.0/16']);
  a.say(
    update(IPV6, [Uint8Array.of(32, 0x20, 1, 0xd, 0xb8)], {
      attributes: outside,
      nextHop: '2001:db8:ffff::2',
    }),
  );
  expect([...b.has.keys()]).toEqual(['10.1.0.0/16']);
  change(rig, { byFamily: {} }, {}, 2);
  expect([...b.has.keys()].sort()).toEqual(['10.1.0.0/16', '2001:db8::/32']);
  change(rig, { byFamily: { [IPV4]: { export: none } } });
  expect([...b.has.keys()]).toEqual(['2001:db8::/32']);
});

test('what import does not take, it takes once the settings allow it: AS_SETs, our own AS, another first AS', () => {
  const rig = routeRig([neighbour('192.0.2.2'), neighbour('192.0.2.3')]);
  const a = rig.up('192.0.2.2');
  announce(a, ['10.1.0.0/16'], { origin: 'igp', asPath: '65002 {65007 65008}' });
  announce(a, ['10.2.0.0/16'], { origin: 'igp', asPath: '65002 65001 65009' });
  expect([reason(rig, '10.1.0.0/16'), reason(rig, '10.2.0.0/16')]).toEqual([AS_SET_REFUSED, AS_LOOP]);
  announce(a, ['10.3.0.0/16'], { origin: 'igp', asPath: '65009 65002' });
  expect(reason(rig, '10.3.0.0/16')).toBeUndefined();
  change(rig, { asSet: 'accept', allowAsIn: 1, enforceFirstAs: false }, {}, 2);
  expect([reason(rig, '10.1.0.0/16'), reason(rig, '10.2.0.0/16')]).toEqual([BEST, BEST]);
  announce(a, ['10.3.0.0/16'], { origin: 'igp', asPath: '65009 65002' });
  expect(reason(rig, '10.3.0.0/16')).toBe(BEST);
  expect(a.peer.counters.establishedCount).toBe(1);
});

test('the path on its way out: local AS, override, private ASNs, route server', () => {
  for (const [settings, asPath] of [
    [{}, '65001 65002 65003 3356'],
    [{ asOverride: true }, '65001 65002 65001 3356'],
    [{ removePrivateAs: { all: true, replace: false } }, '65001 65003 3356'],
    [{ routeServerClient: true }, '65002 65003 3356'],
    [{ localAs: { asn: 64999, noPrepend: false, replaceAs: true } }, '64999 65002 65003 3356'],
  ] as const) {
    const rig = routeRig([neighbour('192.0.2.2'), neighbour('192.0.2.3', settings)]);
    const a = rig.up('192.0.2.2');
    const b = rig.up('192.0.2.3', 65003);
    announce(a, ['10.1.0.0/16'], { origin: 'igp', asPath: '65002 65003 3356' });
    expect(b.has.get('10.1.0.0/16')!.attributes.asPath).toBe(asPath);
  }
});

test('a host route with BLACKHOLE is discarded here and kept here, where the peer may ask for it (RFC 7999)', () => {
  const rig = routeRig([neighbour('192.0.2.2'), neighbour('192.0.2.3')]);
  const a = rig.up('192.0.2.2');
  const b = rig.up('192.0.2.3', 65003);
  announce(a, ['10.1.0.1/32'], { ...outside, communities: ['blackhole'] });
  expect(rig.kernel.get('10.1.0.1/32')).toEqual(['192.0.2.2%2']);
  expect(b.has.size).toBe(1);
  change(rig, { blackhole: true }, {}, 2);
  expect(rig.kernel.get('10.1.0.1/32')).toEqual(['discard']);
  expect(b.has.size).toBe(0);
  change(rig, { blackhole: false }, {}, 2);
  expect(rig.kernel.get('10.1.0.1/32')).toEqual(['192.0.2.2%2']);
  expect(b.has.size).toBe(1);
});

test('link bandwidths are the weights of the ways in the kernel', () => {
  const rig = routeRig([neighbour('192.0.2.2'), neighbour('192.0.2.3')], { linkBandwidth: true });
  const far = [rig.up('192.0.2.2'), rig.up('192.0.2.3', 65003)];
  const bandwidth = ['ext:0x4004fde84b989680', 'ext:0x4004fde84c989680'];
  for (const [i, one] of far.entries()) {
    const attributes: AttributesInput = {
      origin: 'igp',
      asPath: `6500${i + 2}`,
      extendedCommunities: [bandwidth[i]!],
    };
    announce(one, ['10.1.0.0/16'], attributes, `192.0.2.${i + 2}`);
  }
  expect(rig.kernel.get('10.1.0.0/16')).toEqual(['192.0.2.2%2*20', '192.0.2.3%2*80']);
});

test('origin validation re-runs the routes of those whose policies read it', () => {
  const invalid = policy('invalid', { match: { rpki: 'invalid' }, action: 'reject' });
  const rig = routeRig([neighbour('192.0.2.2', { import: invalid }), neighbour('192.0.2.3')]);
  const a = rig.up('192.0.2.2');
  const b = rig.up('192.0.2.3', 65003);
  announce(a, ['10.1.0.0/16', '10.2.0.0/16']);
  expect(b.has.size).toBe(2);
  const asked: number[][] = [];
  let isInvalid = 0x0a01_0000;
  rig.router.setOriginValidation((family, address, _b, _c, _d, length, origin) => {
    asked.push([family, length, origin]);
    return address === isInvalid ? 2 : 1;
  });
  rig.run();
  expect([...b.has.keys()]).toEqual(['10.2.0.0/16']);
  expect(asked).toContainEqual([IPV4, 16, 65002]);
  isInvalid = 0;
  rig.router.originValidationChanged();
  rig.run();
  expect(b.has.size).toBe(2);
});

test('another AS, router id or cluster of ours: sessions say so, routes are judged by it', () => {
  const rig = routeRig([neighbour('192.0.2.2'), neighbour('192.0.2.3')]);
  const a = rig.up('192.0.2.2');
  announce(a, ['10.1.0.0/16'], { origin: 'igp', asPath: '65002 65010' });
  rig.router.configure({ ...rig.router.config, clusterId: 77 });
  rig.run();
  expect(a.peer.counters.establishedCount).toBe(1);
  expect(a.peer.established).toBeDefined();
  rig.router.configure({ ...rig.router.config, asn: 65010 });
  rig.run();
  const down = rig.events.filter((event) => event.kind === 'peerDown');
  expect(down).toHaveLength(1);
  expect(down[0]!.reason.kind).toBe('configurationChanged');
  rig.run(2000);
  const again = rig.up('192.0.2.2');
  announce(again, ['10.1.0.0/16'], { origin: 'igp', asPath: '65002 65010' });
  expect(reason(rig, '10.1.0.0/16')).toBe(AS_LOOP);
});

test('with ADD-PATH a peer has several ways, each taken back by its identifier, also where a reload moves it', () => {
  const addPath = { receive: false, send: 'all', sendMax: 4 } as const;
  const capability = { kind: 'addPath', entries: [{ afi: 1, safi: 1, sendReceive: 1 }] } as const;
  const rig = routeRig([
    neighbour('192.0.2.2'),
    neighbour('192.0.2.4'),
    neighbour('192.0.2.3', { families: 1, byFamily: { [IPV4]: { addPath } } }),
  ]);
  const far = [rig.up('192.0.2.2'), rig.up('192.0.2.4', 65004)];
  const b = rig.up('192.0.2.3', 65003, [capability]);
  announce(far[0]!, ['10.1.0.0/16', '10.2.0.0/16']);
  announce(far[1]!, ['10.1.0.0/16'], { origin: 'igp', asPath: '65004 65009' }, '192.0.2.4');
  const paths = (): (string | undefined)[] =>
    [...b.has.values()].map(({ attributes }) => attributes.asPath).sort();
  expect(paths()).toEqual(['65001 65002', '65001 65002', '65001 65004 65009']);
  const short = policy('short', { match: { asPathLength: { min: 2 } }, action: 'reject' });
  change(rig, { byFamily: { [IPV4]: { addPath, export: short } } });
  expect(paths()).toEqual(['65001 65002', '65001 65002']);
  change(rig, { byFamily: { [IPV4]: { addPath } } });
  expect(paths()).toHaveLength(3);
  far[0]!.say(update(IPV4, [prefixNlri('10.1.0.0/16')]));
  expect(paths()).toEqual(['65001 65002', '65001 65004 65009']);
  expect(b.peer.counters.establishedCount).toBe(1);
});

test('no more paths of a route are taken than we said we want', () => {
  const addPath = { receive: true, send: 'none', sendMax: 0, receiveMax: 2 } as const;
  const rig = routeRig([neighbour('192.0.2.2', { families: 1, addPath })]);
  const a = rig.up('192.0.2.2', 65002, [{ kind: 'addPath', entries: [{ afi: 1, safi: 1, sendReceive: 2 }] }]);
  const path = (id: number): Uint8Array => Uint8Array.of(0, 0, 0, id, ...prefixNlri('10.1.0.0/16'));
  const told = { attributes: outside, nextHop: '192.0.2.2' };
  a.say(update(IPV4, [path(1), path(2), path(3)], told));
  const rib = rig.router.ribs[IPV4]!;
  expect(rib.paths.size).toBe(2);
  a.say(update(IPV4, [path(2)], { ...told, attributes: { origin: 'egp', asPath: '65002' } }));
  expect(rib.paths.size).toBe(2);
  a.say(update(IPV4, [path(1)]), update(IPV4, [path(3)], told));
  expect(rib.paths.size).toBe(2);
  expect(rig.events.filter(({ kind }) => kind === 'maxPrefix')).toMatchObject([
    { text: 'more than 2 paths of one ipv4 route: those beyond are not taken' },
  ]);
});

test('a peer in our own member AS passes on paths with confederation segments (RFC 5065 4.1)', () => {
  const rig = routeRig([neighbour('192.0.2.2', { remoteAs: { kind: 'list', ranges: [[65001, 65001]] } })]);
  const attributes: AttributesInput = {
    origin: 'igp',
    asPathSegments: [{ kind: 'confedSequence', asns: [65002] }],
    localPref: 100,
  };
  const near = rig.up('192.0.2.2', 65001);
  announce(near, ['10.1.0.0/16'], attributes);
  expect(rig.router.ribs[IPV4]!.paths.size).toBe(0);
  rig.router.configure({ ...rig.router.config, confederation: { id: 100, members: [[65001, 65009]] } });
  announce(near, ['10.1.0.0/16'], attributes);
  expect(rig.router.ribs[IPV4]!.paths.size).toBe(1);
});

test('a router that becomes member of a confederation shows the world one AS (RFC 5065)', () => {
  const member = { remoteAs: { kind: 'list', ranges: [[65002, 65002]] } } as const;
  const rig = routeRig([neighbour('192.0.2.2', member), neighbour('192.0.2.3')]);
  const open = (): Far[] => [rig.up('192.0.2.2', 65002), rig.up('192.0.2.3', 65003)];
  const [a, b] = open();
  announce(a!, ['10.1.0.0/16']);
  expect(b!.has.get('10.1.0.0/16')!.attributes.asPath).toBe('65001 65002');
  rig.router.configure({ ...rig.router.config, confederation: { id: 100, members: [[65001, 65009]] } });
  rig.run(3000);
  expect(rig.events.filter(({ kind }) => kind === 'peerDown')).toHaveLength(2);
  const [within, beyond] = open();
  const attributes: AttributesInput = {
    origin: 'igp',
    asPathSegments: [{ kind: 'confedSequence', asns: [65002] }],
    localPref: 100,
  };
  announce(within!, ['10.1.0.0/16'], attributes);
  expect(within!.peer.negotiated).toMatchObject({ internal: false, confederation: true });
  expect(beyond!.has.get('10.1.0.0/16')!.attributes.asPath).toBe('100');
  const looped = [{ kind: 'confedSequence' as const, asns: [65002, 65001] }];
  announce(within!, ['10.2.0.0/16'], { ...attributes, asPathSegments: looped });
  expect(reason(rig, '10.2.0.0/16')).toBe(CONFEDERATION_LOOP);
});

test('with ADD-PATH a default route of our own comes and goes beside those of others, by its identifier', () => {
  const addPath = { receive: false, send: 'all', sendMax: 4 } as const;
  const capability = { kind: 'addPath', entries: [{ afi: 1, safi: 1, sendReceive: 1 }] } as const;
  const settings = { families: 1, byFamily: { [IPV4]: { addPath } } };
  const rig = routeRig([neighbour('192.0.2.2'), neighbour('192.0.2.3', settings)]);
  const a = rig.up('192.0.2.2');
  const b = rig.up('192.0.2.3', 65003, [capability]);
  const paths = (): (string | undefined)[] => [...b.has.values()].map(({ attributes }) => attributes.asPath);
  const given = { byFamily: { [IPV4]: { addPath, defaultOriginate: {} } } };
  change(rig, given);
  expect(paths()).toEqual(['65001']);
  change(rig, settings);
  expect(paths()).toEqual([]);
  announce(a, ['0.0.0.0/0']);
  expect(paths()).toEqual(['65001 65002']);
  change(rig, given);
  expect(paths()).toEqual(['65001']);
  change(rig, settings);
  expect(paths()).toEqual(['65001 65002']);
  expect(b.peer.counters.establishedCount).toBe(1);
});

test('a link-local next hop goes alone to a peer that says it can read it, else twice (RFC 2545)', () => {
  const towards = (local: string, family: number, linkLocalNextHop: boolean): number[] => {
    const peer = { established: { local: ip(local) }, ifindex: 2 } as unknown as Peer;
    const negotiated = { linkLocalNextHop, extendedNextHop: 1 << IPV4 } as Negotiated;
    return [...nextHopTowards({} as RouterConfig, new OwnAddresses(), peer, negotiated, family)];
  };
  const near = [...ip('fe80::1')];
  for (const family of [IPV4, IPV6]) {
    expect(towards('fe80::1', family, true)).toEqual(near);
    expect(towards('fe80::1', family, false)).toEqual([...near, ...near]);
    expect(towards('2001:db8::1', family, false)).toEqual([...ip('2001:db8::1')]);
  }
});

test('the peer whose attributes outgrow the memory goes and waits for the operator, the others stay', () => {
  const rig = routeRig([neighbour('192.0.2.2'), neighbour('192.0.2.3')], {});
  const small = rig.up('192.0.2.2');
  const great = rig.up('192.0.2.3', 65003);
  announce(small, ['198.51.100.0/24']);
  rig.router.memoryLimit.pagesMax = 1;
  for (let i = 0; i < 400 && great.peer.established !== undefined; i++) {
    const communities = Array.from({ length: 900 }, (_, k) => `${i}:${k}`);
    announce(
      great,
      [`10.${i >> 8}.${i & 255}.0/24`],
      { ...outside, asPath: '65003', communities },
      '192.0.2.3',
    );
  }
  rig.run(100);
  expect(great.peer.established).toBeUndefined();
  expect(great.peer.lastDown).toMatchObject({ kind: 'outOfResources' });
  expect(great.peer.heldUntilMs).toBe(Number.POSITIVE_INFINITY);
  expect(rig.events).toContainEqual({
    kind: 'maxPrefix',
    peer: '192.0.2.3',
    text: expect.stringContaining('MB of path'),
  });
  expect(small.peer.established).toBeDefined();
  expect(rig.router.ribs[IPV4]!.routeCount).toBe(1);
});
