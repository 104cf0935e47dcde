// QEMU's own word that a guest runs here now: the RESUME event of its QMP socket (QEMU Machine Protocol), which comes
// in the same millisecond as the cut-over of a live migration. Only listens: after the handshake nothing is sent. A
// socket that is not there yet is tried again; one that ends has no more to say.

import { createConnection, type Socket } from 'node:net';

const RETRY_MS = 500;
/** QEMU's greeting is one line of a few hundred bytes; events are as short. */
const LINE_BYTES_MAX = 1 << 16;

/** Calls `onResume` once, when the guest behind the socket begins to run. */
export class ResumeWatch {
  readonly #path: string;
  readonly #onResume: () => void;
  #socket: Socket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(path: string, onResume: () => void) {
    this.#path = path;
    this.#onResume = onResume;
    this.#connect();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#socket?.destroy();
  }

  #connect(): void {
    let rest = '';
    const socket = createConnection(this.#path);
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('error', () => {});
    socket.on('close', () => this.#again());
    socket.on('data', (text) => {
      rest += String(text);
      if (rest.length > LINE_BYTES_MAX) {
        socket.destroy();
        return;
      }
      const lines = rest.split('\n');
      rest = lines.pop()!;
      for (const line of lines) this.#line(socket, line);
    });
  }

  #line(socket: Socket, line: string): void {
    if (this.#closed) return;
    let message: unknown;
    try {
      message = JSON.parse(line);
    } catch {
      return;
    }
    if (typeof message !== 'object' || message === null) return;
    if ('QMP' in message) socket.write('{"execute": "qmp_capabilities"}\r\n');
    else if ('event' in message && message.event === 'RESUME') {
      this.close();
      this.#onResume();
    }
  }

  #again(): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => this.#connect(), RETRY_MS);
    this.#timer.unref();
  }
}
