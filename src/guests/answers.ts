// What leafd says to guests: probes of addresses, DHCP, router advertisements, and the gateway's own address to a guest
// whose question the filter dropped, because nobody knew the guest when it asked. Frames go out of the guest's port
// only; nothing is kept but the time of the next advertisement.

import type { GuestDhcpIntent, GuestsIntent } from '../intent/guests.ts';
import { ByteWriter } from '../lib/bytes.ts';
import { arpReply, arpRequest } from '../wire/lan/arp.ts';
import { neighbourAdvertisement, neighbourSolicitation } from '../wire/lan/nd.ts';
import type { Dhcp4News, Dhcp6News, RouterSolicitationNews } from '../wire/lan/sighting.ts';
import type { DhcpGuest, DhcpSettings } from './dhcp.ts';
import { ADVERTISE_EVERY_MS, advertiseRouter, answerRouterSolicitation } from './dhcp-router.ts';
import { answerDhcp4 } from './dhcp4.ts';
import { answerDhcp6 } from './dhcp6.ts';
import type { GuestPort, Sighting } from './ports.ts';

/** Sends a frame out of a guest's port. */
export type SendFrame = (ifindex: number, frame: Uint8Array, length: number) => boolean;

export class GuestAnswers {
  readonly #send: SendFrame;
  readonly #out = new ByteWriter(1600);
  #intent: GuestsIntent;
  #settings: DhcpSettings | undefined;

  constructor(intent: GuestsIntent, send: SendFrame) {
    this.#send = send;
    this.#intent = intent;
    this.#settings = settingsOf(intent, intent.dhcp);
  }

  configure(intent: GuestsIntent): void {
    this.#intent = intent;
    this.#settings = settingsOf(intent, intent.dhcp);
  }

  /** Interval of unasked router advertisements, or undefined where there are none. */
  get advertiseEveryMs(): number | undefined {
    return this.#settings === undefined ? undefined : ADVERTISE_EVERY_MS;
  }

  /** Asks behind a port who has an address. */
  probe(port: GuestPort, address: Uint8Array): void {
    const { gatewayMac, gateway4, gateway6 } = this.#intent;
    const out = this.#out.reset();
    if (address.length === 4) arpRequest(out, { mac: gatewayMac, address: gateway4 }, address);
    else neighbourSolicitation(out, { mac: gatewayMac, address: gateway6 }, address);
    this.#flush(port);
  }

  /** The gateway's MAC for who has asked for it. */
  gateway(port: GuestPort, asker: Sighting): void {
    const { gatewayMac, gateway4, gateway6 } = this.#intent;
    const { mac } = asker;
    const address = asker.replyTo ?? asker.address;
    if (address === undefined) return;
    const out = this.#out.reset();
    if (address.length === 4) arpReply(out, { mac: gatewayMac, address: gateway4 }, { mac, address });
    else neighbourAdvertisement(out, { mac: gatewayMac, address: gateway6 }, { mac, address });
    this.#flush(port);
  }

  dhcp4(port: GuestPort, news: Dhcp4News, guest: DhcpGuest | undefined): void {
    if (this.#settings === undefined) return;
    if (answerDhcp4(news, guest, this.#settings, this.#out.reset()).kind === 'frame') this.#flush(port);
  }

  dhcp6(port: GuestPort, news: Dhcp6News, guest: DhcpGuest | undefined): void {
    if (this.#settings === undefined) return;
    if (answerDhcp6(news, guest, this.#settings, this.#out.reset()).kind === 'frame') this.#flush(port);
  }

  solicited(port: GuestPort, news: RouterSolicitationNews, guest: DhcpGuest | undefined): void {
    if (this.#settings === undefined) return;
    const answer = answerRouterSolicitation(news, guest, this.#settings, this.#out.reset());
    if (answer.kind === 'frame') this.#flush(port);
  }

  /** To all behind a port, unasked. */
  advertise(port: GuestPort, guest: DhcpGuest): void {
    if (this.#settings === undefined) return;
    advertiseRouter(guest, this.#settings, this.#out.reset());
    this.#flush(port);
  }

  #flush(port: GuestPort): void {
    this.#send(port.ifindex, this.#out.bytes, this.#out.length);
  }
}

function settingsOf(intent: GuestsIntent, dhcp: GuestDhcpIntent | undefined): DhcpSettings | undefined {
  if (dhcp === undefined) return undefined;
  const { gatewayMac, gateway4, gateway6 } = intent;
  const { dns, domain, leaseTimeMs } = dhcp;
  return { gatewayMac, gateway4, gateway6, dns, leaseTimeMs, ...(domain === undefined ? {} : { domain }) };
}
