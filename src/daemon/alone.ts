// One leafd for each network namespace: two would take each other's loopbacks away, and with them the routes, for as
// long as both live. So before a station touches the kernel it looks for a program that listens on the BGP port there;
// another leafd that answers on the socket was refused before (api/server.ts).

import { closeFd } from '../netlink/sys.ts';
import { listenTcp } from '../netlink/tcp.ts';

/** Throws LeafdError (`address-in-use`, `permission-denied`) when somebody listens on the port in the namespace. */
export function refuseListener(port: number, netns?: string): void {
  const place = netns === undefined ? {} : { netns };
  for (const length of [4, 16])
    listenTcp({ ...place, address: new Uint8Array(length), port }, ({ fd }) => closeFd(fd)).close();
}
