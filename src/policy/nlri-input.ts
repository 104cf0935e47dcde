// What a policy can ask of NLRI that is more than a prefix, read out of its key and rest (layouts: nlri/vpn.ts,
// evpn.ts, flowspec.ts): the IP prefix or address in it, the route distinguisher, the EVPN route type, the VNI.

import { readU32 } from '../lib/bytes.ts';
import { ESI_LENGTH } from '../net/mac.ts';
import { EVPN, FLOWSPEC_VPN4, FLOWSPEC_VPN6, VPNV4, VPNV6 } from '../wire/bgp/family.ts';
import { EVPN_ETHERNET_AD, EVPN_IP_PREFIX, EVPN_MAC_IP } from '../wire/bgp/nlri/evpn.ts';
import type { PolicyInput } from './program.ts';

const RD = 8;

/** Fills in what is not a plain prefix; of a route in another family, that there is nothing of it. */
export function fillNlri(
  input: PolicyInput,
  family: number,
  key: Uint8Array,
  keyStart: number,
  keyEnd: number,
  rest: Uint8Array,
  restStart: number,
  restEnd: number,
): void {
  clearNlri(input);
  switch (family) {
    case VPNV4:
    case VPNV6:
      setDistinguisher(input, key, keyStart);
      setPrefix(input, key, keyStart + RD + 1, keyEnd, key[keyStart + RD]!, family === VPNV4 ? 1 : 4);
      return;
    case FLOWSPEC_VPN4:
    case FLOWSPEC_VPN6:
      setDistinguisher(input, key, keyStart);
      return;
    case EVPN:
      fillEvpn(input, key, keyStart, keyEnd, rest, restStart, restEnd);
      return;
  }
}

/** For routes that are plain prefixes. */
export function clearNlri(input: PolicyInput): void {
  input.prefixWords = 0;
  input.evpnType = -1;
  input.vni = -1;
  input.hasDistinguisher = false;
}

function fillEvpn(
  input: PolicyInput,
  key: Uint8Array,
  keyStart: number,
  keyEnd: number,
  rest: Uint8Array,
  restStart: number,
  restEnd: number,
): void {
  const type = key[keyStart]!;
  input.evpnType = type;
  if (keyEnd - keyStart >= 1 + RD) setDistinguisher(input, key, keyStart + 1);
  const tag = keyStart + 1 + RD;
  if (type === EVPN_ETHERNET_AD) setVni(input, rest, restStart, restEnd);
  if (type === EVPN_MAC_IP) {
    const bitsAt = tag + 4 + 1 + 6;
    const bits = key[bitsAt]!;
    if (bits > 0) setPrefix(input, key, bitsAt + 1, keyEnd, bits, bits === 32 ? 1 : 4);
    setVni(input, rest, restStart + ESI_LENGTH, restEnd);
  }
  if (type === EVPN_IP_PREFIX) {
    const addressAt = tag + 4 + 1;
    const words = keyEnd - addressAt === 4 ? 1 : 4;
    setPrefix(input, key, addressAt, keyEnd, key[addressAt - 1]!, words);
    setVni(input, rest, restStart + ESI_LENGTH + 4 * words, restEnd);
  }
}

function setDistinguisher(input: PolicyInput, bytes: Uint8Array, at: number): void {
  input.hasDistinguisher = true;
  input.distinguisherHigh = readU32(bytes, at);
  input.distinguisherLow = readU32(bytes, at + 4);
}

function setVni(input: PolicyInput, bytes: Uint8Array, at: number, end: number): void {
  if (at + 3 <= end) input.vni = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
}

/** The prefix in as many bytes as it needs; what is behind `end` is zero. */
function setPrefix(
  input: PolicyInput,
  bytes: Uint8Array,
  at: number,
  end: number,
  length: number,
  words: 1 | 4,
): void {
  input.prefixWords = words;
  input.length = length;
  input.a = wordAt(bytes, at, end);
  if (words === 1) return;
  input.b = wordAt(bytes, at + 4, end);
  input.c = wordAt(bytes, at + 8, end);
  input.d = wordAt(bytes, at + 12, end);
}

function wordAt(bytes: Uint8Array, at: number, end: number): number {
  let word = 0;
  for (let i = 0; i < 4; i++) word = (word << 8) | (at + i < end ? bytes[at + i]! : 0);
  return word >>> 0;
}
