// Roles of RFC 9234 section 4.1: what a speaker is to its neighbour, in words for the values on the wire. Which two fit
// together is the session room's, what they mean for routes the rib's.

/** What the local side is to the peer. */
export type Role = 'provider' | 'rsServer' | 'rsClient' | 'customer' | 'peer';

/** By the value on the wire (table 1). */
export const roles: readonly Role[] = ['provider', 'rsServer', 'rsClient', 'customer', 'peer'];
