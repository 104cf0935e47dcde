// Everything of passthrough taken back without a running daemon: NICs home, links of leafd's deleted, sysctls as they
// were, the namespace removed if leafd made it. A file of its own, because a daemon that runs needs none of it.

import { DEFAULT_NETNS } from '../intent/schema-passthrough.ts';
import { forgetNoNics, keptNetns, nicsAway } from './kept.ts';
import type { OpenNics } from './nic-port.ts';
import { RouterParts } from './router-parts.ts';

export interface PassthroughFlushReport {
  nics: number;
  links: number;
  namespaces: number;
  sysctls: number;
  /** What could not be taken back, and why. */
  failures: string[];
  /** Of others, for which the namespace was left. */
  occupants: string[];
}

/** Throws LeafdError or SysError when the namespace cannot be opened. `home` and `nics` are for tests. */
export function flushPassthrough(options: {
  stateDir: string;
  home?: string;
  nics?: OpenNics;
}): PassthroughFlushReport {
  const { stateDir, home, nics } = options;
  // NICs may be away although nothing else is left.
  const netns = keptNetns(stateDir) ?? (nicsAway(stateDir) > 0 ? DEFAULT_NETNS : undefined);
  if (netns === undefined) {
    forgetNoNics(stateDir);
    return { nics: 0, links: 0, namespaces: 0, sysctls: 0, failures: [], occupants: [] };
  }
  const parts = new RouterParts({ stateDir, netns, home, nics });
  try {
    const given = parts.giveBack({ forget: true });
    const failures = given.failures.map(({ key, errno, text }) => `${key}: ${text ?? errno}`);
    return { ...given, failures };
  } finally {
    parts.close();
  }
}
