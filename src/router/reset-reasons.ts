// Which changes of a peer's settings end its session, in words an operator reads before and after. Two answers: what
// may end it as far as two configurations tell (`resetReasons`, for `plan`), and what does end one that is up, by what
// its two OPENs amount to (`resetsNow`): an offer that the peer does not take up changes nothing, so nothing is reset.
//
// Ends the session: another AS of ours or an AS of the peer that is no longer allowed, roles, families, ADD-PATH,
// extended messages, the local address. Live: policies, limits, BFD, weights, passwords and TTLs (set on the open
// connection), whether routes of the peer are kept when it goes. With the next session, for one that works is worth
// more than these: hold time, keepalive, connect retry, passive, port, and how graceful restart is offered.

import { checkOpen, type Negotiated, negotiate } from '../session/negotiate.ts';
import { capabilitiesOf } from '../session/offer-extent.ts';
import type { SessionConfig } from '../session/state.ts';
import { families, familiesIn } from '../wire/bgp/family.ts';
import { familySettings, type PeerConfig } from './config.ts';
import type { Peer } from './peer.ts';

/** What may end the session of a peer whose settings change so; empty when nothing does. */
export function resetReasons(before: PeerConfig, after: PeerConfig): string[] {
  const reasons: string[] = [];
  if (placeOf(before) !== placeOf(after)) return ['it becomes another peer'];
  const differs = (a: unknown, b: unknown): boolean => JSON.stringify(a) !== JSON.stringify(b);
  if (differs(before.remoteAs, after.remoteAs))
    reasons.push('remoteAs changes, if its AS is not allowed any more');
  if (before.localAs?.asn !== after.localAs?.asn) reasons.push('localAs changes');
  if (before.role !== after.role) reasons.push('role changes');
  if (!before.roleStrict && after.roleStrict) reasons.push('roleStrict is set, if it says no role');
  const gone = namesOf(before.families & ~after.families);
  if (gone !== '') reasons.push(`without ${gone}`);
  const added = namesOf(after.families & ~before.families);
  if (added !== '') reasons.push(`with ${added}, if it offers that`);
  const addPath = familiesIn(before.families & after.families).filter((family) =>
    differs(directionsOf(before, family), directionsOf(after, family)),
  );
  if (addPath.length > 0)
    reasons.push(
      `addPath changes for ${addPath.map((id) => families[id]!.name).join(', ')}, if it offers that`,
    );
  if (before.extendedMessages !== after.extendedMessages)
    reasons.push('extendedMessages changes, if it offers that');
  if (differs(bytesOf(before.localAddress), bytesOf(after.localAddress)))
    reasons.push('localAddress changes');
  return reasons;
}

/** What ends the session of an Established peer that is to be configured so. */
export function resetsNow(peer: Peer, before: PeerConfig, next: SessionConfig): string[] {
  const session = peer.established?.session;
  const { sentOpen, remoteOpen } = session ?? {};
  const { negotiated } = peer;
  if (session === undefined || sentOpen === undefined || remoteOpen === undefined || negotiated === undefined)
    return [];
  const capabilities = capabilitiesOf(next, session.extent);
  if (next.localAsn !== sentOpen.asn) return [`it knows us by AS ${next.localAsn} from now on`];
  const fault = checkOpen(remoteOpen, next, capabilities);
  if (fault !== undefined) return [fault.reason];
  const outcome = negotiate({ ...sentOpen, capabilities }, remoteOpen, next);
  const reasons = outcomeDiffers(negotiated, outcome);
  const said = (list: readonly { kind: string }[]): string =>
    JSON.stringify(list.filter(({ kind }) => kind === 'role'));
  if (said(capabilities) !== said(sentOpen.capabilities)) reasons.push('role changes');
  const here =
    JSON.stringify(bytesOf(before.localAddress)) === JSON.stringify(bytesOf(peer.config.localAddress));
  if (!here) reasons.push('localAddress changes');
  return reasons;
}

/** Whether the peer would be refused as it is: then its routes are not to be kept either. */
export function isRefused(peer: Peer, next: SessionConfig): boolean {
  const remoteOpen = peer.established?.session.remoteOpen;
  return remoteOpen !== undefined && checkOpen(remoteOpen, next) !== undefined;
}

function outcomeDiffers(before: Negotiated, after: Negotiated): string[] {
  const reasons: string[] = [];
  const check = (name: string, of: (negotiated: Negotiated) => unknown): void => {
    if (of(before) !== of(after)) reasons.push(`${name} changes`);
  };
  check('families', ({ families: mask }) => mask);
  check('addPath', ({ addPathSend, addPathReceive }) => `${addPathSend} ${addPathReceive}`);
  check('the next hop of IPv4 over IPv6', ({ extendedNextHop }) => extendedNextHop);
  check('the length of messages', ({ extendedMessage }) => extendedMessage);
  check('link-local next hops', ({ linkLocalNextHop }) => linkLocalNextHop);
  check('the confederation', ({ confederation, internal }) => `${confederation} ${internal}`);
  return reasons;
}

function namesOf(mask: number): string {
  return familiesIn(mask)
    .map((id) => families[id]!.name)
    .join(', ');
}

function directionsOf(peer: PeerConfig, family: number): [boolean, boolean] {
  const { addPath } = familySettings(peer, family);
  return [addPath?.receive === true, addPath !== undefined && addPath.send !== 'none'];
}

function placeOf(peer: PeerConfig): string {
  switch (peer.kind) {
    case 'address':
      return `${peer.address.join('.')}%${peer.interface ?? ''}`;
    case 'interface':
      return peer.pattern;
    case 'range':
      return `${peer.range.bytes.join('.')}/${peer.range.length}`;
  }
}

function bytesOf(address: Uint8Array | undefined): number[] {
  return [...(address ?? [])];
}
