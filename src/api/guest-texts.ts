// Sentences for what guests' addresses are in and why, and for what is refused them. Codes are the names of
// guests/binding.ts; a code without a sentence does not compile.

import type { AddressReason, AddressState, Refusal } from '../guests/binding.ts';
import type { ReasonView } from './views.ts';

export const stateTexts: Readonly<Record<AddressState, string>> = {
  waiting: 'is not here: it is announced once its port is',
  expected: 'is expected: nothing is announced before its first sign of life here',
  attached: 'is attached and announced',
  learned: 'was learned and is announced',
  moved: 'has moved to another node; packets that come here are sent after it',
  frozen: 'is frozen: nothing is done with it until leafctl guests clear',
};

export const reasonTexts: Readonly<Record<AddressReason, string>> = {
  bound: 'a binding names it and its port is here',
  arp: 'its guest said so by ARP',
  nd: 'its guest said so by neighbour discovery',
  dhcp: 'its guest asked for it by DHCP',
  probe: 'it answered when it was asked for',
  restored: 'it was here before leafd started anew',
  noPort: 'the port is not here',
  noCarrier: 'the port has no carrier',
  noMac: 'nothing on the port has told its MAC yet',
  configured: 'a binding gives it to another guest',
  otherNode: 'a guest of another node has it, and nobody expects it here',
  reserved: 'it is reserved: a gateway, this machine, a neighbour, or guests.reserved',
  migration: 'the guest still runs on another node',
  rarp: 'the guest told of its arrival (RARP, gratuitous ARP or unsolicited NA)',
  qmpResume: 'QEMU told that the guest runs (QMP RESUME)',
  higherSequence: 'another node announces it with a higher move sequence',
  duplicate: 'it moved too often, unexpected, within guests.moves.duplicateWithin: two guests may have it',
};

export const refusalTexts: Readonly<Record<Refusal, string>> = {
  reserved: 'the address is reserved: a gateway, this machine, a neighbour, or guests.reserved',
  notAllowed: 'the address is in no binding and no allowed prefix of the port',
  otherGuest: 'another guest of this machine has the address',
  otherNode: 'a guest of another node has the address',
  otherMac: 'the MAC is not the one of the binding',
  tooMany: 'the port has learned as many addresses as it may',
  tooFast: 'the port brings new addresses faster than guests.learn.perSecond',
  frozen: 'the address is frozen',
  routerAdvertisement: 'a router advertisement from a guest',
  redirect: 'a redirect from a guest',
  dhcpServer: 'an answer of a DHCP server from a guest',
  spoofed4: 'an IPv4 source address that is not of the port',
  spoofed6: 'an IPv6 source address that is not of the port',
  spoofedArp: 'ARP with an address that is not of the port',
  spoofedNd: 'a neighbour advertisement for an address that is not of the port',
  protocol: 'an Ethernet protocol that guests do not speak',
  hypervisor: 'a service of this machine that guests do not reach',
};

export function addressReason(reason: AddressReason): ReasonView {
  return { code: reason, text: reasonTexts[reason] };
}

/** Codes of the kernel's log are text: one that is not known is shown as it is. */
export function refusalReason(code: string): ReasonView {
  return { code, text: (refusalTexts as Readonly<Record<string, string>>)[code] ?? code };
}
