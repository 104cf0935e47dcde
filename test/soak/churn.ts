// The neighbours of a daemon that is made to work for a long time: each announces and withdraws routes of a shared
// set with attributes that are never the same for long, breaks its session now and then, asks for everything again,
// and sends what RFC 7606 has to mend. One of them only listens and keeps what it is told. A child process of
// soak.test.ts in a network namespace; it writes its own bytes, so that nothing of leafd is asked about leafd.
//
// Arguments, as JSON: ChurnOptions. Prints `ready` once it listens, then a line of JSON (ChurnReport) at the end.

import { createServer, type Socket } from 'node:net';

export interface ChurnOptions {
  sessions: number;
  /** 10.99.0.1 and so on. */
  minutes: number;
  seed: number;
  /** UPDATEs a second, over all sessions. */
  rate: number;
}

export interface ChurnReport {
  updatesSent: number;
  malformedSent: number;
  resets: number;
  refreshes: number;
  /** What is announced at the end, and how far the listener's view is from it. */
  announced: number;
  missing: number;
  surplus: number;
  /** Routes the listener still has when everything has been withdrawn. */
  left: number;
  /** Sessions that the daemon ended. */
  endedByDaemon: number;
}

const options = JSON.parse(process.argv[2]!) as ChurnOptions;
const UNIVERSE = 20_000;
const HEADER = new Array(16).fill(0xff);
const FIRST_ASN = 60_000;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

// xorshift32: the same churn for the same seed.
let state = options.seed | 1;
function random(below: number): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % below;
}

function message(type: number, body: readonly number[]): Uint8Array {
  const length = 19 + body.length;
  return Uint8Array.from([...HEADER, length >>> 8, length & 0xff, type, ...body]);
}

const keepalive = message(4, []);

/** Prefix `index` of the shared set: 10.64.0.0/10 in /28s. */
function nlri(index: number): number[] {
  const address = (0x0a400000 + index * 16) >>> 0;
  return [28, address >>> 24, (address >>> 16) & 0xff, (address >>> 8) & 0xff, address & 0xf0];
}

class Neighbour {
  readonly index: number;
  readonly asn: number;
  readonly address: number[];
  readonly announced = new Set<number>();
  readonly heard = new Set<number>();
  established = false;
  isBreaking = false;
  listens = false;
  #socket: Socket | undefined;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(index: number) {
    this.index = index;
    this.asn = FIRST_ASN + index;
    this.address = [10, 99, 0, index + 1];
  }

  take(socket: Socket): void {
    this.#socket?.destroy();
    this.#socket = socket;
    this.#rest = new Uint8Array(0);
    this.heard.clear();
    socket.on('data', (bytes) => this.#data(bytes));
    socket.on('error', () => {});
    socket.on('close', () => {
      if (this.#socket !== socket) return;
      if (this.established && !this.isBreaking) report.endedByDaemon++;
      this.#socket = undefined;
      this.established = false;
      this.announced.clear();
    });
    const capabilities = [1, 4, 0, 1, 0, 1, 2, 0, 65, 4, 0, 0, this.asn >>> 8, this.asn & 0xff];
    const open = [4, this.asn >>> 8, this.asn & 0xff, 0, 90, ...this.address];
    socket.write(message(1, [...open, capabilities.length + 2, 2, capabilities.length, ...capabilities]));
  }

  send(bytes: Uint8Array): void {
    this.#socket?.write(bytes);
  }

  break(): void {
    this.isBreaking = true;
    if (random(2) === 0) this.send(message(3, [6, 4]));
    this.#socket?.destroy();
  }

  announce(some: readonly number[]): void {
    for (const index of some) this.announced.add(index);
    this.send(message(2, [...this.#attributes(false), ...some.flatMap(nlri)]));
  }

  withdraw(some: readonly number[]): void {
    for (const index of some) this.announced.delete(index);
    const bytes = some.flatMap(nlri);
    this.send(message(2, [bytes.length >>> 8, bytes.length & 0xff, ...bytes, 0, 0]));
  }

  /** An ORIGIN of 9: the routes count as withdrawn, the session stays (RFC 7606 section 7.1). */
  announceMalformed(some: readonly number[]): void {
    for (const index of some) this.announced.delete(index);
    this.send(message(2, [...this.#attributes(true), ...some.flatMap(nlri)]));
  }

  /** Lengths and attributes of an UPDATE: the path grows and shrinks, communities come and go. */
  #attributes(malformed: boolean): number[] {
    const path = [this.asn, ...Array.from({ length: random(6) }, () => 1 + random(50_000))];
    const asPath = path.flatMap((asn) => [0, 0, asn >>> 8, asn & 0xff]);
    const attributes = [
      0x40,
      1,
      1,
      malformed ? 9 : random(3),
      0x40,
      2,
      2 + asPath.length,
      2,
      path.length,
      ...asPath,
    ];
    attributes.push(0x40, 3, 4, ...this.address, 0x80, 4, 4, 0, 0, random(4), random(256));
    const communities = Array.from({ length: random(12) }, () => [
      random(256),
      random(256),
      0,
      random(256),
    ]).flat();
    if (communities.length > 0) attributes.push(0xc0, 8, communities.length, ...communities);
    if (random(4) === 0) attributes.push(0xc0, 240, 8, ...Array.from({ length: 8 }, () => random(256)));
    return [0, 0, attributes.length >>> 8, attributes.length & 0xff, ...attributes];
  }

  #data(bytes: Uint8Array): void {
    if (this.#rest.length > 0) bytes = Buffer.concat([this.#rest, bytes]);
    let at = 0;
    while (bytes.length - at >= 19) {
      const length = (bytes[at + 16]! << 8) | bytes[at + 17]!;
      if (bytes.length - at < length) break;
      const type = bytes[at + 18];
      if (type === 1) this.send(keepalive);
      else if (type === 4) this.established = true;
      else if (type === 2 && this.listens) this.#hear(bytes, at + 19, at + length);
      at += length;
    }
    this.#rest = bytes.slice(at);
  }

  #hear(bytes: Uint8Array, start: number, end: number): void {
    const withdrawnEnd = start + 2 + ((bytes[start]! << 8) | bytes[start + 1]!);
    for (let at = start + 2; at < withdrawnEnd; at += 5) this.heard.delete(indexAt(bytes, at));
    const from = withdrawnEnd + 2 + ((bytes[withdrawnEnd]! << 8) | bytes[withdrawnEnd + 1]!);
    for (let at = from; at < end; at += 5) this.heard.add(indexAt(bytes, at));
  }
}

function indexAt(bytes: Uint8Array, at: number): number {
  const address =
    ((bytes[at + 1]! << 24) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 8) | bytes[at + 4]!) >>> 0;
  return (address - 0x0a400000) / 16;
}

const report: ChurnReport = {
  updatesSent: 0,
  malformedSent: 0,
  resets: 0,
  refreshes: 0,
  announced: 0,
  missing: 0,
  surplus: 0,
  left: 0,
  endedByDaemon: 0,
};
const neighbours = Array.from({ length: options.sessions }, (_, index) => new Neighbour(index));
const listener = neighbours.at(-1)!;
listener.listens = true;

function someOf(count: number): number[] {
  const first = random(UNIVERSE);
  const step = 1 + random(7);
  return Array.from({ length: count }, (_, i) => (first + i * step) % UNIVERSE);
}

function churnOnce(): void {
  const neighbour = neighbours[random(neighbours.length - 1)]!;
  if (!neighbour.established) return;
  const dice = random(1000);
  if (dice < 600) neighbour.announce(someOf(1 + random(60)));
  else if (dice < 985) neighbour.withdraw(someOf(1 + random(90)));
  else if (dice < 996) {
    neighbour.announceMalformed(someOf(1 + random(20)));
    report.malformedSent++;
  } else if (dice < 999) {
    neighbour.send(message(5, [0, 1, 0, 1]));
    report.refreshes++;
  } else {
    neighbour.break();
    report.resets++;
  }
  report.updatesSent++;
}

function compare(): number {
  const all = new Set<number>();
  for (const neighbour of neighbours) for (const index of neighbour.announced) all.add(index);
  report.announced = all.size;
  report.missing = [...all].filter((index) => !listener.heard.has(index)).length;
  report.surplus = [...listener.heard].filter((index) => !all.has(index)).length;
  return report.missing + report.surplus;
}

async function settled(holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 200 && !holds(); tries++) await sleep(100);
}

async function main(): Promise<void> {
  const byAddress = new Map(neighbours.map((one) => [one.address.join('.'), one]));
  const server = createServer({ noDelay: true }, (socket) => {
    const neighbour = byAddress.get(socket.localAddress ?? '');
    if (neighbour === undefined) socket.destroy();
    else {
      neighbour.take(socket);
      neighbour.isBreaking = false;
    }
  });
  await new Promise<void>((resolve) => server.listen(179, '0.0.0.0', resolve));
  process.stdout.write('ready\n');
  await settled(() => neighbours.every(({ established }) => established));
  const beat = setInterval(() => {
    for (const one of neighbours) if (one.established) one.send(keepalive);
  }, 10_000);
  const end = Date.now() + options.minutes * 60_000;
  const perTick = Math.max(1, Math.round(options.rate / 50));
  while (Date.now() < end) {
    for (let i = 0; i < perTick; i++) churnOnce();
    await sleep(20);
  }
  await settled(() => neighbours.every(({ established }) => established));
  await settled(() => compare() === 0);
  for (const one of neighbours) if (one !== listener) withdrawAll(one);
  await settled(() => listener.heard.size === 0);
  report.left = listener.heard.size;
  clearInterval(beat);
  process.stdout.write(`${JSON.stringify(report)}\n`);
  // The daemon's memory is looked at while its sessions are still there.
  await new Promise((resolve) => process.stdin.once('data', resolve));
  process.exit(0);
}

function withdrawAll(one: Neighbour): void {
  const all = [...one.announced];
  for (let at = 0; at < all.length; at += 700) one.withdraw(all.slice(at, at + 700));
}

await main();
