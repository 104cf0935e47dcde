// `set:` of a rule to changes, in a fixed order: numbers, communities, path, next hop. The order matters to
// nobody but `prepend`, which comes after whatever else is done to the path.

import { parseIp } from '../net/ip.ts';
import { originNames } from '../wire/bgp/attribute/table.ts';
import {
  type CommunityKind,
  CommunitySet,
  communityBytes,
  extendedKind,
  largeKind,
  standardKind,
} from './community-set.ts';
import { communityPatterns } from './compile-sets.ts';
import type { CommunityChange, SetDefinition } from './definition.ts';
import { type PolicyDraft, refuse } from './draft.ts';
import {
  ABSOLUTE,
  EDIT_COMMUNITIES,
  IGP_METRIC,
  NEXT_HOP_ADDRESS,
  NEXT_HOP_SELF,
  NEXT_HOP_UNCHANGED,
  PREPEND,
  PREPEND_FIRST,
  RELATIVE,
  REMOVE_MED,
  SET_LOCAL_PREF,
  SET_MED,
  SET_NEXT_HOP,
  SET_ORIGIN,
  SET_TAG,
  SET_WEIGHT,
} from './program.ts';

/** As many as an operator can mean; a path that long is dropped by most of the world. */
const MAX_PREPEND = 64;

/** Adds the changes of `set` to the draft; `path` is its key's. */
export function compileSet(draft: PolicyDraft, set: SetDefinition, path: string): void {
  if (set.localPref !== undefined) addNumber(draft, SET_LOCAL_PREF, set.localPref, path, 'localPref');
  if (set.med === 'remove') add(draft, REMOVE_MED, 0, 0, 'med: remove');
  else if (set.med === 'igp') add(draft, SET_MED, IGP_METRIC, 0, 'med: igp');
  else if (set.med !== undefined) addNumber(draft, SET_MED, set.med, path, 'med');
  if (set.weight !== undefined) {
    if (!isU32(set.weight)) refuse(`${path}.weight`, `${set.weight} is no number of 32 bits`);
    add(draft, SET_WEIGHT, 0, set.weight, `weight: ${set.weight}`);
  }
  if (set.tag !== undefined) {
    if (!isU32(set.tag)) refuse(`${path}.tag`, `${set.tag} is no number of 32 bits`);
    add(draft, SET_TAG, 0, set.tag, `tag: ${set.tag}`);
  }
  if (set.origin !== undefined) {
    const code = originNames.indexOf(set.origin);
    if (code < 0) refuse(`${path}.origin`, `${set.origin} is no origin`);
    add(draft, SET_ORIGIN, 0, code, `origin: ${set.origin}`);
  }
  addCommunities(draft, standardKind, set.communities, path, 'communities');
  addCommunities(draft, largeKind, set.largeCommunities, path, 'largeCommunities');
  addCommunities(draft, extendedKind, set.extendedCommunities, path, 'extendedCommunities');
  if (set.prepend !== undefined) addPrepend(draft, set.prepend, `${path}.prepend`);
  if (set.nextHop !== undefined) addNextHop(draft, set.nextHop, `${path}.nextHop`);
}

function add(draft: PolicyDraft, kind: number, arg: number, low: number, text: string): void {
  draft.changes.push({ kind, arg, low, text });
}

function isU32(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 0xffffffff;
}

function addNumber(
  draft: PolicyDraft,
  kind: number,
  value: number | string,
  path: string,
  key: string,
): void {
  const isRelative = typeof value === 'string' && /^[+-]\d{1,10}$/.test(value);
  const number = Number(value);
  if (!isRelative && (typeof value === 'string' || !isU32(value))) {
    refuse(`${path}.${key}`, `${value} is no number of 32 bits, +n or -n`);
  }
  add(draft, kind, isRelative ? RELATIVE : ABSOLUTE, number, `${key}: ${value}`);
}

function addCommunities(
  draft: PolicyDraft,
  kind: CommunityKind,
  change: CommunityChange | undefined,
  path: string,
  key: string,
): void {
  if (change === undefined) return;
  const here = `${path}.${key}`;
  const patterns = (change.remove ?? []).flatMap((text, index) =>
    communityPatterns(draft, kind, text, `${here}.remove[${index}]`),
  );
  const remove = patterns.length > 0 ? new CommunitySet(kind, patterns) : undefined;
  // What `set` puts in and `remove` takes away again is settled here, so that a route's edit has one shape.
  const set = communityList(kind, change.set, `${here}.set`).filter(
    (bytes) => remove?.has(bytes, 0) !== true,
  );
  const edit = {
    attribute: kind.attribute,
    width: kind.width,
    replace: change.set !== undefined,
    remove,
    add: joined([...set, ...communityList(kind, change.add, `${here}.add`)]),
  };
  const texts: string[] = [];
  for (const part of ['set', 'remove', 'add'] as const) {
    if (change[part] !== undefined) texts.push(`${part} ${change[part].join(' ') || 'none'}`);
  }
  add(draft, EDIT_COMMUNITIES, draft.edits.push(edit) - 1, 0, `${key}: ${texts.join(', ')}`);
}

/** Single communities, without wildcards and set names: something to write, not to look for. */
function communityList(
  kind: CommunityKind,
  texts: readonly string[] | undefined,
  path: string,
): Uint8Array[] {
  return (texts ?? []).map((text, index) => {
    const bytes = communityBytes(kind, text);
    return bytes ?? refuse(`${path}[${index}]`, `${text} is no single community`, `such as ${kind.example}`);
  });
}

function joined(items: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(items.reduce((sum, item) => sum + item.length, 0));
  let at = 0;
  for (const item of items) {
    bytes.set(item, at);
    at += item.length;
  }
  return bytes;
}

function addPrepend(draft: PolicyDraft, prepend: NonNullable<SetDefinition['prepend']>, path: string): void {
  const { asn = 0, count = prepend.lastAs ?? 1 } = prepend;
  if (prepend.lastAs !== undefined && (prepend.asn !== undefined || prepend.count !== undefined))
    refuse(path, 'lastAs says which AS and how often');
  if (prepend.asn !== undefined && (!isU32(asn) || asn === 0)) refuse(`${path}.asn`, `${asn} is no ASN`);
  if (!Number.isInteger(count) || count < 1 || count > MAX_PREPEND) {
    refuse(`${path}.count`, `${count} is not from 1 to ${MAX_PREPEND}`);
  }
  if (prepend.lastAs !== undefined) {
    add(draft, PREPEND_FIRST, count, 0, `prepend: first ASN x ${count}`);
    return;
  }
  // 0 stands for the local ASN, which the input brings: it can differ from peer to peer.
  add(draft, PREPEND, count, asn, `prepend: ${asn === 0 ? 'own ASN' : asn} x ${count}`);
}

function addNextHop(draft: PolicyDraft, value: string, path: string): void {
  const text = `nextHop: ${value}`;
  const address = parseIp(value);
  if (value === 'self') add(draft, SET_NEXT_HOP, -1, NEXT_HOP_SELF, text);
  else if (value === 'unchanged') add(draft, SET_NEXT_HOP, -1, NEXT_HOP_UNCHANGED, text);
  else if (address === undefined) refuse(path, `${value} is not self, unchanged or an address`);
  else add(draft, SET_NEXT_HOP, draft.addresses.push(address) - 1, NEXT_HOP_ADDRESS, text);
}
