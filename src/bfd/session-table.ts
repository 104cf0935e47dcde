// The sessions as columns over one buffer, so that nothing is allocated while packets come and go, and so that the
// main thread can look at what the worker has (the buffer is shared; one side writes a column, and a reader who is in
// between sees a value of now or of a moment ago, which is good enough for people). Names are those of RFC 5880,
// section 6.8.1; intervals are microseconds as on the wire, times are milliseconds of the worker's clock.
// About 220 bytes a session.

const NUMBERS = 26;
const ADDRESS_WORDS = 8;
const TIMES = 7;

/** A row that nobody uses, one with a session, one whose end is being told to the peer. */
export const FREE = 0;
export const ACTIVE = 1;
export const LEAVING = 2;

/** Bits of the column `options`. */
export const OPTION_PASSIVE = 1;
export const OPTION_MULTIHOP = 2;

export class SessionTable {
  readonly capacity: number;
  readonly buffer: ArrayBufferLike;
  // What was asked for.
  readonly use: Uint32Array;
  readonly options: Uint32Array;
  readonly minTtl: Uint32Array;
  readonly ifindex: Uint32Array;
  /** Four words an address, IPv4 mapped into IPv6; as int32, because those are never boxed. */
  readonly remote: Int32Array;
  readonly local: Int32Array;
  readonly detectMult: Uint32Array;
  readonly wantedTxUs: Uint32Array;
  readonly wantedRxUs: Uint32Array;
  // What we say.
  readonly sessionState: Uint32Array;
  readonly localDiag: Uint32Array;
  readonly localDiscr: Uint32Array;
  readonly desiredMinTxUs: Uint32Array;
  readonly requiredMinRxUs: Uint32Array;
  /** What is in force until the peer has confirmed the above by the Final bit (section 6.8.3). */
  readonly txInForceUs: Uint32Array;
  readonly rxInForceUs: Uint32Array;
  /** 0 no Poll Sequence, 1 one is under way, 2 another has to follow it. */
  readonly polling: Uint32Array;
  // What the peer says.
  readonly remoteState: Uint32Array;
  readonly remoteDiag: Uint32Array;
  readonly remoteDiscr: Uint32Array;
  readonly remoteMinTxUs: Uint32Array;
  readonly remoteMinRxUs: Uint32Array;
  readonly remoteDetectMult: Uint32Array;
  /** FLAG_DEMAND and FLAG_CPI of its last packet. */
  readonly remoteFlags: Uint32Array;
  // What happened.
  readonly packetsIn: Uint32Array;
  readonly packetsOut: Uint32Array;
  readonly sendErrors: Uint32Array;
  /** Times it left Up. */
  readonly flaps: Uint32Array;
  /** Infinity where nothing is due. */
  readonly nextTxMs: Float64Array;
  readonly detectAtMs: Float64Array;
  readonly lastTxMs: Float64Array;
  readonly lastRxMs: Float64Array;
  readonly changedAtMs: Float64Array;
  readonly leaveAtMs: Float64Array;
  /** The longest time between two packets of the peer while Up. */
  readonly worstGapMs: Float64Array;

  static bytes(capacity: number): number {
    return capacity * (TIMES * 8 + (NUMBERS + ADDRESS_WORDS) * 4);
  }

  /** Over a new buffer, or over that of another thread. */
  constructor(capacity: number, buffer: ArrayBufferLike = new ArrayBuffer(SessionTable.bytes(capacity))) {
    this.capacity = capacity;
    this.buffer = buffer;
    let at = 0;
    const times = (): Float64Array => {
      const column = new Float64Array(buffer, at, capacity);
      at += column.byteLength;
      return column;
    };
    const numbers = (): Uint32Array => {
      const column = new Uint32Array(buffer, at, capacity);
      at += column.byteLength;
      return column;
    };
    const addresses = (): Int32Array => {
      const column = new Int32Array(buffer, at, capacity * 4);
      at += column.byteLength;
      return column;
    };
    this.nextTxMs = times();
    this.detectAtMs = times();
    this.lastTxMs = times();
    this.lastRxMs = times();
    this.changedAtMs = times();
    this.leaveAtMs = times();
    this.worstGapMs = times();
    this.remote = addresses();
    this.local = addresses();
    this.use = numbers();
    this.options = numbers();
    this.minTtl = numbers();
    this.ifindex = numbers();
    this.detectMult = numbers();
    this.wantedTxUs = numbers();
    this.wantedRxUs = numbers();
    this.sessionState = numbers();
    this.localDiag = numbers();
    this.localDiscr = numbers();
    this.desiredMinTxUs = numbers();
    this.requiredMinRxUs = numbers();
    this.txInForceUs = numbers();
    this.rxInForceUs = numbers();
    this.polling = numbers();
    this.remoteState = numbers();
    this.remoteDiag = numbers();
    this.remoteDiscr = numbers();
    this.remoteMinTxUs = numbers();
    this.remoteMinRxUs = numbers();
    this.remoteDetectMult = numbers();
    this.remoteFlags = numbers();
    this.packetsIn = numbers();
    this.packetsOut = numbers();
    this.sendErrors = numbers();
    this.flaps = numbers();
  }

  /** Our transmit interval before jitter (section 6.8.7), or 0 while the peer wants no packets. */
  txIntervalUs(row: number): number {
    const wanted = this.remoteMinRxUs[row]!;
    return wanted === 0 ? 0 : Math.max(this.txInForceUs[row]!, wanted);
  }

  /** The detection time (section 6.8.4), or 0 before the peer has been heard. */
  detectionTimeUs(row: number): number {
    return this.remoteDetectMult[row]! * Math.max(this.rxInForceUs[row]!, this.remoteMinTxUs[row]!);
  }

  isMultihop(row: number): boolean {
    return (this.options[row]! & OPTION_MULTIHOP) !== 0;
  }
}

/** Writes an address as four words, IPv4 mapped; undefined as zeros. */
export function writeAddress(words: Int32Array, row: number, address: Uint8Array | undefined): void {
  const at = row * 4;
  words.fill(0, at, at + 4);
  if (address === undefined) return;
  const first = address.length === 4 ? 3 : 0;
  if (first === 3) words[at + 2] = 0xffff;
  for (let i = 0; i < address.length; i += 4)
    words[at + first + i / 4] =
      (address[i]! << 24) | (address[i + 1]! << 16) | (address[i + 2]! << 8) | address[i + 3]!;
}
