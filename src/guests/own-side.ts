// What a guest itself needs, as text for the tool that sets up its interface: its addresses as /32 and /128, a default
// route through a gateway that is on the link though no prefix says so, and no ear for router advertisements. Pure.
// netplan and cloud-init take the same YAML (network-config version 2); networkd a .network file; ifupdown is
// Debian's 0.8, which has no key for such gateways, so the routes are commands of its own.

import { formatIp } from '../net/ip.ts';
import { formatMac } from '../net/mac.ts';

export type OwnSideFormat = 'netplan' | 'networkd' | 'ifupdown' | 'cloud-init';

export interface OwnSide {
  /** As the guest calls it. */
  interface: string;
  /** Tells the interface where its name is not sure. */
  mac?: Uint8Array;
  addresses: readonly Uint8Array[];
  gateway4: Uint8Array;
  gateway6: Uint8Array;
  dns: readonly Uint8Array[];
}

/** The text of a file, which begins with where it belongs. */
export function ownSideText(format: OwnSideFormat, side: OwnSide): string {
  switch (format) {
    case 'netplan':
      return netplan(side);
    case 'cloud-init':
      return cloudInit(side);
    case 'networkd':
      return networkd(side);
    case 'ifupdown':
      return ifupdown(side);
  }
}

const isSix = (address: Uint8Array): boolean => address.length === 16;
const hostText = (address: Uint8Array): string => `${formatIp(address)}/${address.length * 8}`;

interface Gateway {
  six: boolean;
  text: string;
}

/** Gateways of the families that the guest has addresses of. */
function gatewaysOf({ addresses, gateway4, gateway6 }: OwnSide): Gateway[] {
  const gateways: Gateway[] = [];
  if (addresses.some((one) => !isSix(one))) gateways.push({ six: false, text: formatIp(gateway4) });
  if (addresses.some(isSix)) gateways.push({ six: true, text: formatIp(gateway6) });
  return gateways;
}

const lines = (...parts: readonly (string | readonly string[])[]): string => `${parts.flat().join('\n')}\n`;

/** `ethernets:` of network-config version 2. Addresses are quoted: some YAML readers take `::` for more. */
function ethernets(side: OwnSide): string[] {
  const { mac, addresses, dns } = side;
  return [
    'ethernets:',
    `  ${side.interface}:`,
    ...(mac === undefined
      ? []
      : ['    match:', `      macaddress: "${formatMac(mac)}"`, `    set-name: ${side.interface}`]),
    '    dhcp4: false',
    '    dhcp6: false',
    '    accept-ra: false',
    '    link-local: [ipv6]',
    '    addresses:',
    ...addresses.map((one) => `      - "${hostText(one)}"`),
    '    routes:',
    ...gatewaysOf(side).flatMap(({ six, text }) => [
      `      - to: "${six ? '::/0' : '0.0.0.0/0'}"`,
      `        via: "${text}"`,
      '        on-link: true',
    ]),
    ...(dns.length === 0
      ? []
      : ['    nameservers:', `      addresses: [${dns.map((one) => `"${formatIp(one)}"`).join(', ')}]`]),
  ];
}

function netplan(side: OwnSide): string {
  return lines(
    `# /etc/netplan/60-${side.interface}.yaml, mode 0600`,
    'network:',
    '  version: 2',
    ethernets(side).map((one) => `  ${one}`),
  );
}

/** Of cloud-init's renderers (22.4) netplan's alone keeps `on-link` and takes `::/0` for what it is. */
function cloudInit(side: OwnSide): string {
  return lines(
    '# network-config beside user-data and meta-data, for images that have netplan (Ubuntu, Debian 12).',
    '# Elsewhere cloud-init loses on-link: write the networkd or ifupdown form with write_files instead.',
    'version: 2',
    ethernets(side),
  );
}

function networkd(side: OwnSide): string {
  const { mac, addresses, dns } = side;
  return lines(
    `# /etc/systemd/network/10-${side.interface}.network`,
    '[Match]',
    mac === undefined ? `Name=${side.interface}` : `MACAddress=${formatMac(mac)}`,
    '',
    '[Network]',
    'DHCP=no',
    'IPv6AcceptRA=no',
    'LinkLocalAddressing=ipv6',
    dns.map((one) => `DNS=${formatIp(one)}`),
    addresses.map((one) => `Address=${hostText(one)}`),
    gatewaysOf(side).flatMap(({ text }) => ['', '[Route]', `Gateway=${text}`, 'GatewayOnLink=yes']),
  );
}

function ifupdown(side: OwnSide): string {
  const { mac, addresses } = side;
  const head = [`# /etc/network/interfaces.d/${side.interface}`];
  if (mac !== undefined) head.push(`# of the interface with MAC ${formatMac(mac)}`);
  return lines(
    head,
    `auto ${side.interface}`,
    gatewaysOf(side).flatMap((gateway) =>
      stanza(
        side,
        gateway,
        addresses.filter((one) => isSix(one) === gateway.six),
      ),
    ),
  );
}

/**
 * The stanza of one family. ifdown of IPv4 takes the link down and with it what IPv6 has, so `down` finds less than
 * `up` left, and says nothing of it.
 */
function stanza(
  { interface: name, dns }: OwnSide,
  { six, text }: Gateway,
  [first, ...others]: readonly Uint8Array[],
): string[] {
  const ip = six ? 'ip -6' : 'ip';
  const servers = dns.filter((one) => isSix(one) === six);
  return [
    `iface ${name} inet${six ? '6' : ''} static`,
    `    address ${hostText(first!)}`,
    ...(six ? ['    autoconf 0', '    accept_ra 0'] : []),
    ...(servers.length === 0 ? [] : [`    dns-nameservers ${servers.map((one) => formatIp(one)).join(' ')}`]),
    ...others.map((one) => `    up ${ip} address replace ${hostText(one)} dev $IFACE`),
    `    up ${ip} route replace default via ${text} dev $IFACE onlink`,
    `    down ${ip} route del default via ${text} dev $IFACE onlink 2>/dev/null || true`,
    ...others.map((one) => `    down ${ip} address del ${hostText(one)} dev $IFACE 2>/dev/null || true`),
  ];
}
