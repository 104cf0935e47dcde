// BFD of a peer as a view: what was asked for, what both sides have agreed on, and why the path was given up last.

import type { BfdSession } from '../bfd/bfd.ts';
import type { BfdSettings } from '../router/config.ts';
import type { BfdView } from './views.ts';
import { isoOf, secondsSince, type WallTime } from './wall-time.ts';

/** What the speaker knows of a peer's path. Times are those of the clock behind `WallTime`. */
export interface BfdLook {
  /** Absent while the path is not watched. */
  readonly session?: BfdSession | undefined;
  readonly lastDown?:
    | { readonly atMs: number; readonly reason: string; readonly detectionMs: number }
    | undefined;
}

export function bfdView(settings: BfdSettings, look: BfdLook | undefined, time: WallTime): BfdView {
  const { session, lastDown } = look ?? {};
  const { minTxMs, minRxMs, multiplier, passive } = settings;
  return {
    state: session?.state ?? 'waiting',
    configured: { intervalMs: minTxMs, receiveMs: minRxMs, multiplier, passive },
    ...(session && {
      since: isoOf(time, session.sinceMs),
      sinceSeconds: secondsSince(time, session.sinceMs),
      session: {
        multihop: session.multihop,
        transmitMs: session.transmitMs,
        receiveMs: session.receiveMs,
        detectionMs: session.detectionMs,
        multiplier: session.multiplier,
        remoteMultiplier: session.remoteMultiplier,
        localDiscriminator: session.localDiscriminator,
        remoteDiscriminator: session.remoteDiscriminator,
        diagnostic: session.diagnostic,
        remoteState: session.remoteState,
        remoteDiagnostic: session.remoteDiagnostic,
        controlPlaneIndependent: session.independent,
        flaps: session.flaps,
        packetsIn: session.packetsIn,
        packetsOut: session.packetsOut,
        sendErrors: session.sendErrors,
        worstGapMs: Math.round(session.worstGapMs * 10) / 10,
      },
    }),
    ...(lastDown && { lastDown: { at: isoOf(time, lastDown.atMs), reason: bfdDownText(lastDown) } }),
  };
}

/** `control detection time expired: nothing heard for 150 ms`, `neighbor signaled session down`. */
function bfdDownText(down: { reason: string; detectionMs: number }): string {
  return down.detectionMs === 0 ? down.reason : `${down.reason}: nothing heard for ${down.detectionMs} ms`;
}
