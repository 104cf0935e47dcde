// Where resources of OpenPERouter come from: the files of its directory, looked at every second (a mounted ConfigMap
// changes by a link that no watch on the files sees), and the API of a Kubernetes cluster, whose client is loaded where
// it is wanted. What they come to is the intent room's; this file only brings the text.

import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { readOpenperouterDirectory } from '../intent/files-openperouter.ts';
import type { Intent } from '../intent/intent.ts';
import type { OpenperouterSettings } from '../intent/load.ts';
import type { OpenperouterInput } from '../intent/openperouter.ts';
import type { InterfaceAddress, KubernetesIntent, OpenperouterIntent } from '../intent/passthrough.ts';
import type { SourceText } from '../intent/tree.ts';
import type { LeafdError } from '../lib/leafd-error.ts';
import { LinkMonitor } from '../netlink/monitor.ts';
import { netnsPath } from '../netlink/netns.ts';
import { kernelRtnl } from '../netlink/rtnl.ts';
import { keptNetns } from '../passthrough/kept.ts';
import type { KubernetesEvents, KubernetesSource } from '../passthrough/kubernetes.ts';
import type { NodeFacts } from '../passthrough/kubernetes-resources.ts';
import type { Configuration, ResourceSource } from './configuration.ts';

const LOOK_EVERY_MS = 1000;
/** How long a start waits for what the cluster has to say, when nothing of a former life is known. */
const FIRST_ANSWER_MS = 10_000;

/** What the cluster has told. */
interface Told {
  sources: readonly SourceText[];
  node: NodeFacts;
  secrets: ReadonlyMap<string, string>;
}

interface OpenperouterSourcesParts {
  stateDir: string;
  trouble(error: LeafdError): void;
  tell(text: string): void;
  /** For tests: instead of 10 s. */
  firstAnswerMs?: number;
}

export class OpenperouterSources implements ResourceSource {
  readonly #parts: OpenperouterSourcesParts;
  #changed: (() => void) | undefined;
  /** There were news before anybody could be told. */
  #isNews = false;
  #settings: OpenperouterIntent | undefined;
  #kubernetes: { key: string; source: KubernetesSource } | undefined;
  #told: Told | undefined;
  #firstAnswer: (() => void) | undefined;
  #looking: NodeJS.Timeout | undefined;
  /** Of the files, right before they were read last. */
  #seen = '';
  #closed = false;

  constructor(parts: OpenperouterSourcesParts) {
    this.#parts = parts;
  }

  /** Tells of news from now on, and at once of what came since the configuration was read last. */
  onChange(changed: () => void): void {
    this.#changed = changed;
    if (this.#isNews) changed();
  }

  /** Takes up what a configuration names, before anything follows from it. Rejects with LeafdError. */
  async begin(configuration: Configuration): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const answered = new Promise<void>((resolve) => {
      this.#firstAnswer = resolve;
      timer = setTimeout(resolve, this.#parts.firstAnswerMs ?? FIRST_ANSWER_MS);
    });
    try {
      await this.follow(configuration.intent);
      if (this.#kubernetes !== undefined) await answered;
    } finally {
      clearTimeout(timer);
      // Who answers later has news, like any other.
      this.#firstAnswer = undefined;
    }
    if (this.#kubernetes !== undefined) await configuration.refresh();
  }

  /** Follows a changed configuration. */
  async follow({ passthrough, node }: Intent): Promise<void> {
    const settings = passthrough?.openperouter;
    this.#settings = settings;
    await this.#followKubernetes(settings?.kubernetes, node.name);
    if (settings === undefined) {
      clearInterval(this.#looking);
      this.#looking = undefined;
    } else if (this.#looking === undefined && !this.#closed) {
      this.#looking = setInterval(() => this.#lookAgain(), LOOK_EVERY_MS);
      this.#looking.unref();
    }
  }

  input({ directory, node }: OpenperouterSettings): OpenperouterInput | undefined {
    const labels = { ...node.labels, ...this.#told?.node.labels };
    const host = {
      hostname: node.name,
      labels,
      addressesOf: (name: string) => addressesOf(name, this.#parts.stateDir),
    };
    this.#seen = signatureOf(directory);
    this.#isNews = false;
    const files = readOpenperouterDirectory(directory, host);
    if (this.#told === undefined) return files;
    const { sources, secrets } = this.#told;
    const index = this.#told.node.index ?? files.node.index;
    return {
      ...files,
      sources: [...files.sources, ...sources],
      node: { ...files.node, index, labels: { ...files.node.labels, ...labels } },
      secrets,
    };
  }

  /** Tells the cluster how its resources fared. */
  report(status: object): void {
    this.#kubernetes?.source.report(status);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#looking);
    await this.#kubernetes?.source.close();
  }

  async #followKubernetes(intent: KubernetesIntent | undefined, nodeName: string): Promise<void> {
    const key = JSON.stringify([intent, nodeName]);
    if (this.#kubernetes?.key === key) return;
    await this.#kubernetes?.source.close();
    this.#kubernetes = undefined;
    if (intent === undefined && this.#told !== undefined) {
      // The configuration that leaves the cluster was still read with what it had told.
      this.#told = undefined;
      this.#news();
    }
    if (intent === undefined || this.#closed) return;
    const { KubernetesSource } = await import('../passthrough/kubernetes.ts');
    const { stateDir, trouble, tell } = this.#parts;
    const changed: KubernetesEvents['changed'] = (sources, node, secrets) => {
      this.#told = { sources, node, secrets };
      if (this.#firstAnswer === undefined) this.#news();
      else this.#firstAnswer();
    };
    const wanted = { ...intent, nodeName: intent.node ?? process.env.NODE_NAME ?? nodeName };
    const source = new KubernetesSource(wanted, { changed, trouble, tell }, { stateDir });
    this.#kubernetes = { key, source };
    await source.start();
  }

  #lookAgain(): void {
    if (this.#settings !== undefined && signatureOf(this.#settings.directory) !== this.#seen) this.#news();
  }

  #news(): void {
    this.#isNews = true;
    this.#changed?.();
  }
}

/** Names, times and sizes of all files there: another one means that there may be news. */
function signatureOf(directory: string): string {
  const seen: string[] = [];
  for (const folder of [directory, join(directory, 'configs')])
    try {
      for (const name of readdirSync(folder).sort()) {
        const found = statSync(join(folder, name), { throwIfNoEntry: false });
        if (found?.isFile()) seen.push(`${folder}/${name} ${found.mtimeMs} ${found.size} ${found.ino}`);
      }
    } catch (error) {
      seen.push(`${folder} ${(error as NodeJS.ErrnoException).code}`);
    }
  return seen.join('\n');
}

/** Addresses of an interface of this machine, which may have moved into the router namespace. */
function addressesOf(name: string, stateDir: string): InterfaceAddress[] {
  const home = addressesIn(name, undefined);
  const netns = keptNetns(stateDir);
  if (home.length > 0 || netns === undefined || !existsSync(netnsPath(netns))) return home;
  return addressesIn(name, netns);
}

function addressesIn(name: string, netns: string | undefined): InterfaceAddress[] {
  const rtnl = kernelRtnl(netns);
  const links = new LinkMonitor(rtnl);
  try {
    const link = links.linkByName(name);
    if (link === undefined) return [];
    return links.addresses(link.ifindex).map(({ bytes, prefixLength }) => ({ bytes, prefixLength }));
  } finally {
    links.close();
    rtnl.close();
  }
}
