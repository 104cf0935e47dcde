// The main thread's end of the writing thread: orders in, answers out, in order. The worker is
// `fib-worker.js` beside the bundle in a build; from source it is run through tsx. When the thread dies, what
// was under way has an unknown outcome and a new thread takes over the same socket.

import type { Worker } from 'node:worker_threads';
import { startThread } from '../lib/thread-real.ts';
import { type BatchResult, NetlinkSocket } from '../netlink/socket.ts';
import type { WriteOrder, WriteReport, WriterData } from './fib-worker.ts';

/** 1000 failures cost about 830 bytes each in the receive buffer. */
const RECEIVE_BUFFER = 16 << 20;
const SEND_BUFFER = 4 << 20;
const RESTART_DELAY_MS = 200;
const DEATHS_ALLOWED = 5;

/** Called with the answer and with the buffer, free to be used again. */
export type WriteCallback = (result: BatchResult, buffer: Uint8Array) => void;

export interface BatchWriter {
  /** nlmsg_pid of the echo of what it writes. */
  readonly portId: number;
  /**
   * Writes bytes[0, length); the buffer belongs to the writer until the callback. Callbacks come in order.
   */
  submit(bytes: Uint8Array, length: number, count: number, firstSeq: number, done: WriteCallback): void;
  close(): Promise<void>;
}

// The thread holds a socket and passes buffers on: a small heap is enough, and the default one costs megabytes.
const resourceLimits = { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 32 };

/** Opens the write socket in the namespace (absent: that of the process) and starts the thread. */
export function startFibWriter(netns?: string): BatchWriter {
  const socket = NetlinkSocket.open({ netns, receiveBuffer: RECEIVE_BUFFER, sendBuffer: SEND_BUFFER });
  const data: WriterData = { fd: socket.fd, portId: socket.portId };
  const waiting: { order: WriteOrder; done: WriteCallback }[] = [];
  let worker: Worker | undefined;
  let closing = false;
  let deaths = 0;
  let lastError: Error | undefined;

  const answer = (report: WriteReport): void => {
    const { done } = waiting.shift()!;
    deaths = 0;
    done({ outcome: report.outcome, failed: report.failed }, new Uint8Array(report.buffer));
  };
  const died = (): void => {
    worker = undefined;
    if (closing) return;
    // A thread that dies again and again without one answer is a bug or a broken installation: tell, do not
    // spin.
    if (++deaths > DEATHS_ALLOWED) throw lastError ?? new Error('the thread that writes routes ends at once');
    const lost = waiting.splice(0);
    setTimeout(() => {
      socket.drain();
      begin();
      // The buffers went down with the thread.
      for (const { order, done } of lost) {
        done({ outcome: 'unknown', failed: [] }, new Uint8Array(order.length * 2));
      }
    }, RESTART_DELAY_MS);
  };
  const begin = (): void => {
    worker = startThread(import.meta.url, 'fib-worker', { workerData: data, resourceLimits });
    worker.on('message', answer);
    // The exit that follows is what counts; a thread that cannot be started at all is told by `died`.
    worker.on('error', (error) => {
      lastError = error;
    });
    worker.once('exit', died);
    for (const { order } of waiting) worker.postMessage(order, [order.buffer]);
  };
  begin();
  return {
    portId: socket.portId,
    submit: (bytes, length, count, firstSeq, done) => {
      const order: WriteOrder = { buffer: bytes.buffer as ArrayBuffer, length, count, firstSeq };
      waiting.push({ order, done });
      worker?.postMessage(order, [order.buffer]);
    },
    close: async () => {
      closing = true;
      const ending = worker;
      if (ending) {
        const exited = new Promise((resolve) => ending.once('exit', resolve));
        ending.postMessage('close');
        await exited;
      }
      socket.close();
    },
  };
}
