// Mistakes made on purpose, one at a time, by putting something else in the place of one of the product's own
// functions for as long as a test lasts. The simulator has to find each of them; one that it does not find is a
// hole in the invariants. `plant` returns how to undo it.

import {
  AttributePool,
  CLUSTER_LOOP,
  HAS_OTC,
  NO_LLGR,
  ORIGINATOR_LOOP,
} from '../../src/rib/attribute-pool.ts';
import { NlriData } from '../../src/rib/nlri-data.ts';
import { PathTable } from '../../src/rib/path-table.ts';
import { Rib } from '../../src/rib/rib.ts';
import { ONLY, TO_ALL } from '../../src/rib/update-batch.ts';
import { UpdateGroup } from '../../src/rib/update-group.ts';
import { Advertiser } from '../../src/router/advertiser.ts';
import { FibGate, FibSets } from '../../src/router/fib-gate.ts';
import { Liveness } from '../../src/router/liveness.ts';
import { Peers } from '../../src/router/peers.ts';
import { Refreshes } from '../../src/router/refresh.ts';
import { Restart } from '../../src/router/restart.ts';
import { Sessions } from '../../src/router/sessions.ts';
import { VirtualKernel } from '../../src/sim/kernel.ts';
import { REFRESH_END } from '../../src/wire/bgp/refresh.ts';

export interface PlantedBug {
  name: string;
  plant(): () => void;
  /** Only networks that are drawn have what it breaks. */
  drawn?: true;
}

/** Mistakes in modules of functions, which the test has put a switch before. */
export const switches = {
  wrongCollisionWinner: false,
  holdTimerNotRestarted: false,
  hardResetIsSoft: false,
  anyRoleFits: false,
  segmentsLeave: false,
};

/** Replaces a method; `make` is given the real one. */
function patch<T extends object, K extends keyof T>(
  target: T,
  name: K,
  make: (real: T[K]) => T[K],
): () => void {
  const real = target[name];
  target[name] = make(real);
  return () => {
    target[name] = real;
  };
}

/** The method does nothing. */
function omit<T extends object>(target: T, name: keyof T): () => void {
  return patch(target, name, () => (() => undefined) as T[keyof T]);
}

/** The method does nothing in every `nth` call. */
function lose<T extends object>(target: T, name: keyof T, nth: number): () => void {
  let calls = 0;
  return patch(target, name, (real) => {
    const method = real as (...args: unknown[]) => unknown;
    return function (this: T, ...args: unknown[]) {
      return ++calls % nth === 0 ? undefined : method.apply(this, args);
    } as T[keyof T];
  });
}

/** Every set of attributes is changed behind its being parsed. */
function misread(change: (pool: AttributePool, id: number) => void): () => void {
  return patch(
    AttributePool.prototype,
    'intern',
    (real) =>
      function (this: AttributePool, bytes, start, end) {
        const id = real.call(this, bytes, start, end);
        change(this, id);
        return id;
      },
  );
}

function flip(name: keyof typeof switches): () => void {
  switches[name] = true;
  return () => {
    switches[name] = false;
  };
}

/** End-of-RIB (RFC 4724 section 2) is an UPDATE of this length: without anything, or with an empty MP_UNREACH. */
const END_OF_RIB_LENGTHS = [23, 30];

export const plantedBugs: readonly PlantedBug[] = [
  { name: 'a withdrawal is lost now and then', plant: () => lose(Rib.prototype, 'withdraw', 9) },
  {
    name: 'the cluster list and the originator are not looked at',
    plant: () =>
      misread((pool, id) => {
        pool.flags[id]! &= ~(CLUSTER_LOOP | ORIGINATOR_LOOP);
      }),
  },
  {
    name: 'our own AS in the path is not seen',
    plant: () =>
      misread((pool, id) => {
        pool.localAsCount[id] = 0;
      }),
  },
  { name: 'stale paths are never swept', plant: () => omit(Rib.prototype, 'sweepStale') },
  {
    name: 'the higher MED wins',
    plant: () =>
      patch(
        Rib.prototype,
        'decide',
        (real) =>
          function (this: Rib, maxPrefixes) {
            const { med } = this.pool;
            this.pool.med = med.map((value) => 0xffff_ffff - value);
            const left = real.call(this, maxPrefixes);
            this.pool.med = med;
            return left;
          },
      ),
  },
  {
    name: 'End-of-RIB is not sent',
    plant: () =>
      patch(
        Sessions.prototype,
        'send',
        (real) =>
          function (this: Sessions, peer, bytes, length, count) {
            return END_OF_RIB_LENGTHS.includes(length) || real.call(this, peer, bytes, length, count);
          },
      ),
  },
  {
    name: 'routes are told before the kernel has them',
    plant: () => {
      const undo = [omit(Rib.prototype, 'setAwaitsFib'), omit(Rib.prototype, 'setFibLacks')];
      return () => {
        for (const one of undo) one();
      };
    },
  },
  {
    name: 'what the kernel refused is told',
    plant: () =>
      patch(
        FibGate.prototype,
        'acked',
        (real) =>
          function (this: FibGate, seq) {
            real.call(this, seq, []);
          },
      ),
  },
  {
    name: 'a route that the kernel took later stays untold',
    plant: () => omit(FibGate.prototype, 'recovered'),
  },
  { name: 'a lost link does not take the routes', plant: () => omit(Rib.prototype, 'dropPeer') },
  {
    name: 'routes go back to where they came from',
    plant: () =>
      patch(
        UpdateGroup.prototype,
        'collect',
        (real) =>
          function (this: UpdateGroup, id, pathId, attr, hop, data, target) {
            const isToOthers = target >= 0 && target < ONLY;
            real.call(this, id, pathId, attr, hop, data, isToOthers ? TO_ALL : target);
          },
      ),
  },
  { name: 'each side lets the other connection win', plant: () => flip('wrongCollisionWinner') },
  { name: 'a KEEPALIVE does not restart the hold timer', plant: () => flip('holdTimerNotRestarted') },
  {
    name: 'a member that was slow is never served again',
    plant: () =>
      patch(
        UpdateGroup.prototype,
        'setFlow',
        (real) =>
          function (this: UpdateGroup, member, flow) {
            if (flow !== 'open') real.call(this, member, flow);
          },
      ),
  },
  {
    name: 'a reference to attributes is leaked now and then',
    plant: () => lose(AttributePool.prototype, 'release', 97),
  },
  {
    name: 'a next hop that changed is not decided again',
    plant: () => omit(Rib.prototype, 'nextHopChanged'),
  },
  {
    name: 'a reload does not look at the routes there are',
    plant: () =>
      patch(
        UpdateGroup.prototype,
        'setFilter',
        () =>
          function (this: UpdateGroup, filter) {
            this.stage.setFilter(filter);
          },
      ),
  },
  { name: 'the kernel is not swept after a restart', plant: () => omit(VirtualKernel.prototype, 'sweep') },
  { name: 'another neighbour on the port is not followed', plant: () => omit(Peers.prototype, 'heard') },
  { name: 'a peer that left stays in its update group', plant: () => omit(Advertiser.prototype, 'leave') },
  { name: 'a set of next hops is never given back', plant: () => omit(FibSets.prototype, 'unuse') },
  { name: 'routes of a peer that is not waited for stay', plant: () => omit(Restart.prototype, 'expire') },
  {
    name: 'the member AS in a confederation segment is not seen',
    drawn: true,
    plant: () =>
      misread((pool, id) => {
        pool.memberAsCount[id] = 0;
      }),
  },
  { name: 'confederation segments leave the confederation', drawn: true, plant: () => flip('segmentsLeave') },
  {
    name: 'OTC is not looked at',
    drawn: true,
    plant: () =>
      misread((pool, id) => {
        pool.flags[id]! &= ~HAS_OTC;
      }),
  },
  { name: 'roles that do not fit are accepted', drawn: true, plant: () => flip('anyRoleFits') },
  { name: 'a hard reset counts as a restart', drawn: true, plant: () => flip('hardResetIsSoft') },
  {
    name: 'what is stale for long does not say so',
    drawn: true,
    plant: () => omit(Rib.prototype, 'makeLongLived'),
  },
  {
    name: 'NO_LLGR is not looked at',
    drawn: true,
    plant: () =>
      misread((pool, id) => {
        pool.flags[id]! &= ~NO_LLGR;
      }),
  },
  {
    name: 'what is stale for long is preferred',
    drawn: true,
    plant: () =>
      patch(
        Rib.prototype,
        'decide',
        (real) =>
          function (this: Rib, maxPrefixes) {
            const { staleSets } = this.pool;
            this.pool.staleSets = 0;
            const left = real.call(this, maxPrefixes);
            this.pool.staleSets = staleSets;
            return left;
          },
      ),
  },
  {
    name: 'a path beside the best one is not withdrawn',
    drawn: true,
    plant: () =>
      patch(
        UpdateGroup.prototype,
        'collect',
        (real) =>
          function (this: UpdateGroup, id, pathId, attr, hop, data, target) {
            if (pathId === 0 || attr !== 0) real.call(this, id, pathId, attr, hop, data, target);
          },
      ),
  },
  {
    name: 'path identifiers are not told apart',
    drawn: true,
    plant: () => patch(PathTable.prototype, 'withPathIds', () => () => undefined),
  },
  { name: 'a limit on prefixes is not kept', drawn: true, plant: () => omit(Rib.prototype, 'setLimit') },
  { name: 'BFD is not listened to', drawn: true, plant: () => omit(Liveness.prototype, 'changed') },
  {
    name: 'the end of a refresh is not heard',
    drawn: true,
    plant: () =>
      patch(
        Refreshes.prototype,
        'received',
        (real) =>
          function (this: Refreshes, peer, refresh) {
            if (refresh.subtype !== REFRESH_END) real.call(this, peer, refresh);
          },
      ),
  },
  {
    name: 'what a key carries is mixed up',
    drawn: true,
    plant: () =>
      patch(
        NlriData.prototype,
        'intern',
        (real) =>
          function (this: NlriData, bytes, start, end) {
            const mixed = bytes.slice(start, end);
            if (end > start) mixed[mixed.length - 2]! ^= 1;
            return real.call(this, mixed, 0, mixed.length);
          },
      ),
  },
  {
    name: 'a reference to what a key carries is leaked now and then',
    drawn: true,
    plant: () => lose(NlriData.prototype, 'release', 31),
  },
];
