// Origin validation with real caches: TCP to each (RFC 8210 section 9.3: plain TCP, for a trusted network), the clock,
// and the file of local exceptions, which is read again whenever it changes and at every reload. What the answers mean
// is the rpki room's. Another set of caches takes over from the former when it has data (section 10), so that a reload
// never leaves routes unjudged; and routes are judged anew at most once a second, however often caches change.

import { readFile, stat } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import type { RpkiIntent } from '../intent/intent.ts';
import { realClock } from '../lib/clock-real.ts';
import { secretHashKey } from '../lib/hash-key-real.ts';
import { LeafdError } from '../lib/leafd-error.ts';
import type { ValidateOrigin } from '../router/filters.ts';
import { CACHES_MAX, Caches } from '../rpki/caches.ts';
import { type FileVrp, readVrpFile } from '../rpki/vrp-file.ts';
import type { Vrp, VrpFamily } from '../rpki/vrp-table.ts';

const FILE_LOOK_MS = 2000;
const FILE_BYTES_MAX = 256 << 20;
const JUDGE_GAP_MS = 1000;
const FULL_CHUNK = 16_384;
/** An interval that Node's timers can hold. */
const TIMER_MAX_MS = 2 ** 31 - 1;

export interface OriginValidationWorld {
  /** How routes are judged from now on; undefined: not at all. */
  setOriginValidation(validate: ValidateOrigin | undefined): void;
  /** Routes judged before are to be judged anew. */
  originValidationChanged(): void;
  trouble(error: LeafdError): void;
  tell(text: string): void;
}

/** The file as it was read last. */
export interface FileState {
  path: string;
  vrps: number;
  readAtMs?: number;
  error?: string;
}

export class OriginValidation {
  readonly #world: OriginValidationWorld;
  #intent: RpkiIntent = { servers: [] };
  #live: CacheSet | undefined;
  /** Takes over from `#live` once it has data. */
  #coming: CacheSet | undefined;
  #fileVrps: readonly FileVrp[] = [];
  #file: FileState | undefined;
  #fileMark = '';
  #fileTimer: NodeJS.Timeout | undefined;
  #judgeTimer: NodeJS.Timeout | undefined;
  #judgedAtMs = Number.NEGATIVE_INFINITY;

  constructor(intent: RpkiIntent, world: OriginValidationWorld) {
    this.#world = world;
    this.configure(intent);
  }

  /** Puts another configuration in force; the file is read again in any case. */
  configure(intent: RpkiIntent): void {
    const before = this.#intent;
    this.#intent = intent;
    if (intent.servers.length === 0 && intent.file === undefined) {
      this.#off();
      return;
    }
    const servers = intent.servers.slice(0, CACHES_MAX);
    if (this.#live === undefined || !isDeepStrictEqual(before.servers, intent.servers)) this.#open(servers);
    if (before.file !== intent.file) this.#forgetFile();
    clearTimeout(this.#fileTimer);
    this.#fileMark = '';
    void this.#lookAtFile();
  }

  close(): void {
    clearTimeout(this.#fileTimer);
    clearTimeout(this.#judgeTimer);
    this.#coming?.close();
    this.#live?.close();
    this.#intent = { servers: [] };
  }

  /** The caches whose data are in use; undefined where validation is off. */
  get caches(): Caches | undefined {
    return this.#live?.caches;
  }

  /** The caches as configured, which may still be waiting for their first data. */
  get configured(): { caches: Caches; servers: RpkiIntent['servers'] } | undefined {
    const set = this.#coming ?? this.#live;
    return set && { caches: set.caches, servers: set.servers };
  }

  get file(): FileState | undefined {
    return this.#file;
  }

  /** Payloads in use that cover a route, for explanations. */
  covering(family: number, a: number, b: number, c: number, d: number, length: number): Vrp[] {
    const caches = this.#live?.caches;
    if (caches === undefined || family > 1) return [];
    return caches.table.covering(family as VrpFamily, a, b, c, d, length);
  }

  #open(servers: RpkiIntent['servers']): void {
    this.#coming?.close();
    const set: CacheSet = new CacheSet(servers, {
      changed: () => this.#changed(set),
      trouble: (error) => this.#world.trouble(error),
      tell: (text) => this.#world.tell(text),
    });
    set.caches.setFile(this.#fileVrps);
    if (this.#live === undefined || servers.length === 0) this.#take(set);
    else this.#coming = set;
    set.start();
  }

  #changed(set: CacheSet): void {
    if (set === this.#coming && set.caches.inUse >= 0) this.#take(set);
    if (set === this.#live) this.#judgeSoon();
  }

  #take(set: CacheSet): void {
    const before = this.#live;
    this.#live = set;
    this.#coming = undefined;
    const { table } = set.caches;
    this.#world.setOriginValidation((family, a, b, c, d, length, originAsn) =>
      family > 1 ? 0 : table.validate(family as VrpFamily, a, b, c, d, length, originAsn),
    );
    before?.close();
    this.#judgeSoon();
  }

  #off(): void {
    clearTimeout(this.#fileTimer);
    this.#coming?.close();
    this.#coming = undefined;
    this.#forgetFile();
    if (this.#live === undefined) return;
    this.#live.close();
    this.#live = undefined;
    this.#world.setOriginValidation(undefined);
    this.#judgeSoon();
  }

  #judgeSoon(): void {
    if (this.#judgeTimer !== undefined) return;
    const waitMs = Math.max(0, this.#judgedAtMs + JUDGE_GAP_MS - realClock.nowMs());
    this.#judgeTimer = setTimeout(() => {
      this.#judgeTimer = undefined;
      this.#judgedAtMs = realClock.nowMs();
      this.#world.originValidationChanged();
    }, waitMs);
  }

  #forgetFile(): void {
    this.#file = undefined;
    this.#fileVrps = [];
    this.#fileMark = '';
    this.#live?.caches.setFile([]);
    this.#coming?.caches.setFile([]);
  }

  /** Reads the file if it is another than last time, and looks again later. */
  async #lookAtFile(): Promise<void> {
    const { file } = this.#intent;
    if (file === undefined) return;
    try {
      const status = await stat(file);
      const mark = `${status.ino} ${status.size} ${status.mtimeMs}`;
      if (mark !== this.#fileMark) {
        this.#fileMark = mark;
        if (status.size > FILE_BYTES_MAX)
          throw new LeafdError('rpki-file', `${file}: is larger than ${FILE_BYTES_MAX >> 20} MiB`);
        this.#readFile(file, await readFile(file, 'utf8'));
      }
    } catch (error) {
      const { code, message } = error as { code?: string; message: string };
      this.#fileFailed(file, code === 'rpki-file' || code === undefined ? message : `${file}: ${code}`);
    }
    // A reload meanwhile has begun a look of its own.
    if (this.#intent.file !== file) return;
    clearTimeout(this.#fileTimer);
    this.#fileTimer = setTimeout(() => void this.#lookAtFile(), FILE_LOOK_MS);
    this.#fileTimer.unref();
  }

  #readFile(path: string, text: string): void {
    if (this.#intent.file !== path) return;
    const content = readVrpFile(text);
    if (content.kind === 'wrong') throw new LeafdError('rpki-file', `${path}: ${content.reason}`);
    this.#fileVrps = content.vrps;
    this.#file = { path, vrps: content.vrps.length, readAtMs: realClock.nowMs() };
    this.#live?.caches.setFile(content.vrps);
    this.#coming?.caches.setFile(content.vrps);
    this.#world.tell(`${path}: ${content.vrps.length} payloads`);
  }

  /** What the file said before stays in force; the same complaint is made once. */
  #fileFailed(path: string, reason: string): void {
    if (this.#intent.file !== path) return;
    if (this.#file?.error !== reason) this.#world.trouble(new LeafdError('rpki-file', `rpki: ${reason}`));
    this.#file = { vrps: this.#fileVrps.length, ...this.#file, path, error: reason };
  }
}

/** Caches with their sockets and timers. */
class CacheSet {
  readonly caches: Caches;
  readonly servers: RpkiIntent['servers'];
  readonly #world: Pick<OriginValidationWorld, 'trouble' | 'tell'>;
  readonly #sockets: (Socket | undefined)[] = [];
  readonly #wasUp: boolean[] = [];
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(
    servers: RpkiIntent['servers'],
    world: Pick<OriginValidationWorld, 'trouble' | 'tell'> & { changed(): void },
  ) {
    this.servers = servers;
    this.#world = world;
    const ports = {
      connect: (cache: number) => this.#connect(cache),
      send: (cache: number, bytes: Uint8Array) => void this.#sockets[cache]?.write(bytes),
      close: (cache: number) => this.#drop(cache),
      changed: () => world.changed(),
    };
    this.caches = new Caches(servers, ports, secretHashKey());
  }

  start(): void {
    this.caches.start(realClock.nowMs());
    this.#work();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.caches.stop();
  }

  #connect(cache: number): void {
    const { address, port } = this.servers[cache]!;
    const client = this.caches.clients[cache]!;
    const socket = connect({ host: address, port, noDelay: true, keepAlive: true });
    this.#sockets[cache] = socket;
    // A socket that was given up may still have something to say.
    const isOurs = (): boolean => this.#sockets[cache] === socket;
    let reason = 'the cache closed the connection';
    socket.on('connect', () => {
      if (isOurs()) client.connected(realClock.nowMs());
      this.#work();
    });
    socket.on('data', (bytes) => {
      // Where more is waiting libuv would go on reading, two megabytes in one go: others have their turn first.
      if (bytes.length >= FULL_CHUNK) {
        socket.pause();
        setImmediate(() => socket.resume());
      }
      if (isOurs()) client.received(bytes, realClock.nowMs());
      this.#work();
    });
    socket.on('error', (error) => {
      reason = (error as { code?: string }).code ?? error.message;
    });
    socket.on('close', () => {
      if (!isOurs()) return;
      this.#sockets[cache] = undefined;
      client.lost(reason, realClock.nowMs());
      this.#work();
    });
  }

  #drop(cache: number): void {
    const socket = this.#sockets[cache];
    this.#sockets[cache] = undefined;
    if (socket === undefined) return;
    // An Error Report before the end still goes out; then nothing keeps the socket.
    socket.end();
    setTimeout(() => socket.destroy(), 1000).unref();
  }

  #work(): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    const nowMs = realClock.nowMs();
    const more = this.caches.work(nowMs);
    this.#tellChanges();
    const waitMs = more ? 0 : this.caches.nextDeadlineMs(nowMs) - nowMs;
    if (waitMs === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(() => this.#work(), Math.min(TIMER_MAX_MS, Math.max(0, Math.ceil(waitMs))));
    this.#timer.unref();
  }

  /** Each cache is told of when it has given data, and when it is lost; not at every attempt. */
  #tellChanges(): void {
    for (const [cache, client] of this.caches.clients.entries()) {
      const { address, port } = this.servers[cache]!;
      const isUp = client.state === 'synced' || (client.state !== 'down' && this.#wasUp[cache] === true);
      if (isUp === (this.#wasUp[cache] ?? false)) continue;
      this.#wasUp[cache] = isUp;
      if (isUp) this.#world.tell(`cache ${address} port ${port}: ${client.vrpCount} payloads`);
      else {
        const why = client.lastError?.text ?? 'lost';
        this.#world.trouble(new LeafdError('rpki-cache', `rpki: cache ${address} port ${port}: ${why}`));
      }
    }
  }
}
