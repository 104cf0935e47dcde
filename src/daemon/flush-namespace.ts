// What a station leaves in a namespace that it will not come back to: everything of leafd's is taken from it. A file of
// its own, loaded when it is needed.

import { existsSync } from 'node:fs';
import { flushAll } from '../dataplane/flush-all.ts';
import { LinkMonitor } from '../netlink/monitor.ts';
import { netnsPath } from '../netlink/netns.ts';
import { kernelRtnl } from '../netlink/rtnl.ts';
import { forgetLife } from './last-life.ts';

/** Flushes a namespace (absent: that of the process); one that is gone has nothing to be flushed. */
export function flushNamespace(stateDir: string, netns: string | undefined): void {
  forgetLife(stateDir);
  if (netns !== undefined && !existsSync(netnsPath(netns))) return;
  const rtnl = kernelRtnl(netns);
  const links = new LinkMonitor(rtnl);
  try {
    flushAll({ stateDir, links, ...(netns !== undefined && { netns }) });
  } finally {
    links.close();
    rtnl.close();
  }
}
