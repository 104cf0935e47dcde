// Everything of passthrough taken back without a running daemon: NICs home, links of leafd's deleted, sysctls as they
// were, the namespace removed if leafd made it. A file of its own, because a daemon that runs needs none of it.

import { keptNetns, nicsAway } from './kept.ts';
import type { OpenNics } from './nic-port.ts';
import { RouterParts } from './router-parts.ts';

const DEFAULT_NETNS = 'perouter';

export interface PassthroughFlushReport {
  nics: number;
  links: number;
  namespaces: number;
  sysctls: number;
}

/** Throws LeafdError or SysError when the namespace cannot be opened. `home` and `nics` are for tests. */
export function flushPassthrough(options: {
  stateDir: string;
  home?: string;
  nics?: OpenNics;
}): PassthroughFlushReport {
  const { stateDir, home, nics } = options;
  const nothing = { nics: 0, links: 0, namespaces: 0, sysctls: 0 };
  // NICs may be away although nothing else is left.
  const netns = keptNetns(stateDir) ?? (nicsAway(stateDir) > 0 ? DEFAULT_NETNS : undefined);
  if (netns === undefined) return nothing;
  const parts = new RouterParts({ stateDir, netns, home, nics });
  try {
    const given = parts.giveBack({ forget: true });
    return {
      nics: given.nics,
      links: given.links,
      namespaces: given.namespaces,
      sysctls: given.sysctls,
    };
  } finally {
    parts.close();
  }
}
