// The Kubernetes API by way of the official client: it knows kubeconfig files, service accounts, certificates, exec
// plugins and proxies, and reads the stream of a watch. Loaded only where resources are watched, because it is large.
// What the client leaves out is here: a limit on the time and size of every answer, the server's own words about a
// refusal, a watch that ends although nobody says so, and a kubeconfig that is read again when it changes.

import { readFileSync, statSync } from 'node:fs';
import { type IncomingMessage, request as requestPlain } from 'node:http';
import { type RequestOptions, request as requestSecure } from 'node:https';
import { KubeConfig, Watch } from '@kubernetes/client-node';
import { fileFault } from '../intent/files-read.ts';
import { LeafdError } from '../lib/leafd-error.ts';
import type { ApiObject } from './kubernetes-resources.ts';

/** The API server refused, or gave no answer (`status` 0). */
export class ApiFault extends Error {
  override readonly name = 'ApiFault';
  readonly status: number;
  /** Of a server that has too much to do. */
  readonly retryAfterMs: number | undefined;

  constructor(status: number, message: string, retryAfterMs?: number) {
    super(message);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

export interface Listing {
  resourceVersion: string;
  items: readonly ApiObject[];
}

export interface WatchEvent {
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  object: ApiObject;
}

export interface KubernetesApiOptions {
  /** Absent: the service account of the pod. */
  kubeconfig?: string | undefined;
  requestMs: number;
  /** Before the paths of a service account; for tests. */
  serviceAccountRoot?: string | undefined;
}

export type Query = Readonly<Record<string, string>>;

const ANSWER_BYTES_MAX = 32 << 20;
const PAGE = 500;
/** Objects of one collection at most. */
export const OBJECTS_MAX = 5000;
const IN_CLUSTER = 'KUBERNETES_SERVICE_HOST';

export class KubernetesApi {
  readonly #options: KubernetesApiOptions;
  #config: KubeConfig | undefined;
  /** What the kubeconfig looked like when it was read. */
  #mark = '';

  constructor(options: KubernetesApiOptions) {
    this.#options = options;
  }

  /** The answer's JSON. Throws ApiFault, or LeafdError `kubernetes-config`. */
  get(path: string, query: Query, signal: AbortSignal): Promise<unknown> {
    return this.#send('GET', path, { query, signal });
  }

  post(path: string, body: unknown, signal: AbortSignal): Promise<unknown> {
    return this.#send('POST', path, { body, type: 'application/json', signal });
  }

  mergePatch(path: string, body: unknown, signal: AbortSignal): Promise<unknown> {
    return this.#send('PATCH', path, { body, type: 'application/merge-patch+json', signal });
  }

  /** All objects of a collection, in pages. */
  async list(path: string, query: Query, signal: AbortSignal): Promise<Listing> {
    const items: ApiObject[] = [];
    let next: Record<string, string> = {};
    for (;;) {
      const answer = await this.get(path, { ...query, limit: String(PAGE), ...next }, signal);
      const page = answer as {
        metadata?: { resourceVersion?: string; continue?: string };
        items?: ApiObject[];
      };
      items.push(...(page.items ?? []));
      if (items.length > OBJECTS_MAX) throw tooMany(path);
      const { resourceVersion = '', continue: token = '' } = page.metadata ?? {};
      if (token === '') return { resourceVersion, items };
      next = { continue: token };
    }
  }

  /**
   * Follows a collection from `resourceVersion` on until the server ends it, at most for `watchMs`. Throws ApiFault,
   * also for what the server says within the stream (410: the version is too old). `open`: the server has agreed.
   */
  async watch(
    path: string,
    query: Query,
    watchMs: number,
    on: { open(): void; event(event: WatchEvent): void },
    signal: AbortSignal,
  ): Promise<void> {
    const config = this.#read();
    let agent: { destroy(): void } | undefined;
    let cut = false;
    // The client cannot be stopped before the server has answered; its connection can.
    const seen = {
      getCurrentCluster: () => config.getCurrentCluster(),
      applyToFetchOptions: async (options: RequestOptions) => {
        const init = await config.applyToFetchOptions(options);
        if (typeof init.agent === 'object') agent = init.agent;
        if (cut) agent?.destroy();
        return init;
      },
    };
    const asked = { ...query, allowWatchBookmarks: 'true', timeoutSeconds: Math.ceil(watchMs / 1000) };
    let fault: ApiFault | undefined;
    let late: NodeJS.Timeout | undefined;
    let stop = (): void => {};
    const ended = new Promise<unknown>((resolve) => {
      let controller: AbortController | undefined;
      stop = () => {
        cut = true;
        controller?.abort();
        agent?.destroy();
        resolve(undefined);
      };
      const take = (type: string, object: unknown): void => {
        if (cut || fault !== undefined) return;
        if (type === 'ERROR') {
          fault = faultOf(statusOf(object), object);
          stop();
        } else on.event({ type, object } as WatchEvent);
      };
      let over = false;
      const done = (error: unknown): void => {
        over = true;
        resolve(error);
      };
      new Watch(seen as unknown as KubeConfig).watch(path, asked, take, done).then((made) => {
        controller = made;
        if (cut) made.abort();
        else if (!over) on.open();
      }, done);
      late = setTimeout(stop, watchMs + this.#options.requestMs);
    });
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    try {
      const error = await ended;
      if (fault !== undefined) throw fault;
      if (error instanceof Error && !cut) throw faultOfError(error);
    } finally {
      clearTimeout(late);
      signal.removeEventListener('abort', stop);
      agent?.destroy();
    }
  }

  /** The cluster's server, for messages. */
  get server(): string {
    return this.#config?.getCurrentCluster()?.server ?? 'the API server';
  }

  async #send(
    method: string,
    path: string,
    { query = {}, body, type, signal }: { query?: Query; body?: unknown; type?: string; signal: AbortSignal },
  ): Promise<unknown> {
    const config = this.#read();
    const { server } = config.getCurrentCluster()!;
    const url = new URL(server.replace(/\/$/, '') + path);
    for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
    const options: RequestOptions = { method, headers: { accept: 'application/json' } };
    let answer: { response: IncomingMessage; text: string };
    try {
      await config.applyToHTTPSOptions(options);
      const text = body === undefined ? undefined : JSON.stringify(body);
      if (type !== undefined) options.headers = { ...options.headers, 'content-type': type };
      answer = await exchange(url, { ...options, signal }, text, this.#options.requestMs);
    } catch (error) {
      throw error instanceof ApiFault ? error : faultOfError(error as Error);
    }
    const { response, text } = answer;
    const json = parsed(text);
    const status = response.statusCode ?? 0;
    if (status >= 200 && status < 300) {
      if (json === undefined) throw new ApiFault(0, `${path}: the answer is not JSON`);
      return json;
    }
    throw faultOf(status, json, response.headers['retry-after']);
  }

  /** The configuration, read again when its file has changed. */
  #read(): KubeConfig {
    const { kubeconfig } = this.#options;
    if (kubeconfig === undefined) {
      this.#config ??= this.#inCluster();
      return this.#config;
    }
    try {
      const { mtimeMs, size, ino } = statSync(kubeconfig);
      const mark = `${mtimeMs} ${size} ${ino}`;
      if (this.#config !== undefined && mark === this.#mark) return this.#config;
      const config = new KubeConfig();
      config.loadFromString(readFileSync(kubeconfig, 'utf8'));
      config.makePathsAbsolute(kubeconfig.replace(/[^/]*$/, '') || '.');
      if (!config.getCurrentCluster()) throw new Error('it has no current context with a cluster');
      this.#config = config;
      this.#mark = mark;
      return config;
    } catch (error) {
      const why = (error as { code?: string }).code === undefined ? firstLine(error) : fileFault(error);
      throw new LeafdError('kubernetes-config', `${kubeconfig}: ${why}`, {
        hint: 'passthrough.openperouter.kubernetes.kubeconfig names a file as kubectl has it',
        cause: error,
      });
    }
  }

  #inCluster(): KubeConfig {
    if (process.env[IN_CLUSTER] === undefined)
      throw new LeafdError('kubernetes-config', 'this is no pod of a cluster, and no kubeconfig is named', {
        hint: 'passthrough.openperouter.kubernetes: {kubeconfig: /etc/leafd/kubeconfig}',
      });
    const config = new KubeConfig();
    config.loadFromCluster(this.#options.serviceAccountRoot);
    return config;
  }
}

/** One request and its whole answer. */
function exchange(
  url: URL,
  options: RequestOptions,
  body: string | undefined,
  limitMs: number,
): Promise<{ response: IncomingMessage; text: string }> {
  return new Promise((resolve, reject) => {
    const request = url.protocol === 'http:' ? requestPlain : requestSecure;
    const giveUp = (why: string): void => {
      reject(new ApiFault(0, why));
      asked.destroy();
    };
    const asked = request(url, options, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > ANSWER_BYTES_MAX) giveUp(`${url.pathname}: an answer without end`);
        else chunks.push(chunk);
      });
      response.on('end', () => resolve({ response, text: Buffer.concat(chunks).toString('utf8') }));
      response.on('error', reject);
    });
    const late = setTimeout(() => giveUp(`no answer within ${limitMs} ms`), limitMs);
    asked.on('close', () => clearTimeout(late));
    asked.on('error', reject);
    asked.end(body);
  });
}

/** A refusal in the server's words: a `Status` object, or plain text of a proxy before it. */
function faultOf(status: number, body: unknown, retryAfter?: string): ApiFault {
  const { message } = (body ?? {}) as { message?: unknown };
  const seconds = /^\d{1,4}$/.test(retryAfter ?? '') ? Number(retryAfter) : undefined;
  const text = typeof message === 'string' ? firstLine(message) : `the API server answers ${status}`;
  return new ApiFault(status, text, seconds === undefined ? undefined : seconds * 1000);
}

function statusOf(object: unknown): number {
  const { code } = (object ?? {}) as { code?: unknown };
  return typeof code === 'number' ? code : 500;
}

/** What the client throws: with a status when the server answered, else there was no answer. */
function faultOfError(error: Error & { statusCode?: number; code?: string }): ApiFault {
  if (error.statusCode !== undefined) return new ApiFault(error.statusCode, firstLine(error));
  return new ApiFault(0, error.code ?? firstLine(error));
}

function tooMany(path: string): LeafdError {
  return new LeafdError('kubernetes-limit', `${path} has more than ${OBJECTS_MAX} objects`, {
    hint: 'passthrough.openperouter.kubernetes.namespace limits what is read to one namespace',
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0]!.slice(0, 300);
}
