// The main thread's end of BFD: who wants a session with whom, which row it has, what has become of it. The thread is
// started with the first session. When it dies, nobody is blamed: all sessions are told as administratively down, which
// has no consequences (RFC 5882, section 3.2), and a new thread begins anew.

import { randomInt } from 'node:crypto';
import { MessageChannel, type MessagePort, type Worker } from 'node:worker_threads';
import { LeafdError } from '../lib/leafd-error.ts';
import { startThread } from '../lib/thread-real.ts';
import { formatIp, sameIp } from '../net/ip.ts';
import { openEvent, raiseEvent } from '../netlink/blocking-wait.ts';
import { readMonotonicMs } from '../netlink/monotonic.ts';
import { closeFd, errnoName } from '../netlink/sys.ts';
import type { Target, Timing } from './engine.ts';
import {
  ADMIN_DOWN,
  DIAG_DETECTION_EXPIRED,
  DIAG_NEIGHBOR_DOWN,
  DOWN,
  diagnosticTexts,
  FLAG_CPI,
  type StateName,
  stateNames,
  VERDICTS,
  verdictTexts,
} from './packet.ts';
import { SessionTable } from './session-table.ts';
import {
  CAPACITY,
  CONTROL_RECEIVERS,
  CONTROL_STOP,
  CONTROL_WORDS,
  CONTROL_WORST_LATE_US,
  type News,
  type Order,
  type ThreadData,
} from './thread-link.ts';

const RESTART_DELAY_MS = 1000;
/** A thread without sessions is kept this long: a session may only be changing its address. */
const IDLE_MS = 5000;
const DEATHS_ALLOWED = 5;
// Sockets and typed arrays live outside the heap: a small one is enough.
const resourceLimits = { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 32 };

const clockCell = new Float64Array(1);

/** What became of a session. `adminDown`: the peer has ended it on purpose, which says nothing about the path. */
export interface BfdChange {
  readonly id: number;
  readonly state: StateName;
  /** Ours for a session that went down: why. */
  readonly reason: string;
  /** The C bit of the peer: its BFD lives on when its control plane ends. */
  readonly independent: boolean;
  /** How long the peer had been silent when it was given up; 0 where silence is not the reason. */
  readonly detectionMs: number;
}

export interface BfdOptions {
  readonly netns?: string;
  readonly onChange: (change: BfdChange) => void;
  /** Sockets that cannot be opened, priority that is refused, a thread that died. */
  readonly onTrouble: (error: LeafdError) => void;
  /** A datagram that was discarded; one a minute at most. */
  readonly onDiscarded?: (text: string) => void;
}

/** A session as it is now. Times are milliseconds; `sinceMs` is of this thread's clock. */
export interface BfdSession {
  readonly state: StateName;
  readonly sinceMs: number;
  readonly remoteState: StateName;
  readonly diagnostic: string;
  readonly remoteDiagnostic: string;
  readonly localDiscriminator: number;
  /** 0 while the peer is not heard. */
  readonly remoteDiscriminator: number;
  /** How often we send, before jitter; 0 when the peer wants nothing. */
  readonly transmitMs: number;
  /** How often the peer sends. */
  readonly receiveMs: number;
  readonly detectionMs: number;
  readonly multiplier: number;
  readonly remoteMultiplier: number;
  readonly independent: boolean;
  readonly multihop: boolean;
  /** Times it was Up no longer. */
  readonly flaps: number;
  readonly packetsIn: number;
  readonly packetsOut: number;
  readonly sendErrors: number;
  /** The longest silence of the peer since it was Up. */
  readonly worstGapMs: number;
}

interface Wanted {
  target: Target;
  row: number;
}

export class Bfd {
  readonly #options: BfdOptions;
  readonly #wanted = new Map<number, Wanted>();
  /** By row: whose session it is; undefined for a free row, -1 for one that is leaving. */
  readonly #idOfRow: (number | undefined)[] = [];
  /** Ids that found no free row: one is free once the peers of those that leave have been told. */
  readonly #waiting = new Set<number>();
  #thread: Thread | undefined;
  #restartTimer: NodeJS.Timeout | undefined;
  #idleTimer: NodeJS.Timeout | undefined;
  /** A thread that is ending: its sockets are in the way of another. */
  #ending: Promise<void> | undefined;
  #deaths = 0;
  #toldRefusal = false;
  #closed = false;

  constructor(options: BfdOptions) {
    this.#options = options;
  }

  /** Whether there is a thread. */
  get isRunning(): boolean {
    return this.#thread !== undefined;
  }

  /** Sessions that are wanted. */
  get size(): number {
    return this.#wanted.size;
  }

  /** Begins, changes or (undefined) ends the session of `id`. Timing of one that is Up changes without a flap. */
  set(id: number, target: Target | undefined): void {
    const present = this.#wanted.get(id);
    if (target === undefined) {
      if (present === undefined) return;
      this.#wanted.delete(id);
      this.#leave(present);
      if (this.#wanted.size === 0) this.#awaitIdle();
      return;
    }
    if (present !== undefined && sameSession(present.target, target)) {
      present.target = target;
      if (present.row >= 0) this.#order({ kind: 'change', row: present.row, settings: target.settings });
      return;
    }
    if (present !== undefined) this.#leave(present);
    const wanted: Wanted = { target, row: -1 };
    this.#wanted.set(id, wanted);
    if (this.#thread !== undefined) this.#add(id, wanted);
    else if (this.#restartTimer === undefined && this.#ending === undefined) this.#begin();
  }

  /** How a session stands; undefined where none is wanted or the thread is not there. */
  session(id: number): BfdSession | undefined {
    const wanted = this.#wanted.get(id);
    if (wanted === undefined || wanted.row < 0 || this.#thread === undefined) return undefined;
    return this.#thread.session(wanted.row);
  }

  /** Datagrams discarded so far, by reason; only reasons that occurred. */
  discarded(): Record<string, number> {
    const counts: Record<string, number> = {};
    this.#thread?.verdicts.forEach((count, verdict) => {
      if (verdict > 0 && count > 0) counts[verdictTexts[verdict]!] = count;
    });
    return counts;
  }

  /** The latest that anything was done after its time, in milliseconds. */
  get worstLateMs(): number {
    return (this.#thread?.control[CONTROL_WORST_LATE_US] ?? 0) / 1000;
  }

  /** Ends all sessions, telling the peers that this is on purpose, and the thread. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#restartTimer);
    for (const id of [...this.#wanted.keys()]) this.set(id, undefined);
    clearTimeout(this.#idleTimer);
    await this.#end();
  }

  #awaitIdle(): void {
    clearTimeout(this.#idleTimer);
    this.#idleTimer = setTimeout(() => {
      if (this.#wanted.size === 0) void this.#end();
    }, IDLE_MS);
    this.#idleTimer.unref();
  }

  /** Ends the thread; sessions that were asked for meanwhile get a new one. */
  async #end(): Promise<void> {
    const thread = this.#thread;
    if (thread !== undefined) {
      this.#thread = undefined;
      this.#ending = thread.stop();
    }
    await this.#ending;
    this.#ending = undefined;
    this.#idOfRow.length = 0;
    if (this.#wanted.size > 0 && this.#thread === undefined && !this.#closed) this.#begin();
  }

  #begin(): void {
    this.#thread = new Thread(
      this.#options.netns,
      (news) => this.#heard(news),
      (error) => this.#died(error),
    );
    for (const [id, wanted] of this.#wanted) this.#add(id, wanted);
  }

  #add(id: number, wanted: Wanted): void {
    let row = 0;
    while (row < CAPACITY && this.#idOfRow[row] !== undefined) row++;
    if (row === CAPACITY) {
      this.#waiting.add(id);
      if (this.#wanted.size > CAPACITY)
        this.#options.onTrouble(
          new LeafdError('bfd-sessions-full', `no more than ${CAPACITY} BFD sessions at a time`),
        );
      return;
    }
    this.#idOfRow[row] = id;
    wanted.row = row;
    const discriminator = this.#newDiscriminator();
    this.#order({ kind: 'add', row, discriminator, target: wanted.target });
  }

  /** Gives a row that is free to who waits for one still. */
  #serveNext(): void {
    for (const id of this.#waiting) {
      this.#waiting.delete(id);
      const wanted = this.#wanted.get(id);
      if (wanted === undefined || wanted.row >= 0) continue;
      this.#add(id, wanted);
      return;
    }
  }

  /** Random, and of no other session (RFC 5880, section 6.8.1). */
  #newDiscriminator(): number {
    const taken = this.#thread!.table.localDiscr;
    for (;;) {
      const discriminator = randomInt(1, 2 ** 32);
      if (!taken.includes(discriminator)) return discriminator;
    }
  }

  #leave({ row }: Wanted): void {
    if (row < 0) return;
    this.#idOfRow[row] = -1;
    this.#order({ kind: 'leave', row });
  }

  #order(order: Order): void {
    this.#thread?.order(order);
  }

  #heard(news: News): void {
    switch (news.kind) {
      case 'ready':
        if (news.schedulingErrno !== 0) this.#refused(news.schedulingErrno);
        return;
      case 'changed':
        this.#deaths = 0;
        this.#changed(news);
        return;
      case 'freed':
        this.#idOfRow[news.row] = undefined;
        this.#serveNext();
        return;
      case 'discarded':
        this.#options.onDiscarded?.(
          `BFD packet of ${formatIp(news.source)} with TTL ${news.ttl} discarded: ${verdictTexts[news.verdict]}`,
        );
        return;
      case 'trouble': {
        const hint = news.hint === undefined ? {} : { hint: news.hint };
        this.#options.onTrouble(new LeafdError(news.code, news.message, hint));
      }
    }
  }

  #changed(news: News & { kind: 'changed' }): void {
    const id = this.#idOfRow[news.row];
    if (id === undefined || id < 0) return;
    const onPurpose = news.state === DOWN && isPurpose(news);
    this.#options.onChange({
      id,
      state: stateNames[onPurpose ? ADMIN_DOWN : news.state]!,
      reason: onPurpose ? 'the peer has shut BFD down' : diagnosticTexts[news.diagnostic]!,
      independent: news.independent,
      detectionMs: news.diagnostic === DIAG_DETECTION_EXPIRED ? news.detectionMs : 0,
    });
  }

  #refused(errno: number): void {
    if (this.#toldRefusal) return;
    this.#toldRefusal = true;
    this.#options.onTrouble(
      new LeafdError(
        'bfd-priority-refused',
        `BFD runs without real-time priority (${errnoName(errno)}): short intervals may raise false alarms`,
        { hint: 'CAP_SYS_NICE is needed; in a container also a real-time budget of its cgroup' },
      ),
    );
  }

  #died(error: Error | undefined): void {
    this.#thread = undefined;
    if (this.#closed) return;
    if (++this.#deaths > DEATHS_ALLOWED) throw error ?? new Error('the BFD thread ends at once');
    this.#idOfRow.length = 0;
    const cause = error === undefined ? {} : { cause: error };
    const message = `the BFD thread ended: ${error?.message ?? 'no reason given'}; another is started`;
    this.#options.onTrouble(new LeafdError('bfd-thread-ended', message, cause));
    for (const [id, wanted] of this.#wanted) {
      wanted.row = -1;
      const reason = 'the BFD thread ended';
      this.#options.onChange({ id, state: 'adminDown', reason, independent: false, detectionMs: 0 });
    }
    this.#restartTimer = setTimeout(() => {
      this.#restartTimer = undefined;
      if (this.#wanted.size > 0) this.#begin();
    }, RESTART_DELAY_MS);
  }
}

/** One life of the thread, with its shared memory. */
class Thread {
  readonly table: SessionTable;
  readonly control = new Int32Array(new SharedArrayBuffer(CONTROL_WORDS * 4));
  readonly verdicts = new Uint32Array(new SharedArrayBuffer(VERDICTS * 4));
  readonly #wakeFd = openEvent();
  readonly #port: MessagePort;
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  #stopping = false;

  constructor(
    netns: string | undefined,
    onNews: (news: News) => void,
    onDeath: (error: Error | undefined) => void,
  ) {
    const sessions = new SharedArrayBuffer(SessionTable.bytes(CAPACITY));
    this.table = new SessionTable(CAPACITY, sessions);
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    const data: ThreadData = {
      sessions,
      control: this.control.buffer as SharedArrayBuffer,
      verdicts: this.verdicts.buffer as SharedArrayBuffer,
      wakeFd: this.#wakeFd,
      port: port2,
      netns,
    };
    const options = { workerData: data, transferList: [port2], resourceLimits };
    this.#worker = startThread(import.meta.url, 'bfd-worker', options);
    port1.on('message', (news: News) => {
      if (!this.#stopping) onNews(news);
    });
    let lastError: Error | undefined;
    this.#worker.on('error', (error) => {
      lastError = error;
    });
    // A process that exits waits for its threads, and this one would not notice.
    const onProcessExit = (): void => this.#signal();
    process.on('exit', onProcessExit);
    this.#exited = new Promise((resolve) =>
      this.#worker.once('exit', () => {
        process.off('exit', onProcessExit);
        port1.close();
        closeFd(this.#wakeFd);
        // Sockets are the process's: a thread that ran out of memory has not closed them.
        for (const fd of this.control.subarray(CONTROL_RECEIVERS)) if (fd > 0) closeFd(fd - 1);
        if (!this.#stopping) onDeath(lastError);
        resolve();
      }),
    );
  }

  order(order: Order): void {
    this.#port.postMessage(order);
    raiseEvent(this.#wakeFd);
  }

  stop(): Promise<void> {
    this.#stopping = true;
    this.#signal();
    return this.#exited;
  }

  #signal(): void {
    Atomics.store(this.control, CONTROL_STOP, 1);
    raiseEvent(this.#wakeFd);
  }

  session(row: number): BfdSession {
    const { table } = this;
    // The thread's clock has another zero.
    readMonotonicMs(clockCell, 0);
    const text = (diagnostic: number): string => diagnosticTexts[diagnostic] ?? `diagnostic ${diagnostic}`;
    return {
      state: stateNames[table.sessionState[row]!]!,
      sinceMs: table.changedAtMs[row]! + performance.now() - clockCell[0]!,
      remoteState: stateNames[table.remoteState[row]!]!,
      diagnostic: text(table.localDiag[row]!),
      remoteDiagnostic: text(table.remoteDiag[row]!),
      localDiscriminator: table.localDiscr[row]!,
      remoteDiscriminator: table.remoteDiscr[row]!,
      transmitMs: table.txIntervalUs(row) / 1000,
      receiveMs: Math.max(table.rxInForceUs[row]!, table.remoteMinTxUs[row]!) / 1000,
      detectionMs: table.detectionTimeUs(row) / 1000,
      multiplier: table.detectMult[row]!,
      remoteMultiplier: table.remoteDetectMult[row]!,
      independent: (table.remoteFlags[row]! & FLAG_CPI) !== 0,
      multihop: table.isMultihop(row),
      flaps: table.flaps[row]!,
      packetsIn: table.packetsIn[row]!,
      packetsOut: table.packetsOut[row]!,
      sendErrors: table.sendErrors[row]!,
      worstGapMs: table.worstGapMs[row]!,
    };
  }
}

/** Whether only the timing may differ; another TTL is no reason for a flap either. */
function sameSession(a: Target, b: Target): boolean {
  const sameLocal =
    a.local === undefined || b.local === undefined ? a.local === b.local : sameIp(a.local, b.local);
  return (
    sameLocal &&
    a.remote.length === b.remote.length &&
    sameIp(a.remote, b.remote) &&
    a.ifindex === b.ifindex &&
    a.multihop === b.multihop
  );
}

export type { Target, Timing };

/**
 * Whether the peer has ended the session, which says nothing about the path. FRR (bfdd 8.4) does it without AdminDown
 * when the daemon that asked for the session dies or wants it no more: it says Down because of our Down, and sets the
 * C bit where it was asked to. We were Up, and had said no such thing.
 */
function isPurpose({ remoteState, remoteDiagnostic, diagnostic }: News & { kind: 'changed' }): boolean {
  if (remoteState === ADMIN_DOWN) return true;
  return remoteState === DOWN && diagnostic === DIAG_NEIGHBOR_DOWN && remoteDiagnostic === DIAG_NEIGHBOR_DOWN;
}
