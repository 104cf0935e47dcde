import { describe, expect, test } from 'vitest';
import { Rng } from '../lib/rng.ts';
import { BfdEngine, DEADLINE, NOW, type Target, type Timing } from './engine.ts';
import {
  ADMIN_DOWN,
  AUTHENTICATED,
  BAD_TTL,
  DIAG_ADMIN_DOWN,
  DIAG_DETECTION_EXPIRED,
  DIAG_NEIGHBOR_DOWN,
  DIAG_NONE,
  DOWN,
  desiredMinTxOf,
  diagnosticOf,
  FLAG_AUTH,
  FLAG_CPI,
  FLAG_DEMAND,
  FLAG_FINAL,
  FLAG_POLL,
  flagsOf,
  INIT,
  myDiscriminatorOf,
  NO_YOUR_DISCRIMINATOR,
  requiredMinRxOf,
  stateNames,
  stateOf,
  TAKEN,
  UNKNOWN_DISCRIMINATOR,
  UNKNOWN_SENDER,
  UP,
  WE_ARE_ADMIN_DOWN,
  WRONG_PORT,
  writePacket,
  yourDiscriminatorOf,
} from './packet.ts';
import { FREE, SessionTable, writeAddress } from './session-table.ts';

const timing: Timing = { minTxMs: 50, minRxMs: 50, multiplier: 3, passive: false, minTtl: 254 };
const A = Uint8Array.of(10, 0, 0, 1);
const B = Uint8Array.of(10, 0, 0, 2);
const OURS = 0x1111_1111;
const THEIRS = 0x9999_9999;

const words = (address: Uint8Array): Int32Array => {
  const column = new Int32Array(4);
  writeAddress(column, 0, address);
  return column;
};

/** One engine, a clock, and a log of what it sent and told. */
function bench(target: Partial<Target> = {}, settings: Partial<Timing> = {}, capacity = 8) {
  const table = new SessionTable(capacity);
  const sent: { row: number; atMs: number; bytes: Uint8Array }[] = [];
  const changes: string[] = [];
  const freed: number[] = [];
  const world = { nowMs: 1000, jitter: 1 };
  const self = {
    world,
    get nowMs(): number {
      return world.nowMs;
    },
    table,
    sent,
    changes,
    freed,
    engine: new BfdEngine(table, {
      send: (row, packet) => {
        sent.push({ row, atMs: world.nowMs, bytes: packet.slice() });
        return true;
      },
      changed: (row) => changes.push(stateNames[table.sessionState[row]!]!),
      freed: (row) => freed.push(row),
      random: () => Math.round(world.jitter * 1024),
    }),
    /** What the peer says, with its and our discriminator unless told otherwise. */
    hear(state: number, options: Partial<HeardOptions> = {}): number {
      const bytes = new Uint8Array(24);
      const o = { ...heard, ...options };
      writePacket(bytes, 0, state, o.flags, o.multiplier, o.mine, o.your, o.txUs, o.rxUs);
      if (o.flags & FLAG_AUTH) bytes[3] = 26;
      const padded = new Uint8Array(32);
      padded.set(bytes);
      const length = o.flags & FLAG_AUTH ? 26 : 24;
      return self.engine.receive(padded, length, o.ttl, o.ifindex, words(o.source), words(A), o.multihop);
    },
    /** Lets time pass, with every deadline in between. */
    run(ms: number, drained = true): void {
      const end = world.nowMs + ms;
      for (;;) {
        const next = self.engine.clock[DEADLINE]!;
        if (next > end) break;
        self.setClock(Math.max(world.nowMs, next));
        self.engine.tick(drained);
        if (!drained) break;
      }
      self.setClock(end);
      self.engine.tick(drained);
    },
    setClock(ms: number): void {
      world.nowMs = ms;
      self.engine.clock[NOW] = ms;
    },
    last: () => sent.at(-1)!.bytes,
    up(options: Partial<HeardOptions> = {}): void {
      self.hear(DOWN, { your: 0, ...options });
      self.hear(UP, options);
      self.hear(UP, { ...options, flags: FLAG_FINAL | (options.flags ?? 0) });
      expect(table.sessionState[0]).toBe(UP);
      expect(table.polling[0]).toBe(0);
      sent.length = 0;
      changes.length = 0;
    },
  };
  self.setClock(world.nowMs);
  self.engine.add(
    0,
    { remote: B, ifindex: 7, multihop: false, settings: { ...timing, ...settings }, ...target },
    OURS,
  );
  return self;
}

interface HeardOptions {
  flags: number;
  multiplier: number;
  mine: number;
  your: number;
  txUs: number;
  rxUs: number;
  ttl: number;
  ifindex: number;
  source: Uint8Array;
  multihop: boolean;
}
const heard: HeardOptions = {
  flags: 0,
  multiplier: 3,
  mine: THEIRS,
  your: OURS,
  txUs: 50_000,
  rxUs: 50_000,
  ttl: 255,
  ifindex: 7,
  source: B,
  multihop: false,
};

describe('states (section 6.8.6)', () => {
  // Our state, what the peer says, our next state; the diagnostic where the table gives one.
  const rows: [number, number, number, number?][] = [
    [DOWN, ADMIN_DOWN, DOWN],
    [DOWN, DOWN, INIT],
    [DOWN, INIT, UP],
    [DOWN, UP, DOWN],
    [INIT, ADMIN_DOWN, DOWN, DIAG_NEIGHBOR_DOWN],
    [INIT, DOWN, INIT],
    [INIT, INIT, UP],
    [INIT, UP, UP],
    [UP, ADMIN_DOWN, DOWN, DIAG_NEIGHBOR_DOWN],
    [UP, DOWN, DOWN, DIAG_NEIGHBOR_DOWN],
    [UP, INIT, UP],
    [UP, UP, UP],
    [ADMIN_DOWN, ADMIN_DOWN, ADMIN_DOWN, DIAG_ADMIN_DOWN],
    [ADMIN_DOWN, DOWN, ADMIN_DOWN, DIAG_ADMIN_DOWN],
    [ADMIN_DOWN, INIT, ADMIN_DOWN, DIAG_ADMIN_DOWN],
    [ADMIN_DOWN, UP, ADMIN_DOWN, DIAG_ADMIN_DOWN],
  ];
  test.each(rows)('%i hears %i: %i', (ours, told, next, diagnostic = DIAG_NONE) => {
    const b = bench();
    if (ours === INIT) b.hear(DOWN, { your: 0 });
    if (ours >= UP || ours === ADMIN_DOWN) b.up();
    if (ours === ADMIN_DOWN) b.engine.leave(0);
    expect(b.table.sessionState[0]).toBe(ours);
    b.changes.length = 0;
    b.sent.length = 0;
    expect(b.hear(told)).toBe(ours === ADMIN_DOWN ? WE_ARE_ADMIN_DOWN : TAKEN);
    expect(b.table.sessionState[0]).toBe(next);
    expect(b.table.localDiag[0]).toBe(diagnostic);
    expect(b.table.remoteState[0]).toBe(told);
    // News are told to the client and, at once, to the peer.
    expect(b.changes).toEqual(ours === next ? [] : [stateNames[next]]);
    expect(b.sent.map(({ bytes }) => stateOf(bytes))).toEqual(ours === next ? [] : [next]);
  });

  test('Poll is answered with Final in every state but AdminDown, once, without Poll', () => {
    for (const told of [DOWN, INIT, UP]) {
      const b = bench();
      b.run(0);
      b.sent.length = 0;
      b.hear(told, { flags: FLAG_POLL });
      expect(b.sent.map(({ bytes }) => flagsOf(bytes))).toEqual([FLAG_FINAL]);
    }
    const b = bench();
    b.up();
    b.engine.leave(0);
    b.sent.length = 0;
    b.hear(UP, { flags: FLAG_POLL });
    expect(b.sent).toEqual([]);
  });

  test('a session is Init until the peer has heard of us, and counts its flaps', () => {
    const b = bench();
    b.hear(DOWN, { your: 0 });
    expect(yourDiscriminatorOf(b.last())).toBe(THEIRS);
    expect(myDiscriminatorOf(b.last())).toBe(OURS);
    b.hear(INIT);
    b.hear(DOWN);
    expect(b.changes).toEqual(['init', 'up', 'down']);
    expect(b.table.flaps[0]).toBe(1);
  });
});

describe('what is discarded (section 6.8.6)', () => {
  const strange = Uint8Array.of(10, 0, 0, 9);
  test.each<[string, number, Partial<HeardOptions>, number]>([
    ['a discriminator of no session', UP, { your: 5 }, UNKNOWN_DISCRIMINATOR],
    ['no Your Discriminator in Init', INIT, { your: 0 }, NO_YOUR_DISCRIMINATOR],
    ['no Your Discriminator in Up', UP, { your: 0 }, NO_YOUR_DISCRIMINATOR],
    ['a stranger', DOWN, { your: 0, source: strange }, UNKNOWN_SENDER],
    ['the peer on another link', DOWN, { your: 0, ifindex: 8 }, UNKNOWN_SENDER],
    ['authentication', DOWN, { flags: FLAG_AUTH }, AUTHENTICATED],
    ['TTL 254', DOWN, {}, BAD_TTL],
    ['TTL 0', DOWN, { ttl: 0 }, BAD_TTL],
    ['the multihop port', DOWN, { multihop: true }, WRONG_PORT],
    ['a stranger who knows the discriminator is the session, section 6.3', DOWN, { source: strange }, TAKEN],
  ])('%s', (name, state, options, verdict) => {
    const b = bench();
    const ttl = name === 'TTL 254' ? { ttl: 254 } : {};
    expect(b.hear(state, { ...options, ...ttl })).toBe(verdict);
    expect(b.changes).toEqual(verdict === TAKEN ? ['init'] : []);
    expect(b.table.packetsIn[0]).toBe(verdict === TAKEN ? 1 : 0);
  });

  test('who does not know our discriminator cannot end a session; a peer that begins anew can, in time', () => {
    const b = bench();
    b.up();
    const before = b.table.detectAtMs[0];
    b.setClock(b.engine.clock[NOW]! + 1);
    for (const state of [DOWN, ADMIN_DOWN])
      expect(b.hear(state, { mine: 0xdead_beef, your: 0 })).toBe(NO_YOUR_DISCRIMINATOR);
    expect(b.table.sessionState[0]).toBe(UP);
    expect(b.table.remoteDiscr[0]).toBe(THEIRS);
    expect(b.table.detectAtMs[0]).toBe(before);
    b.run(before! - b.engine.clock[NOW]!);
    expect(b.changes).toEqual(['down']);
    expect(b.hear(DOWN, { mine: 0xdead_beef, your: 0 })).toBe(TAKEN);
    expect(b.table.remoteDiscr[0]).toBe(0xdead_beef);
  });

  test('the peer says that it has heard nothing of us by its own discriminator alone', () => {
    const b = bench();
    b.up();
    expect(b.hear(DOWN, { your: 0 })).toBe(TAKEN);
    expect(b.changes).toEqual(['down']);
  });

  test('a local address that was asked for is held to', () => {
    const b = bench({ local: Uint8Array.of(10, 0, 0, 77) });
    expect(b.hear(DOWN, { your: 0 })).toBe(UNKNOWN_SENDER);
    const same = bench({ local: A });
    expect(same.hear(DOWN, { your: 0 })).toBe(TAKEN);
  });

  test('several hops: the lowest TTL is configured, the link is any (RFC 5883)', () => {
    const b = bench({ multihop: true });
    expect(b.hear(DOWN, { your: 0, multihop: true, ttl: 253 })).toBe(BAD_TTL);
    expect(b.hear(DOWN, { your: 0, multihop: false })).toBe(UNKNOWN_SENDER);
    expect(b.hear(DOWN, { your: 0, multihop: true, ttl: 254, ifindex: 3 })).toBe(TAKEN);
    expect(b.hear(INIT, { multihop: false })).toBe(WRONG_PORT);
  });
});

describe('sending (section 6.8.7)', () => {
  test('once a second until Up, in the configured interval then', () => {
    const b = bench();
    b.run(3500);
    expect(b.sent.map(({ atMs }) => Math.round(atMs - 1000))).toEqual([0, 1000, 2000, 3000]);
    expect(b.sent.map(({ bytes }) => desiredMinTxOf(bytes))).toEqual(Array(4).fill(1_000_000));
    b.up();
    b.run(140);
    expect(b.sent.map(({ bytes }) => desiredMinTxOf(bytes))).toEqual([50_000, 50_000]);
  });

  test('jitter takes 0 to 25 %, at least 10 % where one loss is the end', () => {
    for (const [multiplier, jitter, wantedMs] of [
      [3, 0, 37.5],
      [3, 0.999999, 50],
      [1, 0, 37.5],
      [1, 0.999999, 45],
    ] as const) {
      const b = bench({}, { multiplier });
      b.world.jitter = jitter;
      b.up({ multiplier: 50 });
      b.run(1000);
      const gaps = b.sent.slice(1).map(({ atMs }, i) => atMs - b.sent[i]!.atMs);
      expect(gaps.length).toBeGreaterThan(10);
      for (const gap of gaps) expect(gap).toBeCloseTo(wantedMs, 2);
    }
  });

  test('never faster than the peer wants, not at all when it wants nothing', () => {
    const b = bench();
    b.up({ rxUs: 200_000, multiplier: 50 });
    b.run(900);
    expect(b.sent.length).toBe(4);
    b.hear(UP, { rxUs: 0, multiplier: 50 });
    b.sent.length = 0;
    b.run(900);
    expect(b.sent).toEqual([]);
    b.hear(UP, { rxUs: 50_000, multiplier: 50 });
    b.run(120);
    expect(b.sent.length).toBe(3);
  });

  test('a passive side waits to be spoken to, and falls silent with the peer', () => {
    const b = bench({}, { passive: true });
    b.run(5000);
    expect(b.sent).toEqual([]);
    b.up();
    b.run(151);
    expect(stateOf(b.last())).toBe(DOWN);
    b.sent.length = 0;
    b.run(5000);
    expect(b.sent).toEqual([]);
  });

  test('a peer in demand mode gets nothing but answers while both are Up', () => {
    const b = bench();
    b.up({ flags: FLAG_DEMAND, multiplier: 100 });
    b.run(1000);
    expect(b.sent).toEqual([]);
    b.hear(UP, { flags: FLAG_DEMAND | FLAG_POLL, multiplier: 100 });
    expect(b.sent.map(({ bytes }) => flagsOf(bytes))).toEqual([FLAG_FINAL]);
    // A change of ours is polled for all the same.
    b.engine.change(0, { ...timing, minTxMs: 100 });
    expect(flagsOf(b.last())).toBe(FLAG_POLL);
    b.hear(UP, { flags: FLAG_DEMAND | FLAG_FINAL, multiplier: 100 });
    b.sent.length = 0;
    b.run(1000);
    expect(b.sent).toEqual([]);
  });

  test('we are never demanding, multipoint, authenticated or independent of the control plane', () => {
    const b = bench();
    b.up();
    b.run(1000);
    for (const { bytes } of b.sent) expect(flagsOf(bytes) & ~(FLAG_POLL | FLAG_FINAL)).toBe(0);
    expect(b.hear(UP, { flags: FLAG_CPI })).toBe(TAKEN);
    expect(b.table.remoteFlags[0]).toBe(FLAG_CPI);
  });
});

describe('detection (section 6.8.4)', () => {
  test('the peer multiplier times the slower of what we take and it sends', () => {
    for (const [options, timeMs] of [
      [{ multiplier: 3, txUs: 50_000 }, 150],
      [{ multiplier: 5, txUs: 20_000 }, 250],
      [{ multiplier: 2, txUs: 300_000 }, 600],
    ] as const) {
      const b = bench();
      b.up(options);
      b.run(timeMs - 1);
      expect(b.changes).toEqual([]);
      b.run(1);
      expect(b.changes).toEqual(['down']);
      expect(b.table.localDiag[0]).toBe(DIAG_DETECTION_EXPIRED);
      const told = b.sent.find(({ bytes }) => stateOf(bytes) === DOWN)!;
      expect(diagnosticOf(told.bytes)).toBe(DIAG_DETECTION_EXPIRED);
      expect(desiredMinTxOf(told.bytes)).toBe(1_000_000);
      b.run(2000);
      // Whom we have not heard we no longer know.
      expect(yourDiscriminatorOf(b.last())).toBe(0);
    }
  });

  test('Init ends as well, Down only forgets the peer', () => {
    const b = bench();
    b.hear(DOWN, { your: 0, txUs: 1_000_000 });
    b.run(3001);
    expect(b.changes).toEqual(['init', 'down']);
    b.hear(UP, { txUs: 1_000_000 });
    expect(b.table.remoteDiscr[0]).toBe(THEIRS);
    b.run(3001);
    expect(b.changes).toEqual(['init', 'down']);
    expect(b.table.remoteDiscr[0]).toBe(0);
  });

  test('nobody is down while packets are unread, but not for ever', () => {
    const b = bench();
    b.up();
    b.run(200, false);
    expect(b.changes).toEqual([]);
    expect(b.hear(UP)).toBe(TAKEN);
    b.run(140);
    expect(b.changes).toEqual([]);
    b.run(320, false);
    expect(b.changes).toEqual(['down']);
  });

  test('a peer that comes back is Up again by the same session', () => {
    const b = bench();
    b.up();
    b.run(200);
    b.hear(DOWN, { your: 0 });
    b.hear(INIT);
    expect(b.changes).toEqual(['down', 'init', 'up']);
  });
});

describe('changed intervals (sections 6.5, 6.8.3)', () => {
  test('slower is polled for and holds after the answer; faster holds at once', () => {
    const b = bench();
    b.up({ multiplier: 100 });
    b.engine.change(0, { ...timing, minTxMs: 200 });
    expect(flagsOf(b.last())).toBe(FLAG_POLL);
    expect(desiredMinTxOf(b.last())).toBe(200_000);
    b.sent.length = 0;
    b.run(500);
    expect(b.sent.length).toBe(10);
    for (const { bytes } of b.sent) expect(flagsOf(bytes)).toBe(FLAG_POLL);
    b.hear(UP, { flags: FLAG_FINAL, multiplier: 100 });
    b.sent.length = 0;
    b.run(1000);
    expect(b.sent.length).toBe(5);
    expect(flagsOf(b.last())).toBe(0);
    b.engine.change(0, { ...timing, minTxMs: 50 });
    b.sent.length = 0;
    b.run(500);
    expect(b.sent.length).toBe(10);
  });

  test('a shorter detection time waits for the answer, a longer one does not', () => {
    const b = bench({}, { minRxMs: 100 });
    b.up();
    expect(b.table.detectionTimeUs(0)).toBe(300_000);
    b.engine.change(0, { ...timing, minRxMs: 60 });
    expect(requiredMinRxOf(b.last())).toBe(60_000);
    expect(b.table.detectionTimeUs(0)).toBe(300_000);
    b.hear(UP, { flags: FLAG_FINAL });
    expect(b.table.detectionTimeUs(0)).toBe(180_000);
    b.engine.change(0, { ...timing, minRxMs: 500 });
    expect(b.table.detectionTimeUs(0)).toBe(1_500_000);
  });

  test('a change during a Poll Sequence gets a sequence of its own', () => {
    const b = bench();
    b.up({ multiplier: 100 });
    b.engine.change(0, { ...timing, minTxMs: 200 });
    b.engine.change(0, { ...timing, minTxMs: 400 });
    b.hear(UP, { flags: FLAG_FINAL, multiplier: 100 });
    expect(b.table.txIntervalUs(0)).toBe(50_000);
    b.run(50);
    expect(flagsOf(b.last())).toBe(FLAG_POLL);
    b.hear(UP, { flags: FLAG_FINAL, multiplier: 100 });
    expect(b.table.txIntervalUs(0)).toBe(400_000);
  });

  test('the same again is no change', () => {
    const b = bench();
    b.up();
    b.engine.change(0, { ...timing });
    expect(b.sent).toEqual([]);
    expect(b.table.polling[0]).toBe(0);
  });

  test('a Final that nobody asked for changes nothing', () => {
    const b = bench();
    b.up();
    b.hear(UP, { flags: FLAG_FINAL });
    expect(b.sent).toEqual([]);
    expect(b.table.polling[0]).toBe(0);
  });
});

describe('the end of a session (section 6.8.16)', () => {
  test('is told twice within the detection time, then the row is free', () => {
    const b = bench();
    b.up();
    b.engine.leave(0);
    b.run(1000);
    expect(b.sent.map(({ bytes }) => [stateOf(bytes), diagnosticOf(bytes)])).toEqual([
      [ADMIN_DOWN, DIAG_ADMIN_DOWN],
      [ADMIN_DOWN, DIAG_ADMIN_DOWN],
    ]);
    expect(b.freed).toEqual([0]);
    expect(b.hear(UP)).toBe(UNKNOWN_DISCRIMINATOR);
  });

  test('makes room at once for another with the same peer', () => {
    const b = bench();
    b.up();
    b.engine.leave(0);
    b.engine.add(1, { remote: B, ifindex: 7, multihop: false, settings: timing }, 0x2222);
    expect(b.table.use[0]).toBe(FREE);
    expect(b.hear(DOWN, { your: 0 })).toBe(TAKEN);
    expect(b.table.sessionState[1]).toBe(INIT);
  });

  test('of a peer that was never heard is silent', () => {
    const b = bench();
    b.engine.leave(0);
    expect(b.freed).toEqual([0]);
    expect(b.sent).toEqual([]);
    b.run(1);
    expect(b.engine.clock[DEADLINE]).toBe(Number.POSITIVE_INFINITY);
  });
});

test('two thousand sessions come up against each other, lossy, and stay', () => {
  const count = 2000;
  const rng = new Rng(1);
  let nowMs = 0;
  const queue: { to: 0 | 1; row: number; bytes: Uint8Array }[] = [];
  const sides = ([0, 1] as const).map((side) => {
    const table = new SessionTable(count);
    const engine: BfdEngine = new BfdEngine(
      table,
      {
        send: (row, bytes) => {
          if (!rng.chance(0.02)) queue.push({ to: side === 0 ? 1 : 0, row, bytes: bytes.slice() });
          return true;
        },
        changed: () => {},
        freed: () => {},
        random: () => rng.below(1024),
      },
      rng.u32(),
    );
    return { table, engine };
  });
  const address = (row: number, side: number) => Uint8Array.of(10, row >> 8, row, side);
  const settings = { ...timing, multiplier: 10 };
  for (let row = 0; row < count; row++)
    sides.forEach(({ engine }, side) => {
      const target = { remote: address(row, 1 - side), ifindex: row, multihop: false, settings };
      engine.add(row, target, 1 + rng.below(2 ** 32 - 1));
    });
  let taken = 0;
  for (; nowMs < 4000; nowMs += 5) {
    for (const { engine } of sides) engine.clock[NOW] = nowMs;
    for (const { to, row, bytes } of queue.splice(0)) {
      const source = words(address(row, 1 - to));
      const verdict = sides[to]!.engine.receive(bytes, 24, 255, row, source, words(A), false);
      expect(verdict).toBe(TAKEN);
      taken++;
    }
    for (const { engine } of sides) engine.tick(true);
  }
  for (const { table } of sides) {
    expect(table.sessionState.every((state) => state === UP)).toBe(true);
    expect(table.flaps.every((flaps) => flaps === 0)).toBe(true);
    expect(table.polling.every((polling) => polling === 0)).toBe(true);
  }
  expect(taken).toBeGreaterThan(count * 50);
});

test('no packet breaks it: any bytes, from anybody, at any time', () => {
  const rng = new Rng(6886);
  const b = bench();
  b.engine.add(1, { remote: A, ifindex: 7, multihop: true, settings: timing }, 0x2222_2222);
  const bytes = new Uint8Array(32);
  const verdicts = new Set<number>();
  for (let i = 0; i < 20_000; i++) {
    for (let at = 0; at < 32; at++) bytes[at] = rng.below(256);
    bytes[0] = 0x20 | rng.below(32);
    bytes[1] =
      (rng.below(4) << 6) |
      (rng.chance(0.9) ? rng.pick([0, FLAG_POLL, FLAG_FINAL, FLAG_DEMAND]) : rng.below(64));
    bytes[3] = rng.pick([24, 28]);
    if (rng.chance(0.9)) bytes.fill(rng.pick([0x11, 0x22, 0]), 8, 12);
    if (rng.chance(0.5)) bytes.set([0, 0, 0, rng.below(3)], rng.pick([12, 16]));
    const source = words(rng.pick([A, B]));
    verdicts.add(b.engine.receive(bytes, 32, rng.pick([255, 254, 64]), 7, source, words(A), rng.chance(0.3)));
    if (rng.chance(0.01)) b.run(rng.below(400));
    if (rng.chance(0.001)) b.engine.change(0, { ...timing, minTxMs: 10 + rng.below(100) });
    if (rng.chance(0.001)) {
      b.engine.leave(1);
      b.run(10_000);
      b.engine.add(1, { remote: A, ifindex: 7, multihop: true, settings: timing }, 0x2222_2222);
    }
    b.sent.length = 0;
    expect(b.table.sessionState[0]).toBeGreaterThan(ADMIN_DOWN);
    // Whoever is not Down is waited for, and what is not silent will be sent.
    if (b.table.sessionState[0]! > DOWN) expect(b.table.detectAtMs[0]).toBeLessThan(Number.POSITIVE_INFINITY);
    expect(b.engine.clock[DEADLINE]).not.toBeNaN();
  }
  for (const verdict of [
    TAKEN,
    BAD_TTL,
    UNKNOWN_DISCRIMINATOR,
    NO_YOUR_DISCRIMINATOR,
    AUTHENTICATED,
    WRONG_PORT,
  ])
    expect(verdicts).toContain(verdict);
  expect(b.table.flaps[0]).toBeGreaterThan(10);
});
