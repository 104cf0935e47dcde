// Which addresses a guest can have at all, whoever asks for them: leafd.yaml and the REST API judge by this. What is
// reserved on one machine (gateways, own addresses, the operator's list) is judged where it is known.
// The blocks are those of RFC 6890 that are nobody's to be reached by.

import { parseIp } from '../net/ip.ts';
import { isGroupMac, isZeroMac } from '../net/mac.ts';
import { type Prefix, parsePrefix, prefixContains } from '../net/prefix.ts';

const blocks: readonly (readonly [block: Prefix, what: string])[] = (
  [
    ['0.0.0.0/8', 'of "this network"'],
    ['127.0.0.0/8', 'loopback'],
    ['169.254.0.0/16', 'link-local'],
    ['224.0.0.0/4', 'multicast'],
    ['240.0.0.0/4', 'reserved'],
    ['::/128', 'unspecified'],
    ['::1/128', 'loopback'],
    ['::ffff:0:0/96', 'IPv4-mapped'],
    ['fe80::/10', 'link-local'],
    ['ff00::/8', 'multicast'],
  ] as const
).map(([text, what]) => [parsePrefix(text)!, what]);

/** What an address is that is nobody's to be reached by, in a word or two; undefined for all others. */
export function blockOf(address: Uint8Array): string | undefined {
  return blockWith({ bytes: address, length: address.length * 8 });
}

function blockWith(prefix: Prefix): string | undefined {
  return blocks.find(([block]) => prefixContains(block, prefix))?.[1];
}

/** Why nobody is reached by an address, or by any of a prefix; undefined when a guest can have it. */
export function whyNoGuest(prefix: Prefix): string | undefined {
  const block = blockWith(prefix);
  return block === undefined ? undefined : `is ${block}: no guest is reached by it`;
}

/** The same of one address. */
export function whyNoGuestAddress(address: Uint8Array): string | undefined {
  return whyNoGuest({ bytes: address, length: address.length * 8 });
}

/** Why a MAC is nobody's own, or undefined. */
export function whyNoMac(mac: Uint8Array): string | undefined {
  if (isZeroMac(mac)) return 'is zero';
  if (isGroupMac(mac)) return 'is a group address: the lowest bit of its first byte is set';
  return undefined;
}

/** What is wrong with a text, and what may help. */
export interface TextFault {
  reason: string;
  hint?: string;
}

/** An address, with or without the length of a host prefix; or what is wrong with the text. */
export function parseHostAddress(text: string): Uint8Array | TextFault {
  const [address, length, more] = text.split('/');
  const bytes = parseIp(address ?? '');
  if (bytes === undefined || more !== undefined)
    return { reason: 'must be an IPv4 or IPv6 address', hint: 'such as 192.0.2.10 or 2001:db8::10' };
  const longest = bytes.length * 8;
  if (length !== undefined && length !== String(longest))
    return {
      reason: `must be one address, without a length or with /${longest}`,
      hint: 'prefixes that a guest may take addresses from are its `allowed`',
    };
  return bytes;
}
