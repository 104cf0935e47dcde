// What the cells of BIRD, GoBGP, OpenBGPD and ExaBGP are made of: how a foreign daemon is asked (`Eye`), what must be in
// what it and leafd show, and claims over a wire with both sides in them.

import type { RouteView, WhyView } from '../../../src/api/views.ts';
import { type Fabric, sleep } from '../../support/fabric.ts';
import {
  agree,
  type Cell,
  type Claim,
  editor,
  holds,
  leafd,
  peer,
  peerOf,
  routes,
  type Want,
  without,
} from './harness.ts';
import type { Wire } from './star.ts';

/** A path as the foreign daemon shows it; what a daemon does not show is empty. */
export interface Seen {
  /** All it says. */
  readonly text: string;
  readonly from: string;
  readonly asPath: string;
  readonly nextHop: string;
  readonly origin: string;
  readonly med?: number;
  readonly localPref?: number;
  readonly otc?: number;
  readonly communities: readonly string[];
  readonly largeCommunities: readonly string[];
  readonly extendedCommunities: readonly string[];
  readonly originator: string;
  readonly clusters: readonly string[];
  readonly aggregator: string;
  readonly atomic: boolean;
}

/** How a foreign daemon is asked. Wires are known by their numbers. */
export interface Eye {
  readonly fabric: Fabric;
  readonly wires: readonly Wire[];
  /** The paths it has from a wire of a prefix. */
  takes(n: number, prefix: string): Promise<Seen[]>;
  /** The paths of the member of the confederation. */
  takes2(prefix: string): Promise<Seen[]>;
  /** What it tells over a wire of a prefix, in its own words; without the prefix when it tells nothing. */
  tells(n: number, prefix: string): Promise<string>;
  /** A session in its own words, and the words for one that is up. */
  session(n: number): Promise<string>;
  readonly up: string;
  /** It does not pass LOCAL_PREF on to other members of its confederation, as RFC 5065 allows. */
  readonly losesPreference?: boolean;
  log(): string;
  refresh(n: number): Promise<unknown>;
  stop(n: number, text: string): Promise<unknown>;
  /** 20.1.2.0/24, told over wire 1, goes and comes. */
  withdraw(): Promise<unknown>;
  announce(): Promise<unknown>;
  password(n: number, text: string): Promise<unknown>;
}

// biome-ignore lint/suspicious/noExplicitAny: a configuration as data.
type Loose = any;

/** Changes what a leafd node's configuration has below `bgp`. */
export function changer(fabric: Fabric) {
  const change = editor(fabric);
  return (node: string, edit: (bgp: Loose) => void): Promise<void> =>
    change(node, (config) => edit(config.bgp));
}

const equal = (seen: unknown, wanted: unknown): boolean =>
  Array.isArray(wanted) ? Array.isArray(seen) && wanted.every((one) => seen.includes(one)) : seen === wanted;

/** One of the paths has all of this; of a list it has at least these. */
export const some = (wanted: Partial<Seen>): Want => {
  const want = (seen: Seen[]) =>
    seen.some((path) =>
      Object.entries(wanted).every(([key, value]) => equal(path[key as keyof Seen], value)),
    );
  Object.defineProperty(want, 'toString', { value: () => `a path with ${JSON.stringify(wanted)}` });
  return want;
};

/** One of the routes leafd shows has all of this: of the route itself or of its attributes. */
export const one = (
  wanted: Partial<RouteView> & Partial<RouteView['attributes']> & { code?: string },
): Want => {
  const value = (route: RouteView, key: string): unknown =>
    key === 'code' ? route.reason?.code : ((route as Loose)[key] ?? (route.attributes as Loose)[key]);
  const want = (seen: RouteView[]) =>
    seen.some((route) => Object.entries(wanted).every(([key, is]) => equal(value(route, key) ?? '', is)));
  Object.defineProperty(want, 'toString', { value: () => `a route with ${JSON.stringify(wanted)}` });
  return want;
};

export const none: Want = (seen: unknown[]) => seen.length === 0;
export const count =
  (wanted: number): Want =>
  (seen: unknown[]) =>
    seen.length === wanted;

/** Looks all the time, until it is called, whether a claim holds. */
export function stays(claim: Claim): () => Promise<void> {
  let over = false;
  const watch = (async () => {
    while (!over) {
      await holds(claim, 0);
      await sleep(100);
    }
  })();
  watch.catch(() => {});
  return () => {
    over = true;
    return watch;
  };
}

/** Claims of a fleet: what is told and taken over a wire, and how its sessions are. */
export function witness(eye: Eye) {
  const { fabric } = eye;
  const nodeOf = (n: number) => eye.wires.find((wire) => wire.n === n)?.node ?? 'a';
  const nameOf = (n: number) => (eye.wires.find((wire) => wire.n === n)?.peer?.name as string) ?? `w${n}`;
  const received = (n: number, prefix: string) =>
    routes(fabric, nodeOf(n), { peer: nameOf(n), prefix, received: true });
  const advertised = async (n: number, prefix: string) =>
    (await routes(fabric, nodeOf(n), { peer: nameOf(n), prefix, advertised: true })).filter(
      ({ reason }) => reason === undefined || reason.code === 'sent',
    );
  const hasNot = (n: number, prefix: string): Claim =>
    peer(`no ${prefix} from w${n}`, () => eye.takes(n, prefix), none);
  const tells = (n: number, prefix: string): Claim =>
    peer(`tells ${prefix} over w${n}`, () => eye.tells(n, prefix), prefix);
  const takes = (n: number, prefix: string, ...wants: Want[]): Claim =>
    peer(`takes ${prefix} from w${n}`, () => eye.takes(n, prefix), ...wants);
  const ours_ = (n: number, prefix: string, ...wants: Want[]): Claim =>
    leafd(`received ${prefix} of w${n}`, () => received(n, prefix), ...wants);
  const up = (n: number): Claim[] => [
    leafd(`w${n} is up`, () => peerOf(fabric, nodeOf(n), nameOf(n)), '"state":"established"'),
    peer(`w${n} is up`, () => eye.session(n), eye.up),
  ];
  const notUp = (n: number, ...wants: Want[]): Claim[] => [
    leafd(
      `w${n} is not up`,
      () => peerOf(fabric, nodeOf(n), nameOf(n)),
      without(/"state":"established"/),
      ...wants,
    ),
    peer(
      `w${n} is not up`,
      () => eye.session(n),
      (seen: string) => !seen.includes(eye.up),
    ),
  ];
  return {
    nodeOf,
    nameOf,
    received,
    up,
    notUp,
    hasNot,
    tells,
    takes,
    view: (n: number) => peerOf(fabric, nodeOf(n), nameOf(n)),
    /** leafd's prefix comes to the peer like this. */
    sent: (n: number, prefix: string, wanted: Partial<Seen>) =>
      agree(
        leafd(`tells ${prefix}`, () => advertised(n, prefix), count(1)),
        takes(n, prefix, some(wanted)),
      ),
    notSent: async (n: number, prefix: string, code: string) => {
      const all = () => routes(fabric, nodeOf(n), { peer: nameOf(n), prefix, advertised: true });
      const why = async () => {
        const view = await fabric.get<WhyView>(nodeOf(n), `/v1/why/${encodeURIComponent(prefix)}`);
        return [
          ...(await all()).map(({ reason }) => reason?.code),
          ...view.advertised.filter((one) => one.peer === nameOf(n)),
        ];
      };
      await agree(leafd(`why ${prefix} is not sent to w${n}`, why, code), hasNot(n, prefix));
    },
    /** The peer's prefix comes to leafd like this. */
    got: (n: number, prefix: string, wanted: Parameters<typeof one>[0]) =>
      agree(tells(n, prefix), ours_(n, prefix, one(wanted))),
    taken: ours_,
  };
}

export type Witness = ReturnType<typeof witness>;

export type Change = ReturnType<typeof changer>;

export const cell = (
  run: () => Promise<unknown>,
  more: { alone?: boolean; timeoutMs?: number } = {},
): Cell => ({
  run,
  ...more,
});

export { agree, holds, leafd, peer, without };
