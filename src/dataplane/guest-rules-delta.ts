// From what is in the kernel of the guests' filter to what is wanted, as changes for one batch. Pure. What carries the
// version that is wanted is left alone, so that a restart of leafd changes nothing; another version is replaced as a
// whole, which packets see at once. What is ours and nobody wants goes last, when all wishes are known (`leftovers`).

import { keyLength, keyType, type NftChange, type NftSet, type NftTable, setFlags } from '../netlink/nft.ts';
import type { NftChainFound, NftSetFound } from '../netlink/nft-dump.ts';
import { chainAdd, linkOfPortChain, type OwnedElement, type SharedRules } from './guest-rules.ts';

export interface TableFound {
  there: boolean;
  chains: Map<string, NftChainFound>;
  /** By chain: how many rules, and the comment of the first. */
  rules: Map<string, { count: number; comment: string }>;
  sets: Map<string, NftSetFound>;
}

export interface FilterFound {
  netdev: TableFound;
  inet: TableFound;
  /** Of ports: by ifindex, then by id. */
  elements: Map<number, Map<string, OwnedElement>>;
  /** Guest links that are guarded. */
  links: Set<number>;
}

export function tableNotFound(): TableFound {
  return { there: false, chains: new Map(), rules: new Map(), sets: new Map() };
}

/** The same key and kind of set: `nft` may have made others of our name. */
export function sameSet(set: NftSet, found: NftSetFound): boolean {
  return (
    found.keyLength === keyLength(set) && found.keyType === keyType(set) && found.flags === setFlags(set)
  );
}

/** Whether all shared rules are there in the version wanted. */
export function sharedIsThere(shared: SharedRules, found: TableFound): boolean {
  return (
    found.there &&
    shared.sets.every((set) => {
      const there = found.sets.get(set.name);
      return there !== undefined && sameSet(set, there);
    }) &&
    shared.chains.every((chain) => {
      const rules = found.rules.get(chain.name);
      return (
        found.chains.has(chain.name) &&
        rules?.count === chain.rules.length &&
        rules.comment === shared.version
      );
    })
  );
}

/** Sets that must be made anew: their elements of ports are lost with them. */
export function setsToReplace(shared: SharedRules, found: TableFound): NftSet[] {
  return shared.sets.filter((set) => {
    const there = found.sets.get(set.name);
    return there !== undefined && !sameSet(set, there);
  });
}

/** Everything shared, anew; ports' chains and elements stay. */
export function sharedChanges(shared: SharedRules, found: TableFound): NftChange[] {
  const { table } = shared;
  const changes: NftChange[] = [{ kind: 'tableAdd', table }];
  for (const chain of shared.chains) {
    if (!found.chains.has(chain.name)) changes.push(chainAdd(table, chain));
    else changes.push({ kind: 'rulesFlush', table, chain: chain.name });
  }
  const replaced = new Set(setsToReplace(shared, found).map((set) => set.name));
  if (replaced.size > 0) changes.push(...flushOthers(shared, found));
  for (const set of shared.sets) {
    const there = found.sets.has(set.name);
    if (replaced.has(set.name)) changes.push({ kind: 'setDelete', table, set: set.name });
    if (!there || replaced.has(set.name)) changes.push({ kind: 'setAdd', table, set });
  }
  for (const { set, elements } of shared.elements) {
    if (found.sets.has(set) && !replaced.has(set)) changes.push({ kind: 'elementsFlush', table, set });
    if (elements.length > 0) changes.push({ kind: 'elementsAdd', table, set, elements });
  }
  for (const chain of shared.chains)
    chain.rules.forEach((expressions, i) => {
      const add = { kind: 'ruleAdd', table, chain: chain.name, expressions } as const;
      changes.push(i === 0 ? { ...add, comment: shared.version } : add);
    });
  return changes;
}

/** Chains of another version may refer to a set that goes. */
function flushOthers(shared: SharedRules, found: TableFound): NftChange[] {
  const own = new Set(shared.chains.map((chain) => chain.name));
  const changes: NftChange[] = [];
  for (const name of found.chains.keys()) {
    if (own.has(name) || linkOfPortChain(name) !== undefined) continue;
    changes.push({ kind: 'rulesFlush', table: shared.table, chain: name });
  }
  return changes;
}

/** What another version of leafd left in the table, and chains of ports that nobody wished. */
export function leftovers(shared: SharedRules, found: TableFound, ports: ReadonlySet<string>): NftChange[] {
  const { table } = shared;
  const own = new Set(shared.chains.map((chain) => chain.name));
  const sets = new Set(shared.sets.map((set) => set.name));
  const gone = [...found.chains.keys()].filter((name) => {
    const link = linkOfPortChain(name);
    return !own.has(name) && (link === undefined || !ports.has(link));
  });
  const changes: NftChange[] = gone.map((chain) => ({ kind: 'rulesFlush', table, chain }));
  for (const chain of gone) changes.push({ kind: 'chainDelete', table, chain });
  for (const set of found.sets.keys()) if (!sets.has(set)) changes.push({ kind: 'setDelete', table, set });
  return changes;
}

/** Elements to be added and deleted so that a link has those that are wanted. */
export function elementDelta(
  wanted: ReadonlyMap<string, OwnedElement>,
  there: ReadonlyMap<string, OwnedElement> | undefined,
): { add: OwnedElement[]; remove: OwnedElement[] } {
  const add: OwnedElement[] = [];
  const remove: OwnedElement[] = [];
  for (const [id, element] of wanted) if (there?.has(id) !== true) add.push(element);
  if (there !== undefined) for (const [id, element] of there) if (!wanted.has(id)) remove.push(element);
  return { add, remove };
}

/** The message names the table whose change others made: the filter is read again. */
export function isOurTable(family: number, name: string, tables: readonly NftTable[]): boolean {
  return tables.some((table) => table.family === family && table.name === name);
}
