// L3 passthrough in the kernel, kept as it is wanted: the router namespace, its NICs (on trial first), macvlans and
// VLANs, the veth to the host, sysctls. One pass reads what is and writes the difference; it runs after events of
// links and addresses of both namespaces, when the name of the namespace or a sysctl was changed (looked at twice a
// second, which costs about a thousandth of a processor), and every 30 s. What failed is tried again with growing
// delay. Who fights leafd over an object gets an answer once a second, not at every blow. Sessions and routes are the
// speaker's.

import type { ObjectStatus } from '../dataplane/dataplane.ts';
import type { PassthroughIntent } from '../intent/passthrough.ts';
import { LeafdError } from '../lib/leafd-error.ts';
import { RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF } from '../netlink/message.ts';
import { readMonotonicMs } from '../netlink/monotonic.ts';
import { defaultRouteLinks } from './default-route.ts';
import { type Fault, faultOf } from './fault.ts';
import { keptNetns } from './kept.ts';
import { isUplinkAlias, vethAlias } from './names.ts';
import { bootId } from './namespace.ts';
import type { NicStatus, OpenNics } from './nic-port.ts';
import { planeView } from './plane-show.ts';
import type { PassthroughEvent, PassthroughPlaneView } from './plane-view.ts';
import { type GivenBack, nicObject, RouterParts, type RouterPartsOptions } from './router-parts.ts';
import {
  commandTrial,
  doubtTrial,
  lookAtTrial,
  NO_TRIAL,
  namesOf,
  resumeTrial,
  setOf,
  type Trial,
  type TrialTime,
  wantTrial,
} from './trial.ts';

const TURN_DELAY_MS = 5;
/**
 * With the last IPv4 address of a link the kernel drops all routes over it and tells nobody of them. A zebra that
 * sees the address go and come in one turn believes its routes are there and never writes them again; 50 ms between
 * are enough.
 */
const HOST_ADDRESS_DELAY_MS = 150;
const LOOK_EVERY_MS = 500;
const CHECK_EVERY_MS = 30_000;
const RETRY_FIRST_MS = 500;
const RETRY_MOST_MS = 30_000;
/** So many repairs in a row are answered at once; then one a second, until there is peace for so long. */
const REPAIRS_AT_ONCE = 20;
const REPAIRS_LATER_MS = 1000;
const PEACE_MS = 5000;

export interface PassthroughPlaneOptions {
  /** Name of the router namespace. */
  netns: string;
  stateDir: string;
  /** Told after each pass that changed something or failed. */
  onChange?: (status: readonly ObjectStatus[]) => void;
  event?: (event: PassthroughEvent) => void;
  /** Whether a session of the fabric is up. */
  isUplinkUp: () => boolean;
  /** What keeps the sessions of the fabric from coming up, in words: told when NICs are taken back. */
  whyNoUplink?: () => string | undefined;
  /** CLOCK_MONOTONIC; for tests. */
  nowMs?: () => number;
  /** The time of day; for tests. */
  wallMs?: () => number;
  /** For tests: the namespace that is the host's; absent: that of the process. */
  home?: string;
  /** For tests: who moves NICs. */
  nics?: OpenNics;
}

export class PassthroughPlane {
  readonly netns: string;
  readonly #options: PassthroughPlaneOptions;
  readonly #bootId = bootId();
  #parts: RouterParts | undefined;
  #intent: PassthroughIntent | undefined;
  #intentText = '';
  #nics: NicStatus[] = [];
  #namespaceFault: Fault | undefined;
  #trialFault: Fault | undefined;
  #passFault: Fault | undefined;
  #warnings: string[] = [];
  /** Of the NICs that moved: told as long as they are away. */
  #moveWarning: string | undefined;
  /** NICs that were told to be missing. */
  readonly #missing = new Set<string>();
  #subscriptions: { close(): void }[] = [];
  #looking: NodeJS.Timeout | undefined;
  #timer: NodeJS.Timeout | undefined;
  #dueMs = 0;
  #checkedMs = 0;
  #retryMs = RETRY_FIRST_MS;
  #repairs = 0;
  #repairedMs = 0;
  /** The last pass left nothing to do: what the next one changes is a repair. */
  #settled = false;
  #closed = false;

  /** Makes or adopts the namespace at once, so that sockets can be opened in it. Throws LeafdError, SysError. */
  constructor(options: PassthroughPlaneOptions) {
    this.#options = options;
    this.netns = options.netns;
    this.#open();
  }

  /** Enters the namespace whatever becomes of its name: for `withNetns` and whatever takes a namespace's path. */
  get netnsPath(): string {
    return this.#parts?.namespace.path ?? this.netns;
  }

  /**
   * Sets what is wanted and brings the kernel there at once, as far as it goes. undefined: everything goes back, and
   * the namespace is removed if leafd made it. Throws LeafdError `passthrough-netns` when it names another namespace.
   */
  setIntent(intent: PassthroughIntent | undefined): void {
    if (this.#closed) return;
    if (intent !== undefined && intent.netns !== this.netns)
      throw new LeafdError(
        'passthrough-netns',
        `the router namespace is ${this.netns}, not ${intent.netns}`,
        {
          hint: 'start leafd anew',
        },
      );
    this.#intent = intent;
    this.#settled = false;
    if (intent === undefined) {
      if (this.#parts) this.#goBack();
      return;
    }
    const parts = this.#parts ?? this.#open();
    const text = JSON.stringify(intent, (_key, value) => (value instanceof Uint8Array ? [...value] : value));
    // What was rolled back is tried again with another configuration.
    const isOther = this.#intentText !== '' && this.#intentText !== text;
    if (isOther && parts.kept.trial.kind === 'rolledBack') parts.kept.trial = NO_TRIAL;
    this.#intentText = text;
    this.#pass();
  }

  /** The state of each object that is wanted. */
  status(): ObjectStatus[] {
    const parts = this.#parts;
    if (!parts || !this.#intent) return [];
    const fault = this.#namespaceFault ?? this.#trialFault ?? this.#passFault;
    const status: ObjectStatus[] = [
      { key: `namespace ${this.netns}`, kind: 'namespace', state: 'done', ...(fault && error(fault)) },
    ];
    for (const { key, fault: wrong } of parts.sysctls.status())
      status.push({ key, kind: 'sysctl', state: 'done', ...(wrong && error(wrong)) });
    status.push(...this.#nicStatus(parts.kept.trial));
    return [...status, ...parts.links.status()];
  }

  /** NICs that were rolled back are where they are to be for now, but not where the configuration wants them. */
  #nicStatus(trial: Trial): ObjectStatus[] {
    if (trial.kind !== 'rolledBack') return this.#nics.map(nicObject);
    const wrong = new Map(this.#nics.filter(({ state }) => state === 'error').map((nic) => [nic.name, nic]));
    const names = new Set([...namesOf(trial.set), ...wrong.keys()]);
    const text = `rolled back to the host: ${trial.reason}`;
    return [...names].map((name): ObjectStatus => {
      const nic = wrong.get(name);
      return nic ? nicObject(nic) : { key: `nic ${name}`, kind: 'nic', state: 'pending', text };
    });
  }

  view(): PassthroughPlaneView {
    const parts = this.#parts;
    return planeView({
      netns: this.netns,
      parts,
      intent: this.#intent,
      nics: this.#nics,
      warnings: this.#warnings,
      status: this.status(),
      now: this.#now(),
    });
  }

  /** The NICs stay where they are: the operator has seen that all is well. False where no trial runs. */
  confirm(): boolean {
    return this.#command('confirm');
  }

  /** The NICs go home. False where they are not inside, or went already. */
  rollBack(): boolean {
    return this.#command('rollBack');
  }

  /** NICs that were sent home are tried again. False where none were. */
  retry(): boolean {
    return this.#command('retry');
  }

  /** What the fabric knows of us was changed: NICs that were confirmed are on trial again. False where none were. */
  doubt(): boolean {
    const [parts, intent] = [this.#parts, this.#intent];
    if (!parts || !intent) return false;
    const trial = doubtTrial(parts.kept.trial, intent.confirmMs, this.#now());
    return trial !== undefined && this.#setTrial(parts, trial);
  }

  /** Everything goes back; what the operator confirmed is remembered. */
  restore(): void {
    this.#intent = undefined;
    if (this.#parts) this.#giveBack(this.#parts, false);
    // What follows of it as events must not be taken for a configuration without passthrough.
    this.#end();
  }

  /** Ends; the kernel stays as it is. */
  close(): void {
    this.#closed = true;
    this.#end();
  }

  #open(): RouterParts {
    const { stateDir, netns, home, nics } = this.#options;
    leaveFormer({ stateDir, netns, home, nics });
    const parts = new RouterParts({ stateDir, netns, home, nics });
    this.#parts = parts;
    this.#nics = parts.nics.status();
    parts.kept.trial = resumeTrial(parts.kept.trial, this.#now());
    const lookAgain = (): void => this.#schedule(this.#delayMs());
    const { homeLinks, routerLinks } = parts;
    this.#subscriptions = [
      homeLinks.subscribe({
        link: ({ name, alias }) => {
          if (this.#isOfInterest(name, alias)) lookAgain();
        },
        address: ({ ifindex }) => {
          const link = homeLinks.links.get(ifindex);
          if (link && this.#isOfInterest(link.name, link.alias))
            this.#schedule(Math.max(HOST_ADDRESS_DELAY_MS, this.#delayMs()));
        },
      }),
      routerLinks.subscribe({ link: lookAgain, address: lookAgain }),
      // Of sysctls only forwarding is told.
      parts.router.rtnl.listen({
        groups: [RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF],
        onMessage: () => this.#lookAtSysctls(),
        onOverrun: () => this.#lookAtSysctls(),
      }),
    ];
    this.#looking = setInterval(() => this.#look(), LOOK_EVERY_MS);
    this.#looking.unref();
    return parts;
  }

  #end(): void {
    clearTimeout(this.#timer);
    clearInterval(this.#looking);
    for (const subscription of this.#subscriptions.splice(0)) subscription.close();
    this.#parts?.close();
    this.#parts = undefined;
  }

  /** Of the host's links only those matter that leafd made, moves, or builds on. */
  #isOfInterest(name: string, alias: string): boolean {
    const { veth, uplinks } = this.#intent ?? { uplinks: [] };
    if (name === veth?.hostLink || alias === vethAlias(this.netns) || isUplinkAlias(alias)) return true;
    return uplinks.some(({ parent }) => parent === name) || this.#nics.some((nic) => nic.name === name);
  }

  /** What sends no event. */
  #look(): void {
    const parts = this.#parts;
    if (!parts || !this.#intent) return;
    parts.namespace.watch(() => this.#lookAtName());
    this.#lookAtName();
    this.#lookAtSysctls();
    const isDue = this.#now().monotonicMs - this.#checkedMs >= CHECK_EVERY_MS;
    if (isDue || parts.kept.trial.kind === 'running') this.#schedule(0);
  }

  #lookAtSysctls(): void {
    if (this.#parts?.sysctls.differs()) this.#schedule(this.#delayMs());
  }

  #lookAtName(): void {
    const parts = this.#parts;
    if (!parts || !this.#intent) return;
    const { state, errno = '', text = '' } = parts.namespace.look();
    if (state === 'repaired')
      this.#tell('repaired', 'warn', `the namespace ${this.netns} has its name again`);
    const fault = state === 'present' || state === 'repaired' ? undefined : { errno, text };
    const isNews = fault?.text !== this.#namespaceFault?.text;
    this.#namespaceFault = fault;
    if (isNews) this.#options.onChange?.(this.status());
  }

  #schedule(delayMs: number): void {
    if (this.#closed) return;
    // An event must not wait for the end of a long retry.
    const due = performance.now() + delayMs;
    if (this.#timer && this.#dueMs <= due) return;
    clearTimeout(this.#timer);
    this.#dueMs = due;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#intent) this.#pass();
      else if (this.#parts) this.#goBack();
    }, delayMs);
    this.#timer.unref();
  }

  #delayMs(): number {
    return this.#repairs < REPAIRS_AT_ONCE ? TURN_DELAY_MS : REPAIRS_LATER_MS;
  }

  /** One pass: read, compare, write. */
  #pass(): void {
    const [parts, intent] = [this.#parts, this.#intent];
    if (this.#closed || !parts || !intent) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#checkedMs = this.#now().monotonicMs;
    const changed: string[] = [];
    this.#passFault = undefined;
    try {
      this.#lookAtName();
      // First, because links that are made or moved in later take over what is the default then.
      changed.push(...parts.sysctls.reconcile());
      this.#moveNics(parts, intent);
      changed.push(...parts.links.reconcile(intent));
      parts.sysctls.setLinks(this.#linksInside(parts, intent));
      changed.push(...parts.sysctls.reconcile());
    } catch (failure) {
      this.#passFault = faultOf(failure);
    }
    this.#warnings = this.#warningsOf(parts, intent);
    this.#afterPass(changed);
  }

  /** Those that carry what is passed through. */
  #linksInside(parts: RouterParts, intent: PassthroughIntent): Map<string, number> {
    const names = new Set(intent.uplinks.map(({ name }) => name));
    if (intent.veth) names.add(intent.veth.routerLink);
    const inside = parts.links.inside().filter(({ name }) => names.has(name));
    return new Map(inside.map(({ name, ifindex }) => [name, ifindex]));
  }

  #afterPass(changed: readonly string[]): void {
    const status = this.status();
    const isFailed = status.some(({ state }) => state === 'error');
    const nowMs = this.#now().monotonicMs;
    if (changed.length > 0 && this.#settled) {
      if (nowMs - this.#repairedMs > PEACE_MS) this.#repairs = 0;
      this.#repairs++;
      this.#repairedMs = nowMs;
      this.#tell('repaired', 'warn', `repaired: ${changed.join(', ')}`);
    }
    this.#settled = !isFailed;
    if (!isFailed) this.#retryMs = RETRY_FIRST_MS;
    else {
      this.#schedule(this.#retryMs);
      this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MOST_MS);
    }
    if (changed.length > 0 || isFailed) this.#options.onChange?.(status);
  }

  #moveNics(parts: RouterParts, intent: PassthroughIntent): void {
    const before = new Map(this.#nics.map((nic) => [nic.name, nic.place]));
    const wanted = this.#wantedNics(parts, intent);
    const mtus = new Map<string, number>();
    for (const { parent, mode, mtu } of intent.uplinks)
      if (mode.kind === 'move' && mtu !== undefined) mtus.set(parent, mtu);
    this.#nics = parts.nics.reconcile(wanted, mtus);
    this.#tellMissing(wanted);
    let moved = false;
    for (const { name, place } of this.#nics) {
      const former = before.get(name);
      if (place === former || place === 'absent') continue;
      moved = true;
      if (place === 'router') this.#tell('nicMoved', 'info', `${name} is in ${this.netns} now`);
      else if (former === 'router') this.#tell('nicReturned', 'info', `${name} is in the host again`);
    }
    if (moved) this.#options.onChange?.(this.status());
  }

  /** A name that no NIC has is a mistake more often than a NIC that comes late: it is told once. */
  #tellMissing(wanted: readonly string[]): void {
    for (const { name, place } of this.#nics) {
      if (place !== 'absent' || !wanted.includes(name)) this.#missing.delete(name);
      else if (!this.#missing.has(name)) {
        this.#missing.add(name);
        this.#tell('trial', 'warn', `there is no NIC ${name} here: it moves to ${this.netns} when it comes`);
      }
    }
  }

  /** The NICs that are to be inside now; those that would move for the first time only once their trial is on disk. */
  #wantedNics(parts: RouterParts, intent: PassthroughIntent): string[] {
    const names = intent.uplinks.filter(({ mode }) => mode.kind === 'move').map(({ parent }) => parent);
    const { confirmMs } = intent;
    const wouldMove = names.length > 0 && parts.nics.wouldMove(names);
    if (wouldMove) this.#warnOfDefaultRoute(parts, names);
    const now = this.#now();
    const wished = wantTrial(parts.kept.trial, { set: setOf(names), confirmMs, wouldMove }, now);
    const isUp = wished.kind === 'running' && this.#areInside(names) && this.#options.isUplinkUp();
    const looked = lookAtTrial(wished, isUp, now);
    const why = looked !== wished && looked.kind === 'rolledBack' && this.#options.whyNoUplink?.();
    if (!this.#setTrial(parts, why ? { ...looked, reason: `${looked.reason}: ${why}` } : looked))
      return this.#nics.filter(({ place }) => place === 'router').map(({ name }) => name);
    return parts.kept.trial.kind === 'rolledBack' ? [] : names;
  }

  #areInside(names: readonly string[]): boolean {
    const nics = new Map(this.#nics.map((nic) => [nic.name, nic]));
    // One that cannot be moved, or is not there, must not keep the others from being confirmed.
    const isDone = (nic: NicStatus | undefined): boolean => nic?.state === 'error' || nic?.place !== 'home';
    return names.every((name) => nics.has(name) && isDone(nics.get(name)));
  }

  /** Tells of another state of the trial, once it is written down; false where it cannot be. */
  #setTrial(parts: RouterParts, trial: Trial): boolean {
    const before = parts.kept.trial;
    this.#trialFault = undefined;
    if (trial === before) return true;
    parts.kept.trial = trial;
    try {
      parts.save();
    } catch (failure) {
      parts.kept.trial = before;
      this.#trialFault = faultOf(failure);
      return false;
    }
    if (trial.kind === before.kind && trial.kind !== 'running') return true;
    const nics = trial.kind === 'none' ? '' : namesOf(trial.set).join(', ');
    if (trial.kind === 'running') {
      const text = `${nics} on trial: within ${trial.confirmMs / 1000} s a session of the fabric has to be up`;
      this.#tell('trial', 'info', text);
    } else if (trial.kind === 'confirmed')
      this.#tell('confirmed', 'info', `${nics} confirmed: the NICs stay`);
    else if (trial.kind === 'rolledBack')
      this.#tell('rolledBack', 'error', `${nics} rolled back to the host: ${trial.reason}`);
    return true;
  }

  #command(word: 'confirm' | 'rollBack' | 'retry'): boolean {
    const [parts, intent] = [this.#parts, this.#intent];
    if (!parts || !intent) return false;
    const trial = commandTrial(parts.kept.trial, word, this.#now());
    if (trial === undefined || !this.#setTrial(parts, trial)) return false;
    this.#settled = false;
    this.#pass();
    return true;
  }

  #warnOfDefaultRoute(parts: RouterParts, names: readonly string[]): void {
    const ways = [...defaultRouteLinks(parts.home.rtnl)].map((i) => parts.homeLinks.links.get(i)?.name ?? '');
    if (!this.#nics.some(({ place }) => place === 'router')) this.#moveWarning = undefined;
    if (ways.length === 0 || !ways.every((name) => names.includes(name))) return;
    this.#moveWarning =
      `every default route of the host led over ${ways.join(', ')}, now in ${this.netns}: the host reaches ` +
      'others by what the router tells its speakers, or not at all';
  }

  #warningsOf(parts: RouterParts, intent: PassthroughIntent): string[] {
    const warnings = [...parts.sysctls.warnings()];
    const hidden = parts.namespace.warning();
    if (hidden !== undefined) warnings.push(hidden);
    if (this.#moveWarning !== undefined && this.#nics.some(({ place }) => place === 'router'))
      warnings.push(this.#moveWarning);
    const names = new Set(intent.uplinks.map(({ name }) => name));
    const uplinks = parts.links.inside().filter(({ name }) => names.has(name));
    const sizes = new Set(uplinks.map(({ mtu }) => mtu));
    const wanted = intent.veth?.mtu;
    const smaller = uplinks.filter(({ mtu }) => wanted !== undefined && mtu < wanted);
    if (sizes.size > 1)
      warnings.push(`uplinks differ in MTU: ${uplinks.map((l) => `${l.name} ${l.mtu}`).join(', ')}`);
    for (const { name, mtu } of smaller)
      warnings.push(`the veth's MTU ${wanted} does not fit into ${name}, which has ${mtu}`);
    return warnings;
  }

  /** Without an intent: until all is given back, then everything is closed. */
  #goBack(): void {
    const given = this.#giveBack(this.#parts!, true);
    if (given.failures.length === 0) {
      this.#retryMs = RETRY_FIRST_MS;
      this.#intentText = '';
      this.#moveWarning = undefined;
      this.#nics = [];
      this.#end();
      return;
    }
    this.#schedule(this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MOST_MS);
    this.#options.onChange?.(given.failures);
  }

  #giveBack(parts: RouterParts, forget: boolean): GivenBack {
    const given = parts.giveBack({ forget });
    if (given.nics > 0) this.#tell('nicReturned', 'info', `NICs back in the host: ${given.nics}`);
    if (given.occupants.length > 0)
      this.#tell('trial', 'warn', `the namespace ${this.netns} is left for ${given.occupants.join(', ')}`);
    return given;
  }

  #now(): TrialTime {
    const { nowMs = monotonicMs, wallMs = Date.now } = this.#options;
    return { monotonicMs: nowMs(), wallMs: wallMs(), bootId: this.#bootId };
  }

  #tell(kind: PassthroughEvent['kind'], level: PassthroughEvent['level'], text: string): void {
    this.#options.event?.({ kind, level, text });
  }
}

/** A former life had another namespace: what it left there goes back first. Throws LeafdError `passthrough-left`. */
function leaveFormer(options: RouterPartsOptions): void {
  const former = keptNetns(options.stateDir);
  if (former === undefined || former === options.netns) return;
  const parts = new RouterParts({ ...options, netns: former });
  try {
    const [failure] = parts.giveBack({ forget: true }).failures;
    if (failure === undefined) return;
    throw new LeafdError('passthrough-left', `${failure.key} is still in ${former}: ${failure.text ?? ''}`, {
      hint: `put \`netns: ${former}\` back until it is free`,
    });
  } finally {
    parts.close();
  }
}

const clock = new Float64Array(1);

function monotonicMs(): number {
  readMonotonicMs(clock, 0);
  return clock[0]!;
}

function error(fault: Fault): { state: 'error' } & Fault {
  return { state: 'error', ...fault };
}
