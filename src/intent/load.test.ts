// The corpora are the evidence: every file of test/bad-config is refused at exactly the place its first line names,
// every file of test/good-config is taken. Here also: what resolving makes of a configuration, and that a secret
// never shows.

import { readdirSync, readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { localOptions } from './files.ts';
import { configError, type LoadResult, loadConfig, problemLines } from './load.ts';

const load = (...texts: string[]): LoadResult =>
  loadConfig(
    texts.map((text, index) => ({ file: `${index}.yaml`, text })),
    { hostname: 'leaf1' },
  );

/** Folders beside them hold resources of OpenPERouter. */
const configurationsOf = (folder: string): string[] =>
  readdirSync(folder).filter((name) => name.endsWith('.yaml'));

const head = 'bgp:\n  asn: 65101\n  routerId: 10.0.0.1\n  profile: fabric\n';
const peersOf = (text: string) => {
  const result = load(head + text);
  expect(problemLines(result.problems)).toEqual([]);
  return result.intent!.bgp.peers;
};

describe('refused, at the place', () => {
  const names = configurationsOf('test/bad-config').sort();
  test('there are many ways to be wrong', () => expect(names.length).toBeGreaterThan(80));
  test.each(names)('%s', (name) => {
    const text = readFileSync(`test/bad-config/${name}`, 'utf8');
    const expected = /^# expect: (.*)$/m.exec(text)![1];
    const result = loadConfig([{ file: name, text }], localOptions());
    const places = result.problems.map(({ where, path }) => `${where.line}:${where.column} ${path || '-'}`);
    expect(places.join(', ')).toBe(expected);
    expect(result.intent).toBeUndefined();
    for (const line of problemLines(result.problems)) expect(line).toMatch(/^\S+\.yaml:\d+:\d+: .*[a-z)]/);
    for (const secret of text.matchAll(/password: ([^,}\s]{3,})/g))
      expect(problemLines(result.problems).join('\n')).not.toContain(secret[1]!.replace(/^\W/, ''));
  });
});

describe('taken', () => {
  test.each(configurationsOf('test/good-config'))('%s', (name) => {
    const text = readFileSync(`test/good-config/${name}`, 'utf8');
    const result = loadConfig([{ file: name, text }], localOptions());
    expect(problemLines(result.problems)).toEqual([]);
    expect(problemLines(result.warnings)).toEqual([]);
    expect(result.intent).toBeDefined();
  });
});

test('the examples are good configurations, policies and all', () => {
  const names = readdirSync('examples').filter((name) => /^(?!.*\.lab\.).*\.yaml$/.test(name));
  expect(names.length).toBeGreaterThan(0);
  for (const name of names) {
    const text = readFileSync(`examples/${name}`, 'utf8');
    const result = loadConfig([{ file: name, text }], localOptions());
    expect(problemLines([...result.problems, ...result.warnings])).toEqual([]);
  }
});

describe('resolved', () => {
  test('defaults', () => {
    const { intent } = load('bgp: {asn: 65101, loopbacks: ["2001:db8::1/128", 10.0.0.11/32]}');
    expect(intent).toMatchObject({
      node: { name: 'leaf1', labels: {} },
      api: { socket: '/run/leafd/leafd.sock' },
      bgp: {
        routerId: 0x0a00000b,
        clusterId: 0x0a00000b,
        multipath: 16,
        gracefulRestart: { enabled: true, restartTimeMs: 120_000, stalePathTimeMs: 360_000 },
        redistribute: {},
      },
      kernel: { fib: true, nexthopCompat: 'auto', metric: 20, table: 254 },
    });
    expect(intent!.api.listen).toBeUndefined();
    expect(intent!.bgp.profile).toBeUndefined();
  });

  test('the peer wins over its group, the group over the default, timers one by one', () => {
    const [peer] = peersOf(`
  groups: {g: {remoteAs: internal, import: accept-all, timers: {hold: 30s, connectRetry: 2s}, port: 1179}}
  peers: [{address: 192.0.2.1, group: g, remoteAs: 65002, timers: {hold: 12s}}]`);
    expect(peer).toMatchObject({
      remoteAs: { kind: 'list', ranges: [[65002, 65002]] },
      import: ['accept-all'],
      port: 1179,
      timers: { holdMs: 12_000, keepaliveMs: 4000, connectRetryMs: 2000 },
    });
  });

  test('unnumbered peers are external and quick, numbered ones are not', () => {
    const [unnumbered, numbered] = peersOf(
      '  peers: [{interface: eth0}, {address: "fe80::1%eth1", remoteAs: any}]',
    );
    expect(unnumbered).toMatchObject({
      remoteAs: { kind: 'external' },
      timers: { holdMs: 9000, keepaliveMs: 3000 },
    });
    expect(numbered).toMatchObject({
      key: 'address fe80::1%eth1',
      where: { scope: 'eth1' },
      timers: { holdMs: 90_000, keepaliveMs: 30_000 },
    });
  });

  test('a hold time of zero has no keepalives', () => {
    expect(peersOf('  peers: [{interface: eth0, timers: {hold: 0s}}]')[0]!.timers).toMatchObject({
      holdMs: 0,
      keepaliveMs: 0,
    });
  });

  test('a peer may have its own password where the group has a file', () => {
    const [peer] = peersOf(
      '  groups: {g: {passwordFile: /nowhere}}\n  peers: [{interface: eth0, group: g, password: mine}]',
    );
    expect(peer!.password!.reveal()).toBe('mine');
  });

  test('policies take the shape of the policy room', () => {
    const { intent } = load(
      `${head}policies:\n  prefixSets: {a: [10.0.0.0/8]}\n  p:\n    rules:\n` +
        '      - {match: {prefixes: a}, set: {med: +10, localPref: -5}, action: next}\n',
    );
    expect(intent!.policies).toEqual({
      prefixSets: { a: ['10.0.0.0/8'] },
      policies: {
        p: { rules: [{ match: { prefixes: ['a'] }, set: { med: '+10', localPref: '-5' }, action: 'next' }] },
      },
    });
  });

  test('an external peer without policy and profile is warned of (RFC 8212), an internal one is not', () => {
    const { warnings } = load(
      'bgp:\n  asn: 65101\n  routerId: 10.0.0.1\n  peers:\n    - {interface: eth0, import: accept-all}\n' +
        '    - {address: 192.0.2.1, remoteAs: internal}\n    - {address: 192.0.2.2, remoteAs: 65101}\n',
    );
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatchObject({ path: 'bgp.peers.0', where: { line: 5, column: 7 } });
    expect(warnings[0]!.reason).toContain('sends no route');
  });
});

describe('guests', () => {
  test('defaults', () => {
    const { intent, warnings } = load(`${head}guests: {taps: ["tap*"]}`);
    expect(warnings).toEqual([]);
    expect(intent!.guests).toEqual({
      gatewayMac: Uint8Array.of(2, 0, 0x5e, 0, 1, 0x79),
      gateway4: Uint8Array.of(169, 254, 0, 1),
      gateway6: Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
      bridges: [],
      taps: ['tap*'],
      allowed: [],
      reserved: [],
      bindings: [],
      learn: {
        enabled: true,
        maxAddresses: 8,
        perSecond: 10,
        probeEveryMs: 30_000,
        forgetAfterMs: 300_000,
      },
      moves: {
        freshForMs: 30_000,
        expectForMs: 3_600_000,
        duplicateMoves: 5,
        duplicateWithinMs: 180_000,
        freshPreference: 200,
      },
      reach: { tcp: [], udp: [] },
      filter: true,
      metric: 1024,
      freshMetric: 512,
    });
    expect(load(head).intent!.guests).toBeUndefined();
  });

  test('words for what most want', () => {
    const { intent } = load(`${head}guests: {taps: [a], dhcp: true, lxd: true, gateways: ["fe80::2"]}`);
    expect(intent!.guests).toMatchObject({
      gateway4: Uint8Array.of(169, 254, 0, 1),
      dhcp: { dns: [], leaseTimeMs: 3_600_000 },
      lxd: { socket: '/var/lib/lxd/unix.socket' },
    });
    expect(intent!.guests!.gateway6[15]).toBe(2);
    const off = load(`${head}guests: {taps: [a], dhcp: {enabled: false, dns: [192.0.2.1]}, lxd: false}`)
      .intent!;
    expect(off.guests).not.toHaveProperty('dhcp');
    expect(off.guests).not.toHaveProperty('lxd');
  });

  test('bindings of two files are one list, and clash across them', () => {
    const { problems } = load(
      `${head}guests: {taps: ["tap*"], bind: [{name: a, port: tap1, addresses: [192.0.2.1]}]}`,
      'guests: {bind: [{name: b, port: tap2, addresses: [192.0.2.1/32]}]}',
    );
    expect(problemLines(problems)).toEqual([
      '1.yaml:1:51: guests.bind.1.addresses.0: is an address of a above',
    ]);
  });

  test('a section that names no port is warned of', () => {
    const { intent, warnings } = load(`${head}guests: {}`);
    expect(intent!.guests).toBeDefined();
    expect(problemLines(warnings)).toEqual([
      '0.yaml:5:1: guests: names neither bridges nor taps: no guest is looked after',
    ]);
  });

  test('thousands of bindings are judged quickly, one more than the limit is refused', () => {
    const binds = Array.from(
      { length: 4097 },
      (_, i) => `    - {name: g${i}, port: tap${i}, addresses: [10.9.${i >> 8}.${i & 255}]}`,
    );
    const section = (count: number) =>
      `${head}guests:\n  taps: ["tap*"]\n  bind:\n${binds.slice(0, count).join('\n')}\n`;
    const { intent } = load(section(4096));
    expect(intent!.guests!.bindings).toHaveLength(4096);
    expect(problemLines(load(section(4097)).problems)[0]).toContain('guests.bind: must have at most 4096');
  });
});

describe('several files', () => {
  test('sections and lists join', () => {
    const { intent } = load(
      `${head}  peers: [{interface: eth0}]`,
      'bgp: {peers: [{interface: eth1}]}\nnode: {name: a}',
    );
    expect(intent!.bgp.peers.map((peer) => peer.name)).toEqual(['eth0', 'eth1']);
    expect(intent!.node.name).toBe('a');
  });

  test('a value in two files is refused, naming both', () => {
    const { problems } = load(head, 'bgp:\n  asn: 65102\n');
    expect(problems[0]).toMatchObject({ where: { file: '1.yaml', line: 2, column: 8 }, path: 'bgp.asn' });
    expect(problems[0]!.reason).toContain('0.yaml:2:8');
  });

  test('a fault in a drop-in is placed there, with its own position', () => {
    const { problems } = load(
      `${head}  peers: [{interface: eth0}]`,
      'bgp:\n  peers:\n    - {interface: eth1, ports: 1}\n',
    );
    expect(problems[0]).toMatchObject({
      where: { file: '1.yaml', line: 3, column: 25 },
      path: 'bgp.peers.1.ports',
    });
  });
});

describe('limits', () => {
  test('a file of a billion laughs is refused quickly', () => {
    const levels = Array.from(
      { length: 30 },
      (_, i) => `l${i + 1}: &l${i + 1} [${`*l${i},`.repeat(9)}*l${i}]`,
    );
    const { problems } = load(`l0: &l0 ha\n${levels.join('\n')}\n`);
    expect(problems[0]!.reason).toMatch(/more than 100000 values/);
  });

  test('depth and size', () => {
    expect(load(`a: ${'['.repeat(50_000)}`).problems[0]!.reason).toBe('is nested too deeply');
    expect(load(`a: ${'{b: '.repeat(60)}1${'}'.repeat(60)}`).problems[0]!.reason).toBe(
      'is nested too deeply',
    );
    expect(load(`# ${'x'.repeat(1 << 20)}`).problems[0]!.reason).toBe('is larger than 1 MiB');
  });

  test('keys that mean something to JavaScript are only unknown keys', () => {
    const { problems } = load(`${head}__proto__: {a: 1}\nconstructor: 1\ntoString: 2\n`);
    expect(problems.map((one) => one.path).sort()).toEqual(['__proto__', 'constructor', 'toString']);
    expect(load(`${head}  peers: [{interface: eth0, group: toString}]`).problems[0]!.path).toBe(
      'bgp.peers.0.group',
    );
  });

  test('an anchor of the same name twice: an alias means the one before it', () => {
    const { intent } = load(`node: {labels: {a: &x one, b: *x, c: &x two, d: *x}}\n${head}`);
    expect(intent!.node.labels).toEqual({ a: 'one', b: 'one', c: 'two', d: 'two' });
  });
});

test('a map where a word is wanted is a problem, not an exception', () => {
  const { problems } = load(
    'bgp: {asn: 1, routerId: 1.1.1.1, profile: {a: 1}, peers: [{interface: e, families: [{a: 1}]}]}',
  );
  expect(problems.map((one) => one.path)).toEqual(['bgp.profile', 'bgp.peers.0.families.0']);
});

test('whatever the bytes, there is an intent or a placed problem, and never an exception', () => {
  const sources = configurationsOf('test/good-config').map((name) =>
    readFileSync(`test/good-config/${name}`, 'utf8'),
  );
  const scraps = fc.constantFrom(
    '*a',
    '&a ',
    '<<: ',
    '{',
    '}',
    '[',
    ']',
    '- ',
    ': ',
    '!x ',
    '"',
    "'",
    '\t',
    '\n',
    '0',
    '~',
    '|',
    '\0',
    '\u2028',
  );
  const edit = fc.tuple(fc.nat(), fc.nat(12), scraps);
  const mutated = fc
    .tuple(fc.constantFrom(...sources), fc.array(edit, { minLength: 1, maxLength: 4 }))
    .map(([text, edits]) =>
      edits.reduce((now, [at, cut, put]) => {
        const from = at % (now.length + 1);
        return now.slice(0, from) + put + now.slice(from + cut);
      }, text),
    );
  fc.assert(
    fc.property(
      fc.oneof({ weight: 9, arbitrary: mutated }, { weight: 1, arbitrary: fc.string() }),
      (text) => {
        const { intent, problems } = load(text);
        const lines = text.split(/\r?\n/).length;
        expect(intent === undefined).toBe(problems.length > 0);
        for (const { where, reason } of problems) {
          expect(reason).not.toBe('');
          expect(where.line).toBeLessThanOrEqual(lines + 1);
          expect(Math.min(where.line, where.column)).toBeGreaterThan(0);
        }
      },
    ),
    { numRuns: 1000 },
  );
});

test('secrets do not show', () => {
  const { intent } = load(`${head}  peers: [{interface: eth0, password: hunter2}]`);
  const { password } = intent!.bgp.peers[0]!;
  expect(JSON.stringify(intent) + inspect(intent, { depth: 9 }) + String(password)).not.toContain('hunter2');
  expect(password!.reveal()).toBe('hunter2');
});

test('the first problem as one error, with its place and the count of others', () => {
  const error = configError(load('bgp: {asn: 0}\nfoo: 1\nbar: 2\n').problems);
  expect(error.code).toBe('config-invalid');
  expect(error.where).toEqual({ file: '0.yaml', line: 1, column: 12 });
  expect(error.hint).toContain('2 more');
});

test('without a speaker neither an AS nor a router id is needed', () => {
  const bgpOf = (text: string) => load(text).intent?.bgp;
  expect(bgpOf('bgp: {speaker: none}')).toMatchObject({
    speaker: 'none',
    asn: 64512,
    routerId: 0xc000_0008,
    peers: [],
  });
  expect(bgpOf('bgp: {speaker: none, asn: 65001, loopbacks: [10.0.0.1/32]}')).toMatchObject({
    asn: 65001,
    routerId: 0x0a00_0001,
  });
  expect(bgpOf(`${head}  peers: [{interface: eth0}]`)).toMatchObject({ speaker: 'leafd' });
  expect(
    peersOf('  peers: [{interface: eth0, moves: false}, {address: 10.1.1.1, remoteAs: 1}]'),
  ).toMatchObject([{ moves: false }, {}]);
});
