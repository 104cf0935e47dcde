// The daemon as hooks ask it: attach all NICs at once, or each by itself when one of them is refused; detach what may
// be gone already. Over node:http with a signal for all of it, because a hook has one limit of time, not one a request.

import { request as httpRequest } from 'node:http';
import type { AttachBody, ErrorView, GuestsView, GuestView } from '../api/views.ts';
import type { HookRequest } from './hook-body.ts';

const MAX_ANSWER_BYTES = 64 << 20;

/** Whether the daemon said no, rather than nothing. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** The daemon, asked one thing after the other until the signal. */
export class Asker {
  private readonly socket: string;
  private readonly signal: AbortSignal;

  constructor(socket: string, signal: AbortSignal) {
    this.socket = socket;
    this.signal = signal;
  }

  /** What was done, for people. Throws for what was not. */
  async ask(request: HookRequest): Promise<string[]> {
    if (request.kind === 'attach') return this.attach(request.bodies);
    if (request.kind === 'detach') return this.detach(request.names);
    if (request.kind === 'nothing') return [];
    const names = (await this.list()).filter(
      ({ source, name }) => source === 'proxmox' && request.pattern.test(name),
    );
    return this.detach(names.map(({ name }) => name));
  }

  async list(): Promise<GuestView[]> {
    return ((await this.send('GET', '/v1/guests')) as GuestsView).guests;
  }

  private async attach(bodies: readonly AttachBody[]): Promise<string[]> {
    try {
      const { guests } = (await this.send('POST', '/v1/guests', { guests: bodies })) as GuestsView;
      return bodies.map((body) => done(body, guests));
    } catch (error) {
      if (!(error instanceof Refusal) || bodies.length === 1) throw error;
    }
    // All or none: what one NIC is refused for does not cost the others.
    const told: string[] = [];
    let refusal: Refusal | undefined;
    for (const body of bodies)
      try {
        const { guests } = (await this.send('POST', '/v1/guests', body)) as GuestsView;
        told.push(done(body, guests));
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        refusal = error;
        told.push(`${body.name}: ${error.message}`);
      }
    if (refusal !== undefined) throw new Refusal(refusal.code, told.join('; '));
    return told;
  }

  private async detach(names: readonly string[]): Promise<string[]> {
    const told: string[] = [];
    for (const name of names)
      try {
        await this.send('DELETE', `/v1/guests/${encodeURIComponent(name)}`);
        told.push(`${name} detached`);
      } catch (error) {
        // Another hook, or the end of its port, was first.
        if (!(error instanceof Refusal && error.code === 'not-found')) throw error;
      }
    return told;
  }

  private send(method: string, path: string, body?: unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const text = body === undefined ? undefined : JSON.stringify(body);
      const headers = { host: 'leafd', ...(text !== undefined && { 'content-type': 'application/json' }) };
      const options = {
        socketPath: this.socket,
        path,
        method,
        headers,
        agent: false as const,
        signal: this.signal,
      };
      const unreachable = (error: Error): void => {
        const why = (error as { code?: string }).code ?? error.message;
        reject(new Error(`cannot reach leafd on ${this.socket}: ${why}`));
      };
      const out = httpRequest(options, (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > MAX_ANSWER_BYTES) response.destroy(new Error('the answer is too long'));
          else chunks.push(chunk);
        });
        response.on('error', unreachable);
        response.on('end', () => {
          try {
            const view = JSON.parse(Buffer.concat(chunks).toString()) as Partial<ErrorView>;
            if (response.statusCode === 200) resolve(view);
            else reject(new Refusal(view.error!.code, `leafd refuses: ${view.error!.message}`));
          } catch {
            reject(new Error(`what answers on ${this.socket} is not leafd`));
          }
        });
      });
      out.on('error', unreachable);
      out.end(text);
    });
  }
}

/** What became of it: one that was expected before may have stayed so. */
function done(body: AttachBody, guests: readonly GuestView[] = []): string {
  const isExpected =
    body.expect !== undefined || guests.find(({ name }) => name === body.name)?.expected !== undefined;
  const addresses = [...(body.addresses ?? []), ...(body.allowed ?? [])].join(' ');
  return `${body.name} ${isExpected ? 'expected' : 'attached'}${addresses === '' ? '' : `: ${addresses}`}`;
}
