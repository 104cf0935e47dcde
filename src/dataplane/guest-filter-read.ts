// Reads what the kernel has of the guests' filter: our two tables and nothing else.

import type { MessageCallback, MessageWriter } from '../netlink/message.ts';
import type { NftTable } from '../netlink/nft.ts';
import {
  decodeChain,
  decodeRule,
  decodeSet,
  eachElement,
  encodeChainDump,
  encodeElementDump,
  encodeRuleDump,
  encodeSetDump,
  encodeTableDump,
  tableOf,
} from '../netlink/nft-dump.ts';
import { NetlinkError, type NetlinkSocket } from '../netlink/socket.ts';
import {
  elementId,
  INET_TABLE,
  ifindexOf,
  NETDEV_TABLE,
  type OwnedElement,
  PORT_SETS,
} from './guest-rules.ts';
import { type FilterFound, type TableFound, tableNotFound } from './guest-rules-delta.ts';
import { LINKS_SET } from './guest-rules-guard.ts';

const ENOENT = 2;

/** Throws NetlinkError (no nf_tables, no permission) or SysError. */
export function readFilter(socket: NetlinkSocket, writer: MessageWriter): FilterFound {
  const found: FilterFound = {
    netdev: readTable(socket, writer, NETDEV_TABLE),
    inet: readTable(socket, writer, INET_TABLE),
    elements: new Map(),
    links: new Set(),
  };
  for (const { name } of PORT_SETS) {
    const take = (key: Uint8Array) => own(found.elements, { table: NETDEV_TABLE, set: name, key });
    if (found.netdev.sets.has(name)) readElements(socket, writer, NETDEV_TABLE, name, take);
  }
  if (found.inet.sets.has(LINKS_SET.name)) {
    const take = (key: Uint8Array) => found.links.add(ifindexOf(key));
    readElements(socket, writer, INET_TABLE, LINKS_SET.name, take);
  }
  return found;
}

/** A dump that is empty where the table or set is not there (any more). */
export function dumpOrNothing(
  socket: NetlinkSocket,
  writer: MessageWriter,
  encode: (writer: MessageWriter, seq: number) => void,
  onMessage: MessageCallback,
): void {
  try {
    socket.dumpNow(writer, encode, onMessage);
  } catch (error) {
    if (!(error instanceof NetlinkError) || error.errno !== ENOENT) throw error;
  }
}

function readTable(socket: NetlinkSocket, writer: MessageWriter, table: NftTable): TableFound {
  const found = tableNotFound();
  const tables = (w: MessageWriter, seq: number) => encodeTableDump(w, seq, table.family);
  dumpOrNothing(socket, writer, tables, (_type, _flags, bytes, start, end) => {
    if (tableOf(bytes, start, end) === table.name) found.there = true;
  });
  if (!found.there) return found;
  const chains = (w: MessageWriter, seq: number) => encodeChainDump(w, seq, table.family);
  dumpOrNothing(socket, writer, chains, (_type, _flags, bytes, start, end) => {
    const chain = decodeChain(bytes, start, end);
    if (chain?.table === table.name) found.chains.set(chain.name, chain);
  });
  // A dump that began anew tells rules twice.
  const handles = new Set<string>();
  const rules = (w: MessageWriter, seq: number) => encodeRuleDump(w, seq, table);
  dumpOrNothing(socket, writer, rules, (_type, _flags, bytes, start, end) => {
    const rule = decodeRule(bytes, start, end);
    if (rule === undefined || tableOf(bytes, start, end) !== table.name || handles.has(rule.handle)) return;
    handles.add(rule.handle);
    const seen = found.rules.get(rule.chain);
    if (seen === undefined) found.rules.set(rule.chain, { count: 1, comment: rule.comment });
    else seen.count++;
  });
  const sets = (w: MessageWriter, seq: number) => encodeSetDump(w, seq, table);
  dumpOrNothing(socket, writer, sets, (_type, _flags, bytes, start, end) => {
    const set = decodeSet(bytes, start, end);
    if (set !== undefined && tableOf(bytes, start, end) === table.name) found.sets.set(set.name, set);
  });
  return found;
}

function readElements(
  socket: NetlinkSocket,
  writer: MessageWriter,
  table: NftTable,
  set: string,
  take: (key: Uint8Array) => void,
): void {
  const elements = (w: MessageWriter, seq: number) => encodeElementDump(w, seq, table, set);
  dumpOrNothing(socket, writer, elements, (_type, _flags, bytes, start, end) => {
    eachElement(bytes, start, end, ({ key }) => take(key));
  });
}

function own(elements: FilterFound['elements'], element: OwnedElement): void {
  const ifindex = ifindexOf(element.key);
  let ofLink = elements.get(ifindex);
  if (ofLink === undefined) elements.set(ifindex, (ofLink = new Map()));
  ofLink.set(elementId(element), element);
}
