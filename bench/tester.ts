// Both ends of the measurement in one process: a sender that writes a table and a receiver that counts what
// comes out of the daemon under test. All bytes are made beforehand; the receiver walks every message, finds each
// prefix in a table of typed arrays and demands the right AS path, so that a phase ends when every prefix has
// arrived (or gone) and not when enough bytes have. CPU time of the daemon comes from /proc.
//
// Arguments, as JSON: TesterOptions. Prints one JSON document: TesterResult.

import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { makeWorkload, message, openMessage, type Workload, wholeMessage } from './workload.ts';

export interface TesterOptions {
  count: number;
  dutPid: number;
  /** The daemon's AS; 0 for one that copies bytes and prepends nothing. */
  dutAsn: number;
  dutAddress: string;
  senderAddress: string;
  receiverAddress: string;
  timeoutMs: number;
}

export interface PhaseResult {
  wallMs: number;
  cpuMs: number;
}

export interface TesterResult {
  phases: Record<string, PhaseResult>;
  peakRssKb: number;
  /** What was not as it must be; empty when all is well. */
  wrong: string[];
}

const SENDER_ASN = 65001;
const RECEIVER_ASN = 65002;
const options = JSON.parse(process.argv[2]!) as TesterOptions;
const keepalive = message(4, []);

/** One BGP session as a client: OPEN, KEEPALIVE, and then whatever comes goes to `onUpdate`. */
class Session {
  established = false;
  socket: Socket | undefined;
  readonly #open: Uint8Array;
  readonly #address: string;
  #rest: Uint8Array = new Uint8Array(0);
  onUpdates: (bytes: Uint8Array, start: number, end: number) => void = () => {};
  onEstablished: () => void = () => {};

  constructor(asn: number, address: string) {
    this.#address = address;
    this.#open = openMessage(asn, address.split('.').map(Number));
    this.#connect();
  }

  #connect(): void {
    const socket = connect({
      host: options.dutAddress,
      port: 179,
      localAddress: this.#address,
      noDelay: true,
    });
    this.socket = socket;
    socket.on('connect', () => socket.write(this.#open));
    socket.on('data', (bytes) => this.#data(bytes));
    socket.on('error', () => {});
    socket.on('close', () => {
      if (this.established) fail('the daemon closed a session');
      this.#rest = new Uint8Array(0);
      setTimeout(() => this.#connect(), 100);
    });
  }

  #data(bytes: Uint8Array): void {
    if (this.#rest.length > 0) bytes = Buffer.concat([this.#rest, bytes]);
    let at = 0;
    while (true) {
      const length = wholeMessage(bytes, at, bytes.length);
      if (length === 0) break;
      const type = bytes[at + 18];
      if (type === 2) this.onUpdates(bytes, at + 19, at + length);
      else if (type === 1) this.socket!.write(keepalive);
      else if (type === 4 && !this.established) {
        this.established = true;
        this.onEstablished();
      } else if (type === 3) fail(`NOTIFICATION ${bytes[at + 19]}/${bytes[at + 20]}`);
      at += length;
    }
    this.#rest = bytes.slice(at);
  }
}

/** Counts prefixes: each is there or not, in one byte. */
class Counter {
  present = 0;
  foreign = 0;
  badPath = 0;
  readonly #workload: Workload;
  readonly #state: Uint8Array;

  constructor(workload: Workload) {
    this.#workload = workload;
    this.#state = new Uint8Array(workload.count);
  }

  /** Walks one UPDATE. */
  update(bytes: Uint8Array, start: number, end: number): void {
    const withdrawn = start + 2 + ((bytes[start]! << 8) | bytes[start + 1]!);
    this.#prefixes(bytes, start + 2, withdrawn, 0);
    const attributes = withdrawn + 2;
    const nlri = attributes + ((bytes[withdrawn]! << 8) | bytes[withdrawn + 1]!);
    if (nlri < end && !this.#pathIsRight(bytes, attributes, nlri)) this.badPath++;
    this.#prefixes(bytes, nlri, end, 1);
  }

  #prefixes(bytes: Uint8Array, at: number, end: number, state: 0 | 1): void {
    const { table } = this.#workload;
    while (at < end) {
      const length = bytes[at]!;
      let address = bytes[at + 1]! << 24;
      if (length > 8) address |= bytes[at + 2]! << 16;
      if (length > 16) address |= bytes[at + 3]! << 8;
      if (length > 24) address |= bytes[at + 4]!;
      at += 1 + ((length + 7) >>> 3);
      const id = table.find1(address >>> 0, length);
      if (id < 0) this.foreign++;
      else if (this.#state[id] !== state) {
        this.#state[id] = state;
        this.present += state === 1 ? 1 : -1;
      }
    }
  }

  /** The path must be the daemon's AS, then the sender's. */
  #pathIsRight(bytes: Uint8Array, at: number, end: number): boolean {
    while (at < end) {
      const value = at + ((bytes[at]! & 0x10) === 0 ? 3 : 4);
      const length = value - at === 3 ? bytes[at + 2]! : (bytes[at + 2]! << 8) | bytes[at + 3]!;
      if (bytes[at + 1] === 2) {
        const first = options.dutAsn === 0 ? SENDER_ASN : options.dutAsn;
        if (asAt(bytes, value + 2) !== first) return false;
        return options.dutAsn === 0 || asAt(bytes, value + 6) === SENDER_ASN;
      }
      at = value + length;
    }
    return false;
  }
}

function asAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/** CPU time of the process and all its threads so far, in ms; a tick of the kernel is 10 ms. */
function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function peakRssKb(pid: number): number {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
}

function fail(reason: string): never {
  process.stdout.write(JSON.stringify({ phases: {}, peakRssKb: 0, wrong: [reason] }));
  process.exit(1);
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function main(): Promise<void> {
  const workload = makeWorkload(options.count, {
    asn: SENDER_ASN,
    nextHop: options.senderAddress.split('.').map(Number),
  });
  setTimeout(() => fail('timed out'), options.timeoutMs).unref();
  const sender = new Session(SENDER_ASN, options.senderAddress);
  const receiver = new Session(RECEIVER_ASN, options.receiverAddress);
  const beat = setInterval(() => {
    for (const session of [sender, receiver]) if (session.established) session.socket!.write(keepalive);
  }, 20_000);
  const counter = new Counter(workload);
  let target = 0;
  let reached: () => void = () => {};
  receiver.onUpdates = (bytes, start, end) => {
    counter.update(bytes, start, end);
    if (counter.present === target) reached();
  };
  while (!sender.established || !receiver.established) await sleep(20);
  await sleep(500);
  const phase = async (chunks: readonly Uint8Array[], until: number): Promise<PhaseResult> => {
    target = until;
    const done = new Promise<void>((resolve) => {
      reached = resolve;
    });
    const cpuBefore = cpuMs(options.dutPid);
    const started = performance.now();
    for (const chunk of chunks) sender.socket!.write(chunk);
    await done;
    const wallMs = performance.now() - started;
    // What the daemon still does afterwards counts as its work too.
    await sleep(400);
    return { wallMs, cpuMs: cpuMs(options.dutPid) - cpuBefore };
  };
  const phases: Record<string, PhaseResult> = {};
  phases.announce = await phase(workload.announce, workload.count);
  phases.withdraw = await phase(workload.withdraw, 0);
  const wrong: string[] = [];
  if (counter.foreign > 0) wrong.push(`${counter.foreign} prefixes that nobody announced`);
  if (counter.badPath > 0) wrong.push(`${counter.badPath} UPDATEs with a wrong AS path`);
  clearInterval(beat);
  const result: TesterResult = { phases, peakRssKb: peakRssKb(options.dutPid), wrong };
  process.stdout.write(JSON.stringify(result), () => process.exit(0));
}

await main();
