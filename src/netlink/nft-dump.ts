// Asking nf_tables what is there, and reading the answers: tables, chains, rules (their chain and comment only: what a
// rule does is not read back, its comment names the version that wrote it), sets and their elements with counters.
// Pure. Attribute numbers as in include/uapi/linux/netfilter/nf_tables.h.

import {
  attributeAt,
  attributeBytes,
  attributeText,
  attributeType,
  type MessageWriter,
  NLM_F_ACK,
  NLM_F_DUMP,
} from './message.ts';
import {
  encodeHead,
  NFT_MSG_GETCHAIN,
  NFT_MSG_GETRULE,
  NFT_MSG_GETSET,
  NFT_MSG_GETSETELEM,
  NFT_MSG_GETTABLE,
  type NftTable,
} from './nft.ts';

/** nlmsghdr and nfgenmsg. */
const BODY = 20;

export interface NftChainFound {
  table: string;
  name: string;
  /** Of a base chain in family netdev: the link it was hooked to, there or not. */
  device?: string;
  base: boolean;
}

export interface NftRuleFound {
  chain: string;
  /** Unique in the table. */
  handle: string;
  comment: string;
}

export interface NftSetFound {
  name: string;
  flags: number;
  keyType: number;
  keyLength: number;
}

export interface NftElementFound {
  key: Uint8Array;
  /** Packets that its counter has counted; 0 without one. */
  packets: number;
}

export function encodeTableDump(writer: MessageWriter, seq: number, family: number): void {
  encodeHead(writer, NFT_MSG_GETTABLE, NLM_F_DUMP, seq, { family, name: '' });
  writer.end();
}

/** All chains of the family; older kernels do not select by table. */
export function encodeChainDump(writer: MessageWriter, seq: number, family: number): void {
  encodeHead(writer, NFT_MSG_GETCHAIN, NLM_F_DUMP, seq, { family, name: '' });
  writer.end();
}

/** Asks for one chain; ENOENT where it is not. */
export function encodeChainGet(writer: MessageWriter, seq: number, table: NftTable, chain: string): void {
  encodeHead(writer, NFT_MSG_GETCHAIN, NLM_F_ACK, seq, table);
  writer.attributeText(3, chain).end();
}

export function encodeRuleDump(writer: MessageWriter, seq: number, table: NftTable): void {
  encodeHead(writer, NFT_MSG_GETRULE, NLM_F_DUMP, seq, table);
  writer.end();
}

export function encodeSetDump(writer: MessageWriter, seq: number, table: NftTable): void {
  encodeHead(writer, NFT_MSG_GETSET, NLM_F_DUMP, seq, table);
  writer.end();
}

export function encodeElementDump(writer: MessageWriter, seq: number, table: NftTable, set: string): void {
  encodeHead(writer, NFT_MSG_GETSETELEM, NLM_F_DUMP, seq, table);
  writer.attributeText(2, set).end();
}

type OnAttribute = (type: number, at: number, length: number) => void;

function eachAttribute(bytes: Uint8Array, start: number, end: number, callback: OnAttribute): void {
  for (let at = start, n = 0; (n = attributeAt(bytes, at, end)) > 0; at += (n + 3) & ~3)
    callback(attributeType(bytes, at), at, n);
}

/** The table's name in any message about nf_tables: attribute 1 of them all; '' where there is none. */
export function tableOf(bytes: Uint8Array, start: number, end: number): string {
  let name = '';
  eachAttribute(bytes, start + BODY, end, (type, at, n) => {
    if (type === 1) name = attributeText(bytes, at, n);
  });
  return name;
}

/** nfgen_family of a whole message, or -1. */
export function familyOf(bytes: Uint8Array, start: number, end: number): number {
  return end < start + BODY ? -1 : bytes[start + 16]!;
}

export function decodeChain(bytes: Uint8Array, start: number, end: number): NftChainFound | undefined {
  const found: NftChainFound = { table: '', name: '', base: false };
  eachAttribute(bytes, start + BODY, end, (type, at, n) => {
    if (type === 1) found.table = attributeText(bytes, at, n);
    else if (type === 3) found.name = attributeText(bytes, at, n);
    else if (type === 4) {
      found.base = true;
      eachAttribute(bytes, at + 4, at + n, (inner, place, length) => {
        if (inner === 3) found.device = attributeText(bytes, place, length);
      });
    }
  });
  return found.name === '' ? undefined : found;
}

export function decodeRule(bytes: Uint8Array, start: number, end: number): NftRuleFound | undefined {
  const found: NftRuleFound = { chain: '', handle: '', comment: '' };
  eachAttribute(bytes, start + BODY, end, (type, at, n) => {
    if (type === 2) found.chain = attributeText(bytes, at, n);
    else if (type === 3 && n === 12) found.handle = String(u64Network(bytes, at + 4));
    else if (type === 7) found.comment = commentOf(bytes, at + 4, at + n);
  });
  return found.chain === '' ? undefined : found;
}

export function decodeSet(bytes: Uint8Array, start: number, end: number): NftSetFound | undefined {
  const found: NftSetFound = { name: '', flags: 0, keyType: 0, keyLength: 0 };
  eachAttribute(bytes, start + BODY, end, (type, at, n) => {
    if (type === 2) found.name = attributeText(bytes, at, n);
    else if (n !== 8) return;
    else if (type === 3) found.flags = u32Network(bytes, at + 4);
    else if (type === 4) found.keyType = u32Network(bytes, at + 4);
    else if (type === 5) found.keyLength = u32Network(bytes, at + 4);
  });
  return found.name === '' ? undefined : found;
}

/** Calls back for each element in an answer to `encodeElementDump`. */
export function eachElement(
  bytes: Uint8Array,
  start: number,
  end: number,
  callback: (element: NftElementFound) => void,
): void {
  eachAttribute(bytes, start + BODY, end, (type, at, n) => {
    if (type !== 3) return;
    eachAttribute(bytes, at + 4, at + n, (inner, place, length) => {
      if (inner !== 1) return;
      const element = decodeElement(bytes, place + 4, place + length);
      if (element !== undefined) callback(element);
    });
  });
}

function decodeElement(bytes: Uint8Array, start: number, end: number): NftElementFound | undefined {
  let key: Uint8Array | undefined;
  let packets = 0;
  eachAttribute(bytes, start, end, (type, at, n) => {
    if (type === 1) {
      eachAttribute(bytes, at + 4, at + n, (inner, place, length) => {
        if (inner === 1) key = attributeBytes(bytes, place, length);
      });
    } else if (type === 7) packets += counterOf(bytes, at + 4, at + n);
    else if (type === 11) {
      eachAttribute(bytes, at + 4, at + n, (inner, place, length) => {
        if (inner === 1) packets += counterOf(bytes, place + 4, place + length);
      });
    }
  });
  return key === undefined ? undefined : { key, packets };
}

/** Packets of an expression [start, end) that is a counter; 0 of others. */
function counterOf(bytes: Uint8Array, start: number, end: number): number {
  let name = '';
  let packets = 0;
  eachAttribute(bytes, start, end, (type, at, n) => {
    if (type === 1) name = attributeText(bytes, at, n);
    else if (type === 2) {
      eachAttribute(bytes, at + 4, at + n, (inner, place, length) => {
        if (inner === 2 && length === 12) packets = u64Network(bytes, place + 4);
      });
    }
  });
  return name === 'counter' ? packets : 0;
}

/** The comment in a rule's user data, as nft writes it; '' where there is none. */
function commentOf(bytes: Uint8Array, start: number, end: number): string {
  for (let at = start; at + 2 <= end; at += 2 + bytes[at + 1]!) {
    const stop = at + 2 + bytes[at + 1]!;
    if (stop > end) return '';
    if (bytes[at] !== 0) continue;
    let text = '';
    for (let i = at + 2; i < stop && bytes[i] !== 0; i++) text += String.fromCharCode(bytes[i]!);
    return text;
  }
  return '';
}

function u32Network(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

function u64Network(bytes: Uint8Array, at: number): number {
  return u32Network(bytes, at) * 0x1_0000_0000 + u32Network(bytes, at + 4);
}
