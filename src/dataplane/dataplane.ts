// Reconciles loopback addresses and sysctls with the kernel: reads what is, writes the difference, watches
// for drift (events of links and addresses, a look at the sysctls every 30 s) and repairs it. Each desired
// object has a status that the API shows. What failed is tried again with growing delay. Routes are fib.ts.

import { encodeAddressAdd, encodeAddressDelete, IFA_F_NODAD, type LinkAddress } from '../netlink/address.ts';
import { encodeLinkSet } from '../netlink/link.ts';
import { NLM_F_CREATE, NLM_F_EXCL, RTPROT_LEAFD } from '../netlink/message.ts';
import type { LinkMonitor } from '../netlink/monitor.ts';
import type { Rtnl } from '../netlink/rtnl.ts';
import { AF_INET, AF_INET6, EEXIST, errnoName } from '../netlink/sys.ts';
import { addressKey, delta, type KernelChange, type Observed, type ObservedAddress } from './delta.ts';
import { type DesiredObject, desiredObjects, type KernelIntent } from './desired.ts';
import { flushAddresses } from './flush.ts';
import {
  type KernelState,
  kernelSysctls,
  loadKernelState,
  restoreSysctl,
  type SysctlPort,
  saveKernelState,
} from './sysctl.ts';

const LOOPBACK = 'lo';
const EADDRNOTAVAIL = 99;
const TURN_DELAY_MS = 5;
const CHECK_EVERY_MS = 30_000;
const RETRY_FIRST_MS = 500;
const RETRY_MOST_MS = 30_000;

export interface ObjectStatus {
  key: string;
  kind:
    | DesiredObject['kind']
    | 'mac'
    | 'port'
    | 'neighbour'
    | 'filter'
    | 'namespace'
    | 'nic'
    | 'veth'
    | 'uplink';
  state: 'pending' | 'done' | 'error';
  /** Of `error`: the errno's name and the kernel's words. */
  errno?: string;
  text?: string;
}

/** A sysctl that leafd wants: what it was before leafd, what it is now, what is wanted. */
export interface SysctlView {
  key: string;
  before: string;
  now: string;
  wanted: string;
  /** leafd changed it and will restore it. */
  changed: boolean;
}

export interface DataplaneOptions {
  rtnl: Rtnl;
  links: LinkMonitor;
  /** Directory of the state file. */
  stateDir: string;
  netns?: string;
  /** For tests. */
  sysctls?: SysctlPort;
  /** How often sysctls are looked at, which tell of no change; 30 s unless set. */
  checkEveryMs?: number;
  /** Told after each pass that changed something or failed. */
  onChange?: (status: readonly ObjectStatus[]) => void;
}

export class Dataplane {
  readonly #options: DataplaneOptions;
  readonly #sysctls: SysctlPort;
  readonly #state: KernelState;
  readonly #status = new Map<string, ObjectStatus>();
  readonly #subscription: { close(): void };
  #intent: KernelIntent | undefined;
  #timer: NodeJS.Timeout | undefined;
  #dueMs = 0;
  #retryMs = RETRY_FIRST_MS;
  readonly #periodic: NodeJS.Timeout;
  #closed = false;
  /** The kernel keeps IFA_PROTO. */
  #marks = false;

  /** Changes nothing before the first `setIntent`. Throws LeafdError when the state file is damaged. */
  constructor(options: DataplaneOptions) {
    this.#options = options;
    this.#sysctls = options.sysctls ?? kernelSysctls(options.netns);
    this.#state = loadKernelState(options.stateDir);
    const lookAgain = (): void => this.#schedule(TURN_DELAY_MS);
    this.#subscription = options.links.subscribe({ link: lookAgain, address: lookAgain });
    this.#periodic = setInterval(lookAgain, options.checkEveryMs ?? CHECK_EVERY_MS);
    this.#periodic.unref();
  }

  /** Sets what is wanted and brings the kernel to it at once, as far as it goes; the rest is retried. */
  setIntent(intent: KernelIntent): void {
    this.#intent = intent;
    this.reconcile();
  }

  /** One pass: read, compare, write. */
  reconcile(): void {
    if (this.#closed || !this.#intent) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const names = new Set<string>();
    for (const link of this.#options.links.links.values()) names.add(link.name);
    const desired = desiredObjects(this.#intent, names);
    const changes = delta(desired, this.#observe(desired));
    const keys = new Set(desired.map((object) => object.key));
    for (const key of this.#status.keys()) if (!keys.has(key)) this.#status.delete(key);
    for (const object of desired)
      this.#status.set(object.key, { key: object.key, kind: object.kind, state: 'done' });
    let failed = false;
    const unsaved = this.#saveOriginals(changes);
    for (const change of changes) {
      const fault = change.kind === 'sysctlSet' ? unsaved : undefined;
      const done = fault ? this.#failed(change.key, fault.code, fault.text) : this.#apply(change);
      if (!done) failed = true;
    }
    if (!failed) this.#retryMs = RETRY_FIRST_MS;
    else {
      this.#schedule(this.#retryMs);
      this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MOST_MS);
    }
    if (changes.length > 0) this.#options.onChange?.(this.status());
  }

  /** The state of each desired object. */
  status(): ObjectStatus[] {
    return [...this.#status.values()];
  }

  /** The sysctls leafd wants or has changed, read now. */
  sysctls(): SysctlView[] {
    const views = new Map<string, SysctlView>();
    for (const [key, saved] of this.#state.sysctls) {
      const now = this.#sysctls.read(saved.path) ?? '';
      views.set(key, { key, before: saved.before, now, wanted: saved.before, changed: true });
    }
    const names = new Set([...this.#options.links.links.values()].map((link) => link.name));
    for (const object of this.#intent ? desiredObjects(this.#intent, names) : []) {
      if (object.kind !== 'sysctl') continue;
      const now = this.#sysctls.read(object.path) ?? '';
      const saved = this.#state.sysctls.get(object.key);
      const before = saved?.before ?? now;
      views.set(object.key, {
        key: object.key,
        before,
        now,
        wanted: object.value,
        changed: saved !== undefined,
      });
    }
    return [...views.values()];
  }

  /** Ends; the kernel stays as it is. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearInterval(this.#periodic);
    this.#subscription.close();
  }

  /** Ends, removes our addresses and restores the sysctls. */
  flush(): { addresses: number; sysctls: number } {
    this.close();
    return flushHost(this.#options.rtnl, this.#sysctls, this.#options.stateDir, this.#state, (name) =>
      this.#ifindexOf(name),
    );
  }

  #schedule(delayMs: number): void {
    if (this.#closed || !this.#intent) return;
    // An event must not wait for the end of a long retry.
    const due = performance.now() + delayMs;
    if (this.#timer && this.#dueMs <= due) return;
    clearTimeout(this.#timer);
    this.#dueMs = due;
    this.#timer = setTimeout(() => this.reconcile(), delayMs);
    this.#timer.unref();
  }

  /** Saves what may as well be forgotten later: a full disk must not end the daemon. */
  #saveIfPossible(): void {
    try {
      saveKernelState(this.#options.stateDir, this.#state);
    } catch {
      // The next change of a setting tries again, and tells when it cannot.
    }
  }

  #ifindexOf(name: string): number {
    return this.#options.links.linkByName(name)?.ifindex ?? 0;
  }

  #observe(desired: readonly DesiredObject[]): Observed {
    const sysctls = new Map<string, string | undefined>();
    for (const object of desired) {
      if (object.kind === 'sysctl') sysctls.set(object.path, this.#sysctls.read(object.path));
    }
    const lo = this.#options.links.linkByName(LOOPBACK);
    const addresses: ObservedAddress[] = this.#options.links
      .addresses(lo?.ifindex ?? 0)
      .map((a) => ({ bytes: a.bytes, length: a.prefixLength, protocol: a.protocol }));
    // A kernel that marks any address marks ours: what was remembered for it is of no use, and would be wrong
    // once somebody else makes the same address.
    this.#marks ||= addresses.some((a) => a.protocol !== 0);
    if (this.#marks && this.#state.addresses.size > 0) {
      this.#state.addresses.clear();
      this.#saveIfPossible();
    }
    return {
      loopbackUp: lo?.up === true,
      addresses,
      sysctls,
      saved: this.#state.sysctls,
      remembered: this.#state.addresses,
    };
  }

  #apply(change: KernelChange): boolean {
    try {
      if (change.kind === 'sysctlSet') this.#setSysctl(change);
      else if (change.kind === 'sysctlRestore') {
        restoreSysctl(this.#sysctls, change.saved, this.#ifindexOf(linkOf(change.saved.path)));
        this.#state.sysctls.delete(change.key);
        saveKernelState(this.#options.stateDir, this.#state);
      } else return this.#write(change);
      return true;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
      return this.#failed(change.key, code, (error as Error).message);
    }
  }

  /**
   * Writes down what the sysctls are before any of them is set: setting one may change others (`conf.all` is copied
   * to every link). What cannot be written down is not set; the fault is returned.
   */
  #saveOriginals(changes: readonly KernelChange[]): { code: string; text: string } | undefined {
    const former = new Map(this.#state.sysctls);
    let isNew = false;
    for (const change of changes) {
      if (change.kind !== 'sysctlSet') continue;
      const { path, value, link } = change.object;
      const ifindex = link === undefined ? 0 : this.#ifindexOf(link);
      const saved = former.get(change.key);
      const before = saved?.ifindex === ifindex ? saved.before : this.#sysctls.read(path);
      if (before === undefined || (saved?.ifindex === ifindex && saved.now === value)) continue;
      this.#state.sysctls.set(change.key, { path, before, now: value, ifindex });
      isNew = true;
    }
    if (!isNew) return undefined;
    try {
      saveKernelState(this.#options.stateDir, this.#state);
      return undefined;
    } catch (error) {
      this.#state.sysctls = former;
      return { code: (error as NodeJS.ErrnoException).code ?? 'unknown', text: (error as Error).message };
    }
  }

  #setSysctl({ object }: Extract<KernelChange, { kind: 'sysctlSet' }>): void {
    // A kernel without the key (no IPv6, no multipath) has nothing to set; the status says so.
    if (this.#sysctls.read(object.path) === undefined)
      throw Object.assign(new Error('the kernel has no such key'), { code: 'ENOENT' });
    this.#sysctls.write(object.path, object.value);
  }

  #write(change: Exclude<KernelChange, { kind: 'sysctlSet' | 'sysctlRestore' }>): boolean {
    const ifindex = this.#ifindexOf(LOOPBACK);
    const fresh = !this.#state.addresses.has(change.key);
    if (change.kind === 'addressAdd' && !this.#marks) this.#remember(change.key);
    const result = this.#options.rtnl.write((writer, seq) => {
      if (change.kind === 'linkUp') encodeLinkSet(writer, seq, { ifindex, up: true });
      else if (change.kind === 'addressAdd') {
        encodeAddressAdd(writer, seq, NLM_F_CREATE | NLM_F_EXCL, ours(ifindex, change.object));
      } else encodeAddressDelete(writer, seq, ours(ifindex, change.address));
    });
    if (result.outcome === 'unknown')
      return this.#failed(change.key, 'ETIMEDOUT', 'no answer from the kernel');
    const failure = result.failed[0];
    const errno = failure?.errno ?? 0;
    const gone = change.kind === 'addressRemove' && errno === EADDRNOTAVAIL;
    // The address came from somebody else in the meantime: it is there, and it is not ours to remove.
    if (change.kind === 'addressAdd' && errno === EEXIST) {
      if (fresh) this.#forget(change.key);
    } else if (change.kind === 'addressRemove' && (errno === 0 || gone)) this.#forget(change.key);
    else if (errno !== 0) return this.#failed(change.key, errnoName(errno), failure!.text);
    return true;
  }

  #remember(key: string): void {
    if (this.#state.addresses.has(key)) return;
    this.#state.addresses.add(key);
    try {
      saveKernelState(this.#options.stateDir, this.#state);
    } catch (error) {
      this.#state.addresses.delete(key);
      throw error;
    }
  }

  #forget(key: string): void {
    if (this.#state.addresses.delete(key)) this.#saveIfPossible();
  }

  #failed(key: string, errno: string, text: string): false {
    const status = this.#status.get(key);
    if (status) this.#status.set(key, { ...status, state: 'error', errno, text });
    return false;
  }
}

function ours(ifindex: number, address: { bytes: Uint8Array; length: number }): LinkAddress {
  const family = address.bytes.length === 4 ? AF_INET : AF_INET6;
  return {
    ifindex,
    family,
    bytes: address.bytes,
    prefixLength: address.length,
    scope: 0,
    flags: family === AF_INET6 ? IFA_F_NODAD : 0,
    tentative: false,
    protocol: RTPROT_LEAFD,
  };
}

/** The link in net/ipv4/conf/LINK/key, or ''. */
function linkOf(path: string): string {
  const parts = path.split('/');
  return parts[2] === 'conf' && parts[3] !== 'all' && parts[3] !== 'default' ? parts[3]! : '';
}

/** Removes our addresses and restores the sysctls, without a running daemon. */
export function flushHost(
  rtnl: Rtnl,
  sysctls: SysctlPort,
  stateDir: string,
  state: KernelState,
  ifindexOf: (name: string) => number,
): { addresses: number; sysctls: number } {
  const loopback = ifindexOf(LOOPBACK);
  const addresses = flushAddresses(
    rtnl,
    (address) =>
      address.ifindex === loopback && state.addresses.has(addressKey(address.bytes, address.prefixLength)),
  );
  let restored = 0;
  // In the order they were set: what is for all links first, because the kernel copies it to each.
  for (const saved of state.sysctls.values()) {
    try {
      if (restoreSysctl(sysctls, saved, ifindexOf(linkOf(saved.path)))) restored++;
    } catch {
      // A key that can no longer be written (read-only /proc/sys) cannot be restored by us.
    }
  }
  state.sysctls.clear();
  state.addresses.clear();
  saveKernelState(stateDir, state);
  return { addresses, sysctls: restored };
}
