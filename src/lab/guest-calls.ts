// What a hypervisor's hooks tell its leafd of a guest: attach, expect, detach, over its socket as `leafctl` does. A
// refusal is told in the daemon's words.

import { request } from 'node:http';
import { LeafdError } from '../lib/leafd-error.ts';
import { type LabNode, tapOf } from './topology.ts';

const ASK_TIMEOUT_MS = 5000;

/** The guest runs here. */
export async function attach(socket: string, guest: LabNode): Promise<void> {
  await call(socket, 'POST', '/v1/guests', { name: guest.name, ...placeOf(guest) });
}

/** The guest will come here from `from`. */
export async function expect(socket: string, guest: LabNode, from: string): Promise<void> {
  await call(socket, 'POST', `/v1/guests/${guest.name}/expect`, { ...placeOf(guest), from });
}

/** The guest is not here any more; harmless when leafd knows that already, or is dead: then its tap alone tells. */
export async function detach(socket: string, guest: LabNode): Promise<void> {
  try {
    await call(socket, 'DELETE', `/v1/guests/${guest.name}`, undefined, [404]);
  } catch (error) {
    const { code } = ((error as LeafdError).cause ?? {}) as { code?: string };
    if (code !== 'ECONNREFUSED' && code !== 'ENOENT') throw error;
  }
}

function placeOf({ name, addresses, guest }: LabNode) {
  return {
    guest: name,
    port: tapOf(name),
    mac: guest!.mac,
    addresses: addresses.map((address) => address.replace(/\/\d+$/, '')),
  };
}

function call(
  socketPath: string,
  method: string,
  path: string,
  body?: unknown,
  fine: readonly number[] = [],
): Promise<void> {
  const text = body === undefined ? '' : JSON.stringify(body);
  const headers = { host: 'leafd', ...(text === '' ? {} : { 'content-type': 'application/json' }) };
  return new Promise((resolve, reject) => {
    const fail = (reason: string, cause?: unknown): void =>
      reject(new LeafdError('lab-guest-refused', `${method} ${path}: ${reason}`, { cause }));
    const asked = request({ socketPath, method, path, headers, timeout: ASK_TIMEOUT_MS }, (response) => {
      let answer = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (answer += chunk));
      response.on('error', (error) => fail(error.message, error));
      response.on('end', () => {
        const status = response.statusCode ?? 0;
        if ((status >= 200 && status < 300) || fine.includes(status)) resolve();
        else fail(wordsOf(answer, status));
      });
    });
    asked.on('timeout', () => asked.destroy(new Error(`no answer on ${socketPath}`)));
    asked.on('error', (error) => fail(error.message, error));
    asked.end(text);
  });
}

/** The message of an answer that says no. */
function wordsOf(answer: string, status: number): string {
  try {
    const { message, error } = JSON.parse(answer) as { message?: string; error?: { message?: string } };
    return error?.message ?? message ?? `HTTP ${status}`;
  } catch {
    return `HTTP ${status}`;
  }
}
