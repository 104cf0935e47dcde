// A neighbour one hop away is called over its own link, or over what the operator has put there; not over a detour
// that ends at the same machine.

import { expect, test } from 'vitest';
import { announce, endOfRib4, ip, openOf, peerAt, type Rig, rig } from './session-rig.test-data.ts';

const OTHER = '10.1.0.2';
const OTHER_LINK = 3;
/** Longer than several pauses between calls, shorter than the hold time of who says nothing more. */
const LONG_MS = 40_000;

const otherSubnet = {
  bytes: ip('10.1.0.0'),
  length: 24,
  source: 'connected',
  metric: 0,
  protocol: 2,
  ifindex: OTHER_LINK,
} as const;

/** Two links to one switch; the session over the first is up and tells a route that holds the second's address. */
function twoLinks(settings: Parameters<typeof peerAt>[1] = {}): Rig {
  const r = rig([peerAt('192.0.2.2'), peerAt(OTHER, { passive: false, ...settings })]);
  r.router.linkChanged({ ifindex: OTHER_LINK, name: 'eth1', up: true });
  r.router.localAddress(ip('10.1.0.1'), true, OTHER_LINK, 24);
  r.router.kernelRouteAdded(otherSubnet);
  r.run(1);
  expect(calls(r)).toBeGreaterThan(0);
  r.say(r.up('192.0.2.2', openOf()), announce(1), endOfRib4);
  expect(r.routes()).toEqual(['10.1']);
  return r;
}

const calls = (r: Rig): number => r.connects.filter(({ target }) => target.remote.join('.') === OTHER).length;

const linkIs = (r: Rig, up: boolean): void => r.router.linkChanged({ ifindex: OTHER_LINK, name: 'eth1', up });

function stillCalled(r: Rig): boolean {
  r.run(1);
  const before = calls(r);
  r.run(LONG_MS);
  return calls(r) > before;
}

test('it is called while its link is up, and at once when the link is up again', () => {
  const r = twoLinks();
  expect(stillCalled(r)).toBe(true);
  linkIs(r, false);
  expect(stillCalled(r)).toBe(false);
  linkIs(r, true);
  const before = calls(r);
  r.run(100);
  expect(calls(r)).toBeGreaterThan(before);
});

test('it is not called over what another neighbour tells while our address of its subnet is gone', () => {
  const r = twoLinks();
  r.router.localAddress(ip('10.1.0.1'), false, OTHER_LINK, 24);
  r.router.kernelRouteRemoved(otherSubnet);
  expect(stillCalled(r)).toBe(false);
  r.router.kernelRouteAdded({
    ...otherSubnet,
    source: 'static',
    protocol: 4,
    ifindex: 2,
    gateway: ip('192.0.2.2'),
  });
  expect(stillCalled(r), 'a route of the operator’s').toBe(true);
});

test('one that may be farther away is called over any route', () => {
  for (const settings of [{ multihop: 4 }, { remoteAs: { kind: 'internal' } }] as const) {
    const r = twoLinks(settings);
    linkIs(r, false);
    expect(stillCalled(r)).toBe(true);
  }
});

test('of two links into its subnet one that is up is enough', () => {
  const r = twoLinks();
  r.router.linkChanged({ ifindex: 4, name: 'eth2', up: true });
  r.router.kernelRouteAdded({ ...otherSubnet, ifindex: 4 });
  linkIs(r, false);
  expect(stillCalled(r)).toBe(true);
});
