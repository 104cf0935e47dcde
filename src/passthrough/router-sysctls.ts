// Sysctls of the router namespace: forwarding, and neighbours that tell of themselves unasked are learned. The kernel
// tells of forwarding only when somebody changes it, so that all are read twice a second, through files that stay
// open: a file below /proc/sys/net belongs to the namespace it was opened in. Each link inside forwards too, which
// `all` sets for those that are there; such a value goes with the link, and nobody wants it back. Other values of a
// namespace that somebody else made are on disk before they are changed, and come back. The host's own are never
// touched.

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

/** What a link inside is to have. */
function ofLink(name: string): DesiredSysctl[] {
  return ['ipv4', 'ipv6'].map((family) => sysctl(`net.${family}.conf.IF.forwarding`, '1', name));
}

interface Watched extends DesiredSysctl {
  /** Open for reading. */
  fd: number;
}

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
  #watched: Watched[] = [];
  /** Of links that are looked after: the ifindex by name. */
  #links = new Map<string, number>();
  readonly #buffer = Buffer.alloc(64);
  readonly #faults = new Map<string, Fault>();
  readonly #absent = new Set<string>();

  constructor(options: RouterSysctlsOptions) {
    this.#options = options;
    this.#port = kernelSysctls(options.netns);
    this.#watch(wanted);
  }

  /** The links inside that are to forward. */
  setLinks(links: ReadonlyMap<string, number>): void {
    const fresh = [...links].filter(([name, ifindex]) => this.#links.get(name) !== ifindex);
    const isSame = fresh.length === 0 && links.size === this.#links.size;
    if (isSame) return;
    const isStale = ({ link }: Watched): boolean =>
      link !== undefined && this.#links.get(link) !== links.get(link);
    for (const { fd } of this.#watched.filter(isStale)) closeSync(fd);
    this.#watched = this.#watched.filter((one) => !isStale(one));
    this.#links = new Map(links);
    this.#watch(fresh.flatMap(([name]) => ofLink(name)));
  }

  #watch(list: readonly DesiredSysctl[]): void {
    withNetns(this.#options.netns, () => {
      for (const one of list) {
        try {
          this.#watched.push({ ...one, fd: openSync(`/proc/sys/${one.path}`, 'r') });
        } catch {
          // A link may have gone since it was seen.
          if (one.link === undefined) this.#absent.add(one.key);
        }
      }
    });
  }

  /** Whether any differs from what is wanted. Cheap. */
  differs(): boolean {
    return this.#watched.some((one) => this.#differs(one));
  }

  /** Sets what differs; returns the keys that were set. */
  reconcile(): string[] {
    this.#faults.clear();
    const differing = this.#watched.filter((one) => this.#differs(one));
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
    return this.#watched.map(({ key }) => ({ key, fault: this.#faults.get(key) }));
  }

  view(): SysctlView[] {
    return this.#watched.map((one) => {
      const { key, value } = one;
      const now = this.#read(one) ?? '';
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
    for (const { fd } of this.#watched) closeSync(fd);
    this.#watched = [];
    this.#links.clear();
  }

  #differs(one: Watched): boolean {
    const now = this.#read(one);
    return now !== undefined && now !== one.value;
  }

  /** Undefined where its link is gone. */
  #read({ fd }: Watched): string | undefined {
    try {
      const length = readSync(fd, this.#buffer, 0, this.#buffer.length, 0);
      return this.#buffer.toString('latin1', 0, length).trim();
    } catch {
      return undefined;
    }
  }

  #remember(differing: readonly Watched[]): Fault | undefined {
    const { saved, save } = this.#options;
    const fresh = differing.filter(({ key, link }) => link === undefined && saved?.has(key) === false);
    if (saved === undefined || fresh.length === 0) return undefined;
    for (const one of fresh)
      saved.set(one.key, { path: one.path, before: this.#read(one) ?? '', now: one.value, ifindex: 0 });
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
