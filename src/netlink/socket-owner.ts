// Which user of this machine holds a TCP socket of a namespace (that of the process unless said), by the kernel's own
// word. One exchange, some tens of microseconds. A program that runs as somebody else than who opened the socket counts
// as who opened it.

import { sameBytes } from '../lib/bytes.ts';
import { eachMessage, MessageWriter, NLMSG_ERROR, u32 } from './message.ts';
import {
  decodeTcp,
  encodeTcpGet,
  NETLINK_SOCK_DIAG,
  SOCK_DIAG_BY_FAMILY,
  type SocketEnd,
  type SocketEnds,
  TCP_ESTABLISHED,
  TCP_LISTEN,
  type TcpSocket,
} from './sock-diag.ts';
import { NetlinkSocket } from './socket.ts';
import { EINTR } from './sys.ts';

const DEADLINE_MS = 200;

/**
 * The uid of who holds the end of an established connection, or undefined where no process of this namespace does.
 * `accepting`: the end was called, and may wait for its program to take it; then it is whose listener that is.
 */
export function connectionOwner(
  ends: SocketEnds,
  options: { ifindex: number; accepting: boolean; netns?: string },
): number | undefined {
  const { netns } = options;
  const socket = NetlinkSocket.open({ protocol: NETLINK_SOCK_DIAG, deadlineMs: DEADLINE_MS, netns });
  try {
    const found = ask(socket, ends, options.ifindex);
    if (found === undefined || !isEnd(found.near, ends.near) || !isEnd(found.far, ends.far)) return undefined;
    if (found.state === TCP_ESTABLISHED && found.inode !== 0) return found.uid;
    if (!options.accepting || found.inode !== 0) return undefined;
    const far = { address: ends.far.address, port: 0 };
    const listener = ask(socket, { near: ends.near, far }, options.ifindex);
    return listener?.state === TCP_LISTEN && listener.inode !== 0 ? listener.uid : undefined;
  } finally {
    socket.close();
  }
}

function isEnd(a: SocketEnd, b: SocketEnd): boolean {
  const { length } = a.address;
  if (a.port !== b.port || b.address.length !== length) return false;
  return sameBytes(a.address, 0, b.address, 0, length);
}

function ask(socket: NetlinkSocket, ends: SocketEnds, ifindex: number): TcpSocket | undefined {
  const seq = socket.takeSeq();
  const writer = new MessageWriter(new Uint8Array(128));
  encodeTcpGet(writer, seq, ends, ifindex);
  socket.send(writer.bytes, writer.length);
  for (;;) {
    const got = socket.receive(0);
    if (got === -EINTR) continue;
    if (got < 0) return undefined;
    let isDone = false;
    let found: TcpSocket | undefined;
    eachMessage(socket.buffer, got, (type, _flags, bytes, start, end) => {
      if (u32(bytes, start + 8) !== seq) return;
      if (type === SOCK_DIAG_BY_FAMILY) found = decodeTcp(bytes, start, end);
      if (type === SOCK_DIAG_BY_FAMILY || type === NLMSG_ERROR) isDone = true;
    });
    if (isDone) return found;
  }
}
