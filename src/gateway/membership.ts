// Three sources of membership, as values: what each of them knows is turned into a report for members.ts. Asking
// them (a RIB, etcd's JSON gateway, LXD's API) is others'.
//
// BGP/EVPN: every member announces a route that is its own. A path that graceful restart left behind is no sign of
// life: it says that somebody was there. etcd: every member has a key under its lease. LXD: the list of cluster
// members, asked with a time limit; measured, an isolated leader goes on naming itself for up to 5.6 s and then hangs,
// and for 7 s after a change of leader all members are "Offline", the leader included. So no answer in 3 s means not
// leader, and nothing else; what it means for owners is decided by promises.

import type { MemberReport } from './members.ts';

/** The most time LXD may take to answer. */
export const LXD_ANSWER_MS = 3_000;

/** One path to a route that stands for a member. */
export interface BeaconPath {
  member: string;
  /** Kept by graceful restart, with nobody behind it. */
  stale: boolean;
  /** False where liveness detection (BFD) or next hop tracking says that the way is gone. */
  reachable: boolean;
}

/** What BGP or EVPN says: those with a path that is alive, and ourselves, who need none. */
export function bgpReport(self: string, paths: readonly BeaconPath[]): MemberReport {
  const alive = new Set([self]);
  for (const { member, stale, reachable } of paths) if (!stale && reachable) alive.add(member);
  return { kind: 'list', pace: 'immediate', alive: [...alive] };
}

/** What etcd says: `keys` are the members that have a key under a lease now; undefined if it did not answer. */
export function etcdReport(keys: readonly string[] | undefined): MemberReport {
  return keys === undefined
    ? { kind: 'silent' }
    : { kind: 'list', pace: 'immediate', alive: [...new Set(keys)] };
}

/** An answer of `GET /1.0/cluster/members?recursion=1`, with our own times of asking and hearing. */
export interface LxdAnswer {
  askedMs: number;
  heardMs: number;
  members: readonly { name: string; status: string; roles: readonly string[] }[];
}

function inTime(answer: LxdAnswer | undefined): answer is LxdAnswer {
  return answer !== undefined && answer.heardMs - answer.askedMs < LXD_ANSWER_MS;
}

/** What LXD says; no answer, or a late one, is silence. */
export function lxdReport(answer: LxdAnswer | undefined): MemberReport {
  if (!inTime(answer)) return { kind: 'silent' };
  const alive = answer.members.filter(({ status }) => status === 'Online').map(({ name }) => name);
  return { kind: 'list', pace: 'slow', alive };
}

/** The database leader an answer names: undefined without an answer in time, or where it names none or several. */
export function lxdLeader(answer: LxdAnswer | undefined): string | undefined {
  if (!inTime(answer)) return undefined;
  const leaders = answer.members.filter(({ roles }) => roles.includes('database-leader'));
  return leaders.length === 1 ? leaders[0]!.name : undefined;
}
