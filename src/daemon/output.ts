// Where log lines go: straight to a descriptor, one write a line, so that what was logged is out when the process
// ends. A log that cannot be written (a full disk, a reader that is gone or does not read, a terminal that hung up) is
// no reason for a router to end or to keep lines in memory: they are lost, counted, and the count is told by the
// first line that gets through again.

import { writeSync } from 'node:fs';

/** Writes bytes and returns how many; throws the file system's error. */
export type WriteBytes = (bytes: Uint8Array) => number;

export interface Output {
  /** Whole lines; never throws. */
  write(text: string): void;
}

/** `tell` makes the line that says how many were lost before it. */
export function createOutput(
  tell: (lost: number) => string,
  writeBytes: WriteBytes = (bytes) => writeSync(1, bytes),
): Output {
  let lost = 0;
  const put = (text: string): boolean => {
    let rest: Uint8Array = Buffer.from(text);
    try {
      while (rest.length > 0) rest = rest.subarray(writeBytes(rest));
      return true;
    } catch {
      return false;
    }
  };
  return {
    write: (text) => {
      if (lost > 0 && put(tell(lost))) lost = 0;
      if (lost > 0 || !put(text)) lost++;
    },
  };
}
