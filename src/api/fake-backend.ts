// A backend with a fixed small fabric in it, for tests of the API and of leafctl's rendering: no daemon, no sockets.

import type { Backend, ConfigFile, RoutesQuery } from './backend.ts';
import { fakeGuests } from './fake-guests.ts';
import { type FakePassthrough, fakeMetrics } from './fake-passthrough.ts';
import type {
  KernelView,
  PeerDetailView,
  PeerView,
  RouteView,
  RpkiView,
  StatusView,
  WhyView,
} from './views.ts';

const started = '2026-01-02T03:04:05.000Z';

export const fakePeer: PeerView = {
  name: 'eth0',
  kind: 'interface',
  dynamic: true,
  remoteAs: 'external',
  remoteAsn: 65201,
  interface: 'eth0',
  address: 'fe80::1',
  hostname: 'spine1',
  state: 'established',
  adminDown: false,
  since: started,
  sinceSeconds: 3725,
  families: ['ipv4', 'ipv6'],
  received: 12,
  accepted: 11,
  advertised: 7,
};

export const fakeDownPeer: PeerView = {
  name: '192.0.2.1',
  kind: 'address',
  dynamic: false,
  remoteAs: '64512',
  address: '192.0.2.1',
  state: 'active',
  adminDown: false,
  families: ['ipv4'],
  received: 0,
  accepted: 0,
  advertised: 0,
  reason: 'connection refused',
};

export const fakeRoute: RouteView = {
  family: 'ipv4',
  prefix: '10.0.0.12/32',
  best: true,
  multipath: false,
  accepted: true,
  stale: false,
  source: 'bgp',
  peer: 'eth0',
  nextHop: 'fe80::1',
  interface: 'eth0',
  reachable: true,
  since: started,
  ageSeconds: 90,
  attributes: { origin: 'igp', asPath: '65201 65102', asPathLength: 2, communities: ['65000:1'] },
  kernel: 'installed',
};

const lost: RouteView = {
  ...fakeRoute,
  best: false,
  peer: '192.0.2.1',
  nextHop: '192.0.2.1',
  interface: 'eth1',
  attributes: { origin: 'igp', asPath: '64512 65201 65102', asPathLength: 3 },
  reason: { code: 'as-path-length', text: 'its AS path is longer: 3 against 2', rule: 'RFC 4271 9.1.2.2 a' },
};

export const fakeStatus: StatusView = {
  node: 'leaf1',
  labels: { rack: 'r12' },
  version: '0.1.0',
  pid: 4711,
  startedAt: started,
  uptimeSeconds: 90_061,
  bgp: {
    asn: 65101,
    routerId: '10.0.0.11',
    profile: 'fabric',
    peers: { configured: 2, known: 2, established: 1 },
  },
  routes: [
    { family: 'ipv4', prefixes: 12, paths: 24 },
    { family: 'ipv6', prefixes: 6, paths: 12 },
  ],
  kernel: { fib: true, installed: 18, pending: 0, failed: 0 },
  config: { files: ['/etc/leafd/leafd.yaml'], loadedAt: started },
  memoryBytes: 60_000_000,
};

const counts = { open: 1, update: 5, notification: 0, keepalive: 1240, routeRefresh: 0 };

export const fakePeerDetail: PeerDetailView = {
  ...fakePeer,
  internal: false,
  local: { asn: 65101, routerId: '10.0.0.11', address: 'fe80::2', port: 179 },
  remote: { routerId: '10.0.0.1', address: 'fe80::1', port: 40_000, hostname: 'spine1' },
  timers: {
    configured: { holdSeconds: 9, keepaliveSeconds: 3, connectRetrySeconds: 1 },
    negotiated: { holdSeconds: 9, keepaliveSeconds: 3 },
  },
  capabilities: { sent: ['multiprotocol ipv4', 'asn4'], received: ['multiprotocol ipv4', 'asn4'] },
  messages: { sent: counts, received: counts },
  byFamily: [
    {
      family: 'ipv4',
      received: 12,
      accepted: 11,
      rejected: 1,
      stale: 0,
      advertised: 7,
      endOfRibReceived: true,
      endOfRibSent: true,
    },
  ],
  established: 1,
  authenticated: true,
};

const why: WhyView = {
  thing: '10.0.0.12/32',
  kind: 'prefix',
  summary: '10.0.0.12/32 goes through eth0 (spine1): the shortest AS path of 2',
  prefix: '10.0.0.12/32',
  winner: fakeRoute,
  paths: [
    { route: fakeRoute, verdict: 'best', reason: { code: 'best', text: 'the shortest AS path' } },
    { route: lost, verdict: 'lost', reason: lost.reason! },
  ],
  kernel: {
    prefix: '10.0.0.12/32',
    state: 'installed',
    nextHops: [{ gateway: 'fe80::1', interface: 'eth0', weight: 1 }],
  },
  advertised: [{ peer: 'eth0', sent: false, reason: { code: 'split-horizon', text: 'it came from there' } }],
};

export const fakeRpki: RpkiView = {
  enabled: true,
  servers: [
    {
      address: '192.0.2.3',
      port: 3323,
      state: 'synced',
      inUse: true,
      vrps: 500_000,
      version: 1,
      sessionId: 7,
      serial: 42,
      updatedAt: started,
      ageSeconds: 90,
      expiresInSeconds: 7110,
      refreshSeconds: 3600,
      retrySeconds: 600,
    },
    {
      address: '192.0.2.4',
      port: 3323,
      state: 'down',
      inUse: false,
      vrps: 0,
      lastError: { at: started, text: 'ECONNREFUSED' },
    },
  ],
  file: { path: '/etc/leafd/exceptions.json', vrps: 2, readAt: started },
  vrps: 500_002,
};

const kernel: KernelView = {
  fib: true,
  table: 254,
  metric: 20,
  nexthopCompat: 0,
  counts: { intended: 1, installed: 1, pending: 0, failed: 0, foreign: 1 },
  intended: [why.kernel!],
  leftover: [],
  foreign: [
    {
      prefix: '192.0.2.0/24',
      state: 'foreign',
      nextHops: [{ interface: 'eth9', weight: 1 }],
      protocol: 'kernel',
    },
  ],
  sysctls: [{ name: 'net.ipv4.nexthop_compat_mode', value: '0', before: '1' }],
  failures: [],
  truncated: false,
};

export interface FakeBackend extends Backend {
  /** What was asked, newest last. */
  asked: string[];
  /** The next query throws it. */
  fail?: unknown;
  /** Guests and passthrough exclude each other: none until a test says so. */
  passthrough?: FakePassthrough | undefined;
}

/** A backend that records what it is asked. */
export function fakeBackend(): FakeBackend {
  const plan = (files: ConfigFile[]) => {
    fake.asked.push(`config ${files.map((one) => `${one.file}:${one.text.length}`).join(' ')}`);
    if (files[0]!.text.includes('wrong')) {
      const where = { file: files[0]!.file, line: 2, column: 3 };
      return {
        kind: 'invalid' as const,
        problems: [{ where, path: 'bgp.wrong', reason: 'is not a known key' }],
      };
    }
    const change = {
      kind: 'add',
      owner: 'peer',
      what: 'interface eth1',
      effect: 'live',
      text: 'peer eth1',
    } as const;
    const changes = files[0]!.text.includes('same') ? [] : [change];
    return { kind: 'done' as const, view: { changes, effect: 'live' as const, warnings: [] } };
  };
  const asked: string[] = [];
  const fake: FakeBackend = {
    asked,
    guests: fakeGuests(asked),
    status: () => {
      if (fake.fail !== undefined) throw fake.fail;
      return fakeStatus;
    },
    peers: () => [fakePeer, fakeDownPeer],
    peer: (name) => {
      fake.asked.push(`peer ${name}`);
      if (name === fakePeer.name) return fakePeerDetail;
      return name === fakeDownPeer.name ? { ...fakePeerDetail, ...fakeDownPeer } : undefined;
    },
    routes: (query: RoutesQuery) => {
      fake.asked.push(`routes ${JSON.stringify(query)}`);
      if (query.peer === 'nobody') return undefined;
      if (query.prefix !== undefined && query.prefix !== fakeRoute.prefix) return { routes: [] };
      return query.limit === 1 ? { routes: [fakeRoute], next: 'abc' } : { routes: [fakeRoute, lost] };
    },
    why: (thing) => (thing === '10.0.0.12/32' || thing === '10.0.0.12' ? why : undefined),
    kernel: () => kernel,
    rpki: () => fakeRpki,
    metrics: () => fakeMetrics,
    plan: async (files) => plan(files),
    apply: async (files) => {
      const answer = plan(files);
      if (answer.kind === 'invalid') return answer;
      return { kind: 'done', view: { ...answer.view, applied: true, needRestart: [] } };
    },
    peerAction: (name, action, text) => {
      fake.asked.push(`${action} ${name} ${text ?? ''}`.trim());
      return name === fakePeer.name ? { peer: name, action, text: `${name}: ${action}` } : undefined;
    },
    schema: () => ({ title: 'leafd.yaml' }),
  };
  return fake;
}
