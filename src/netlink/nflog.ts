// Listens to an NFLOG group: packets that a rule of nf_tables logs there, cut short. One listener a group and
// namespace; the kernel refuses a second with EPERM. What the socket cannot hold is lost and not told again: rules
// count what they drop, the log says only what it was like.

import { eachMessage, MessageWriter } from './message.ts';
import { decodeLoggedPacket, encodeLogBind, type LoggedPacket, NFULNL_MSG_PACKET } from './nflog-message.ts';
import { Poller } from './poller.ts';
import { NETLINK_NETFILTER, NetlinkError, NetlinkSocket } from './socket.ts';
import { EAGAIN, EINTR, ENOBUFS, MSG_DONTWAIT, SysError } from './sys.ts';

const COPY_BYTES = 128;
const DELAY_MS = 20;
const QUEUE = 16;
/** Datagrams read in one turn before others get theirs. */
const DATAGRAMS_PER_TURN = 16;
const RECEIVE_BYTES = 1 << 20;

export interface NflogOptions {
  netns?: string | undefined;
  group: number;
  onPacket: (logged: LoggedPacket) => void;
}

/** Delivers logged packets until closed. Throws NetlinkError (EPERM: somebody else listens) or SysError. */
export function listenNflog(options: NflogOptions): { close(): void } {
  const socket = NetlinkSocket.open({
    netns: options.netns,
    protocol: NETLINK_NETFILTER,
    receiveBuffer: RECEIVE_BYTES,
  });
  try {
    bind(socket, options.group);
  } catch (error) {
    socket.close();
    throw error;
  }
  const watch = Poller.current().add(socket.fd, { readable: true }, () => {
    for (let i = 0; i < DATAGRAMS_PER_TURN; i++) {
      const got = socket.receive(MSG_DONTWAIT);
      if (got === -EAGAIN) return;
      if (got === -EINTR || got === -ENOBUFS) continue;
      if (got < 0) throw new SysError('recv', -got, 'nflog');
      eachMessage(socket.buffer, got, (type, _flags, bytes, start, end) => {
        if (type !== NFULNL_MSG_PACKET) return;
        const logged = decodeLoggedPacket(bytes, start, end);
        if (logged !== undefined) options.onPacket(logged);
      });
    }
  });
  let open = true;
  return {
    close: () => {
      if (!open) return;
      open = false;
      watch.close();
      socket.close();
    },
  };
}

function bind(socket: NetlinkSocket, group: number): void {
  const writer = new MessageWriter();
  const seq = socket.takeSeq(2);
  encodeLogBind(writer, seq, group, { copyRange: COPY_BYTES, delayMs: DELAY_MS, queue: QUEUE });
  const { failed } = socket.exchange(writer.bytes, writer.length, 2, seq);
  if (failed.length > 0) throw new NetlinkError(`nflog group ${group}`, failed[0]!.errno, failed[0]!.text);
}
