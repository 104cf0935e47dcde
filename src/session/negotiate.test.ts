import { describe, expect, test } from 'vitest';
import type { Capability } from '../wire/bgp/capability.ts';
import type { Open } from '../wire/bgp/open.ts';
import { checkOpen, negotiate } from './negotiate.ts';
import { type Role, roles, roleValue } from './role.ts';
import type { RemoteAs, SessionConfig } from './state.ts';

const ipv4: Capability = { kind: 'multiprotocol', afi: 1, safi: 1 };
const ipv6: Capability = { kind: 'multiprotocol', afi: 2, safi: 1 };
const evpn: Capability = { kind: 'multiprotocol', afi: 25, safi: 70 };
const V4 = 1;
const V6 = 2;

function openOf(capabilities: Capability[], changes: Partial<Open> = {}): Open {
  return { asn: 65002, holdTimeS: 90, bgpId: 2, capabilities, ...changes };
}

function configOf(remoteAs: RemoteAs, capabilities: Capability[] = [ipv4]): SessionConfig {
  return {
    localAsn: 65001,
    bgpId: 1,
    remoteAs,
    holdTimeMs: 9000,
    connectRetryMs: 1000,
    idleHoldMs: 1000,
    passive: false,
    capabilities,
  };
}

describe('checkOpen', () => {
  const external: RemoteAs = { kind: 'external' };
  const list: RemoteAs = {
    kind: 'list',
    ranges: [
      [65002, 65002],
      [65100, 65199],
    ],
  };

  test.each([
    ['external, other ASN', external, openOf([ipv4]), undefined],
    ['external, our ASN', external, openOf([ipv4], { asn: 65001 }), '2/2'],
    ['internal, our ASN', { kind: 'internal' }, openOf([ipv4], { asn: 65001 }), undefined],
    ['internal, other ASN', { kind: 'internal' }, openOf([ipv4]), '2/2'],
    ['any, either', { kind: 'any' }, openOf([ipv4], { asn: 65001 }), undefined],
    ['list, the single one', list, openOf([ipv4]), undefined],
    ['list, last of a range', list, openOf([ipv4], { asn: 65199 }), undefined],
    ['list, behind a range', list, openOf([ipv4], { asn: 65200 }), '2/2'],
    ['AS 0', { kind: 'any' }, openOf([ipv4], { asn: 0 }), '2/2'],
    ['AS_TRANS', { kind: 'any' }, openOf([ipv4], { asn: 23456 }), '2/2'],
    ['identifier 0', external, openOf([ipv4], { bgpId: 0 }), '2/3'],
    ['our identifier from outside (RFC 6286)', external, openOf([ipv4], { bgpId: 1 }), undefined],
    ['our identifier from inside', { kind: 'any' }, openOf([ipv4], { asn: 65001, bgpId: 1 }), '2/3'],
    ['hold time 0', external, openOf([ipv4], { holdTimeS: 0 }), undefined],
    ['hold time 1', external, openOf([ipv4], { holdTimeS: 1 }), '2/6'],
    ['hold time 2', external, openOf([ipv4], { holdTimeS: 2 }), '2/6'],
    ['hold time 3', external, openOf([ipv4], { holdTimeS: 3 }), undefined],
    ['no capability at all', external, openOf([]), undefined],
    ['only a family we lack', external, openOf([ipv6]), '2/7'],
  ] as [string, RemoteAs, Open, string | undefined][])('%s', (_name, remoteAs, open, expected) => {
    const fault = checkOpen(open, configOf(remoteAs));
    expect(fault && `${fault.code}/${fault.subcode}`).toBe(expected);
    if (fault !== undefined) expect(fault.disposition).toBe('reset');
  });

  test('2/7 is judged by what our OPEN on this connection offered', () => {
    const config = configOf(external, [ipv6]);
    expect(checkOpen(openOf([]), config)).toMatchObject({ code: 2, subcode: 7 });
    expect(checkOpen(openOf([]), { ...config, capabilities: [ipv4] }, [])).toBeUndefined();
  });

  test('a family we do not know beside one we have is passed over', () => {
    const multicast: Capability = { kind: 'multiprotocol', afi: 1, safi: 2 };
    const noSuch: Capability = { kind: 'multiprotocol', afi: 16388, safi: 71 };
    expect(checkOpen(openOf([noSuch, multicast, ipv4]), configOf(external))).toBeUndefined();
    expect(checkOpen(openOf([noSuch, multicast]), configOf(external))).toMatchObject({ code: 2, subcode: 7 });
  });

  test('the same capability over and over is one (RFC 5492 4)', () => {
    const open = openOf([ipv4, ipv4, { kind: 'routeRefresh' }, { kind: 'routeRefresh' }, ipv4]);
    expect(checkOpen(open, configOf(external))).toBeUndefined();
    expect(negotiate(openOf([ipv4], { asn: 65001 }), open).families).toBe(V4);
  });

  test('2/7 lists our families as capabilities', () => {
    const fault = checkOpen(openOf([evpn]), configOf(external, [ipv4, ipv6, { kind: 'asn4', asn: 65001 }]));
    // biome-ignore format: a capability a line
    expect([...fault!.data!]).toEqual([
      1, 4, 0, 1, 0, 1,
      1, 4, 0, 2, 0, 1,
    ]);
  });
});

describe('roles (RFC 9234 4.2)', () => {
  const said = (...values: number[]): Capability[] => [
    ipv4,
    ...values.map((role): Capability => ({ kind: 'role', role })),
  ];
  const check = (ours: Role | undefined, theirs: Capability[], strict = false, asn = 65002) => {
    const config = { ...configOf({ kind: 'any' }), role: ours, roleStrict: strict };
    const fault = checkOpen(openOf(theirs, { asn, bgpId: 9 }), config);
    return fault && `${fault.code}/${fault.subcode}`;
  };

  test('the table of pairs: provider, route server, its client, customer, peer', () => {
    const allowed: Record<Role, Role> = {
      provider: 'customer',
      customer: 'provider',
      rsServer: 'rsClient',
      rsClient: 'rsServer',
      peer: 'peer',
    };
    for (const ours of roles)
      for (const theirs of roles) {
        const expected = allowed[ours] === theirs ? undefined : '2/11';
        expect([ours, theirs, check(ours, said(roleValue(theirs)))]).toEqual([ours, theirs, expected]);
      }
    expect(roles.map(roleValue)).toEqual([0, 1, 2, 3, 4]);
  });

  test.each([
    ['none said, none wanted', undefined, said(), false, undefined],
    ['one said, none of ours', undefined, said(3), false, undefined],
    ['none said, one of ours', 'provider', said(), false, undefined],
    ['none said, strict', 'provider', said(), true, '2/11'],
    ['strict and right', 'provider', said(3), true, undefined],
    ['the same twice', 'provider', said(3, 3), false, undefined],
    ['two different', 'provider', said(3, 4), false, '2/11'],
    ['two different, none of ours', undefined, said(3, 4), false, '2/11'],
    ['a value nobody has assigned', 'provider', said(77), false, '2/11'],
  ] as [string, Role | undefined, Capability[], boolean, string | undefined][])(
    '%s',
    (_name, ours, theirs, strict, expected) => {
      expect(check(ours, theirs, strict)).toBe(expected);
    },
  );

  test('they are for external sessions, and not for those within a confederation', () => {
    expect(check('provider', said(4), true, 65001)).toBeUndefined();
    const config = { ...configOf({ kind: 'any' }), role: 'provider' as const };
    const within = { ...config, confederationMembers: [[65002, 65009]] as const };
    expect(checkOpen(openOf(said(4)), config)).toMatchObject({ subcode: 11 });
    expect(checkOpen(openOf(said(4)), within)).toBeUndefined();
    expect(negotiate(openOf([ipv4], { asn: 65001 }), openOf(said(4))).role).toBe('peer');
    expect(negotiate(openOf([ipv4], { asn: 65002 }), openOf(said(4))).role).toBeUndefined();
  });
});

describe('negotiate', () => {
  test.each([
    // ours s, theirs s, wish ms, hold ms, keepalive ms
    [9, 90, undefined, 9000, 3000],
    [90, 9, undefined, 9000, 3000],
    [9, 90, 1000, 9000, 1000],
    [9, 90, 5000, 9000, 3000],
    [10, 90, undefined, 10_000, 3333],
    [0, 90, 1000, 0, 0],
    [90, 0, undefined, 0, 0],
  ])('hold %i and %i s, keepalive wish %s ms: %i, %i ms', (ours, theirs, keepaliveMs, hold, keepalive) => {
    const sent = openOf([ipv4], { asn: 65001, holdTimeS: ours });
    const result = negotiate(sent, openOf([ipv4], { holdTimeS: theirs }), { keepaliveMs });
    expect([result.holdTimeMs, result.keepaliveMs]).toEqual([hold, keepalive]);
  });

  test('families are those of both; without the capability it is IPv4 unicast', () => {
    const families = (ours: Capability[], theirs: Capability[]) =>
      negotiate(openOf(ours), openOf(theirs)).families;
    expect(families([ipv4, ipv6], [ipv6, evpn])).toBe(V6);
    expect(families([ipv4, ipv6], [ipv6, ipv4])).toBe(V4 | V6);
    expect(families([ipv4, ipv6], [])).toBe(V4);
    expect(families([], [])).toBe(V4);
    expect(families([ipv6], [])).toBe(0);
  });

  test('internal is the same ASN on both sides', () => {
    expect(negotiate(openOf([ipv4]), openOf([ipv4])).internal).toBe(true);
    expect(negotiate(openOf([ipv4], { asn: 1 }), openOf([ipv4])).internal).toBe(false);
  });

  test('a member of our confederation is neither internal nor external', () => {
    const sent = openOf([ipv4], { asn: 65001 });
    const kinds = (asn: number) => {
      const { internal, confederation, localAsn } = negotiate(sent, openOf([ipv4], { asn }), {
        confederationMembers: [[65001, 65003]],
      });
      return [internal, confederation, localAsn];
    };
    expect(kinds(65001)).toEqual([true, false, 65001]);
    expect(kinds(65003)).toEqual([false, true, 65001]);
    expect(kinds(65004)).toEqual([false, false, 65001]);
  });

  test('a limit on paths holds for families in which paths are sent to it', () => {
    const addPath = (sendReceive: number): Capability => ({
      kind: 'addPath',
      entries: [{ afi: 1, safi: 1, sendReceive }],
    });
    const limit = (afi: number): Capability => ({
      kind: 'pathsLimit',
      entries: [{ afi, safi: 1, limit: 4 }],
    });
    const limits = (ours: Capability[], theirs: Capability[]) =>
      negotiate(openOf([ipv4, ipv6, ...ours]), openOf([ipv4, ipv6, ...theirs])).pathsLimit.slice(0, 2);
    expect(limits([addPath(2)], [addPath(1), limit(1)])).toEqual([4, 0]);
    expect(limits([addPath(2)], [addPath(1), limit(2)])).toEqual([0, 0]);
    expect(limits([addPath(1)], [addPath(2), limit(1)])).toEqual([0, 0]);
  });

  test('ADD-PATH needs a sender and a receiver, and a family in common', () => {
    const addPath = (sendReceive: number, afi = 1): Capability => ({
      kind: 'addPath',
      entries: [{ afi, safi: 1, sendReceive }],
    });
    const masks = (ours: number, theirs: number, afi = 1) => {
      const result = negotiate(openOf([ipv4, addPath(ours)]), openOf([ipv4, addPath(theirs, afi)]));
      return [result.addPathSend, result.addPathReceive];
    };
    expect(masks(3, 3)).toEqual([V4, V4]);
    expect(masks(2, 1)).toEqual([V4, 0]);
    expect(masks(1, 2)).toEqual([0, V4]);
    expect(masks(1, 1)).toEqual([0, 0]);
    expect(masks(3, 4)).toEqual([0, 0]);
    expect(masks(3, 3, 2)).toEqual([0, 0]);
  });

  test('extended next hop needs both, IPv4 over IPv6', () => {
    const extended = (nextHopAfi: number): Capability => ({
      kind: 'extendedNextHop',
      entries: [{ afi: 1, safi: 1, nextHopAfi }],
    });
    expect(negotiate(openOf([ipv4, extended(2)]), openOf([ipv4, extended(2)])).extendedNextHop).toBe(V4);
    expect(negotiate(openOf([ipv4, extended(2)]), openOf([ipv4])).extendedNextHop).toBe(0);
    expect(negotiate(openOf([ipv4, extended(2)]), openOf([ipv4, extended(1)])).extendedNextHop).toBe(0);
  });

  test('simple capabilities count when both have them; unknown ones never matter', () => {
    const all: Capability[] = [
      ipv4,
      { kind: 'asn4', asn: 65002 },
      { kind: 'routeRefresh' },
      { kind: 'enhancedRouteRefresh' },
      { kind: 'extendedMessage' },
      { kind: 'linkLocalNextHop' },
      { kind: 'unknown', code: 250, value: Uint8Array.of(1, 2) },
    ];
    const flags = (ours: Capability[], theirs: Capability[]) => {
      const n = negotiate(openOf(ours), openOf(theirs));
      return [n.asn4, n.routeRefresh, n.enhancedRouteRefresh, n.extendedMessage, n.linkLocalNextHop];
    };
    expect(flags(all, all)).toEqual([true, true, true, true, true]);
    expect(flags(all, [ipv4])).toEqual([false, false, false, false, false]);
    expect(flags([ipv4], all)).toEqual([false, false, false, false, false]);
  });

  test('graceful restart is what the peer offered, within the families of the session', () => {
    const restart = (notification: boolean): Capability => ({
      kind: 'gracefulRestart',
      restartState: true,
      notification,
      timeS: 120,
      families: [
        { afi: 1, safi: 1, forwarding: true },
        { afi: 2, safi: 1, forwarding: false },
        { afi: 25, safi: 70, forwarding: true },
      ],
    });
    const both = [ipv4, ipv6];
    const result = negotiate(openOf([...both, restart(true)]), openOf([...both, restart(true)]));
    expect(result.gracefulRestart).toEqual({
      restartState: true,
      notification: true,
      timeMs: 120_000,
      families: V4 | V6,
      forwarding: V4,
    });
    const noBit = negotiate(openOf([ipv4, restart(false)]), openOf([ipv4, ipv6, restart(true)]));
    expect(noBit.gracefulRestart).toMatchObject({ notification: false, families: V4 });
    expect(negotiate(openOf([ipv4]), openOf([ipv4, restart(true)])).gracefulRestart).toBeUndefined();
  });

  test('long-lived stale times are those of the peer, and void without graceful restart (RFC 9494 4.1)', () => {
    const restart: Capability = {
      kind: 'gracefulRestart',
      restartState: false,
      notification: false,
      timeS: 0,
      families: [],
    };
    const longLived = (...entries: [number, boolean, number][]): Capability => ({
      kind: 'longLivedGracefulRestart',
      families: entries.map(([afi, forwarding, staleTimeS]) => ({ afi, safi: 1, forwarding, staleTimeS })),
    });
    const of = (ours: Capability[], theirs: Capability[]) =>
      negotiate(openOf([ipv4, ...ours]), openOf([ipv4, ipv6, ...theirs])).longLived;
    const theirs = longLived([1, true, 60], [2, true, 90]);
    expect(of([restart, longLived()], [restart, theirs])).toEqual({
      families: V4,
      forwarding: V4,
      staleTimeMs: [60_000, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    });
    expect(of([restart, longLived()], [theirs])).toBeUndefined();
    expect(of([longLived()], [restart, theirs])).toBeUndefined();
    expect(of([restart], [restart, theirs])).toBeUndefined();
    const twice = longLived([1, true, 60], [1, false, 5]);
    expect(of([restart, longLived()], [restart, twice])).toMatchObject({ families: V4, forwarding: 0 });
  });
});
