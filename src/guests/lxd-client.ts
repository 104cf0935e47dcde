// The little of LXD's REST API that the driver needs, over its unix socket: one GET at a time, bounded in time and
// size, and the stream of lifecycle events (a WebSocket). Incus speaks the same.

import { request } from 'node:http';
import { WebSocket } from 'ws';
import { LeafdError } from '../lib/leafd-error.ts';

const TIMEOUT_MS = 2_500;
const MAX_ANSWER_BYTES = 64 << 20;
const MAX_EVENT_BYTES = 1 << 20;
/** A stream that does not answer a ping within one more of these is dead. */
const PING_EVERY_MS = 10_000;

/** The `metadata` of a synchronous answer; undefined when there is no such thing (404). Rejects with a LeafdError. */
export function lxdGet(socket: string, path: string, signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
    const fail = (error: Error): void => {
      const late = limit.aborted && !signal.aborted;
      const why = late ? `no answer in ${TIMEOUT_MS} ms` : error.message;
      reject(new LeafdError('lxd-failed', `${path}: ${why}`, { cause: error }));
    };
    const options = {
      socketPath: socket,
      path,
      headers: { host: 'lxd' },
      agent: false as const,
      signal: limit,
    };
    const out = request(options, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MAX_ANSWER_BYTES) response.destroy(new Error('the answer is too long'));
        else chunks.push(chunk);
      });
      response.on('error', fail);
      response.on('end', () => {
        if (response.statusCode === 404) return resolve(undefined);
        try {
          const answer = JSON.parse(Buffer.concat(chunks).toString()) as {
            metadata?: unknown;
            error?: unknown;
          };
          if (response.statusCode === 200) resolve(answer.metadata);
          else fail(new Error(`status ${response.statusCode}: ${String(answer.error)}`));
        } catch {
          fail(new Error('the answer is no JSON'));
        }
      });
    });
    out.on('error', fail);
    out.end();
  });
}

export interface LxdEventStream {
  close(): void;
}

/** Lifecycle events of all projects until `onEnd`, which is called once. */
export function lxdEvents(
  socket: string,
  to: { onOpen(): void; onEvent(event: unknown): void; onEnd(reason: string): void },
  pingEveryMs = PING_EVERY_MS,
): LxdEventStream {
  const address = `ws+unix://${socket}:/1.0/events?type=lifecycle&all-projects=true`;
  const stream = new WebSocket(address, {
    handshakeTimeout: TIMEOUT_MS,
    maxPayload: MAX_EVENT_BYTES,
    perMessageDeflate: false,
    headers: { host: 'lxd' },
  });
  let reason = 'the stream of events ended';
  let answered = true;
  const ping = setInterval(() => {
    if (stream.readyState !== WebSocket.OPEN) return;
    if (!answered) {
      reason = `no answer to a ping in ${pingEveryMs} ms`;
      stream.terminate();
      return;
    }
    answered = false;
    stream.ping();
  }, pingEveryMs);
  ping.unref();
  stream.on('pong', () => {
    answered = true;
  });
  stream.on('open', () => to.onOpen());
  stream.on('message', (data) => {
    answered = true;
    try {
      to.onEvent(JSON.parse(String(data)));
    } catch {
      // Not JSON: not an event of ours.
    }
  });
  stream.on('error', (error) => {
    reason = error.message;
  });
  stream.on('close', () => {
    clearInterval(ping);
    to.onEnd(reason);
  });
  return { close: () => stream.terminate() };
}
