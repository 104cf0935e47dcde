// Guests only where there are any: the code that looks after them is loaded with the first configuration that has
// `guests:`, or where a former life of leafd has left something of them to take back. A leaf without guests pays
// nothing for them.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { GuestsBackend } from '../api/backend.ts';
import type { ObjectStatus } from '../dataplane/dataplane.ts';
import { GUEST_BRIDGE_ALIAS, GUEST_STATE_FILE } from '../dataplane/guest-wish.ts';
import type { Heard } from '../guests/ports.ts';
import type { Intent } from '../intent/intent.ts';
import type { Link } from '../netlink/link.ts';
import type { GuestKeeper, GuestKeeperParts } from './guest-keeper.ts';

export class GuestSwitch {
  readonly #parts: GuestKeeperParts;
  #keeper: GuestKeeper | undefined;
  /** Changes come one after the other, for each may have to wait for the code. */
  #turn: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(parts: GuestKeeperParts) {
    this.#parts = parts;
  }

  /** Takes up what a former life left, or follows a changed configuration. Rejects with LeafdError or SysError. */
  configure(intent: Intent): Promise<void> {
    const turn = this.#turn.then(() => this.#configure(intent));
    this.#turn = turn.catch(() => {});
    return turn;
  }

  heard(address: Uint8Array, heard: Heard | undefined): void {
    this.#keeper?.heard(address, heard);
  }

  /** What the API asks; undefined while there are no guests. */
  get backend(): GuestsBackend | undefined {
    return this.#keeper?.backend;
  }

  status(): ObjectStatus[] {
    return this.#keeper?.status() ?? [];
  }

  /** Ends; the kernel stays as it is. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#turn;
    await this.#keeper?.close();
  }

  async #configure(intent: Intent): Promise<void> {
    if (this.#closed) return;
    if (this.#keeper !== undefined) {
      await this.#keeper.configure(intent);
      return;
    }
    const { stateDir, monitor } = this.#parts;
    if (intent.guests === undefined && !isSomethingLeft(stateDir, monitor.links)) return;
    const { GuestKeeper } = await import('./guest-keeper.ts');
    this.#keeper = new GuestKeeper(intent, this.#parts);
    await this.#keeper.begin();
  }
}

/** Whether a life with guests has left something in the kernel: settings to take back, or a bridge of its own. */
export function isSomethingLeft(stateDir: string, links: ReadonlyMap<number, Pick<Link, 'alias'>>): boolean {
  if (existsSync(join(stateDir, GUEST_STATE_FILE))) return true;
  return [...links.values()].some(({ alias }) => alias === GUEST_BRIDGE_ALIAS);
}
