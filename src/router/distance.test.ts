// Distances: which metric each route has in the kernel, and what a change of them costs.

import { expect, test } from 'vitest';
import { parsePrefix } from '../net/prefix.ts';
import { IPV4, IPV6 } from '../wire/bgp/family.ts';
import { neighbour, prefixNlri, routeRig, update } from './route-rig.test-data.ts';

function announce(prefix: string, asPath: string, nextHop: string): Uint8Array {
  const four = !prefix.includes(':');
  return update(four ? IPV4 : IPV6, [prefixNlri(prefix)], {
    attributes: { origin: 'igp', asPath, localPref: 100 },
    nextHop,
  });
}

const peers = [
  neighbour('192.0.2.2'),
  neighbour('192.0.2.3', { remoteAs: { kind: 'internal' } }),
  neighbour('2001:db8:ffff::4', { remoteAs: { kind: 'internal' } }),
];
const statics = [{ prefix: parsePrefix('198.51.100.0/24')!, to: { kind: 'blackhole' as const } }];

test('the metric is by whom the best path is from, and follows it', () => {
  const distance = { external: 20, internal: 150, local: 200 };
  const rig = routeRig(peers, { distance, statics, multipath: 1 });
  const external = rig.up('192.0.2.2');
  const internal = rig.up('192.0.2.3', 65001);
  const six = rig.up('2001:db8:ffff::4', 65001);
  internal.say(announce('10.1.0.0/16', '65002', '192.0.2.3'));
  internal.say(announce('10.2.0.0/16', '65002', '192.0.2.2'));
  external.say(announce('10.3.0.0/16', '65002', '192.0.2.2'));
  six.say(announce('2001:db8:1::/48', '', '2001:db8:ffff::4'));
  expect([...rig.metrics].sort()).toEqual([
    ['10.1.0.0/16', 150],
    ['10.2.0.0/16', 150],
    ['10.3.0.0/16', 20],
    ['198.51.100.0/24', 200],
    ['2001:db8:1::/48', 150],
  ]);
  // The same next hop, told by another kind of peer: only the metric changes.
  external.say(announce('10.2.0.0/16', '65002', '192.0.2.2'));
  expect(rig.metrics.get('10.2.0.0/16')).toBe(20);
  external.say(update(IPV4, [prefixNlri('10.2.0.0/16')]));
  expect(rig.metrics.get('10.2.0.0/16')).toBe(150);
});

test('a change of distances gives the kernel those routes anew that it concerns', () => {
  const rig = routeRig(peers, { statics });
  const external = rig.up('192.0.2.2');
  const internal = rig.up('192.0.2.3', 65001);
  external.say(announce('10.3.0.0/16', '65002', '192.0.2.2'));
  internal.say(announce('10.1.0.0/16', '65002', '192.0.2.3'));
  expect(new Set(rig.metrics.values())).toEqual(new Set([0]));
  const { config } = rig.router;
  rig.router.configure({ ...config, distance: { external: 20, internal: 200, local: 200 } });
  rig.run();
  const all = (): string => [...rig.metrics].sort().join(' ');
  expect(all()).toBe('10.1.0.0/16,200 10.3.0.0/16,20 198.51.100.0/24,200');
  rig.metrics.clear();
  rig.router.configure({ ...config, distance: { external: 30, internal: 200, local: 200 } });
  rig.run();
  expect(all()).toBe('10.3.0.0/16,30');
  rig.router.configure(config);
  rig.run();
  expect(all()).toBe('10.1.0.0/16,0 10.3.0.0/16,0 198.51.100.0/24,0');
});
