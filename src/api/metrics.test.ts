// The text of a scrape, read back by a parser that forgives nothing; and that thousands of peers keep nobody waiting.

import { describe, expect, test } from 'vitest';
import { ip, neighbour, routeRig } from '../router/route-rig.test-data.ts';
import { encodeOpen } from '../wire/bgp/open.ts';
import { createApp } from './app.ts';
import { EventRing } from './events.ts';
import { labelsText, sampleLine } from './exposition.ts';
import { fakeBackend } from './fake-backend.ts';
import { fakePassthrough } from './fake-passthrough.ts';
import { type MetricsSource, metricsText } from './metrics.ts';
import { metricsSource } from './metrics-source.ts';
import { defaultLimits } from './stream.ts';

interface Family {
  type: string;
  help: string;
  /** Labels, as they are when the escapes are undone, by their JSON. */
  samples: Map<string, number>;
}

/** Throws for anything that the format does not allow, and for more than it asks: no family and no series twice. */
function parse(text: string): Map<string, Family> {
  const families = new Map<string, Family>();
  let current: { name: string; family: Family } | undefined;
  if (!text.endsWith('\n')) throw new Error('the last line does not end');
  const lines = text.slice(0, -1).split('\n');
  for (let at = 0; at < lines.length; at++) {
    const help = /^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) ((?:[^\\]|\\\\|\\n)*)$/.exec(lines[at]!);
    if (help) {
      const type = /^# TYPE (\S+) (counter|gauge)$/.exec(lines[++at] ?? '');
      if (type?.[1] !== help[1]) throw new Error(`no TYPE behind the HELP of ${help[1]}`);
      if (families.has(help[1]!)) throw new Error(`${help[1]} comes twice`);
      current = { name: help[1]!, family: { type: type![2]!, help: help[2]!, samples: new Map() } };
      families.set(current.name, current.family);
      continue;
    }
    const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (-?\d+(?:\.\d+)?(?:e[+-]\d+)?)$/.exec(
      lines[at]!,
    );
    if (!sample) throw new Error(`not a line: ${lines[at]}`);
    if (sample[1] !== current?.name) throw new Error(`${sample[1]} stands apart from its family`);
    const key = JSON.stringify(labelsOf(sample[2] ?? ''));
    if (current!.family.samples.has(key)) throw new Error(`${sample[1]}${key} comes twice`);
    current!.family.samples.set(key, Number(sample[3]));
  }
  for (const [name, { samples }] of families)
    if (samples.size === 0) throw new Error(`${name} has no samples`);
  return families;
}

function labelsOf(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  let rest = text;
  while (rest !== '') {
    const found = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\\\|\\"|\\n)*)"(?:,|$)/.exec(rest);
    if (!found) throw new Error(`not labels: ${text}`);
    labels[found[1]!] = found[2]!.replace(/\\(.)/g, (_, one: string) => (one === 'n' ? '\n' : one));
    rest = rest.slice(found[0].length);
  }
  return labels;
}

const app = (way: 'unix' | 'tcp', backend = fakeBackend()) =>
  createApp({
    backend,
    events: new EventRing(() => 0, 8),
    way,
    limits: defaultLimits,
    mayWrite: () => false,
    onBug: () => {},
  });

const of = (family: Family | undefined, labels: Record<string, string>): number | undefined =>
  family?.samples.get(JSON.stringify(labels));

describe('a scrape', () => {
  test.each(['unix', 'tcp'] as const)('over %s has the words that users of MetalLB graph', async (way) => {
    const answer = await app(way).inject({ url: '/metrics', headers: { host: '127.0.0.1:7179' } });
    expect(answer.statusCode).toBe(200);
    expect(answer.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    const families = parse(answer.body);
    const eth0 = { peer: 'eth0', vrf: '' };
    const values = [...families].flatMap(([name, family]) => {
      const value = of(family, eth0);
      return value === undefined ? [] : [`${name} ${family.type} ${value}`];
    });
    expect(values).toEqual([
      'leafd_bgp_session_up gauge 1',
      'leafd_bgp_announced_prefixes_total gauge 7',
      'leafd_bgp_received_prefixes_total gauge 12',
      'leafd_bgp_updates_total counter 5',
      'leafd_bgp_updates_total_received counter 9',
      'leafd_bgp_opens_sent counter 1',
      'leafd_bgp_opens_received counter 1',
      'leafd_bgp_notifications_sent counter 0',
      'leafd_bgp_keepalives_sent counter 1240',
      'leafd_bgp_keepalives_received counter 1238',
      'leafd_bgp_route_refresh_sent counter 2',
      'leafd_bgp_total_sent counter 1248',
      'leafd_bgp_total_received counter 1251',
      'leafd_bfd_session_up gauge 1',
      'leafd_bfd_control_packet_input counter 4000',
      'leafd_bfd_control_packet_output counter 4100',
    ]);
    expect(of(families.get('leafd_build_info'), { version: '0.1.0' })).toBe(1);
    expect(of(families.get('leafd_kernel_routes'), { state: 'installed' })).toBe(18);
    expect(of(families.get('leafd_process_resident_memory_bytes'), {})).toBe(60_000_000);
    expect(families.get('leafd_process_cpu_seconds_total')).toMatchObject({ type: 'counter' });
  });

  test('names with quotes, backslashes and line ends arrive as they are; who has no BFD has no such line', async () => {
    const families = parse((await app('unix').inject('/metrics')).body);
    const odd = { peer: 'a "b\\c\nd', vrf: '' };
    expect(of(families.get('leafd_bgp_session_up'), odd)).toBe(0);
    expect(of(families.get('leafd_bfd_session_up'), odd)).toBeUndefined();
  });

  test('without peers, kernel and passthrough: no family without samples', async () => {
    const source: MetricsSource = { ...fakeBackend().metrics(), peers: () => [], kernel: undefined };
    const names = [...parse((await metricsText(source, undefined)).join('')).keys()];
    expect(names).toEqual([
      'leafd_build_info',
      'leafd_process_resident_memory_bytes',
      'leafd_process_cpu_seconds_total',
      'leafd_process_start_time_seconds',
      'leafd_process_event_loop_busy_seconds_total',
    ]);
  });

  test('the state of passthrough: the one it is in is 1', async () => {
    const backend = fakeBackend();
    backend.passthrough = fakePassthrough(backend.asked);
    const { samples } = parse((await app('unix', backend).inject('/metrics')).body).get(
      'leafd_passthrough_state',
    )!;
    expect(Object.fromEntries(samples)).toEqual({
      '{"state":"up"}': 0,
      '{"state":"degraded"}': 1,
      '{"state":"down"}': 0,
      '{"state":"rolledBack"}': 0,
    });
  });

  test('of another machine by name is refused, like everything over TCP', async () => {
    const answer = await app('tcp').inject({ url: '/metrics', headers: { host: 'evil.example' } });
    expect(answer.statusCode).toBe(403);
  });
});

test('numbers as Go reads them', () => {
  const text = [1.5, 1e21, Number.NaN, Number.POSITIVE_INFINITY].map((value) => sampleLine('a', '', value));
  expect(text).toEqual(['a 1.5\n', 'a 1e+21\n', 'a NaN\n', 'a +Inf\n']);
  expect(labelsText({})).toBe('');
});

describe('of a router', () => {
  const far = '192.0.2.2';

  test('messages and prefixes of a peer are those that the router counts', async () => {
    const { router } = routeRig([neighbour(far, { name: 'a' }), neighbour('192.0.2.3', { name: 'b' })]);
    const peer = router.incoming(ip(far), 2)!;
    const connection = router.sessions.newConnection();
    router.accepted(peer, connection, ip('192.0.2.1'));
    router.received(connection, encodeOpen({ asn: 65002, holdTimeS: 90, bgpId: 2, capabilities: [] }));
    const families = parse((await metricsText(metricsSource({ router, version: '1' }), undefined)).join(''));
    const a = { peer: 'a', vrf: '' };
    expect(of(families.get('leafd_bgp_opens_received'), a)).toBe(1);
    expect(of(families.get('leafd_bgp_opens_sent'), a)).toBe(1);
    expect(of(families.get('leafd_bgp_session_up'), a)).toBe(0);
    expect(families.get('leafd_bgp_session_up')!.samples.size).toBe(2);
    expect(families.has('leafd_kernel_routes')).toBe(false);
  });

  test('a peer that goes during a scrape is left out, one of the same name does not come twice', () => {
    const { router } = routeRig([neighbour(far, { name: 'a' }), neighbour('192.0.2.3', { name: 'b' })]);
    const rows = metricsSource({ router, version: '1' }).peers()[Symbol.iterator]();
    expect(rows.next().value).toMatchObject({ peer: 'a' });
    const { byName } = router.directory;
    byName.set('b', { ...byName.get('b')! });
    expect(rows.next().done).toBe(true);
  });
});

test('thousands of peers: others have their turn between slices', async () => {
  const messages = new Uint32Array(6);
  const source: MetricsSource = {
    ...fakeBackend().metrics(),
    *peers() {
      for (let at = 0; at < 20_000; at++)
        yield {
          peer: `198.18.${at >> 8}.${at & 255}`,
          up: true,
          announced: at,
          received: at,
          messagesSent: messages,
          messagesReceived: messages,
        };
    },
  };
  let pauses = 0;
  const pieces = await metricsText(source, undefined, async () => void pauses++);
  expect(parse(pieces.join('')).get('leafd_bgp_session_up')!.samples.size).toBe(20_000);
  // 20,000 peers are far more than one slice of two milliseconds on any machine.
  expect(pauses).toBeGreaterThan(3);
  expect(Math.max(...pieces.map((one) => one.length))).toBeLessThan(4 << 20);
});
