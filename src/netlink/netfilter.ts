// Batches of nf_tables on a NETLINK_NETFILTER socket, and reading back. A batch is one datagram between two marks; the
// kernel does all of it or nothing, and answers each message that it refused, the last change in any case, and the
// mark of the beginning where it gave up on the whole. Blocks the thread for the time the kernel takes.

import {
  eachMessage,
  errorNumber,
  errorText,
  type Failure,
  type MessageWriter,
  NLM_F_ACK,
  NLMSG_ERROR,
  u32,
} from './message.ts';
import { encodeBatch, type NftChange, type NftTable } from './nft.ts';
import { decodeChain, encodeChainGet, type NftChainFound } from './nft-dump.ts';
import { NETLINK_NETFILTER, NetlinkError, NetlinkSocket } from './socket.ts';
import { EAGAIN, EINTR, ENOBUFS, SysError } from './sys.ts';

const ENOENT = 2;
const ELEMENTS_IN_MESSAGE_AT_LEAST = 400;
/** Two thousand ports in one batch are below 1 MB. */
const SEND_BYTES = 8 << 20;
const RECEIVE_BYTES = 8 << 20;

export interface CommitResult {
  /** `unknown`: no answer came, or it was lost; what is there must be read. */
  outcome: 'done' | 'refused' | 'unknown';
  /** Of `refused`: what the kernel said, in its order. */
  failed: Failure[];
}

export function openNetfilter(netns?: string): NetlinkSocket {
  return NetlinkSocket.open({
    netns,
    protocol: NETLINK_NETFILTER,
    sendBuffer: SEND_BYTES,
    receiveBuffer: RECEIVE_BYTES,
  });
}

/** Does all the changes or none. */
export function commit(
  socket: NetlinkSocket,
  writer: MessageWriter,
  changes: readonly NftChange[],
): CommitResult {
  if (changes.length === 0) return { outcome: 'done', failed: [] };
  const firstSeq = socket.takeSeq(messagesAtMost(changes));
  encodeBatch(writer.reset(), firstSeq, changes);
  writer.flagLast(NLM_F_ACK);
  const lastSeq = firstSeq + writer.count - 2;
  const result: CommitResult = { outcome: 'done', failed: [] };
  socket.send(writer.bytes, writer.length);
  for (let done = false; !done; ) {
    const got = socket.receive(0);
    if (got === -EINTR) continue;
    if (got === -EAGAIN || got === -ENOBUFS) {
      socket.drain();
      return { outcome: 'unknown', failed: result.failed };
    }
    if (got < 0) throw new SysError('recv', -got, 'netfilter batch');
    eachMessage(socket.buffer, got, (type, _flags, bytes, start, end) => {
      const seq = u32(bytes, start + 8);
      if (type !== NLMSG_ERROR || seq < firstSeq || seq > lastSeq + 1) return;
      const errno = errorNumber(bytes, start);
      if (errno !== 0)
        result.failed.push({ index: seq - firstSeq, errno, text: errorText(bytes, start, end) });
      if (seq === lastSeq || (seq === firstSeq && errno !== 0)) done = true;
    });
  }
  if (result.failed.length > 0) result.outcome = 'refused';
  return result;
}

/** Elements of one change may take several messages, of several hundred elements each. */
function messagesAtMost(changes: readonly NftChange[]): number {
  let count = 2;
  for (const change of changes)
    count +=
      1 + ('elements' in change ? Math.ceil(change.elements.length / ELEMENTS_IN_MESSAGE_AT_LEAST) : 0);
  return count;
}

/** A chain as it is now; undefined where it is not. */
export function readChain(
  socket: NetlinkSocket,
  writer: MessageWriter,
  table: NftTable,
  chain: string,
): NftChainFound | undefined {
  let found: NftChainFound | undefined;
  const ask = (w: MessageWriter, seq: number) => encodeChainGet(w, seq, table, chain);
  try {
    socket.dumpNow(writer, ask, (_type, _flags, bytes, start, end) => {
      found = decodeChain(bytes, start, end);
    });
  } catch (error) {
    if (!(error instanceof NetlinkError) || error.errno !== ENOENT) throw error;
  }
  return found;
}
