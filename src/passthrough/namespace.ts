// The router namespace: made, or adopted where somebody made it, and held by a descriptor, through which everything of
// leafd enters it. So `ip netns delete` while leafd runs takes away no more than the name, and the name is given back:
// /run/netns is watched, and looked at now and then, because an unmount alone is no event. Another namespace that
// somebody mounted under the name is told, not fought over. Only a namespace of our own is ever removed, and only when
// nothing of anybody else's is in it.

import {
  closeSync,
  existsSync,
  type FSWatcher,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  watch,
} from 'node:fs';
import { dirname } from 'node:path';
import { LeafdError } from '../lib/leafd-error.ts';
import type { Link } from '../netlink/link.ts';
import {
  createNetns,
  isNetnsMounted,
  nameNetns,
  netnsCookie,
  netnsInode,
  netnsPath,
  removeNetns,
} from '../netlink/netns.ts';
import { faultOf } from './fault.ts';
import type { KeptNamespace } from './kept.ts';

/** Devices that the kernel puts into every new namespace once their modules are loaded. */
const KERNEL_LINKS: ReadonlySet<string> = new Set([
  ...['lo', 'tunl0', 'gre0', 'gretap0', 'erspan0', 'ip_vti0', 'ip6_vti0', 'sit0', 'ip6tnl0', 'ip6gre0'],
]);
const PROCESSES_TOLD = 3;

export interface NamespaceLook {
  /** `repaired`: its name was gone and is back. `foreign`: another namespace has the name. */
  state: 'present' | 'repaired' | 'foreign' | 'error';
  errno?: string;
  text?: string;
}

export class RouterNamespace {
  readonly name: string;
  /** Enters it whatever becomes of the name; for `withNetns` and all that take a namespace's path. */
  readonly path: string;
  /** An open descriptor of it. */
  readonly fd: number;
  readonly inode: number;
  /** leafd made it, in this life or a former one. */
  readonly made: boolean;
  /** It is the one that a former life had. */
  readonly wasKept: boolean;
  readonly #cookie: string;
  #watcher: FSWatcher | undefined;
  #closed = false;

  /** Makes it or adopts what is there. Throws LeafdError `netns-refused`, SysError. */
  constructor(name: string, kept: KeptNamespace | undefined) {
    this.name = name;
    const created = !isNetnsMounted(name);
    if (created) makeNamed(name);
    this.fd = openNamespace(name);
    this.path = `/proc/self/fd/${this.fd}`;
    try {
      this.inode = netnsInode(this.path);
      this.#cookie = netnsCookie(this.path);
    } catch (error) {
      closeSync(this.fd);
      throw error;
    }
    this.wasKept = kept !== undefined && this.#isSame(kept);
    this.made = created || (this.wasKept && kept?.made === true);
  }

  kept(): KeptNamespace {
    const { name, made, inode } = this;
    return { name, made, inode, cookie: this.#cookie, bootId: bootId() };
  }

  /** Calls back when something happens below /run/netns; the watch is begun anew where it could not last. */
  watch(onChange: () => void): void {
    if (this.#watcher || this.#closed) return;
    try {
      const watcher = watch(netnsPath('.'), { persistent: false }, (_event, file) => {
        if (file === null || file === this.name) onChange();
      });
      const forget = (): void => {
        watcher.close();
        if (this.#watcher === watcher) this.#watcher = undefined;
      };
      watcher.on('error', forget);
      this.#watcher = watcher;
    } catch {
      // No inotify to be had: the periodic look does alone.
    }
  }

  /** Looks whether the name still stands for this namespace, and gives it back where it stands for nothing. */
  look(): NamespaceLook {
    try {
      if (isNetnsMounted(this.name)) {
        if (netnsInode(this.name) === this.inode) return { state: 'present' };
        const text =
          `another network namespace is mounted as ${this.name}; leafd goes on in its own, ` +
          `which has no name now; \`ip netns delete ${this.name}\` gives it back`;
        return { state: 'foreign', errno: 'EEXIST', text };
      }
      nameNetns(this.name, this.fd);
      return { state: 'repaired' };
    } catch (error) {
      return { state: 'error', ...faultOf(error) };
    }
  }

  /** What is odd about where it is mounted, in a sentence. */
  warning(): string | undefined {
    if (!isHidden(this.name, this.inode)) return undefined;
    return (
      `the namespace ${this.name} is not seen by the rest of the machine: leafd was started in a mount namespace of ` +
      'its own (as `ip netns exec` makes); start it with `nsenter --net=` or as a service'
    );
  }

  /** What keeps it from being removed: links and processes that are not leafd's, in words. */
  occupants(links: Iterable<Link>): string[] {
    const found: string[] = [];
    for (const { name } of links) if (!KERNEL_LINKS.has(name)) found.push(`link ${name}`);
    return [...found, ...processesIn(this.inode)];
  }

  /** Removes it, if its name is still its own. */
  remove(): boolean {
    if (!isNetnsMounted(this.name) || netnsInode(this.name) !== this.inode) return false;
    return removeNetns(this.name);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#watcher?.close();
    this.#watcher = undefined;
    closeSync(this.fd);
  }

  #isSame(kept: KeptNamespace): boolean {
    if (kept.name !== this.name || kept.inode !== this.inode || kept.bootId !== bootId()) return false;
    return kept.cookie === this.#cookie;
  }
}

/** A file without a namespace is what a crash leaves between the two steps in which a namespace gets its name. */
function makeNamed(name: string): void {
  if (existsSync(netnsPath(name))) {
    if (statSync(netnsPath(name)).size > 0)
      throw new LeafdError('netns-refused', `${netnsPath(name)} is a file, not a network namespace`, {
        hint: 'move it away',
      });
    removeNetns(name);
  }
  createNetns(name);
}

function openNamespace(name: string): number {
  try {
    return openSync(netnsPath(name), 'r');
  } catch (cause) {
    throw new LeafdError('netns-refused', `cannot open the network namespace ${name}`, { cause });
  }
}

/** Tells boots apart; '' where the kernel does not say. */
export function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
}

/** Whether the rest of the machine does not find the namespace where leafd does. */
function isHidden(name: string, inode: number): boolean {
  try {
    if (readlinkSync('/proc/self/ns/mnt') === readlinkSync('/proc/1/ns/mnt')) return false;
    const path = `/proc/1/root${netnsPath(name)}`;
    return !existsSync(path) || statSync(path).ino !== inode;
  } catch {
    // The first process is none of ours to look at: the mounts themselves tell.
    return isMountedHereOnly(netnsPath(name));
  }
}

/** A mount that nobody told us of, below one of which we hear from elsewhere (`master:`) but not the other way. */
function isMountedHereOnly(path: string): boolean {
  const mounts = new Map<string, string>();
  // ID PARENT MAJOR:MINOR ROOT PLACE OPTIONS PROPAGATION... - TYPE SOURCE OPTIONS
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const words = line.split(' ');
    const end = words.indexOf('-');
    if (end > 0) mounts.set(words[4]!, words.slice(6, end).join(' '));
  }
  const hears = (place: string): boolean => mounts.get(place)?.includes('master:') === true;
  let above = dirname(path);
  while (!mounts.has(above) && above !== '/') above = dirname(above);
  return hears(above) && !hears(path);
}

/** Processes of others in a namespace, a few of them. */
function processesIn(inode: number): string[] {
  const found: string[] = [];
  const wanted = `net:[${inode}]`;
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
    try {
      if (readlinkSync(`/proc/${entry}/ns/net`) !== wanted) continue;
      const program = readFileSync(`/proc/${entry}/comm`, 'utf8').trim();
      if (found.length < PROCESSES_TOLD) found.push(`process ${entry} (${program})`);
    } catch {
      // It has just ended, or is none of ours to look at.
    }
  }
  return found;
}
