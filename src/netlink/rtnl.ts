// What the rooms above see of one namespace's rtnetlink: small writes at once, dumps in turns, events.
// `kernelRtnl` is the kernel; fake-kernel.ts is the other implementation, so that everything above is tested
// without root.

import { MessageWriter } from './message.ts';
import {
  type BatchResult,
  type DumpRequest,
  dump,
  type ListenOptions,
  listen,
  NetlinkSocket,
  type OpenOptions,
} from './socket.ts';

export interface Rtnl {
  /**
   * Small batches, written at once; blocks for what the kernel needs. `encode` writes messages from
   * `firstSeq` on.
   */
  write(encode: (writer: MessageWriter, firstSeq: number) => void): BatchResult;
  dump(request: DumpRequest): Promise<void>;
  /** A dump read at once, blocking: for start and flush, and for small tables. */
  dumpNow(request: DumpRequest): void;
  listen(options: Omit<ListenOptions, keyof OpenOptions | 'groups'> & { groups: readonly number[] }): {
    close(): void;
  };
  close(): void;
}

/** The rtnetlink of a namespace (absent: that of the process). */
export function kernelRtnl(netns?: string): Rtnl {
  const socket = NetlinkSocket.open({ netns });
  const writer = new MessageWriter();
  return {
    write: (encode) => {
      // Late answers to an earlier request must not be taken for answers to this one.
      socket.drain();
      const firstSeq = socket.takeSeq(1000);
      encode(writer.reset(), firstSeq);
      if (writer.count === 0) return { outcome: 'known', failed: [] };
      return socket.batch(writer, firstSeq);
    },
    dump: (request) => dump({ netns }, new MessageWriter(), request),
    dumpNow: (request) => socket.dumpNow(writer, request.encode, request.onMessage),
    listen: (options) => listen({ ...options, netns }),
    close: () => socket.close(),
  };
}
