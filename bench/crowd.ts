// The other ends of many sessions in one process, for measuring how a daemon carries a crowd: they listen on an
// address each, wait until the daemon has called them all, then one of them announces a prefix over and over
// while another looks when it arrives; first in peace, then while a third session announces a thousand routes and
// breaks, again and again. Memory is read between the two, when nothing has happened for a while.
//
// Arguments, as JSON: CrowdOptions. Prints `ready` once it listens, reads `{pid, startedMs}` of the daemon from its
// standard input, prints one JSON document: CrowdResult.

import { readFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { message, openMessage, wholeMessage } from './workload.ts';

export interface CrowdOptions {
  count: number;
  /** The first peer's address; the others follow. */
  firstAddress: string;
  firstAsn: number;
  /** UPDATEs measured in each of the two phases, and the pause between them. */
  samples: number;
  pauseMs: number;
  idleMs: number;
  timeoutMs: number;
}

export interface LatencyResult {
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
  /** Overtaken by the next one before they were sent on. */
  overtaken: number;
}

export interface CrowdResult {
  allUpMs: number;
  idleRssKb: number;
  idle: LatencyResult;
  flapping: LatencyResult;
  flaps: number;
  /** Sessions that ended though nobody broke them. */
  brokenSessions: number;
}

const options = JSON.parse(process.argv[2]!) as CrowdOptions;
const keepalive = message(4, []);
const FLAP_ROUTES = 1000;
const MARK = [203, 0, 113] as const;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function addressOf(index: number): number[] {
  const [a, b, c, d] = options.firstAddress.split('.').map(Number);
  const last = ((c! << 8) | d!) + index;
  return [a!, b!, last >>> 8, last & 0xff];
}

class Member {
  readonly asn: number;
  readonly address: number[];
  established = false;
  /** Ended by us, so that its end is no fault. */
  isBreaking = false;
  socket: Socket | undefined;
  onUpdate: ((bytes: Uint8Array, start: number, end: number) => void) | undefined;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(index: number) {
    this.asn = options.firstAsn + index;
    this.address = addressOf(index);
  }

  take(socket: Socket): void {
    this.socket?.destroy();
    this.socket = socket;
    this.#rest = new Uint8Array(0);
    socket.setNoDelay(true);
    socket.write(openMessage(this.asn, this.address));
    socket.on('data', (bytes) => this.#data(bytes));
    socket.on('error', () => {});
    socket.on('close', () => {
      if (this.socket !== socket) return;
      if (this.established && !this.isBreaking) broken++;
      this.established = false;
      this.socket = undefined;
    });
  }

  /** An UPDATE for 203.0.113.`last`/32 whose MED tells which one it is. */
  announce(last: number, med: number): void {
    const path = [0x40, 2, 6, 2, 1, 0, 0, this.asn >>> 8, this.asn & 0xff];
    const attributes = [0x40, 1, 1, 0, ...path, 0x40, 3, 4, ...this.address];
    attributes.push(0xc0, 8, 4, med >>> 24, med >>> 16, med >>> 8, med);
    const body = [0, 0, 0, attributes.length, ...attributes, 32, ...MARK, last];
    this.socket?.write(message(2, body));
  }

  /** A thousand routes of its own. */
  announceMany(): void {
    const path = [0x40, 2, 6, 2, 1, 0, 0, this.asn >>> 8, this.asn & 0xff];
    const attributes = [0x40, 1, 1, 0, ...path, 0x40, 3, 4, ...this.address];
    const nlri: number[] = [];
    for (let i = 0; i < FLAP_ROUTES; i++) nlri.push(24, 11, i >>> 8, i & 0xff);
    for (let at = 0; at < nlri.length; at += 3200) {
      const some = nlri.slice(at, at + 3200);
      this.socket?.write(message(2, [0, 0, 0, attributes.length, ...attributes, ...some]));
    }
  }

  #data(bytes: Uint8Array): void {
    if (this.#rest.length > 0) bytes = Buffer.concat([this.#rest, bytes]);
    let at = 0;
    for (;;) {
      const length = wholeMessage(bytes, at, bytes.length);
      if (length === 0) break;
      const type = bytes[at + 18];
      if (type === 2) this.onUpdate?.(bytes, at + 19, at + length);
      else if (type === 1) this.socket!.write(keepalive);
      else if (type === 4) this.established = true;
      at += length;
    }
    this.#rest = bytes.slice(at);
  }
}

let broken = 0;
const members = Array.from({ length: options.count }, (_, index) => new Member(index));

/** The MED-like mark (a community) of an UPDATE for the watched prefix, or -1. */
function markOf(bytes: Uint8Array, start: number, end: number): number {
  if (end - start < 9 || bytes[end - 1] !== 1 || bytes[end - 2] !== MARK[2]) return -1;
  const attributes = start + 4;
  const nlri = attributes + ((bytes[start + 2]! << 8) | bytes[start + 3]!);
  for (let at = attributes; at < nlri; ) {
    const value = at + ((bytes[at]! & 0x10) === 0 ? 3 : 4);
    const length = value - at === 3 ? bytes[at + 2]! : (bytes[at + 2]! << 8) | bytes[at + 3]!;
    if (bytes[at + 1] === 8)
      return (bytes[value]! << 24) | (bytes[value + 1]! << 16) | (bytes[value + 2]! << 8) | bytes[value + 3]!;
    at = value + length;
  }
  return -1;
}

/** How long announcements of the first member take to the last one. */
async function measure(base: number): Promise<LatencyResult> {
  const sentMs = new Map<number, number>();
  const took: number[] = [];
  members.at(-1)!.onUpdate = (bytes, start, end) => {
    const mark = markOf(bytes, start, end);
    const at = sentMs.get(mark);
    if (at === undefined) return;
    sentMs.delete(mark);
    took.push(performance.now() - at);
  };
  for (let i = 0; i < options.samples; i++) {
    sentMs.set(base + i, performance.now());
    members[0]!.announce(1, base + i);
    await sleep(options.pauseMs);
  }
  await sleep(1000);
  members.at(-1)!.onUpdate = undefined;
  took.sort((a, b) => a - b);
  const share = (part: number): number =>
    took[Math.min(took.length - 1, Math.floor(took.length * part))] ?? -1;
  return {
    p50Ms: share(0.5),
    p99Ms: share(0.99),
    maxMs: took.at(-1) ?? -1,
    overtaken: options.samples - took.length,
  };
}

/** The second member announces a thousand routes and breaks, over and over, until `isOver`. */
async function flap(isOver: () => boolean): Promise<number> {
  const member = members[1]!;
  let flaps = 0;
  member.isBreaking = true;
  while (!isOver()) {
    while (!member.established && !isOver()) await sleep(20);
    member.announceMany();
    await sleep(300);
    member.socket?.destroy();
    member.established = false;
    flaps++;
  }
  return flaps;
}

function rssKb(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
}

async function main(): Promise<void> {
  const byAddress = new Map(members.map((member) => [member.address.join('.'), member]));
  const server = createServer({ noDelay: true }, (socket) => {
    const member = byAddress.get(socket.localAddress ?? '');
    if (member === undefined) socket.destroy();
    else member.take(socket);
  });
  await new Promise<void>((resolve) => server.listen({ port: 179, host: '0.0.0.0', backlog: 4096 }, resolve));
  process.stdout.write('ready\n');
  const told = await new Promise<Buffer>((resolve) => process.stdin.once('data', resolve));
  const { pid, startedMs } = JSON.parse(told.toString()) as { pid: number; startedMs: number };
  const deadline = setTimeout(() => process.exit(3), options.timeoutMs);
  while (!members.every(({ established }) => established)) await sleep(10);
  const allUpMs = Date.now() - startedMs;
  const beat = setInterval(() => {
    for (const { socket, established } of members) if (established) socket?.write(keepalive);
  }, 20_000);
  await sleep(options.idleMs);
  const idleRssKb = rssKb(pid);
  const idle = await measure(0x1000);
  let isOver = false;
  const flapsDone = flap(() => isOver);
  const flapping = await measure(0x100000);
  isOver = true;
  const flaps = await flapsDone;
  const result: CrowdResult = { allUpMs, idleRssKb, idle, flapping, flaps, brokenSessions: broken };
  clearInterval(beat);
  clearTimeout(deadline);
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
}

await main();
