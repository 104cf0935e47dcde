// The driver for LXD and Incus: keeps the bindings of source `lxd` as the instances on this machine are. It opens the
// stream of lifecycle events, then lists all instances (so that nothing falls between), and after an event asks for
// the one instance it is about: events carry neither MAC nor addresses. When the stream ends, all is listed again on
// the next. What is gone from a list is detached; a daemon that does not answer changes nothing, because the ports
// themselves tell when a guest has gone.
//
// In a cluster every member relays the events of all. Only instances whose location is this member are ours; a moved
// one comes under a temporary name and is renamed, and its location is asked for each time.
//
// One request at a time, each shorter than 3 s, everything asynchronous: LXD never holds up the daemon.

import { LeafdError } from '../lib/leafd-error.ts';
import type { Binding } from './binding.ts';
import { type LxdEventStream, lxdEvents, lxdGet } from './lxd-client.ts';
import {
  instanceKey,
  type LxdInstance,
  lxdBindings,
  readInstance,
  readLifecycleEvent,
  sameBinding,
} from './lxd-instance.ts';

/** What the driver does to the table of guests. */
export interface LxdGuests {
  /** Bindings of source `lxd` that are there, also those kept from the last life. */
  bindings(): readonly Binding[];
  /** Makes or replaces a binding. Throws a LeafdError where it cannot be: another one has the name or an address. */
  attach(binding: Binding): void;
  detach(name: string): void;
  isGuestBridge(name: string): boolean;
  wallMs(): number;
}

export interface LxdDriverOptions {
  socket: string;
  guests: LxdGuests;
  /** Told once a change: that LXD is there, has gone, or says something that cannot be meant. */
  report?: (level: 'info' | 'warn', text: string) => void;
  /** First and longest wait before LXD is called again. */
  retryMs?: { first: number; longest: number };
  /** How often the stream is asked whether it lives. */
  pingEveryMs?: number;
}

export interface LxdStatus {
  socket: string;
  connected: boolean;
  /** Name of this cluster member. */
  member?: string;
  /** Instances with bindings here. */
  instances: number;
  problems: readonly string[];
}

/** Instances of which something is to be asked at most; beyond that all are listed. */
const MAX_QUESTIONS = 256;
/** Complaints kept at most. */
const MAX_PROBLEMS = 64;

export class LxdDriver {
  private readonly options: LxdDriverOptions;
  private readonly ended = new AbortController();
  private readonly retry: { first: number; longest: number };
  private stream: LxdEventStream | undefined;
  private timer: NodeJS.Timeout | undefined;
  private waitMs: number;
  private connected = false;
  private working = false;
  /** A list is due. */
  private listDue = false;
  /** Instances to ask for, by key. */
  private readonly questions = new Map<string, { project: string; name: string }>();
  private member: string | undefined;
  /** Names of the bindings of each instance. */
  private readonly held = new Map<string, Set<string>>();
  private readonly problems = new Map<string, readonly string[]>();
  /** Complaints told already. */
  private readonly reported = new Set<string>();
  private trouble: string | undefined;

  constructor(options: LxdDriverOptions) {
    this.options = options;
    this.retry = options.retryMs ?? { first: 250, longest: 10_000 };
    this.waitMs = this.retry.first;
    this.connect();
  }

  /** Ends the driver; bindings stay as they are. */
  close(): void {
    this.ended.abort();
    clearTimeout(this.timer);
    this.stream?.close();
  }

  status(): LxdStatus {
    const problems = [...this.problems.values()].flat();
    return {
      socket: this.options.socket,
      connected: this.connected,
      ...(this.member !== undefined && { member: this.member }),
      instances: this.held.size,
      problems: (this.trouble === undefined ? problems : [this.trouble, ...problems]).slice(0, MAX_PROBLEMS),
    };
  }

  /** Judges all instances anew: after the guest bridges have changed. */
  refresh(): void {
    if (!this.connected) return;
    this.listDue = true;
    void this.work();
  }

  private connect(): void {
    if (this.ended.signal.aborted) return;
    const { socket, pingEveryMs } = this.options;
    const onOpen = (): void => {
      this.connected = true;
      this.listDue = true;
      void this.work();
    };
    const onEnd = (reason: string): void => {
      this.stream = undefined;
      this.connected = false;
      if (this.ended.signal.aborted) return;
      this.failed(`LXD on ${socket}: ${reason}`);
      this.later(() => this.connect());
    };
    this.stream = lxdEvents(socket, { onOpen, onEvent: (event) => this.onEvent(event), onEnd }, pingEveryMs);
  }

  private onEvent(value: unknown): void {
    const event = readLifecycleEvent(value);
    if (event === undefined) return;
    const elsewhere = this.member !== undefined && event.location !== this.member;
    for (const name of event.names) {
      const key = instanceKey(event.project, name);
      // Of another member's instances only those matter that were ours.
      if (elsewhere && !this.held.has(key)) continue;
      if (this.questions.size < MAX_QUESTIONS) this.questions.set(key, { project: event.project, name });
      else this.listDue = true;
    }
    void this.work();
  }

  /** Asks what is to be asked, one thing after the other, until nothing is left or LXD fails. */
  private async work(): Promise<void> {
    if (this.working || !this.connected) return;
    this.working = true;
    try {
      while (this.connected && !this.ended.signal.aborted && (this.listDue || this.questions.size > 0)) {
        if (this.listDue) await this.list();
        else await this.ask();
      }
      this.waitMs = this.retry.first;
    } catch (error) {
      if (!(error instanceof LeafdError)) throw error;
      if (this.ended.signal.aborted) return;
      this.listDue = true;
      this.failed(`LXD on ${this.options.socket}: ${error.message}`);
      // Without a stream the next one brings a list.
      if (this.connected) this.later(() => void this.work());
    } finally {
      this.working = false;
    }
  }

  private async list(): Promise<void> {
    this.listDue = false;
    this.questions.clear();
    const about = (await this.get('/1.0')) as { environment?: Record<string, unknown> } | undefined;
    const { server_name: name, server_clustered: clustered } = about?.environment ?? {};
    const listed = await this.get('/1.0/instances?recursion=1&all-projects=true');
    if (!Array.isArray(listed)) throw new LeafdError('lxd-failed', 'the list of instances is none');
    if (this.ended.signal.aborted) return;
    this.member = clustered === true && typeof name === 'string' ? name : undefined;
    // Kept bindings of the last life belong to instances that this life has not seen yet.
    const before = new Set(this.options.guests.bindings().map((binding) => binding.name));
    this.held.clear();
    this.problems.clear();
    const found = new Map<string, Binding>();
    for (const value of listed) {
      const instance = readInstance(value);
      if (instance !== undefined) this.judge(instance, found);
    }
    for (const gone of before) if (!found.has(gone)) this.options.guests.detach(gone);
    this.attach(found);
    this.recovered();
  }

  private async ask(): Promise<void> {
    const [key, { project, name }] = [...this.questions][0]!;
    this.questions.delete(key);
    const path = `/1.0/instances/${encodeURIComponent(name)}?project=${encodeURIComponent(project)}`;
    const instance = readInstance(await this.get(path));
    if (this.ended.signal.aborted) return;
    const before = this.held.get(key) ?? new Set<string>();
    this.held.delete(key);
    this.problems.delete(key);
    const found = new Map<string, Binding>();
    if (instance !== undefined) this.judge(instance, found);
    for (const gone of before) if (!found.has(gone)) this.options.guests.detach(gone);
    this.attach(found);
  }

  private judge(instance: LxdInstance, found: Map<string, Binding>): void {
    const { guests } = this.options;
    const { bindings, problems } = lxdBindings(instance, {
      member: this.member,
      isGuestBridge: (name) => guests.isGuestBridge(name),
      wallMs: guests.wallMs(),
    });
    const key = instanceKey(instance.project, instance.name);
    if (bindings.length > 0) this.held.set(key, new Set(bindings.map(({ name }) => name)));
    if (problems.length > 0) this.complain(key, problems);
    for (const binding of bindings) found.set(binding.name, binding);
  }

  private attach(found: ReadonlyMap<string, Binding>): void {
    const { guests } = this.options;
    const there = new Map(guests.bindings().map((binding) => [binding.name, binding]));
    for (const binding of found.values()) {
      const old = there.get(binding.name);
      if (old !== undefined && old.expected === undefined && sameBinding(old, binding)) continue;
      try {
        guests.attach(binding);
      } catch (error) {
        if (!(error instanceof LeafdError)) throw error;
        this.complain(binding.guest ?? binding.name, [`${binding.name}: ${error.message}`]);
      }
    }
  }

  private complain(key: string, problems: readonly string[]): void {
    this.problems.set(key, [...(this.problems.get(key) ?? []), ...problems]);
    for (const text of problems) {
      if (this.reported.has(text)) continue;
      if (this.reported.size >= MAX_PROBLEMS) this.reported.clear();
      this.reported.add(text);
      this.options.report?.('warn', text);
    }
  }

  private get(path: string): Promise<unknown> {
    return lxdGet(this.options.socket, path, this.ended.signal);
  }

  private later(what: () => void): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(what, this.waitMs);
    this.timer.unref();
    this.waitMs = Math.min(this.waitMs * 2, this.retry.longest);
  }

  private failed(text: string): void {
    if (this.trouble !== text) this.options.report?.('warn', text);
    this.trouble = text;
  }

  private recovered(): void {
    const where = this.member === undefined ? '' : ` as member ${this.member}`;
    if (this.trouble !== undefined) this.options.report?.('info', `LXD answers${where}`);
    this.trouble = undefined;
  }
}
