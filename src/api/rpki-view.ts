// Origin validation as the API shows it: the caches and the file, and for a route its state and the payloads that make
// it so. What is judged is what the policy judges: the route as received, by the last AS of its path.

import { formatPrefix } from '../net/prefix.ts';
import type { Caches } from '../rpki/caches.ts';
import { originAsn } from '../rpki/origin.ts';
import type { Vrp } from '../rpki/vrp-table.ts';
import type { RpkiStateView, RpkiView, VrpView } from './views.ts';
import { isoOf, secondsSince, type WallTime } from './wall-time.ts';

/** What the speaker has of origin validation. */
export interface ValidationSource {
  /** The caches in use; undefined where validation is off. */
  readonly caches: Caches | undefined;
  /** The caches as configured, which after a reload may still wait for their first data. */
  readonly configured: { caches: Caches; servers: readonly { address: string; port: number }[] } | undefined;
  readonly file: { path: string; vrps: number; readAtMs?: number; error?: string } | undefined;
}

/** The route asked about: address words, length, and its attributes as received. */
export interface JudgedRoute {
  family: number;
  words: readonly [number, number, number, number];
  length: number;
  attrs: Uint8Array;
  start: number;
  end: number;
  ownAsn: number;
}

const stateNames = ['notFound', 'valid', 'invalid'] as const satisfies readonly RpkiStateView[];

/** A route's state; undefined where validation is off or means nothing (RFC 6811 is of unicast prefixes). */
export function rpkiStateOf(
  source: ValidationSource | undefined,
  route: JudgedRoute,
): RpkiStateView | undefined {
  const table = source?.caches?.table;
  if (table === undefined || route.family > 1) return undefined;
  const origin = originAsn(route.attrs, route.start, route.end, route.ownAsn);
  const [a, b, c, d] = route.words;
  return stateNames[table.validate(route.family === 0 ? 0 : 1, a, b, c, d, route.length, origin)];
}

/** The payloads that cover a prefix. */
export function coveringVrps(
  source: ValidationSource | undefined,
  family: number,
  words: JudgedRoute['words'],
  length: number,
): VrpView[] {
  const table = source?.caches?.table;
  if (table === undefined || family > 1) return [];
  return table.covering(family === 0 ? 0 : 1, ...words, length).map(vrpView);
}

function vrpView({ family, words, length, maxLength, asn }: Vrp): VrpView {
  const bytes = new Uint8Array(family === 0 ? 4 : 16);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < bytes.length; at += 4) view.setUint32(at, words[at >>> 2]!);
  return { prefix: formatPrefix(bytes, 0, bytes.length, length), maxLength, asn };
}

/** Caches by preference, and the file. */
export function rpkiView(source: ValidationSource, time: WallTime): RpkiView {
  const { configured, caches: used, file } = source;
  const nowMs = time.nowMs();
  const servers = (configured?.servers ?? []).map(({ address, port }, at): RpkiView['servers'][number] => {
    const caches = configured!.caches;
    const client = caches.clients[at];
    if (client === undefined) return { address, port, state: 'down', inUse: false, vrps: 0 };
    const { state, version, sessionId, serial, updatedAtMs, lastError } = client;
    const hasData = updatedAtMs !== 0;
    return {
      address,
      port,
      state: state === 'asking' || state === 'receiving' ? 'syncing' : state,
      inUse: caches === used && used.inUse === at,
      vrps: client.vrpCount,
      ...(hasData && {
        version,
        sessionId,
        serial,
        updatedAt: isoOf(time, updatedAtMs),
        ageSeconds: secondsSince(time, updatedAtMs),
        expiresInSeconds: Math.max(0, Math.ceil((client.expiresAtMs - nowMs) / 1000)),
        refreshSeconds: client.refreshMs / 1000,
        retrySeconds: client.retryMs / 1000,
      }),
      ...(lastError && { lastError: { at: isoOf(time, lastError.atMs), text: lastError.text } }),
    };
  });
  return {
    enabled: used !== undefined,
    servers,
    ...(file && {
      file: {
        path: file.path,
        vrps: file.vrps,
        ...(file.readAtMs !== undefined && { readAt: isoOf(time, file.readAtMs) }),
        ...(file.error !== undefined && { error: file.error }),
      },
    }),
    vrps: used?.vrpCount ?? 0,
  };
}
