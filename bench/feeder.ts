// A neighbour that announces a whole table and takes it back, over and over: load for whoever is measured otherwise.
// Arguments, as JSON: FeederOptions. Prints `ready` once the session is Established, `round N` after each round.

import { connect } from 'node:net';
import { makeWorkload, message, openMessage, wholeMessage } from './workload.ts';

export interface FeederOptions {
  address: string;
  dutAddress: string;
  asn: number;
  count: number;
  seed: number;
}

const options = JSON.parse(process.argv[2]!) as FeederOptions;
const address = options.address.split('.').map(Number);
const workload = makeWorkload(options.count, { asn: options.asn, nextHop: address }, options.seed);
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const keepalive = message(4, []);

const socket = connect({ host: options.dutAddress, port: 179, localAddress: options.address, noDelay: true });
let rest: Uint8Array = new Uint8Array(0);
let isUp = false;
socket.on('connect', () => socket.write(openMessage(options.asn, address)));
socket.on('error', () => process.exit(1));
socket.on('close', () => process.exit(1));
socket.on('data', (bytes: Uint8Array) => {
  if (rest.length > 0) bytes = Buffer.concat([rest, bytes]);
  let at = 0;
  for (;;) {
    const length = wholeMessage(bytes, at, bytes.length);
    if (length === 0) break;
    if (bytes[at + 18] === 1) socket.write(keepalive);
    else if (bytes[at + 18] === 4 && !isUp) {
      isUp = true;
      process.stdout.write('ready\n');
      void feed();
    }
    at += length;
  }
  rest = bytes.slice(at);
});
setInterval(() => socket.write(keepalive), 20_000);

/** Writes the chunks as fast as they are taken. */
async function pour(chunks: readonly Uint8Array[]): Promise<void> {
  for (const chunk of chunks)
    if (!socket.write(chunk)) await new Promise<void>((resolve) => socket.once('drain', resolve));
}

async function feed(): Promise<void> {
  for (let round = 1; ; round++) {
    await pour(workload.announce);
    await sleep(300);
    await pour(workload.withdraw);
    await sleep(300);
    process.stdout.write(`round ${round}\n`);
  }
}
