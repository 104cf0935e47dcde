// What the foreign daemons' control programs print, cut down from real output, and ping's.

import { expect, it } from 'vitest';
import { readPing } from './ping.ts';
import { readBird, readFrr, readGobgp, readLeafd, readOpenbgpd, readSs } from './sessions.ts';

it('reads FRR’s summary, a peer of two families once', () => {
  const text = JSON.stringify({
    ipv4Unicast: { peers: { eth1: { state: 'Established' }, eth2: { state: 'Idle' } } },
    ipv6Unicast: { peers: { eth1: { state: 'Established' } } },
  });
  expect(readFrr(text)).toEqual([
    { peer: 'eth1', state: 'established' },
    { peer: 'eth2', state: 'idle' },
  ]);
  expect(readFrr('{}')).toEqual([]);
});

it('reads BIRD’s protocols', () => {
  const text = `BIRD 2.0.12 ready.
Name       Proto      Table      State  Since         Info
device1    Device     ---        up     10:20:00.204
unnumbered BGP        ---        start  10:20:00.204  Passive
fabric1    BGP        ---        up     10:20:03.775  Established
slow       BGP        ---        start  10:20:03.775  Active        Socket: Connection refused
`;
  expect(readBird(text)).toEqual([
    { peer: 'unnumbered', state: 'passive' },
    { peer: 'fabric1', state: 'established' },
    { peer: 'slow', state: 'active' },
  ]);
});

it('reads GoBGP’s numbers', () => {
  const text =
    '[{"state":{"neighbor_address":"10.0.3.0","session_state":6}},{"state":{"neighbor_address":"10.0.3.2"}}]';
  expect(readGobgp(text)).toEqual([
    { peer: '10.0.3.0', state: 'established' },
    { peer: '10.0.3.2', state: 'idle' },
  ]);
});

it('reads OpenBGPD, leafd and the sockets of a daemon that cannot be asked', () => {
  expect(readOpenbgpd('{"neighbors":[{"remote_addr":"192.0.2.1","state":"Established"}]}')).toEqual([
    { peer: '192.0.2.1', state: 'established' },
  ]);
  expect(readLeafd({ peers: [{ name: 'eth1', state: 'openSent', received: 0 }] })).toEqual([
    { peer: 'eth1', state: 'openSent' },
  ]);
  const sockets =
    '0 0 192.0.2.1:179 192.0.2.2:40112\n0 0 [fe80::1]%eth0:40000 [fe80::2]:179\n0 0 1.1.1.1:22 2.2.2.2:5000\n';
  expect(readSs(sockets).map((one) => one.peer)).toEqual(['192.0.2.2', '[fe80::2]']);
});

it('reads ping', () => {
  const text = `PING 198.18.3.2 (198.18.3.2) from 198.18.1.1 : 56(84) bytes of data.

--- 198.18.3.2 ping statistics ---
50 packets transmitted, 30 received, +2 errors, 40% packet loss, time 1020ms
rtt min/avg/max/mdev = 0.070/0.121/0.318/0.098 ms, pipe 2
`;
  expect(readPing(text, 50)).toEqual({
    sent: 50,
    received: 30,
    lost: 20,
    lossPercent: 40,
    rttMs: { min: 0.07, avg: 0.121, max: 0.318 },
  });
  expect(readPing('\nping: connect: Network is unreachable\n', 3)).toEqual({
    sent: 3,
    received: 0,
    lost: 3,
    lossPercent: 100,
    error: 'connect: Network is unreachable',
  });
});
