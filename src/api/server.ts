// The API's two doors: the unix socket (0660, group `leafd` where it exists) and, if configured, loopback TCP. A
// socket file left by a crash is removed, one that answers is not: two daemons must not share a machine.

import { chmodSync, chownSync, lstatSync, mkdirSync, readFileSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { LeafdError } from '../lib/leafd-error.ts';
import { peerCredentials } from '../netlink/peercred.ts';
import { createApp } from './app.ts';
import type { Backend } from './backend.ts';
import type { EventRing } from './events.ts';
import { defaultLimits, type Limits } from './stream.ts';

export interface ApiOptions {
  backend: Backend;
  events: EventRing;
  /** Path of the unix socket. */
  socket: string;
  /** Loopback only; absent: no TCP. */
  listen?: { host: string; port: number } | undefined;
  limits?: Limits;
  /** A request that failed by our fault. */
  onBug: (error: unknown, request: string) => void;
}

export interface ApiServer {
  /** Ends every connection and removes the socket. */
  close(): Promise<void>;
}

/** Opens the doors. Throws a LeafdError when the socket cannot be made or another daemon answers on it. */
export async function startApi(options: ApiOptions): Promise<ApiServer> {
  const { backend, events, onBug } = options;
  const limits = options.limits ?? defaultLimits;
  const app = (way: 'unix' | 'tcp') => createApp({ backend, events, way, limits, mayWrite, onBug });
  const apps: FastifyInstance[] = [];
  try {
    await clearSocket(options.socket);
    const unix = app('unix');
    apps.push(unix);
    await unix.listen({ path: options.socket });
    openToGroup(options.socket);
    if (options.listen !== undefined) {
      const tcp = app('tcp');
      apps.push(tcp);
      await tcp.listen(options.listen);
    }
  } catch (error) {
    await Promise.all(apps.map((one) => one.close()));
    throw error instanceof LeafdError ? error : cannotListen(options, error);
  }
  return { close: async () => void (await Promise.all(apps.map((one) => one.close()))) };
}

function cannotListen(options: Pick<ApiOptions, 'socket' | 'listen'>, error: unknown): LeafdError {
  const { code, address } = error as { code?: string; address?: string };
  const tcp = code !== undefined && options.listen !== undefined && address !== options.socket;
  const where = tcp ? `${options.listen!.host}:${options.listen!.port}` : options.socket;
  const hint = code === 'EADDRINUSE' ? 'another program has it' : 'leafd runs as root';
  return new LeafdError('api-listen', `cannot listen on ${where}: ${code ?? String(error)}`, {
    cause: error,
    hint,
  });
}

/** Root may write, and whoever the daemon runs as. A socket whose end cannot be told may not. */
function mayWrite(request: FastifyRequest): boolean {
  const handle = (request.raw.socket as unknown as { _handle?: { fd?: number } })._handle;
  if (handle?.fd === undefined || handle.fd < 0) return false;
  try {
    const { uid } = peerCredentials(handle.fd);
    return uid === 0 || uid === process.geteuid!();
  } catch {
    return false;
  }
}

/**
 * Makes place for a socket: its folder, and no file of a daemon that died. Throws LeafdError `already-running` when a
 * daemon answers there, `api-listen` when the place cannot be made.
 */
export async function clearSocket(path: string): Promise<void> {
  try {
    await clearPath(path);
  } catch (error) {
    throw error instanceof LeafdError ? error : cannotListen({ socket: path }, error);
  }
}

async function clearPath(path: string): Promise<void> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  const status = lstatSync(path, { throwIfNoEntry: false });
  if (status === undefined) return;
  if (!status.isSocket())
    throw new LeafdError('api-listen', `${path} is there and is no socket`, {
      hint: 'api.socket names another path',
    });
  if (await answers(path))
    throw new LeafdError('already-running', `another leafd answers on ${path}`, {
      hint: 'systemctl status leafd',
    });
  unlinkSync(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const done = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => done(true));
    socket.once('error', () => done(false));
  });
}

function openToGroup(path: string): void {
  chmodSync(path, 0o660);
  const gid = groupId('leafd');
  if (gid === undefined || process.geteuid!() !== 0) return;
  chownSync(path, 0, gid);
}

/** The number of a group of this machine, from /etc/group. */
function groupId(name: string): number | undefined {
  try {
    const line = readFileSync('/etc/group', 'utf8')
      .split('\n')
      .find((one) => one.startsWith(`${name}:`));
    const gid = Number(line?.split(':')[2]);
    return Number.isInteger(gid) ? gid : undefined;
  } catch {
    return undefined;
  }
}
