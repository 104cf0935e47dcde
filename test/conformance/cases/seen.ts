// What the behaviours are made of: rows, and checks of what a watcher has been sent.

import {
  AS_PATH,
  type Attribute,
  attribute,
  COMMUNITIES,
  hex,
  OPTIONAL_TRANSITIVE,
  u32,
  WELL_KNOWN,
} from '../bytes.ts';
import {
  announce,
  type Check,
  type Expectation,
  type Ground,
  having,
  type SessionKind,
  type UpdateCase,
  type WatcherName,
} from '../case.ts';
import { pathText } from '../decode.ts';

export type Row = Pick<UpdateCase, 'id' | 'title' | 'clause' | 'expect' | 'send' | 'session'> &
  Partial<Pick<UpdateCase, 'nlri' | 'good' | 'family'>>;

export const both: readonly SessionKind[] = ['external', 'internal'];
export const isInternal = (session: SessionKind) => session === 'internal';
export const carrying =
  (...changed: Attribute[]) =>
  (ground: Ground) =>
    announce(ground, having(ground, ...changed));
export const path = (build: (ground: Ground) => readonly number[]) => (ground: Ground) =>
  announce(ground, having(ground, attribute(WELL_KNOWN, AS_PATH, build(ground))));
export const seen = (
  check: Check,
  more: { unmarked?: boolean; only?: WatcherName } = {},
): readonly Expectation[] => [{ kind: 'accept', check, ...more }];
export const is =
  (type: number, value: readonly number[]): Check =>
  (route) =>
    route.attributes.get(type) === hex(value)
      ? undefined
      : `attribute ${type} is ${route.attributes.get(type)}`;
export const lacks =
  (type: number): Check =>
  (route) =>
    route.attributes.has(type) ? `attribute ${type} is there` : undefined;
export const by =
  (checks: Partial<Record<WatcherName, Check>>): Check =>
  (route, watcher, ground) =>
    checks[watcher]?.(route, watcher, ground);
export const pathIs =
  (text: string): Check =>
  (route, watcher) => {
    const got = pathText(route, watcher === 'old' ? 2 : 4);
    return got === text ? undefined : `the path is "${got}"`;
  };
export const community = (...values: number[]) =>
  attribute(OPTIONAL_TRANSITIVE, COMMUNITIES, values.flatMap(u32));
