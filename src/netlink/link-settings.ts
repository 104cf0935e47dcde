// The settings of links (net.ipv4.conf.LINK.*, net.ipv6.conf.LINK.*) as the kernel tells them with each link, in
// IFLA_AF_SPEC (include/uapi/linux/{if_link,ip,ipv6}.h): one dump instead of a file for each setting of each link.
// Pure. Only those that leafd asks for are named; what a kernel does not tell is undefined.

import { attributeAt, attributeText, attributeType, u32 } from './message.ts';

const BODY = 32;
const IFLA_IFNAME = 3;
const IFLA_AF_SPEC = 26;
const AF_INET = 2;
const AF_INET6 = 10;
const IFLA_INET_CONF = 1;
const IFLA_INET6_CONF = 2;

/** Place in the array of the family; IPV4_DEVCONF_* are counted from 1. */
const places4: Readonly<Record<string, number>> = {
  forwarding: 0,
  proxy_arp: 2,
  accept_redirects: 3,
  send_redirects: 5,
  rp_filter: 7,
  arp_filter: 12,
  arp_announce: 17,
  arp_ignore: 18,
  arp_accept: 20,
  arp_notify: 21,
  proxy_arp_pvlan: 24,
};
const places6: Readonly<Record<string, number>> = {
  forwarding: 0,
  accept_ra: 3,
  accept_redirects: 4,
  proxy_ndp: 22,
  disable_ipv6: 26,
  ndisc_notify: 29,
  addr_gen_mode: 47,
};

export interface LinkSettings {
  ifindex: number;
  name: string;
  /** Empty where the link has none of the family. */
  four: Int32Array;
  six: Int32Array;
}

const NONE = new Int32Array(0);

/** The settings in a whole message about a link, [start, end). */
export function decodeLinkSettings(bytes: Uint8Array, start: number, end: number): LinkSettings | undefined {
  if (end < start + BODY) return undefined;
  const settings: LinkSettings = { ifindex: u32(bytes, start + 20), name: '', four: NONE, six: NONE };
  eachAttribute(bytes, start + BODY, end, (type, at, length) => {
    if (type === IFLA_IFNAME) settings.name = attributeText(bytes, at, length);
    else if (type === IFLA_AF_SPEC) readFamilies(settings, bytes, at + 4, at + length);
  });
  return settings;
}

/** A setting by its path below /proc/sys, as text; undefined where it is no such setting of this link or not told. */
export function settingOf(settings: LinkSettings, path: string): string | undefined {
  const four = `net/ipv4/conf/${settings.name}/`;
  const isFour = path.startsWith(four);
  if (!isFour && !path.startsWith(`net/ipv6/conf/${settings.name}/`)) return undefined;
  const place = (isFour ? places4 : places6)[path.slice(four.length)];
  const value = place === undefined ? undefined : (isFour ? settings.four : settings.six)[place];
  return value === undefined ? undefined : String(value);
}

function readFamilies(settings: LinkSettings, bytes: Uint8Array, start: number, end: number): void {
  eachAttribute(bytes, start, end, (family, at, length) => {
    if (family !== AF_INET && family !== AF_INET6) return;
    const wanted = family === AF_INET ? IFLA_INET_CONF : IFLA_INET6_CONF;
    eachAttribute(bytes, at + 4, at + length, (type, inner, size) => {
      if (type !== wanted) return;
      const values = new Int32Array((size - 4) >> 2);
      for (let i = 0; i < values.length; i++) values[i] = u32(bytes, inner + 4 + i * 4);
      if (family === AF_INET) settings.four = values;
      else settings.six = values;
    });
  });
}

function eachAttribute(
  bytes: Uint8Array,
  start: number,
  end: number,
  callback: (type: number, at: number, length: number) => void,
): void {
  for (let at = start, n = 0; (n = attributeAt(bytes, at, end)) > 0; at += (n + 3) & ~3)
    callback(attributeType(bytes, at), at, n);
}
