// What the plane asks of the one who moves NICs (nic-mover.ts), so that a test may move them on paper.

import type { Rtnl } from '../netlink/rtnl.ts';

/** One of the two namespaces; `netns` undefined: that of the process. */
export interface Side {
  rtnl: Rtnl;
  netns: string | undefined;
}

export interface NicStatus {
  name: string;
  place: 'home' | 'router' | 'absent';
  state: 'pending' | 'done' | 'error';
  errno?: string;
  text?: string;
  movedAt?: string;
  saved: { addresses: number; routes: number } | undefined;
}

export interface NicPort {
  /**
   * The names wanted in the router namespace, and the MTU that some of them are to have there; every other NIC with a
   * record goes home.
   */
  reconcile(wanted: readonly string[], mtus?: ReadonlyMap<string, number>): NicStatus[];
  status(): NicStatus[];
  /** Whether a NIC of `wanted` is not inside yet. */
  wouldMove(wanted: readonly string[]): boolean;
}

export type OpenNics = (options: { home: Side; router: Side; stateDir: string }) => NicPort;
