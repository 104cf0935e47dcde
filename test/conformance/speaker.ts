// One BGP session of ours to the daemon under test: connects from an address of its own, says what it is told to
// say, remembers the routes it is sent and how the session ended. Nothing here sleeps: every change rings a bell,
// and whoever waits looks again.

import { connect, type Socket } from 'node:net';
import { type Capability, hex, ip, keepalive, type OpenParts, open, u16, u32 } from './bytes.ts';
import { decodeCapabilities, decodeUpdate, type SeenRoute, Unreadable } from './decode.ts';

/** Wakes those who wait whenever anything happened on any session. */
export class Bell {
  readonly #waiting = new Set<() => void>();

  ring(): void {
    for (const look of [...this.#waiting]) look();
  }

  /** Waits until the condition holds; false when it did not within the time. */
  until(condition: () => boolean, timeoutMs: number): Promise<boolean> {
    if (condition()) return Promise.resolve(true);
    return new Promise((resolve) => {
      const done = (held: boolean) => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve(held);
      };
      const look = () => {
        if (condition()) done(true);
      };
      const timer = setTimeout(() => done(condition()), timeoutMs);
      this.#waiting.add(look);
    });
  }
}

export interface Ending {
  /** What the daemon said; absent when it just closed. */
  readonly notification?: { code: number; subcode: number; data: string };
}

export interface Families {
  readonly [name: string]: readonly [afi: number, safi: number];
}

/** The families of a whole speaker, as on the wire. */
export const FAMILIES = {
  ipv4: [1, 1],
  ipv6: [2, 1],
  vpnv4: [1, 128],
  vpnv6: [2, 128],
  evpn: [25, 70],
  rtc: [1, 132],
  flowspec4: [1, 133],
  flowspec6: [2, 133],
  flowspecVpn4: [1, 134],
  flowspecVpn6: [2, 134],
} as const satisfies Families;

export type FamilyName = keyof typeof FAMILIES;

export interface SpeakerPlan {
  readonly name: string;
  readonly local: string;
  readonly remote: string;
  readonly asn: number;
  /** Whether we say that we know 4-octet AS numbers. */
  readonly asn4: boolean;
  readonly extended?: boolean;
  /** Families in which we announce with path identifiers. */
  readonly addPathSend?: readonly FamilyName[];
  readonly families: readonly FamilyName[];
  /** IPv4 routes with IPv6 next hops (RFC 8950). */
  readonly extendedNextHop?: boolean;
  readonly extraCapabilities?: readonly Capability[];
}

export function capabilitiesOf(plan: SpeakerPlan): Capability[] {
  const capabilities: Capability[] = plan.families.map((name) => {
    const [afi, safi] = FAMILIES[name];
    return { code: 1, value: [...u16(afi), 0, safi] };
  });
  capabilities.push({ code: 2, value: [] }, { code: 70, value: [] });
  if (plan.asn4) capabilities.push({ code: 65, value: u32(plan.asn) });
  if (plan.extended === true) capabilities.push({ code: 6, value: [] });
  if (plan.extendedNextHop === true) capabilities.push({ code: 5, value: [0, 1, 0, 1, 0, 2] });
  const paths = (plan.addPathSend ?? []).flatMap((name) => [...u16(FAMILIES[name][0]), FAMILIES[name][1], 2]);
  if (paths.length > 0) capabilities.push({ code: 69, value: paths });
  return [...capabilities, ...(plan.extraCapabilities ?? [])];
}

export class Speaker {
  readonly plan: SpeakerPlan;
  readonly routes = new Map<string, SeenRoute>();
  /** Keys that were withdrawn at any time: a canary must never be among them. */
  readonly withdrawn = new Set<string>();
  /** Keys announced since somebody last emptied this. */
  readonly announced = new Set<string>();
  /** End-of-RIBs seen, and ROUTE-REFRESH messages as hex. */
  readonly endsOfRib = new Set<string>();
  readonly refreshes: string[] = [];
  /** Capabilities of the daemon, once its OPEN is here. */
  offered: { code: number; value: string }[] | undefined;
  keepalives = 0;
  ended: Ending | undefined;
  fault: string | undefined;
  #socket: Socket | undefined;
  #buffer: Buffer = Buffer.alloc(0);
  #timer: NodeJS.Timeout | undefined;
  readonly #bell: Bell;

  constructor(plan: SpeakerPlan, bell: Bell) {
    this.plan = plan;
    this.#bell = bell;
  }

  get established(): boolean {
    return this.ended === undefined && this.offered !== undefined && this.keepalives > 0;
  }

  /** AS numbers in paths that the daemon sends us. */
  get octets(): 2 | 4 {
    return this.plan.asn4 && this.offers(65) ? 4 : 2;
  }

  offers(code: number, value = ''): boolean {
    return this.offered?.some((one) => one.code === code && one.value.includes(value)) === true;
  }

  /** Whether the family is spoken on this session. */
  speaks(name: FamilyName): boolean {
    const [afi, safi] = FAMILIES[name];
    if (!this.plan.families.includes(name) || this.offered === undefined) return false;
    const value = hex([...u16(afi), 0, safi]);
    const none = !this.offered.some((one) => one.code === 1);
    return this.offered.some((one) => one.code === 1 && one.value === value) || (none && name === 'ipv4');
  }

  connect(timeoutMs = 3000): Promise<boolean> {
    const { local, remote } = this.plan;
    const socket = connect({ host: remote, port: 179, localAddress: local, noDelay: true });
    this.#socket = socket;
    let connected = false;
    socket.on('connect', () => {
      connected = true;
      this.#bell.ring();
    });
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('error', () => this.#end());
    socket.on('close', () => this.#end());
    return this.#bell
      .until(() => connected || this.ended !== undefined, timeoutMs)
      .then(() => connected && this.ended === undefined);
  }

  openParts(): OpenParts {
    const { asn, local } = this.plan;
    return {
      asn: asn > 65535 ? 23456 : asn,
      identifier: ip(local.includes(':') ? '10.110.0.1' : local),
      capabilities: capabilitiesOf(this.plan),
    };
  }

  /** The whole handshake; true when the session is established. */
  async establish(timeoutMs = 5000): Promise<boolean> {
    if (!(await this.connect(timeoutMs))) return false;
    this.send(open(this.openParts()));
    await this.#bell.until(() => this.offered !== undefined || this.ended !== undefined, timeoutMs);
    this.send(keepalive());
    await this.#bell.until(() => this.established || this.ended !== undefined, timeoutMs);
    this.keepAlive();
    return this.established;
  }

  /** Goes on saying that we live. */
  keepAlive(): void {
    this.#timer = setInterval(() => this.send(keepalive()), 10_000);
    this.#timer.unref();
  }

  send(bytes: Uint8Array): void {
    if (this.ended === undefined && this.#socket?.writable === true) this.#socket.write(bytes);
  }

  /** Sends messages, as they are or all together in pieces, each of which the kernel gets by itself. */
  async sendAll(messages: readonly Uint8Array[], piece?: number): Promise<void> {
    if (piece === undefined) {
      for (const bytes of messages) this.send(bytes);
      return;
    }
    const all = Buffer.concat(messages);
    for (let at = 0; at < all.length; at += piece) {
      this.send(all.subarray(at, at + piece));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  close(): void {
    this.#socket?.destroy();
    this.#end();
  }

  #end(notification?: Ending['notification']): void {
    clearInterval(this.#timer);
    this.ended ??= notification === undefined ? {} : { notification };
    this.#bell.ring();
  }

  #take(chunk: Buffer): void {
    this.#buffer = Buffer.concat([this.#buffer, chunk]);
    let at = 0;
    while (this.#buffer.length - at >= 19) {
      const length = this.#buffer.readUInt16BE(at + 16);
      if (length < 19) {
        this.fault ??= `a message of ${length} bytes`;
        break;
      }
      if (this.#buffer.length - at < length) break;
      this.#message(this.#buffer[at + 18]!, this.#buffer.subarray(at + 19, at + length));
      at += length;
    }
    this.#buffer = this.#buffer.subarray(at);
    this.#bell.ring();
  }

  #message(type: number, body: Buffer): void {
    if (type === 1) this.offered = decodeCapabilities(body);
    else if (type === 2) this.#update(body);
    else if (type === 3) this.#end({ code: body[0]!, subcode: body[1]!, data: hex(body.subarray(2)) });
    else if (type === 4) this.keepalives++;
    else if (type === 5) this.refreshes.push(hex(body));
    else this.fault ??= `a message of type ${type}`;
  }

  #update(body: Buffer): void {
    try {
      const { announced, withdrawn, endOfRib } = decodeUpdate(body, new Set());
      for (const key of withdrawn) {
        this.routes.delete(key);
        this.withdrawn.add(key);
      }
      for (const { key, route } of announced) {
        this.routes.set(key, route);
        this.announced.add(key);
      }
      if (endOfRib !== undefined) this.endsOfRib.add(endOfRib);
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      this.fault ??= error.message;
    }
  }
}
