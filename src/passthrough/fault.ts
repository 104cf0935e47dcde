// What went wrong with one object: the errno's name and words. A value, because one object that cannot be had must not
// keep the others from what they are to be.

export interface Fault {
  errno: string;
  text: string;
}

/** Of an error of the system, or an operator's; any other is a mistake of leafd's, and is thrown on. */
export function faultOf(error: unknown): Fault {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === undefined) throw error;
  return { errno: code, text: message };
}
