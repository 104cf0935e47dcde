// The column of OpenBGPD in the interop matrix: what it shares with the others in cells.ts, and its own.

import { agree, cell, leafd, one, peer, sharedCells, some, without, witness } from './cells.ts';
import { type Cells, matrix, routes } from './harness.ts';
import { bgpctl, eye, fabric } from './openbgpd.lab.ts';

const w = witness(eye);
const shared = sharedCells(eye);

const lacks = (section: string, what: string) => ({
  lacks: `OpenBGPD 7.7 manual, bgpd.conf(5), ${section}: ${what}`,
});
const notAnnounced = (what: string) => lacks('NEIGHBORS AND GROUPS, "announce"', what);

/** What GoBGP told `b` comes to OpenBGPD and to `c`; it originates VPN routes of mpe(4) interfaces only. */
const vpn = (family: string, inTable: RegExp, inLeafd: RegExp) =>
  cell(() =>
    agree(
      leafd('b has it', () => routes(fabric, 'b', { family }), inLeafd),
      leafd(
        'c has it of b',
        () => routes(fabric, 'c', { family, peer: 'b' }),
        inLeafd,
        '"originatorId":"10.254.0.64"',
      ),
      peer('OpenBGPD has it', () => bgpctl('show', 'rib', family), inTable),
    ),
  );

const cells: Cells = {
  ...shared,
  'extended-next-hop': notAnnounced('no extended next hop'),
  unnumbered: lacks('NEIGHBORS AND GROUPS, "neighbor"', 'known by addresses and prefixes only'),
  'link-local-next-hop': notAnnounced('no link-local next hop'),
  vpnv4: vpn(
    'vpnv4',
    /rd 65000:64 33\.65\.1\.0\/24\s+10\.255\.64\.1/,
    /65000:64:33\.65\.1\.0\/24.*"labels":\[100\]/,
  ),
  vpnv6: vpn('vpnv6', /rd 65000:64 2001:db8:65::\/48/, /2001:db8:65::\/48.*"labels":\[101\]/),
  'evpn-mac-ip': notAnnounced('unicast and vpn only'),
  'evpn-multicast': notAnnounced('unicast and vpn only'),
  'evpn-ip-prefix': notAnnounced('unicast and vpn only'),
  rtc: notAnnounced('unicast and vpn only'),
  flowspec4: notAnnounced('unicast and vpn only'),
  flowspec6: notAnnounced('unicast and vpn only'),
  'flowspec-vpn': notAnnounced('unicast and vpn only'),
  'extended-messages': notAnnounced('no extended messages'),
  // OpenBGPD 7.7 logs of every request that the family is not negotiated, FRR's too, and sends nothing: what it asks of
  // us is answered, and what we ask is seen to arrive.
  'route-refresh': cell(async () => {
    const { messages } = await w.view(14);
    await fabric.leafctl('a', 'peer', 'refresh', 'w14');
    await eye.refresh(14);
    await agree(
      ...w.up(14),
      leafd(
        'asked, was asked, and answered',
        () => w.view(14),
        (seen) =>
          seen.messages.sent.routeRefresh > messages.sent.routeRefresh &&
          seen.messages.received.routeRefresh > messages.received.routeRefresh &&
          seen.messages.sent.update > messages.sent.update,
      ),
      peer(
        'asked and was asked',
        () => eye.session(14),
        /"sent": \{\s+"request": 1,[^}]*\},\s+"received": \{\s+"request": 1,/,
      ),
      peer('does not answer', () => eye.log(), /\(w14\): route refresh: AID IPv4 unicast not negotiated/),
    );
    await w.sent(14, '10.14.1.0/24', { asPath: '65001' });
    await w.got(14, '20.14.1.0/24', { accepted: true, stale: false });
  }),
  'enhanced-refresh': cell(async () => {
    await agree(...w.up(49));
    await bgpctl('neighbor', '10.255.49.0', 'refresh');
    await agree(
      leafd(
        'was asked',
        () => w.view(49),
        (seen) => seen.messages.received.routeRefresh >= 1,
        /received.*enhancedRouteRefresh/,
      ),
      peer(
        'sees beginning and end',
        () => eye.session(49),
        /"received": \{\s+"request": \d+,\s+"borr": [1-9]\d*,\s+"eorr": [1-9]/,
        /"enhanced_refresh": true/,
      ),
    );
    await w.sent(49, '10.49.1.0/24', { asPath: '65001' });
  }),
  // A route of ours comes back over other wires.
  'allow-as-in': cell(async () => {
    await w.got(18, '10.51.1.0/24', { asPath: '65000 65001', accepted: false, code: 'asLoop' });
    await w.got(19, '10.51.1.0/24', { asPath: '65000 65001', accepted: true });
  }),
  'gr-helper': lacks(
    'NEIGHBORS AND GROUPS, "announce restart"',
    'only the End-of-RIB marker, it never keeps routes over its own restart',
  ),
  'gr-notification': lacks(
    'NEIGHBORS AND GROUPS, "announce restart"',
    'only the End-of-RIB marker is announced',
  ),
  llgr: lacks('NEIGHBORS AND GROUPS, "announce restart"', 'only the End-of-RIB marker is announced'),
  'paths-limit': lacks('NEIGHBORS AND GROUPS, "announce add-path"', 'no limit is announced'),
  roles: cell(async () => {
    await agree(
      ...w.up(3),
      peer('roles', () => eye.session(3), /"open_policy_role": "customer"/, /"open_policy_role": "provider"/),
    );
    await agree(
      ...w.notUp(4, /Role Mismatch/i),
      peer('log', () => eye.log(), /\(w4\): open policy role mismatch/),
    );
  }),
  otc: cell(async () => {
    await w.sent(56, '10.56.1.0/24', { otc: 65001 });
    await w.got(55, '20.55.1.0/24', { onlyToCustomer: 65000 });
    await w.notSent(56, '20.55.1.0/24', 'roleLeak');
  }),
  fqdn: notAnnounced('no host name'),
  bfd: lacks('NEIGHBORS AND GROUPS', 'no BFD'),
  // Its templates give the kernel no keys on Linux, so that the range is leafd's.
  'md5-range': cell(() =>
    agree(
      leafd(
        'a peer of the range',
        () => fabric.get('a', '/v1/peers/10.255.8.1'),
        '"authenticated":true',
        '"state":"established"',
      ),
      peer('w8', () => eye.session(8), eye.up),
    ),
  ),
  passive: cell(() =>
    agree(
      ...w.up(12),
      ...w.up(13),
      peer('it calls', () => eye.session(12), /"remote": \{\s+"address": "10\.255\.12\.0",\s+"port": 179,/),
      peer('it waits', () => eye.session(13), /"local": \{\s+"address": "10\.255\.13\.1",\s+"port": 179,/),
    ),
  ),
  timers: cell(() =>
    agree(
      leafd('negotiated', () => w.view(1), '"negotiated":{"holdSeconds":12,"keepaliveSeconds":4}'),
      peer('negotiated', () => eye.session(1), /"session": \{\s+"holdtime": 12,\s+"keepalive": 4,/),
    ),
  ),
  'max-prefix-restart': cell(() =>
    agree(
      leafd(
        'ended and tried again',
        () => w.view(28),
        (seen) => seen.established >= 2,
        /Maximum Number of Prefixes/,
      ),
      peer('was told', () => eye.session(28), /"last_error_received": "Cease, received max-prefix exceeded"/),
    ),
  ),
  'shutdown-sent': cell(
    async () => {
      await agree(...w.up(31));
      await fabric.leafctl('a', 'peer', 'shutdown', 'w31', 'back', 'at', 'nine');
      await agree(
        ...w.notUp(31),
        peer('was told', () => eye.session(31), /"last_shutdown_reason": "[^"]*back at nine/),
      );
    },
    { alone: true },
  ),
  confederation: lacks('GLOBAL CONFIGURATION', 'no confederation'),
  'confederation-outside': cell(() =>
    agree(
      leafd('beside the confederation', () => w.received(94, '10.91.1.0/24'), one({ asPath: '65100' })),
      w.takes(48, '10.91.1.0/24', some({ asPath: '65001 65100' })),
    ),
  ),
  'link-bandwidth': lacks('ATTRIBUTE SET, "ext-community"', 'no such subtype'),
  'aggregate-peer': lacks('NETWORK ANNOUNCEMENTS', 'no aggregates'),
  'two-octet-as': cell(async () => {
    await agree(
      leafd(
        'no 4-octet AS',
        () => w.view(39),
        (seen) => !/asn4/.test(JSON.stringify(seen.capabilities.received)),
      ),
      w.takes(39, '33.63.1.0/24', some({ asPath: '65001 65020 4200000001' })),
    );
    await w.got(39, '20.39.1.0/24', { asPath: '65000' });
  }),
  aigp: lacks('ATTRIBUTE SET', 'no accumulated IGP metric'),
  'unknown-attributes': cell(() =>
    agree(
      leafd(
        'has it',
        () => routes(fabric, 'a', { prefix: '33.64.1.0/24', peer: 'x60' }),
        /"code":99[^}]*01020304/,
      ),
      w.takes(
        59,
        '33.64.1.0/24',
        /Unknown Attribute #99[^}]*partial\\":true[^}]*\}[^}]*01020304/,
        without(/#100/),
      ),
    ),
  ),
  // What leafd says of ten families is 311 bytes long; OpenBGPD has little to say and needs no long form itself.
  'extended-parameters': cell(() =>
    agree(
      ...w.up(50),
      leafd('more than 255 bytes', () => w.view(50), /addPath.*flowspecVpn6/),
      peer(
        'read them',
        () => eye.session(50),
        /"remote": \{[^}]*"capabilities": \{[^}]*"IPv4 vpn",\s+"IPv6 vpn"/,
      ),
    ),
  ),
};

matrix(
  'openbgpd',
  { up: () => fabric.up({ waitSeconds: 0 }), down: fabric.down, version: ['bgpctl', '-V'] },
  cells,
);
