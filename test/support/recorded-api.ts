// A Kubernetes API server out of a recording (test/data/kubernetes): discovery, lists, watches and refusals as a real
// one gives them, over TLS and with a bearer token. Scenes of the recording are played into open watches and into the
// lists, so that a client that comes later finds the same. The server keeps versions: a watch from an older one gets
// what it has missed, or 410 once that is forgotten. Faults are asked for by name: down, cut, hang, deny.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';

interface RecordedObject {
  metadata: { name: string; namespace?: string; resourceVersion: string };
  status?: unknown;
}

interface RecordedEvent {
  type: string;
  object: RecordedObject;
}

interface RecordedList {
  metadata: { resourceVersion: string; continue?: string };
  items: RecordedObject[];
}

interface Recording {
  discovery: Record<string, unknown>;
  lists: Record<string, RecordedList>;
  scenes: Record<string, { path: string; events: RecordedEvent[] }>;
  refusals: Record<string, unknown>;
}

export interface AskedRequest {
  method: string;
  path: string;
  query: URLSearchParams;
  body: unknown;
}

interface OpenWatch {
  path: string;
  selector: string | null;
  response: ServerResponse;
}

/** How an answer is refused instead of given. */
export type Refusal = '403' | '404' | '429' | '503' | 'hang';

export class RecordedApi {
  readonly directory = mkdtempSync(join(tmpdir(), 'leafd-kubernetes-'));
  readonly requests: AskedRequest[] = [];
  /** Groups that are installed. */
  readonly groups: Set<string>;
  /** By start of the path. */
  readonly refusals = new Map<string, Refusal>();
  /** Objects in one answer to a list at most. */
  pageSize = Number.POSITIVE_INFINITY;
  token = 'recorded-token';
  readonly #recording: Recording;
  readonly #log: { path: string; event: RecordedEvent }[] = [];
  readonly #watches = new Set<OpenWatch>();
  readonly #sockets = new Set<Duplex>();
  #forgotten = 0;
  #server: Server | undefined;
  #port = 0;

  constructor(groups: readonly string[] = ['network.openperouter.io']) {
    const file = join(import.meta.dirname, '..', 'data', 'kubernetes', 'cluster.json');
    this.#recording = JSON.parse(readFileSync(file, 'utf8')) as Recording;
    this.groups = new Set(groups);
    const [key, cert] = [join(this.directory, 'server.key'), join(this.directory, 'ca.crt')];
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
    const name = ['-subj', '/CN=recorded', '-addext', 'subjectAltName=IP:127.0.0.1'];
    execFileSync('openssl', ['req', '-x509', ...curve, ...name, '-keyout', key, '-out', cert], {
      stdio: 'ignore',
    });
  }

  get kubeconfig(): string {
    return join(this.directory, 'kubeconfig');
  }

  get port(): number {
    return this.#port;
  }

  /** Listens, at the same port again after `down`; or on a descriptor that listens already, maybe elsewhere. */
  async up(fd?: number): Promise<void> {
    const read = (name: string) => readFileSync(join(this.directory, name));
    const server = createServer({ key: read('server.key'), cert: read('ca.crt') }, (request, response) => {
      void this.#answer(request, response);
    });
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => {});
    });
    const at = fd === undefined ? { port: this.#port, host: '127.0.0.1' } : { fd };
    await new Promise<void>((resolve) => server.listen(at, resolve));
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
    this.writeKubeconfig(this.token);
  }

  /** As kubeadm writes it for a node. */
  writeKubeconfig(token: string, path = this.kubeconfig): void {
    const cluster = { 'certificate-authority': 'ca.crt', server: `https://127.0.0.1:${this.#port}` };
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'recorded', cluster }],
      users: [{ name: 'leafd', user: { token } }],
      contexts: [{ name: 'leafd@recorded', context: { cluster: 'recorded', user: 'leafd' } }],
      'current-context': 'leafd@recorded',
    };
    writeFileSync(path, JSON.stringify(config));
  }

  /** Everything is cut, nothing listens. */
  async down(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    this.#watches.clear();
    await closed;
  }

  async close(): Promise<void> {
    await this.down();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Connections of watches are reset, as a load balancer does. */
  cutWatches(): number {
    const open = [...this.#watches];
    this.#watches.clear();
    for (const { response } of open) response.socket?.destroy();
    return open.length;
  }

  /** Watches end as a server ends them when their time is over. */
  endWatches(): void {
    for (const { response } of this.#watches) response.end();
    this.#watches.clear();
  }

  /** Watches that were answered with 410. */
  expired = 0;

  get watches(): number {
    return this.#watches.size;
  }

  watchesOf(path: string): number {
    return [...this.#watches].filter((watch) => watch.path === path).length;
  }

  /** Versions up to now cannot be watched from any more. */
  forget(): void {
    this.#forgotten = Math.max(this.#forgotten, ...this.#log.map(({ event }) => versionOf(event)));
  }

  /** What happens in the cluster: into lists, into watches that are open, and into those to come. */
  play(scene: string): void {
    const { path, events } = this.#recording.scenes[scene]!;
    for (const event of events) {
      this.#apply(path, event);
      if (event.type !== 'BOOKMARK') this.#log.push({ path, event });
      for (const watch of this.#watches) if (watch.path === path) this.#send(watch, event);
    }
  }

  asked(method: string, path: string): AskedRequest[] {
    return this.requests.filter((one) => one.method === method && one.path === path);
  }

  /** An object as it is in its list now. */
  object(path: string, name: string): RecordedObject | undefined {
    return this.#recording.lists[path]?.items.find(({ metadata }) => metadata.name === name);
  }

  #apply(path: string, { type, object }: RecordedEvent): void {
    const list = this.#recording.lists[path]!;
    list.metadata.resourceVersion = object.metadata.resourceVersion;
    if (type === 'BOOKMARK') return;
    list.items = list.items.filter(({ metadata }) => metadata.name !== object.metadata.name);
    if (type !== 'DELETED') list.items.push(object);
  }

  #send(watch: OpenWatch, event: RecordedEvent): void {
    if (event.type === 'BOOKMARK' || selected(event.object, watch.selector))
      watch.response.write(`${JSON.stringify(event)}\n`);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url!, 'https://recorded');
    let text = '';
    for await (const chunk of request) text += chunk;
    const body: unknown = text === '' ? undefined : JSON.parse(text);
    const method = request.method!;
    this.requests.push({ method, path: url.pathname, query: url.searchParams, body });
    const refusal = [...this.refusals].find(([start]) => url.pathname.startsWith(start))?.[1];
    if (refusal === 'hang') return;
    if (request.headers.authorization !== `Bearer ${this.token}`) this.#refuse(response, '401');
    else if (refusal !== undefined) this.#refuse(response, refusal);
    else if (method === 'GET') this.#read(url, response);
    else this.#write(method, url.pathname, body as RecordedObject, response);
  }

  #read(url: URL, response: ServerResponse): void {
    const [, start, group = '', version, ...rest] = url.pathname.split('/');
    const path = this.#collectionOf(url.pathname);
    const list = path === undefined ? undefined : this.#recording.lists[path];
    const name = nameIn(url.pathname);
    if (start === 'apis' && !this.groups.has(group)) notFound(response);
    else if (start === 'apis' && version !== undefined && rest.length === 0)
      json(response, 200, this.#recording.discovery[group]);
    else if (path === undefined || list === undefined) notFound(response);
    else if (name !== undefined) {
      const found = list.items.find(({ metadata }) => metadata.name === name);
      if (found === undefined) this.#refuse(response, '404');
      else json(response, 200, found);
    } else if (url.searchParams.get('watch') === 'true') this.#watch(path, url.searchParams, response);
    else this.#list(list, url.searchParams, response);
  }

  #list(list: RecordedList, query: URLSearchParams, response: ServerResponse): void {
    const items = list.items.filter((item) => selected(item, query.get('fieldSelector')));
    const from = Number(query.get('continue') ?? 0);
    const to = from + Math.min(this.pageSize, Number(query.get('limit') ?? Number.POSITIVE_INFINITY));
    const metadata = { ...list.metadata, continue: to < items.length ? String(to) : '' };
    json(response, 200, { ...list, metadata, items: items.slice(from, to) });
  }

  #watch(path: string, query: URLSearchParams, response: ServerResponse): void {
    const watch = { path, selector: query.get('fieldSelector'), response };
    const from = Number(query.get('resourceVersion'));
    response.writeHead(200, { 'content-type': 'application/json', 'transfer-encoding': 'chunked' });
    response.flushHeaders();
    if (from < this.#forgotten) {
      this.expired++;
      response.end(`${JSON.stringify(this.#recording.refusals['410'])}\n`);
      return;
    }
    for (const { path: at, event } of this.#log)
      if (at === path && versionOf(event) > from) this.#send(watch, event);
    this.#watches.add(watch);
    response.on('close', () => this.#watches.delete(watch));
  }

  /** Creates, or merges into the status, of the one kind that leafd writes. */
  #write(method: string, pathname: string, body: RecordedObject, response: ServerResponse): void {
    const path = this.#collectionOf(pathname);
    const list = path === undefined ? undefined : this.#recording.lists[path];
    const found = list?.items.find(({ metadata }) => metadata.name === nameIn(pathname));
    if (list === undefined) notFound(response);
    else if (method === 'POST') {
      const made = { ...body, metadata: { ...body.metadata, resourceVersion: '7000' } };
      list.items.push(made);
      json(response, 201, made);
    } else if (found === undefined) this.#refuse(response, '404');
    else {
      found.status = body.status;
      json(response, 200, found);
    }
  }

  /** The list that a path belongs to: namespaced custom resources are kept in the list of all. */
  #collectionOf(pathname: string): string | undefined {
    const core = /^(\/api\/v1\/(?:nodes|namespaces\/[^/]+\/secrets))/.exec(pathname)?.[1];
    if (core !== undefined) return core;
    const [, group, , plural] = /^\/apis\/([^/]+\/[^/]+)(\/namespaces\/[^/]+)?\/([^/]+)/.exec(pathname) ?? [];
    return plural === undefined ? undefined : `/apis/${group}/${plural}`;
  }

  #refuse(response: ServerResponse, refusal: Refusal | '401'): void {
    if (refusal === '429') response.setHeader('retry-after', '1');
    json(response, Number(refusal), this.#recording.refusals[refusal]);
  }
}

function nameIn(pathname: string): string | undefined {
  return /^\/apis\/[^/]+\/[^/]+\/namespaces\/[^/]+\/[^/]+\/([^/]+)/.exec(pathname)?.[1];
}

function versionOf({ object }: RecordedEvent): number {
  return Number(object.metadata.resourceVersion);
}

function selected({ metadata }: RecordedObject, selector: string | null): boolean {
  return selector === null || selector === `metadata.name=${metadata.name}`;
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

/** Of a path that no API has, a server says no more than this. */
function notFound(response: ServerResponse): void {
  response.writeHead(404, { 'content-type': 'text/plain; charset=utf-8' }).end('404 page not found\n');
}
