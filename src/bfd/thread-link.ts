// What the main thread and the BFD thread say to each other. Orders and news are messages, for they are few; the
// sessions themselves and the counters lie in shared memory, so that looking at them disturbs nobody.

import type { MessagePort } from 'node:worker_threads';
import type { Target, Timing } from './engine.ts';

/** Rows of the table. */
export const CAPACITY = 2048;

/** What the thread is started with. */
export interface ThreadData {
  /** A SessionTable of CAPACITY rows. */
  readonly sessions: SharedArrayBuffer;
  /** See the CONTROL_ numbers; an Int32Array. */
  readonly control: SharedArrayBuffer;
  /** Datagrams by verdict; a Uint32Array. */
  readonly verdicts: SharedArrayBuffer;
  /** An eventfd: raised after an order was posted, or to stop. */
  readonly wakeFd: number;
  readonly port: MessagePort;
  /** Namespace of the sockets; absent: that of the process. */
  readonly netns?: string | undefined;
}

/** Not 0: the thread has to end. */
export const CONTROL_STOP = 0;
/** 0 before the thread has asked, 1 real time, -errno when refused. */
export const CONTROL_SCHEDULING = 1;
/** The latest that a packet was sent after its time, in microseconds. */
export const CONTROL_WORST_LATE_US = 2;
/** From here on: descriptors of the four receiving sockets plus one, 0 for none; they outlive a thread that dies. */
export const CONTROL_RECEIVERS = 3;
export const CONTROL_WORDS = 7;

export type Order =
  | { readonly kind: 'add'; readonly row: number; readonly discriminator: number; readonly target: Target }
  | { readonly kind: 'change'; readonly row: number; readonly settings: Timing }
  | { readonly kind: 'leave'; readonly row: number };

export type News =
  /** `schedulingErrno` 0: real-time priority was given. */
  | { readonly kind: 'ready'; readonly schedulingErrno: number }
  | {
      readonly kind: 'changed';
      readonly row: number;
      readonly state: number;
      readonly diagnostic: number;
      readonly remoteState: number;
      readonly remoteDiagnostic: number;
      readonly independent: boolean;
      /** The detection time when the state changed. */
      readonly detectionMs: number;
    }
  | { readonly kind: 'freed'; readonly row: number }
  /** One datagram that was discarded, of many perhaps; told once a minute at most. */
  | {
      readonly kind: 'discarded';
      readonly verdict: number;
      readonly source: Uint8Array;
      readonly ttl: number;
    }
  | {
      readonly kind: 'trouble';
      readonly code: string;
      readonly message: string;
      readonly hint?: string | undefined;
    };
