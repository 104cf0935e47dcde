// Attributes as the API shows them: everything that is on the wire, and what is counted from it.

import { expect, test } from 'vitest';
import { encodeAttributes } from '../wire/bgp/attribute/describe.ts';
import { attributesView } from './route-views.ts';

test('ONLY_TO_CUSTOMER and Partial bits are shown (RFC 9234, RFC 4271 section 5)', () => {
  const bytes = encodeAttributes({
    origin: 'igp',
    asPathSegments: [{ kind: 'sequence', asns: [65001, 65002] }],
    communities: ['65001:1'],
    onlyToCustomer: 65001,
    partial: [8],
  });
  expect(attributesView(bytes, 0, bytes.length)).toEqual({
    origin: 'igp',
    asPath: '65001 65002',
    asPathLength: 2,
    communities: ['65001:1'],
    onlyToCustomer: 65001,
    partial: [8],
  });
});
