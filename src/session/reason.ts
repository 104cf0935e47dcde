// Why a session ended, and what that means for its routes. RFC 4724 4.2 keeps the routes of a
// graceful-restart peer as stale when the connection is lost without a NOTIFICATION. RFC 8538 extends that to
// NOTIFICATIONs and the hold timer when both sides set the N bit, but for a Hard Reset (Cease 6/9), which
// carries the real code within.
//
// Ours: of the stops we begin, adminDown, adminReset, deconfigured, maxPrefixes, outOfResources and bfdDown are sent
// as Hard Reset when the N bit is negotiated, for the routes must go; configurationChanged is not, nor is bfdDown
// where the peer's BFD shares the fate of its control plane, so that its routes are kept as over any restart (RFC 5882
// 4.3). A restart of leafd itself sends nothing at all, so that the peers see a lost connection and keep forwarding.

import { assert } from '../lib/assert.ts';
import { CEASE } from '../wire/bgp/fault.ts';
import {
  CEASE_ADMIN_RESET,
  CEASE_ADMIN_SHUTDOWN,
  CEASE_BFD_DOWN,
  CEASE_CONNECTION_REJECTED,
  CEASE_HARD_RESET,
  CEASE_MAX_PREFIXES,
  CEASE_OTHER_CONFIG_CHANGE,
  CEASE_OUT_OF_RESOURCES,
  CEASE_PEER_DECONFIGURED,
  notificationText,
  shutdownText,
} from '../wire/bgp/notification.ts';
import type { Negotiated } from './negotiate.ts';

/** Why the operator or the daemon stops a session. */
export type StopCause =
  | 'adminDown'
  | 'adminReset'
  | 'deconfigured'
  | 'configurationChanged'
  | 'maxPrefixes'
  | 'outOfResources'
  | 'bfdDown'
  | 'rejected'
  | 'interfaceDown'
  | 'localRestart';

export type DownKind =
  | StopCause
  /** The peer told us; code and subcode are the peer's. */
  | 'notificationReceived'
  /** The peer made a mistake and we told it; code and subcode are ours. */
  | 'notificationSent'
  /** 8/0: the peer took nothing from us for too long (RFC 9687). */
  | 'sendHoldTimer'
  /** 4/0: nothing heard for the negotiated hold time, or no OPEN in time. */
  | 'holdTimer'
  /** The connection ended without a NOTIFICATION. */
  | 'tcpClosed'
  /** There never was a connection. */
  | 'connectFailed'
  /** 6/7: the other of two connections was kept. */
  | 'collision'
  /** The peer opened a new connection in place of this one (RFC 4724 5). */
  | 'peerRestarted';

export interface DownReason {
  kind: DownKind;
  /** Code and subcode of the NOTIFICATION sent or received; of the one inside a Hard Reset. */
  code?: number;
  subcode?: number;
  /** The peer's or our shutdown text, the fault's reason, or the system's error: for people. */
  text?: string;
  /** The NOTIFICATION was a Hard Reset (RFC 8538). */
  hard?: boolean;
  /** The peer is taken for one that restarts (RFC 5882 4.3). */
  restarting?: boolean;
  /** The connection went with the link it was over. */
  lostLink?: boolean;
}

/** How a stop is told and whether the session comes back by itself. A cause without subcode is silent. */
interface StopRow {
  ceaseSubcode: number | undefined;
  hard: boolean;
  restarts: boolean;
}

/** RFC 4486 2, RFC 8538 3, RFC 9384 3. */
export const stopRows: Readonly<Record<StopCause, StopRow>> = {
  adminDown: { ceaseSubcode: CEASE_ADMIN_SHUTDOWN, hard: true, restarts: false },
  adminReset: { ceaseSubcode: CEASE_ADMIN_RESET, hard: true, restarts: true },
  deconfigured: { ceaseSubcode: CEASE_PEER_DECONFIGURED, hard: true, restarts: false },
  configurationChanged: { ceaseSubcode: CEASE_OTHER_CONFIG_CHANGE, hard: false, restarts: true },
  maxPrefixes: { ceaseSubcode: CEASE_MAX_PREFIXES, hard: true, restarts: false },
  outOfResources: { ceaseSubcode: CEASE_OUT_OF_RESOURCES, hard: true, restarts: true },
  bfdDown: { ceaseSubcode: CEASE_BFD_DOWN, hard: true, restarts: true },
  rejected: { ceaseSubcode: CEASE_CONNECTION_REJECTED, hard: false, restarts: false },
  interfaceDown: { ceaseSubcode: undefined, hard: false, restarts: false },
  localRestart: { ceaseSubcode: undefined, hard: false, restarts: false },
};

/** The reason of a NOTIFICATION from the peer; a Hard Reset is unwrapped (RFC 8538 3.1). */
export function receivedReason(code: number, subcode: number, data: Uint8Array | undefined): DownReason {
  const hard = code === CEASE && subcode === CEASE_HARD_RESET;
  let body = data ?? new Uint8Array(0);
  if (hard && body.length >= 2) {
    code = body[0];
    subcode = body[1];
    body = body.subarray(2);
  }
  const reason: DownReason = { kind: 'notificationReceived', code, subcode };
  if (hard) reason.hard = true;
  const text = shutdownText({ code, subcode, data: body });
  if (text !== undefined) reason.text = text;
  return reason;
}

/**
 * The families (mask by family id) whose routes the router may keep as stale after an Established session.
 */
export function staleFamilies(reason: DownReason, negotiated: Negotiated | undefined): number {
  const restart = negotiated?.gracefulRestart;
  if (restart === undefined) return 0;
  // A family that only the long-lived capability names has a restart time of zero (RFC 9494 4.2).
  const families = restart.families | (negotiated?.longLived?.families ?? 0);
  switch (reason.kind) {
    case 'tcpClosed':
    case 'peerRestarted':
    case 'interfaceDown':
      return families;
    case 'bfdDown':
      return reason.restarting === true ? families : 0;
    case 'holdTimer':
    case 'sendHoldTimer':
    case 'notificationSent':
    case 'notificationReceived':
    case 'configurationChanged':
    case 'outOfResources':
    case 'collision':
      return restart.notification && reason.hard !== true ? families : 0;
    case 'adminDown':
    case 'adminReset':
    case 'deconfigured':
    case 'maxPrefixes':
    case 'rejected':
    case 'localRestart':
    case 'connectFailed':
      return 0;
  }
}

const plainTexts: Readonly<Record<DownKind, string>> = {
  adminDown: 'shut down here',
  adminReset: 'reset here',
  deconfigured: 'removed from the configuration',
  configurationChanged: 'configuration changed',
  maxPrefixes: 'too many prefixes',
  outOfResources: 'out of resources',
  bfdDown: 'BFD down',
  rejected: 'connection rejected',
  interfaceDown: 'interface down',
  localRestart: 'leafd restarts',
  notificationReceived: 'notification received',
  notificationSent: 'notification sent',
  holdTimer: 'hold timer expired',
  sendHoldTimer: 'send hold timer expired',
  tcpClosed: 'connection closed by the peer or the network',
  connectFailed: 'cannot connect',
  collision: 'connection collision',
  peerRestarted: 'peer came back on a new connection',
};

/** One line for people: `notification received: 6/2 Cease/Administrative Shutdown: rack move`. */
export function describeDown(reason: DownReason): string {
  let line = plainTexts[reason.kind];
  assert(line !== undefined, `unknown reason ${reason.kind}`);
  if (reason.code !== undefined) {
    const subcode = reason.subcode ?? 0;
    line += `: ${reason.code}/${subcode} ${notificationText(reason.code, subcode)}`;
    if (reason.hard === true) line += ' (hard reset)';
  }
  if (reason.text !== undefined) line += `: ${reason.text}`;
  return line;
}
