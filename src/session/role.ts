// Roles of RFC 9234: what two external neighbours are to each other. Both may say it in OPEN; a pair that does not
// fit ends the attempt with 2/11, so that a mistake of one operator cannot make a leak for the others. What a role
// means for routes (OTC) is the rib's.

import type { Capability } from '../wire/bgp/capability.ts';
import { type Fault, OPEN_MESSAGE_ERROR, resetFault } from '../wire/bgp/fault.ts';
import { type Role, roles } from '../wire/bgp/role.ts';

export { type Role, roles } from '../wire/bgp/role.ts';

/** What the other side of each has to be (RFC 9234 section 4.2, table 2). */
const counterparts: Readonly<Record<Role, Role>> = {
  provider: 'customer',
  customer: 'provider',
  rsServer: 'rsClient',
  rsClient: 'rsServer',
  peer: 'peer',
};

const ROLE_MISMATCH = 11;

/** The value on the wire. */
export function roleValue(role: Role): number {
  return roles.indexOf(role);
}

/** The role that the peer says it has; undefined when it says none or one we do not know. */
export function roleOf(capabilities: readonly Capability[]): Role | undefined {
  for (const capability of capabilities) if (capability.kind === 'role') return roles[capability.role];
  return undefined;
}

/**
 * RFC 9234 section 4.2 for an external session. Two different roles of one peer never fit; with a role of our own
 * the peer's has to be the counterpart; a peer without one is refused only in strict mode.
 */
export function checkRole(
  ours: Role | undefined,
  strict: boolean,
  theirs: readonly Capability[],
): Fault | undefined {
  let said = -1;
  for (const capability of theirs) {
    if (capability.kind !== 'role') continue;
    if (said >= 0 && said !== capability.role) return mismatch('the peer says two different roles');
    said = capability.role;
  }
  if (ours === undefined) return undefined;
  if (said < 0) return strict ? mismatch(`the peer says no role, and ${ours} is strict here`) : undefined;
  if (roles[said] === counterparts[ours]) return undefined;
  return mismatch(`the peer says it is ${roles[said] ?? `role ${said}`}, and we are ${ours}`);
}

function mismatch(reason: string): Fault {
  return resetFault(OPEN_MESSAGE_ERROR, ROLE_MISMATCH, reason);
}
