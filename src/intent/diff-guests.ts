// What changes of guests between two intents: single values by their key, bridges and bindings by their name. All of
// it is put in force live; a session never pays for a guest.

import { formatIp } from '../net/ip.ts';
import { formatMac } from '../net/mac.ts';
import { type Prefix, prefixText } from '../net/prefix.ts';
import { type Change, diffNamed, onOff, type Texts, valueChange } from './change.ts';
import { chainText } from './diff-peers.ts';
import { formatDuration } from './duration.ts';
import type { GuestBindingIntent, GuestBridgeIntent, GuestsIntent } from './guests.ts';

type Setting = readonly [name: string, show: (guests: GuestsIntent) => string | undefined];

const list = (words: readonly (string | number)[]): string => (words.length === 0 ? 'none' : words.join(' '));
const listOrNothing = (words: readonly string[] = []): string | undefined =>
  words.length === 0 ? undefined : words.join(' ');
const prefixList = (prefixes: readonly Prefix[]): string => list(prefixes.map(prefixText));

const settings: readonly Setting[] = [
  ['gatewayMac', (g) => formatMac(g.gatewayMac)],
  ['gateways', (g) => `${formatIp(g.gateway4)} ${formatIp(g.gateway6)}`],
  ['taps', (g) => list(g.taps)],
  ['allowed', (g) => prefixList(g.allowed)],
  ['within', (g) => g.within && prefixList(g.within)],
  ['reserved', (g) => prefixList(g.reserved)],
  ['learn', (g) => onOff(g.learn.enabled)],
  ['learn.maxAddresses', (g) => String(g.learn.maxAddresses)],
  ['learn.perSecond', (g) => String(g.learn.perSecond)],
  ['learn.probeEvery', (g) => formatDuration(g.learn.probeEveryMs)],
  ['learn.forgetAfter', (g) => formatDuration(g.learn.forgetAfterMs)],
  ['moves.freshFor', (g) => formatDuration(g.moves.freshForMs)],
  ['moves.expectFor', (g) => formatDuration(g.moves.expectForMs)],
  ['moves.duplicateMoves', (g) => String(g.moves.duplicateMoves)],
  ['moves.duplicateWithin', (g) => formatDuration(g.moves.duplicateWithinMs)],
  ['moves.freshPreference', (g) => String(g.moves.freshPreference)],
  ['dhcp', (g) => onOff(g.dhcp !== undefined)],
  ['dhcp.dns', (g) => listOrNothing(g.dhcp?.dns.map((one) => formatIp(one)))],
  ['dhcp.domain', (g) => g.dhcp?.domain],
  ['dhcp.leaseTime', (g) => g.dhcp && formatDuration(g.dhcp.leaseTimeMs)],
  ['reach.tcp', (g) => list(g.reach.tcp)],
  ['reach.udp', (g) => list(g.reach.udp)],
  ['filter', (g) => onOff(g.filter)],
  ['metric', (g) => String(g.metric)],
  ['freshMetric', (g) => String(g.freshMetric)],
  ['policy', (g) => chainText(g.policy)],
  ['lxd', (g) => g.lxd?.socket],
];

/** Changes of the section; absent is a machine that looks after no guests. */
export function diffGuests(before: GuestsIntent | undefined, after: GuestsIntent | undefined): Change[] {
  return [
    ...(before === undefined || after === undefined
      ? diffPresence(before !== undefined, after !== undefined)
      : diffSettings(before, after)),
    ...diffNamed('guest bridge', bridgeTexts(before), bridgeTexts(after)),
    ...diffNamed('guest', bindingTexts(before), bindingTexts(after)),
  ];
}

/** A section that comes or goes is one change, not one for each of its defaults. */
function diffPresence(before: boolean, after: boolean): Change[] {
  if (before === after) return [];
  const kind = after ? 'add' : 'remove';
  const text = after ? 'guests: looked after from now on' : 'guests: no longer looked after';
  return [{ kind, owner: 'guests', what: 'guests', effect: 'live', text }];
}

function diffSettings(before: GuestsIntent, after: GuestsIntent): Change[] {
  return settings.flatMap(([what, show]): Change[] => {
    const change = valueChange(show(before), show(after));
    if (change === undefined) return [];
    return [{ ...change, owner: 'guests', what, effect: 'live', text: `guests.${what}: ${change.text}` }];
  });
}

function bridgeTexts(guests: GuestsIntent | undefined): Texts {
  return new Map((guests?.bridges ?? []).map((one) => [one.name, bridgeText(one)]));
}

function bridgeText({ create, isolate, allowed }: GuestBridgeIntent): string {
  return [
    create ? 'made when absent' : 'made by others',
    isolate ? 'ports isolated' : 'ports reach each other',
    allowed === undefined ? '' : `allowed ${prefixList(allowed)}`,
  ]
    .filter(Boolean)
    .join(', ');
}

function bindingTexts(guests: GuestsIntent | undefined): Texts {
  return new Map((guests?.bindings ?? []).map((one) => [one.name, bindingText(one)]));
}

function bindingText(binding: GuestBindingIntent): string {
  const { guest, port, mac, bridge, addresses, allowed, maxAddresses } = binding;
  return [
    guest === undefined ? '' : `guest ${guest}`,
    port === undefined ? '' : `port ${port}`,
    mac === undefined ? '' : `mac ${formatMac(mac)}`,
    bridge === undefined ? '' : `bridge ${bridge}`,
    addresses.map((one) => formatIp(one)).join(' '),
    allowed.length === 0 ? '' : `allowed ${prefixList(allowed)}`,
    maxAddresses === undefined ? '' : `learns at most ${maxAddresses}`,
  ]
    .filter(Boolean)
    .join(', ');
}
