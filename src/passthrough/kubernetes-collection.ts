// One collection of the Kubernetes API, kept as it is there: listed, then watched from the version of the list on;
// listed again when the server has forgotten that version (410). What was known stays while the server cannot be
// asked. A collection that is not there (404: its kind is not installed) is looked for again now and then; one that
// was there and had objects counts as gone only when it stays away, since servers that start answer 404 as well.

import { ApiFault, type KubernetesApi, OBJECTS_MAX, type WatchEvent } from './kubernetes-client.ts';
import { type ApiObject, collectionKey, MAX_OBJECT_BYTES } from './kubernetes-resources.ts';

export interface Timing {
  /** For the whole answer to a request. */
  requestMs: number;
  /** A watch is asked for so long and then begun anew. */
  watchMs: number;
  /** Waits after a failure, doubled each time, with a random part. */
  retryFirstMs: number;
  retryLongestMs: number;
  /** How often a kind that is not installed is looked for; and so long must one be away that had objects. */
  absentMs: number;
  /** Changes that come together are told together. */
  debounceMs: number;
  /** Between two reports of the status. */
  reportMs: number;
}

export interface CollectionEvents {
  changed(): void;
  /** A failure; told each time. */
  fault(error: unknown, collection: Collection): void;
  /** An object is not looked at, and why; undefined: it is again. Told once. */
  dropped(id: string, why: string | undefined): void;
  /** The server has answered as it should. */
  well(collection: Collection): void;
}

export interface CollectionOptions {
  api: Pick<KubernetesApi, 'list' | 'watch'>;
  path: string;
  /** `metadata.name=…`; absent: all objects. */
  fieldSelector?: string;
  /** What is kept of an object; undefined: nothing. */
  part: (object: ApiObject) => ApiObject | undefined;
  /** What was known in the last life. */
  kept?: readonly ApiObject[] | undefined;
  events: CollectionEvents;
  timing: Timing;
  random?: () => number;
}

export type CollectionState = 'unknown' | 'listed' | 'absent' | 'denied';

const GONE = 410;
/** Objects that are told as not looked at, at most. */
const DROPPED_MAX = 16;

export class Collection {
  readonly path: string;
  /** The path, and which objects of it. */
  readonly key: string;
  readonly #options: CollectionOptions;
  readonly #end = new AbortController();
  readonly #objects = new Map<string, ApiObject>();
  readonly #run: Promise<void>;
  readonly #dropped = new Set<string>();
  #state: CollectionState = 'unknown';
  #known: boolean;
  #absentSince: number | undefined;
  #waitMs: number;
  /** The last watch was one: a server that ends each at once is asked more and more slowly. */
  #lasted = false;

  constructor(options: CollectionOptions) {
    this.#options = options;
    this.path = options.path;
    this.key = collectionKey(options.path, options.fieldSelector);
    this.#waitMs = options.timing.retryFirstMs;
    this.#known = options.kept !== undefined;
    for (const object of options.kept ?? []) this.#objects.set(idOf(object), object);
    this.#run = this.#follow();
  }

  get state(): CollectionState {
    return this.#state;
  }

  /** Whether what is here may be used: it was listed, is kept from before, or the server will not tell. */
  get settled(): boolean {
    return this.#known || this.#state !== 'unknown';
  }

  get objects(): Iterable<ApiObject> {
    return this.#objects.values();
  }

  get(id: string): ApiObject | undefined {
    return this.#objects.get(id);
  }

  async close(): Promise<void> {
    this.#end.abort();
    await this.#run;
  }

  async #follow(): Promise<void> {
    // Begun in a turn of its own, so that events find the collection where its owner has put it.
    await Promise.resolve();
    const { signal } = this.#end;
    let version: string | undefined;
    while (!signal.aborted) {
      try {
        version ??= await this.#list();
        version = await this.#watch(version);
        if (!this.#lasted) await this.#pause();
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof ApiFault && error.status === GONE) {
          version = undefined;
          if (!this.#lasted) await this.#pause();
          continue;
        }
        // A watch that failed goes on from where it was; whether it can, the server knows.
        if (!(error instanceof ApiFault && error.status === 0)) version = undefined;
        await this.#failed(error);
      }
    }
  }

  async #list(): Promise<string> {
    const { api, path, part, events } = this.#options;
    this.#lasted = false;
    const { items, resourceVersion } = await api.list(path, this.#query(), this.#end.signal);
    const before = JSON.stringify([...this.#objects]);
    const first = this.#state !== 'listed';
    this.#objects.clear();
    for (const item of items) this.#put(part(item), item);
    this.#state = 'listed';
    this.#absentSince = undefined;
    events.well(this);
    if (first || JSON.stringify([...this.#objects]) !== before) events.changed();
    return resourceVersion;
  }

  /** The version up to which everything has been seen, when the server has ended the watch. */
  async #watch(from: string): Promise<string> {
    const { api, path, events, timing, random = Math.random } = this.#options;
    let version = from;
    // Not all at once for thousands of nodes that were started together.
    const watchMs = Math.round(timing.watchMs * (0.8 + 0.2 * random()));
    const began = performance.now();
    let opened = false;
    const open = (): void => {
      opened = true;
      this.#absentSince = undefined;
      events.well(this);
    };
    const event = (one: WatchEvent): void => {
      version = one.object.metadata.resourceVersion ?? version;
      this.#take(one);
    };
    try {
      const query = { ...this.#query(), resourceVersion: from };
      await api.watch(path, query, watchMs, { open, event }, this.#end.signal);
    } catch (error) {
      // A connection that is cut is none of the server's faults: go on from what was seen.
      if (!(opened && error instanceof ApiFault && error.status === 0)) throw error;
    } finally {
      this.#lasted = performance.now() - began >= timing.retryFirstMs;
      if (this.#lasted) this.#waitMs = timing.retryFirstMs;
    }
    return version;
  }

  #take({ type, object }: WatchEvent): void {
    const { part, events } = this.#options;
    if (type === 'BOOKMARK') return;
    const id = idOf(object);
    const before = this.#objects.get(id);
    if (type === 'DELETED') {
      this.#objects.delete(id);
      this.#drop(id, undefined);
    } else this.#put(part(object), object);
    if (JSON.stringify(before) !== JSON.stringify(this.#objects.get(id))) events.changed();
  }

  #put(kept: ApiObject | undefined, object: ApiObject): void {
    const id = idOf(object);
    const large = kept !== undefined && JSON.stringify(kept).length > MAX_OBJECT_BYTES;
    const full = this.#objects.size >= OBJECTS_MAX && !this.#objects.has(id);
    if (kept !== undefined && !large && !full) this.#objects.set(id, kept);
    else this.#objects.delete(id);
    this.#drop(id, large ? 'is too large' : full ? 'is one too many' : undefined);
  }

  #drop(id: string, why: string | undefined): void {
    if (this.#dropped.has(id) === (why !== undefined)) return;
    if (why === undefined) this.#dropped.delete(id);
    else if (this.#dropped.size < DROPPED_MAX) this.#dropped.add(id);
    else return;
    this.#options.events.dropped(id, why);
  }

  async #failed(error: unknown): Promise<void> {
    const { events, timing } = this.#options;
    const status = error instanceof ApiFault ? error.status : 0;
    if (status === 404) {
      this.#absentSince ??= performance.now();
      const away = performance.now() - this.#absentSince;
      if (this.#objects.size > 0 && away < timing.absentMs) return await this.#pause();
      const news = this.#state !== 'absent';
      this.#state = 'absent';
      this.#known = false;
      this.#objects.clear();
      if (news) events.changed();
      return await this.#sleep(timing.absentMs);
    }
    this.#absentSince = undefined;
    events.fault(error, this);
    if (status === 403) {
      const news = this.#state === 'unknown';
      if (news) this.#state = 'denied';
      if (news) events.changed();
    }
    await this.#pause(error instanceof ApiFault ? error.retryAfterMs : undefined);
  }

  #query(): Record<string, string> {
    const { fieldSelector } = this.#options;
    return fieldSelector === undefined ? {} : { fieldSelector };
  }

  /** Waits longer each time, between half of it and all. */
  async #pause(atLeastMs = 0): Promise<void> {
    const { timing, random = Math.random } = this.#options;
    const waitMs = this.#waitMs * (0.5 + 0.5 * random());
    this.#waitMs = Math.min(this.#waitMs * 2, timing.retryLongestMs);
    await this.#sleep(Math.max(waitMs, atLeastMs));
  }

  #sleep(ms: number): Promise<void> {
    return sleepUnless(ms, this.#end.signal);
  }
}

/** Waits, or comes back at once when `signal` says that it is over. */
export function sleepUnless(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const over = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', over);
      resolve();
    };
    const timer = setTimeout(over, ms);
    timer.unref();
    signal.addEventListener('abort', over, { once: true });
  });
}

function idOf({ metadata: { namespace, name } }: ApiObject): string {
  return `${namespace ?? ''}/${name}`;
}
