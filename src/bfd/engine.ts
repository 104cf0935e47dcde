// BFD in asynchronous mode as a machine over a table of sessions (RFC 5880, section 6.8), for one hop (RFC 5881) and
// several (RFC 5883). Pure: packets and the time come in by calls, packets and news go out through ports; who calls
// is `bfd-worker.ts`, with sockets, or a test, with neither. Nothing here allocates after a session was made.
//
// Left out, as the RFC allows: authentication, the echo function, demand mode of our own (the peer's is respected),
// sessions made because a stranger asks. The C bit is sent clear: we share the fate of the process that holds the
// routes (RFC 5882, section 4.3).

import {
  ADMIN_DOWN,
  AUTHENTICATED,
  BAD_TTL,
  checkPacket,
  DIAG_ADMIN_DOWN,
  DIAG_DETECTION_EXPIRED,
  DIAG_NEIGHBOR_DOWN,
  DIAG_NONE,
  DOWN,
  desiredMinTxOf,
  diagnosticOf,
  FLAG_AUTH,
  FLAG_CPI,
  FLAG_DEMAND,
  FLAG_FINAL,
  FLAG_POLL,
  flagsOf,
  INIT,
  multiplierOf,
  myDiscriminatorOf,
  NO_YOUR_DISCRIMINATOR,
  PACKET_BYTES,
  requiredMinRxOf,
  stateOf,
  TAKEN,
  UNKNOWN_DISCRIMINATOR,
  UNKNOWN_SENDER,
  UP,
  WE_ARE_ADMIN_DOWN,
  WRONG_PORT,
  writePacket,
  yourDiscriminatorOf,
} from './packet.ts';
import { mixSender, RowIndex } from './row-index.ts';
import {
  ACTIVE,
  FREE,
  LEAVING,
  OPTION_MULTIHOP,
  OPTION_PASSIVE,
  type SessionTable,
  writeAddress,
} from './session-table.ts';

/** Section 6.8.3: the least transmit interval while a session is not Up. */
const SLOW_US = 1_000_000;
const SINGLE_HOP_TTL = 255;
const LINGER_MIN_MS = 100;
const NEVER = Number.POSITIVE_INFINITY;

// Places in `BfdEngine.clock`.
export const NOW = 0;
export const DEADLINE = 1;

/** Intervals in milliseconds, as the operator gives them. */
export interface Timing {
  readonly minTxMs: number;
  readonly minRxMs: number;
  readonly multiplier: number;
  /** Says nothing before the peer does (section 6.1). */
  readonly passive: boolean;
  /** Lowest TTL accepted of a multihop session; of one hop it is 255 always. */
  readonly minTtl: number;
}

/** A session that is wanted: with whom, and how. */
export interface Target {
  /** 4 or 16 bytes. */
  readonly remote: Uint8Array;
  /** Absent: the kernel chooses, and packets to any address of ours are taken. */
  readonly local?: Uint8Array | undefined;
  /** The link of a session over one hop; 0 takes packets of any link. */
  readonly ifindex: number;
  readonly multihop: boolean;
  readonly settings: Timing;
}

export interface EnginePorts {
  /** Sends the 24 bytes for a session; false when the system refuses. */
  send(row: number, packet: Uint8Array): boolean;
  /** The session is in another state than before. */
  changed(row: number): void;
  /** The row is free again. */
  freed(row: number): void;
  /** A whole number below 1024 for jitter; a fraction would be allocated. */
  random(): number;
}

export class BfdEngine {
  readonly table: SessionTable;
  /**
   * [NOW] is set by the caller before any other call; [DEADLINE] says when `tick` has to be called next, or earlier
   * (Infinity: never). Milliseconds. In an array, because numbers that are passed on are allocated.
   */
  readonly clock = Float64Array.of(0, NEVER);
  readonly #ports: EnginePorts;
  readonly #byDiscriminator: RowIndex;
  readonly #bySender: RowIndex;
  readonly #seed: number;
  readonly #packet = new Uint8Array(PACKET_BYTES);
  /** No row at or above it is in use. */
  #rowEnd = 0;

  /** `seed` keeps strangers from choosing colliding addresses. */
  constructor(table: SessionTable, ports: EnginePorts, seed = 0) {
    this.table = table;
    this.#ports = ports;
    this.#seed = seed;
    this.#byDiscriminator = new RowIndex(table.capacity);
    this.#bySender = new RowIndex(table.capacity);
  }

  // ---- what is wanted ----

  /**
   * Begins a session in a free row. `discriminator` is not 0, of no other row, and random. A session that is just
   * leaving the same peer makes room at once.
   */
  add(row: number, target: Target, discriminator: number): void {
    const { table } = this;
    const nowMs = this.clock[NOW]!;
    writeAddress(table.remote, row, target.remote);
    writeAddress(table.local, row, target.local);
    table.ifindex[row] = target.multihop ? 0 : target.ifindex;
    table.options[row] =
      (target.settings.passive ? OPTION_PASSIVE : 0) | (target.multihop ? OPTION_MULTIHOP : 0);
    for (let other = 0; other < this.#rowEnd; other++)
      if (table.use[other] === LEAVING && this.#samePlace(row, other)) this.#free(other);
    table.localDiscr[row] = discriminator;
    table.sessionState[row] = DOWN;
    table.localDiag[row] = DIAG_NONE;
    table.remoteState[row] = DOWN;
    table.remoteDiag[row] = DIAG_NONE;
    table.remoteDiscr[row] = 0;
    table.remoteMinTxUs[row] = 0;
    table.remoteMinRxUs[row] = 1;
    table.remoteDetectMult[row] = 0;
    table.remoteFlags[row] = 0;
    table.polling[row] = 0;
    table.packetsIn[row] = 0;
    table.packetsOut[row] = 0;
    table.sendErrors[row] = 0;
    table.flaps[row] = 0;
    table.detectAtMs[row] = NEVER;
    table.leaveAtMs[row] = NEVER;
    table.lastTxMs[row] = nowMs - SLOW_US / 1000;
    table.lastRxMs[row] = 0;
    table.worstGapMs[row] = 0;
    table.changedAtMs[row] = nowMs;
    table.nextTxMs[row] = NEVER;
    table.use[row] = ACTIVE;
    this.#rowEnd = Math.max(this.#rowEnd, row + 1);
    this.#index();
    this.#take(row, target.settings);
    table.txInForceUs[row] = table.desiredMinTxUs[row]!;
    table.rxInForceUs[row] = table.requiredMinRxUs[row]!;
    this.#reschedule(row);
  }

  /** Other timing for a session that stays; while it is Up the peer is asked first (sections 6.5, 6.8.3). */
  change(row: number, settings: Timing): void {
    const { table } = this;
    if (table.use[row] !== ACTIVE) return;
    table.options[row] = (table.options[row]! & ~OPTION_PASSIVE) | (settings.passive ? OPTION_PASSIVE : 0);
    const tx = table.desiredMinTxUs[row]!;
    const rx = table.requiredMinRxUs[row]!;
    const multiplier = table.detectMult[row]!;
    this.#take(row, settings);
    const same = tx === table.desiredMinTxUs[row] && rx === table.requiredMinRxUs[row];
    if (!same) this.#intervalsChanged(row);
    if (!same || multiplier !== table.detectMult[row]) this.#announce(row);
  }

  /** Ends a session: AdminDown is told for a detection time (section 6.8.16), then the row is free. */
  leave(row: number): void {
    const { table } = this;
    const nowMs = this.clock[NOW]!;
    if (table.use[row] !== ACTIVE) return;
    const unheard = table.remoteDiscr[row] === 0;
    // How long the peer goes by what it has heard: it counts with our interval and our multiplier.
    const lingerMs = Math.max(LINGER_MIN_MS, (table.detectMult[row]! * table.txIntervalUs(row)) / 1000);
    table.use[row] = LEAVING;
    this.#index();
    table.localDiag[row] = DIAG_ADMIN_DOWN;
    this.#enter(row, ADMIN_DOWN);
    table.detectAtMs[row] = NEVER;
    if (unheard) {
      this.#free(row);
      return;
    }
    this.#transmit(row, 0);
    table.leaveAtMs[row] = nowMs + lingerMs;
    // Once more, for one packet may be lost.
    table.nextTxMs[row] = nowMs + lingerMs / 2;
    this.#due(table.nextTxMs, row);
  }

  // ---- packets ----

  /**
   * A datagram: its bytes[0, length), its TTL, and where it came in; addresses are four words each. Returns TAKEN or
   * why it was discarded (section 6.8.6).
   */
  receive(
    bytes: Uint8Array,
    length: number,
    ttl: number,
    ifindex: number,
    source: Int32Array,
    destination: Int32Array,
    multihop: boolean,
  ): number {
    if (!multihop && ttl !== SINGLE_HOP_TTL) return BAD_TTL;
    const malformed = checkPacket(bytes, length);
    if (malformed !== TAKEN) return malformed;
    const discriminator = yourDiscriminatorOf(bytes) | 0;
    let row: number;
    if (discriminator !== 0) {
      row = this.#withDiscriminator(discriminator);
      if (row < 0) return UNKNOWN_DISCRIMINATOR;
    } else {
      if (stateOf(bytes) > DOWN) return NO_YOUR_DISCRIMINATOR;
      row = this.#withSender(multihop ? 0 : ifindex, source, destination, multihop);
      if (row < 0) return UNKNOWN_SENDER;
      // Whoever is on the link, any user of a host among them, can say Down from the peer's address without knowing
      // our discriminator. A peer that begins anew is silent with its old one: the detection time finds that out.
      const isOther = this.table.remoteDiscr[row] !== myDiscriminatorOf(bytes) >>> 0;
      if (isOther && this.table.sessionState[row] === UP) return NO_YOUR_DISCRIMINATOR;
    }
    if (this.table.isMultihop(row) !== multihop) return WRONG_PORT;
    if (multihop && ttl < this.table.minTtl[row]!) return BAD_TTL;
    if ((flagsOf(bytes) & FLAG_AUTH) !== 0) return AUTHENTICATED;
    return this.#apply(row, bytes);
  }

  #apply(row: number, bytes: Uint8Array): number {
    const { table } = this;
    const nowMs = this.clock[NOW]!;
    const flags = flagsOf(bytes);
    const intervalBefore = table.txIntervalUs(row);
    const wasSilent = this.#isSilent(row);
    if (table.packetsIn[row]! > 0 && table.sessionState[row] === UP) {
      const gapMs = nowMs - table.lastRxMs[row]!;
      if (gapMs > table.worstGapMs[row]!) table.worstGapMs[row] = gapMs;
    }
    table.packetsIn[row]!++;
    table.remoteDiscr[row] = myDiscriminatorOf(bytes);
    table.remoteState[row] = stateOf(bytes);
    table.remoteDiag[row] = diagnosticOf(bytes);
    table.remoteFlags[row] = flags & (FLAG_DEMAND | FLAG_CPI);
    table.remoteMinTxUs[row] = desiredMinTxOf(bytes);
    table.remoteMinRxUs[row] = requiredMinRxOf(bytes);
    table.remoteDetectMult[row] = multiplierOf(bytes);
    table.lastRxMs[row] = nowMs;
    if (table.sessionState[row] === ADMIN_DOWN) return WE_ARE_ADMIN_DOWN;
    if ((flags & FLAG_FINAL) !== 0) this.#pollAnswered(row);
    table.detectAtMs[row] = nowMs + table.detectionTimeUs(row) / 1000;
    this.#due(table.detectAtMs, row);
    const moved = this.#follow(row);
    if (intervalBefore !== table.txIntervalUs(row) || wasSilent !== this.#isSilent(row))
      this.#reschedule(row);
    // A Poll is answered at once, whatever the timers say, unless the row went with the change.
    if ((flags & FLAG_POLL) !== 0) this.#transmit(row, FLAG_FINAL);
    else if (moved) this.#announce(row);
    return TAKEN;
  }

  /** The state machine of section 6.8.6; whether the state is another one now. */
  #follow(row: number): boolean {
    const { table } = this;
    const told = table.remoteState[row]!;
    switch (table.sessionState[row]) {
      case DOWN:
        if (told === DOWN) return this.#enter(row, INIT);
        return told === INIT && this.#enter(row, UP);
      case INIT:
        if (told === ADMIN_DOWN) break;
        return told >= INIT && this.#enter(row, UP);
      default:
        if (told >= INIT) return false;
    }
    table.localDiag[row] = DIAG_NEIGHBOR_DOWN;
    return this.#enter(row, DOWN);
  }

  #enter(row: number, state: number): boolean {
    const { table } = this;
    const before = table.sessionState[row]!;
    table.sessionState[row] = state;
    table.changedAtMs[row] = this.clock[NOW]!;
    if (before === UP) table.flaps[row]!++;
    if (state === UP) {
      table.localDiag[row] = DIAG_NONE;
      table.worstGapMs[row] = 0;
    }
    table.polling[row] = 0;
    table.desiredMinTxUs[row] = this.#desiredTx(row);
    this.#intervalsChanged(row);
    this.#ports.changed(row);
    return true;
  }

  // ---- time ----

  /**
   * Declares silent sessions down and sends what is due. `drained`: nothing that has come in is unread; otherwise
   * nobody is declared down, because the packet that proves the opposite may lie in the socket, until a session has
   * had its detection time twice.
   */
  tick(drained: boolean): void {
    const { table, clock } = this;
    const nowMs = clock[NOW]!;
    if (nowMs < clock[DEADLINE]!) return;
    const { use, detectAtMs, nextTxMs, leaveAtMs } = table;
    // What is scheduled from here on lowers it again.
    clock[DEADLINE] = NEVER;
    for (let row = 0; row < this.#rowEnd; row++) {
      if (use[row] === FREE) continue;
      if (leaveAtMs[row]! <= nowMs) {
        this.#free(row);
        continue;
      }
      if (detectAtMs[row]! <= nowMs) {
        const lateMs = nowMs - detectAtMs[row]!;
        if (drained || lateMs > table.detectionTimeUs(row) / 1000) this.#expire(row);
      }
      if (nextTxMs[row]! <= nowMs) this.#periodic(row);
      this.#due(detectAtMs, row);
      this.#due(nextTxMs, row);
      this.#due(leaveAtMs, row);
    }
  }

  /** Nothing valid came for the detection time (sections 6.8.1, 6.8.4). */
  #expire(row: number): void {
    const { table } = this;
    table.detectAtMs[row] = NEVER;
    if (table.sessionState[row]! >= INIT) {
      table.localDiag[row] = DIAG_DETECTION_EXPIRED;
      this.#enter(row, DOWN);
      // Told while we still know its discriminator: the way there may be whole.
      this.#announce(row);
    }
    table.remoteDiscr[row] = 0;
    table.remoteMinRxUs[row] = 1;
    table.remoteFlags[row] = 0;
    this.#reschedule(row);
  }

  #periodic(row: number): void {
    this.#transmit(row, 0);
    this.#reschedule(row);
  }

  /** Sends out of turn what the peer does not know yet, unless it must not be sent to (section 6.8.7). */
  #announce(row: number): void {
    if (!this.#isSilent(row)) this.#periodic(row);
  }

  #transmit(row: number, flags: number): void {
    const { table } = this;
    const poll = flags === 0 && table.polling[row] !== 0 ? FLAG_POLL : 0;
    writePacket(
      this.#packet,
      table.localDiag[row]!,
      table.sessionState[row]!,
      flags | poll,
      table.detectMult[row]!,
      table.localDiscr[row]!,
      table.remoteDiscr[row]!,
      table.desiredMinTxUs[row]!,
      table.requiredMinRxUs[row]!,
    );
    if (this.#ports.send(row, this.#packet)) table.packetsOut[row]!++;
    else table.sendErrors[row]!++;
    if (flags === 0) table.lastTxMs[row] = this.clock[NOW]!;
  }

  /** Whether nothing is sent by the timer (section 6.8.7). */
  #isSilent(row: number): boolean {
    const { table } = this;
    if (table.remoteMinRxUs[row] === 0) return true;
    if (table.remoteDiscr[row] === 0) return (table.options[row]! & OPTION_PASSIVE) !== 0;
    const demand = (table.remoteFlags[row]! & FLAG_DEMAND) !== 0;
    const bothUp = table.sessionState[row] === UP && table.remoteState[row] === UP;
    return demand && bothUp && table.polling[row] === 0;
  }

  /** The next packet in turn, counted from the last one and not in the past (section 6.8.7). */
  #reschedule(row: number): void {
    const { table } = this;
    if (this.#isSilent(row)) {
      table.nextTxMs[row] = NEVER;
      return;
    }
    // 75 to 100 % of the interval, to 90 % where one loss is the end.
    const spread = table.detectMult[row] === 1 ? 0.15 : 0.25;
    const factor = 0.75 + (spread * this.#ports.random()) / 1024;
    const atMs = table.lastTxMs[row]! + (table.txIntervalUs(row) / 1000) * factor;
    table.nextTxMs[row] = Math.max(this.clock[NOW]!, atMs);
    this.#due(table.nextTxMs, row);
  }

  // ---- intervals ----

  #take(row: number, settings: Timing): void {
    const { table } = this;
    table.wantedTxUs[row] = settings.minTxMs * 1000;
    table.wantedRxUs[row] = settings.minRxMs * 1000;
    table.detectMult[row] = settings.multiplier;
    table.minTtl[row] = settings.minTtl;
    table.desiredMinTxUs[row] = this.#desiredTx(row);
    table.requiredMinRxUs[row] = table.wantedRxUs[row]!;
  }

  #desiredTx(row: number): number {
    const wanted = this.table.wantedTxUs[row]!;
    return this.table.sessionState[row] === UP ? wanted : Math.max(wanted, SLOW_US);
  }

  /**
   * What we say of our intervals is new. While Up, we may send faster and wait longer at once, but send slower and
   * wait shorter only when the peer has answered a Poll (section 6.8.3).
   */
  #intervalsChanged(row: number): void {
    const { table } = this;
    const desired = table.desiredMinTxUs[row]!;
    const required = table.requiredMinRxUs[row]!;
    if (table.sessionState[row] === UP) {
      table.txInForceUs[row] = Math.min(table.txInForceUs[row]!, desired);
      table.rxInForceUs[row] = Math.max(table.rxInForceUs[row]!, required);
      table.polling[row] = table.polling[row] === 0 ? 1 : 2;
    } else {
      table.txInForceUs[row] = desired;
      table.rxInForceUs[row] = required;
    }
    this.#expectFrom(row);
    this.#reschedule(row);
  }

  #pollAnswered(row: number): void {
    const { table } = this;
    // The answer may be to what was said before the last change: that needs one of its own.
    if (table.polling[row] === 2) table.polling[row] = 1;
    else if (table.polling[row] === 1) {
      table.polling[row] = 0;
      table.txInForceUs[row] = table.desiredMinTxUs[row]!;
      table.rxInForceUs[row] = table.requiredMinRxUs[row]!;
      table.worstGapMs[row] = 0;
      this.#expectFrom(row);
      this.#reschedule(row);
    }
  }

  #expectFrom(row: number): void {
    const { table } = this;
    if (table.detectAtMs[row] === NEVER) return;
    table.detectAtMs[row] = table.lastRxMs[row]! + table.detectionTimeUs(row) / 1000;
    this.#due(table.detectAtMs, row);
  }

  #due(column: Float64Array, row: number): void {
    if (column[row]! < this.clock[DEADLINE]!) this.clock[DEADLINE] = column[row]!;
  }

  // ---- finding ----

  #withDiscriminator(discriminator: number): number {
    const { localDiscr } = this.table;
    const index = this.#byDiscriminator;
    for (let slot = index.start(discriminator); ; slot = index.next(slot)) {
      const row = index.row(slot);
      if (row < 0 || (localDiscr[row]! | 0) === discriminator) return row;
    }
  }

  #withSender(ifindex: number, source: Int32Array, destination: Int32Array, multihop: boolean): number {
    const row = this.#onLink(ifindex, source, destination, multihop);
    return row < 0 && ifindex !== 0 ? this.#onLink(0, source, destination, multihop) : row;
  }

  #onLink(ifindex: number, source: Int32Array, destination: Int32Array, multihop: boolean): number {
    const { table } = this;
    const index = this.#bySender;
    const hash = mixSender(this.#seed, ifindex, source, 0);
    for (let slot = index.start(hash); ; slot = index.next(slot)) {
      const row = index.row(slot);
      if (row < 0) return row;
      if (
        table.ifindex[row] === ifindex &&
        table.isMultihop(row) === multihop &&
        sameWords(table.remote, row * 4, source) &&
        (isZero(table.local, row * 4) || sameWords(table.local, row * 4, destination))
      )
        return row;
    }
  }

  #samePlace(a: number, b: number): boolean {
    const { table } = this;
    for (let i = 0; i < 4; i++) if (table.remote[a * 4 + i] !== table.remote[b * 4 + i]) return false;
    return table.ifindex[a] === table.ifindex[b] && table.isMultihop(a) === table.isMultihop(b);
  }

  /** A session that is leaving is found by its discriminator only: its address may have a new one. */
  #index(): void {
    const { table } = this;
    this.#byDiscriminator.clear();
    this.#bySender.clear();
    for (let row = 0; row < this.#rowEnd; row++) {
      if (table.use[row] === FREE) continue;
      this.#byDiscriminator.add(table.localDiscr[row]!, row);
      if (table.use[row] !== ACTIVE) continue;
      this.#bySender.add(mixSender(this.#seed, table.ifindex[row]!, table.remote, row * 4), row);
    }
  }

  #free(row: number): void {
    const { table } = this;
    table.use[row] = FREE;
    table.nextTxMs[row] = NEVER;
    table.detectAtMs[row] = NEVER;
    table.leaveAtMs[row] = NEVER;
    while (this.#rowEnd > 0 && table.use[this.#rowEnd - 1] === FREE) this.#rowEnd--;
    this.#index();
    this.#ports.freed(row);
  }
}

function sameWords(column: Int32Array, at: number, words: Int32Array): boolean {
  return (
    column[at] === words[0] &&
    column[at + 1] === words[1] &&
    column[at + 2] === words[2] &&
    column[at + 3] === words[3]
  );
}

function isZero(column: Int32Array, at: number): boolean {
  return column[at] === 0 && column[at + 1] === 0 && column[at + 2] === 0 && column[at + 3] === 0;
}
