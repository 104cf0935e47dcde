// The interop matrix: a cell for every behaviour and foreign speaker. A cell is a test with evidence from both sides, a
// reference to a test elsewhere, or the page of the speaker's manual that shows that it lacks the behaviour. Every
// file prints the matrix as far as this run has filled it, with the counts; expected.json holds what there was, and a
// cell that worked and does no longer, or is called lacking now, fails.

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PeerDetailView, RoutesView, RouteView } from '../../../src/api/views.ts';
import { editConfig, type Fabric, root, run, scratchFile, sleep } from '../../support/fabric.ts';
import { type BehaviourId, behaviours } from './behaviours.ts';

export type Speaker = 'frr' | 'bird' | 'gobgp' | 'openbgpd' | 'exabgp';

/**
 * What there is to a behaviour with a speaker. `run` throws when it does not work; `alone`: disturbs others, so it runs
 * after them, by itself, in the order of the rows. `lacks`: manual and section. `seenIn`: a test file from the
 * project's root, and words of the title of the test.
 */
export type Cell =
  | { run: () => Promise<unknown>; alone?: boolean; timeoutMs?: number }
  | { lacks: string }
  | { seenIn: string; test: string };

export type Cells = Record<BehaviourId, Cell>;

/** A look at one side, and what must be in what it sees (as JSON text). */
export interface Claim {
  readonly side: 'leafd' | 'peer';
  readonly what: string;
  look(): Promise<unknown> | unknown;
  readonly wants: readonly Want[];
}

/** A text or pattern that must be there, `without(…)` one that must not, or a judgement of the thing seen. */
// biome-ignore lint/suspicious/noExplicitAny: a judgement knows what its own look sees.
export type Want = string | RegExp | { absent: RegExp } | ((seen: any) => boolean);

export const without = (absent: RegExp): Want => ({ absent });

/** What leafd shows (`leafctl -j`, which is its API). */
export const leafd = (what: string, look: () => unknown, ...wants: Want[]): Claim => {
  return { side: 'leafd', what: `leafd: ${what}`, look, wants };
};

/** What the foreign daemon shows in its own words. */
export const peer = (what: string, look: () => unknown, ...wants: Want[]): Claim => {
  return { side: 'peer', what: `peer: ${what}`, look, wants };
};

const textOf = (seen: unknown): string => (typeof seen === 'string' ? seen : (JSON.stringify(seen) ?? ''));

function meets(seen: unknown, want: Want): boolean {
  if (typeof want === 'function') {
    try {
      return want(seen);
    } catch {
      return false;
    }
  }
  const text = textOf(seen);
  if (typeof want === 'string') return text.includes(want);
  return want instanceof RegExp ? want.test(text) : !want.absent.test(text);
}

/** Looks again until a claim holds; throws with the want that is not met and what was seen. */
export async function holds(claim: Claim, timeoutMs = 15_000): Promise<void> {
  if (claim.wants.length === 0) throw new Error(`${claim.what}: wants nothing`);
  const deadline = performance.now() + timeoutMs;
  let everyMs = 100;
  for (;;) {
    let seen: unknown;
    let missing: Want | undefined;
    try {
      seen = await claim.look();
      missing = claim.wants.find((want) => !meets(seen, want));
    } catch (error) {
      // Who cannot look has not seen that something is absent.
      seen = `(${(error as Error).message})`;
      missing = 'a look';
    }
    if (missing === undefined) return;
    if (performance.now() > deadline) {
      const shown = typeof missing === 'object' && 'absent' in missing ? `no ${missing.absent}` : missing;
      throw new Error(`${claim.what}: wants ${shown}; sees ${textOf(seen).slice(0, 3000)}`);
    }
    await sleep(everyMs);
    everyMs = Math.min(everyMs * 1.5, 500);
  }
}

/** All claims come true, among them at least one of each side: a cell that asks only one side proves little. */
export async function agree(...claims: Claim[]): Promise<void> {
  for (const side of ['leafd', 'peer'])
    if (!claims.some((claim) => claim.side === side)) throw new Error(`no evidence of ${side}`);
  await Promise.all(claims.map((claim) => holds(claim)));
}

/** Routes a leafd node shows: of a prefix, a family, received from or advertised to a peer. */
export async function routes(
  fabric: Fabric,
  node: string,
  query: { prefix?: string; family?: string; peer?: string; received?: boolean; advertised?: boolean },
): Promise<RouteView[]> {
  const { received, advertised, ...rest } = query;
  const flags = {
    ...(received === true && { received: 'true' }),
    ...(advertised === true && { advertised: 'true' }),
  };
  const fields = new URLSearchParams({ limit: '1000', ...rest, ...flags });
  return (await fabric.get<RoutesView>(node, `/v1/routes?${fields}`)).routes;
}

/** A peer as a leafd node sees it. */
export const peerOf = (fabric: Fabric, node: string, name: string): Promise<PeerDetailView> =>
  fabric.get<PeerDetailView>(node, `/v1/peers/${encodeURIComponent(name)}`);

interface Column {
  speaker: Speaker;
  version: string;
  cells: Partial<Record<BehaviourId, 'ok' | 'lacks' | 'wrong'>>;
}

/** What a speaker's column holds at least: every behaviour but those it lacks works. */
interface Expected {
  ok: number;
  lacks: BehaviourId[];
}

const here = dirname(fileURLToPath(import.meta.url));
const expectedOf = (speaker: Speaker): Expected | undefined =>
  (JSON.parse(readFileSync(join(here, 'expected.json'), 'utf8')) as Record<string, Expected>)[speaker];

/** Columns of the files of one run, which are processes of one parent. */
const columnsDirectory = join(tmpdir(), `leafd-matrix-${process.ppid}`);

/**
 * The tests of one speaker. `up` makes its lab and `down` removes it, resolving to what is left of it; `version` says
 * which speaker it is.
 */
export function matrix(
  speaker: Speaker,
  lab: { up(): Promise<unknown>; down(): Promise<string[]>; version: readonly string[] },
  cells: Cells,
): void {
  const column: Column = { speaker, version: '', cells: {} };
  beforeAll(async () => {
    const { stdout, stderr } = await run(lab.version);
    column.version = `${stdout}${stderr}`.split('\n')[0]!.trim();
    await lab.up();
  });
  afterAll(async () => {
    const left = await lab.down();
    printMatrix(column);
    expect(left).toEqual([]);
  });
  describe(`${speaker}: side by side`, () => {
    for (const { id, title, rfc } of behaviours) {
      const cell = cells[id];
      const name = `${id}: ${title} (${rfc})`;
      if ('lacks' in cell)
        it(`${name}: lacks, ${cell.lacks}`, () => {
          column.cells[id] = 'lacks';
          expect(cell.lacks).toMatch(/\S.*, \S/);
        });
      else if ('seenIn' in cell)
        it(`${name}: see ${cell.seenIn}`, () => {
          column.cells[id] = 'wrong';
          expect(readFileSync(join(root, cell.seenIn), 'utf8')).toContain(cell.test);
          column.cells[id] = 'ok';
        });
      else if (cell.alone !== true)
        it.concurrent(name, () => fill(column, id, cell.run), cell.timeoutMs ?? 60_000);
    }
  });
  describe(`${speaker}: one by one`, () => {
    for (const { id, title, rfc } of behaviours) {
      const cell = cells[id];
      if ('run' in cell && cell.alone === true)
        it(`${id}: ${title} (${rfc})`, () => fill(column, id, cell.run), cell.timeoutMs ?? 60_000);
    }
  });
  it(`${speaker}: no behaviour that worked is missing`, () => {
    const words = Object.values(column.cells);
    const count = (word: string) => words.filter((one) => one === word).length;
    const expected = expectedOf(speaker);
    expect(words).toHaveLength(behaviours.length);
    expect(expected, `expected.json has no ${speaker}`).toBeDefined();
    const lacking = behaviours.map(({ id }) => id).filter((id) => column.cells[id] === 'lacks');
    expect(
      lacking.filter((id) => !expected!.lacks.includes(id)),
      'worked before',
    ).toEqual([]);
    expect(count('ok')).toBeGreaterThanOrEqual(expected!.ok);
  });
}

async function fill(column: Column, id: BehaviourId, work: () => Promise<unknown>): Promise<void> {
  column.cells[id] = 'wrong';
  await work();
  column.cells[id] = 'ok';
}

function printMatrix(own: Column): void {
  mkdirSync(columnsDirectory, { recursive: true });
  writeFileSync(join(columnsDirectory, `${own.speaker}.json`), JSON.stringify(own));
  const columns = readdirSync(columnsDirectory)
    .filter((file) => file.endsWith('.json') && existsSync(join(columnsDirectory, file)))
    .map((file) => JSON.parse(readFileSync(join(columnsDirectory, file), 'utf8')) as Column);
  const cell = (text: string) => text.padEnd(9);
  const lines = [`${''.padEnd(28)}${columns.map(({ speaker }) => cell(speaker)).join('')}`];
  for (const { id } of behaviours)
    lines.push(`${id.padEnd(28)}${columns.map(({ cells }) => cell(cells[id] ?? '-')).join('')}`.trimEnd());
  for (const word of ['ok', 'lacks', 'wrong'] as const) {
    const counts = columns.map(({ cells }) => Object.values(cells).filter((one) => one === word).length);
    lines.push(`${word.padEnd(28)}${counts.map((count) => cell(String(count))).join('')}`.trimEnd());
  }
  console.log([`interop matrix: ${columns.map(({ version }) => version).join('; ')}`, ...lines].join('\n'));
}

/** Work that must not overlap, in the order it is asked for. */
export function inTurn(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const mine = last.then(work);
    last = mine.catch(() => {});
    return mine;
  };
}

/** Changes the configurations of a lab's leafd nodes while they run, one change after the other. */
// biome-ignore lint/suspicious/noExplicitAny: a configuration is edited as data.
export function editor(fabric: Fabric): (node: string, edit: (config: any) => void) => Promise<void> {
  const texts = new Map<string, string>();
  const turn = inTurn();
  return (node, edit) =>
    turn(async () => {
      const text = editConfig(texts.get(node) ?? readFileSync(fabric.configOf(node), 'utf8'), edit);
      texts.set(node, text);
      const { exitCode, stdout, stderr } = await fabric.leafctl(
        node,
        'apply',
        scratchFile(`${node}.yaml`, text),
      );
      if (exitCode !== 0) throw new Error(`apply: ${stdout}${stderr}`);
    });
}
