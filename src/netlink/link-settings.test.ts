// Settings of links out of messages about them, and what is not in them.

import { expect, test } from 'vitest';
import { encodeLink, type Link } from './link.ts';
import { decodeLinkSettings, settingOf } from './link-settings.ts';
import { MessageWriter, RTM_NEWLINK } from './message.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const link: Link = {
  ifindex: 7,
  name: 'tap.1',
  flags: 1,
  up: true,
  carrier: true,
  mtu: 1500,
  mac: Uint8Array.of(2, 0, 0, 0, 0, 1),
  kind: 'veth',
  alias: '',
  master: 0,
  lower: 0,
  group: 0,
  operState: 6,
  carrierChanges: 1,
};

/** A message about the link, with such arrays of its families. */
function told(families: readonly (readonly [number, number, readonly number[]])[]): MessageWriter {
  const writer = new MessageWriter();
  encodeLink(writer, RTM_NEWLINK, 0, 1, link);
  const spec = writer.nest(26);
  for (const [family, attribute, values] of families) {
    const nest = writer.nest(family);
    writer.attributeBytes(attribute, new Uint8Array(Int32Array.from(values).buffer)).nestEnd(nest);
  }
  writer.nestEnd(spec);
  writer.count--;
  return writer.end();
}

const count = (length: number): number[] => Array.from({ length }, (_, i) => 100 + i);
const read = (writer: MessageWriter) => decodeLinkSettings(writer.bytes, 0, writer.length);

test('each setting is found at its place', () => {
  const settings = read(
    told([
      [AF_INET, 1, count(33)],
      [AF_INET6, 2, count(60)],
    ]),
  )!;
  expect(settings).toMatchObject({ ifindex: 7, name: 'tap.1' });
  const four = (key: string) => settingOf(settings, `net/ipv4/conf/tap.1/${key}`);
  const six = (key: string) => settingOf(settings, `net/ipv6/conf/tap.1/${key}`);
  expect([four('forwarding'), four('rp_filter'), four('arp_ignore')]).toEqual(['100', '107', '118']);
  expect(four('proxy_arp_pvlan')).toBe('124');
  expect([six('forwarding'), six('accept_ra'), six('addr_gen_mode')]).toEqual(['100', '103', '147']);
  expect(six('arp_ignore')).toBeUndefined();
  expect(settingOf(settings, 'net/ipv4/conf/tap/rp_filter')).toBeUndefined();
  expect(settingOf(settings, 'net/ipv4/ip_forward')).toBeUndefined();
});

test('what the kernel does not tell is not made up', () => {
  const short = read(told([[AF_INET, 1, [-1, 2]]]))!;
  expect(settingOf(short, 'net/ipv4/conf/tap.1/forwarding')).toBe('-1');
  expect(settingOf(short, 'net/ipv4/conf/tap.1/arp_ignore')).toBeUndefined();
  expect(settingOf(short, 'net/ipv6/conf/tap.1/forwarding')).toBeUndefined();
  expect(settingOf(read(told([]))!, 'net/ipv4/conf/tap.1/forwarding')).toBeUndefined();
  expect(decodeLinkSettings(new Uint8Array(20), 0, 20)).toBeUndefined();
});
