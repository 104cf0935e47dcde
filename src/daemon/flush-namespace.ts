// What a station leaves in a namespace that it will not come back to: everything of leafd's is taken from it. And all
// of leafd's together, for `leafd --flush`. A file of its own, loaded when it is needed.

import { existsSync, rmSync } from 'node:fs';
import { type FlushReport, flushAll } from '../dataplane/flush-all.ts';
import { LinkMonitor } from '../netlink/monitor.ts';
import { netnsPath } from '../netlink/netns.ts';
import { kernelRtnl } from '../netlink/rtnl.ts';
import { flushPassthrough, type PassthroughFlushReport } from '../passthrough/flush.ts';
import { keptNetns } from '../passthrough/kept.ts';
import { forgetLife } from './last-life.ts';
import { stateDirOf } from './station.ts';

/** Flushes a namespace (absent: that of the process); one that is gone has nothing to be flushed. */
export function flushNamespace(stateDir: string, netns: string | undefined): FlushReport | undefined {
  forgetLife(stateDir);
  if (netns !== undefined && !existsSync(netnsPath(netns))) return undefined;
  const rtnl = kernelRtnl(netns);
  const links = new LinkMonitor(rtnl);
  try {
    return flushAll({ stateDir, links, ...(netns !== undefined && { netns }) });
  } finally {
    links.close();
    rtnl.close();
    // What was remembered of a namespace of its own is of no use any more.
    if (netns !== undefined) rmSync(stateDir, { recursive: true, force: true });
  }
}

/** Everything of leafd's: of the namespace of the process, and of a router namespace. Throws LeafdError, SysError. */
export function flushEverywhere(stateDir: string): {
  home: FlushReport;
  passthrough: PassthroughFlushReport;
} {
  const netns = keptNetns(stateDir);
  if (netns !== undefined) flushNamespace(stateDirOf(stateDir, netns), netns);
  const home = flushNamespace(stateDir, undefined)!;
  return { home, passthrough: flushPassthrough({ stateDir }) };
}
