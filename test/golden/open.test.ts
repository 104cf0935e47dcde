// OPEN, KEEPALIVE, NOTIFICATION and ROUTE-REFRESH as bytes, both directions.
import { expect, test } from 'vitest';
import { HEADER_LENGTH, keepaliveMessage } from '../../src/wire/bgp/header.ts';
import {
  decodeNotification,
  encodeNotification,
  encodeShutdownText,
  shutdownText,
} from '../../src/wire/bgp/notification.ts';
import { decodeOpen, encodeOpen, type Open } from '../../src/wire/bgp/open.ts';
import { decodeRouteRefresh, encodeRouteRefresh } from '../../src/wire/bgp/refresh.ts';
import { golden, hexOf } from './build.ts';

const MARKER = 'ffffffffffffffffffffffffffffffff';

test('OPEN with every capability we know', () => {
  const bytes = golden(`
    ${MARKER}     # marker
    0086          # length 134
    01            # OPEN
    04            # version 4
    5ba0          # my AS: AS_TRANS
    0009          # hold time 9 s
    0a00000b      # BGP identifier 10.0.0.11
    69            # optional parameters length 105
    02 67         # capabilities, 103 bytes
    01 04 0001 00 01            # multiprotocol: IPv4 unicast
    01 04 0002 00 01            # multiprotocol: IPv6 unicast
    02 00                       # route refresh
    46 00                       # enhanced route refresh
    05 06 0001 0001 0002        # IPv4 unicast with IPv6 next hop
    06 00                       # extended message
    40 0a                       # graceful restart
      c078                      #   R and N, 120 s
      0001 01 80                #   IPv4 unicast, forwarding kept
      0002 01 00                #   IPv6 unicast
    41 04 fa56ea01              # 4-octet AS 4200000001
    45 08                       # ADD-PATH
      0001 01 03                #   IPv4 unicast, send and receive
      0002 01 01                #   IPv6 unicast, receive
    49 0e                       # FQDN
      05 6c65616631             #   leaf1
      07 6578616d706c65         #   example
    47 0e                       # long-lived graceful restart
      0001 01 80 015180         #   IPv4 unicast, forwarding kept, 86400 s
      0002 01 00 ffffff         #   IPv6 unicast, 16777215 s
    4c 05                       # paths limit
      0001 01 0004              #   IPv4 unicast, 4 paths
    4d 00                       # link-local next hop
    09 01 03                    # role: customer
    c8 03 010203                # 200: unknown
  `);
  const open: Open = {
    asn: 4200000001,
    holdTimeS: 9,
    bgpId: 0x0a00000b,
    capabilities: [
      { kind: 'multiprotocol', afi: 1, safi: 1 },
      { kind: 'multiprotocol', afi: 2, safi: 1 },
      { kind: 'routeRefresh' },
      { kind: 'enhancedRouteRefresh' },
      { kind: 'extendedNextHop', entries: [{ afi: 1, safi: 1, nextHopAfi: 2 }] },
      { kind: 'extendedMessage' },
      {
        kind: 'gracefulRestart',
        restartState: true,
        notification: true,
        timeS: 120,
        families: [
          { afi: 1, safi: 1, forwarding: true },
          { afi: 2, safi: 1, forwarding: false },
        ],
      },
      { kind: 'asn4', asn: 4200000001 },
      {
        kind: 'addPath',
        entries: [
          { afi: 1, safi: 1, sendReceive: 3 },
          { afi: 2, safi: 1, sendReceive: 1 },
        ],
      },
      { kind: 'fqdn', host: 'leaf1', domain: 'example' },
      {
        kind: 'longLivedGracefulRestart',
        families: [
          { afi: 1, safi: 1, forwarding: true, staleTimeS: 86_400 },
          { afi: 2, safi: 1, forwarding: false, staleTimeS: 0xffffff },
        ],
      },
      { kind: 'pathsLimit', entries: [{ afi: 1, safi: 1, limit: 4 }] },
      { kind: 'linkLocalNextHop' },
      { kind: 'role', role: 3 },
      { kind: 'unknown', code: 200, value: new Uint8Array([1, 2, 3]) },
    ],
  };
  expect(hexOf(encodeOpen(open))).toBe(hexOf(bytes));
  expect(decodeOpen(bytes, HEADER_LENGTH, bytes.length)).toEqual(open);
});

test('OPEN of an old speaker: one capability a parameter', () => {
  const bytes = golden(`
    ${MARKER}     # marker
    0029          # length 41
    01            # OPEN
    04            # version 4
    fde9          # my AS 65001
    00b4          # hold time 180 s
    c0000201      # BGP identifier 192.0.2.1
    0c            # optional parameters length 12
    02 06 0104 0001 00 01       # multiprotocol: IPv4 unicast
    02 02 8000                  # 128: route refresh before RFC 2918
  `);
  expect(decodeOpen(bytes, HEADER_LENGTH, bytes.length)).toEqual({
    asn: 65001,
    holdTimeS: 180,
    bgpId: 0xc0000201,
    capabilities: [
      { kind: 'multiprotocol', afi: 1, safi: 1 },
      { kind: 'unknown', code: 128, value: new Uint8Array(0) },
    ],
  });
});

test('KEEPALIVE', () => {
  expect(hexOf(keepaliveMessage)).toBe(hexOf(golden(`${MARKER} 0013 04`)));
});

test('NOTIFICATION: administrative shutdown with a text', () => {
  const bytes = golden(`
    ${MARKER}     # marker
    001c          # length 28
    03            # NOTIFICATION
    06 02         # Cease, Administrative Shutdown
    06            # text of 6 bytes
    737761706564  # swaped
  `);
  expect(hexOf(encodeNotification(6, 2, encodeShutdownText('swaped')))).toBe(hexOf(bytes));
  expect(shutdownText(decodeNotification(bytes, HEADER_LENGTH, bytes.length))).toBe('swaped');
});

test('ROUTE-REFRESH: end of an enhanced refresh of IPv6', () => {
  const bytes = golden(`
    ${MARKER}     # marker
    0017          # length 23
    05            # ROUTE-REFRESH
    0002          # AFI IPv6
    02            # subtype: end
    01            # SAFI unicast
  `);
  expect(hexOf(encodeRouteRefresh(1, 2))).toBe(hexOf(bytes));
  expect(decodeRouteRefresh(bytes, HEADER_LENGTH, bytes.length)).toMatchObject({ family: 1, subtype: 2 });
});
