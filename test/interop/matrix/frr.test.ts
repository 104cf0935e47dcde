// The column of FRR in the interop matrix.

import type { PeersView } from '../../../src/api/views.ts';
import { until } from '../../support/fabric.ts';
import { fabric } from './frr.lab.ts';
import { familyCells } from './frr-families.ts';
import { restartCells } from './frr-restarts.ts';
import { routeCells } from './frr-routes.ts';
import { sessionCells } from './frr-sessions.ts';
import { matrix } from './harness.ts';

matrix(
  'frr',
  {
    up: async () => {
      await fabric.up({ waitSeconds: 0 });
      // Asking one daemon is cheaper than sixteen cells that look at both sides while sessions come up.
      await until(
        () => fabric.get<PeersView>('a', '/v1/peers'),
        ({ peers }) => peers.filter(({ state }) => state === 'established').length >= 50,
        { timeoutMs: 30_000, everyMs: 250, what: 'fifty sessions of a' },
      );
    },
    down: () => fabric.down(),
    version: ['/usr/lib/frr/bgpd', '--version'],
  },
  { ...sessionCells, ...familyCells, ...routeCells, ...restartCells },
);
