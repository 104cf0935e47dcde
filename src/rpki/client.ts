// The router's side of the RPKI-to-Router protocol with one cache: RFC 8210 section 8 as a machine that is told what
// happens (connected, lost, bytes, time) and says through ports what to do. It negotiates the version downwards
// (section 7), asks for differences where it has data and for everything where it has none, keeps what it has over a
// lost connection until it expires (section 6), and puts an answer in force only with its End of Data, so that routes
// are never judged by half a set. Which of several caches is believed is caches.ts's business, sockets the speaker's.
//
// RFC 8210 section 5.1: another session id in an answer is corrupt data. We then ask for everything in a new
// connection; what we have stays until that has come whole or it expires, because to judge by nothing would be worse.

import { readU32 } from '../lib/bytes.ts';
import * as pdu from './pdu.ts';
import { PREFIX_VRPS_MAX, sourceBit, type VrpFamily, type VrpTable } from './vrp-table.ts';

export interface CacheSettings {
  /** What the operator wants instead of what the cache says, in ms. */
  refreshMs?: number;
  retryMs?: number;
  expireMs?: number;
}

export interface CachePorts {
  /** Answered by `connected` or `lost`. */
  connect(): void;
  send(bytes: Uint8Array): void;
  /** What was sent still goes out. No answer. */
  close(): void;
  /** Another set of payloads is complete, or is gone. */
  changed(): void;
}

/** down: until `retryAtMs`; asking: a query is out; receiving: its answer comes; synced: until `refreshAtMs`. */
export type CacheState = 'down' | 'connecting' | 'asking' | 'receiving' | 'synced';

// Defaults of RFC 8210 section 6, which are also what version 0 gets.
const REFRESH_MS = 3_600_000;
const RETRY_MS = 600_000;
const EXPIRE_MS = 7_200_000;
/** A cache that says nothing for so long while it owes us something has gone. */
const ANSWER_MS = 30_000;
/** Before a first answer ever came, retrying is cheap: a router that has just started wants its data. */
const FIRST_RETRY_MS = 5000;
/** After a fault of the protocol that a new connection mends (another version, everything asked anew). */
const AGAIN_MS = 1000;
/** Most payloads of one cache; the Internet has well below a million. */
const VRPS_MAX = 4_000_000;
/**
 * Most differences of one answer that are applied, which happens in one go of some milliseconds at End of Data; where
 * there are more, everything is asked for, because a whole set is filled in as it comes.
 */
export const DELTA_MAX = 16_384;

const NOTHING = new Uint8Array(0);

export class CacheClient {
  state: CacheState = 'down';
  /** Spoken with this cache: 1 unless it turned out not to know it. */
  version: 0 | 1 = 1;
  sessionId = -1;
  serial = 0;
  /** When the last End of Data came; 0: there is no data. */
  updatedAtMs = 0;
  lastError: { atMs: number; text: string } | undefined;
  refreshMs: number;
  retryMs: number;
  expireMs: number;
  readonly #table: VrpTable;
  readonly #source: number;
  readonly #settings: CacheSettings;
  readonly #ports: CachePorts;
  #generation: 0 | 1 = 0;
  /** A delta applies to data of a session we know; else a whole set is being filled in beside. */
  #isDelta = false;
  #hasSerial = false;
  #isNegotiated = false;
  #hasBeenAnswered = false;
  #deadlineMs = Number.POSITIVE_INFINITY;
  #rest: Uint8Array = NOTHING;
  /** Prefix PDUs of a delta, each as it came. */
  readonly #delta: Uint8Array[] = [];
  #deltaCount = 0;

  constructor(table: VrpTable, source: number, settings: CacheSettings, ports: CachePorts) {
    this.#table = table;
    this.#source = source;
    this.#settings = settings;
    this.#ports = ports;
    this.refreshMs = settings.refreshMs ?? REFRESH_MS;
    this.retryMs = settings.retryMs ?? RETRY_MS;
    this.expireMs = settings.expireMs ?? EXPIRE_MS;
  }

  /** The bit of the payloads in use, 0 for none. */
  get bit(): number {
    return this.updatedAtMs === 0 ? 0 : sourceBit(this.#source, this.#generation);
  }

  /** Payloads that this cache has given us. */
  get vrpCount(): number {
    return this.updatedAtMs === 0 ? 0 : this.#table.counts[this.#source * 2 + this.#generation]!;
  }

  /** Whether the data are no older than asking as agreed would keep them. */
  isFresh(nowMs: number): boolean {
    return this.updatedAtMs !== 0 && nowMs - this.updatedAtMs <= this.refreshMs + this.retryMs;
  }

  get expiresAtMs(): number {
    return this.updatedAtMs === 0 ? Number.POSITIVE_INFINITY : this.updatedAtMs + this.expireMs;
  }

  /** When `expire` has to be called. */
  nextDeadlineMs(): number {
    return Math.min(this.#deadlineMs, this.expiresAtMs);
  }

  start(nowMs: number): void {
    if (this.state === 'down') this.#connect(nowMs);
  }

  /** Ends for good and forgets the data. */
  stop(): void {
    if (this.state !== 'down') this.#ports.close();
    this.state = 'down';
    this.#deadlineMs = Number.POSITIVE_INFINITY;
    this.#forget();
  }

  connected(nowMs: number): void {
    if (this.state !== 'connecting') return;
    this.#rest = NOTHING;
    this.#isNegotiated = false;
    this.#query(nowMs);
  }

  lost(reason: string, nowMs: number): void {
    if (this.state === 'down') return;
    // RFC 8210 section 7: a cache that only knows version 0 may hang up without a word.
    const unheard = this.state === 'asking' && !this.#isNegotiated;
    if (unheard && !this.#hasBeenAnswered) this.version = this.version === 1 ? 0 : 1;
    this.#down(unheard ? `${reason} before an answer` : reason, nowMs);
  }

  /** Bytes of the stream. They are read before the call returns. */
  received(bytes: Uint8Array, nowMs: number): void {
    if (this.state === 'down' || this.state === 'connecting') return;
    let all = bytes;
    if (this.#rest.length > 0) {
      all = new Uint8Array(this.#rest.length + bytes.length);
      all.set(this.#rest);
      all.set(bytes, this.#rest.length);
    }
    let at = 0;
    while (true) {
      const length = pdu.pduLength(all, at, all.length);
      if (typeof length !== 'number') {
        this.#fail(length, all.subarray(at, at + 8), nowMs);
        return;
      }
      if (length === 0 || at + length > all.length) break;
      const fault = this.#pdu(all, at, length, nowMs);
      if (fault !== undefined) {
        // An Error Report is never answered by one (section 5.11).
        if (all[at + 1] === pdu.ERROR_REPORT) this.#hangUp(fault.reason, nowMs, this.retryMs);
        else this.#fail(fault, all.subarray(at, at + length), nowMs);
      }
      if (this.#isDown()) return;
      at += length;
    }
    this.#rest = at === all.length ? NOTHING : all.slice(at);
    if (this.state !== 'synced') this.#deadlineMs = nowMs + ANSWER_MS;
  }

  /** Acts on whatever is due. */
  expire(nowMs: number): void {
    if (nowMs >= this.expiresAtMs) {
      this.#forget();
      this.#ports.changed();
    }
    if (nowMs < this.#deadlineMs) return;
    if (this.state === 'down') this.#connect(nowMs);
    else if (this.state === 'synced') this.#query(nowMs);
    else {
      const what = this.state === 'connecting' ? 'no connection' : 'no answer';
      this.#hangUp(`${what} for ${ANSWER_MS / 1000} s`, nowMs, this.#retryNowMs());
    }
  }

  #isDown(): boolean {
    return this.state === 'down';
  }

  #retryNowMs(): number {
    return this.#hasBeenAnswered ? this.retryMs : Math.min(this.retryMs, FIRST_RETRY_MS);
  }

  #connect(nowMs: number): void {
    this.state = 'connecting';
    this.#deadlineMs = nowMs + ANSWER_MS;
    this.#ports.connect();
  }

  #query(nowMs: number): void {
    this.state = 'asking';
    this.#deadlineMs = nowMs + ANSWER_MS;
    this.#isDelta = this.#hasSerial && this.updatedAtMs !== 0;
    const query = this.#isDelta
      ? pdu.serialQuery(this.version, this.sessionId, this.serial)
      : pdu.resetQuery(this.version);
    this.#ports.send(query);
  }

  #pdu(bytes: Uint8Array, at: number, length: number, nowMs: number): pdu.PduFault | undefined {
    const type = bytes[at + 1]!;
    const receiving = this.state === 'receiving';
    // The many, first.
    if (receiving && (type === pdu.IPV4_PREFIX || type === pdu.IPV6_PREFIX) && bytes[at] === this.version)
      return pdu.checkPdu(bytes, at, length) ?? this.#payload(bytes, at, length);
    if (!this.#isNegotiated && type === pdu.SERIAL_NOTIFY) return undefined;
    const versionFault = this.#versionFault(bytes, at);
    if (versionFault !== undefined) return versionFault;
    const fault = pdu.checkPdu(bytes, at, length);
    if (fault !== undefined) return fault;
    if (type === pdu.ERROR_REPORT) {
      this.#reported(bytes, at, nowMs);
      return undefined;
    }
    switch (type) {
      case pdu.SERIAL_NOTIFY:
        return this.#notified(bytes, at, nowMs);
      case pdu.CACHE_RESPONSE:
        return this.#responded(bytes, at);
      case pdu.CACHE_RESET:
        if (this.state !== 'asking' || !this.#isDelta) return unexpected(type);
        this.#hasSerial = false;
        this.#query(nowMs);
        return undefined;
      case pdu.ROUTER_KEY:
        // Keys of BGPsec, which leafd does not speak.
        return receiving ? undefined : unexpected(type);
      case pdu.END_OF_DATA:
        return receiving ? this.#endOfData(bytes, at, nowMs) : unexpected(type);
      default:
        return unexpected(type);
    }
  }

  /** RFC 8210 section 7: the first answer says which version is spoken; from then on no other is. */
  #versionFault(bytes: Uint8Array, at: number): pdu.PduFault | undefined {
    const version = bytes[at]!;
    if (version === this.version || bytes[at + 1] === pdu.ERROR_REPORT) return undefined;
    if (this.#isNegotiated)
      return { code: pdu.UNEXPECTED_VERSION, reason: `version ${version} in a session` };
    if (version > this.version)
      return { code: pdu.UNSUPPORTED_VERSION, reason: `an answer of version ${version}` };
    this.version = 0;
    return undefined;
  }

  #notified(bytes: Uint8Array, at: number, nowMs: number): pdu.PduFault | undefined {
    // While an answer comes, the next refresh will tell.
    if (this.state !== 'synced') return undefined;
    if (pdu.headerField(bytes, at) !== this.sessionId) return this.#otherSession(bytes, at);
    if (pdu.serialOf(bytes, at) !== this.serial) this.#query(nowMs);
    return undefined;
  }

  #otherSession(bytes: Uint8Array, at: number): pdu.PduFault {
    this.#hasSerial = false;
    const is = pdu.headerField(bytes, at);
    return { code: pdu.CORRUPT_DATA, reason: `session id ${is} instead of ${this.sessionId}` };
  }

  #responded(bytes: Uint8Array, at: number): pdu.PduFault | undefined {
    if (this.state !== 'asking') return unexpected(pdu.CACHE_RESPONSE);
    this.#isNegotiated = true;
    this.#hasBeenAnswered = true;
    const sessionId = pdu.headerField(bytes, at);
    if (this.#isDelta && sessionId !== this.sessionId) return this.#otherSession(bytes, at);
    this.sessionId = sessionId;
    this.state = 'receiving';
    this.#delta.length = 0;
    this.#deltaCount = 0;
    if (!this.#isDelta) this.#clearOther();
    return undefined;
  }

  /** What an answer that broke off left behind goes before another is filled in. */
  #clearOther(): void {
    const other = this.#otherBit();
    if (this.#table.counts[31 - Math.clz32(other)] === 0) return;
    this.#table.beginSweep(other);
    while (this.#table.sweep(1 << 16));
  }

  #otherBit(): number {
    // Without data both generations are free; the first is filled then.
    return sourceBit(this.#source, this.#generation === 0 ? 1 : 0);
  }

  #payload(bytes: Uint8Array, at: number, length: number): pdu.PduFault | undefined {
    if (this.#isDelta) {
      if (++this.#deltaCount > DELTA_MAX) this.#delta.length = 0;
      else this.#delta.push(bytes.slice(at, at + length));
      return undefined;
    }
    if (!pdu.announces(bytes, at)) return withdrawalOfUnknown;
    const bit = this.#otherBit();
    if (this.#table.counts[31 - Math.clz32(bit)]! >= VRPS_MAX)
      return { code: pdu.INTERNAL_ERROR, reason: `more than ${VRPS_MAX} payloads` };
    if (change(this.#table, bytes, at, true, bit)) return undefined;
    return this.#table.isCrowded ? crowded : duplicate;
  }

  #endOfData(bytes: Uint8Array, at: number, nowMs: number): pdu.PduFault | undefined {
    if (pdu.headerField(bytes, at) !== this.sessionId) return this.#otherSession(bytes, at);
    if (this.#deltaCount > DELTA_MAX) {
      this.#hasSerial = false;
      this.#query(nowMs);
      return undefined;
    }
    let different = true;
    if (this.#isDelta) {
      const fault = this.#applyDelta();
      if (fault !== undefined) return fault;
      different = this.#delta.length > 0;
      this.#delta.length = 0;
    } else {
      const before = this.bit;
      this.#generation = this.#generation === 0 ? 1 : 0;
      if (before !== 0) this.#table.beginSweep(before);
    }
    this.serial = pdu.serialOf(bytes, at);
    this.#hasSerial = true;
    this.updatedAtMs = Math.max(1, nowMs);
    this.state = 'synced';
    this.lastError = undefined;
    this.#takeIntervals(pdu.intervalsOf(bytes, at));
    this.#deadlineMs = nowMs + this.refreshMs;
    if (different) this.#ports.changed();
    return undefined;
  }

  /** The operator's word counts before the cache's; where only one of two is his, the other fits itself to it. */
  #takeIntervals(told: pdu.Intervals | undefined): void {
    const { refreshMs, retryMs, expireMs } = this.#settings;
    this.refreshMs = refreshMs ?? (told === undefined ? REFRESH_MS : told.refreshS * 1000);
    this.retryMs = retryMs ?? (told === undefined ? RETRY_MS : told.retryS * 1000);
    this.expireMs = expireMs ?? (told === undefined ? EXPIRE_MS : told.expireS * 1000);
    // Data must not expire before they can have been refreshed (RFC 8210 section 6).
    if (expireMs === undefined) this.expireMs = Math.max(this.expireMs, this.refreshMs + this.retryMs);
    else {
      if (refreshMs === undefined) this.refreshMs = Math.min(this.refreshMs, Math.floor(expireMs / 2));
      if (retryMs === undefined) this.retryMs = Math.min(this.retryMs, Math.floor(expireMs / 4));
    }
  }

  /** All differences or none: what was done is undone when one of them does not fit (RFC 8210 section 12, 6 and 7). */
  #applyDelta(): pdu.PduFault | undefined {
    const bit = this.bit;
    for (let i = 0; i < this.#delta.length; i++) {
      const one = this.#delta[i]!;
      const announced = pdu.announces(one, 0);
      if (change(this.#table, one, 0, announced, bit)) continue;
      const { isCrowded } = this.#table;
      while (--i >= 0) {
        const back = this.#delta[i]!;
        change(this.#table, back, 0, !pdu.announces(back, 0), bit);
      }
      this.#hasSerial = false;
      if (!announced) return withdrawalOfUnknown;
      return isCrowded ? crowded : duplicate;
    }
    return undefined;
  }

  /** RFC 8210 section 5.11 and 12: what the cache says we, or it, did wrong. */
  #reported(bytes: Uint8Array, at: number, nowMs: number): void {
    const code = pdu.headerField(bytes, at);
    const words = pdu.reportText(bytes, at);
    const text = `the cache says: ${pdu.errorName(code)}${words === '' ? '' : ` (${words})`}`;
    if (code === pdu.NO_DATA_AVAILABLE && this.state === 'asking') {
      // Not fatal: it will have data later (section 8.4). The session ends so that it begins anew with a query.
      this.#hasBeenAnswered = true;
      this.#hangUp(text, nowMs, this.retryMs);
      return;
    }
    const older = code === pdu.UNSUPPORTED_VERSION && !this.#isNegotiated && this.version === 1;
    if (older) this.version = 0;
    else this.#hasSerial = false;
    this.#hangUp(text, nowMs, older ? AGAIN_MS : this.retryMs);
  }

  #fail(fault: pdu.PduFault, bytes: Uint8Array, nowMs: number): void {
    this.#ports.send(pdu.errorReport(this.version, fault.code, bytes, fault.reason));
    const wasSynced = this.#hasBeenAnswered && !this.#hasSerial && fault.code !== pdu.INTERNAL_ERROR;
    const again = wasSynced && this.lastError === undefined;
    this.#hangUp(
      `${pdu.errorName(fault.code)}: ${fault.reason}`,
      nowMs,
      again ? AGAIN_MS : this.#retryNowMs(),
    );
  }

  #hangUp(reason: string, nowMs: number, retryMs: number): void {
    this.#ports.close();
    this.#down(reason, nowMs);
    this.#deadlineMs = nowMs + retryMs;
  }

  #down(reason: string, nowMs: number): void {
    this.state = 'down';
    this.lastError = { atMs: nowMs, text: reason };
    this.#rest = NOTHING;
    this.#delta.length = 0;
    this.#deadlineMs = nowMs + this.#retryNowMs();
  }

  #forget(): void {
    const bit = this.bit;
    this.updatedAtMs = 0;
    this.#hasSerial = false;
    if (bit !== 0) this.#table.beginSweep(bit);
  }
}

const withdrawalOfUnknown: pdu.PduFault = {
  code: pdu.WITHDRAWAL_OF_UNKNOWN,
  reason: 'a payload is withdrawn that was never announced',
};
const crowded: pdu.PduFault = {
  code: pdu.INTERNAL_ERROR,
  reason: `more than ${PREFIX_VRPS_MAX} payloads of one prefix`,
};
const duplicate: pdu.PduFault = { code: pdu.DUPLICATE_ANNOUNCEMENT, reason: 'a payload is announced twice' };

function unexpected(type: number): pdu.PduFault {
  return { code: pdu.INVALID_REQUEST, reason: `a PDU of type ${type} out of turn` };
}

/** Adds or removes the payload of a prefix PDU that has been checked; false when it was there, or not there. */
function change(table: VrpTable, bytes: Uint8Array, at: number, adds: boolean, bit: number): boolean {
  const family: VrpFamily = bytes[at + 1] === pdu.IPV4_PREFIX ? 0 : 1;
  const length = bytes[at + 9]!;
  const maxLength = bytes[at + 10]!;
  const a = masked(bytes, at + 12, length);
  const b = family === 0 ? 0 : masked(bytes, at + 16, length - 32);
  const c = family === 0 ? 0 : masked(bytes, at + 20, length - 64);
  const d = family === 0 ? 0 : masked(bytes, at + 24, length - 96);
  const asn = readU32(bytes, at + (family === 0 ? 16 : 28));
  return adds
    ? table.add(family, a, b, c, d, length, maxLength, asn, bit)
    : table.remove(family, a, b, c, d, length, maxLength, asn, bit);
}

/** The word at `at` without its bits beyond the first `length`. */
function masked(bytes: Uint8Array, at: number, length: number): number {
  if (length <= 0) return 0;
  const word = readU32(bytes, at);
  return length >= 32 ? word : (word & (-1 << (32 - length))) >>> 0;
}
