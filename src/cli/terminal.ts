// Where a command writes: two streams, whether people look at them, and the environment. Commands get it passed in,
// so that tests can run them without a process. Colour only where a person looks and NO_COLOR is not set.

import { styleText } from 'node:util';

export interface Terminal {
  out(text: string): void;
  err(text: string): void;
  /** Whether stdout may have colour. */
  colour: boolean;
  env: Readonly<Record<string, string | undefined>>;
  /** Aborted when the user interrupts. */
  interrupted: AbortSignal;
}

export type Colour = 'green' | 'red' | 'yellow' | 'dim' | 'bold';

/** Text in a colour, where colour is wanted. */
export function paint(terminal: Pick<Terminal, 'colour'>, colour: Colour, text: string): string {
  if (!terminal.colour) return text;
  return styleText(colour, text, { validateStream: false } as object);
}

/** The terminal of this process. A reader that goes away (`| head`) ends it quietly. */
export function processTerminal(): Terminal {
  const interrupt = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interrupt.abort());
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 5));
  const { env } = process;
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    colour: process.stdout.isTTY === true && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb',
    env,
    interrupted: interrupt.signal,
  };
}
