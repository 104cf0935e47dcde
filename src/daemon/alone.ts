// One leafd for each network namespace: two would take each other's loopbacks away, and with them the routes, for as
// long as both live. So a daemon looks for company before it touches the kernel: another one that answers on its
// socket, or any program that listens on the BGP port.

import { clearSocket } from '../api/server.ts';
import { closeFd } from '../netlink/sys.ts';
import { listenTcp } from '../netlink/tcp.ts';

/**
 * Throws LeafdError (`already-running`, `address-in-use`, `permission-denied`) when this one must not start. Without a
 * port another daemon may speak BGP here.
 */
export async function refuseCompany(socket: string, port: number | undefined): Promise<void> {
  await clearSocket(socket);
  if (port !== undefined) refuseListener(port);
}

/** Throws LeafdError (`address-in-use`, `permission-denied`) when somebody listens on the port in the namespace. */
export function refuseListener(port: number, netns?: string): void {
  const place = netns === undefined ? {} : { netns };
  for (const length of [4, 16])
    listenTcp({ ...place, address: new Uint8Array(length), port }, ({ fd }) => closeFd(fd)).close();
}
