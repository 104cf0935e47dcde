// Tells the cluster how this node's configuration fares: the RouterNodeConfigurationStatus that is named as the node,
// made when it is not there and owned by the node, in the newest group that has the kind. Best effort: a cluster
// that does not want to know is told again with the next change, and never more often than `everyMs`.

import { isDeepStrictEqual } from 'node:util';
import { ApiFault, type KubernetesApi } from './kubernetes-client.ts';
import { sleepUnless } from './kubernetes-collection.ts';
import { STATUS_KIND, STATUS_PLURAL, VERSION } from './kubernetes-resources.ts';

export interface StatusReportOptions {
  api: Pick<KubernetesApi, 'get' | 'post' | 'mergePatch'>;
  nodeName: string;
  /** Where the object is: beside the resources that it is about. */
  namespace: () => string;
  everyMs: number;
  retryMs: number;
  /** The group that has the kind; undefined: none, or not known yet. */
  group: () => string | undefined;
  /** Of the node object, once it is known. */
  nodeUid: () => string | undefined;
  fault: (error: unknown) => void;
}

/** Failures that are told at most, and letters of a message. */
const FAILED_MAX = 100;
const MESSAGE_MAX = 1024;
/** What changes with time only is no news. */
const TIMES = new Set(['lastUpdateTime', 'lastTransitionTime']);

export class StatusReport {
  readonly #options: StatusReportOptions;
  readonly #end = new AbortController();
  #wanted: object | undefined;
  #told: unknown;
  #running: Promise<void> | undefined;

  constructor(options: StatusReportOptions) {
    this.#options = options;
  }

  report(status: object): void {
    if (this.#end.signal.aborted) return;
    this.#wanted = status;
    this.#running ??= this.#tell().finally(() => {
      this.#running = undefined;
    });
  }

  /** The cluster can be asked again, or has the kind now. */
  retry(): void {
    if (this.#wanted !== undefined) this.report(this.#wanted);
  }

  async close(): Promise<void> {
    this.#end.abort();
    await this.#running;
  }

  async #tell(): Promise<void> {
    const { signal } = this.#end;
    while (!signal.aborted) {
      const status = this.#wanted;
      const group = this.#options.group();
      if (status === undefined || group === undefined) return;
      const news = { group, namespace: this.#options.namespace(), status: timeless(status) };
      if (isDeepStrictEqual(news, this.#told)) return;
      try {
        await this.#write(group, status);
        this.#told = news;
      } catch (error) {
        if (signal.aborted) return;
        // A refusal stays one until something else changes; a server that is away will be back.
        this.#options.fault(error);
        if (error instanceof ApiFault && error.status >= 400 && error.status < 500) this.#told = news;
        await sleepUnless(this.#options.retryMs, signal);
      }
      await sleepUnless(this.#options.everyMs, signal);
    }
  }

  async #write(group: string, status: object): Promise<void> {
    const { api, nodeName } = this.#options;
    const { signal } = this.#end;
    const namespace = encodeURIComponent(this.#options.namespace());
    const all = `/apis/${group}/${VERSION}/namespaces/${namespace}/${STATUS_PLURAL}`;
    const own = `${all}/${encodeURIComponent(nodeName)}`;
    let before: unknown;
    try {
      before = await api.get(own, {}, signal);
    } catch (error) {
      if (!(error instanceof ApiFault) || error.status !== 404) throw error;
      await this.#make(all, group);
    }
    await api.mergePatch(`${own}/status`, { status: statusBody(status, before) }, signal);
  }

  async #make(all: string, group: string): Promise<void> {
    const { api, nodeName, namespace, nodeUid } = this.#options;
    const uid = nodeUid();
    const owner = { apiVersion: 'v1', kind: 'Node', name: nodeName, uid };
    const owned = uid === undefined ? {} : { ownerReferences: [owner] };
    const object = {
      apiVersion: `${group}/${VERSION}`,
      kind: STATUS_KIND,
      metadata: { name: nodeName, namespace: namespace(), ...owned },
    };
    try {
      await api.post(all, object, this.#end.signal);
    } catch (error) {
      // Somebody else has made it meanwhile.
      if (!(error instanceof ApiFault) || error.status !== 409) throw error;
    }
  }
}

interface Condition {
  type: string;
  status: string;
  message?: string;
  lastTransitionTime?: string;
}

interface StatusPart {
  conditions?: readonly Condition[];
  failedResources?: readonly { message?: string }[];
}

/** What the kind has room for. A condition says since when it is so: what the cluster has of it, or now. */
function statusBody(given: object, before: unknown): StatusPart {
  const part = ('status' in given ? given.status : given) as StatusPart;
  const old = (before as { status?: StatusPart } | undefined)?.status?.conditions ?? [];
  const now = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
  const cut = <Told extends { message?: string }>(told: Told): Told =>
    told.message === undefined ? told : { ...told, message: told.message.slice(0, MESSAGE_MAX) };
  return {
    conditions: (part.conditions ?? []).map((one) => {
      const same = old.find(({ type, status }) => type === one.type && status === one.status);
      return { ...cut(one), lastTransitionTime: same?.lastTransitionTime ?? one.lastTransitionTime ?? now };
    }),
    failedResources: (part.failedResources ?? []).slice(0, FAILED_MAX).map(cut),
  };
}

function timeless(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(timeless);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([key]) => !TIMES.has(key));
  return Object.fromEntries(entries.map(([key, inner]) => [key, timeless(inner)]));
}
