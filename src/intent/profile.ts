// Which policies a session has when the operator named none. RFC 8212: an external session without a policy carries
// nothing, in either direction, unless a profile says what kind of machine this is. A host exports only what is its
// own over every kind of session, so that no announcement can make it transit.

import type { Profile } from './intent.ts';

export interface DefaultPolicies {
  import: 'accept-all' | 'reject-all';
  export: 'accept-all' | 'reject-all' | 'own-only';
}

/** Names of built-in policies for a session of which only the profile and the kind of peer are known. */
export function defaultPolicies(profile: Profile | undefined, internal: boolean): DefaultPolicies {
  if (profile === 'host') return { import: 'accept-all', export: 'own-only' };
  if (profile === 'fabric' || internal) return { import: 'accept-all', export: 'accept-all' };
  return { import: 'reject-all', export: 'reject-all' };
}
