// A daemon under test that does nothing: it answers OPEN and copies UPDATE bytes from one session to the others.
// What it costs is what the tester and the kernel cost; every other figure is to be read beside it.

import { createServer, type Socket } from 'node:net';
import { message, openMessage, wholeMessage } from './workload.ts';

const keepalive = message(4, []);
const sessions: Socket[] = [];

createServer({ noDelay: true }, (socket) => {
  sessions.push(socket);
  let rest: Uint8Array = new Uint8Array(0);
  socket.on('error', () => {});
  socket.on('data', (bytes: Uint8Array) => {
    if (rest.length > 0) bytes = Buffer.concat([rest, bytes]);
    let at = 0;
    let updates = -1;
    while (true) {
      const length = wholeMessage(bytes, at, bytes.length);
      if (length === 0) break;
      const type = bytes[at + 18];
      if (type === 1) {
        socket.write(openMessage(65000, [10, 99, 0, 1]));
        socket.write(keepalive);
      } else if (type === 2 && updates < 0) updates = at;
      at += length;
    }
    // From the first UPDATE on: what the tester sends in between are KEEPALIVEs at most.
    if (updates >= 0)
      for (const other of sessions) if (other !== socket) other.write(bytes.slice(updates, at));
    rest = bytes.slice(at);
  });
}).listen(179, '0.0.0.0');

process.on('SIGTERM', () => process.exit(0));
