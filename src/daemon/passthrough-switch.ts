// Passthrough only where it is wanted: the code of it is loaded with the first configuration that has `passthrough:`,
// or where a former life has left a NIC in a router namespace that is to be brought home.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { NewEvent } from '../api/events.ts';
import { passthroughEvent } from '../api/passthrough-view.ts';
import type { ObjectStatus } from '../dataplane/dataplane.ts';
import type { PassthroughIntent } from '../intent/passthrough.ts';
import { LeafdError } from '../lib/leafd-error.ts';
import { PASSTHROUGH_STATE_FILE } from '../passthrough/names.ts';
import { NIC_RECORDS_FILE } from '../passthrough/nic-record.ts';
import type { PassthroughPlane } from '../passthrough/plane.ts';

export interface PassthroughSwitchParts {
  stateDir: string;
  event(event: NewEvent): void;
  kernelFailed(failures: readonly ObjectStatus[]): void;
  /** Whether a session of the fabric is up. */
  isUplinkUp(): boolean;
  /** What keeps them from coming up. */
  whyNoUplink(): string | undefined;
}

export class PassthroughSwitch {
  readonly #parts: PassthroughSwitchParts;
  #plane: PassthroughPlane | undefined;

  constructor(parts: PassthroughSwitchParts) {
    this.#parts = parts;
  }

  /** Brings namespace, NICs and veth to what is wanted; undefined: everything goes back. Rejects with LeafdError. */
  async configure(intent: PassthroughIntent | undefined): Promise<void> {
    if (intent === undefined) return this.#giveBack();
    if (this.#plane !== undefined && this.#plane.netns !== intent.netns) {
      // What cannot go back now is for the next plane, which finds it in the state directory.
      this.#plane.setIntent(undefined);
      this.#plane.close();
      this.#plane = undefined;
    }
    this.#plane ??= await this.#open(intent.netns);
    this.#plane.setIntent(intent);
  }

  /** Undefined while there is none. */
  get plane(): PassthroughPlane | undefined {
    return this.#plane;
  }

  status(): ObjectStatus[] {
    return this.#plane?.status() ?? [];
  }

  /** Everything as it was before leafd. */
  restore(): void {
    this.#plane?.restore();
  }

  /** A start that failed: NICs on trial go home, for nobody is left to look at it. All else stays as it is. */
  abandon(): void {
    if (this.#plane?.view().trial.state === 'running') this.#plane.restore();
    this.close();
  }

  /** Ends; the kernel stays as it is. */
  close(): void {
    this.#plane?.close();
  }

  async #open(netns: string): Promise<PassthroughPlane> {
    const { PassthroughPlane } = await import('../passthrough/plane.ts');
    const { stateDir, event, kernelFailed, isUplinkUp, whyNoUplink } = this.#parts;
    try {
      return new PassthroughPlane({
        netns,
        stateDir,
        isUplinkUp,
        whyNoUplink,
        onChange: kernelFailed,
        event: (one) => event(passthroughEvent(one)),
      });
    } catch (error) {
      const { code } = error as { code?: unknown };
      if (error instanceof LeafdError || typeof code !== 'string') throw error;
      // The kernel or a full disk: nothing that leafd could be wrong about.
      const text = `the router namespace ${netns} cannot be made: ${(error as Error).message}`;
      throw new LeafdError('passthrough-refused', text, { cause: error });
    }
  }

  /** What cannot go back yet is tried again by the plane, which stays for it. */
  async #giveBack(): Promise<void> {
    const netns = await this.#netnsLeft();
    if (netns === undefined) return;
    this.#plane ??= await this.#open(netns);
    this.#plane.setIntent(undefined);
    if (this.#isSomethingLeft()) return;
    this.#plane.close();
    this.#plane = undefined;
  }

  async #netnsLeft(): Promise<string | undefined> {
    if (this.#plane !== undefined) return this.#plane.netns;
    if (!this.#isSomethingLeft()) return undefined;
    const { keptNetns } = await import('../passthrough/kept.ts');
    return keptNetns(this.#parts.stateDir);
  }

  #isSomethingLeft(): boolean {
    const { stateDir } = this.#parts;
    return [PASSTHROUGH_STATE_FILE, NIC_RECORDS_FILE].some((file) => existsSync(join(stateDir, file)));
  }
}
