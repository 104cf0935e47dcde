// Sysctls of the router namespace: forwarding, and neighbours that tell of themselves unasked are learned. The kernel
// tells nothing when somebody changes one, so that all are read twice a second, through files that stay open: a file
// below /proc/sys/net belongs to the namespace it was opened in. Values of a namespace that somebody else made are on
// disk before they are changed, and come back. The host's own are never touched.

import { closeSync, openSync, readSync } from 'node:fs';
import type { SysctlView } from '../dataplane/dataplane.ts';
import type { SavedSysctl } from '../dataplane/delta.ts';
import { type DesiredSysctl, sysctl } from '../dataplane/desired.ts';
import { kernelSysctls, restoreSysctl, type SysctlPort } from '../dataplane/sysctl.ts';
import { withNetns } from '../netlink/netns.ts';
import { type Fault, faultOf } from './fault.ts';

/** Since Linux 5.18; what an older kernel lacks is told as a warning. */
const UNTRACKED = 'accept_untracked_na';

const wanted: readonly DesiredSysctl[] = [
  // Forwarding first, because the kernel resets other values with it.
  sysctl('net.ipv4.ip_forward', '1'),
  sysctl('net.ipv6.conf.all.forwarding', '1'),
  // `default` is what links get that are made or moved in later.
  sysctl('net.ipv4.conf.all.arp_accept', '1'),
  sysctl('net.ipv4.conf.default.arp_accept', '1'),
  sysctl(`net.ipv6.conf.all.${UNTRACKED}`, '1'),
  sysctl(`net.ipv6.conf.default.${UNTRACKED}`, '1'),
];

export interface RouterSysctlsOptions {
  /** Path of the namespace. */
  netns: string;
  /** Where originals are remembered, or undefined where they die with the namespace. */
  saved: Map<string, SavedSysctl> | undefined;
  /** Writes `saved` down. Throws the file system's error. */
  save: () => void;
}

export class RouterSysctls {
  readonly #options: RouterSysctlsOptions;
  readonly #port: SysctlPort;
  readonly #files = new Map<string, number>();
  readonly #buffer = Buffer.alloc(64);
  readonly #faults = new Map<string, Fault>();
  readonly #absent = new Set<string>();

  constructor(options: RouterSysctlsOptions) {
    this.#options = options;
    this.#port = kernelSysctls(options.netns);
    withNetns(options.netns, () => {
      for (const { key, path } of wanted) {
        try {
          this.#files.set(key, openSync(`/proc/sys/${path}`, 'r'));
        } catch {
          this.#absent.add(key);
        }
      }
    });
  }

  /** Whether any differs from what is wanted. Cheap. */
  differs(): boolean {
    return wanted.some(({ key, value }) => this.#files.has(key) && this.#read(key) !== value);
  }

  /** Sets what differs; returns the keys that were set. */
  reconcile(): string[] {
    this.#faults.clear();
    const differing = wanted.filter(({ key, value }) => this.#files.has(key) && this.#read(key) !== value);
    if (differing.length === 0) return [];
    const unsaved = this.#remember(differing);
    const done: string[] = [];
    for (const { key, path, value } of differing) {
      const fault = unsaved ?? this.#set(path, value);
      if (fault) this.#faults.set(key, fault);
      else done.push(key);
    }
    return done;
  }

  /** What is wanted, and what went wrong with it. */
  status(): { key: string; fault: Fault | undefined }[] {
    const present = wanted.filter(({ key }) => !this.#absent.has(key));
    return present.map(({ key }) => ({ key, fault: this.#faults.get(key) }));
  }

  view(): SysctlView[] {
    return wanted
      .filter(({ key }) => this.#files.has(key))
      .map(({ key, value }) => {
        const now = this.#read(key);
        const saved = this.#options.saved?.get(key);
        return { key, before: saved?.before ?? now, now, wanted: value, changed: saved !== undefined };
      });
  }

  warnings(): string[] {
    const lacking = [...this.#absent].filter((key) => key.includes(UNTRACKED));
    const others = [...this.#absent].filter((key) => !key.includes(UNTRACKED));
    const warnings = others.map((key) => `the kernel has no ${key}`);
    if (lacking.length > 0)
      warnings.push(
        `the kernel has no ${UNTRACKED} (Linux 5.18): IPv6 neighbours that moved are found by asking, which is slower`,
      );
    return warnings;
  }

  /** Gives back what was changed in a namespace of somebody else's; returns how many. */
  restore(): number {
    const { saved } = this.#options;
    let restored = 0;
    for (const one of saved?.values() ?? []) {
      try {
        if (restoreSysctl(this.#port, one, 0)) restored++;
      } catch {
        // Read-only now: it cannot be restored by us.
      }
    }
    saved?.clear();
    return restored;
  }

  close(): void {
    for (const fd of this.#files.values()) closeSync(fd);
    this.#files.clear();
  }

  #read(key: string): string {
    try {
      const length = readSync(this.#files.get(key)!, this.#buffer, 0, this.#buffer.length, 0);
      return this.#buffer.toString('latin1', 0, length).trim();
    } catch {
      return '';
    }
  }

  #remember(differing: readonly DesiredSysctl[]): Fault | undefined {
    const { saved, save } = this.#options;
    const fresh = differing.filter(({ key }) => saved !== undefined && !saved.has(key));
    if (saved === undefined || fresh.length === 0) return undefined;
    for (const { key, path, value } of fresh)
      saved.set(key, { path, before: this.#read(key), now: value, ifindex: 0 });
    try {
      save();
      return undefined;
    } catch (error) {
      for (const { key } of fresh) saved.delete(key);
      return faultOf(error);
    }
  }

  #set(path: string, value: string): Fault | undefined {
    try {
      this.#port.write(path, value);
      return undefined;
    } catch (error) {
      return faultOf(error);
    }
  }
}
