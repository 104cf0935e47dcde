// Tests the repository itself: import tiers, purity, sizes, names. A rule that a machine can check is checked
// here, so that reviews can be about what it cannot.

import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, posix } from 'node:path';
import { expect, test } from 'vitest';

/** Rooms by tier. A room imports only rooms of lower tiers. */
const tiers: Record<string, number> = {
  lib: 0,
  net: 1,
  wire: 2,
  netlink: 2,
  intent: 2,
  policy: 3,
  session: 3,
  bfd: 3,
  dataplane: 3,
  rpki: 3,
  rib: 4,
  router: 5,
  sim: 6,
  speaker: 6,
  guests: 6,
  gateway: 6,
  passthrough: 6,
  api: 7,
  lab: 7,
  daemon: 8,
  cli: 8,
};

/** Imports between rooms of one tier or upwards that are allowed all the same, each with its reason. */
const allowedEdges: Record<string, string> = {};

/** Rooms, or files of a room, that hold no I/O, clock or randomness. */
const pure = [
  /^src\/lib\/(?!atomic-file-real|clock-real|hash-key-real|thread-real|version)/,
  /^src\/(net|wire|session|policy|rpki|rib|router|sim)\//,
  /^src\/intent\/(?!files)/,
  /^src\/bfd\/(packet|engine|session-table|row-index)\.ts$/,
  /^src\/dataplane\/(desired|delta|fib-(state|event|objects|table|metrics|batches|ops|notice))\.ts$/,
  /^src\/lab\/(topology|clos|fabric-config|layout|graph|guest-plan|read-guests|announcement)\.ts$/,
  /^src\/guests\/(binding|ports|table[a-z-]*|kept|dhcp[a-z0-9-]*|own-side|kernel-turn|lxd-instance|drops|reserved)\.ts$/,
  /^src\/passthrough\/(nic-record|nic-plan|nic-routes|veth-desired|uplink-desired|trial|names|openperouter-status|kubernetes-resources)\.ts$/,
  /^src\/gateway\/(rendezvous|dhcp[a-z0-9-]*)\.ts$/,
  /^src\/dataplane\/guest-(wish|rules[a-z-]*|links-desired)\.ts$/,
  /^src\/(cli\/hook-(body|proxmox|libvirt)|daemon\/event-limit|speaker\/neighbour-limit)\.ts$/,
  /^src\/netlink\/(message|link|link-create|link-settings|bridge|address|route|nexthop|neighbour|whole-route|nft[a-z-]*|nflog-message|sock-diag)\.ts$/,
];

const impure =
  /\b(Date\.now|new Date\(|performance\.|setTimeout|setInterval|setImmediate|queueMicrotask|Math\.random|crypto\.|process\.|async |await |fetch\()|from 'node:/;

const sources = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { encoding: 'utf8' })
  .split('\n')
  .filter((path) => path !== '' && existsSync(path));
const code = sources.filter((path) => /^(src|test|bench|scripts)\/.*\.(ts|mjs)$/.test(path));
const product = code.filter((path) => path.startsWith('src/') && !path.endsWith('.test.ts'));
const text = new Map(code.map((path) => [path, readFileSync(path, 'utf8')]));

/** A file's text without comments and string contents that could fool a word search. */
function bare(path: string): string {
  return text
    .get(path)!
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/(^|[^:])\/\/.*$/gm, '$1');
}

function importsOf(path: string): string[] {
  return [...text.get(path)!.matchAll(/(?:from|import\()\s*'(\.{1,2}\/[^']+)'/g)].map((found) =>
    posix.normalize(posix.join(dirname(path), found[1]!)),
  );
}

const roomOf = (path: string): string => path.split('/')[1]!;

test('a room imports only rooms of lower tiers', () => {
  const wrong: string[] = [];
  for (const path of product) {
    const room = roomOf(path);
    expect(tiers, `${path}: the room has no tier`).toHaveProperty(room);
    for (const target of importsOf(path)) {
      if (!target.startsWith('src/')) {
        wrong.push(`${path} imports ${target}, outside src`);
        continue;
      }
      const other = roomOf(target);
      if (
        other !== room &&
        tiers[other]! >= tiers[room]! &&
        allowedEdges[`${room} -> ${other}`] === undefined
      )
        wrong.push(`${path} imports ${target}`);
    }
  }
  expect(wrong).toEqual([]);
});

test('pure rooms hold no I/O, clock or randomness', () => {
  const wrong: string[] = [];
  for (const path of product) {
    if (!pure.some((pattern) => pattern.test(path))) continue;
    const found = bare(path).match(impure);
    if (found) wrong.push(`${path}: ${found[0].trim()}`);
  }
  expect(wrong).toEqual([]);
});

test('only netlink/sys.ts touches libc', () => {
  const wrong = product.filter(
    (path) => path !== 'src/netlink/sys.ts' && /from 'koffi'/.test(text.get(path)!),
  );
  expect(wrong).toEqual([]);
});

test('files stay below 600 lines and 120 columns', () => {
  const wrong: string[] = [];
  for (const path of code) {
    const lines = text.get(path)!.split('\n');
    if (lines.length > 600) wrong.push(`${path}: ${lines.length} lines`);
    const long = lines.findIndex((line) => line.length > 120);
    if (long >= 0 && path.startsWith('src/'))
      wrong.push(`${path}:${long + 1}: ${lines[long]!.length} columns`);
  }
  expect(wrong).toEqual([]);
});

test('a file opens with why it exists', () => {
  const wrong = product.filter((path) => !/^(#!.*\n)?(\/\/|\/\*)/.test(text.get(path)!));
  expect(wrong).toEqual([]);
});

test('names say what a thing is', () => {
  const vague = /^(utils?|helpers?|common|types|core|misc|shared|manager)\.(ts|mjs)$/;
  const files = code.filter((path) => vague.test(basename(path)));
  const classes = product.flatMap((path) =>
    [...bare(path).matchAll(/\b(?:class|interface|type)\s+(\w*(?:Manager|Helper|Utils?|Impl)\b\w*)/g)].map(
      (found) => `${path}: ${found[1]}`,
    ),
  );
  expect([...files, ...classes]).toEqual([]);
});

test('no word of unfinished work, no skipped or exclusive test', () => {
  const wrong: string[] = [];
  for (const path of code) {
    if (path === 'test/tidy.test.ts') continue;
    const found = text
      .get(path)!
      .match(/\b(TODO|FIXME|XXX|HACK)\b|\b(it|test|describe)\.(only|todo)\b|\b(it|test)\.skip\(/);
    if (found) wrong.push(`${path}: ${found[0]}`);
  }
  expect(wrong).toEqual([]);
});

test('errors in the hot rooms are values: no throw but assertions and operator errors', () => {
  const wrong: string[] = [];
  for (const path of product.filter((p) => /^src\/(wire|session|rib)\//.test(p)))
    for (const found of bare(path).matchAll(/throw new (\w+)/g))
      if (found[1] !== 'LeafdError' && found[1] !== 'AssertionError')
        wrong.push(`${path}: throws ${found[1]}`);
  expect(wrong).toEqual([]);
});

test('every room has a README of at most 40 lines', () => {
  const wrong: string[] = [];
  for (const room of readdirSync('src')) {
    const readme = join('src', room, 'README.md');
    if (!existsSync(readme)) wrong.push(`${readme} is missing`);
    else if (readFileSync(readme, 'utf8').split('\n').length > 41) wrong.push(`${readme} is too long`);
  }
  expect(wrong).toEqual([]);
});

test('the lock file names no registry, the manifest only exact versions', () => {
  expect(readFileSync('package-lock.json', 'utf8')).not.toMatch(/"resolved"/);
  const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as Record<string, Record<string, string>>;
  const loose = ['dependencies', 'devDependencies', 'overrides']
    .flatMap((kind) => Object.entries(manifest[kind] ?? {}))
    .filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version));
  expect(loose).toEqual([]);
});
