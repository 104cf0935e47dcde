// What went wrong with one object: the errno's name and words. A value, because one object that cannot be had must not
// keep the others from what they are to be.

export interface Fault {
  errno: string;
  text: string;
}

export function faultOf(error: unknown): Fault {
  const { code, message } = error as NodeJS.ErrnoException;
  return { errno: code ?? 'unknown', text: message };
}
