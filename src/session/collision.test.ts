import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type CollisionInput, resolveCollision } from './collision.ts';

const base: CollisionInput = {
  localBgpId: 10,
  localAsn: 65001,
  remoteBgpId: 20,
  remoteAsn: 65002,
  arrivingIsOurs: false,
  existingState: 'openConfirm',
  existingIsOurs: true,
  existingRestarter: undefined,
};

describe('resolveCollision', () => {
  test.each([
    ['the peer is higher: its connection stays', {}, 'closeExisting'],
    ['we are higher: ours stays', { localBgpId: 30 }, 'closeArriving'],
    [
      'ours arrives second, the peer is higher',
      { arrivingIsOurs: true, existingIsOurs: false },
      'closeArriving',
    ],
    [
      'ours arrives second, we are higher',
      { localBgpId: 30, arrivingIsOurs: true, existingIsOurs: false },
      'closeExisting',
    ],
    ['the same in OpenSent', { existingState: 'openSent' }, 'closeExisting'],
    ['identifiers compare unsigned', { localBgpId: 0xc0000001, remoteBgpId: 0x0a000001 }, 'closeArriving'],
    ['equal identifiers: the higher ASN (RFC 6286)', { remoteBgpId: 10 }, 'closeExisting'],
    ['equal identifiers, our ASN higher', { remoteBgpId: 10, localAsn: 65003 }, 'closeArriving'],
    ['both by the peer: the older is a remnant', { existingIsOurs: false, localBgpId: 30 }, 'closeExisting'],
    ['no connection there yet', { existingState: 'active' }, 'keepBoth'],
    ['still connecting', { existingState: 'connect' }, 'keepBoth'],
    ['Established stays', { existingState: 'established' }, 'closeArriving'],
    [
      'Established with graceful restart gives way to the same speaker',
      { existingState: 'established', existingRestarter: { bgpId: 20, asn: 65002 } },
      'replaceExisting',
    ],
    [
      'but not to another identifier behind its address',
      { existingState: 'established', existingRestarter: { bgpId: 21, asn: 65002 } },
      'closeArriving',
    ],
    [
      'and not to another AS',
      { existingState: 'established', existingRestarter: { bgpId: 20, asn: 65003 } },
      'closeArriving',
    ],
  ] as [string, Partial<CollisionInput>, string][])('%s', (_name, changes, expected) => {
    expect(resolveCollision({ ...base, ...changes })).toBe(expected);
  });

  test('both ends keep the same connection, in whichever order the OPENs arrive', () => {
    const id = fc.integer({ min: 1, max: 3 });
    fc.assert(
      fc.property(id, id, id, id, fc.boolean(), fc.boolean(), (idA, idB, asnA, asnB, firstAtA, firstAtB) => {
        fc.pre(idA !== idB || asnA !== asnB);
        // Connection 0 was opened by A, connection 1 by B. `kept` is what one end keeps.
        const kept = (
          localId: number,
          remoteId: number,
          asns: [number, number],
          own: 0 | 1,
          arriving: 0 | 1,
        ) => {
          const outcome = resolveCollision({
            ...base,
            localBgpId: localId,
            remoteBgpId: remoteId,
            localAsn: asns[0],
            remoteAsn: asns[1],
            arrivingIsOurs: arriving === own,
            existingIsOurs: arriving !== own,
          });
          return outcome === 'closeExisting' ? arriving : 1 - arriving;
        };
        const a = kept(idA, idB, [asnA, asnB], 0, firstAtA ? 0 : 1);
        const b = kept(idB, idA, [asnB, asnA], 1, firstAtB ? 0 : 1);
        expect(a).toBe(b);
      }),
    );
  });
});
