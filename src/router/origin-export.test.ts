// RFC 8893: a policy towards the outside judges the origin that the neighbour will see, not the one that we received.

import { expect, test } from 'vitest';
import { policy } from '../../test/sim/bed.ts';
import { IPV4 } from '../wire/bgp/family.ts';
import { neighbour, prefixNlri, routeRig, update } from './route-rig.test-data.ts';

const invalid = policy('invalid', { match: { rpki: 'invalid' }, action: 'reject' });

/** Whether a neighbour hears of a route by this path, where only `may` may announce it; and which origin was judged. */
function heard(asPath: string, may: number, settings: Parameters<typeof neighbour>[1]): [boolean, number] {
  const rig = routeRig([neighbour('192.0.2.2'), neighbour('192.0.2.3', { export: invalid, ...settings })]);
  const a = rig.up('192.0.2.2', Number(asPath.split(' ')[0]));
  const b = rig.up('192.0.2.3', 65003);
  const origins: number[] = [];
  rig.router.setOriginValidation((_family, _a, _b, _c, _d, _length, origin) => {
    origins.push(origin);
    return origin === may ? 1 : 2;
  });
  a.say(
    update(IPV4, [prefixNlri('10.1.0.0/16')], {
      attributes: { origin: 'igp', asPath },
      nextHop: '192.0.2.2',
    }),
  );
  rig.run();
  return [b.has.size === 1, origins.at(-1)!];
}

test('the origin is the last AS of the path', () => {
  expect(heard('100 200', 200, {})).toEqual([true, 200]);
  expect(heard('100 200', 100, {})).toEqual([false, 200]);
});

test('a private AS that does not leave is not judged: the one before it is, or ours', () => {
  expect(heard('100 64512', 64512, {})).toEqual([true, 64512]);
  expect(heard('100 64512', 100, { removePrivateAs: { all: true, replace: false } })).toEqual([true, 100]);
  expect(heard('100 64512', 65001, { removePrivateAs: { all: true, replace: true } })).toEqual([true, 65001]);
  expect(heard('100 64512', 64512, { removePrivateAs: { all: true, replace: true } })).toEqual([
    false,
    65001,
  ]);
});

test('a path that is all private is ours, as the AS that the neighbour knows', () => {
  const localAs = { asn: 64999, noPrepend: false, replaceAs: true };
  const removePrivateAs = { all: false, replace: false };
  expect(heard('64600', 64999, { localAs, removePrivateAs })).toEqual([true, 64999]);
  // Put before our own, the other AS does not hide it.
  const before = { ...localAs, replaceAs: false };
  expect(heard('64600', 65001, { localAs: before, removePrivateAs })).toEqual([true, 65001]);
});

test('a neighbour whose AS is overridden judges ours', () => {
  expect(heard('100 65003', 65001, { asOverride: true })).toEqual([true, 65001]);
});
