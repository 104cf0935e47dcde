// The faults of an UPDATE as a whole, made once: a peer that errs a thousand times a second costs little. Those of the
// attributes' values are beside their checks (attribute/); what they do to the message is update.ts'.

import { AS_PATH, MP_REACH, MP_UNREACH } from './attribute/code.ts';
import { AIGP, attributeTable } from './attribute/table.ts';
import { families } from './family.ts';
import {
  ATTRIBUTE_FLAGS_ERROR,
  ATTRIBUTE_LENGTH_ERROR,
  type Fault,
  INVALID_NETWORK_FIELD,
  INVALID_NEXT_HOP,
  MALFORMED_AS_PATH,
  MALFORMED_ATTRIBUTE_LIST,
  MISSING_WELL_KNOWN,
  OPTIONAL_ATTRIBUTE_ERROR,
  updateFault,
} from './fault.ts';

export const tooShort = updateFault(
  MALFORMED_ATTRIBUTE_LIST,
  'reset',
  'UPDATE is too short for its length fields',
);
export const overrun = updateFault(
  MALFORMED_ATTRIBUTE_LIST,
  'reset',
  'a length field runs beyond the UPDATE',
);
export const withdrawnBroken = updateFault(
  INVALID_NETWORK_FIELD,
  'reset',
  'withdrawn routes cannot be parsed',
);
export const nlriBroken = updateFault(INVALID_NETWORK_FIELD, 'reset', 'NLRI cannot be parsed');
export const attributeCut = updateFault(
  ATTRIBUTE_LENGTH_ERROR,
  'withdraw',
  'an attribute runs beyond the attributes',
);
export const mpCut = updateFault(
  OPTIONAL_ATTRIBUTE_ERROR,
  'reset',
  'an MP attribute runs beyond the attributes',
);
export const mpRepeated = updateFault(MALFORMED_ATTRIBUTE_LIST, 'reset', 'an MP attribute is there twice');
export const mpNextHopLength = updateFault(
  OPTIONAL_ATTRIBUTE_ERROR,
  'reset',
  'MP_REACH next hop length',
  MP_REACH,
);
export const mpNextHopUnusable = updateFault(
  INVALID_NEXT_HOP,
  'withdraw',
  'MP_REACH next hop is no host address',
  MP_REACH,
);
export const mpReachBroken = updateFault(
  OPTIONAL_ATTRIBUTE_ERROR,
  'reset',
  'MP_REACH NLRI cannot be parsed',
  MP_REACH,
);
export const mpUnreachBroken = updateFault(
  OPTIONAL_ATTRIBUTE_ERROR,
  'reset',
  'MP_UNREACH NLRI cannot be parsed',
  MP_UNREACH,
);
export const nothingReachable = updateFault(
  MALFORMED_ATTRIBUTE_LIST,
  'reset',
  'an attribute error in an UPDATE without reachable NLRI',
);
export const pathTooLong = updateFault(
  MALFORMED_AS_PATH,
  'withdraw',
  'AS_PATH is too long with 4-octet ASNs',
  AS_PATH,
);

function faultsByCode(make: (code: number, name: string) => Fault): Fault[] {
  const faults: Fault[] = [];
  for (const { code, name } of attributeTable) faults[code] = make(code, name);
  return faults;
}

// RFC 7606 section 3 c (flags), g (repeats), d (missing); the discards of sections 7.5, 7.9 and 7.10.
//
// Of flags, section 3 c says treat-as-withdraw unless the attribute's own specification says otherwise. Two do: MP
// attributes are then incorrect as a whole (section 5.3, answered as RFC 4760 section 7), AIGP is discarded
// (RFC 7311 section 3.2).
export const wrongFlags = faultsByCode((code, name) => {
  const reason = `${name} flags`;
  if (code === MP_REACH || code === MP_UNREACH) {
    return updateFault(OPTIONAL_ATTRIBUTE_ERROR, 'reset', reason, code);
  }
  return updateFault(ATTRIBUTE_FLAGS_ERROR, code === AIGP ? 'discard' : 'withdraw', reason, code);
});
export const missing = faultsByCode((code, name) => ({
  ...updateFault(MISSING_WELL_KNOWN, 'withdraw', `${name} is missing`, code),
  data: new Uint8Array([code]),
}));
export const fromOutside = faultsByCode((code, name) =>
  updateFault(MALFORMED_ATTRIBUTE_LIST, 'discard', `${name} from an external peer`, code),
);
export const repeated = Array.from({ length: 256 }, (_, code) =>
  updateFault(MALFORMED_ATTRIBUTE_LIST, 'discard', `attribute ${code} is there more than once`, code),
);

// RFC 7606 section 5.4 and the families' own: one NLRI is passed over or withdrawn, the others stand.
function faultsByFamily(what: string, attribute: number): Fault[] {
  return families.map(({ name }) =>
    updateFault(OPTIONAL_ATTRIBUTE_ERROR, 'discard', `${name} NLRI ${what}`, attribute),
  );
}
export const reachSkipped = faultsByFamily('that names no route is passed over', MP_REACH);
export const reachWithdrawn = faultsByFamily('that contradicts itself is withdrawn', MP_REACH);
export const unreachSkipped = faultsByFamily('that names no route is passed over', MP_UNREACH);
