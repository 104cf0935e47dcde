// What a case is: bytes to send over a kind of session, the RFC's words about them, and the reactions that are right.
// Cases are data; the runner plays them and the judge compares.

import {
  AS_PATH,
  type Attribute,
  attribute,
  EXT_COMMUNITIES,
  ip,
  LOCAL_PREF,
  mpReach,
  NEXT_HOP,
  OPTIONAL_TRANSITIVE,
  type OpenParts,
  ORIGIN,
  prefix,
  segment,
  u16,
  u32,
  update,
  WELL_KNOWN,
} from './bytes.ts';
import { routeKey, type SeenRoute } from './decode.ts';
import { FAMILIES, type FamilyName } from './speaker.ts';

/** The daemon under test and its neighbours. */
export const LOCAL_AS = 65000;
export const DAEMON = '10.96.0.1';
export const DAEMON6 = '2001:db8:96::1';
export const RUNNER6 = '2001:db8:96::2';
export const EXTERNAL_AS = 65001;
/** Origin AS of the good route, and of what follows it: says which of the two a watcher has. */
export const GOOD_MARK = 64801;
export const CASE_MARK = 64802;

/**
 * Kinds of sessions a case can be played over. `old*`: without the 4-octet AS capability. `extended`: RFC 8654.
 * `addPath`: we send path identifiers. `customer`, `peering`, `provider`: what we are to the daemon (RFC 9234).
 */
export type SessionKind =
  | ('external' | 'internal' | 'old' | 'oldInternal')
  | ('extended' | 'addPath' | 'v6hop')
  | ('customer' | 'peering' | 'provider');

export type WatcherName = 'external' | 'internal' | 'old';

/** What a case knows when it makes its bytes. */
export interface Ground {
  readonly index: number;
  readonly session: SessionKind;
  readonly family: FamilyName;
  readonly octets: 2 | 4;
  readonly internal: boolean;
  /** Our AS on this session. */
  readonly asn: number;
  /** Our address, also the next hop. */
  readonly local: string;
  /** The case's own route, and another one, as NLRI. */
  readonly nlri: readonly number[];
  readonly other: readonly number[];
}

export type Check = (route: SeenRoute, watcher: WatcherName, ground: Ground) => string | undefined;

export type Expectation =
  /** The route is gone from the watchers, the session stays. */
  | { readonly kind: 'withdraw' }
  /** The route is there without that attribute. */
  | { readonly kind: 'discard'; readonly type: number }
  /** The route is there, as `check` wants it. `only`: who may have it. `unmarked`: the path is the case's own. */
  | {
      readonly kind: 'accept';
      readonly check?: Check;
      readonly only?: WatcherName | readonly WatcherName[];
      readonly unmarked?: boolean;
    }
  /** Nothing happened: the good route is as it was. */
  | { readonly kind: 'ignore' }
  /** The session ends with one of these errors; an absent subcode is any. */
  | {
      readonly kind: 'reset';
      readonly codes: readonly (readonly [code: number, subcode?: number])[];
      data?: string;
    }
  /** The session ends without a word. */
  | { readonly kind: 'close' };

interface CaseHead {
  readonly id: string;
  readonly category: string;
  readonly title: string;
  /** Section, and the RFC's own words. */
  readonly clause: string;
  readonly session: SessionKind;
  readonly expect: readonly Expectation[];
  /** Not to be counted among malformed messages. */
  readonly valid?: boolean;
  /** Capabilities of the daemon without which the case says nothing. */
  readonly needs?: readonly number[];
  /** The bytes go out in pieces of this size, each in a turn of its own. */
  readonly piece?: number;
}

export interface UpdateCase extends CaseHead {
  readonly kind: 'update';
  readonly family: FamilyName;
  /** False: nothing is announced before. */
  readonly good?: boolean;
  readonly send: (ground: Ground) => Uint8Array | readonly Uint8Array[];
  /** NLRI of the route that is watched, when it is not the ground's. */
  readonly nlri?: (ground: Ground) => readonly number[];
}

export interface DialogueCase extends CaseHead {
  readonly kind: 'dialogue';
  /** How far the session goes before the bytes are sent. */
  readonly upto: 'connect' | 'openSent' | 'openConfirm' | 'established';
  readonly open?: Partial<OpenParts>;
  readonly send: (ground: Ground, parts: OpenParts) => readonly Uint8Array[];
  /** How long the reaction may take; for timers. */
  readonly withinMs?: number;
  /** After the bytes we fall silent: no keepalives. */
  readonly silent?: boolean;
  /** A second connection from the same address, or one from an address nobody knows, and what it says. */
  readonly second?: { readonly from: 'same' | 'stranger'; readonly says: (parts: OpenParts) => Uint8Array };
  /** Wanted of what the daemon sent, beside the expectation. */
  readonly sent?: (speaker: { refreshes: readonly string[]; endsOfRib: ReadonlySet<string> }) => boolean;
}

export type Case = UpdateCase | DialogueCase;

const rd = (index: number): number[] => [0, 0, ...u16(65001), ...u32(index)];

/** NLRI number `index` of a family; `side` 1 gives another one. */
export function nlriOf(family: FamilyName, index: number, side = 0): number[] {
  const four = prefix(`${20 + side}.${index >> 8}.${index & 255}.0/24`);
  const six = prefix(`26${side}0:${(index + 1).toString(16)}::/48`);
  const label = [0, 1, 0x01];
  switch (family) {
    case 'ipv4':
      return four;
    case 'ipv6':
      return six;
    case 'vpnv4':
      return [four[0]! + 88, ...label, ...rd(index), ...four.slice(1)];
    case 'vpnv6':
      return [six[0]! + 88, ...label, ...rd(index), ...six.slice(1)];
    case 'evpn':
      return [3, 17, ...rd(index), 0, 0, 0, side, 32, ...ip('10.97.0.9')];
    case 'rtc':
      return [96, ...u32(EXTERNAL_AS), 0, 2, ...u16(65001 + side), ...u32(index)];
    case 'flowspec4':
      return [8, 1, ...four, 3, 0x81, 6];
    case 'flowspec6':
      return [12, 1, six[0]!, 0, ...six.slice(1), 3, 0x81, 6];
    case 'flowspecVpn4':
      return [16, ...rd(index), 1, ...four, 3, 0x81, 6];
    case 'flowspecVpn6':
      return [20, ...rd(index), 1, six[0]!, 0, ...six.slice(1), 3, 0x81, 6];
  }
}

export function keyOf(family: FamilyName, nlri: readonly number[]): string {
  const [afi, safi] = FAMILIES[family];
  return routeKey(afi, safi, nlri);
}

/** The next hop of a family as it stands in MP_REACH. */
export function nextHopOf(family: FamilyName, local: string): number[] {
  const six = ip(RUNNER6);
  const zero = [0, 0, 0, 0, 0, 0, 0, 0];
  if (family === 'ipv6') return six;
  if (family === 'vpnv4') return [...zero, ...ip(local)];
  if (family === 'vpnv6') return [...zero, ...six];
  return family.startsWith('flowspec') ? [] : ip(local);
}

export const origin = attribute(WELL_KNOWN, ORIGIN, [0]);
export const targets = attribute(OPTIONAL_TRANSITIVE, EXT_COMMUNITIES, [0, 2, 0xfd, 0xe8, 0, 0, 0, 1]);

export function asPath(ground: Ground, ...asns: number[]): Attribute {
  return attribute(WELL_KNOWN, AS_PATH, segment(2, asns, ground.octets));
}

/** The path of a session's valid route. */
export function markedPath(ground: Ground, mark = CASE_MARK): Attribute {
  return ground.internal ? asPath(ground, mark) : asPath(ground, ground.asn, mark);
}

export const nextHop = (ground: Ground): Attribute => attribute(WELL_KNOWN, NEXT_HOP, ip(ground.local));

/** The attributes of a valid route of the ground's session and family, MP_REACH and NEXT_HOP not among them. */
export function bare(ground: Ground, mark = CASE_MARK): Attribute[] {
  return [
    origin,
    markedPath(ground, mark),
    ...(ground.internal ? [attribute(WELL_KNOWN, LOCAL_PREF, u32(100))] : []),
    ...(/^(vpn|evpn|flowspecVpn)/.test(ground.family) ? [targets] : []),
  ];
}

/** As `bare`, with what says where to. */
export function base(ground: Ground, mark = CASE_MARK): Attribute[] {
  const list = bare(ground, mark);
  if (ground.family === 'ipv4') return [...list.slice(0, 2), nextHop(ground), ...list.slice(2)];
  const reach = mpReach(FAMILIES[ground.family], nextHopOf(ground.family, ground.local), ground.nlri);
  return [reach, ...list];
}

/** The path identifier that goes before the NLRI of an add-path session. */
export const pathId = (ground: Ground): number[] =>
  ground.session === 'addPath' && (ground.family === 'ipv4' || ground.family === 'ipv6') ? u32(7) : [];

/** An UPDATE that announces the ground's route with these attributes. */
export function announce(ground: Ground, attributes: readonly Attribute[]): Uint8Array {
  if (ground.family !== 'ipv4') return update({ attributes });
  return update({ attributes, nlri: [...pathId(ground), ...ground.nlri] });
}

/** The valid set with one attribute put in place of its like, or added. */
export function having(ground: Ground, ...changed: Attribute[]): Attribute[] {
  const list = base(ground);
  for (const one of changed) {
    const at = list.findIndex((other) => other.type === one.type);
    if (at >= 0) list[at] = one;
    else list.push(one);
  }
  return list;
}

export const without = (ground: Ground, type: number): Attribute[] =>
  base(ground).filter((one) => one.type !== type);
