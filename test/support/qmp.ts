// QEMU's monitor protocol over a unix socket, as far as migration needs it: commands with their answers, and events
// with the time at which they came here. QEMU's own time of an event is the wall clock's; both are kept.

import { connect, type Socket } from 'node:net';

export interface QmpEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
  /** Wall clock in milliseconds: when QEMU says it happened, and when we heard of it. */
  readonly atMs: number;
  readonly heardMs: number;
}

type Message = {
  return?: unknown;
  error?: { desc: string };
  event?: string;
  data?: Record<string, unknown>;
  timestamp?: { seconds: number; microseconds: number };
};

export class Qmp {
  readonly events: QmpEvent[] = [];
  readonly #socket: Socket;
  readonly #waiting: {
    resolve: (value: unknown) => void;
    reject: (error: Error) => void;
    command: string;
  }[] = [];
  readonly #listeners = new Set<() => void>();
  #text = '';
  #ended = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => this.#take(chunk));
    socket.on('error', () => {});
    socket.on('close', () => this.#end());
  }

  /** Connects and leaves the negotiation mode. */
  static async open(path: string): Promise<Qmp> {
    const socket = connect(path);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', () => resolve());
      socket.once('error', reject);
    });
    const qmp = new Qmp(socket);
    await qmp.ask('qmp_capabilities');
    return qmp;
  }

  /** Runs a command; throws QEMU's own words. */
  ask<T = unknown>(command: string, words?: Readonly<Record<string, unknown>>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#ended) return reject(new Error(`${command}: QEMU has ended`));
      this.#waiting.push({ resolve: resolve as (value: unknown) => void, reject, command });
      this.#socket.write(JSON.stringify({ execute: command, ...(words && { arguments: words }) }));
    });
  }

  /** The first event that `holds`, of those seen already or to come. */
  async event(holds: (event: QmpEvent) => boolean, timeoutMs: number, what: string): Promise<QmpEvent> {
    const deadlineMs = performance.now() + timeoutMs;
    for (;;) {
      const found = this.events.find(holds);
      if (found !== undefined) return found;
      const leftMs = deadlineMs - performance.now();
      const seen = this.events.map(({ event, data }) => `${event} ${JSON.stringify(data)}`).join(', ');
      if (leftMs <= 0 || this.#ended)
        throw new Error(`${what} did not come within ${timeoutMs} ms; seen: ${seen}`);
      await this.#next(leftMs);
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  /** Until something is heard, or the time is over. */
  #next(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#listeners.delete(done);
        resolve();
      };
      const timer = setTimeout(done, withinMs);
      this.#listeners.add(done);
    });
  }

  #take(chunk: string): void {
    this.#text += chunk;
    const lines = this.#text.split('\n');
    this.#text = lines.pop()!;
    for (const line of lines) if (line.trim() !== '') this.#hear(JSON.parse(line) as Message);
    for (const listener of [...this.#listeners]) listener();
  }

  #hear(message: Message): void {
    if (message.event !== undefined) {
      const { seconds, microseconds } = message.timestamp!;
      const atMs = seconds * 1000 + microseconds / 1000;
      this.events.push({ event: message.event, data: message.data ?? {}, atMs, heardMs: Date.now() });
    } else if (message.error !== undefined) {
      const waiting = this.#waiting.shift();
      waiting?.reject(new Error(`${waiting.command}: ${message.error.desc}`));
    } else if ('return' in message) this.#waiting.shift()?.resolve(message.return);
  }

  #end(): void {
    this.#ended = true;
    for (const { reject, command } of this.#waiting.splice(0))
      reject(new Error(`${command}: QEMU has ended`));
    for (const listener of [...this.#listeners]) listener();
  }
}
