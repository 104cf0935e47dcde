// BGP speakers of the host as peers of the router namespace: one for each family of localCIDR, or one for both. They
// are resolved by the code that resolves `bgp.peers`, groups and all; only where they are found, and the few defaults
// that follow from it, come from here.

import { formatIp, parseIp, sameIp } from '../net/ip.ts';
import { type Prefix, prefixContainsIp, prefixText } from '../net/prefix.ts';
import type { BgpIntent, PeerIntent, SpeakerUsers } from './intent.ts';
import { broadcastOf, isNetwork, type LocalAddresses } from './local-cidr.ts';
import {
  canBeExternal,
  canBeInternal,
  complain,
  type Findings,
  type Merged,
  type PeerContext,
} from './merged.ts';
import type { HostSpeakerIntent } from './passthrough.ts';
import { mergedWithGroup, remoteAsOf, resolvePeer } from './peers.ts';
import type { BgpConfig } from './schema-bgp.ts';
import type { PassthroughConfig, SpeakerConfig } from './schema-passthrough.ts';
import type { PeerConfig } from './schema-peer.ts';
import type { Path } from './tree.ts';

export const legFamilies = ['ipv4', 'ipv6'] as const;

export type LegFamily = (typeof legFamilies)[number];

/** One family of the link between router namespace and host. */
export interface Leg extends LocalAddresses {
  family: LegFamily;
  cidr: Prefix;
}

export interface SpeakersIntent {
  speakers: HostSpeakerIntent[];
  /** Theirs, in the order of `speakers`. */
  peers: PeerIntent[];
  /** What single speakers have of their own on the host's end. */
  hostAddresses: Uint8Array[];
}

export interface AroundSpeakers {
  bgp: Pick<BgpIntent, 'peers' | 'loopbacks'>;
  groups: BgpConfig['groups'];
  awaitMs: number;
  /** Of speakers that say nothing else. */
  users: SpeakerUsers | 'any';
  context: PeerContext;
}

const root: Path = ['passthrough', 'speakers'];

const familyText = (family: LegFamily): string => (family === 'ipv4' ? 'IPv4' : 'IPv6');

/** The speakers of the section and what they come to. */
export function resolveSpeakers(
  config: PassthroughConfig,
  legs: readonly Leg[],
  around: AroundSpeakers,
  findings: Findings,
): SpeakersIntent {
  const found: SpeakersIntent = { speakers: [], peers: [], hostAddresses: [] };
  const given = config.speakers ?? [];
  if (config.localCIDR === undefined && given.length > 0) {
    const reason = 'cannot be reached without localCIDR';
    const hint = 'it has the addresses between them and the router';
    if (config.openperouter === undefined || config.openperouter === false)
      complain(findings, root, reason, hint);
    else {
      // A resource is to say it, and there is none yet, or none any more: that is no fault of what stands here.
      findings.warnings.push({ path: root, at: 'key', reason, hint: `${hint}; no resource says it yet` });
      return found;
    }
  }
  const names = new Map(around.bgp.peers.map(({ name }) => [name, `peer of bgp.peers`]));
  const owners: Owners = new Map();
  for (const [index, speaker] of given.entries()) {
    const path = [...root, index];
    const addresses = resolveHostAddress(speaker, path, legs, config, findings);
    const sessions = sessionsOf(speaker, path, legs, config, around, findings);
    claim(speaker, path, addresses, sessions, owners, around, findings);
    const peers = sessions.map((session) => peerOf(speaker, path, session, addresses, around));
    const called = [speaker.name, ...peers.map(({ name }) => name)];
    const clash = called.find((name) => names.has(name));
    if (clash !== undefined)
      complain(findings, [...path, 'name'], `${clash} is the name of a ${names.get(clash)}`);
    for (const name of called) names.set(name, 'speaker above');
    warnUnheard(peers, path, around, findings);
    found.speakers.push({ name: speaker.name, peers: peers.map(({ name }) => name) });
    found.peers.push(...peers);
    found.hostAddresses.push(...addresses.values());
  }
  return found;
}

/** Internal peers are not offered what comes from internal peers (RFC 4271 9.2.1): through one AS nothing passes. */
function warnUnheard(
  peers: readonly PeerIntent[],
  path: Path,
  { bgp, context }: AroundSpeakers,
  findings: Findings,
): void {
  const isPlain = (peer: PeerIntent): boolean =>
    !canBeExternal(peer.remoteAs, context.localAsn) && !peer.routeReflectorClient;
  if (bgp.peers.length === 0 || !bgp.peers.every(isPlain) || !peers.some(isPlain)) return;
  findings.warnings.push({
    path,
    reason: 'is offered nothing by the fabric, and the fabric nothing of it: all are in one AS',
    hint: 'routeReflectorClient: true',
  });
}

type HostAddresses = ReadonlyMap<LegFamily, Uint8Array>;

/** A speaker's own addresses, as far as they can be any. */
function resolveHostAddress(
  { hostAddress }: SpeakerConfig,
  path: Path,
  legs: readonly Leg[],
  config: PassthroughConfig,
  findings: Findings,
): HostAddresses {
  const addresses = new Map<LegFamily, Uint8Array>();
  for (const family of legFamilies) {
    const text = hostAddress?.[family];
    if (text === undefined) continue;
    const here = [...path, 'hostAddress', family];
    const address = parseIp(text)!;
    const leg = legs.find((one) => one.family === family);
    const fault = leg === undefined ? undefined : whyNotIn(leg, address);
    if (leg !== undefined && fault === undefined) addresses.set(family, address);
    else if (fault !== undefined) complain(findings, here, fault);
    else if (config.localCIDR?.[family] === undefined)
      complain(findings, here, `has no use without localCIDR.${family}`);
  }
  return addresses;
}

function whyNotIn({ cidr, router }: Leg, address: Uint8Array): string | undefined {
  const broadcast = broadcastOf(cidr);
  if (!prefixContainsIp(cidr, address)) return `is not in localCIDR, ${prefixText(cidr)}`;
  if (sameIp(address, router)) return "is the router's own address";
  if (isNetwork(cidr, address)) return 'is the network, not an address in it';
  return broadcast !== undefined && sameIp(address, broadcast) ? 'is the broadcast address' : undefined;
}

/** A session to be: over one family, with routes of one or both. */
interface HostSession {
  leg: Leg;
  families: readonly LegFamily[];
  name: string;
}

function sessionsOf(
  speaker: SpeakerConfig,
  path: Path,
  legs: readonly Leg[],
  config: PassthroughConfig,
  around: AroundSpeakers,
  findings: Findings,
): HostSession[] {
  const group = speaker.group === undefined ? undefined : around.groups?.[speaker.group];
  const wanted = familiesOf(speaker.families ?? group?.families);
  if (speaker.families !== undefined) checkFamilies(speaker.families, path, config, findings);
  const over = legs.filter(({ family }) => wanted.includes(family));
  const [first] = over;
  if (first === undefined) {
    if (speaker.families === undefined && legs.length > 0)
      complain(findings, path, 'has no family that localCIDR has an address of', 'give it families');
    return [];
  }
  if (speaker.dualStack === true)
    return [{ leg: first, families: over.map(({ family }) => family), name: speaker.name }];
  return over.map((leg) => ({ leg, families: [leg.family], name: `${speaker.name}-${leg.family}` }));
}

type FamiliesConfig = SpeakerConfig['families'];

function familiesOf(given: FamiliesConfig): readonly string[] {
  if (given === undefined) return legFamilies;
  return Array.isArray(given) ? given : Object.keys(given);
}

/** Those that the speaker itself names; what its group has besides is not meant for it. */
function checkFamilies(
  given: NonNullable<FamiliesConfig>,
  path: Path,
  config: PassthroughConfig,
  findings: Findings,
): void {
  for (const [index, family] of familiesOf(given).entries()) {
    const here = [...path, 'families', Array.isArray(given) ? index : family];
    const isLeg = family === 'ipv4' || family === 'ipv6';
    if (!isLeg) complain(findings, here, 'is not for a speaker of the host', 'those are ipv4 and ipv6');
    else if (config.localCIDR !== undefined && config.localCIDR[family] === undefined)
      complain(findings, here, `has no localCIDR.${family}`);
  }
}

/** Who has an address of the host's end, by its text. */
type Owners = Map<string, string>;

/** Two sessions between the same two addresses cannot be told apart, so an address is one speaker's. */
function claim(
  speaker: SpeakerConfig,
  path: Path,
  addresses: HostAddresses,
  sessions: readonly HostSession[],
  owners: Owners,
  { bgp }: AroundSpeakers,
  findings: Findings,
): void {
  const wanted = new Map(sessions.map(({ leg }) => [leg.family, leg.host]));
  for (const [family, address] of [...wanted, ...addresses]) wanted.set(family, address);
  for (const [family, address] of wanted) {
    const here = addresses.has(family) ? [...path, 'hostAddress', family] : path;
    const text = formatIp(address);
    const owner = owners.get(text);
    const peer = bgp.peers.find(({ where }) => where.kind === 'address' && sameIp(where.address, address));
    if (owner !== undefined)
      complain(
        findings,
        here,
        `has the ${familyText(family)} address of ${owner} above, ${text}`,
        `give it a hostAddress.${family} of its own in localCIDR`,
      );
    else if (peer !== undefined) complain(findings, here, `has the address of the peer ${peer.name}`);
    else if (bgp.loopbacks.some((own) => sameIp(own.bytes, address)))
      complain(findings, here, `has the address of a loopback of the router, ${text}`);
    owners.set(text, owner ?? speaker.name);
  }
}

/** The peer that a session is configured as. */
function peerOf(
  speaker: SpeakerConfig,
  path: Path,
  { leg, families, name }: HostSession,
  addresses: HostAddresses,
  around: AroundSpeakers,
): PeerIntent {
  const address = addresses.get(leg.family) ?? leg.host;
  const { hostAddress: _, dualStack: __, users = around.users, ...keys } = speaker;
  const config: PeerConfig = { ...keys, name, localAddress: formatIp(leg.router) };
  const merged = mergedWithGroup(config, path, around.groups, around.context);
  config.families = only(families, merged.get('families'));
  if (merged.timer('connectRetry') === undefined) config.timers = { ...config.timers, connectRetry: '1s' };
  if (takesNextHopSelf(merged, around.context)) config.nextHopSelf = true;
  const peer = resolvePeer(config, merged, { kind: 'address', address }, around.context);
  peer.awaitMs = around.awaitMs;
  if (users !== 'any') peer.users = users;
  return peer;
}

/** What is said of all families, of those that a session has. */
function only(families: readonly LegFamily[], given: FamiliesConfig): FamiliesConfig {
  if (given === undefined || Array.isArray(given)) return [...families];
  return Object.fromEntries(families.map((family) => [family, given[family] ?? {}]));
}

/** Next hops of the fabric are nothing that the host could reach: to a speaker in our own AS it is always us. */
function takesNextHopSelf(merged: Merged, { localAsn }: PeerContext): boolean {
  const said = ['nextHopSelf', 'nextHopUnchanged', 'routeServerClient'] as const;
  if (said.some((key) => merged.get(key) !== undefined)) return false;
  const remoteAs = merged.get('remoteAs');
  return remoteAs !== undefined && canBeInternal(remoteAsOf(remoteAs), localAsn);
}
