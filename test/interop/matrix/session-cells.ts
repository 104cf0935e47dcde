// Cells of sessions and of confederations that are the same for several speakers: how they come, go and come back.

import type { RouteView } from '../../../src/api/views.ts';
import { sleep } from '../../support/fabric.ts';
import type { BehaviourId } from './behaviours.ts';
import { type Cell, routes } from './harness.ts';
import { ours, theirs } from './star.ts';
import {
  agree,
  type Change,
  cell,
  count,
  type Eye,
  holds,
  leafd,
  one,
  peer,
  type Seen,
  some,
  stays,
  witness,
} from './witness.ts';

// biome-ignore lint/suspicious/noExplicitAny: a configuration as data.
type Loose = any;

/** Sessions: how they come and go. */
export function sessionCells(eye: Eye, change: Change) {
  const { fabric } = eye;
  const w = witness(eye);
  const both = (n: number) => cell(() => agree(...w.up(n)));
  return {
    'route-refresh': cell(async () => {
      const { messages } = await w.view(1);
      await fabric.leafctl('a', 'peer', 'refresh', 'w1');
      await eye.refresh(1);
      const more = (seen: { messages: typeof messages }) =>
        seen.messages.sent.routeRefresh > messages.sent.routeRefresh &&
        seen.messages.received.routeRefresh > messages.received.routeRefresh &&
        seen.messages.received.update > messages.received.update &&
        seen.messages.sent.update > messages.sent.update;
      await agree(
        leafd('asked and was asked, told and was told', () => w.view(1), more),
        ...w.up(1),
      );
      await w.got(1, '20.1.1.0/24', { accepted: true });
      await w.sent(1, '10.1.1.0/24', { asPath: '65001' });
    }),
    md5: cell(async () => {
      await agree(
        ...w.up(5),
        leafd('authenticated', () => w.view(5), '"authenticated":true'),
      );
      await sleep(3000);
      await agree(...w.notUp(6));
    }),
    'md5-range': cell(async () => {
      const near = async () => (await routes(fabric, 'a', { prefix: '20.8.1.0/24' })).map((route) => route);
      await agree(
        leafd('has its route', near, count(1)),
        peer('w8 is up', () => eye.session(8), eye.up),
      );
      await agree(
        ...w.up(9),
        leafd('authenticated', () => w.view(9), '"authenticated":true'),
      );
    }),
    'md5-live': cell(
      async () => {
        await agree(...w.up(7));
        const before = await w.view(1);
        await change('a', (bgp) => {
          bgp.peers.find((one: Loose) => one.name === 'w7').password = 'second';
        });
        await eye.password(7, 'second');
        await agree(
          ...w.up(7),
          leafd(
            'since then',
            () => w.view(7),
            (seen) => seen.sinceSeconds < 10,
          ),
        );
        const same = (seen: { established: number }) => seen.established === before.established;
        await agree(
          ...w.up(1),
          leafd('others are as they were', () => w.view(1), same),
        );
      },
      { alone: true },
    ),
    gtsm: cell(async () => {
      await agree(
        ...w.up(10),
        leafd('guarded', () => w.view(10), '"ttlSecurityHops":1'),
      );
      await agree(...w.notUp(11));
    }),
    'range-leafd': cell(async () => {
      const near = async () => (await routes(fabric, 'a', { prefix: '20.8.1.0/24' })).map((route) => route);
      await agree(
        leafd('has its route', near, one({ asPath: '65000' })),
        w.takes(8, '10.8.1.0/24', some({ asPath: '65001' })),
      );
    }),
    'range-peer': both(9),
    passive: cell(async () => {
      const connection = (...words: string[]) =>
        leafd(`connection ${words.join(' ')}`, () => fabric.out('a', 'ss', '-Htn', ...words), /ESTAB/);
      await agree(...w.up(12), connection('src', `${ours(12)}:179`));
      await agree(...w.up(13), connection('dst', `${theirs(13)}:179`));
    }),
    'remote-as-any': cell(() =>
      agree(
        ...w.up(14),
        leafd('its AS', () => w.view(14), '"remoteAsn":65000', '"remoteAs":"any"'),
      ),
    ),
    multihop: cell(async () => {
      await agree(...w.up(23));
      await w.sent(23, '10.23.1.0/24', { asPath: '65001', nextHop: '10.254.0.1' });
    }),
    'max-prefix-warn': cell(async () => {
      const warned = async () => fabric.get('a', '/v1/events?limit=1000');
      await agree(
        ...w.up(26),
        w.tells(26, '20.26.4.0/24'),
        leafd('warns', warned, /w26[^}]*limit|limit[^}]*w26/),
      );
      await holds(leafd('takes all', () => w.view(26), '"accepted":4'));
    }),
    'max-prefix-drop': cell(() =>
      agree(
        ...w.up(27),
        w.tells(27, '20.27.4.0/24'),
        leafd(
          'takes two',
          () => w.view(27),
          (seen) => seen.byFamily[0].accepted === 2 && seen.byFamily[0].received === 4,
        ),
      ),
    ),
    'max-prefix-restart': cell(() =>
      agree(
        leafd(
          'ended and tried again',
          () => w.view(28),
          /Maximum Number of Prefixes/i,
          (seen) => seen.established >= 2,
        ),
        peer(
          'was told',
          () => Promise.resolve(eye.log()),
          /w28[^\n]*[Mm]aximum number of prefixes|10\.255\.28\.0[^\n]*cease\(6\)[^\n]*maximum|Data="\[6 1 [^\n]*10\.255\.28\.0/i,
        ),
      ),
    ),
    'max-prefix-shutdown': cell(async () => {
      await agree(...w.notUp(29, /Maximum Number of Prefixes/i));
      await sleep(4000);
      await agree(...w.notUp(29, (seen: { established: number }) => seen.established === 1));
    }),
    'max-prefix-peer': cell(() =>
      agree(
        leafd('was told', () => w.view(30), /Maximum Number of Prefixes/i, /"direction":"received"/),
        peer(
          'w30',
          () => eye.session(30),
          (seen: string) => !seen.includes(eye.up),
        ),
      ),
    ),
    'shutdown-sent': cell(
      async () => {
        await agree(...w.up(31));
        await fabric.leafctl('a', 'peer', 'shutdown', 'w31', 'back', 'at', 'nine');
        await agree(
          ...w.notUp(31),
          peer('was told', async () => `${await eye.session(31)}${eye.log()}`, 'back at nine'),
        );
      },
      { alone: true },
    ),
    'shutdown-received': cell(
      async () => {
        await agree(...w.up(32));
        await eye.stop(32, 'gone for lunch');
        await agree(...w.notUp(32, 'gone for lunch', /"direction":"received"/));
      },
      { alone: true },
    ),
    'gr-restarter': cell(
      async () => {
        await w.got(1, '20.1.1.0/24', { accepted: true });
        await fabric.lab('stop', 'k', '--kill');
        await agree(
          peer(
            'w80 is down',
            () => eye.session(80),
            (seen: string) => !seen.includes(eye.up),
          ),
          w.takes(80, '10.80.1.0/24', some({ asPath: '65009' })),
          leafd('a has it still', () => w.received(54, '10.80.1.0/24'), count(1)),
        );
        const watched = stays(leafd('nothing is withdrawn', () => w.received(54, '10.80.1.0/24'), count(1)));
        await fabric.lab('restart', 'k');
        await agree(...w.up(80));
        await agree(
          w.takes(80, '10.80.1.0/24', some({ asPath: '65009' })),
          w.taken(80, '10.49.1.0/24', one({ accepted: true })),
        );
        await sleep(1000);
        await watched();
      },
      { alone: true },
    ),
  } satisfies Partial<Record<BehaviourId, Cell>>;
}

/** The confederation around p2, and what is of several speakers. */
export function memberCells(eye: Eye) {
  const { fabric } = eye;
  const of =
    (node: string, prefix: string, name = 'p2') =>
    () =>
      routes(fabric, node, { prefix, peer: name, received: true });
  const takes = (prefix: string, wanted: Partial<Seen>) =>
    peer(`p2 takes ${prefix}`, () => eye.takes2(prefix), some(wanted));
  const segment = (members: string) => (seen: RouteView[]) =>
    seen.some((one) => one.attributes.asPath === members);
  return {
    confederation: cell(async () => {
      await agree(
        takes('10.91.1.0/24', { localPref: 100 }),
        takes('10.92.1.0/24', { asPath: '', localPref: 100 }),
        leafd(
          'd: from the other member',
          of('d', '20.90.1.0/24'),
          segment('(65102)'),
          one({ accepted: true, ...(eye.losesPreference !== true && { localPref: 250 }) }),
        ),
        leafd('e: of d through p2', of('e', '10.91.1.0/24'), segment('(65101)'), one({ accepted: true })),
        leafd('d: its own AS', of('d', '10.93.1.0/24'), segment('(65102) 65001')),
      );
    }),
    'confederation-outside': cell(async () => {
      const seen = (name: string) => () =>
        routes(fabric, 'a', { prefix: '10.91.1.0/24', peer: name, received: true });
      await agree(
        leafd('a: of the peer', seen('w93'), one({ asPath: '65100' })),
        leafd('a: of leafd', seen('w94'), one({ asPath: '65100' })),
        takes('10.93.1.0/24', { asPath: '65001' }),
      );
    }),
  } satisfies Partial<Record<BehaviourId, Cell>>;
}
