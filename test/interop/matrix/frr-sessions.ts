// What sessions with FRR agree on and how they begin and end. The wires are those of frr.lab.ts.

import type { EventsView } from '../../../src/api/views.ts';
import { sleep } from '../../support/fabric.ts';
import { fabric } from './frr.lab.ts';
import {
  change,
  established,
  MANUAL,
  neighbour,
  path,
  route,
  show,
  tellF1,
  up,
  vtysh,
  wire,
} from './frr.looks.ts';
import { agree, type Cells, holds, leafd, peer, peerOf, without } from './harness.ts';
import { ourPrefix, ours, theirPrefix, theirs } from './star.ts';

/** A session that is up on both sides and carries a route each way. */
async function carries(n: number): Promise<void> {
  await agree(
    leafd(`w${n}`, () => wire(n), up),
    leafd(`route of w${n}`, () => route('a', theirPrefix(n), `w${n}`), '"accepted":true'),
    peer(`w${n}`, () => neighbour(n), established),
    peer(`route of w${n}`, () => path(ourPrefix(n), n), '"valid":true'),
  );
}

/** A session that never comes up, seen for a while from both sides. */
async function stays(n: number, ...wants: RegExp[]): Promise<void> {
  await agree(
    leafd(`w${n}`, () => wire(n), without(/"state":"established"/), ...wants),
    peer(`w${n}`, () => neighbour(n), without(/"bgpState":"Established"/), '"connectionsEstablished":0'),
  );
}

const eventsOf = async (name: string): Promise<string> => {
  const { events } = await fabric.get<EventsView>('a', '/v1/events?since=0&limit=1000');
  return JSON.stringify(events.filter((event) => event.peer === name));
};

const changed = (n: number, edit: (settings: Record<string, unknown>) => void) =>
  change('a', ({ bgp }) => edit(bgp.peers.find((one: { name?: string }) => one.name === `w${n}`)));

const TOO_MANY = 'Cease\\/Maximum Number of Prefixes Reached'.replace('\\/', '/');

export const sessionCells = {
  unnumbered: {
    run: () =>
      agree(
        leafd('un', () => peerOf(fabric, 'a', 'un'), up),
        leafd('20.1.1.0/24', () => route('a', theirPrefix(1), 'un'), /"nextHop":"fe80::/, '"accepted":true'),
        leafd('IPv6', () => route('a', '2001:db8:ff02::/48', 'un', 'ipv6'), /"nextHop":"fe80::/),
        peer(
          '10.1.1.0/24',
          async () => (await show('ipv4 unicast 10.1.1.0/24')).paths,
          /"ip":"fe80::[^}]*"interface|"ip":"fe80::/,
        ),
        peer(
          'un',
          async () => (await show('neighbors un')).un,
          established,
          /"extendedNexthop":"advertisedAndReceived"/,
        ),
      ),
  },
  'link-local-next-hop': {
    lacks: `${MANUAL}, section "Capability Negotiation": no link-local next hop capability`,
  },
  'extended-messages': {
    run: () =>
      agree(
        leafd(
          'both say so',
          () => wire(38),
          /"sent":\[[^\]]*extendedMessage/,
          /"received":\[[^\]]*extendedMessage/,
        ),
        peer('both say so', () => neighbour(38), '"extendedMessage":"advertisedAndReceived"'),
        peer(
          '1300 communities at once',
          () => path(ourPrefix(38), 38),
          (seen) => seen.community.list.length === 1300,
        ),
        leafd(
          'and back',
          () => route('b', ourPrefix(38), 'w70'),
          (seen) => seen.attributes.communities.length === 1300,
        ),
      ),
  },
  'route-refresh': {
    run: async () => {
      const before = (await neighbour(10)).messageStats;
      await fabric.leafctl('a', 'peer', 'refresh', 'w10');
      await vtysh('f1', `clear bgp ipv4 unicast ${ours(10)} in`);
      await agree(
        leafd(
          'counts',
          () => wire(10),
          (seen) => seen.messages.sent.routeRefresh > 0,
        ),
        peer(
          'counts',
          () => neighbour(10),
          (seen) => seen.messageStats.routeRefreshRecv > before.routeRefreshRecv,
        ),
      );
      await carries(10);
    },
  },
  'enhanced-refresh': {
    run: async () => {
      await fabric.leafctl('a', 'peer', 'refresh', 'w12');
      await agree(
        // Beginning and end of what we asked for are messages too (RFC 7313 section 4).
        leafd(
          'marks',
          () => wire(12),
          (seen) => seen.messages.received.routeRefresh >= 2,
          /enhancedRouteRefresh/,
        ),
        peer('both say so', () => neighbour(12), '"enhancedRouteRefresh":"advertisedAndReceived"'),
      );
      await carries(12);
    },
  },
  roles: {
    run: async () => {
      await carries(3);
      await agree(
        leafd('mismatch', () => wire(4), /2\/11.*Role Mismatch/, without(/"state":"established"/)),
        peer('fits', () => neighbour(3), '"localRole":"customer"', '"remoteRole":"provider"'),
        peer('mismatch', () => neighbour(4), /Role Mismatch/i, '"connectionsEstablished":0'),
      );
    },
  },
  fqdn: {
    run: () =>
      agree(
        leafd(
          'their name',
          () => wire(1),
          /"received":\[[^\]]*"fqdn /,
          (seen) => seen.hostname.length > 0,
        ),
        peer('our name', () => neighbour(1), '"rcvHostName":"a"'),
      ),
  },
  md5: {
    run: async () => {
      await carries(5);
      await stays(6);
    },
  },
  'md5-range': {
    run: () =>
      agree(
        leafd(
          'our range',
          () => peerOf(fabric, 'a', theirs(8)),
          up,
          '"authenticated":true',
          '"dynamic":true',
        ),
        leafd('their range', () => wire(9), up, '"authenticated":true'),
        peer('our range', () => neighbour(8), established),
        peer('their range', () => neighbour(9), established, /"dynamicPeer":true|"peerGroup":"listened"/),
      ),
  },
  'md5-live': {
    run: async () => {
      await carries(7);
      await changed(7, (settings) => {
        settings.password = 'second';
      });
      await tellF1(`neighbor ${ours(7)} password second`);
      await carries(7);
      const since = async () => Date.parse((await wire(7)).since!);
      const was = await since();
      // With a key of one side only it stays down there, though FRR tries every second.
      await changed(7, (settings) => {
        settings.password = 'third';
      });
      await vtysh('f1', `clear bgp ${ours(7)}`);
      await sleep(2500);
      await holds(
        peer('w7 is down', () => neighbour(7), without(/"bgpState":"Established"/)),
        0,
      );
      await tellF1(`neighbor ${ours(7)} password third`);
      await carries(7);
      if ((await since()) <= was) throw new Error('the session did not begin anew');
    },
  },
  gtsm: {
    run: async () => {
      await carries(10);
      await agree(
        leafd('hops', () => wire(10), '"ttlSecurityHops":1'),
        peer('up', () => neighbour(10), established),
      );
      await stays(11);
    },
  },
  bfd: {
    seenIn: 'test/interop/bfd.test.ts',
    test: 'FRR goes silent: down within the detection time, and it is told why by Cease 6/10',
  },
  'range-leafd': {
    run: () =>
      agree(
        leafd(
          'a peer of the range',
          () => peerOf(fabric, 'a', theirs(8)),
          up,
          '"kind":"range"',
          '"dynamic":true',
        ),
        leafd('its route', () => route('a', theirPrefix(8), theirs(8)), '"accepted":true'),
        peer('w8', () => neighbour(8), established),
        peer('our route', () => path(ourPrefix(8), 8), '"valid":true'),
      ),
  },
  'range-peer': {
    run: async () => {
      await agree(
        leafd('w9', () => wire(9), up, '"port":179'),
        leafd('its route', () => route('a', theirPrefix(9), 'w9'), '"accepted":true'),
        peer('dynamic', () => vtysh('f1', 'show bgp summary'), /\*10\.255\.9\.0 /),
        peer('our route', () => path(ourPrefix(9), 9), '"valid":true'),
      );
    },
  },
  passive: {
    run: async () => {
      await carries(12);
      await carries(13);
      await agree(
        leafd('we wait', () => wire(12), up),
        leafd('we call', () => wire(13), up),
        peer('it calls', () => neighbour(12), '"portForeign":179'),
        peer('it waits', () => neighbour(13), '"portLocal":179'),
      );
    },
  },
  'remote-as-any': {
    run: async () => {
      await agree(
        leafd('learned', () => wire(14), up, '"remoteAs":"any"', '"remoteAsn":65000'),
        peer('w14', () => neighbour(14), established),
      );
      await carries(14);
    },
  },
  multihop: {
    run: () =>
      agree(
        leafd('w23', () => wire(23), up, '"address":"10.254.0.100"'),
        leafd('its route', () => route('a', theirPrefix(23), 'w23'), '"accepted":true', '"reachable":true'),
        peer('w23', async () => (await show('neighbors 10.254.0.1'))['10.254.0.1'], established),
        peer('our route', () => path(ourPrefix(23)), '"valid":true', '"peerId":"10.254.0.1"'),
      ),
  },
  timers: {
    run: () =>
      agree(
        leafd(
          '30 s here',
          () => wire(1),
          '"configured":{"holdSeconds":30,',
          '"negotiated":{"holdSeconds":12,"keepaliveSeconds":4}',
        ),
        peer(
          '12 s there',
          () => neighbour(1),
          '"bgpTimerHoldTimeMsecs":12000',
          '"bgpTimerKeepAliveIntervalMsecs":4000',
        ),
      ),
  },
  'max-prefix-warn': {
    run: () =>
      agree(
        leafd('all taken', () => wire(26), up, '"received":4,"accepted":4'),
        leafd('told', () => eventsOf('w26'), /limit|prefixes/),
        peer('up', () => neighbour(26), established, '"connectionsDropped":0'),
      ),
  },
  'max-prefix-drop': {
    run: () =>
      agree(
        leafd('two taken', () => wire(27), up, '"received":4,"accepted":2'),
        leafd('two refused', () => fabric.leafctl('a', 'routes', '--peer', 'w27', '--received'), /limit/),
        peer('up', () => neighbour(27), established, '"connectionsDropped":0', '"sentPrefixCounter":4'),
      ),
  },
  'max-prefix-restart': {
    run: () =>
      agree(
        leafd('ended and begun again', () => eventsOf('w28'), /peer-up.*peer-down.*6\/1.*peer-up/),
        peer(
          'told',
          () => neighbour(28),
          TOO_MANY,
          (seen) => seen.connectionsEstablished > 1,
        ),
      ),
  },
  'max-prefix-shutdown': {
    run: () =>
      agree(
        leafd('for good', () => wire(29), '"state":"idle"', /limit 2/, '"established":1'),
        peer('told', () => neighbour(29), TOO_MANY, '"connectionsEstablished":1'),
      ),
  },
  'max-prefix-peer': {
    run: () =>
      agree(
        leafd('told', () => wire(30), /6\/1[^0-9]/),
        peer(
          'told us',
          () => neighbour(30),
          '"prefixAllowedMax":2',
          /"bgpState":"Idle"/,
          /PfxCt|prefix.{0,20}(limit|overflow|exceed)|Maximum Number of Prefixes/i,
        ),
      ),
  },
  'shutdown-sent': {
    run: async () => {
      await carries(31);
      await changed(31, (settings) =>
        Object.assign(settings, { shutdown: true, shutdownText: 'new fibre at noon' }),
      );
      await agree(
        leafd('w31', () => wire(31), '"adminDown":true'),
        peer('our words', () => neighbour(31), /Administrative Shutdown/, /new fibre at noon/),
      );
    },
  },
  'shutdown-received': {
    run: async () => {
      await carries(32);
      await tellF1(`neighbor ${ours(32)} shutdown message back on Monday`);
      await agree(
        leafd('their words', () => wire(32), /6\/2.*back on Monday/),
        peer('w32', () => neighbour(32), '"adminShutDown":true'),
      );
    },
  },
  'extended-parameters': {
    run: async () => {
      await agree(
        leafd('w50', () => wire(50), up),
        peer('w50', () => neighbour(50), established, '"extendedOptionalParametersLength":true'),
      );
      await carries(50);
    },
  },
  'two-octet-as': {
    run: () =>
      agree(
        leafd('merged', () => route('a', theirPrefix(39), 'w39'), '"asPath":"65000 4200000002"'),
        leafd('said nothing', () => wire(39), '"received":[]'),
        // FRR has read of 4-octet ASes in our OPEN, and then heeds no AS4_PATH.
        peer('AS_TRANS', () => path('33.63.1.0/24', 39), '"string":"65001 65020 23456"'),
      ),
  },
} satisfies Partial<Cells>;
