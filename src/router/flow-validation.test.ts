// Flow specifications that may be believed, and those that may not (RFC 8955 section 6, RFC 9117).

import { expect, test } from 'vitest';
import { reasonNames } from '../rib/reason.ts';
import { FLOWSPEC4, FLOWSPEC6, familyMask, IPV4, IPV6 } from '../wire/bgp/family.ts';
import type { AddressPeer } from './config.ts';
import {
  type Far,
  fromHex,
  neighbour,
  prefixNlri,
  type RouteRig,
  routeRig,
  update,
} from './route-rig.test-data.ts';

const families = familyMask([IPV4, IPV6, FLOWSPEC4, FLOWSPEC6]);
/** Destination 10.7.0.0/16, and 10.7.1.1/32, each with protocol 6. */
const net = fromHex('07 01100a07 038106');
const host = fromHex('09 01200a070101 038106');
/** Protocol 6, to whomever. */
const nowhere = fromHex('03 038106');
/** Destination 2001:db8:7::/48 and protocol 6; the same bits with offset 16. */
const six = fromHex('0c 01300020010db80007 038106');
const shifted = fromHex('0a 0130100db80007 038106');

function rigOf(a: Partial<AddressPeer> = {}, b: Partial<AddressPeer> = {}): RouteRig & { a: Far; b: Far } {
  const rig = routeRig([
    neighbour('192.0.2.2', { families, ...a }),
    neighbour('192.0.2.3', { families, ...b }),
  ]);
  const asn = (settings: Partial<AddressPeer>, external: number): number =>
    settings.remoteAs?.kind === 'internal' ? 65001 : external;
  return { ...rig, a: rig.up('192.0.2.2', asn(a, 65002)), b: rig.up('192.0.2.3', asn(b, 65003)) };
}

const flow = (nlri: Uint8Array, asPath: string, more = {}, family = FLOWSPEC4): Uint8Array =>
  update(family, [nlri], { attributes: { origin: 'igp', asPath, ...more } });

function route(prefix: string, asPath: string, nextHop: string, more = {}): Uint8Array {
  const family = prefix.includes(':') ? IPV6 : IPV4;
  return update(family, [prefixNlri(prefix)], { attributes: { origin: 'igp', asPath, ...more }, nextHop });
}

/** The reason of each path of the family, by peer address. */
function reasons({ router }: RouteRig, family = FLOWSPEC4): string[] {
  const rib = router.rib(family);
  const all: string[] = [];
  for (let id = rib.nextPrefix(0); id >= 0; id = rib.nextPrefix(id + 1))
    for (const { path, reason } of rib.explain(id))
      all.push(`${router.directory.byIndex[rib.paths.peer[path]!]!.name} ${reasonNames[reason]}`);
  return all;
}

const yes = '192.0.2.2 best';
const no = '192.0.2.2 flowspecUnvalidated';

test('who may say it is whom the packets go to, as that changes', () => {
  const rig = rigOf();
  const { a, b } = rig;
  a.say(flow(net, '65002'), flow(host, '65002'));
  expect(reasons(rig)).toEqual([no, no]);
  expect(b.has.size).toBe(0);
  a.say(route('10.0.0.0/8', '65002', '192.0.2.2'));
  rig.run(1000);
  expect(reasons(rig)).toEqual([yes, yes]);
  expect(b.has.size).toBe(3);
  // Another one has the better way.
  b.say(route('10.7.0.0/16', '65003', '192.0.2.3'));
  rig.run(1000);
  expect(reasons(rig)).toEqual([no, no]);
  b.say(flow(host, '65003'));
  expect(reasons(rig)).toEqual([no, '192.0.2.3 best', no]);
  b.say(update(IPV4, [prefixNlri('10.7.0.0/16')]));
  rig.run(1000);
  expect(reasons(rig).sort()).toEqual([yes, yes, '192.0.2.3 flowspecUnvalidated']);
});

test('the AS that a peer knows us by does not stand for the neighbour', () => {
  const localAs = { asn: 64999, noPrepend: false, replaceAs: false };
  const rig = rigOf({ localAs });
  const { a } = rig;
  a.say(route('10.0.0.0/8', '65002', '192.0.2.2'), flow(net, '65002'), flow(host, '65002'));
  rig.run(1000);
  expect(reasons(rig)).toEqual([yes, yes]);
});

test('a pass that waits for the end of a restart does not keep the router awake', () => {
  const rig = rigOf();
  const { a, router } = rig;
  router.beginRestart();
  a.say(flow(net, '65002'));
  expect(router.restart.isDeferring).toBe(true);
  expect(router.nextDeadlineMs()).toBeGreaterThan(router.nowMs);
});

test('a more specific route of another AS, and one of the same', () => {
  const rig = rigOf();
  const { a, b } = rig;
  a.say(route('10.7.0.0/16', '65002', '192.0.2.2'), route('10.7.9.0/24', '65002 65009', '192.0.2.2'));
  a.say(flow(net, '65002'), flow(host, '65002'));
  rig.run(1000);
  expect(reasons(rig)).toEqual([yes, yes]);
  b.say(route('10.7.8.0/24', '65003', '192.0.2.3'));
  rig.run(1000);
  // The host within is none of 10.7.8.0/24's.
  expect(reasons(rig)).toEqual([no, yes]);
  b.say(update(IPV4, [prefixNlri('10.7.8.0/24')]));
  rig.run(1000);
  expect(reasons(rig)).toEqual([yes, yes]);
});

test('without a destination, with an offset, or with another AS first, it is not believed', () => {
  const rig = rigOf({ enforceFirstAs: false });
  const { a } = rig;
  a.say(route('0.0.0.0/0', '65002', '192.0.2.2'), route('2001:db8::/32', '65002', '2001:db8:ffff::2'));
  a.say(flow(nowhere, '65002'), flow(host, '65009 65002'));
  a.say(flow(six, '65002', {}, FLOWSPEC6), flow(shifted, '65002', {}, FLOWSPEC6));
  rig.run(1000);
  expect(reasons(rig)).toEqual([no, no]);
  expect(reasons(rig, FLOWSPEC6)).toEqual([yes, no]);
  a.say(flow(host, '65002'));
  expect(reasons(rig)).toEqual([no, yes]);
});

test('from within our domain there is no AS, and the originator is who reflects are from', () => {
  const internal = { remoteAs: { kind: 'internal' as const }, flowspecValidation: true };
  const rig = rigOf(internal, { remoteAs: { kind: 'internal' } });
  const { a, b } = rig;
  const within = { localPref: 100 };
  a.say(flow(net, '', within));
  rig.run(1000);
  expect(reasons(rig)).toEqual([yes]);
  // With an AS: by ORIGINATOR_ID, whichever session the unicast route is from.
  b.say(route('10.7.0.0/16', '65009', '192.0.2.3', { ...within, originatorId: '10.9.9.9' }));
  a.say(flow(net, '65009', within));
  rig.run(1000);
  expect(reasons(rig)).toEqual([no]);
  a.say(flow(net, '65009', { ...within, originatorId: '10.9.9.9' }));
  expect(reasons(rig)).toEqual([yes]);
  // By default internal peers are believed.
  b.say(flow(host, '65009', within));
  expect(reasons(rig)).toContain('192.0.2.3 best');
});

test('the setting changes live, in both directions', () => {
  const rig = rigOf();
  rig.a.say(flow(net, '65002'));
  rig.run(1000);
  expect(reasons(rig)).toEqual([no]);
  const set = (flowspecValidation: boolean): void => {
    const { config } = rig.router;
    const peers = config.peers.map((peer) => ({ ...peer, flowspecValidation }));
    rig.router.configure({ ...config, peers });
    rig.run();
  };
  set(false);
  expect(reasons(rig)).toEqual([yes]);
  set(true);
  rig.run(1000);
  expect(reasons(rig)).toEqual([no]);
  expect(rig.a.peer.counters.establishedCount).toBe(1);
});

test('destinations that nobody names any more are forgotten', () => {
  const rig = rigOf();
  rig.a.say(route('10.0.0.0/8', '65002', '192.0.2.2'), flow(net, '65002'));
  rig.run(1000);
  rig.a.say(update(FLOWSPEC4, [net]));
  rig.run(1000);
  expect(rig.router.flowValidation.destinationCount).toBe(0);
  expect(rig.router.nextDeadlineMs()).toBeGreaterThan(rig.router.nowMs + 1000);
});
