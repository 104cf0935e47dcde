// Compares what was seen with what is right. Pure, so that it can be shown to say no: the runner gives it what the
// watchers hold, how the session ended, and whether anybody else suffered.

import { LOCAL_PREF, NEXT_HOP } from './bytes.ts';
import { CASE_MARK, type Case, type Expectation, GOOD_MARK, type Ground, type WatcherName } from './case.ts';
import { pathText, type SeenRoute } from './decode.ts';
import type { Ending } from './speaker.ts';

/** What happened after a case's bytes. */
export interface Observed {
  /** The case's route as each watcher holds it. */
  readonly routes: Partial<Record<WatcherName, SeenRoute | undefined>>;
  /** Of the attacker's session; absent while it is up. */
  readonly ended?: Ending;
  /** The daemon went on: what was announced behind the case arrived. */
  readonly passed: boolean;
  readonly crashed: boolean;
  /** NLRI of the case's family that watchers were sent and that is none of the case's routes. */
  readonly leaked?: readonly string[];
  /** Sessions of others that ended, canary routes that were lost, nonsense sent to a watcher. */
  readonly collateral: readonly string[];
}

export type WrongKind =
  | 'reset'
  | 'noReset'
  | 'kept'
  | 'withdrawn'
  | 'crash'
  | 'collateral'
  | 'attribute'
  | 'stuck';

export type Verdict =
  | { readonly kind: 'right' }
  | { readonly kind: 'wrong'; readonly what: WrongKind; readonly seen: string };

const wrong = (what: WrongKind, seen: string): Verdict => ({ kind: 'wrong', what, seen });

export function endingText(ended: Ending): string {
  const said = ended.notification;
  if (said === undefined) return 'connection closed';
  return `NOTIFICATION ${said.code}/${said.subcode}${said.data === '' ? '' : ` data ${said.data.slice(0, 80)}`}`;
}

export function routeText(route: SeenRoute | undefined): string {
  if (route === undefined) return 'no route';
  const values = [...route.attributes].map(([type, value]) => `${type}=${value.slice(0, 80)}`);
  return `route with ${values.join(' ')} next hop ${route.nextHop}`;
}

function seenText(observed: Observed): string {
  if (observed.ended !== undefined) return endingText(observed.ended);
  return Object.entries(observed.routes)
    .map(([name, route]) => `${name}: ${routeText(route)}`)
    .join('; ');
}

/** Which of the two versions a watcher has, by the origin AS. */
function markOf(route: SeenRoute, watcher: WatcherName): number {
  return Number(/(\d+)$/.exec(pathText(route, watcher === 'old' ? 2 : 4))?.[1] ?? 0);
}

/** Why an expectation is not met; undefined when it is. */
function unmet(
  expectation: Expectation,
  observed: Observed,
  ground: Ground,
): [WrongKind, string] | undefined {
  const { ended } = observed;
  if (expectation.kind === 'close') {
    if (ended === undefined) return ['noReset', seenText(observed)];
    return ended.notification === undefined ? undefined : ['reset', endingText(ended)];
  }
  if (expectation.kind === 'reset') {
    if (ended === undefined) return ['noReset', seenText(observed)];
    const said = ended.notification;
    const fits = expectation.codes.some(
      ([code, subcode]) => said?.code === code && (subcode === undefined || said.subcode === subcode),
    );
    const data = expectation.data === undefined || said?.data === expectation.data;
    return fits && data ? undefined : ['reset', endingText(ended)];
  }
  if (ended !== undefined) return ['reset', endingText(ended)];
  if (!observed.passed) return ['stuck', 'nothing came after it'];
  for (const [name, route] of Object.entries(observed.routes) as [WatcherName, SeenRoute | undefined][]) {
    const absent = expectation.kind === 'accept' && ![expectation.only ?? name].flat().includes(name);
    if (expectation.kind === 'withdraw' || absent) {
      if (route !== undefined) return ['kept', `${name}: ${routeText(route)}`];
      continue;
    }
    if (route === undefined) return ['withdrawn', `${name}: no route`];
    if (name === 'external' && route.attributes.has(LOCAL_PREF))
      return ['attribute', `LOCAL_PREF to an external peer: ${routeText(route)}`];
    const mark = markOf(route, name);
    if (expectation.kind === 'ignore') {
      if (mark !== GOOD_MARK) return ['kept', `${name}: ${routeText(route)}`];
      continue;
    }
    const unmarked = expectation.kind === 'accept' && expectation.unmarked === true;
    if (!unmarked && mark !== CASE_MARK) return ['stuck', `${name} has the earlier ${routeText(route)}`];
    if (expectation.kind === 'discard') {
      // LOCAL_PREF from outside is replaced by our own towards internal peers.
      const own = expectation.type === LOCAL_PREF && name === 'internal';
      if (!own && expectation.type !== NEXT_HOP && route.attributes.has(expectation.type))
        return ['attribute', `${name}: ${routeText(route)}`];
    } else {
      const complaint = expectation.check?.(route, name, ground);
      if (complaint !== undefined) return ['attribute', `${name}: ${complaint}: ${routeText(route)}`];
    }
  }
  return undefined;
}

/** Right when any of a case's expectations is met and nobody else suffered. */
export function judge(one: Case, observed: Observed, ground: Ground): Verdict {
  if (observed.crashed) return wrong('crash', 'the daemon ended');
  if (observed.collateral.length > 0) return wrong('collateral', observed.collateral.join('; '));
  const leaked = observed.leaked ?? [];
  if (leaked.length > 0 && one.valid !== true) return wrong('kept', `passed on: ${leaked.join(' ')}`);
  let first: [WrongKind, string] | undefined;
  for (const expectation of one.expect) {
    const complaint = unmet(expectation, observed, ground);
    if (complaint === undefined) return { kind: 'right' };
    first ??= complaint;
  }
  return wrong(first?.[0] ?? 'stuck', first?.[1] ?? 'nothing is expected');
}

/** What a case expects, in words. */
export function expectationText(one: Case): string {
  const words = one.expect.map((expectation) => {
    if (expectation.kind === 'reset') {
      const codes = expectation.codes.map(([code, subcode]) => `${code}/${subcode ?? '*'}`).join(', ');
      return `reset ${codes}${expectation.data === undefined ? '' : ` data ${expectation.data}`}`;
    }
    if (expectation.kind === 'discard') return `discard of ${expectation.type}`;
    return expectation.kind;
  });
  return words.join(' or ');
}
