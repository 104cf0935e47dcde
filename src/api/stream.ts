// Events as server-sent events: first what the client missed (Last-Event-ID or ?since), then what happens, and a
// comment every 15 s so that both sides notice a dead connection. A client that does not read is cut off: it comes
// back with its last id, and the ring tells it what it lost. Subscribers are counted.

import type { FastifyReply, FastifyRequest } from 'fastify';
import { LeafdError } from '../lib/leafd-error.ts';
import type { EventRing } from './events.ts';
import { numberOf } from './query.ts';
import type { EventView } from './views.ts';

export interface Limits {
  connections: number;
  subscribers: number;
  /** Questions that read whole tables, waiting for their turn. */
  questions: number;
  /** Unread bytes of a subscriber at which it is cut off. */
  backlogBytes: number;
  heartbeatMs: number;
}

export const defaultLimits: Limits = {
  connections: 256,
  subscribers: 64,
  questions: 32,
  backlogBytes: 1 << 20,
  heartbeatMs: 15_000,
};

/** Answers with an endless stream; the reply is taken out of fastify's hands. */
export function serveEventStream(
  request: FastifyRequest,
  reply: FastifyReply,
  events: EventRing,
  limits: Limits,
): void {
  if (events.subscribers >= limits.subscribers)
    throw new LeafdError('too-many', `${limits.subscribers} subscribers are the most`, {
      hint: 'poll with ?since=',
    });
  const fields = request.query as Record<string, unknown>;
  const header = request.headers['last-event-id'];
  const resumed = typeof header === 'string' && /^\d{1,15}$/.test(header) ? Number(header) : undefined;
  const since = resumed ?? numberOf(fields, 'since', 0, Number.MAX_SAFE_INTEGER, events.last);
  reply.hijack();
  const { raw } = reply;
  raw.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'x-accel-buffering': 'no',
  });
  const { events: missed, lost } = events.since(since);
  raw.write(lost > 0 ? `: ${lost} events are no longer kept\n\n` : ': leafd\n\n');
  const write = (event: EventView): void => {
    raw.write(`id: ${event.id}\nevent: ${event.kind}\ndata: ${JSON.stringify(event)}\n\n`);
    if (raw.writableLength > limits.backlogBytes) raw.destroy();
  };
  for (const event of missed) write(event);
  const unsubscribe = events.subscribe(write);
  const heartbeat = setInterval(() => raw.write(': alive\n\n'), limits.heartbeatMs);
  heartbeat.unref();
  const end = (): void => {
    clearInterval(heartbeat);
    unsubscribe();
  };
  raw.on('close', end);
  raw.on('error', end);
}
