// Guests in the real world: links and frames in, the kernel and BGP out. Decides nothing of its own: who may have what
// is for the table (table.ts), what DHCP answers for dhcp4.ts and dhcp6.ts, in which order the kernel is changed for
// kernel-turn.ts. Everything the table asks for within a turn of the event loop is done at its end.
//
// Start: what the file keeps is given to the table before the ports are, so that what a former life left in the kernel
// is wanted again before anything is swept, and no route goes away in between. With thousands of guests each step takes
// a while: others get their turn in between.

import type { GuestDrop } from '../dataplane/guest-wish.ts';
import type { GuestsIntent } from '../intent/guests.ts';
import { LeafdError } from '../lib/leafd-error.ts';
import type { LinkMonitor } from '../netlink/monitor.ts';
import { readFrame } from '../wire/lan/sighting.ts';
import { GuestAnswers, type SendFrame } from './answers.ts';
import { Attachments } from './attachments.ts';
import type { Binding } from './binding.ts';
import type { DhcpGuest } from './dhcp.ts';
import { type DropContext, offenceOf } from './drops.ts';
import { GuestPorts } from './guest-ports.ts';
import { decodeKept, encodeKept } from './kept.ts';
import { KernelTurn, type PortPlane, type RoutePlane } from './kernel-turn.ts';
import type { GuestEvent, GuestHost, GuestPort, Heard, Sighting } from './ports.ts';
import { ResumeWatch } from './qmp.ts';
import { GuestTable } from './table.ts';

/** What the filter dropped so soon after a frame was understood was most likely that frame. */
const JUDGED_MS = 250;

/** How long the kernel is given to have the route of a guest before its question is answered all the same. */
const ANSWER_WAIT_MS = 3;
const ANSWER_TRIES = 20;

export interface GuestsWorld {
  monitor: LinkMonitor;
  plane: PortPlane & {
    sweep(): void;
    guard(links: readonly { ifindex: number; name: string }[]): void;
    send: SendFrame;
  };
  routes: RoutePlane & {
    isAnnounced(address: Uint8Array): boolean;
    watch(address: Uint8Array): Heard | undefined;
    unwatch(address: Uint8Array): void;
  };
  /** Whose an address is that no guest may have, in words; undefined for all others. */
  reserved(address: Uint8Array): string | undefined;
  nowMs(): number;
  wallMs(): number;
  event(event: GuestEvent): void;
  trouble(error: LeafdError): void;
  /** Path of the file of attachments. */
  path: string;
}

export class Guests {
  readonly table: GuestTable;
  readonly #world: GuestsWorld;
  readonly #turn: KernelTurn;
  readonly #ports: GuestPorts;
  readonly #answers: GuestAnswers;
  readonly #attachments: Attachments;
  readonly #resumes = new Map<string, ResumeWatch>();
  /** Ports whose question for the gateway is answered soon. */
  readonly #unanswered = new Set<number>();
  /** By port: when a frame of it was understood last. */
  readonly #judgedAtMs = new Map<number, number>();
  readonly #dropContext: DropContext;
  #intent: GuestsIntent;
  #flushDue = false;
  /** There are more ports than the table takes. */
  #isFull = false;
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #advertising: NodeJS.Timeout | undefined;
  #closed = false;

  /** Knows what was left by a former life; `begin` takes it up. */
  constructor(intent: GuestsIntent, configured: readonly Binding[], world: GuestsWorld) {
    this.#world = world;
    this.#intent = intent;
    const metricOf = (fresh: boolean): number => (fresh ? this.#intent.freshMetric : this.#intent.metric);
    this.#turn = new KernelTurn(world.plane, world.routes, metricOf);
    this.#ports = new GuestPorts(world.monitor, {
      portUp: (port) => this.#portUp(port),
      portChanged: (port) => this.#do(() => this.#takePort(port)),
      portGone: (port) => this.#portGone(port),
    });
    this.#dropContext = {
      portBehind: (ifindex, mac) => this.#turn.portBehind(ifindex, mac),
      mayHave: (ifindex, mac) => this.#turn.mayHave(ifindex, mac),
      portOf: (address) => this.#turn.portOf(address),
      // The filter tells a little later than the log.
      hasJudged: (ifindex) =>
        world.nowMs() - (this.#judgedAtMs.get(ifindex) ?? Number.NEGATIVE_INFINITY) < JUDGED_MS,
    };
    const send: SendFrame = (ifindex, frame, length) => world.plane.send(ifindex, frame, length);
    this.#answers = new GuestAnswers(intent, send);
    this.#attachments = new Attachments({
      path: world.path,
      text: () => encodeKept(this.table.kept()),
      trouble: (error) => world.trouble(error),
    });
    this.table = new GuestTable(this.#host(), intent);
    this.table.configure(intent, configured);
    const kept = this.#attachments.load((text) => decodeKept(text, world.path));
    if (kept !== undefined)
      for (const lost of this.table.restore(kept.addresses, kept.bindings))
        world.trouble(new LeafdError('attachment-lost', `${world.path}: ${lost}`));
  }

  /** Takes up what was left by a former life; frames of guests are to be kept until it is done. */
  async begin(): Promise<void> {
    await othersTurn();
    if (this.#closed) return;
    this.#ports.take(this.#routedNics());
    this.#flushDue = true;
    this.#ports.follow(this.#intent);
    await othersTurn();
    this.#flush();
    await othersTurn();
    if (this.#closed) return;
    this.#world.plane.sweep();
    this.#advertiseFromNow();
  }

  /** Puts another configuration in force. Throws nothing: it has been judged. */
  configure(intent: GuestsIntent, configured: readonly Binding[]): void {
    const metricChanged =
      intent.metric !== this.#intent.metric || intent.freshMetric !== this.#intent.freshMetric;
    this.#intent = intent;
    this.#answers.configure(intent);
    this.table.configure(intent, configured);
    this.#ports.follow(intent);
    if (metricChanged) this.#turn.repeatAll();
    this.#flush();
    this.#advertiseFromNow();
  }

  /** Does something to the table; the kernel has what follows from it when this returns. */
  change<Result>(work: (table: GuestTable) => Result): Result {
    try {
      return work(this.table);
    } finally {
      this.#flush();
    }
  }

  /** The routed NICs that LXD's bindings name are others: their links are ports, taken as LXD has made them. */
  takeRoutedNics(): void {
    this.#ports.take(this.#routedNics());
    this.#flush();
  }

  /** Resolves when what has changed is on disk. Rejects with LeafdError. */
  saved(): Promise<void> {
    return this.#attachments.saved();
  }

  /** What other nodes say of an address. */
  heard(address: Uint8Array, heard: Heard | undefined): void {
    this.#do(() => this.table.heard(address, heard));
  }

  /** What came in on a port that tells who is behind it, judged by nobody yet: bytes[0, length), used again. */
  heardFrame(ifindex: number, bytes: Uint8Array, length: number): void {
    const port = this.#ports.ports.get(ifindex);
    if (port !== undefined && !this.#closed) this.#frame(port, bytes, length);
  }

  /** What the kernel's filter dropped. */
  dropped(drop: GuestDrop): void {
    const offence = offenceOf(drop, this.#dropContext);
    if (offence === undefined) return;
    this.#do(() => this.table.forbidden(offence.ifindex, offence.refusal, offence.about));
  }

  /** There are to be no guests: all are withdrawn. To be closed next. */
  release(): void {
    this.#turn.unbindAll();
    this.#flush();
  }

  /** Ends; the kernel stays as it is. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearInterval(this.#advertising);
    for (const watch of this.#resumes.values()) watch.close();
    this.#ports.close();
    await this.#attachments.close();
  }

  #host(): GuestHost {
    const world = this.#world;
    return {
      nowMs: world.nowMs,
      wallMs: world.wallMs,
      bind: (bound) => this.#turn.bind(bound),
      unbind: (address) => this.#turn.unbind(address),
      admit: (port, macs) => this.#turn.admit(port, macs),
      probe: (port, address) => this.#answers.probe(port, address),
      watch: (address) => world.routes.watch(address),
      unwatch: (address) => world.routes.unwatch(address),
      reserved: world.reserved,
      event: world.event,
      changed: () => this.#attachments.changed(),
      qmp: (binding, socket) => this.#qmp(binding, socket),
    };
  }

  #qmp(binding: string, socket: string | undefined): void {
    this.#resumes.get(binding)?.close();
    this.#resumes.delete(binding);
    if (socket === undefined || this.#closed) return;
    const watch = new ResumeWatch(socket, () => this.#do(() => this.table.resumed(binding)));
    this.#resumes.set(binding, watch);
  }

  /** Tells the table something; what follows is done at the end of the turn. */
  #do(work: () => void): void {
    if (this.#closed) return;
    work();
    if (this.#flushDue) return;
    this.#flushDue = true;
    queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    this.#flushDue = false;
    if (this.#closed) return;
    this.#turn.flush();
    this.#arm();
  }

  #arm(): void {
    const atMs = this.table.nextDeadlineMs();
    if (atMs === this.#timerAtMs) return;
    clearTimeout(this.#timer);
    this.#timerAtMs = atMs;
    if (atMs === Number.POSITIVE_INFINITY) return;
    const waitMs = Math.min(2 ** 31 - 1, Math.max(0, Math.ceil(atMs - this.#world.nowMs())));
    this.#timer = setTimeout(() => {
      this.#timerAtMs = Number.POSITIVE_INFINITY;
      this.#do(() => this.table.advance());
    }, waitMs);
  }

  #routedNics(): Set<string> {
    const names = new Set<string>();
    for (const { binding } of this.table.bindings())
      if (binding.source === 'lxd' && binding.bridge === undefined && binding.port !== undefined)
        names.add(binding.port);
    return names;
  }

  #portUp(port: GuestPort): void {
    if (port.asItIs) this.#guard();
    this.#do(() => this.#takePort(port));
  }

  /** A port beyond the table's limit is shut, which is told once; it is taken when another has gone. */
  #takePort(port: GuestPort): void {
    try {
      this.table.portUp(port);
    } catch (error) {
      if (!(error instanceof LeafdError)) throw error;
      this.#turn.admit(port, []);
      if (!this.#isFull) this.#world.trouble(error);
      this.#isFull = true;
    }
  }

  /** What guests may reach on this machine is limited on these links too. */
  #guard(): void {
    const links = [...this.#ports.ports.values()].filter((port) => port.asItIs);
    this.#world.plane.guard(links.map(({ ifindex, name }) => ({ ifindex, name })));
  }

  #portGone(port: GuestPort): void {
    if (port.asItIs) this.#guard();
    this.#do(() => {
      this.table.portGone(port.ifindex);
      this.#judgedAtMs.delete(port.ifindex);
      this.#turn.forget(port.ifindex);
      if (this.#isFull) this.#takeLeftOut();
    });
  }

  #takeLeftOut(): void {
    this.#isFull = false;
    for (const port of this.#ports.ports.values())
      if (this.table.portNamed(port.name) === undefined) this.#takePort(port);
  }

  #frame(port: GuestPort, bytes: Uint8Array, length: number): void {
    const news = readFrame(bytes, length, this.#intent);
    if (news === undefined) return;
    this.#judgedAtMs.set(port.ifindex, this.#world.nowMs());
    switch (news.kind) {
      case 'sighting':
        this.#sighted(port, news.sighting);
        return;
      case 'forbidden':
        this.#do(() => this.table.forbidden(port.ifindex, news.what, { mac: news.mac }));
        return;
      case 'routerSolicitation':
        if (!port.asItIs) this.#answers.solicited(port, news, this.#guestOf(port));
        return;
      case 'dhcp4':
        this.#sighted(port, news.sighting);
        if (!port.asItIs) this.#answers.dhcp4(port, news, this.#guestOf(port));
        return;
      case 'dhcp6':
        this.#sighted(port, news.sighting);
        if (!port.asItIs) this.#answers.dhcp6(port, news, this.#guestOf(port));
    }
  }

  /**
   * A question for the gateway from an address that was not bound yet was dropped by the filter: it is answered here,
   * once the kernel knows the guest, so that nobody waits for his next try.
   */
  #sighted(port: GuestPort, sighting: Sighting): void {
    const { address } = sighting;
    const asks = sighting.asksGateway === true && (sighting.kind === 'arp' || sighting.kind === 'ns');
    const wasBound = address !== undefined && this.#turn.portOf(address) === port.ifindex;
    this.#do(() => this.table.sighted(port.ifindex, sighting));
    if (!asks || port.asItIs || address === undefined || wasBound) return;
    if (this.#turn.portOf(address) !== port.ifindex) return;
    this.#flush();
    this.#answerOnceRouted(port, sighting, address);
  }

  /** An answer before the kernel has the way back would only lose the guest's first packet. */
  #answerOnceRouted(port: GuestPort, sighting: Sighting, address: Uint8Array): void {
    if (this.#unanswered.has(port.ifindex)) return;
    let tries = 0;
    const look = (): void => {
      const { routes } = this.#world;
      const isGone = this.#closed || this.#turn.portOf(address) !== port.ifindex;
      if (!isGone && !routes.isAnnounced(address) && ++tries < ANSWER_TRIES) {
        setTimeout(look, ANSWER_WAIT_MS).unref();
        return;
      }
      this.#unanswered.delete(port.ifindex);
      if (!isGone) this.#answers.gateway(port, sighting);
    };
    this.#unanswered.add(port.ifindex);
    setTimeout(look, 1).unref();
  }

  #guestOf(port: GuestPort): DhcpGuest | undefined {
    return this.table.dhcpGuest(port.ifindex);
  }

  #advertiseFromNow(): void {
    clearInterval(this.#advertising);
    const everyMs = this.#answers.advertiseEveryMs;
    if (everyMs === undefined) return;
    this.#advertising = setInterval(() => {
      for (const port of this.#ports.ports.values()) {
        const guest = this.#guestOf(port);
        if (guest !== undefined && port.carrier && !port.asItIs) this.#answers.advertise(port, guest);
      }
    }, everyMs);
    this.#advertising.unref();
  }
}

const othersTurn = (): Promise<void> => new Promise((done) => setImmediate(done));
