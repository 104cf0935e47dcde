// The words that rules about guests are made of: fields of frames and packets, comparisons, verdicts. Pure. Every word
// loads into the first register, where the next one looks; a key of a set begins there too.

import type { NftBaseChain } from '../netlink/nft.ts';
import {
  NFT_CMP_EQ,
  NFT_CMP_GTE,
  NFT_CMP_NEQ,
  NFT_META_IIF,
  NFT_META_L4PROTO,
  NFT_PAYLOAD_LL_HEADER,
  NFT_PAYLOAD_NETWORK_HEADER,
  NFT_PAYLOAD_TRANSPORT_HEADER,
  NFT_REG32_00,
  type NftExpression,
} from '../netlink/nft-expression.ts';

export interface SharedChain {
  name: string;
  base?: NftBaseChain;
  rules: readonly (readonly NftExpression[])[];
}

export const ETHERTYPE_IP4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_RARP = 0x8035;
export const ETHERTYPE_IP6 = 0x86dd;
export const IPPROTO_ICMP = 1;
export const IPPROTO_IGMP = 2;
export const IPPROTO_TCP = 6;
export const IPPROTO_UDP = 17;
export const IPPROTO_FRAGMENT = 44;
export const IPPROTO_ICMPV6 = 58;
export const NFPROTO_IPV4 = 2;
export const NFPROTO_IPV6 = 10;
export const PACKET_HOST = 0;

/** nft's numbers of types of keys. */
const TYPE = { ip: 7, ip6: 8, ether: 9, protocol: 12, port: 13, icmpType: 14, ifindex: 20 } as const;
export const FIELD = {
  ifindex: { type: TYPE.ifindex, length: 4 },
  ether: { type: TYPE.ether, length: 6 },
  ip: { type: TYPE.ip, length: 4 },
  ip6: { type: TYPE.ip6, length: 16 },
  protocol: { type: TYPE.protocol, length: 1 },
  port: { type: TYPE.port, length: 2 },
  icmpType: { type: TYPE.icmpType, length: 1 },
} as const;

export const R = NFT_REG32_00;
export const one = (byte: number): Uint8Array => Uint8Array.of(byte);
export const two = (number: number): Uint8Array => Uint8Array.of(number >>> 8, number);

export const frame = (offset: number, length: number, register = R): NftExpression => ({
  kind: 'payload',
  base: NFT_PAYLOAD_LL_HEADER,
  offset,
  length,
  register,
});
export const network = (offset: number, length: number, register = R): NftExpression => ({
  kind: 'payload',
  base: NFT_PAYLOAD_NETWORK_HEADER,
  offset,
  length,
  register,
});
export const transport = (offset: number, length: number, register = R): NftExpression => ({
  kind: 'payload',
  base: NFT_PAYLOAD_TRANSPORT_HEADER,
  offset,
  length,
  register,
});
export const meta = (key: number, register = R): NftExpression => ({ kind: 'meta', key, register });
export const is = (value: Uint8Array): NftExpression => ({ kind: 'cmp', register: R, op: NFT_CMP_EQ, value });
export const isNot = (value: Uint8Array): NftExpression => ({
  kind: 'cmp',
  register: R,
  op: NFT_CMP_NEQ,
  value,
});
export const inSet = (set: string): NftExpression => ({ kind: 'lookup', register: R, set });
export const goTo = (chain: string): NftExpression => ({ kind: 'goto', chain });
export const ACCEPT: NftExpression = { kind: 'accept' };
export const DROP: NftExpression = { kind: 'drop' };

export const etherType = (type: number): NftExpression[] => [frame(12, 2), is(two(type))];
export const protocol = (number: number): NftExpression[] => [meta(NFT_META_L4PROTO), is(one(number))];
export const sourcePort = (port: number): NftExpression[] => [transport(0, 2), is(two(port))];
export const destinationPort = (port: number): NftExpression[] => [transport(2, 2), is(two(port))];
export const destinationPorts = (from: number, to: number): NftExpression[] => [
  transport(2, 2),
  { kind: 'range', register: R, from: two(from), to: two(to) },
];
export const icmpType = (type: number): NftExpression[] => [transport(0, 1), is(one(type))];
export const icmpTypes = (from: number, to: number): NftExpression[] => [
  transport(0, 1),
  { kind: 'range', register: R, from: one(from), to: one(to) },
];
/** The link and the frame's source MAC, in the registers before the rest of a key. */
export const SENDER: NftExpression[] = [meta(NFT_META_IIF), frame(6, 6, R + 1)];
/** Holds where the kernel found the upper protocol: not where a chain of extension headers is cut or goes on. */
export const PARSED: NftExpression[] = [
  meta(NFT_META_L4PROTO),
  { kind: 'cmp', register: R, op: NFT_CMP_GTE, value: one(0) },
];
