// Log lines: JSON for journald and files, short text on a terminal. Peers that come and go are information with
// their reason; what an operator has to look at is a warning; a part that failed is an error. Secrets never get here:
// intent wraps them, and events carry text made for people.

import { isatty } from 'node:tty';
import { pino } from 'pino';
import type { EventPublisher, NewEvent } from '../api/events.ts';
import type { ObjectStatus } from '../dataplane/dataplane.ts';
import { oneLine } from '../intent/tree.ts';
import type { LeafdError } from '../lib/leafd-error.ts';
import type { RouterEvent } from '../router/ports.ts';
import { describeDown } from '../session/reason.ts';
import { createOutput } from './output.ts';

export interface Log {
  event(event: NewEvent): void;
  error(error: LeafdError): void;
  info(text: string): void;
  bug(error: unknown, where: string): void;
}

/** A log that also publishes what is an event. */
export function createLog(events: EventPublisher): Log {
  const terminal = isatty(1);
  const output = createOutput((lost) => {
    const text = `${lost} lines before this one could not be written`;
    return terminal
      ? `${text}\n`
      : `${JSON.stringify({ level: 40, time: new Date().toISOString(), msg: text })}\n`;
  });
  const logger = pino({ base: null, timestamp: pino.stdTimeFunctions.isoTime }, output);
  const write = (level: 'info' | 'warn' | 'error', text: string, fields: object = {}): void => {
    if (!terminal) logger[level](fields, text);
    else {
      // A stack has several lines.
      const shown = text.split('\n').map(oneLine).join('\n');
      output.write(`${new Date().toISOString()} ${level === 'info' ? '' : `${level}: `}${shown}\n`);
    }
  };
  return {
    event: (event) => {
      events.publish(event);
      const { level, text, ...fields } = event;
      write(level === 'warning' ? 'warn' : level, text, fields);
    },
    error: (error) => {
      events.publish({ level: 'error', kind: error.code, text: error.message });
      write('error', error.message, { code: error.code, hint: error.hint });
    },
    info: (text) => write('info', text),
    bug: (error, where) =>
      write('error', `${where}: ${error instanceof Error ? error.stack : String(error)}`),
  };
}

/**
 * Tells of sysctls and addresses that could not be brought about, once for each reason until it is over. A key the
 * kernel does not have is no trouble, for it has no such feature either; `leafctl kernel` shows it.
 */
export function tellKernelFailures(
  publish: (event: NewEvent) => void,
): (objects: readonly ObjectStatus[]) => void {
  let told = new Set<string>();
  return (objects) => {
    const byReason = new Map<string, string[]>();
    for (const { key, state, errno, text } of objects) {
      if (state !== 'error' || errno === 'ENOENT') continue;
      const reason = text ?? errno ?? 'unknown';
      byReason.set(reason, [...(byReason.get(reason) ?? []), key]);
    }
    for (const [reason, [first, ...more]] of byReason) {
      if (told.has(reason)) continue;
      const others = more.length === 0 ? '' : ` and ${more.length} more`;
      publish({ level: 'warning', kind: 'kernel-refused', text: `cannot set ${first}${others}: ${reason}` });
    }
    told = new Set(byReason.keys());
  };
}

/** Routes the kernel refuses come in batches, a full table of them in hundreds: told at most so often. */
const REFUSED_PAUSE_MS = 60_000;

/** Tells that the kernel refused routes, and where to look; which ones and why `leafctl kernel` knows. */
export function tellRefusedRoutes(
  publish: (event: NewEvent) => void,
  nowMs: () => number,
): (count: number) => void {
  let untold = 0;
  let quietUntilMs = Number.NEGATIVE_INFINITY;
  return (count) => {
    untold += count;
    if (untold === 0 || nowMs() < quietUntilMs) return;
    const routes = untold === 1 ? 'a route' : `${untold} routes`;
    const text = `the kernel refused ${routes}: leafctl kernel shows which and why`;
    publish({ level: 'warning', kind: 'routes-refused', text });
    untold = 0;
    quietUntilMs = nowMs() + REFUSED_PAUSE_MS;
  };
}

/** A router's event in words. */
export function eventOf(event: RouterEvent): NewEvent {
  switch (event.kind) {
    case 'peerUp': {
      const who = event.name === undefined ? '' : ` (${event.name})`;
      const text = `${event.peer}${who}: Established with AS ${event.remoteAsn}`;
      return { level: 'info', kind: 'peer-up', text, peer: event.peer };
    }
    case 'peerDown': {
      const text = `${event.peer}: down: ${describeDown(event.reason)}`;
      return { level: 'info', kind: 'peer-down', text, peer: event.peer };
    }
    case 'peerAdded':
      return { level: 'info', kind: 'peer-added', text: `${event.peer}: known`, peer: event.peer };
    case 'peerRemoved':
      return { level: 'info', kind: 'peer-removed', text: `${event.peer}: gone`, peer: event.peer };
    case 'sessionRefused':
      return {
        level: 'warning',
        kind: 'session-refused',
        text: `${event.peer}: ${event.text}`,
        peer: event.peer,
      };
    case 'malformed':
      return {
        level: 'warning',
        kind: 'update-malformed',
        text: `${event.peer}: ${event.text}`,
        peer: event.peer,
      };
    case 'familyDisabled':
      return {
        level: 'warning',
        kind: 'family-disabled',
        text: `${event.peer}: ${event.text}`,
        peer: event.peer,
      };
    case 'maxPrefix':
      return { level: 'warning', kind: 'max-prefix', text: `${event.peer}: ${event.text}`, peer: event.peer };
    case 'bfd': {
      const { peer, text } = event;
      return {
        level: event.failed ? 'warning' : 'info',
        kind: `bfd-${event.state}`,
        text: `${peer}: ${text}`,
        peer,
      };
    }
    case 'bfdDiscarded':
      return { level: 'warning', kind: 'bfd-discarded', text: event.text };
    case 'restartDone':
      return { level: 'info', kind: 'restart-done', text: `graceful restart is over: ${event.text}` };
  }
}
