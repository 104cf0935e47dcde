// Restarts of leafd and FRR, each with the other as helper: what is kept, for how long, and what becomes of it.

import type { EventsView } from '../../../src/api/views.ts';
import { sleep, until } from '../../support/fabric.ts';
import { fabric } from './frr.lab.ts';
import { established, neighbour, path, route, tellF1, up, vtysh, wire } from './frr.looks.ts';
import { agree, type Cells, holds, leafd, peer, peerOf, routes } from './harness.ts';
import { ourPrefix, ours, theirPrefix } from './star.ts';

const kill = (node: string) => fabric.lab('stop', node, '--kill');
const start = (node: string) => fabric.lab('restart', node);

/** The route of FRR's killed neighbour over a wire. */
const ofKilled = () => path(ourPrefix(80), 80);
const ofF2 = () => route('e', '20.90.1.0/24', 'f2');

const eventsOfK = async () => {
  const { events } = await fabric.get<EventsView>('k', '/v1/events?since=0&limit=1000');
  return events.filter((event) => event.peer === 'w81');
};

/** How long FRR's neighbours have a route, from its own clock. */
const withdrawals = async (node: string, prefix: string): Promise<string> =>
  (await routes(fabric, node, { prefix })).map((one) => one.since).join();

export const restartCells = {
  'gr-helper': {
    alone: true,
    run: async () => {
      await agree(
        leafd('before', ofF2, '"stale":false', '"best":true'),
        peer('up', () => neighbour(92, 'f2'), established),
      );
      await kill('f2');
      await agree(
        leafd('kept, stale', ofF2, '"stale":true', '"best":true'),
        leafd('at d too', () => route('d', '20.90.1.0/24', 'f2'), '"stale":true'),
        peer(
          'is dead',
          () => fabric.status(),
          (seen) => !seen.nodes.find((one: { name: string }) => one.name === 'f2').alive,
        ),
      );
      await start('f2');
      await agree(
        leafd('fresh again', ofF2, '"stale":false', '"best":true'),
        leafd('restarted', () => peerOf(fabric, 'e', 'f2'), up, /"restarting":true|"endOfRibReceived":true/),
        peer('up', () => neighbour(92, 'f2'), established),
      );
      const { events } = await fabric.get<EventsView>('e', '/v1/events?since=0&limit=1000');
      if (events.some((event) => event.prefix === '20.90.1.0/24')) throw new Error('the route was touched');
    },
  },
  'gr-restarter': {
    alone: true,
    run: async () => {
      await agree(
        leafd('before', () => wire(80, 'k'), up),
        peer('before', ofKilled, '"valid":true'),
      );
      const since = await withdrawals('b', ourPrefix(80));
      await kill('k');
      await agree(
        leafd('still at b', () => route('b', ourPrefix(80), 'w70'), '"accepted":true'),
        peer('kept, stale', ofKilled, '"stale":true', '"valid":true'),
      );
      await start('k');
      await agree(
        leafd('back', () => wire(80, 'k'), up, '"endOfRibSent":true'),
        peer('fresh again', ofKilled, (seen) => seen.stale !== true && seen.valid === true),
      );
      if ((await withdrawals('b', ourPrefix(80))) !== since)
        throw new Error('a withdrawal was seen behind FRR');
    },
  },
  // It touches nothing but a wire of its own, and a setting that no other cell depends on.
  'gr-notification': {
    run: async () => {
      const since = async () => (await route('k', theirPrefix(81), 'w81'))?.since;
      const back = () =>
        agree(
          leafd('w81', () => wire(81, 'k'), up),
          peer('w81', () => neighbour(81), established, '"nBit":true'),
        );
      await back();
      await tellF1('no bgp hard-administrative-reset');
      const first = await since();
      await vtysh('f1', `clear bgp ${ours(81)}`);
      await until(eventsOfK, (seen) => seen.some(({ text }) => / 6\/4/.test(text)), { timeoutMs: 5000 });
      await back();
      if ((await since()) !== first) throw new Error('a NOTIFICATION without hard reset took routes away');
      await tellF1('bgp hard-administrative-reset');
      await vtysh('f1', `clear bgp ${ours(81)}`);
      await until(eventsOfK, (seen) => seen.some(({ text }) => /hard reset/.test(text)), { timeoutMs: 5000 });
      await back();
      await until(since, (seen) => seen !== undefined && seen !== first, {
        timeoutMs: 5000,
        what: 'the route of the next session',
      });
      // The other way: what an operator of leafd ends is a hard reset, and routes go for a moment.
      const behind = await withdrawals('b', ourPrefix(81));
      const { established: times } = await wire(81, 'k');
      await fabric.leafctl('k', 'peer', 'reset', 'w81');
      await agree(
        leafd(
          'a session later',
          () => wire(81, 'k'),
          up,
          (seen) => seen.established > times,
        ),
        peer('was told', () => neighbour(81), /"notificationsRecv":[1-9]/, established),
      );
      await holds(
        leafd(
          'came anew behind FRR',
          () => withdrawals('b', ourPrefix(81)),
          (seen) => seen !== '' && seen !== behind,
        ),
      );
    },
  },
  llgr: {
    alone: true,
    run: async () => {
      await agree(
        leafd('k is up', () => wire(80, 'k'), up),
        peer('its route', ofKilled, '"valid":true'),
      );
      await kill('k');
      await kill('f2');
      await sleep(6000);
      await agree(
        leafd("FRR's routes", ofF2, '"stale":true', '"llgr-stale"'),
        peer("leafd's routes", ofKilled, '"llgrStale"'),
      );
      await start('k');
      await start('f2');
      await agree(
        leafd('fresh again', ofF2, '"stale":false'),
        peer(
          'fresh again',
          ofKilled,
          (seen) => seen.stale !== true && !JSON.stringify(seen).includes('llgrStale'),
        ),
      );
    },
  },
} satisfies Partial<Cells>;
