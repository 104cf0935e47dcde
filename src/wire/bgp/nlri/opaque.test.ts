// Codecs of opaque NLRI: text and bytes are the same thing, keys are canonical, and what is malformed is stepped over
// or not as RFC 7606 says. Whole messages are in test/golden.
import { describe, expect, test } from 'vitest';
import { golden, hexOf } from '../../../../test/golden/build.ts';
import { ByteWriter } from '../../../lib/bytes.ts';
import { EVPN, FLOWSPEC_VPN4, FLOWSPEC4, FLOWSPEC6, RTC, VPNV4, VPNV6 } from '../family.ts';
import { NLRI_SIZE, NLRI_SKIP, NLRI_WITHDRAW, nlriCodecs, nlriValidity } from './opaque.ts';

const rd = '0000fde800000001';
const esi0 = '00'.repeat(10);

function cut(family: number, bytes: Uint8Array): { key: string; rest: string; text: string; joined: string } {
  const codec = nlriCodecs[family]!;
  const key = new ByteWriter();
  const rest = new ByteWriter();
  expect(codec.check(bytes, 0, bytes.length, true)).toBe(bytes.length);
  expect(codec.size(bytes, 0)).toBe(bytes.length);
  codec.split(bytes, 0, key, rest);
  const out = new ByteWriter();
  codec.join(key.bytes, 0, key.length, rest.bytes, 0, rest.length, out);
  const text = codec.text(key.bytes, 0, key.length);
  expect(hexOf(codec.parse(text)!)).toBe(hexOf(key.take()));
  return { key: hexOf(key.take()), rest: hexOf(rest.take()), text, joined: hexOf(out.take()) };
}

// family, wire form, key, rest, text
const whole: [number, string, string, string, string][] = [
  [VPNV4, `70 000641 ${rd} 0a0102`, `${rd}180a0102`, '000641', '65000:1:10.1.2.0/24'],
  [VPNV4, `58 000641 ${rd}`, `${rd}00`, '000641', '65000:1:0.0.0.0/0'],
  [VPNV6, `88 000641 ${rd} 20010db80001`, `${rd}3020010db80001`, '000641', '65000:1:2001:db8:1::/48'],
  [
    VPNV4,
    `70 000641 00010a0000010002 0a0102`,
    `00010a0000010002180a0102`,
    '000641',
    '10.0.0.1:2:10.1.2.0/24',
  ],
  [VPNV4, `70 000641 00020000fde80002 0a0102`, `00020000fde80002180a0102`, '000641', '65000L:2:10.1.2.0/24'],
  [
    EVPN,
    `01 19 ${rd} 03aabbccddeeff000001 00000000 000640`,
    `01${rd}03aabbccddeeff00000100000000`,
    '000640',
    '[1]:[0]:[03:aa:bb:cc:dd:ee:ff:00:00:01] RD 65000:1',
  ],
  [
    EVPN,
    `02 21 ${rd} ${esi0} 00000000 30 aabbccddeeff 00 000064`,
    `02${rd}0000000030aabbccddeeff00`,
    `${esi0}000064`,
    '[2]:[0]:[48]:[aa:bb:cc:dd:ee:ff] RD 65000:1',
  ],
  [
    EVPN,
    `02 28 ${rd} ${esi0} 00000000 30 aabbccddeeff 20 0a000001 000064 0003e8`,
    `02${rd}0000000030aabbccddeeff200a000001`,
    `${esi0}0000640003e8`,
    '[2]:[0]:[48]:[aa:bb:cc:dd:ee:ff]:[32]:[10.0.0.1] RD 65000:1',
  ],
  [
    EVPN,
    `03 11 ${rd} 00000000 20 0a000001`,
    `03${rd}00000000200a000001`,
    '',
    '[3]:[0]:[32]:[10.0.0.1] RD 65000:1',
  ],
  [
    EVPN,
    `04 17 ${rd} 03aabbccddeeff000001 20 0a000001`,
    `04${rd}03aabbccddeeff000001200a000001`,
    '',
    '[4]:[03:aa:bb:cc:dd:ee:ff:00:00:01]:[32]:[10.0.0.1] RD 65000:1',
  ],
  [
    EVPN,
    `05 22 ${rd} ${esi0} 00000000 18 0a010200 00000000 0003e8`,
    `05${rd}00000000180a010200`,
    `${esi0}000000000003e8`,
    '[5]:[0]:[24]:[10.1.2.0] RD 65000:1',
  ],
  [EVPN, `06 10 ${rd} 00000000 00 00 00 ff`, `06${rd}00000000000000`, 'ff', `[6]:[0x${rd}00000000000000]`],
  [RTC, '00', '00', '', 'default'],
  [RTC, '60 0000fde8 0002fde800000001', '600000fde80002fde800000001', '', '65000:rt:65000:1'],
  [RTC, '20 0000fde8', '200000fde8', '', '65000:0x/32'],
  [RTC, '34 0000fde8 0002f0', '340000fde80002f0', '', '65000:0x0002f0/52'],
  // RFC 8955 section 4.3, example 1: packets to 192.0.2.0/24 and TCP port 25.
  [
    FLOWSPEC4,
    '0b 01 18 c00002 03 81 06 04 81 19',
    '0118c00002038106048119',
    '',
    'destination 192.0.2.0/24 protocol =6 port =25',
  ],
  // Example 2: to 192.0.2.0/24 from 203.0.113.0/24 and port between 137 and 139 or 8080.
  [
    FLOWSPEC4,
    '12 01 18 c00002 02 18 cb0071 04 03 89 45 8b 91 1f90',
    '0118c000020218cb0071040389458b911f90',
    '',
    'destination 192.0.2.0/24 source 203.0.113.0/24 port >=137&<=139|=8080',
  ],
  // Example 3: to 192.0.2.1/32 and fragment { DF or FF } (matching DF == 1 or FF == 1).
  [
    FLOWSPEC4,
    '09 01 20 c0000201 0c 80 05',
    '0120c00002010c8005',
    '',
    'destination 192.0.2.1/32 fragment 0x5',
  ],
  // RFC 8956 section 3.8, example 1: to ::1234:5678:9a00:0/64-104, from 2001:db8::/32, flow label.
  [
    FLOWSPEC6,
    '12 01 68 40 123456789a 02 20 00 20010db8 03 81 11',
    '016840123456789a02200020010db8038111',
    '',
    'destination ::1234:5678:9a00:0/64-104 source 2001:db8::/32 protocol =17',
  ],
  [FLOWSPEC_VPN4, `0b ${rd} 01 08 0a`, `${rd}01080a`, '', 'destination 10.0.0.0/8 RD 65000:1'],
];

test.each(whole)('family %d: %s', (family, wire, key, rest, text) => {
  expect(cut(family, golden(wire))).toEqual({ key, rest, text, joined: hexOf(golden(wire)) });
});

describe('keys are canonical', () => {
  test.each<[number, string, string]>([
    [VPNV4, `6f 000641 ${rd} 0a0103`, `${rd}170a0102`],
    [EVPN, `05 22 ${rd} ${esi0} 00000000 18 0a0102ff 00000000 0003e8`, `05${rd}00000000180a010200`],
    [RTC, '2c 0000fde8 000f', '2c0000fde80000'],
    [FLOWSPEC4, '04 01 09 0aff', '01090a80'],
    // Reserved bits, and an AND before the first value, mean nothing.
    [FLOWSPEC4, '03 03 c9 06', '038106'],
    [FLOWSPEC4, '03 09 cc 02', '098002'],
    // A length that would fit one byte in two.
    [FLOWSPEC4, 'f003 03 81 06', '038106'],
  ])('family %d: %s', (family, wire, key) => {
    expect(cut(family, golden(wire)).key).toBe(key);
  });
});

describe('withdrawals need no rest', () => {
  test.each<[number, string, string]>([
    [VPNV4, `${rd}180a0102`, `70 800000 ${rd} 0a0102`],
    [EVPN, `02${rd}0000000030aabbccddeeff00`, `02 21 ${rd} ${esi0} 00000000 30 aabbccddeeff 00 000000`],
    [EVPN, `05${rd}00000000180a010200`, `05 22 ${rd} ${esi0} 00000000 18 0a010200 00000000 000000`],
    [EVPN, `01${rd}${esi0}00000000`, `01 19 ${rd} ${esi0} 00000000 000000`],
    [EVPN, `08${rd}${'00'.repeat(20)}`, `08 22 ${rd} ${'00'.repeat(26)}`],
  ])('family %d: %s', (family, key, wire) => {
    const bytes = golden(key);
    const out = new ByteWriter();
    nlriCodecs[family]!.join(bytes, 0, bytes.length, bytes, 0, 0, out);
    expect(hexOf(out.take())).toBe(hexOf(golden(wire)));
  });
});

describe('malformed NLRI', () => {
  const broken = 0;
  test.each<[number, string, string, number]>([
    [VPNV4, 'shorter than label and RD', `57 000641 ${rd}`, broken],
    [VPNV4, 'longer than an address', `79 000641 ${rd} 0a01020304`, broken],
    [VPNV4, 'cut off', `70 000641 ${rd} 0a01`, broken],
    [VPNV6, 'longer than an address', `d9 000641 ${rd} ${'00'.repeat(17)}`, broken],
    [EVPN, 'cut off', '02 21 00', broken],
    [EVPN, 'a type alone', '02', broken],
    [EVPN, 'type 0', '00 01 00', NLRI_SKIP],
    [EVPN, 'type 12', '0c 01 00', NLRI_SKIP],
    [EVPN, 'type 1 of 24 bytes', `01 18 ${'00'.repeat(24)}`, NLRI_SKIP],
    [EVPN, 'MAC of 47 bits', `02 21 ${rd} ${esi0} 00000000 2f aabbccddeeff 00 000064`, NLRI_SKIP],
    [EVPN, 'IP of 31 bits', `02 25 ${rd} ${esi0} 00000000 30 aabbccddeeff 1f 0a000001 000064`, NLRI_SKIP],
    [
      EVPN,
      'IP of 128 bits cut',
      `02 25 ${rd} ${esi0} 00000000 30 aabbccddeeff 80 0a000001 000064`,
      NLRI_SKIP,
    ],
    [EVPN, 'type 3 without address', `03 0d ${rd} 00000000 00`, NLRI_SKIP],
    [EVPN, 'type 3 of 8 bytes', `03 08 ${rd}`, NLRI_SKIP],
    [EVPN, 'type 4 with 33 bits', `04 17 ${rd} ${esi0} 21 0a000001`, NLRI_SKIP],
    [EVPN, 'type 5 of 35 bytes', `05 23 ${'00'.repeat(35)}`, NLRI_SKIP],
    [EVPN, 'type 5 with 33 bits', `05 22 ${rd} ${esi0} 00000000 21 0a010200 00000000 0003e8`, NLRI_SKIP],
    [
      EVPN,
      'type 5 with segment and gateway',
      `05 22 ${rd} 03${'00'.repeat(9)} 00000000 18 0a010200 0a000001 0003e8`,
      NLRI_WITHDRAW,
    ],
    [RTC, '97 bits', `61 ${'00'.repeat(13)}`, broken],
    [RTC, 'cut off', '60 0000fde8', broken],
    [RTC, '31 bits', '1f 0000fde8', NLRI_SKIP],
    [FLOWSPEC4, 'cut off', '05 03 81 06', broken],
    [FLOWSPEC4, 'a length cut off', 'f0', broken],
    [FLOWSPEC4, 'nothing', '00', NLRI_SKIP],
    [FLOWSPEC4, 'component 0', '03 00 81 06', NLRI_SKIP],
    [FLOWSPEC4, 'component 13', '03 0d 81 06', NLRI_SKIP],
    [FLOWSPEC4, 'descending order', '06 04 81 19 03 81 06', NLRI_SKIP],
    [FLOWSPEC4, 'a component twice', '06 03 81 06 03 81 11', NLRI_SKIP],
    [FLOWSPEC4, 'no end of list', '03 03 01 06', NLRI_SKIP],
    [FLOWSPEC4, 'a value cut off', '03 03 91 06', NLRI_SKIP],
    [FLOWSPEC4, 'a prefix of 33 bits', '07 01 21 0a00000000', NLRI_SKIP],
    [FLOWSPEC4, 'a prefix cut off', '04 01 18 0a00', NLRI_SKIP],
    [FLOWSPEC4, 'DSCP in two bytes', '04 0b 91 0001', NLRI_SKIP],
    [FLOWSPEC4, 'fragment in two bytes', '04 0c 90 0001', NLRI_SKIP],
    [FLOWSPEC4, 'TCP flags in four bytes', '06 09 a0 00000001', NLRI_SKIP],
    [FLOWSPEC6, 'an offset beyond the length', '03 01 20 21', NLRI_SKIP],
    [FLOWSPEC6, 'an offset that is the length', '03 01 20 20', NLRI_SKIP],
    [FLOWSPEC_VPN4, 'no route distinguisher', '03 03 81 06', NLRI_SKIP],
  ])('family %d: %s', (family, _what, wire, verdict) => {
    const bytes = golden(wire);
    const found = nlriCodecs[family]!.check(bytes, 0, bytes.length, true);
    if (verdict === broken) expect(found).toBe(0);
    else expect([found & ~NLRI_SIZE, found & NLRI_SIZE]).toEqual([verdict, bytes.length]);
    expect(nlriValidity(nlriCodecs[family]!, bytes, 0, bytes.length, false, true)).toBe(
      verdict === broken ? 'broken' : 'mixed',
    );
  });
});
