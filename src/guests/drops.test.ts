// Which drops of the kernel's filter are offences, and whose.

import { expect, test } from 'vitest';
import type { GuestDrop } from '../dataplane/guest-wish.ts';
import { type DropContext, offenceOf } from './drops.ts';

const mac = Uint8Array.of(2, 0, 0, 0, 0, 1);
const packet4 = Uint8Array.from({ length: 20 }, (_, i) => (i === 0 ? 0x45 : i));
const packet6 = Uint8Array.from({ length: 40 }, (_, i) => (i === 0 ? 0x60 : i));
const drop = (reason: string, more: Partial<GuestDrop> = {}): GuestDrop => ({
  ifindex: 7,
  reason,
  mac,
  packet: packet4,
  ...more,
});
const context = (more: Partial<DropContext> = {}): DropContext => ({
  portBehind: () => undefined,
  mayHave: () => false,
  portOf: () => undefined,
  hasJudged: () => false,
  ...more,
});

test('a spoofed packet is its port’s, with the address that it claimed', () => {
  expect(offenceOf(drop('spoofed4'), context())).toEqual({
    ifindex: 7,
    refusal: 'spoofed4',
    about: { mac, address: packet4.slice(12, 16) },
  });
  expect(offenceOf(drop('spoofed6', { packet: packet6 }), context())!.about.address).toEqual(
    packet6.slice(8, 24),
  );
  expect(offenceOf(drop('spoofed4', { packet: packet4.slice(0, 19) }), context())!.about).toEqual({ mac });
});

test.each<[string, GuestDrop, Partial<DropContext>]>([
  ['an address that is bound there by now', drop('spoofed4'), { portOf: () => 7 }],
  ['a MAC that is the guest’s by now', drop('otherMac'), { mayHave: () => true }],
  ['a frame that was heard and judged', drop('spoofedArp'), { hasJudged: () => true }],
  ['an IPv6 redirect that was heard', drop('redirect', { packet: packet6 }), { hasJudged: () => true }],
  ['a word that is no reason', drop('somethingElse'), {}],
])('%s is no offence', (_, dropped, more) => {
  expect(offenceOf(dropped, context(more))).toBeUndefined();
});

test.each<[string, GuestDrop, Partial<DropContext>]>([
  ['an address that is bound elsewhere', drop('spoofed4'), { portOf: () => 8 }],
  ['a frame that nobody could read', drop('spoofedArp'), {}],
  ['an IPv4 redirect, which is not heard', drop('redirect'), { hasJudged: () => true }],
  ['a packet to this machine', drop('hypervisor'), { hasJudged: () => true }],
])('%s is one', (_, dropped, more) => {
  expect(offenceOf(dropped, context(more))).toMatchObject({ ifindex: 7, refusal: dropped.reason });
});

test('what this machine’s guard dropped on a bridge is the port’s whose guest has the MAC', () => {
  const behind = context({ portBehind: (ifindex, of) => (ifindex === 7 && of === mac ? 9 : undefined) });
  expect(offenceOf(drop('hypervisor'), behind)).toMatchObject({ ifindex: 9 });
});
