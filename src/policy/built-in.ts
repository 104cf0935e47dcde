// Policies that exist without being written (their names are intent's `builtInPolicies`). They are
// definitions like any operator's, so that `policy test` explains them in the same words.

import type { PolicyDefinition, PrefixItem } from './definition.ts';

/** Prefixes that no peer can rightly announce: this host, one link, one group (RFC 6890, RFC 4291). */
const martians: readonly PrefixItem[] = [
  { prefix: '0.0.0.0/8', le: 32 },
  { prefix: '127.0.0.0/8', le: 32 },
  { prefix: '169.254.0.0/16', le: 32 },
  { prefix: '224.0.0.0/4', le: 32 },
  '::/128',
  { prefix: '::1/128' },
  { prefix: 'fe80::/10', le: 128 },
  { prefix: 'ff00::/8', le: 128 },
];

export const builtInDefinitions: Readonly<Record<string, PolicyDefinition>> = {
  'accept-all': { default: 'accept', rules: [] },
  'reject-all': { default: 'reject', rules: [] },
  // For hosts: what was learned from one peer is never given to another.
  'own-only': {
    rules: [
      {
        name: 'own',
        match: { source: ['local', 'guest', 'connected', 'static', 'kernel'] },
        action: 'accept',
      },
    ],
  },
  // For fabric ports: everything but nonsense; a peer that is about to leave is used last (RFC 8326 4.3).
  'accept-fabric': {
    default: 'accept',
    rules: [
      { name: 'martians', match: { prefixes: martians }, action: 'reject' },
      {
        name: 'graceful-shutdown',
        match: { communities: 'graceful-shutdown' },
        set: { localPref: 0 },
        action: 'accept',
      },
    ],
  },
};
