// Expressions of nf_tables rules: each loads, compares, counts or judges, one after another; the first that does not
// hold ends its rule (include/uapi/linux/netfilter/nf_tables.h). Pure. Numbers inside attributes are in network order.
// Registers are the sixteen 32-bit words 8..23: what is longer than a word goes on in the next ones, its last word
// filled up with zeros, which is how the parts of a concatenated set key lie beside each other.

import type { MessageWriter } from './message.ts';

/** The first word; a register of 16 bytes begins at every fourth. */
export const NFT_REG32_00 = 8;

export const NFT_META_IIF = 4;
export const NFT_META_OIF = 5;
export const NFT_META_NFPROTO = 15;
export const NFT_META_L4PROTO = 16;
export const NFT_META_PKTTYPE = 19;

export const NFT_PAYLOAD_LL_HEADER = 0;
export const NFT_PAYLOAD_NETWORK_HEADER = 1;
export const NFT_PAYLOAD_TRANSPORT_HEADER = 2;

export const NFT_CMP_EQ = 0;
export const NFT_CMP_NEQ = 1;
export const NFT_CMP_GTE = 5;

const NFT_DYNSET_OP_UPDATE = 1;
const NFT_DYNSET_F_EXPR = 2;
const NFT_LOOKUP_F_INV = 1;
const NFTA_LIST_ELEM = 1;
const NFTA_DATA_VALUE = 1;
const NFTA_DATA_VERDICT = 2;

export type NftExpression =
  | { kind: 'meta'; key: number; register: number }
  | { kind: 'payload'; base: number; offset: number; length: number; register: number }
  /** A part of an IPv6 extension header; does not hold where the packet has none of this type. */
  | { kind: 'exthdr'; type: number; offset: number; length: number; register: number }
  | { kind: 'cmp'; register: number; op: number; value: Uint8Array }
  | { kind: 'range'; register: number; from: Uint8Array; to: Uint8Array }
  /** register = register & mask. */
  | { kind: 'mask'; register: number; mask: Uint8Array }
  | { kind: 'lookup'; register: number; set: string; inverted?: boolean }
  /** Adds the key or renews it, and runs the expressions (counter, limit) that its element keeps. */
  | { kind: 'update'; register: number; set: string; expressions: readonly NftExpression[] }
  | { kind: 'counter' }
  /** Holds for `rate` packets a second, `burst` at once. */
  | { kind: 'limit'; rate: number; burst: number }
  /** To the listener of an NFLOG group; `snapLength` bytes of the packet at most. */
  | { kind: 'log'; group: number; prefix: string; snapLength: number }
  | { kind: 'accept' }
  | { kind: 'drop' }
  | { kind: 'return' }
  | { kind: 'jump' | 'goto'; chain: string };

const VERDICTS = { drop: 0, accept: 1, jump: -3, goto: -4, return: -5 } as const;

/** The list of expressions in attribute `type`, in order. */
export function encodeExpressions(
  writer: MessageWriter,
  type: number,
  expressions: readonly NftExpression[],
): void {
  const list = writer.nest(type);
  for (const expression of expressions) {
    const element = writer.nest(NFTA_LIST_ELEM);
    writer.attributeText(1, nameOf(expression));
    const data = writer.nest(2);
    encodeData(writer, expression);
    writer.nestEnd(data);
    writer.nestEnd(element);
  }
  writer.nestEnd(list);
}

function nameOf(expression: NftExpression): string {
  switch (expression.kind) {
    case 'mask':
      return 'bitwise';
    case 'update':
      return 'dynset';
    case 'accept':
    case 'drop':
    case 'return':
    case 'jump':
    case 'goto':
      return 'immediate';
    default:
      return expression.kind;
  }
}

function encodeData(writer: MessageWriter, expression: NftExpression): void {
  switch (expression.kind) {
    case 'meta':
      writer.attributeU32Network(2, expression.key).attributeU32Network(1, expression.register);
      return;
    case 'payload':
      writer.attributeU32Network(1, expression.register).attributeU32Network(2, expression.base);
      writer.attributeU32Network(3, expression.offset).attributeU32Network(4, expression.length);
      return;
    case 'exthdr':
      writer.attributeU32Network(1, expression.register).attributeU8(2, expression.type);
      writer.attributeU32Network(3, expression.offset).attributeU32Network(4, expression.length);
      return;
    case 'cmp':
      writer.attributeU32Network(1, expression.register).attributeU32Network(2, expression.op);
      value(writer, 3, expression.value);
      return;
    case 'range':
      writer.attributeU32Network(1, expression.register).attributeU32Network(2, 0);
      value(writer, 3, expression.from);
      value(writer, 4, expression.to);
      return;
    case 'mask': {
      const length = expression.mask.length;
      writer.attributeU32Network(1, expression.register).attributeU32Network(2, expression.register);
      writer.attributeU32Network(3, length);
      value(writer, 4, expression.mask);
      value(writer, 5, new Uint8Array(length));
      return;
    }
    case 'lookup':
      writer.attributeU32Network(2, expression.register).attributeText(1, expression.set);
      if (expression.inverted === true) writer.attributeU32Network(5, NFT_LOOKUP_F_INV);
      return;
    case 'update':
      writer.attributeU32Network(4, expression.register).attributeU32Network(3, NFT_DYNSET_OP_UPDATE);
      writer.attributeText(1, expression.set);
      if (expression.expressions.length === 0) return;
      encodeExpressions(writer, 10, expression.expressions);
      writer.attributeU32Network(9, NFT_DYNSET_F_EXPR);
      return;
    case 'counter':
      return;
    case 'limit':
      writer.attributeBytes(1, u64(expression.rate)).attributeBytes(2, u64(1));
      writer.attributeU32Network(3, expression.burst).attributeU32Network(4, 0).attributeU32Network(5, 0);
      return;
    case 'log':
      writer.attributeText(2, expression.prefix);
      writer.attributeBytes(1, Uint8Array.of(expression.group >>> 8, expression.group));
      writer.attributeU32Network(3, expression.snapLength);
      return;
    default:
      encodeVerdict(writer, expression);
  }
}

function encodeVerdict(
  writer: MessageWriter,
  expression: Extract<NftExpression, { kind: keyof typeof VERDICTS }>,
): void {
  writer.attributeU32Network(1, 0);
  const data = writer.nest(2);
  const verdict = writer.nest(NFTA_DATA_VERDICT);
  writer.attributeU32Network(1, VERDICTS[expression.kind] >>> 0);
  if (expression.kind === 'jump' || expression.kind === 'goto') writer.attributeText(2, expression.chain);
  writer.nestEnd(verdict);
  writer.nestEnd(data);
}

function value(writer: MessageWriter, type: number, bytes: Uint8Array): void {
  const nest = writer.nest(type);
  writer.attributeBytes(NFTA_DATA_VALUE, bytes);
  writer.nestEnd(nest);
}

/** 64 bits in network order of a number below 2^32. */
export function u64(value: number): Uint8Array {
  return Uint8Array.of(0, 0, 0, 0, value >>> 24, value >>> 16, value >>> 8, value);
}
