import { describe, expect, test } from 'vitest';
import { RTC, VPNV4 } from '../wire/bgp/family.ts';
import { nlriCodecs } from '../wire/bgp/nlri/opaque.ts';
import { type ExportOptions, exportReasonNames } from './export-options.ts';
import { NEXT_HOP_SELF } from './next-hop-table.ts';
import { PREFIX_SUMMARIZED } from './prefixes.ts';
import { RouteTargetFilter, RouteTargetFilters } from './route-target-filter.ts';
import { attributeBytes, fresh, type SampleAttributes, settled } from './sample-attributes.test-data.ts';
import { filterOf, LOCAL_AS, type Network, network, P } from './sample-network.test-data.ts';
import { verifyGroup } from './verify.ts';

const hex = (sample: SampleAttributes): string => Buffer.from(attributeBytes(sample)).toString('hex');

type Source = 'external' | 'internal' | 'confederation';

/** What a member of a group with these options gets of one route, and the reason. */
function told(
  options: Partial<ExportOptions>,
  attributes: SampleAttributes,
  source: Source = 'external',
  identity: { confederationId?: number } = {},
): { attributes: string | undefined; via: string | undefined; reason: string; net: Network } {
  const net = network(options, undefined, undefined, identity);
  const from = net.peer(source, 1, false, { allowAsIn: 9 });
  const member = net.join(net.peer(options.kind ?? 'external', 2));
  const id = net.say(from, P, attributes, net.hop(1));
  net.settle();
  expect(verifyGroup(net.group)).toEqual([]);
  const route = net.receivers[member]!.routes.get(`${P}/24`);
  const [sent, via] = route?.split(' via ') ?? [];
  return { attributes: sent, via, reason: exportReasonNames[net.group.explain(member, id)]!, net };
}

describe('confederations (RFC 5065)', () => {
  const identity = { confederationId: 100 };
  const from: SampleAttributes = { asPath: [{ confed: [65101] }, 7], med: 5, localPref: 200 };

  test('to another member AS: ours in an AS_CONFED_SEQUENCE, LOCAL_PREF, MED and next hop stay', () => {
    const options = { kind: 'confederation' as const, confederationId: 100 };
    const seen = told(options, from, 'confederation', identity);
    const sent = { ...from, asPath: [{ confed: [LOCAL_AS, 65101] }, 7] };
    expect([seen.attributes, seen.via]).toEqual([hex(sent), '20202001']);
    const fresh = told(options, { asPath: [7], localPref: 200 }, 'external', identity);
    expect(fresh.attributes).toBe(hex({ asPath: [{ confed: [LOCAL_AS] }, 7], localPref: 200 }));
    const reflected = { asPath: [7], originatorId: 9, clusterList: [8] };
    const clean = told(options, reflected, 'internal', identity).attributes;
    expect(clean).toBe(hex({ asPath: [{ confed: [LOCAL_AS] }, 7], localPref: 100 }));
  });

  test('to the outside: no confederation segment, the identifier in front', () => {
    const seen = told({ confederationId: 100 }, from, 'confederation', identity);
    expect(seen.attributes).toBe(hex({ asPath: [100, 7] }));
  });

  test('within the member AS the path stays', () => {
    const seen = told({ kind: 'internal', confederationId: 100 }, from, 'confederation', identity);
    expect(seen.attributes).toBe(hex(from));
  });

  test.each([
    [0xffff_ff01, 'confederation', 'sent'],
    [0xffff_ff03, 'confederation', 'noExportSubconfed'],
    [0xffff_ff03, 'internal', 'sent'],
    [0xffff_ff02, 'confederation', 'noAdvertise'],
  ] as const)('community %i to kind %s: %s', (community, kind, reason) => {
    const seen = told({ kind, confederationId: 100 }, { asPath: [7], communities: [community] }, 'external');
    expect(seen.reason).toBe(reason);
  });
});

describe('the AS path to an external peer', () => {
  const rows: [string, Partial<ExportOptions>, number[], number[]][] = [
    ['local-as', { localAs: 65099 }, [7], [65099, LOCAL_AS, 7]],
    ['local-as replace-as', { localAs: 65099, replaceAs: true }, [7], [65099, 7]],
    ['as-override', { asOverrideAsn: 65102 }, [7, 65102, 8, 65102], [LOCAL_AS, 7, LOCAL_AS, 8, LOCAL_AS]],
    ['remove-private-as, mixed', privates(false, false), [64512, 7], [LOCAL_AS, 64512, 7]],
    ['remove-private-as, all private', privates(false, false), [64512, 4200000000], [LOCAL_AS]],
    ['remove-private-as all', privates(true, false), [64512, 7, 65534], [LOCAL_AS, 7]],
    ['… of the peer itself', privates(true, false), [64512, 65102], [LOCAL_AS, 65102]],
    ['… replace', privates(true, true), [64512, 7, 65534], [LOCAL_AS, LOCAL_AS, 7, LOCAL_AS]],
    ['65535 is not private', privates(true, false), [65535], [LOCAL_AS, 65535]],
    ['a client of our route server', { routeServerClient: true }, [7], [7]],
  ];

  function privates(all: boolean, replace: boolean): Partial<ExportOptions> {
    return { removePrivateAs: { all, replace, peerAsn: 65102 } };
  }

  test.each(rows)('%s', (_name, options, received, sent) => {
    expect(told(options, { asPath: received }).attributes).toBe(hex({ asPath: sent }));
  });

  test('what policy prepends is not taken out again', () => {
    const net = network(
      { removePrivateAs: { all: true, replace: false, peerAsn: 0 } },
      filterOf((query, verdict) => {
        const path = Buffer.from(query.bytes.slice(query.start, query.end)).toString('hex');
        expect(path).toBe(hex({ asPath: [7] }));
        verdict.attrsChanged = true;
        verdict.attrs.copy(attributeBytes({ asPath: [LOCAL_AS, 7] }));
      }),
    );
    const member = net.join(net.peer('external', 2));
    net.say(net.peer('external', 1), P, { asPath: [64512, 7] }, net.hop(1));
    net.settle();
    const sent = net.receivers[member]!.routes.get(`${P}/24`);
    expect(sent).toContain(hex({ asPath: [LOCAL_AS, LOCAL_AS, 7] }));
  });
});

describe('next hop and MED', () => {
  test('route servers and nextHopUnchanged keep the next hop; MED stays with a route server only', () => {
    const attributes = { asPath: [7], med: 5 };
    const server = told({ routeServerClient: true }, attributes);
    expect([server.attributes, server.via]).toEqual([hex(attributes), '20202001']);
    const unchanged = told({ nextHopUnchanged: true }, attributes);
    expect([unchanged.attributes, unchanged.via]).toEqual([hex({ asPath: [LOCAL_AS, 7] }), '20202001']);
  });

  test('AIGP stays within the administration (RFC 7311 3.2)', () => {
    const attributes = { asPath: [7], aigp: 20 };
    expect(told({}, attributes, 'internal').attributes).toBe(hex({ asPath: [LOCAL_AS, 7] }));
    expect(told({ kind: 'internal' }, attributes).attributes).toBe(hex({ ...attributes, localPref: 100 }));
    const among = told({ kind: 'confederation' }, attributes, 'internal').attributes;
    expect(among).toBe(hex({ asPath: [{ confed: [LOCAL_AS] }, 7], localPref: 100, aigp: 20 }));
  });

  test('extended communities that are not transitive stay in the AS (RFC 4360 6)', () => {
    const attributes = { asPath: [7], extCommunities: ['4004fde84e6e6b28', '0002fde800000007'] };
    const sent = { asPath: [LOCAL_AS, 7], extCommunities: ['0002fde800000007'] };
    expect(told({}, attributes).attributes).toBe(hex(sent));
    expect(told({ kind: 'internal' }, attributes).attributes).toBe(hex({ ...attributes, localPref: 100 }));
    const only = { asPath: [7], extCommunities: ['4004fde84e6e6b28'] };
    expect(told({}, only).attributes).toBe(hex({ asPath: [LOCAL_AS, 7] }));
  });
});

describe('drains (RFC 8326)', () => {
  const attributes = { asPath: [7], communities: [1], localPref: 300 };

  test('GRACEFUL_SHUTDOWN is added, and LOCAL_PREF is 0 within the AS', () => {
    const outside = told({ gracefulShutdown: true }, attributes);
    expect(outside.attributes).toBe(hex({ asPath: [LOCAL_AS, 7], communities: [1, 0xffff_0000] }));
    const inside = told({ kind: 'internal', gracefulShutdown: true }, attributes);
    expect(inside.attributes).toBe(hex({ asPath: [7], localPref: 0, communities: [1, 0xffff_0000] }));
  });

  test('it is not added twice, and comes where there are no communities', () => {
    const twice = told({ gracefulShutdown: true }, { asPath: [7], communities: [0xffff_0000] });
    expect(twice.attributes).toBe(hex({ asPath: [LOCAL_AS, 7], communities: [0xffff_0000] }));
    const none = told({ gracefulShutdown: true }, { asPath: [7], extCommunities: ['0002fde800000007'] });
    const sent = { asPath: [LOCAL_AS, 7], communities: [0xffff_0000], extCommunities: ['0002fde800000007'] };
    expect(none.attributes).toBe(hex(sent));
  });
});

describe('roles (RFC 9234 5, egress)', () => {
  test.each(['customer', 'peer', 'rsClient'] as const)(
    'a route with OTC does not go up or across: %s',
    (role) => {
      expect(told({ role }, { asPath: [7], otc: 7 }).reason).toBe('roleLeak');
    },
  );

  test.each(['provider', 'peer', 'rsServer'] as const)('downwards and across OTC is added: %s', (role) => {
    const seen = told({ role, confederationId: 100 }, { asPath: [7] });
    expect(seen.attributes).toBe(hex({ asPath: [100, 7], otc: 100 }));
  });

  test('an OTC that is there stays; within the AS nothing happens', () => {
    expect(told({ role: 'provider' }, { asPath: [7], otc: 9 }).attributes).toBe(
      hex({ asPath: [LOCAL_AS, 7], otc: 9 }),
    );
    expect(told({ kind: 'internal' }, { asPath: [7], otc: 9 }).reason).toBe('sent');
  });
});

describe('long-lived stale routes (RFC 9494 4.6)', () => {
  const attributes = { asPath: [7], localPref: 300, communities: [0xffff_0006] };

  test('not to an external peer that does not know them', () => {
    expect(told({}, attributes).reason).toBe('longLivedStale');
    expect(told({ longLived: true }, attributes).reason).toBe('sent');
  });

  test('to such a peer within the AS with NO_EXPORT and LOCAL_PREF 0', () => {
    const old = { asPath: [7], localPref: 0, communities: [0xffff_0006, 0xffff_ff01] };
    expect(told({ kind: 'internal' }, attributes).attributes).toBe(hex(old));
    expect(told({ kind: 'internal', longLived: true }, attributes).attributes).toBe(hex(attributes));
  });
});

test('the best external path goes to internal peers where the best is internal', () => {
  const net = network({ kind: 'internal', bestExternal: true });
  const [inside, one, two] = [net.peer('internal', 1), net.peer('external', 2), net.peer('external', 3)];
  const member = net.join(net.peer('internal', 4));
  const id = net.say(inside, P, { asPath: [7], localPref: 300 }, net.hop(1));
  net.settle();
  expect(exportReasonNames[net.group.explain(member, id)]).toBe('internalToInternal');
  net.say(two, P, { asPath: [7, 8] }, net.hop(3));
  net.say(one, P, { asPath: [7, 8, 9] }, net.hop(2));
  net.settle();
  expect(net.receivers[member]!.routes.get(`${P}/24`)).toBe(
    `${hex({ asPath: [7, 8], localPref: 100 })} via 20202003`,
  );
  // What was sent goes, the best of all stays as it was.
  net.rib.withdrawOne(two, P, 0, 0, 0, 24, 0);
  net.settle();
  expect(net.group.sourceOf(id)).toBe(one);
  expect(net.rib.paths.peer[net.rib.prefixes.bestPath[id]!]).toBe(inside);
  expect(verifyGroup(net.group)).toEqual([]);
});

test('what an aggregate stands for is not sent', () => {
  const { net, reason } = told({}, { asPath: [7] });
  expect(reason).toBe('sent');
  net.rib.prefixes.setBit(0, PREFIX_SUMMARIZED, true);
  net.group.enqueue(0);
  net.settle();
  expect(net.receivers[0]!.routes.size).toBe(0);
  expect(exportReasonNames[net.group.explain(0, 0)]).toBe('summaryOnly');
});

describe('route target constraint (RFC 4684)', () => {
  const memberships = ['65000:rt:65000:7', '65001:rt:65000:7', '65000:0x0002fde8/64', 'default'];
  const target = (n: number): string => `0002fde8${n.toString(16).padStart(8, '0')}`;
  const keyOf = (text: string): Uint8Array => nlriCodecs[RTC]!.parse(text)!;

  test('a filter counts memberships, whole and partial ones', () => {
    const { pool } = network();
    const filter = new RouteTargetFilter();
    const set = (...numbers: number[]): number => {
      const bytes = attributeBytes({
        asPath: [],
        extCommunities: ['0003fde800000007', ...numbers.map(target)],
      });
      return pool.intern(bytes, 0, bytes.length);
    };
    const [seven, eight, both, none] = [set(7), set(8), set(8, 7), set()];
    const accepts = (): boolean[] => [seven, eight, both, none].map((id) => filter.accepts(pool, id));
    expect(accepts()).toEqual([false, false, false, false]);
    filter.change(keyOf(memberships[0]!), 1);
    filter.change(keyOf(memberships[1]!), 1);
    expect(accepts()).toEqual([true, false, true, false]);
    filter.change(keyOf(memberships[0]!), -1);
    expect(accepts()).toEqual([true, false, true, false]);
    filter.change(keyOf(memberships[1]!), -1);
    filter.change(keyOf(memberships[2]!), 1);
    expect(accepts()).toEqual([true, true, true, false]);
    filter.change(keyOf(memberships[2]!), -1);
    filter.change(keyOf(memberships[3]!), 1);
    expect(accepts()).toEqual([true, true, true, true]);
    filter.change(keyOf(memberships[3]!), -1);
    expect([filter.size, ...accepts()]).toEqual([0, false, false, false, false]);
  });

  test('memberships of part of a route target hold by their bits, and many cost what few cost', () => {
    const { pool } = network();
    const filter = new RouteTargetFilter();
    const set = (number: number): number => {
      const bytes = attributeBytes({ asPath: [], extCommunities: [target(number)] });
      return pool.intern(bytes, 0, bytes.length);
    };
    const key = (bits: number, low: number): Uint8Array =>
      Uint8Array.from([
        32 + bits,
        0,
        0,
        0,
        9,
        0,
        2,
        0xfd,
        0xe8,
        low >>> 24,
        (low >>> 16) & 255,
        (low >>> 8) & 255,
        low & 255,
      ]);
    const startMs = performance.now();
    for (let i = 0; i < 50_000; i++) filter.change(key(63, 0x1000_0000 + 2 * i), 1);
    filter.change(key(24, 0).subarray(0, 8), 1);
    filter.change(key(24, 0).subarray(0, 8), -1);
    filter.change(key(56, 0x700), 1);
    const asked = Array.from({ length: 3000 }, (_, i) => filter.accepts(pool, set(i)));
    expect(performance.now() - startMs).toBeLessThan(3000);
    expect(asked.flatMap((wanted, i) => (wanted ? [i] : []))).toEqual(
      Array.from({ length: 0x100 }, (_, i) => 0x700 + i),
    );
    expect([filter.accepts(pool, set(0x1000_0001)), filter.accepts(pool, set(0x1001_86a0))]).toEqual([
      true,
      false,
    ]);
    for (const bits of [1, 16, 32, 33]) {
      filter.change(key(bits, 0), 1);
      expect(filter.accepts(pool, set(5))).toBe(true);
      filter.change(key(bits, 0), -1);
      expect(filter.accepts(pool, set(5))).toBe(false);
    }
  });

  test('the memberships of a peer, best or not, open the way for its routes', () => {
    const rtc = network({ kind: 'internal', rrClients: true }, undefined, RTC);
    const [a, b] = [rtc.peer('internal', 1, true), rtc.peer('internal', 2, true)];
    const filters = new RouteTargetFilters(rtc.rib);
    const vpn = network({ kind: 'internal', rrClients: true, rtFilter: filters.of(b) }, undefined, VPNV4);
    const from = vpn.peer('internal', 1, true);
    const member = vpn.join(vpn.peer('internal', 2, true));
    const route = '65000:1:10.1.0.0/24';
    const id = vpn.sayKey(from, route, [0, 0, 0x11], { asPath: [], extCommunities: [target(7)] }, vpn.hop(1));
    vpn.settle();
    const settle = (): boolean => {
      while (rtc.rib.work(100));
      rtc.rib.decide(100);
      for (let i = 0; i < rtc.rib.changes.count; i++) filters.update(rtc.rib.changes.ids[i]!);
      if (filters.takeChanged().includes(b)) vpn.group.reconsider();
      vpn.settle();
      expect(verifyGroup(vpn.group)).toEqual([]);
      return vpn.receivers[member]!.routes.has(route);
    };
    expect(exportReasonNames[vpn.group.explain(member, id)]).toBe('routeTargetConstraint');
    rtc.sayKey(a, memberships[0]!, [], { asPath: [] }, 0);
    expect(settle()).toBe(false);
    // The path of `a` stays the best.
    rtc.sayKey(b, memberships[0]!, [], { asPath: [] }, 0);
    expect(settle()).toBe(true);
    rtc.rib.withdrawNlri(b, keyOf(memberships[0]!), 0);
    expect(settle()).toBe(false);
    rtc.sayKey(b, 'default', [], { asPath: [] }, 0);
    expect(settle()).toBe(true);
    rtc.rib.dropPeer(b);
    expect(settle()).toBe(false);
  });
});

describe('a settled move of our own has our AS once more on its way out of the AS', () => {
  const rows: [string, Partial<ExportOptions>, [number, number, number], SampleAttributes['asPath']][] = [
    ['settled', {}, settled(3), [LOCAL_AS, LOCAL_AS]],
    ['fresh', {}, fresh(3), [LOCAL_AS]],
    ['local-as', { localAs: 65099 }, settled(3), [65099, LOCAL_AS, LOCAL_AS]],
    ['local-as replace-as', { localAs: 65099, replaceAs: true }, settled(3), [65099, 65099]],
    ['a confederation, to the outside', { confederationId: 100 }, settled(3), [100, 100]],
    ['to another member AS', { kind: 'confederation' }, settled(3), [{ confed: [LOCAL_AS] }]],
    ['within the AS', { kind: 'internal' }, settled(3), []],
    ['a client of our route server', { routeServerClient: true }, settled(3), []],
  ];

  test.each(rows)('%s', (_name, options, move, asPath) => {
    const net = network(options);
    const member = net.join(net.peer(options.kind ?? 'external', 2));
    net.say(0, P, { largeCommunities: [move] }, NEXT_HOP_SELF);
    net.settle();
    expect(verifyGroup(net.group)).toEqual([]);
    const sent = net.receivers[member]!.routes.get(`${P}/24`)!.split(' via ')[0];
    const inside = options.kind !== undefined;
    expect(sent).toBe(hex({ asPath: asPath!, largeCommunities: [move], ...(inside && { localPref: 100 }) }));
  });

  test('what others have settled is not lengthened', () => {
    const attributes = { asPath: [7], largeCommunities: [settled(3)] };
    expect(told({}, attributes).attributes).toBe(hex({ ...attributes, asPath: [LOCAL_AS, 7] }));
  });
});
