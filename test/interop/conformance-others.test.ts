// The conformance suite finds what is known to be wrong in Debian's FRR, BIRD, GoBGP and OpenBGPD: a sample of each
// class, so that its "right" about leafd means something. `npm run conformance -- --against all` plays all cases.

import { expect, it } from 'vitest';
import { runSuite } from '../conformance/suite.ts';

/** Cases by what is wrong about the answer, with a part of what was seen. */
type Findings = Readonly<Record<string, readonly [what: string, seen: string]>>;

const known: Readonly<Record<string, Findings>> = {
  // On internal sessions most malformed attributes reset; on external ones the NLRI is looked for in the wrong place.
  frr: {
    'origin.length-0.internal': ['reset', '3/5'],
    'origin.flags-c0.internal': ['reset', '3/4'],
    'origin.value-3.internal': ['reset', '3/6'],
    'next-hop.0.0.0.0.internal': ['reset', '3/8'],
    'communities.length-0.internal': ['reset', '3/9'],
    'as-path.type-0.internal': ['reset', '3/11'],
    'origin.twice.internal': ['reset', '3/1'],
    'as-path.type-0.external': ['reset', '3/10'],
    'as-path.empty-segment.external': ['reset', '3/10'],
  },
  // What it does not know it passes on, however malformed; AS 0 is nothing to it.
  bird: {
    'pmsi-tunnel.length-1.external': ['kept', '22='],
    'tunnel-encapsulation.length-1.external': ['kept', '23='],
    'ipv6-extended-communities.length-1.external': ['kept', '25='],
    'prefix-sid.length-2.external': ['attribute', '40='],
    'as-path.zero-first.external': ['kept', 'route'],
    'unknown.transitive-254.external': ['withdrawn', 'no route'],
  },
  // It panics.
  gobgp: {
    'header.type-0.established': ['crash', ''],
    'header.type-99.established': ['crash', ''],
    'extended.update-4096': ['crash', ''],
    'fsm.open-in-established': ['crash', ''],
    'vpnv4.withdrawn-length-24.internal': ['crash', ''],
    'prefix-sid.srv6-structure.external': ['crash', ''],
  },
  // Its route decision engine dies, and it resets for most core attributes.
  openbgpd: {
    'mp.four-unreach.external': ['crash', ''],
    'missing.next-hop-beside-mp.external': ['crash', ''],
    'origin.length-0.external': ['reset', '3/5'],
    'as-path.type-0.external': ['reset', '3/11'],
  },
};

it.each(Object.entries(known))('finds what is wrong in %s', (daemon, findings) => {
  const ids = Object.keys(findings);
  const only = `^(${ids.join('|').replaceAll('.', '\\.')})$`;
  const { wrongCases, applicable } = runSuite('--against', daemon, '--only', only);
  const found = Object.fromEntries(wrongCases.map(({ id, what, seen }) => [id, [what, seen]]));
  const expected = Object.entries(findings).map(([id, [what, seen]]) => [
    id,
    [what, expect.stringContaining(seen)],
  ]);
  expect(applicable).toBe(ids.length);
  expect(found).toEqual(Object.fromEntries(expected));
});

it('and what is right in them: it does not merely find fault', () => {
  const { right, applicable } = runSuite(
    '--against',
    'bird',
    '--only',
    '^(structure and NLRI lengths|valid structure)$',
  );
  expect(applicable).toBeGreaterThan(70);
  expect(right).toBe(applicable);
});
