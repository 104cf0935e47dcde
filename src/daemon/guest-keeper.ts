// Guests as the daemon has them: there while the configuration has `guests:`, followed through its changes, asked by
// the API. Wiring only: kernel objects are dataplane's, routes the router's, decisions the guests room's.

import type { GuestsBackend } from '../api/backend.ts';
import type { NewEvent } from '../api/events.ts';
import type { ObjectStatus } from '../dataplane/dataplane.ts';
import { GuestPlane } from '../dataplane/guest-plane.ts';
import type { GuestPlaneIntent } from '../dataplane/guest-wish.ts';
import type { Binding } from '../guests/binding.ts';
import { Guests } from '../guests/guests.ts';
import { LxdDriver } from '../guests/lxd.ts';
import type { GuestEvent, Heard } from '../guests/ports.ts';
import { whoseAddress } from '../guests/reserved.ts';
import type { GuestsIntent } from '../intent/guests.ts';
import type { Intent } from '../intent/intent.ts';
import { realClock } from '../lib/clock-real.ts';
import type { LeafdError } from '../lib/leafd-error.ts';
import { formatIp, sameIp } from '../net/ip.ts';
import type { LinkMonitor } from '../netlink/monitor.ts';
import type { Rtnl } from '../netlink/rtnl.ts';
import type { Peer } from '../router/peer.ts';
import type { Router } from '../router/router.ts';
import { guestBackend } from './guest-backend.ts';

export interface GuestKeeperParts {
  rtnl: Rtnl;
  monitor: LinkMonitor;
  router: Router;
  stateDir: string;
  event(event: NewEvent): void;
  trouble(error: LeafdError): void;
  /** What of the guests' part of the kernel went wrong. */
  kernelFailed(failures: readonly ObjectStatus[]): void;
}

/** Frames that are kept while guests are being taken up. */
const EARLY_FRAMES = 1024;

/** While it lives there are guests. */
interface Care {
  intent: GuestsIntent;
  guests: Guests;
  lxd: LxdDriver | undefined;
}

export class GuestKeeper {
  readonly #parts: GuestKeeperParts;
  readonly #plane: GuestPlane;
  #intent: Intent;
  #care: Care | undefined;
  /** Frames that came while the guests were being taken up. */
  #early: { ifindex: number; bytes: Uint8Array }[] | undefined;

  /** Brings bridges and taps to what is wanted; `begin` takes up the guests. Throws LeafdError. */
  constructor(intent: Intent, parts: GuestKeeperParts) {
    this.#parts = parts;
    this.#intent = intent;
    this.#plane = new GuestPlane({
      rtnl: parts.rtnl,
      links: parts.monitor,
      stateDir: parts.stateDir,
      onDrop: (drop) => this.#care?.guests.dropped(drop),
      onHeard: (ifindex, bytes, length) => this.#heard(ifindex, bytes, length),
      onChange: (failures) => parts.kernelFailed(failures),
    });
    if (intent.guests !== undefined) this.#early = [];
    this.#plane.setIntent(planeIntentOf(intent));
  }

  /** Takes up the guests of a former life. Others have their turns meanwhile. Throws LeafdError. */
  async begin(): Promise<void> {
    const { guests } = this.#intent;
    if (guests === undefined) return;
    await new Promise((done) => setImmediate(done));
    await this.#begin(guests);
  }

  /** Follows a changed configuration. */
  async configure(intent: Intent): Promise<void> {
    this.#intent = intent;
    const { guests } = intent;
    if (guests === undefined) await this.#end();
    else if (this.#care === undefined) this.#early = [];
    this.#plane.setIntent(planeIntentOf(intent));
    if (guests === undefined) return;
    if (this.#care === undefined) {
      await this.#begin(guests);
      return;
    }
    this.#care.guests.configure(guests, configured(guests));
    if (guests.lxd?.socket !== this.#care.intent.lxd?.socket) {
      this.#care.lxd?.close();
      this.#care.lxd = this.#drive(this.#care.guests, guests);
    }
    this.#care.intent = guests;
    this.#care.lxd?.refresh();
  }

  heard(address: Uint8Array, heard: Heard | undefined): void {
    this.#care?.guests.heard(address, heard);
  }

  /** What the API asks; undefined while there are no guests. */
  get backend(): GuestsBackend | undefined {
    if (this.#care === undefined) return undefined;
    const { guests, intent } = this.#care;
    return guestBackend({
      guests,
      expectForMs: intent.moves.expectForMs,
      failures: () => this.#plane.failures(),
      drops: () => this.#plane.drops(),
      unheard: () => this.#plane.unheard(),
      reserved: this.#reserved,
    });
  }

  status(): ObjectStatus[] {
    return this.#plane.status();
  }

  /** Ends; the kernel stays as it is. */
  async close(): Promise<void> {
    await this.#stop();
    this.#plane.close();
  }

  #heard(ifindex: number, bytes: Uint8Array, length: number): void {
    if (this.#early === undefined) this.#care?.guests.heardFrame(ifindex, bytes, length);
    else if (this.#early.length < EARLY_FRAMES)
      this.#early.push({ ifindex, bytes: Uint8Array.from(bytes.subarray(0, length)) });
  }

  async #begin(intent: GuestsIntent): Promise<void> {
    const { monitor, router, stateDir, trouble } = this.#parts;
    const guests = new Guests(intent, configured(intent), {
      monitor,
      plane: this.#plane,
      routes: router.guests,
      reserved: this.#reserved,
      nowMs: () => realClock.nowMs(),
      wallMs: () => Date.now(),
      event: (event) => this.#parts.event(guestEventOf(event)),
      trouble,
      path: `${stateDir}/guests.json`,
    });
    this.#care = { intent, guests, lxd: this.#drive(guests, intent) };
    await guests.begin();
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const { ifindex, bytes } of early) guests.heardFrame(ifindex, bytes, bytes.length);
  }

  #drive(guests: Guests, intent: GuestsIntent): LxdDriver | undefined {
    if (intent.lxd === undefined) return undefined;
    return new LxdDriver({
      socket: intent.lxd.socket,
      guests: {
        bindings: () => {
          const all = guests.table.bindings().map(({ binding }) => binding);
          return all.filter(({ source }) => source === 'lxd');
        },
        attach: (binding) => {
          guests.change((table) => table.attach(binding));
          if (binding.bridge === undefined) guests.takeRoutedNics();
        },
        detach: (name) => {
          const routed = guests.table
            .bindings()
            .some(({ binding }) => binding.name === name && !binding.bridge);
          guests.change((table) => table.detach(name));
          if (routed) guests.takeRoutedNics();
        },
        isGuestBridge: (name) => this.#intent.guests?.bridges.some((one) => one.name === name) === true,
        wallMs: () => Date.now(),
      },
      report: (level, text) =>
        this.#parts.event({ level: level === 'warn' ? 'warning' : 'info', kind: 'lxd', text }),
    });
  }

  async #stop(): Promise<void> {
    const care = this.#care;
    this.#care = undefined;
    care?.lxd?.close();
    await care?.guests.close();
  }

  /** No guests any more: what they had is withdrawn and taken out of the kernel. */
  async #end(): Promise<void> {
    this.#care?.guests.release();
    await this.#stop();
  }

  /** Whose an address is that no guest may have. */
  readonly #reserved = (address: Uint8Array): string | undefined => {
    const { guests, bgp } = this.#intent;
    const { monitor, router } = this.#parts;
    return whoseAddress(address, {
      gateways: guests === undefined ? [] : [guests.gateway4, guests.gateway6],
      loopbacks: bgp.loopbacks,
      reserved: guests?.reserved ?? [],
      ownLink: (own) => {
        const found = monitor.addressOwned(own);
        return found && (monitor.links.get(found.ifindex)?.name ?? `link ${found.ifindex}`);
      },
      neighbour: (remote) => router.directory.byIndex.find((peer) => isRemote(peer, remote))?.name,
    });
  };
}

const isRemote = (peer: Peer | undefined, address: Uint8Array): boolean =>
  peer?.remote !== undefined && sameIp(peer.remote, address);

function configured(intent: GuestsIntent): Binding[] {
  return intent.bindings.map((binding) => ({ ...binding, source: 'config', sinceMs: Date.now() }));
}

function planeIntentOf({ guests, bgp }: Intent): GuestPlaneIntent | undefined {
  if (guests === undefined) return undefined;
  const { gatewayMac, gateway4, gateway6, bridges, taps, filter, reach, reserved } = guests;
  return {
    gatewayMac,
    gateway4,
    gateway6,
    bridges,
    taps,
    filter,
    reach,
    reserved: [...reserved, ...bgp.loopbacks],
  };
}

function guestEventOf(event: GuestEvent): NewEvent {
  const isTrouble = event.kind === 'guest-refused' || event.kind === 'guest-frozen';
  const { kind, text, binding } = event;
  const told: NewEvent = { level: isTrouble ? 'warning' : 'info', kind, text };
  if (binding !== undefined) told.guest = binding;
  if (kind === 'guest-expected') return told;
  if (event.port !== undefined) told.interface = event.port;
  if (event.address !== undefined) told.address = formatIp(event.address);
  if (kind === 'guest-refused') told.refusal = event.refusal;
  return told;
}
