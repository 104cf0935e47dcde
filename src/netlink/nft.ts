// Changes of nf_tables as one batch of nfnetlink messages: the kernel does all of them or none, and packets see the
// rules of before or of after, never a mixture (include/uapi/linux/netfilter/{nfnetlink,nf_tables}.h). Pure. Adding a
// table, chain or set that is there changes nothing; adding an element that is there neither; deleting what is not
// there fails the batch. Sending is netfilter.ts, reading back nft-dump.ts, what a rule does nft-expression.ts.

import { type MessageWriter, NLM_F_CREATE, NLM_F_REQUEST } from './message.ts';
import { encodeExpressions, type NftExpression, u64 } from './nft-expression.ts';

export const NFPROTO_INET = 1;
export const NFPROTO_NETDEV = 5;

export const NF_INET_LOCAL_IN = 1;
export const NF_INET_FORWARD = 2;
export const NF_INET_LOCAL_OUT = 3;
export const NF_NETDEV_INGRESS = 0;

const NFNL_MSG_BATCH_BEGIN = 0x10;
const NFNL_MSG_BATCH_END = 0x11;
const NFNL_SUBSYS_NFTABLES = 10;
const NFTABLES = NFNL_SUBSYS_NFTABLES << 8;
const NLM_F_APPEND = 0x800;

export const NFT_MSG_NEWTABLE = NFTABLES | 0;
export const NFT_MSG_GETTABLE = NFTABLES | 1;
export const NFT_MSG_DELTABLE = NFTABLES | 2;
export const NFT_MSG_NEWCHAIN = NFTABLES | 3;
export const NFT_MSG_GETCHAIN = NFTABLES | 4;
export const NFT_MSG_DELCHAIN = NFTABLES | 5;
export const NFT_MSG_NEWRULE = NFTABLES | 6;
export const NFT_MSG_GETRULE = NFTABLES | 7;
export const NFT_MSG_DELRULE = NFTABLES | 8;
export const NFT_MSG_NEWSET = NFTABLES | 9;
export const NFT_MSG_GETSET = NFTABLES | 10;
export const NFT_MSG_DELSET = NFTABLES | 11;
export const NFT_MSG_NEWSETELEM = NFTABLES | 12;
export const NFT_MSG_GETSETELEM = NFTABLES | 13;
export const NFT_MSG_DELSETELEM = NFTABLES | 14;

export const NFT_SET_INTERVAL = 0x4;
export const NFT_SET_TIMEOUT = 0x10;
export const NFT_SET_EVAL = 0x20;
export const NFT_SET_CONCAT = 0x80;
const NFTA_LIST_ELEM = 1;
/** nft's own tag of a comment in a rule's user data. */
const UDATA_COMMENT = 0;
/** nft's own note in a set's user data: tag 0, length 4, host order. */
const KEY_HOST_ORDER = Uint8Array.of(0, 4, 1, 0, 0, 0);
const COMMENT_MOST_BYTES = 128;
/** The length of a nested attribute has 16 bits. */
const ELEMENTS_MOST_BYTES = 60_000;

export interface NftTable {
  family: number;
  name: string;
}

export interface NftBaseChain {
  hook: number;
  priority: number;
  policy: 'accept' | 'drop';
  /** Of family netdev: the link's name. */
  device?: string;
}

export interface NftSet {
  name: string;
  /** Parts of the key, each filled up to words: nft's number of the type, for `nft list`, and the bytes. */
  fields: readonly { type: number; length: number }[];
  /** The key is a number in host order, for `nft list` to show it right. */
  hostOrder?: boolean;
  /** Elements are ranges of keys (of two fields at least). */
  interval?: boolean;
  /** Rules add elements, so many at most. */
  dynamicSize?: number;
  /** Elements go when no rule has added or renewed them for so long. */
  timeoutMs?: number;
}

export interface NftElement {
  key: Uint8Array;
  /** Of an interval set: the last key of the range. */
  keyEnd?: Uint8Array;
}

export interface NftElementsChange {
  kind: 'elementsAdd' | 'elementsDelete';
  table: NftTable;
  set: string;
  elements: readonly NftElement[];
}

export type NftChange = NftStructureChange | NftElementsChange;

export type NftStructureChange =
  | { kind: 'tableAdd' | 'tableDelete'; table: NftTable }
  | { kind: 'chainAdd'; table: NftTable; chain: string; base?: NftBaseChain }
  | { kind: 'chainDelete'; table: NftTable; chain: string }
  /** Removes all rules of a chain. */
  | { kind: 'rulesFlush'; table: NftTable; chain: string }
  | {
      kind: 'ruleAdd';
      table: NftTable;
      chain: string;
      expressions: readonly NftExpression[];
      comment?: string;
    }
  | { kind: 'setAdd'; table: NftTable; set: NftSet }
  | { kind: 'setDelete'; table: NftTable; set: string }
  /** Removes all elements of a set. */
  | { kind: 'elementsFlush'; table: NftTable; set: string };

/** Bytes of a set's key. */
export function keyLength(set: NftSet): number {
  return set.fields.reduce((sum, field) => sum + ((field.length + 3) & ~3), 0);
}

/** What nft calls the key's type: six bits a field. */
export function keyType(set: NftSet): number {
  return set.fields.reduce((type, field) => ((type << 6) | field.type) >>> 0, 0);
}

export function setFlags(set: NftSet): number {
  return (
    (set.interval === true ? NFT_SET_INTERVAL | NFT_SET_CONCAT : 0) |
    (set.dynamicSize === undefined ? 0 : NFT_SET_EVAL) |
    (set.timeoutMs === undefined ? 0 : NFT_SET_TIMEOUT)
  );
}

/**
 * Writes the changes between the marks of a batch. Messages are numbered from `firstSeq`, the beginning included;
 * `last` of the writer stays at the last change, where an ACK may be asked for, because older kernels do not
 * acknowledge the end.
 */
export function encodeBatch(writer: MessageWriter, firstSeq: number, changes: readonly NftChange[]): void {
  let setId = 0;
  const nextSeq = (): number => firstSeq + writer.count;
  mark(writer, NFNL_MSG_BATCH_BEGIN, nextSeq());
  for (const change of changes) {
    if (change.kind === 'setAdd') setId++;
    if ('elements' in change) encodeElements(writer, nextSeq, change);
    else encodeChange(writer, nextSeq(), change, setId);
  }
  const last = writer.last;
  mark(writer, NFNL_MSG_BATCH_END, nextSeq());
  writer.last = last;
}

function mark(writer: MessageWriter, type: number, seq: number): void {
  writer.begin(type, NLM_F_REQUEST, seq);
  writer.u8(0).u8(0).u8(0).u8(NFNL_SUBSYS_NFTABLES).end();
}

/** struct nfgenmsg, and the table's name where there is one. */
export function encodeHead(
  writer: MessageWriter,
  type: number,
  flags: number,
  seq: number,
  table: NftTable,
): void {
  writer.begin(type, NLM_F_REQUEST | flags, seq);
  writer.u8(table.family).u8(0).u16(0);
  if (table.name !== '') writer.attributeText(1, table.name);
}

function encodeChange(writer: MessageWriter, seq: number, change: NftStructureChange, setId: number): void {
  const { table } = change;
  switch (change.kind) {
    case 'tableAdd':
      encodeHead(writer, NFT_MSG_NEWTABLE, NLM_F_CREATE, seq, table);
      writer.attributeU32Network(2, 0);
      break;
    case 'tableDelete':
      encodeHead(writer, NFT_MSG_DELTABLE, 0, seq, table);
      break;
    case 'chainAdd':
      encodeHead(writer, NFT_MSG_NEWCHAIN, NLM_F_CREATE, seq, table);
      encodeChain(writer, change.chain, change.base);
      break;
    case 'chainDelete':
      encodeHead(writer, NFT_MSG_DELCHAIN, 0, seq, table);
      writer.attributeText(3, change.chain);
      break;
    case 'rulesFlush':
      encodeHead(writer, NFT_MSG_DELRULE, 0, seq, table);
      writer.attributeText(2, change.chain);
      break;
    case 'ruleAdd':
      encodeHead(writer, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, seq, table);
      writer.attributeText(2, change.chain);
      encodeExpressions(writer, 4, change.expressions);
      if (change.comment !== undefined) writer.attributeBytes(7, commentData(change.comment));
      break;
    case 'setAdd':
      encodeHead(writer, NFT_MSG_NEWSET, NLM_F_CREATE, seq, table);
      encodeSet(writer, change.set, setId);
      break;
    case 'setDelete':
      encodeHead(writer, NFT_MSG_DELSET, 0, seq, table);
      writer.attributeText(2, change.set);
      break;
    case 'elementsFlush':
      encodeHead(writer, NFT_MSG_DELSETELEM, 0, seq, table);
      writer.attributeText(2, change.set);
      break;
  }
  writer.end();
}

function encodeChain(writer: MessageWriter, name: string, base: NftBaseChain | undefined): void {
  writer.attributeText(3, name);
  if (base === undefined) return;
  writer.attributeText(7, 'filter').attributeU32Network(5, base.policy === 'accept' ? 1 : 0);
  const hook = writer.nest(4);
  writer.attributeU32Network(1, base.hook).attributeU32Network(2, base.priority >>> 0);
  if (base.device !== undefined) writer.attributeText(3, base.device);
  writer.nestEnd(hook);
}

function encodeSet(writer: MessageWriter, set: NftSet, id: number): void {
  writer.attributeText(2, set.name).attributeU32Network(3, setFlags(set));
  writer.attributeU32Network(4, keyType(set)).attributeU32Network(5, keyLength(set));
  writer.attributeU32Network(10, id);
  if (set.dynamicSize !== undefined) {
    const description = writer.nest(9);
    writer.attributeU32Network(1, set.dynamicSize).nestEnd(description);
  } else if (set.interval === true) {
    const description = writer.nest(9);
    const concatenation = writer.nest(2);
    for (const field of set.fields) {
      const element = writer.nest(NFTA_LIST_ELEM);
      writer.attributeU32Network(1, field.length).nestEnd(element);
    }
    writer.nestEnd(concatenation);
    writer.nestEnd(description);
  }
  if (set.timeoutMs !== undefined) writer.attributeBytes(11, u64(set.timeoutMs));
  if (set.hostOrder === true) writer.attributeBytes(13, KEY_HOST_ORDER);
}

function encodeElements(writer: MessageWriter, nextSeq: () => number, change: NftElementsChange): void {
  const adds = change.kind === 'elementsAdd';
  for (let i = 0; i < change.elements.length; ) {
    const type = adds ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM;
    encodeHead(writer, type, adds ? NLM_F_CREATE : 0, nextSeq(), change.table);
    writer.attributeText(2, change.set);
    const list = writer.nest(3);
    for (; i < change.elements.length && writer.length - list < ELEMENTS_MOST_BYTES; i++) {
      const element = writer.nest(NFTA_LIST_ELEM);
      key(writer, 1, change.elements[i]!.key);
      const keyEnd = change.elements[i]!.keyEnd;
      if (keyEnd !== undefined) key(writer, 10, keyEnd);
      writer.nestEnd(element);
    }
    writer.nestEnd(list).end();
  }
}

function key(writer: MessageWriter, type: number, bytes: Uint8Array): void {
  const nest = writer.nest(type);
  writer.attributeBytes(1, bytes).nestEnd(nest);
}

/** User data as nft writes a comment: tag, length, text with its zero. */
function commentData(text: string): Uint8Array {
  const length = Math.min(text.length + 1, COMMENT_MOST_BYTES);
  const bytes = new Uint8Array(2 + length);
  bytes[0] = UDATA_COMMENT;
  bytes[1] = length;
  for (let i = 0; i < length - 1; i++) bytes[2 + i] = text.charCodeAt(i);
  return bytes;
}
