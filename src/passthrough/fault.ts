// What went wrong with one object: the errno's name and words. A value, because one object that cannot be had must not
// keep the others from what they are to be.

import type { Failure } from '../netlink/message.ts';
import { errnoName } from '../netlink/sys.ts';

export interface Fault {
  errno: string;
  /** The kernel's own words, or the errno. */
  text: string;
}

export const NO_ANSWER: Fault = { errno: 'ETIMEDOUT', text: 'no answer from the kernel' };

/** Of a message that the kernel refused. */
export function refusal({ errno, text }: Failure): Fault {
  const name = errnoName(errno);
  return { errno: name, text: text || name };
}

/** Of an error of the system, or an operator's; any other is a mistake of leafd's, and is thrown on. */
export function faultOf(error: unknown): Fault {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === undefined) throw error;
  return { errno: code, text: message };
}
