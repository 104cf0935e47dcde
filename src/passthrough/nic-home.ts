// A NIC in the host's namespace: what it has there is read into a record, what its going would take from other NICs'
// routes is put back, and when it comes home it becomes what it was, step by step in the kernel's order: link and
// settings while it is down, the bridge or bond it is part of, up, addresses, routes, neighbours. Each step looks at
// what is there already, so that it can be taken again after a crash.

import type { Link, LinkChange } from '../netlink/link.ts';
import {
  NLM_F_APPEND,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  NLM_F_REQUEST,
  RTM_NEWNEIGH,
} from '../netlink/message.ts';
import { encodeNeighbour } from '../netlink/neighbour.ts';
import { encodeWholeRouteAdd } from '../netlink/whole-route.ts';
import type { Fault } from './fault.ts';
import { putAddresses, putLinkLocals } from './nic-inside.ts';
import type { NicKernel } from './nic-kernel.ts';
import { type NicRecord, neighbourOn, type SavedAddress, saveLink } from './nic-record.ts';
import {
  completed,
  goesWith,
  ownSources,
  type RouteStep,
  remainder,
  routeKey,
  routeOn,
  routeSteps,
  routeText,
  type SavedRoute,
} from './nic-routes.ts';

/** Routes kept of one NIC; a NIC with more belongs to a routing daemon that must let go of it first. */
const ROUTES_MAX = 10_000;
/** Of one kind of failure so many are told. */
const TOLD_MAX = 3;

export type HomeRestoreStep =
  | 'linkHome'
  | 'settingsHome'
  | 'masterHome'
  | 'upHome'
  | 'addressesHome'
  | 'routesHome'
  | 'neighboursHome';

/** Reads all that the NIC is. `others`: routes in the records of NICs that are away. */
export function capture(
  home: NicKernel,
  name: string,
  link: Link,
  others: readonly SavedRoute[],
  moment: { bootId: string; now: string },
): NicRecord | Fault {
  const links = home.links();
  const addresses = home.addresses();
  const own = addresses.get(link.ifindex) ?? [];
  const sources = ownSources(own, exceptOf(addresses, link.ifindex));
  const routes = home.routes(links).filter((route) => goesWith(route, link.name, sources));
  if (routes.length > ROUTES_MAX)
    return { errno: 'E2BIG', text: `it has ${routes.length} routes, more than ${ROUTES_MAX}` };
  const master = links.find((other) => other.ifindex === link.master);
  return {
    name,
    ...saveLink(link),
    ...(master && { master: master.name }),
    addresses: own,
    routes: routes.map((route) => completed(route, others)),
    neighbours: home.neighbours(link.ifindex),
    sysctls: home.settings(link.name),
    bootId: moment.bootId,
    savedAt: moment.now,
  };
}

function exceptOf(addresses: ReadonlyMap<number, SavedAddress[]>, ifindex: number): SavedAddress[] {
  return [...addresses].flatMap(([index, list]) => (index === ifindex ? [] : list));
}

/** Puts back what the NIC's going took from routes that other NICs have a part in. */
export function putRemainders(home: NicKernel, record: NicRecord): string[] {
  const links = home.links();
  const indexes = new Map(links.map((link) => [link.name, link.ifindex]));
  const sources = ownSources(record.addresses, exceptOf(home.addresses(), -1));
  const isHere = (link: string): boolean => indexes.has(link);
  const rest = record.routes.flatMap((route) => remainder(route, record.name, sources, isHere) ?? []);
  if (rest.length === 0) return [];
  const present = new Set(home.routes(links).map(routeKey));
  const missing = rest.filter((route) => !present.has(routeKey(route)));
  const refused = home.write(missing, (writer, seq, route) =>
    encodeWholeRouteAdd(
      writer,
      seq,
      NLM_F_CREATE | NLM_F_EXCL,
      routeOn(route, (link) => indexes.get(link)!),
    ),
  );
  return told(
    refused.map(({ item, fault }) => `${routeText(item)}: ${fault.text}`),
    'what remains of a route',
  );
}

export interface Restored {
  /** It is not as it was, and is to be tried again. */
  fault: Fault | undefined;
  /** What could not be had again, one line a kind. */
  problems: string[];
}

/** Makes the NIC what it was. `isAway`: names of links that a record says are away. */
export function restoreHome(
  home: NicKernel,
  record: NicRecord,
  link: Link,
  isAway: (link: string) => boolean,
  onStep: (step: HomeRestoreStep) => void,
): Restored {
  const { ifindex } = link;
  const problems: string[] = [];
  const change = linkChange(record, link);
  const fault = change && home.setLink(change);
  if (fault) return { fault, problems };
  onStep('linkHome');
  problems.push(...told(home.setSettings(record.sysctls), 'a setting'));
  onStep('settingsHome');
  problems.push(...putMaster(home, record, link));
  onStep('masterHome');
  const down = home.links().find((one) => one.ifindex === ifindex);
  const rises = record.up && down?.up === false;
  if (rises) putLinkLocals(home, ifindex, record.addresses);
  const upFault = rises ? home.setLink({ ifindex, up: true }) : undefined;
  if (upFault) return { fault: upFault, problems };
  onStep('upHome');
  const put = putAddresses(home, ifindex, record.addresses);
  if (put.fault) return { fault: put.fault, problems };
  onStep('addressesHome');
  problems.push(...putRoutes(home, record, isAway));
  onStep('routesHome');
  problems.push(...putNeighbours(home, record, ifindex));
  onStep('neighboursHome');
  return { fault: undefined, problems };
}

function linkChange(record: NicRecord, link: Link): LinkChange | undefined {
  const change: LinkChange = { ifindex: link.ifindex };
  if (link.name !== record.name) change.name = record.name;
  if (link.mtu !== record.mtu) change.mtu = record.mtu;
  if (link.alias !== record.alias) change.alias = record.alias;
  return Object.keys(change).length > 1 ? change : undefined;
}

// A bond takes only links that are down; this one is, unless an earlier life got further.
function putMaster(home: NicKernel, record: NicRecord, link: Link): string[] {
  if (record.master === undefined) return [];
  const master = home.links().find((one) => one.name === record.master);
  if (master === undefined) return [`there is no ${record.master} any more that it could be part of`];
  if (link.master === master.ifindex) return [];
  const { ifindex } = link;
  if (link.up) home.setLink({ ifindex, up: false });
  const fault = home.setLink({ ifindex, master: master.ifindex });
  return fault ? [`${record.master} does not take it: ${fault.text}`] : [];
}

// Some gateways are found through other routes of the list: again, as long as that helps.
function putRoutes(home: NicKernel, record: NicRecord, isAway: (link: string) => boolean): string[] {
  if (record.routes.length === 0) return [];
  const links = home.links();
  const indexes = new Map(links.map((link) => [link.name, link.ifindex]));
  let steps = routeSteps(record.routes, home.routes(links), (link) => indexes.has(link));
  let texts: string[] = [];
  for (let before = Number.POSITIVE_INFINITY; steps.length > 0 && steps.length < before; ) {
    before = steps.length;
    const refused = home
      .write(steps, (writer, seq, { route, how }: RouteStep) =>
        encodeWholeRouteAdd(
          writer,
          seq,
          NLM_F_CREATE | (how === 'replace' ? NLM_F_REPLACE : NLM_F_APPEND),
          routeOn(route, (link) => indexes.get(link)!),
        ),
      )
      .filter(({ fault }) => fault.errno !== 'EEXIST');
    texts = refused.map(({ item, fault }) => `${routeText(item.route)}: ${fault.text}`);
    steps = refused.map(({ item }) => item);
  }
  const gone = record.routes.filter((route) =>
    route.hops.some((hop) => !indexes.has(hop.link) && !isAway(hop.link)),
  );
  texts.push(...gone.map((route) => `${routeText(route)}: not all of its links are here`));
  return told(texts, 'a route');
}

function putNeighbours(home: NicKernel, record: NicRecord, ifindex: number): string[] {
  const key = (one: { address: string; flags: number }): string => `${one.address} ${one.flags}`;
  const present = new Set(home.neighbours(ifindex).map(key));
  const missing = record.neighbours.filter((neighbour) => !present.has(key(neighbour)));
  const flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE;
  const refused = home.write(missing, (writer, seq, neighbour) =>
    encodeNeighbour(writer, RTM_NEWNEIGH, flags, seq, neighbourOn(neighbour, ifindex)),
  );
  return told(
    refused.map(({ item, fault }) => `${item.address}: ${fault.text}`),
    'a neighbour',
  );
}

function told(texts: readonly string[], what: string): string[] {
  if (texts.length === 0) return [];
  const more = texts.length > TOLD_MAX ? ` and ${texts.length - TOLD_MAX} more` : '';
  return [`not restored, ${what}: ${texts.slice(0, TOLD_MAX).join('; ')}${more}`];
}
