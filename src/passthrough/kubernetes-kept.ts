// What was known of a Kubernetes cluster, on disk: a node that starts while the API server is away (often because this
// very node's network leads there) has its passthrough from the last life. Readable by root only: there are
// passwords in it. A file that is damaged, newer, or of another cluster is as good as none.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeWholeLater } from '../lib/atomic-file-real.ts';
import type { ApiObject } from './kubernetes-resources.ts';

const SCHEMA = 1;
const FILE = 'kubernetes.json';
const BYTES_MAX = 64 << 20;

export interface KeptCluster {
  /** Which cluster and node it is about: what is kept of another one is not used. */
  of: string;
  /** Objects by key of their collection; a collection that is not there was not known. */
  collections: Readonly<Record<string, readonly ApiObject[]>>;
}

export function readKeptCluster(stateDir: string, of: string): KeptCluster | undefined {
  try {
    const text = readFileSync(join(stateDir, FILE), 'utf8');
    if (text.length > BYTES_MAX) return undefined;
    const kept = JSON.parse(text) as KeptCluster & { schema?: number };
    const whole =
      kept.schema === SCHEMA &&
      kept.of === of &&
      Object.values(kept.collections).every((list) => list.every(({ metadata }) => metadata.name !== ''));
    return whole ? { of, collections: kept.collections } : undefined;
  } catch {
    return undefined;
  }
}

/** Writes the last of what it is given, one at a time. */
export class KeptClusterWriter {
  readonly #stateDir: string;
  readonly #failed: (error: Error) => void;
  #next: KeptCluster | undefined;
  #written = '';
  #running: Promise<void> | undefined;

  constructor(stateDir: string, failed: (error: Error) => void) {
    this.#stateDir = stateDir;
    this.#failed = failed;
  }

  keep(kept: KeptCluster): void {
    this.#next = kept;
    this.#running ??= this.#write().finally(() => {
      this.#running = undefined;
    });
  }

  /** When what was given last is on disk. */
  async done(): Promise<void> {
    await this.#running;
  }

  async #write(): Promise<void> {
    while (this.#next !== undefined) {
      const text = `${JSON.stringify({ schema: SCHEMA, ...this.#next })}\n`;
      this.#next = undefined;
      if (text === this.#written) continue;
      try {
        await writeWholeLater(join(this.#stateDir, FILE), text, 0o600);
        this.#written = text;
      } catch (error) {
        this.#failed(error as Error);
      }
    }
  }
}
