// Reads what the daemon under test sends to our sessions: just enough of BGP to say which routes a watcher holds,
// with which attributes. Independent of src/wire, like the builder. It is strict: what it cannot read is reported
// as a fault of the daemon.

import { AS_PATH, hex, MP_REACH, MP_UNREACH, NEXT_HOP } from './bytes.ts';

/** A route as a watcher has it; attribute values as hex by type, MP_REACH's next hop beside them. */
export interface SeenRoute {
  readonly attributes: ReadonlyMap<number, string>;
  readonly flags: ReadonlyMap<number, number>;
  readonly nextHop: string;
}

export interface DecodedUpdate {
  /** Keys of routes: `afi/safi/hex of the NLRI`. */
  readonly announced: { key: string; route: SeenRoute }[];
  readonly withdrawn: string[];
  readonly endOfRib?: string;
}

export class Unreadable extends Error {}

export const familyKey = (afi: number, safi: number): string => `${afi}/${safi}`;

/**
 * The key of a route by its NLRI. The label of a VPN route is no part of it, for a withdrawal has another; it is one,
 * since nobody here has the Multiple Labels capability, and its S bit means nothing (RFC 8277 section 2.2).
 */
export function routeKey(afi: number, safi: number, nlri: readonly number[] | Uint8Array): string {
  if (safi !== 128) return `${familyKey(afi, safi)}/${hex(nlri)}`;
  return `${familyKey(afi, safi)}/${nlri[0]! - 24}:${hex(nlri.slice(4))}`;
}

/** Bytes that the NLRI at `at` takes. */
function nlriSize(afi: number, safi: number, bytes: Uint8Array, at: number): number {
  const first = bytes[at]!;
  if (afi === 25) return 2 + bytes[at + 1]!;
  if (safi === 133 || safi === 134)
    return first < 0xf0 ? 1 + first : 2 + (((first & 15) << 8) | bytes[at + 1]!);
  return 1 + ((first + 7) >>> 3);
}

function nlriKeys(afi: number, safi: number, bytes: Uint8Array, addPath: boolean): string[] {
  const keys: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (addPath) at += 4;
    const size = nlriSize(afi, safi, bytes, at);
    if (!(size > 0) || at + size > bytes.length)
      throw new Unreadable(`NLRI of ${afi}/${safi}: ${hex(bytes)}`);
    keys.push(routeKey(afi, safi, bytes.subarray(at, at + size)));
    at += size;
  }
  return keys;
}

/** The body of an UPDATE; `addPath` has the families that come with path identifiers. */
export function decodeUpdate(body: Uint8Array, addPath: ReadonlySet<string>): DecodedUpdate {
  const withdrawnEnd = 2 + body[0]! * 256 + body[1]!;
  const attributesEnd = withdrawnEnd + 2 + body[withdrawnEnd]! * 256 + body[withdrawnEnd + 1]!;
  if (!(attributesEnd <= body.length)) throw new Unreadable(`lengths of an UPDATE: ${hex(body)}`);
  const withdrawn = nlriKeys(1, 1, body.subarray(2, withdrawnEnd), addPath.has('1/1'));
  const announced: string[] = nlriKeys(1, 1, body.subarray(attributesEnd), addPath.has('1/1'));
  const mp: { key: string; nextHop: string }[] = [];
  const attributes = new Map<number, string>();
  const flags = new Map<number, number>();
  let endOfRib = body.length === 4 ? '1/1' : undefined;
  for (let at = withdrawnEnd + 2; at < attributesEnd; ) {
    const extended = (body[at]! & 0x10) !== 0;
    const length = extended ? body[at + 2]! * 256 + body[at + 3]! : body[at + 2]!;
    const start = at + (extended ? 4 : 3);
    if (!(start + length <= attributesEnd)) throw new Unreadable(`an attribute past the end: ${hex(body)}`);
    const value = body.subarray(start, start + length);
    const type = body[at + 1]!;
    if (type === MP_REACH || type === MP_UNREACH) {
      const [afi, safi] = [value[0]! * 256 + value[1]!, value[2]!];
      const family = familyKey(afi, safi);
      const nlriAt = type === MP_REACH ? 5 + value[3]! : 3;
      const keys = nlriKeys(afi, safi, value.subarray(nlriAt), addPath.has(family));
      const nextHop = hex(value.subarray(4, nlriAt - 1));
      if (type === MP_REACH) mp.push(...keys.map((key) => ({ key, nextHop })));
      else if (keys.length === 0) endOfRib = family;
      else withdrawn.push(...keys);
    } else {
      if (attributes.has(type)) throw new Unreadable(`attribute ${type} twice: ${hex(body)}`);
      attributes.set(type, hex(value));
      flags.set(type, body[at]! & 0xe0);
    }
    at = start + length;
  }
  const classic = attributes.get(NEXT_HOP) ?? '';
  const routes = [...announced.map((key) => ({ key, nextHop: classic })), ...mp];
  return {
    announced: routes.map(({ key, nextHop }) => ({ key, route: { attributes, flags, nextHop } })),
    withdrawn,
    ...(endOfRib === undefined ? {} : { endOfRib }),
  };
}

/** The AS numbers of a route's path as text, sets in braces, confederation segments in brackets. */
export function pathText(route: SeenRoute, octets: 2 | 4 = 4): string {
  const bytes = Buffer.from(route.attributes.get(AS_PATH) ?? '', 'hex');
  const parts: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const [type, count] = [bytes[at]!, bytes[at + 1]!];
    const asns: number[] = [];
    for (let i = 0; i < count; i++) asns.push(bytes.readUIntBE(at + 2 + i * octets, octets));
    const words = asns.join(' ');
    parts.push(type === 2 ? words : type === 1 ? `{${words}}` : type === 3 ? `(${words})` : `[${words}]`);
    at += 2 + count * octets;
  }
  return parts.join(' ');
}

/** Codes of the capabilities of an OPEN's body, with their values as hex. */
export function decodeCapabilities(body: Uint8Array): { code: number; value: string }[] {
  const found: { code: number; value: string }[] = [];
  const extended = body[9] === 255 && body[10] === 255;
  let at = extended ? 13 : 10;
  while (at + 2 <= body.length) {
    const type = body[at]!;
    const length = extended ? body[at + 1]! * 256 + body[at + 2]! : body[at + 1]!;
    const start = at + (extended ? 3 : 2);
    if (type === 2)
      for (let one = start; one + 2 <= start + length; one += 2 + body[one + 1]!)
        found.push({ code: body[one]!, value: hex(body.subarray(one + 2, one + 2 + body[one + 1]!)) });
    at = start + length;
  }
  return found;
}
