// The text for each tool; that the tools take it is shown with the real ones in test/kernel/guest-own-side.test.ts.

import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { parseIp } from '../net/ip.ts';
import { parseMac } from '../net/mac.ts';
import { type OwnSide, ownSideText } from './own-side.ts';

const side = (addresses: string[], more: Partial<OwnSide> = {}): OwnSide => ({
  interface: 'eth0',
  addresses: addresses.map((text) => parseIp(text)!),
  gateway4: parseIp('169.254.0.1')!,
  gateway6: parseIp('fe80::1')!,
  dns: [],
  ...more,
});
const both = side(['192.0.2.10', '192.0.2.11', '2001:db8::10'], {
  mac: parseMac('02:00:5e:00:53:01')!,
  dns: [parseIp('192.0.2.53')!, parseIp('2001:db8::53')!],
});

const ethernets = {
  eth0: {
    match: { macaddress: '02:00:5e:00:53:01' },
    'set-name': 'eth0',
    dhcp4: false,
    dhcp6: false,
    'accept-ra': false,
    'link-local': ['ipv6'],
    addresses: ['192.0.2.10/32', '192.0.2.11/32', '2001:db8::10/128'],
    routes: [
      { to: '0.0.0.0/0', via: '169.254.0.1', 'on-link': true },
      { to: '::/0', via: 'fe80::1', 'on-link': true },
    ],
    nameservers: { addresses: ['192.0.2.53', '2001:db8::53'] },
  },
};

test('netplan, and the same for cloud-init', () => {
  const text = ownSideText('netplan', both);
  expect(text.split('\n')[0]).toBe('# /etc/netplan/60-eth0.yaml, mode 0600');
  expect(parse(text)).toEqual({ network: { version: 2, ethernets } });
  expect(parse(ownSideText('cloud-init', both))).toEqual({ version: 2, ethernets });
});

test('networkd', () => {
  expect(ownSideText('networkd', both)).toBe(`# /etc/systemd/network/10-eth0.network
[Match]
MACAddress=02:00:5e:00:53:01

[Network]
DHCP=no
IPv6AcceptRA=no
LinkLocalAddressing=ipv6
DNS=192.0.2.53
DNS=2001:db8::53
Address=192.0.2.10/32
Address=192.0.2.11/32
Address=2001:db8::10/128

[Route]
Gateway=169.254.0.1
GatewayOnLink=yes

[Route]
Gateway=fe80::1
GatewayOnLink=yes
`);
});

test('ifupdown', () => {
  expect(ownSideText('ifupdown', both)).toBe(`# /etc/network/interfaces.d/eth0
# of the interface with MAC 02:00:5e:00:53:01
auto eth0
iface eth0 inet static
    address 192.0.2.10/32
    dns-nameservers 192.0.2.53
    up ip address replace 192.0.2.11/32 dev $IFACE
    up ip route replace default via 169.254.0.1 dev $IFACE onlink
    down ip route del default via 169.254.0.1 dev $IFACE onlink 2>/dev/null || true
    down ip address del 192.0.2.11/32 dev $IFACE 2>/dev/null || true
iface eth0 inet6 static
    address 2001:db8::10/128
    autoconf 0
    accept_ra 0
    dns-nameservers 2001:db8::53
    up ip -6 route replace default via fe80::1 dev $IFACE onlink
    down ip -6 route del default via fe80::1 dev $IFACE onlink 2>/dev/null || true
`);
});

test('a family without an address has no gateway', () => {
  for (const format of ['netplan', 'networkd', 'ifupdown', 'cloud-init'] as const) {
    const four = ownSideText(format, side(['192.0.2.10']));
    expect(four).toContain('169.254.0.1');
    expect(four).not.toContain('fe80::1');
    const six = ownSideText(format, side(['2001:db8::10'], { gateway6: parseIp('fe80::2')! }));
    expect(six).toContain('fe80::2');
    expect(six).not.toContain('169.254.0.1');
  }
});
