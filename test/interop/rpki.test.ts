// Origin validation with a real cache (StayRTR of Debian) and a real neighbour (BIRD): routes are judged, refused by the
// policy, and judged anew when the cache's data change, without a reset and without asking the neighbour; data outlive
// the cache until they expire; a file of local exceptions counts beside it; a cache of version 0 is understood.

import { rmSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { stringify } from 'yaml';
import type { PeerDetailView, RoutesView, RouteView, RpkiView, WhyView } from '../../src/api/views.ts';
import { fabricOf, type Running, residentBytes, scratchFile, start, until } from '../support/fabric.ts';

const PEER = 65012;
const OTHER = 65099;
const mine = '198.51.100.0/24';
const theirs = '203.0.113.0/24';
const nobodys = '192.0.2.0/24';
const mine6 = '2001:db8:1::/48';

const bird = `
log stderr all;
router id 10.255.0.2;
protocol device { }
protocol static { ipv4; ${[mine, theirs, nobodys].map((one) => `route ${one} blackhole;`).join(' ')} }
protocol static { ipv6; route ${mine6} blackhole; }
protocol bgp r1 {
  local 10.0.1.1 as ${PEER}; neighbor 10.0.1.0 as 65001;
  connect delay time 1; connect retry time 1;
  ipv4 { import all; export all; };
  ipv6 { import all; export all; next hop address 2001:db8:ff::1; };
}
`;

const exceptions = scratchFile('exceptions.json', JSON.stringify({ roas: [] }));
const fabric = fabricOf(
  'rpki',
  stringify({
    nodes: {
      r1: {
        config: {
          bgp: {
            asn: 65001,
            routerId: '10.255.0.1',
            peers: [
              {
                name: 'b1',
                address: '10.0.1.1',
                remoteAs: PEER,
                families: ['ipv4', 'ipv6'],
                timers: { connectRetry: '1s' },
                import: 'no-invalid',
              },
            ],
          },
          policies: {
            'no-invalid': {
              default: 'accept',
              rules: [
                { name: 'invalid origin', match: { rpki: 'invalid' }, action: 'reject' },
                { name: 'valid origin', match: { rpki: 'valid' }, set: { localPref: 200 }, action: 'next' },
              ],
            },
          },
          rpki: {
            servers: [
              { address: '10.0.2.1', port: 3323, retry: '1s', expire: '8s', refresh: '4s' },
              { address: '10.0.2.1', port: 3324, retry: '1s', expire: '8s', refresh: '4s' },
            ],
            file: exceptions,
          },
          kernel: { fib: false },
        },
        ports: { num1: ['10.0.1.0/31', '2001:db8:ff::/127'], num2: ['10.0.2.0/31'] },
        sessions: 1,
      },
      b1: { kind: 'bird', config: bird, ports: { num1: ['10.0.1.1/31', '2001:db8:ff::1/127'] } },
      c: { kind: 'host', ports: { num2: ['10.0.2.1/31'] } },
    },
    links: [
      ['r1:num1', 'b1:num1'],
      ['r1:num2', 'c:num2'],
    ],
  }),
);

interface Roa {
  prefix: string;
  maxLength: number;
  asn: number;
}

const roa = (prefix: string, asn: number): Roa => ({ prefix, maxLength: Number(prefix.split('/')[1]), asn });
const dataFile = (name: string, roas: Roa[]): string =>
  scratchFile(name, JSON.stringify({ metadata: {}, roas }));

const caches: Running[] = [];

function startCache(file: string, port: number, protocol: 0 | 1 = 1): Running {
  const options = [
    '-bind',
    `10.0.2.1:${port}`,
    '-cache',
    file,
    '-protocol',
    String(protocol),
    '-refresh',
    '1',
  ];
  const quiet = ['-checktime=false', '-metrics.addr', ''];
  const cache = start(['ip', 'netns', 'exec', fabric.netns('c'), 'stayrtr', ...options, ...quiet]);
  caches.push(cache);
  return cache;
}

const routes = async (): Promise<Record<string, RouteView>> => {
  const view = await fabric.get<RoutesView>('r1', '/v1/routes?received=true&peer=b1&limit=1000');
  return Object.fromEntries(view.routes.map((route) => [route.prefix, route]));
};
const states = async (): Promise<Record<string, string>> =>
  Object.fromEntries(
    Object.values(await routes()).map(({ prefix, rpki, accepted }) => [
      prefix,
      `${rpki} ${accepted ? 'accepted' : 'refused'}`,
    ]),
  );
const becomes = (wanted: Record<string, string>, timeoutMs = 10_000) =>
  until(states, (seen) => Object.entries(wanted).every(([prefix, state]) => seen[prefix] === state), {
    timeoutMs,
    what: JSON.stringify(wanted),
  });
const rpki = () => fabric.get<RpkiView>('r1', '/v1/rpki');
const session = () => fabric.get<PeerDetailView>('r1', '/v1/peers/b1');

let first: Running;
let before: PeerDetailView;

beforeAll(async () => {
  await fabric.up({ waitSeconds: 20 });
});

afterAll(async () => {
  for (const cache of caches) await cache.stop();
  expect(await fabric.down()).toEqual([]);
});

it('without data every route is not found, and accepted', async () => {
  await becomes({ [mine]: 'notFound accepted', [theirs]: 'notFound accepted', [mine6]: 'notFound accepted' });
  const { exitCode, stdout } = await fabric.leafctl('r1', 'rpki');
  expect(exitCode).toBe(1);
  expect(stdout).toMatch(/10\.0\.2\.1 +3323 +(down|connecting)/);
});

it('with the data of a cache: valid, invalid, not found; the policy refuses the invalid one', async () => {
  before = await session();
  first = startCache(dataFile('vrps.json', [roa(mine, PEER), roa(theirs, OTHER), roa(mine6, PEER)]), 3323);
  await becomes({
    [mine]: 'valid accepted',
    [mine6]: 'valid accepted',
    [theirs]: 'invalid refused',
    [nobodys]: 'notFound accepted',
  });
  const view = await rpki();
  expect(view.servers[0]).toMatchObject({ state: 'synced', inUse: true, vrps: 3, version: 1 });
  expect(view.vrps).toBe(3);
});

it('why tells the rule and what the cache says', async () => {
  const why = await fabric.get<WhyView>('r1', `/v1/why?thing=${encodeURIComponent(theirs)}`);
  expect(why.paths[0]).toMatchObject({
    verdict: 'rejected',
    route: { rpki: 'invalid' },
    reason: { code: 'policy', rule: expect.stringContaining('invalid origin') },
  });
  expect(why.vrps).toEqual([{ prefix: theirs, maxLength: 24, asn: OTHER }]);
  const { stdout } = await fabric.leafctl('r1', 'why', theirs);
  expect(stdout).toContain(`rpki: AS ${OTHER} may announce ${theirs} up to /24`);
});

it('other data judge anew: no reset, no refresh asked of the neighbour', async () => {
  dataFile('vrps.json', [roa(mine, OTHER), roa(theirs, PEER), roa(mine6, PEER)]);
  await becomes({ [mine]: 'invalid refused', [theirs]: 'valid accepted', [mine6]: 'valid accepted' });
  const after = await session();
  expect(after.since).toBe(before.since);
  expect(after.established).toBe(1);
  expect(after.messages.sent.routeRefresh).toBe(before.messages.sent.routeRefresh);
  expect(after.messages.received.update).toBe(before.messages.received.update);
  expect((await rpki()).servers[0]).toMatchObject({ vrps: 3, serial: expect.any(Number) });
});

it('a local exception counts beside the cache, and goes again', async () => {
  scratchFile('exceptions.json', JSON.stringify({ roas: [roa(mine, PEER)] }));
  await becomes({ [mine]: 'valid accepted' });
  expect((await rpki()).file).toMatchObject({ path: exceptions, vrps: 1 });
  scratchFile('exceptions.json', '{"roas": [');
  await until(rpki, ({ file }) => file?.error !== undefined, {
    timeoutMs: 10_000,
    what: 'the broken file told',
  });
  expect(await states()).toMatchObject({ [mine]: 'valid accepted' });
  scratchFile('exceptions.json', JSON.stringify({ roas: [] }));
  await becomes({ [mine]: 'invalid refused' });
});

it('the data outlive the cache until they expire', async () => {
  await first.stop();
  await until(rpki, ({ servers }) => servers[0]!.state !== 'synced', {
    timeoutMs: 5000,
    what: 'the loss told',
  });
  const lostMs = performance.now();
  expect(await states()).toMatchObject({ [mine]: 'invalid refused' });
  expect((await rpki()).servers[0]).toMatchObject({ vrps: 3, lastError: { text: expect.any(String) } });
  await becomes({ [mine]: 'notFound accepted', [theirs]: 'notFound accepted' }, 12_000);
  // Refreshed at most four seconds before it was lost, the data had four left at least.
  expect(performance.now() - lostMs).toBeGreaterThan(3500);
  expect((await rpki()).vrps).toBe(0);
});

it('a cache of version 0 is understood, and the preferred one takes over when it comes back', async () => {
  startCache(dataFile('older.json', [roa(mine, OTHER)]), 3324, 0);
  await becomes({ [mine]: 'invalid refused', [theirs]: 'notFound accepted' }, 20_000);
  expect((await rpki()).servers[1]).toMatchObject({ inUse: true, version: 0, vrps: 1 });
  first = startCache(dataFile('vrps.json', [roa(mine, PEER), roa(theirs, OTHER)]), 3323);
  await becomes({ [mine]: 'valid accepted', [theirs]: 'invalid refused' }, 20_000);
  expect((await rpki()).servers.map(({ inUse }) => inUse)).toEqual([true, false]);
});

const MANY = process.env.LEAFD_TEST_LONG === '1' ? 500_000 : 200_000;

it(`${MANY} payloads come while the daemon goes on answering`, async () => {
  const roas: Roa[] = [roa(mine, OTHER)];
  for (let i = 0; roas.length < MANY; i++)
    roas.push({
      prefix: `${11 + (i >>> 16)}.${(i >>> 8) & 255}.${i & 255}.0/24`,
      maxLength: 24,
      asn: 1 + (i % 60_000),
    });
  const file = dataFile('vrps.json', roas);
  const pid = await fabric.pid('r1');
  const startedMs = performance.now();
  let slowestMs = 0;
  const seen = async (): Promise<number> => {
    const askedMs = performance.now();
    const { servers } = await rpki();
    slowestMs = Math.max(slowestMs, performance.now() - askedMs);
    return servers[0]!.vrps;
  };
  await until(seen, (vrps) => vrps === MANY, {
    timeoutMs: 60_000,
    everyMs: 20,
    what: 'all payloads',
  });
  await becomes({ [mine]: 'invalid refused' });
  const took = performance.now() - startedMs;
  const megabytes = residentBytes(pid) / 1e6;
  console.log(
    `${MANY} payloads after ${took.toFixed(0)} ms, slowest answer ${slowestMs.toFixed(0)} ms, leafd ${megabytes.toFixed(0)} MB`,
  );
  // Far more than it takes, far less than the payloads take: other processes may have the cores.
  expect(slowestMs).toBeLessThan(500);
  expect((await session()).since).toBe(before.since);
  rmSync(file);
});
