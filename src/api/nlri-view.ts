// Routes whose NLRI is more than a prefix, for people and programs: their text, their parts, and finding them by
// either. A key is found at once by its own text; an IP prefix, a MAC address or a route distinguisher by a walk
// through the family.

import type { Rib } from '../rib/rib.ts';
import { nlriCodecs } from '../wire/bgp/nlri/opaque.ts';
import type { NlriView } from './views.ts';

/** The id of the key with exactly this text, or -1. */
export function idOfText(rib: Rib, text: string): number {
  const key = nlriCodecs[rib.family]!.parse(text);
  return key === undefined ? -1 : rib.findKey(key, 0, key.length);
}

/** Whether a part of the key (prefix, MAC, address, RD, route target, ESI) is written as `text`. */
export function hasPart(rib: Rib, prefixId: number, text: string): boolean {
  const key = rib.keyBytes(prefixId);
  const view = nlriCodecs[rib.family]!.describe(key, 0, key.length, key, 0, 0);
  const parts = [view.prefix, view.mac, view.ip, view.routeDistinguisher, view.routeTarget, view.esi];
  return parts.some((part) => part !== undefined && part.toLowerCase() === text.toLowerCase());
}

/** The NLRI of a path in its parts; `nlriDataId` says what it carries beside its key. */
export function nlriView(rib: Rib, prefixId: number, nlriDataId: number): NlriView {
  const key = rib.keyBytes(prefixId);
  const rest = rib.nlriData.copyOf(nlriDataId);
  return nlriCodecs[rib.family]!.describe(key, 0, key.length, rest, 0, rest.length);
}

/** Whether the text is no IP prefix but may name an NLRI or a part of one: a key, a MAC address, an RD, an ESI. */
export function isNlriPart(text: string): boolean {
  if (/^([0-9a-f]{2}:){5}([0-9a-f]{2}:){0,4}[0-9a-f]{2}$/i.test(text)) return true;
  if (/^(\d+|\d+\.\d+\.\d+\.\d+):\d+$/.test(text) || /^(rt|RT):/.test(text)) return true;
  return nlriCodecs.some((codec) => codec?.parse(text) !== undefined);
}
