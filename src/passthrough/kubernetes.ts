// Resources of OpenPERouter from the Kubernetes API: a collection for each kind that is installed, in both groups; this
// node, for its labels and its index; and the Secrets that neighbours name, no others. After each change the whole set
// goes to `changed`, at most once in `debounceMs` and only when it is another one than before.
//
// A set is handed on when every part of it has settled: listed, kept from the last life, or not to be had (its kind is
// not installed, the service account may not read it). So an API server that is away, slow or half started never
// takes a session down; it only delays news. What went wrong is told once, until it went well again.

import { isDeepStrictEqual } from 'node:util';
import type { KubernetesIntent } from '../intent/passthrough.ts';
import type { SourceText } from '../intent/tree.ts';
import { LeafdError } from '../lib/leafd-error.ts';
import type { KubernetesApi } from './kubernetes-client.ts';
import type { Collection, CollectionOptions, Timing } from './kubernetes-collection.ts';
import { type KeptCluster, KeptClusterWriter, readKeptCluster } from './kubernetes-kept.ts';
import type { StatusReport } from './kubernetes-report.ts';
import {
  type ApiObject,
  collectionKey,
  configurationOf,
  GROUPS,
  type NodeFacts,
  nodeFacts,
  nodePartOf,
  passwordsOf,
  RESOURCE_TYPES,
  type ResourceType,
  STATUS_PLURAL,
  secretPartOf,
  secretReferences,
  sourcesOf,
  typePath,
  VERSION,
} from './kubernetes-resources.ts';

export interface KubernetesEvents {
  /** The whole set, `NAMESPACE/NAME` to password of the Secrets. */
  changed(sources: readonly SourceText[], node: NodeFacts, secrets: ReadonlyMap<string, string>): void;
  /** Told once, until it went well again. */
  trouble(error: LeafdError): void;
  /** What was told as trouble is over. */
  tell?(text: string): void;
}

export interface KubernetesOptions {
  /** Absent: nothing outlives the process. */
  stateDir?: string;
  timing?: Partial<Timing>;
  /** Before the paths of a service account; for tests. */
  serviceAccountRoot?: string;
}

const TIMING: Timing = {
  requestMs: 15_000,
  watchMs: 300_000,
  retryFirstMs: 1000,
  retryLongestMs: 30_000,
  absentMs: 60_000,
  debounceMs: 200,
  reportMs: 5000,
};

/** OpenPERouter's own; the status goes there when no Underlay says where else. */
const DEFAULT_NAMESPACE = 'openperouter-system';

/** The parts that are loaded with the client of the API, which is large. */
interface Loaded {
  api: KubernetesApi;
  Collection: typeof Collection;
  ApiFault: typeof import('./kubernetes-client.ts').ApiFault;
  sleepUnless: typeof import('./kubernetes-collection.ts').sleepUnless;
}

export class KubernetesSource {
  readonly #intent: KubernetesIntent & { nodeName: string };
  readonly #events: KubernetesEvents;
  readonly #options: KubernetesOptions;
  readonly #timing: Timing;
  readonly #end = new AbortController();
  /** Which cluster and node what is kept is about. */
  readonly #of: string;
  readonly #kept: KeptCluster | undefined;
  readonly #keeper: KeptClusterWriter | undefined;
  readonly #kinds = new Map<ResourceType, Collection>();
  readonly #secrets = new Map<string, Collection>();
  /** Plurals that a group has; absent: not known yet. */
  readonly #installed = new Map<string, ReadonlySet<string>>();
  /** What was told, by topic: the code, and who has not been well since. */
  readonly #told = new Map<string, { code: string; by: Set<string> }>();
  readonly #discovering: Promise<void>[] = [];
  #loaded: Loaded | undefined;
  #node: Collection | undefined;
  #report: StatusReport | undefined;
  #debounce: NodeJS.Timeout | undefined;
  #emitted: unknown;
  #closing: Promise<void>[] = [];

  constructor(
    intent: KubernetesIntent & { nodeName: string },
    events: KubernetesEvents,
    options: KubernetesOptions = {},
  ) {
    this.#intent = intent;
    this.#events = events;
    this.#options = options;
    this.#timing = { ...TIMING, ...options.timing };
    const { kubeconfig = '', namespace = '', nodeName } = intent;
    this.#of = [kubeconfig, namespace, nodeName].join(' ');
    const { stateDir } = options;
    if (stateDir === undefined) return;
    this.#kept = readKeptCluster(stateDir, this.#of);
    this.#keeper = new KeptClusterWriter(stateDir, ({ message }) => {
      const error = new LeafdError('kubernetes-state', `cannot keep what the cluster says: ${message}`);
      this.#tellOnce('kept', 'kept', error);
    });
  }

  /** Hands on what is kept, and begins to watch. Comes back before the API server has answered. */
  async start(): Promise<void> {
    const [client, collection, report] = await Promise.all([
      import('./kubernetes-client.ts'),
      import('./kubernetes-collection.ts'),
      import('./kubernetes-report.ts'),
    ]);
    if (this.#end.signal.aborted) return;
    const api = new client.KubernetesApi({
      kubeconfig: this.#intent.kubeconfig,
      requestMs: this.#timing.requestMs,
      serviceAccountRoot: this.#options.serviceAccountRoot,
    });
    const { ApiFault } = client;
    this.#loaded = { api, ApiFault, Collection: collection.Collection, sleepUnless: collection.sleepUnless };
    this.#report = new report.StatusReport({
      api,
      nodeName: this.#intent.nodeName,
      namespace: () => this.#statusNamespace(),
      everyMs: this.#timing.reportMs,
      retryMs: this.#timing.retryLongestMs,
      group: () => GROUPS.find((group) => this.#installed.get(group)?.has(STATUS_PLURAL)),
      nodeUid: () => this.#nodeObject()?.metadata.uid,
      fault: (error) => this.#fault('status', 'the status of this node', error),
    });
    this.#node = this.#open({
      path: '/api/v1/nodes',
      fieldSelector: `metadata.name=${this.#intent.nodeName}`,
      part: nodePartOf,
    });
    for (const type of RESOURCE_TYPES) {
      const path = typePath(type, this.#intent.namespace);
      if (this.#kept?.collections[path] !== undefined) this.#openKind(type);
    }
    for (const group of GROUPS) this.#discovering.push(this.#discover(group));
    this.#settle();
  }

  /** Writes the status of this node, of the shape of RouterNodeConfigurationStatus or its `status`; best effort. */
  report(status: object): void {
    this.#report?.report(status);
  }

  async close(): Promise<void> {
    this.#end.abort();
    clearTimeout(this.#debounce);
    const open = [this.#node, ...this.#kinds.values(), ...this.#secrets.values()];
    await Promise.all([...open.map((one) => one?.close()), ...this.#closing, ...this.#discovering]);
    await this.#report?.close();
    await this.#keeper?.done();
  }

  /** Looks which kinds a group has, until it has all of them. */
  async #discover(group: string): Promise<void> {
    const { api, ApiFault, sleepUnless } = this.#loaded!;
    const { signal } = this.#end;
    const types = RESOURCE_TYPES.filter((type) => type.group === group);
    let waitMs = this.#timing.retryFirstMs;
    while (!signal.aborted) {
      try {
        const list = (await api.get(`/apis/${group}/${VERSION}`, {}, signal)) as {
          resources?: readonly { name?: string }[];
        };
        this.#found(group, new Set((list.resources ?? []).map(({ name = '' }) => name)), types);
        waitMs = this.#timing.absentMs;
      } catch (error) {
        if (signal.aborted) return;
        const status = error instanceof ApiFault ? error.status : 0;
        if (status === 404) this.#found(group, new Set(), types);
        // Who may not ask which kinds there are may read them perhaps.
        else if (status === 403) this.#found(group, new Set(types.map(({ plural }) => plural)), types);
        else this.#fault(group, group, error);
        const known = status === 404 || status === 403;
        waitMs = known ? this.#timing.absentMs : Math.min(waitMs * 2, this.#timing.retryLongestMs);
      }
      if (types.every((type) => this.#kinds.has(type)) && this.#installed.get(group)?.has(STATUS_PLURAL))
        return;
      await sleepUnless(waitMs * (0.5 + 0.5 * Math.random()), signal);
    }
  }

  #found(group: string, plurals: ReadonlySet<string>, types: readonly ResourceType[]): void {
    const before = this.#installed.get(group);
    this.#installed.set(group, plurals);
    this.#well(group);
    for (const type of types) if (plurals.has(type.plural)) this.#openKind(type);
    if (before === undefined) this.#changed();
    if (plurals.has(STATUS_PLURAL) && before?.has(STATUS_PLURAL) !== true) this.#report?.retry();
  }

  #openKind(type: ResourceType): void {
    if (this.#kinds.has(type) || this.#end.signal.aborted) return;
    const path = typePath(type, this.#intent.namespace);
    this.#kinds.set(type, this.#open({ path, part: configurationOf }));
  }

  #open(what: Pick<CollectionOptions, 'path' | 'fieldSelector' | 'part'>): Collection {
    const { api, Collection } = this.#loaded!;
    const key = collectionKey(what.path, what.fieldSelector);
    return new Collection({
      ...what,
      api,
      kept: this.#kept?.collections[key],
      timing: this.#timing,
      events: {
        changed: () => this.#changed(),
        fault: (error, { path }) => this.#fault(key, path, error),
        dropped: (id, why) => this.#dropped(`${key} ${id}`, id, why),
        well: () => this.#well(key),
      },
    });
  }

  #changed(): void {
    if (this.#end.signal.aborted) return;
    this.#debounce ??= setTimeout(() => {
      this.#debounce = undefined;
      this.#settle();
    }, this.#timing.debounceMs);
  }

  /** Watches the Secrets that are named now, and hands the set on when all of it is known. */
  #settle(): void {
    const references = secretReferences(this.#underlays());
    this.#watchSecrets(references);
    const kinds = [...this.#kinds].map(([type, collection]) => ({
      type,
      collection,
      objects: collection.objects,
    }));
    const known = this.#kept !== undefined || GROUPS.every((group) => this.#installed.has(group));
    const all = [this.#node!, ...this.#secrets.values(), ...this.#kinds.values()];
    if (!known || !all.every((one) => one.settled)) return;
    if (this.#node!.state !== 'unknown' && this.#nodeObject() === undefined)
      this.#tellOnce(
        'node',
        'node',
        new LeafdError('kubernetes-node', `the cluster has no node ${this.#intent.nodeName}`, {
          hint: 'passthrough.openperouter.kubernetes.node names this node as the cluster does',
        }),
      );
    else this.#well('node');
    const sources = sourcesOf(kinds);
    const node = nodeFacts(this.#nodeObject());
    const secrets = passwordsOf(references, (id) => this.#secrets.get(id)?.get(id), fromBase64);
    const set = { sources, node, secrets };
    if (isDeepStrictEqual(set, this.#emitted)) return;
    this.#emitted = set;
    this.#keep();
    this.#events.changed(sources, node, secrets);
    this.#report?.retry();
  }

  #watchSecrets(references: ReturnType<typeof secretReferences>): void {
    for (const [id, { namespace, name }] of references) {
      if (this.#secrets.has(id)) continue;
      const path = `/api/v1/namespaces/${namespace}/secrets`;
      this.#secrets.set(id, this.#open({ path, fieldSelector: `metadata.name=${name}`, part: secretPartOf }));
    }
    for (const [id, collection] of this.#secrets) {
      if (references.has(id)) continue;
      this.#secrets.delete(id);
      this.#well(collection.key);
      const closed = collection.close().finally(() => {
        this.#closing = this.#closing.filter((one) => one !== closed);
      });
      this.#closing.push(closed);
    }
  }

  #keep(): void {
    const open = [this.#node!, ...this.#secrets.values(), ...this.#kinds.values()];
    const collections = Object.fromEntries(open.map((one) => [one.key, [...one.objects]]));
    this.#keeper?.keep({ of: this.#of, collections });
  }

  #underlays(): ApiObject[] {
    return [...this.#kinds].flatMap(([{ kind }, { objects }]) => (kind === 'Underlay' ? [...objects] : []));
  }

  #nodeObject(): ApiObject | undefined {
    return this.#node === undefined ? undefined : [...this.#node.objects][0];
  }

  #statusNamespace(): string {
    const beside = this.#underlays()[0]?.metadata.namespace;
    return this.#intent.namespace ?? beside ?? DEFAULT_NAMESPACE;
  }

  /** Tells what went wrong at `key`; what concerns the server as a whole is told for all together. */
  #fault(key: string, what: string, error: unknown): void {
    const { server } = this.#loaded!.api;
    const status = error instanceof this.#loaded!.ApiFault ? error.status : -1;
    const text = error instanceof Error ? error.message : String(error);
    const tell = (topic: string, code: string, message: string, hint?: string): void =>
      this.#tellOnce(topic, key, new LeafdError(code, message, { cause: error, ...(hint ? { hint } : {}) }));
    if (error instanceof LeafdError) this.#tellOnce('server', key, error);
    else if (status === 401)
      tell(
        'server',
        'kubernetes-unauthorized',
        `${server} does not know who we are: ${text}`,
        'has the token or certificate expired?',
      );
    else if (status === 0)
      tell(
        'server',
        'kubernetes-unreachable',
        `no answer from ${server}: ${text}`,
        'what was known of it stays in force',
      );
    else if (status === 403)
      tell(
        key,
        'kubernetes-forbidden',
        `${server}: ${text}`,
        'packaging/kubernetes/rbac.yaml has what is needed',
      );
    else tell(key, 'kubernetes-answer', `${server}: ${what}: ${text}`);
  }

  #dropped(topic: string, id: string, why: string | undefined): void {
    if (why === undefined) this.#well(topic);
    else
      this.#tellOnce(topic, topic, new LeafdError('kubernetes-limit', `${id} ${why}: it is not looked at`));
  }

  #tellOnce(topic: string, by: string, error: LeafdError): void {
    if (this.#end.signal.aborted) return;
    const told = this.#told.get(topic);
    if (told?.code === error.code) {
      told.by.add(by);
      return;
    }
    this.#told.set(topic, { code: error.code, by: new Set([by]) });
    this.#events.trouble(error);
  }

  /** All is well at `by`: what was told is over when that holds for everyone who had it. */
  #well(by: string): void {
    for (const [topic, told] of this.#told) {
      if (!told.by.delete(by) || told.by.size > 0) continue;
      this.#told.delete(topic);
      this.#events.tell?.(`${told.code} is over${topic === 'server' ? '' : `: ${topic}`}`);
    }
  }
}

function fromBase64(text: string): string {
  return Buffer.from(text, 'base64').toString('utf8');
}
