// One AF_PACKET socket that sends whole Ethernet frames out of any link (packet(7)). It listens to no protocol, so
// nothing is ever queued for it, and closing it costs the kernel nothing: a socket that listens is taken out of the
// receive path, for which close(2) waits until every processor has left it.
//
// Frames go to the driver without the link's queue (PACKET_QDISC_BYPASS): what a link does not take now is dropped,
// so that a guest which takes nothing cannot fill the one send buffer that all share.

import { assert } from '../lib/assert.ts';
import { withNetns } from './netns.ts';
import {
  check,
  closeFd,
  libcCalls,
  MSG_DONTWAIT,
  raw,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  setIntOption,
} from './sys.ts';

const AF_PACKET = 17;
const SOL_PACKET = 263;
const PACKET_QDISC_BYPASS = 20;
const SOCKADDR_LL_BYTES = 20;

export interface PacketSender {
  /** Sends bytes[0, length) out of a link; false where the kernel does not take it, or the link is gone. */
  send(ifindex: number, bytes: Uint8Array, length: number): boolean;
  close(): void;
}

/** Throws SysError (EPERM: not allowed). */
export function openPacketSender(netns?: string): PacketSender {
  const fd = netns === undefined ? openSocket() : withNetns(netns, openSocket);
  const to = Buffer.alloc(SOCKADDR_LL_BYTES);
  to.writeUInt16LE(AF_PACKET);
  let open = true;
  return {
    send: (ifindex, bytes, length) => {
      assert(length <= bytes.length, 'send beyond the frame');
      if (!open) return false;
      to.writeInt32LE(ifindex, 4);
      return raw(libcCalls.sendto(fd, bytes, length, MSG_DONTWAIT, to, SOCKADDR_LL_BYTES)) === length;
    },
    close: () => {
      if (!open) return;
      open = false;
      closeFd(fd);
    },
  };
}

function openSocket(): number {
  const type = SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const fd = check('socket', libcCalls.socket(AF_PACKET, type, 0), 'packet');
  try {
    setIntOption(fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1);
    return fd;
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}
