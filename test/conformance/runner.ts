// Plays cases against a daemon: keeps the watchers and the canary up, opens the session a case wants, announces a
// good route, sends the case's bytes, then a barrier: a route whose arrival at the watchers says that the daemon is
// done with all before it. Nothing is timed but failure.

import { Daemon } from './bed.ts';
import { hex, ip, keepalive, open, prefix, u32, update } from './bytes.ts';
import {
  announce,
  base,
  type Case,
  DAEMON,
  type DialogueCase,
  GOOD_MARK,
  type Ground,
  keyOf,
  LOCAL_AS,
  nlriOf,
  type SessionKind,
  type UpdateCase,
  type WatcherName,
} from './case.ts';
import { type AttackerRange, CANARY, type DaemonName, RANGES, WATCHERS } from './daemons.ts';
import { judge, type Observed, type Verdict } from './judge.ts';
import { Bell, type FamilyName, Speaker, type SpeakerPlan } from './speaker.ts';

export interface CaseResult {
  readonly id: string;
  readonly category: string;
  readonly verdict: Verdict | { readonly kind: 'notApplicable'; readonly why: string };
  /** Bytes sent, as hex, and how long it took. */
  readonly sent: string;
  readonly tookMs: number;
}

export interface RunnerOptions {
  readonly daemon: DaemonName;
  readonly prefix: string;
  /** The longest wait for anything that should happen. */
  readonly patienceMs: number;
  /**
   * A valid route is sent in place of each case's bytes: what a daemon would do that takes no notice of faults. Every
   * case that wants a withdrawal or a reset must come out wrong then.
   */
  readonly planted?: boolean;
  readonly onResult?: (result: CaseResult) => void;
}

/** An address that no neighbour has. */
const STRANGER = '10.96.0.2';
/** How long a second connection is listened to; a daemon may keep it until its OPEN is judged. */
const SECOND_MS = 500;

const canaryPrefixes = ['198.51.100.0/24', '203.0.113.0/24', '192.0.2.0/24'];
const ordinary: readonly FamilyName[] = [
  ...(['ipv4', 'ipv6', 'vpnv4', 'vpnv6', 'evpn', 'rtc'] as const),
  ...(['flowspec4', 'flowspec6', 'flowspecVpn4', 'flowspecVpn6'] as const),
];

export class Runner {
  readonly bell = new Bell();
  readonly daemon: Daemon;
  readonly #options: RunnerOptions;
  readonly #watchers = new Map<WatcherName, Speaker>();
  readonly #attackers = new Map<SessionKind, Speaker>();
  #canary: Speaker | undefined;
  #addresses = 0;
  #barriers = 0;
  #cases = 0;
  #failures = 0;

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.daemon = new Daemon(options.daemon, options.prefix, () => this.bell.ring());
  }

  async start(): Promise<void> {
    await this.daemon.start();
    await this.#raiseOthers(20_000);
  }

  async stop(): Promise<void> {
    for (const speaker of this.#everybody()) speaker.close();
    await this.daemon.stop();
    this.daemon.remove();
  }

  #everybody(): Speaker[] {
    const canary = this.#canary === undefined ? [] : [this.#canary];
    return [...this.#watchers.values(), ...this.#attackers.values(), ...canary];
  }

  #plan(name: string, local: string, asn: number, kind: SessionKind = 'external'): SpeakerPlan {
    const families = kind === 'addPath' || kind === 'extended' ? (['ipv4', 'ipv6'] as const) : ordinary;
    return {
      ...{ name, local, remote: DAEMON, asn, families },
      asn4: kind !== 'old' && kind !== 'oldInternal',
      extended: kind === 'extended',
      ...(kind === 'addPath' ? { addPathSend: ['ipv4', 'ipv6'] as const } : {}),
      extendedNextHop: kind === 'v6hop',
      ...(kind in roles ? { extraCapabilities: [{ code: 9, value: [roles[kind]!] }] } : {}),
    };
  }

  /** From an address nobody has connected from. */
  #attackerPlan(kind: SessionKind): SpeakerPlan {
    const { start, asn } = rangeOf(kind);
    const at = ++this.#addresses;
    if (at % 32 === 0) this.daemon.forgetNeighbours();
    return this.#plan(kind, `${start}.${1 + (at >> 8)}.${at & 255}`, asn, kind);
  }

  // Watchers and the canary, tried again until they stand: a daemon may need its time to listen.
  async #raiseOthers(timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    const raise = async (plan: SpeakerPlan): Promise<Speaker> => {
      for (;;) {
        const speaker = new Speaker(plan, this.bell);
        if (await speaker.establish()) return speaker;
        speaker.close();
        if (performance.now() > deadline || !this.daemon.alive)
          throw new Error(`${plan.name} has no session:\n${this.daemon.lastWords()}`);
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    };
    for (const [name, { address, asn }] of Object.entries(WATCHERS)) {
      const kind = name === 'old' ? 'old' : 'external';
      if (this.#watchers.get(name as WatcherName)?.established === true) continue;
      const speaker = await raise(this.#plan(name, address, asn, kind));
      this.#watchers.set(name as WatcherName, speaker);
      // A default membership (RFC 4684 section 3.1), or VPN routes would be kept from it.
      if (speaker.speaks('rtc')) speaker.send(announceDefaultTarget(speaker));
      for (const family of ordinary) if (speaker.speaks(family)) speaker.send(endOfRib(family));
    }
    if (this.#canary?.established !== true) {
      this.#canary = await raise(this.#plan('canary', CANARY.address, CANARY.asn));
      const ground = this.#ground('external', 'ipv4', 0, this.#canary);
      this.#canary.send(
        update({ attributes: base({ ...ground, asn: CANARY.asn }), nlri: canaryPrefixes.flatMap(prefix) }),
      );
    }
    const keys = canaryPrefixes.map((text) => keyOf('ipv4', prefix(text)));
    const deaf = () =>
      [...this.#watchers]
        .filter(([, one]) => !keys.every((key) => one.routes.has(key)))
        .map(([name]) => name);
    if (!(await this.bell.until(() => deaf().length === 0, 10_000)))
      throw new Error(`the canary is not heard by ${deaf().join(', ')}:\n${this.daemon.lastWords()}`);
    for (const watcher of this.#watchers.values()) watcher.withdrawn.clear();
  }

  #ground(session: SessionKind, family: FamilyName, index: number, speaker: Speaker): Ground {
    return {
      ...{ index, session, family, octets: speaker.octets, asn: speaker.plan.asn, local: speaker.plan.local },
      internal: session === 'internal' || session === 'oldInternal',
      nlri: nlriOf(family, index),
      other: nlriOf(family, index, 1),
    };
  }

  async #attacker(kind: SessionKind): Promise<Speaker> {
    const present = this.#attackers.get(kind);
    if (present?.established === true) return present;
    present?.close();
    for (let attempt = 1; ; attempt++) {
      const speaker = new Speaker(this.#attackerPlan(kind), this.bell);
      if (await speaker.establish(this.#options.patienceMs)) {
        this.#attackers.set(kind, speaker);
        return speaker;
      }
      speaker.close();
      if (attempt >= 5) throw new Error(`no session for an attacker (${kind}):\n${this.daemon.lastWords()}`);
    }
  }

  /** Plays a case; restarts the daemon first when an earlier one ended it, or left it dumb. */
  async play(one: Case): Promise<CaseResult> {
    const startedMs = performance.now();
    let played: Pick<CaseResult, 'verdict' | 'sent'>;
    try {
      if (!this.daemon.alive) await this.#revive();
      else if (this.#everybodyElseLost().length > 0) await this.#raiseOthers(20_000);
      played = await (one.kind === 'update' ? this.#playUpdate(one) : this.#playDialogue(one));
      this.#failures = 0;
    } catch (error) {
      // It takes no session any more. Once, that is a finding; again and again, there is no use in going on.
      if (++this.#failures > 3) throw error;
      const seen = `no sessions are to be had: ${(error as Error).message.split('\n')[0]}`;
      played = { verdict: { kind: 'wrong', what: this.daemon.alive ? 'stuck' : 'crash', seen }, sent: '' };
      await this.#revive();
    }
    const result = {
      ...{ id: one.id, category: one.category, ...played },
      tookMs: Math.round(performance.now() - startedMs),
    };
    this.#options.onResult?.(result);
    return result;
  }

  async #revive(): Promise<void> {
    for (const speaker of this.#everybody()) speaker.close();
    this.#attackers.clear();
    this.#watchers.clear();
    this.#canary = undefined;
    await this.daemon.stop();
    await this.daemon.start();
    await this.#raiseOthers(20_000);
  }

  /** What a daemon must offer for the case to mean anything. */
  #lack(one: Case, speaker: Speaker): string | undefined {
    if (one.kind === 'update' && !speaker.speaks(one.family)) return `no ${one.family}`;
    for (const code of one.needs ?? []) if (!speaker.offers(code)) return `no capability ${code}`;
    if (one.session === 'extended' && !speaker.offers(6)) return 'no extended messages';
    if (one.session === 'addPath' && !/^(........)*(000101|000201)0[13]/.test(pathsOffered(speaker)))
      return 'no add-path';
    if (one.session === 'v6hop' && !speaker.offers(5)) return 'no extended next hops';
    return undefined;
  }

  async #playUpdate(one: UpdateCase): Promise<Pick<CaseResult, 'verdict' | 'sent'>> {
    const attacker = await this.#attacker(one.session);
    const lack = this.#lack(one, attacker);
    if (lack !== undefined) return { verdict: { kind: 'notApplicable', why: lack }, sent: '' };
    const ground = this.#ground(one.session, one.family, this.#cases++, attacker);
    const key = keyOf(one.family, one.nlri?.(ground) ?? ground.nlri);
    if (one.good !== false) {
      if (one.family.startsWith('flowspec')) attacker.send(coveringRoute(ground));
      attacker.send(announce(ground, base(ground, GOOD_MARK)));
      const here = () => this.#interested(one.family).every((watcher) => watcher.routes.has(key));
      const held = () => here() || attacker.ended !== undefined || !this.daemon.alive;
      await this.bell.until(held, this.#options.patienceMs);
      if (!here()) {
        const seen =
          attacker.ended === undefined ? 'the good route did not arrive' : 'reset by the good route';
        attacker.close();
        return { verdict: { kind: 'wrong', what: 'stuck', seen }, sent: '' };
      }
    }
    for (const watcher of this.#watchers.values()) watcher.announced.clear();
    const made = this.#options.planted === true ? announce(ground, base(ground)) : one.send(ground);
    const messages = made instanceof Uint8Array ? [made] : made;
    await attacker.sendAll(messages, one.piece);
    const sent = messages.map(hex).join(' ');
    let observed: Observed | undefined;
    let verdict: Verdict | undefined;
    // Once more when the first barrier overtook the case's own routes on the way out.
    const rounds = one.expect.some((each) => each.kind === 'ignore') ? [2, 3] : [1, 3];
    let passed = 0;
    for (const round of rounds) {
      let open = true;
      while (passed < round && open) {
        open = await this.#barrier(attacker, one.session, messages.length);
        if (open) passed++;
      }
      observed = this.#observe(one.family, key, attacker, open);
      observed = { ...observed, leaked: this.#leaked(ground) };
      verdict = judge(one, await this.#settled(observed), ground);
      if (verdict.kind === 'right' || !open) break;
    }
    // A session that no longer passes anything is of no use to the next case.
    if (observed?.passed !== true) attacker.close();
    return { verdict: verdict!, sent };
  }

  /** The watchers that hear of a family. */
  #interested(family: FamilyName): Speaker[] {
    return [...this.#watchers.values()].filter((watcher) => watcher.speaks(family));
  }

  /** Announces a route and waits for it at the watchers; false when it did not arrive. */
  async #barrier(attacker: Speaker, kind: SessionKind, messages = 1): Promise<boolean> {
    const at = ++this.#barriers;
    const ground = this.#ground(kind, 'ipv4', 0, attacker);
    const nlri = prefix(`30.${(at >> 8) & 255}.${at & 255}.0/24`);
    attacker.send(announce({ ...ground, nlri }, base({ ...ground, nlri })));
    const key = keyOf('ipv4', nlri);
    const watchers = [...this.#watchers.values()];
    const arrived = () => watchers.every((watcher) => watcher.routes.has(key) || watcher.ended !== undefined);
    const over = () => attacker.ended !== undefined || !this.daemon.alive;
    // A flood may take its time.
    const patienceMs = this.#options.patienceMs * (messages > 100 ? 5 : 1);
    await this.bell.until(() => arrived() || over(), patienceMs);
    return arrived() && !over();
  }

  #observe(family: FamilyName, key: string, attacker: Speaker, passed: boolean): Observed {
    const interested = new Set(this.#interested(family));
    const routes: Observed['routes'] = {};
    for (const [name, watcher] of this.#watchers)
      if (interested.has(watcher)) routes[name] = watcher.routes.get(key);
    return {
      routes,
      ...(attacker.ended === undefined ? {} : { ended: attacker.ended }),
      passed,
      crashed: !this.daemon.alive,
      collateral: this.#everybodyElseLost(),
    };
  }

  /** What watchers were sent of an opaque family beside the ground's routes; unicast cases announce others, too. */
  #leaked(ground: Ground): string[] {
    if (ground.family === 'ipv4' || ground.family === 'ipv6') return [];
    const own = [ground.nlri, ground.other].map((nlri) => keyOf(ground.family, nlri));
    const prefix = `${familyCodes(ground.family).join('/')}/`;
    const sent = [...this.#watchers.values()].flatMap((watcher) => [...watcher.announced]);
    return [...new Set(sent)].filter((key) => key.startsWith(prefix) && !own.includes(key));
  }

  // A daemon that dies may say goodbye first: the end of the process is waited for where it is in the air.
  async #settled(observed: Observed): Promise<Observed> {
    const goodbye = observed.ended?.notification?.code === 6 || observed.collateral.length > 0;
    const silent = observed.ended !== undefined && observed.ended.notification === undefined;
    if (observed.crashed || !(goodbye || silent)) return observed;
    await this.bell.until(() => !this.daemon.alive, goodbye ? 2000 : 300);
    return { ...observed, crashed: !this.daemon.alive };
  }

  /** Harm to others; each is reported once. */
  #everybodyElseLost(): string[] {
    const harm: string[] = [];
    const keys = canaryPrefixes.map((text) => keyOf('ipv4', prefix(text)));
    for (const [name, watcher] of this.#watchers) {
      if (watcher.ended !== undefined) harm.push(`the session of watcher ${name} ended`);
      if (watcher.fault !== undefined) harm.push(`watcher ${name} was sent ${watcher.fault.slice(0, 200)}`);
      if (keys.some((key) => watcher.withdrawn.has(key))) harm.push(`watcher ${name} lost a canary`);
      watcher.fault = undefined;
      watcher.withdrawn.clear();
    }
    if (this.#canary?.ended !== undefined) harm.push('the session of the canary ended');
    return harm;
  }

  async #playDialogue(one: DialogueCase): Promise<Pick<CaseResult, 'verdict' | 'sent'>> {
    const probe = new Speaker(this.#attackerPlan(one.session), this.bell);
    const patience = one.withinMs ?? this.#options.patienceMs;
    try {
      const parts = { ...probe.openParts(), ...one.open };
      if (!(await probe.connect(this.#options.patienceMs)))
        return { verdict: { kind: 'wrong', what: 'stuck', seen: 'no connection' }, sent: '' };
      await this.#lead(one, probe, parts);
      const lack = this.#lack(one, probe);
      if (lack !== undefined) return { verdict: { kind: 'notApplicable', why: lack }, sent: '' };
      const ground = this.#ground(one.session, 'ipv4', this.#cases++, probe);
      const messages = one.send(ground, parts);
      await probe.sendAll(messages, one.piece);
      if (one.second !== undefined) await this.#second(one.second, probe, parts);
      const sent = messages.map(hex).join(' ');
      const staying = one.expect.some((each) => each.kind === 'accept' || each.kind === 'ignore');
      const passed = staying && (await this.#stands(one, probe, patience));
      if (!staying) await this.bell.until(() => probe.ended !== undefined || !this.daemon.alive, patience);
      const seen = one.sent === undefined ? true : await this.bell.until(() => one.sent!(probe), patience);
      const observed = { ...this.#observe('ipv4', '', probe, passed), routes: {} };
      const verdict = judge(one, await this.#settled(observed), ground);
      if (verdict.kind === 'right' && !seen)
        return { verdict: { kind: 'wrong', what: 'attribute', seen: 'it did not answer' }, sent };
      return { verdict, sent };
    } finally {
      probe.close();
    }
  }

  /** Another connection beside a session; it is over before the session is looked at. */
  async #second(
    second: NonNullable<DialogueCase['second']>,
    probe: Speaker,
    parts: Parameters<typeof open>[0],
  ): Promise<void> {
    const local = second.from === 'same' ? probe.plan.local : STRANGER;
    const other = new Speaker({ ...probe.plan, local }, this.bell);
    if (await other.connect(this.#options.patienceMs)) {
      other.send(second.says(parts));
      await this.bell.until(() => other.ended !== undefined || probe.ended !== undefined, SECOND_MS);
    }
    other.close();
  }

  /** As far as the case wants the session to be before its bytes. */
  async #lead(one: DialogueCase, probe: Speaker, parts: Parameters<typeof open>[0]): Promise<void> {
    const patience = this.#options.patienceMs;
    const over = () => probe.ended !== undefined;
    if (one.upto === 'connect') return;
    await this.bell.until(() => probe.offered !== undefined || over(), patience);
    if (one.upto === 'openSent') return;
    probe.send(open(parts));
    await this.bell.until(() => probe.keepalives > 0 || over(), patience);
    if (one.upto === 'openConfirm') return;
    probe.send(keepalive());
    if (one.silent !== true) probe.keepAlive();
    await this.#barrier(probe, one.session);
  }

  /** Whether the session is, or comes, up and carries routes. */
  async #stands(one: DialogueCase, probe: Speaker, patienceMs: number): Promise<boolean> {
    if (one.upto !== 'established') {
      await this.bell.until(() => probe.established || probe.ended !== undefined, patienceMs);
      if (!probe.established) return false;
      if (one.silent !== true) probe.send(keepalive());
    }
    return this.#barrier(probe, one.session);
  }
}

/** What we say we are (RFC 9234 section 4.1). */
const roles: Partial<Record<SessionKind, number>> = { provider: 0, customer: 3, peering: 4 };

function rangeOf(kind: SessionKind): AttackerRange {
  if (kind === 'internal' || kind === 'oldInternal') return RANGES.internal;
  return kind in roles ? RANGES[kind as 'provider'] : RANGES.external;
}

function pathsOffered(speaker: Speaker): string {
  return speaker.offered?.find((one) => one.code === 69)?.value ?? '';
}

function endOfRib(family: FamilyName): Uint8Array {
  if (family === 'ipv4') return update({});
  const [afi, safi] = familyCodes(family);
  return update({ attributes: [{ flags: 0x80, type: 15, value: [0, afi, safi] }] });
}

function familyCodes(family: FamilyName): readonly [number, number] {
  return {
    ...{ ipv4: [1, 1], ipv6: [2, 1], vpnv4: [1, 128], vpnv6: [2, 128], evpn: [25, 70], rtc: [1, 132] },
    ...{ flowspec4: [1, 133], flowspec6: [2, 133], flowspecVpn4: [1, 134], flowspecVpn6: [2, 134] },
  }[family] as [number, number];
}

function announceDefaultTarget(speaker: Speaker): Uint8Array {
  const { asn, local } = speaker.plan;
  const internal = asn === LOCAL_AS;
  const path = internal ? [] : speaker.octets === 4 ? [2, 1, ...u32(asn)] : [2, 1, asn >>> 8, asn & 255];
  return update({
    attributes: [
      { flags: 0x80, type: 14, value: [0, 1, 132, 4, ...ip(local), 0, 0] },
      { flags: 0x40, type: 1, value: [0] },
      { flags: 0x40, type: 2, value: path },
      ...(internal ? [{ flags: 0x40, type: 5, value: u32(100) }] : []),
    ],
  });
}

/** FlowSpec is valid only from whom the unicast route to its destination came (RFC 8955 section 6). */
function coveringRoute(ground: Ground): Uint8Array {
  const family = ground.family.endsWith('6') ? 'ipv6' : 'ipv4';
  const unicast: Ground = { ...ground, family, nlri: nlriOf(family, ground.index) };
  return announce(unicast, base(unicast));
}
