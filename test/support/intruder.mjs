// Somebody who talks to port 179 without being a peer: `node intruder.mjs MODE ADDRESS [COUNT]`, run inside a
// namespace. Plain JavaScript, because Node runs it as it is. It prints what came of it as JSON.
//
//   garbage  random bytes; half   the first bytes of an OPEN, then silence; wrong  a whole OPEN of BGP version 9
//   flood    many connections at once, each opened again when it is closed

import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';

const [mode, host, count = '1'] = process.argv.slice(2);
const result = { connected: 0, refused: 0, closed: 0, bytesHeard: 0, firstHeard: '' };

const marker = Buffer.alloc(16, 0xff);
const open = Buffer.concat([
  marker,
  Buffer.from([0, 29, 1, 9]), // length, OPEN, version
  Buffer.from([0xfd, 0xe8, 0, 9]), // AS 65000, hold time 9 s
  Buffer.from([192, 0, 2, 66, 0]), // BGP identifier, no parameters
]);
const sayings = {
  garbage: () => randomBytes(4096),
  half: () => open.subarray(0, 21),
  wrong: () => open,
  flood: () => undefined,
};

function call(again) {
  const socket = connect({ host, port: 179 });
  socket.setTimeout(2000, () => socket.destroy());
  socket.on('connect', () => {
    result.connected++;
    const words = sayings[mode]();
    if (words !== undefined) socket.write(words);
  });
  socket.on('data', (heard) => {
    result.bytesHeard += heard.length;
    if (result.firstHeard === '') result.firstHeard = heard.toString('hex');
  });
  socket.on('error', () => result.refused++);
  socket.on('close', () => {
    result.closed++;
    if (again > 0) call(again - 1);
  });
}

const lanes = mode === 'flood' ? 50 : 1;
for (let lane = 0; lane < lanes; lane++) call(Math.ceil(Number(count) / lanes) - 1);
process.on('exit', () => console.log(JSON.stringify(result)));
