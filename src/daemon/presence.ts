// A running leafd can be found in its network namespace, whatever its socket and state directory are called: it
// listens on an abstract unix socket (unix(7)), whose name belongs to the namespace and goes with the process.
// `leafd --flush` asks for it, because flushing under a running daemon is worse than useless: routes and addresses
// come back at once, while the saved values of sysctls are gone for good.

import { connect, createServer, type Server } from 'node:net';
import { LeafdError } from '../lib/leafd-error.ts';
import { peerCredentials } from '../netlink/peercred.ts';

const NAME = '\0leafd';

/** Lets others find this process until it ends. A name that is taken is no reason not to start. */
export function announcePresence(name = NAME): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  return new Promise((resolve) => {
    server.once('error', () => resolve(server));
    server.listen(name, () => resolve(server.unref()));
  });
}

/** Throws LeafdError `already-running` when a leafd of root or of our own user runs in this network namespace. */
export async function refuseRunning(name = NAME): Promise<void> {
  const pid = await runningPid(name);
  if (pid === undefined) return;
  throw new LeafdError('already-running', `leafd runs here with pid ${pid}: it would put everything back`, {
    hint: 'stop it first: systemctl stop leafd',
  });
}

/** Who listens on the name. Anyone may take a name, so what another user has is not believed. */
function runningPid(name: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    const socket = connect(name);
    socket.once('error', () => resolve(undefined));
    socket.once('connect', () => {
      const handle = (socket as unknown as { _handle?: { fd?: number } })._handle;
      const { pid, uid } = peerCredentials(handle?.fd ?? -1);
      socket.destroy();
      resolve(uid === 0 || uid === process.geteuid!() ? pid : undefined);
    });
  });
}
