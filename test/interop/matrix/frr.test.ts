// The column of FRR in the interop matrix.

import { fabric } from './frr.lab.ts';
import { familyCells } from './frr-families.ts';
import { restartCells } from './frr-restarts.ts';
import { routeCells } from './frr-routes.ts';
import { sessionCells } from './frr-sessions.ts';
import { matrix } from './harness.ts';

matrix(
  'frr',
  {
    up: () => fabric.up({ waitSeconds: 0 }),
    down: () => fabric.down(),
    version: ['/usr/lib/frr/bgpd', '--version'],
  },
  { ...sessionCells, ...familyCells, ...routeCells, ...restartCells },
);
