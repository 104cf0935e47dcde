// Listens to NFLOG groups: packets that a rule of nf_tables logs there. Two ways: what rules dropped, cut short and
// several at a time, for it may wait; and whole frames, each delivered at once, for somebody waits for an answer. One
// listener a group and namespace; the kernel refuses a second with EPERM. What the socket cannot hold is lost: of drops
// the rules' counters tell, of frames the listener is told that some are missing.

import { eachMessage, MessageWriter } from './message.ts';
import {
  decodeLoggedFrame,
  decodeLoggedPacket,
  encodeLogBind,
  type LoggedPacket,
  NFULNL_MSG_PACKET,
} from './nflog-message.ts';
import { Poller } from './poller.ts';
import { NETLINK_NETFILTER, NetlinkError, NetlinkSocket } from './socket.ts';
import { EAGAIN, EINTR, ENOBUFS, MSG_DONTWAIT, SysError } from './sys.ts';

interface Manner {
  /** Bytes of a packet from its network header on. */
  copyRange: number;
  delayMs: number;
  queue: number;
  receiveBuffer: number;
  /** Datagrams read in one turn before others get theirs. */
  datagramsPerTurn: number;
}

const OF_DROPS: Manner = {
  copyRange: 128,
  delayMs: 20,
  queue: 16,
  receiveBuffer: 1 << 20,
  datagramsPerTurn: 16,
};
const OF_FRAMES: Manner = {
  copyRange: 1500,
  delayMs: 10,
  queue: 1,
  receiveBuffer: 8 << 20,
  datagramsPerTurn: 64,
};
const FRAME_BYTES = 14 + OF_FRAMES.copyRange;

export interface NflogOptions {
  netns?: string | undefined;
  group: number;
  onPacket: (logged: LoggedPacket) => void;
}

export interface FrameLogOptions {
  netns?: string | undefined;
  group: number;
  /** bytes[0, length) is an Ethernet frame of at most 1514 bytes; the buffer is used again. */
  onFrame: (ifindex: number, bytes: Uint8Array, length: number) => void;
  /** Frames were lost: more came than were read. */
  onLost: () => void;
}

type OnMessage = (bytes: Uint8Array, start: number, end: number) => void;

/** Delivers logged packets until closed. Throws NetlinkError (EPERM: somebody else listens) or SysError. */
export function listenNflog(options: NflogOptions): { close(): void } {
  const take: OnMessage = (bytes, start, end) => {
    const logged = decodeLoggedPacket(bytes, start, end);
    if (logged !== undefined) options.onPacket(logged);
  };
  return listen(options, OF_DROPS, take, () => {});
}

/** Delivers whole logged frames until closed, each at once. Throws as `listenNflog` does. */
export function listenFrames(options: FrameLogOptions): { close(): void } {
  const frame = new Uint8Array(FRAME_BYTES);
  const take: OnMessage = (bytes, start, end) => {
    const logged = decodeLoggedFrame(bytes, start, end, frame);
    if (logged !== undefined) options.onFrame(logged.ifindex, frame, logged.length);
  };
  return listen(options, OF_FRAMES, take, options.onLost);
}

function listen(
  { netns, group }: { netns?: string | undefined; group: number },
  manner: Manner,
  take: OnMessage,
  onLost: () => void,
): { close(): void } {
  const { receiveBuffer, datagramsPerTurn } = manner;
  const socket = NetlinkSocket.open({ netns, protocol: NETLINK_NETFILTER, receiveBuffer });
  try {
    bind(socket, group, manner);
  } catch (error) {
    socket.close();
    throw error;
  }
  let open = true;
  const watch = Poller.current().add(socket.fd, { readable: true }, () => {
    for (let i = 0; i < datagramsPerTurn && open; i++) {
      const got = socket.receive(MSG_DONTWAIT);
      if (got === -EAGAIN) return;
      if (got === -ENOBUFS) onLost();
      if (got === -EINTR || got === -ENOBUFS) continue;
      if (got < 0) throw new SysError('recv', -got, 'nflog');
      eachMessage(socket.buffer, got, (type, _flags, bytes, start, end) => {
        if (type === NFULNL_MSG_PACKET && open) take(bytes, start, end);
      });
    }
  });
  return {
    close: () => {
      if (!open) return;
      open = false;
      watch.close();
      socket.close();
    },
  };
}

function bind(socket: NetlinkSocket, group: number, manner: Manner): void {
  const writer = new MessageWriter();
  const seq = socket.takeSeq(2);
  encodeLogBind(writer, seq, group, manner);
  const { failed } = socket.exchange(writer.bytes, writer.length, 2, seq);
  if (failed.length > 0) throw new NetlinkError(`nflog group ${group}`, failed[0]!.errno, failed[0]!.text);
}
