// Real-time priority of the calling thread, for the few that answer within milliseconds. What it starts does not
// inherit it.

import { libcCalls, raw } from './sys.ts';

const SCHED_RR = 2;
const SCHED_RESET_ON_FORK = 0x4000_0000;

/** Puts the calling thread under SCHED_RR with a priority of 1 to 99: 0, or -errno (-EPERM without CAP_SYS_NICE). */
export function setRealTime(priority: number): number {
  const param = Buffer.alloc(4);
  param.writeInt32LE(priority);
  return raw(libcCalls.sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, param));
}
