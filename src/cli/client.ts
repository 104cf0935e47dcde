// HTTP over the daemon's unix socket with nothing but node:http, because leafctl must start fast. An unreachable
// daemon is told with the socket, the errno and what to do about it.

import { type IncomingMessage, request } from 'node:http';
import type { ErrorView, EventView } from '../api/views.ts';
import { CliError, exitCodeOf, FAILED, UNREACHABLE } from './exit.ts';

const TIMEOUT_MS = 30_000;
const MAX_ANSWER_BYTES = 256 << 20;

export class Client {
  readonly socket: string;
  private readonly timeoutMs: number;

  constructor(socket: string, timeoutMs = TIMEOUT_MS) {
    this.socket = socket;
    this.timeoutMs = timeoutMs;
  }

  /** The view at a path. Throws a CliError for every refusal. */
  async get<View>(path: string): Promise<View> {
    return this.answer(await this.send('GET', path)) as Promise<View>;
  }

  /** Sends a JSON body. */
  async post<View>(path: string, body: unknown): Promise<View> {
    return this.answer(await this.send('POST', path, JSON.stringify(body))) as Promise<View>;
  }

  async delete<View>(path: string): Promise<View> {
    return this.answer(await this.send('DELETE', path)) as Promise<View>;
  }

  /** Calls `onEvent` for every event until the stream ends or `signal` aborts it. */
  async events(
    since: number | undefined,
    onEvent: (event: EventView) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const path = since === undefined ? '/v1/events' : `/v1/events?since=${since}`;
    const response = await this.send('GET', path, undefined, signal);
    if (response.statusCode !== 200) await this.answer(response);
    response.setEncoding('utf8');
    let rest = '';
    try {
      for await (const chunk of response) {
        const blocks = (rest + (chunk as string)).split('\n\n');
        rest = blocks.pop()!;
        for (const block of blocks) {
          const data = block.split('\n').find((line) => line.startsWith('data: '));
          if (data !== undefined) onEvent(JSON.parse(data.slice(6)) as EventView);
        }
      }
    } catch (error) {
      if (!signal.aborted) throw this.unreachable(error);
    }
  }

  private send(method: string, path: string, body?: string, signal?: AbortSignal): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const headers: Record<string, string> = { host: 'leafd' };
      if (body !== undefined) headers['content-type'] = 'application/json';
      if (signal !== undefined) headers.accept = 'text/event-stream';
      const options = { socketPath: this.socket, path, method, headers, agent: false as const };
      const out = request(signal === undefined ? options : { ...options, signal }, resolve);
      out.on('error', (error) => reject(this.unreachable(error)));
      if (signal === undefined)
        out.setTimeout(this.timeoutMs, () =>
          out.destroy(Object.assign(new Error('timeout'), { code: 'ETIMEDOUT' })),
        );
      out.end(body);
    });
  }

  private async answer(response: IncomingMessage): Promise<unknown> {
    const chunks: Buffer[] = [];
    let size = 0;
    try {
      for await (const chunk of response) {
        chunks.push(chunk as Buffer);
        size += (chunk as Buffer).length;
        if (size > MAX_ANSWER_BYTES) throw new Error('the answer is too long');
      }
    } catch (error) {
      throw this.unreachable(error);
    }
    const text = Buffer.concat(chunks).toString();
    let view: unknown;
    try {
      view = JSON.parse(text);
    } catch {
      throw new CliError(UNREACHABLE, {
        code: 'unreachable',
        message: `what answers on ${this.socket} is not leafd`,
        hint: 'leafctl -s SOCKET, or LEAFCTL_SOCKET, names another socket',
      });
    }
    if (response.statusCode === 200) return view;
    const { error } = view as Partial<ErrorView>;
    if (error === undefined || typeof error.message !== 'string')
      throw new CliError(FAILED, {
        code: 'internal',
        message: `leafd answered with status ${response.statusCode}`,
      });
    throw new CliError(exitCodeOf(error.code), error);
  }

  private unreachable(error: unknown): CliError {
    if (error instanceof CliError) return error;
    const code = (error as { code?: string }).code ?? 'no answer';
    const hint = hints[code] ?? 'systemctl status leafd';
    const message = `cannot reach leafd on ${this.socket}: ${code}`;
    return new CliError(UNREACHABLE, { code: 'unreachable', message, hint });
  }
}

const hints: Record<string, string> = {
  ENOENT: 'leafd is not running there: systemctl start leafd, or name its socket with -s',
  ECONNREFUSED: 'leafd has ended: systemctl start leafd, then journalctl -u leafd for why',
  EACCES: 'join the group leafd (usermod -aG leafd USER, log in again), or use sudo',
  ENOTSOCK: "that file is not a socket: name leafd's with -s",
  ETIMEDOUT: 'leafd is there and does not answer: journalctl -u leafd',
  ECONNRESET: 'leafd ended while it answered: journalctl -u leafd',
};
