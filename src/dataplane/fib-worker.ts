// The thread that writes the forwarding table. send(2) of a thousand routes blocks for 3 to 5 ms and now and
// then for 100 ms (the kernel waits for RCU), which the main thread cannot afford. It owns the write socket,
// which the main thread opened in the right namespace; buffers come and go by transfer. Waits have the
// socket's deadline, so that the thread always comes back to its event loop and can be ended.

import { parentPort, workerData } from 'node:worker_threads';
import type { Failure } from '../netlink/message.ts';
import { NetlinkSocket } from '../netlink/socket.ts';

/**
 * To the worker: `count` messages in buffer[0, length), numbered from `firstSeq`, the last with NLM_F_ACK.
 */
export interface WriteOrder {
  buffer: ArrayBuffer;
  length: number;
  count: number;
  firstSeq: number;
}

/** From the worker: the buffer again and the kernel's answers. */
export interface WriteReport {
  buffer: ArrayBuffer;
  outcome: 'known' | 'unknown';
  failed: Failure[];
}

/** What the worker is started with. */
export interface WriterData {
  fd: number;
  portId: number;
}

const port = parentPort;
if (port) {
  const data = workerData as WriterData;
  const socket = NetlinkSocket.adopt(data.fd, data.portId);
  port.on('message', (order: WriteOrder | 'close') => {
    if (order === 'close') {
      port.close();
      return;
    }
    const report: WriteReport = { buffer: order.buffer, outcome: 'unknown', failed: [] };
    try {
      const bytes = new Uint8Array(order.buffer);
      const result = socket.exchange(bytes, order.length, order.count, order.firstSeq);
      report.outcome = result.outcome;
      report.failed = result.failed;
    } catch {
      // A send that failed as a whole (no memory) leaves the outcome unknown; the comparison that follows
      // repairs.
    }
    port.postMessage(report, [order.buffer]);
  });
}
