// The sessions that speakers of a host may have with the router, each a real BIRD of its own in one namespace: another AS
// or the same, one session for both families, a password, a limit of prefixes. And what changing one session, or adding a
// ToR, does to the others: nothing.

import { afterAll, beforeAll, expect, it } from 'vitest';
import type { PeerDetailView, PeersView } from '../../src/api/views.ts';
import { runOrThrow, sleep, until } from '../support/fabric.ts';
import {
  applyEdited,
  birdc,
  establishedSince,
  frrPaths,
  kernelRoutes,
  type LabData,
  passthroughFabric,
  passthroughView,
  services,
} from '../support/passthrough.ts';

interface Speaker {
  name: string;
  asn: number;
  /** Last number of its host address, and of its service 172.30.1.N. */
  number: number;
  config: Record<string, unknown>;
  families: 4 | 6 | 46;
  dual?: boolean;
  /** Lines for its BGP protocols, and how many services it has. */
  lines?: string;
  services?: number;
}

const speakers: Speaker[] = [
  { name: 'external', asn: 65101, number: 11, families: 46, config: { remoteAs: 'external' } },
  { name: 'internal', asn: 64514, number: 12, families: 46, config: { remoteAs: 'internal' } },
  {
    name: 'dual',
    asn: 65103,
    number: 13,
    families: 46,
    dual: true,
    config: { remoteAs: 65103, dualStack: true },
  },
  {
    name: 'secret',
    asn: 65104,
    number: 14,
    families: 4,
    lines: 'password "kept";',
    config: { remoteAs: 65104, password: 'kept', families: ['ipv4'] },
  },
  {
    name: 'many',
    asn: 65105,
    number: 15,
    families: 4,
    services: 6,
    config: {
      remoteAs: 65105,
      families: ['ipv4'],
      maxPrefix: { limit: 5, action: 'restart', restartAfter: '1h' },
    },
  },
];

function birdOf({ asn, number, families, dual, lines = '', services: count = 1 }: Speaker): string {
  const v4 = Array.from({ length: count }, (_, at) => `route 172.30.1.${number + at * 16}/32 blackhole;`);
  const own = { 4: `192.169.10.${number}`, 6: `fd00:10::${number}` };
  const channel = { 4: 'ipv4', 6: 'ipv6' };
  // The other family's next hop is an address of the leg too, which BIRD does not find by itself on such a session.
  const channelText = (family: 4 | 6, over: 4 | 6) =>
    `${channel[family]} { import all; export where source = RTS_STATIC; ${family === over ? '' : `next hop address ${own[family]};`} };`;
  const session = (over: 4 | 6, carried: (4 | 6)[]) => `
    protocol bgp leafd${over} {
      hold time 9; keepalive time 3; connect retry time 1; connect delay time 1; error wait time 1, 2;
      local ${own[over]} port ${1700 + number} as ${asn}; ${over === 4 ? 'neighbor 192.169.10.1' : 'neighbor fd00:10::1'} as 64514; ${lines}
      ${carried.map((family) => channelText(family, over)).join(' ')}
    }`;
  const sessions = dual
    ? [session(4, [4, 6])]
    : [session(4, [4]), ...(families === 46 ? [session(6, [6])] : [])];
  return `log stderr all; router id 192.169.10.${number};
    protocol device { scan time 2; }
    protocol static services4 { ipv4; ${v4.join(' ')} }
    protocol static services6 { ipv6; route 2001:db8:30:1::${number}/128 blackhole; }
    ${sessions.join('\n')}`;
}

const sessionsOf = ({ families, dual }: Speaker): number => (families === 46 && !dual ? 2 : 1);

const fabric = passthroughFabric('ptspeak', (lab: LabData) => {
  const { node1 } = lab.nodes;
  delete lab.nodes['node1-bird'];
  const leg = (number: number, families: number) => ({
    ipv4: `192.169.10.${number}`,
    ...(families === 46 && { ipv6: `fd00:10::${number}` }),
  });
  node1.config.passthrough.speakers = [
    { name: 'frr', remoteAs: 64515 },
    ...speakers.map(({ name, number, families, config }) => ({
      name,
      port: 1700 + number,
      hostAddress: leg(number, families),
      ...config,
    })),
  ];
  for (const speaker of speakers)
    lab.nodes[`bird-${speaker.name}`] = {
      kind: 'bird',
      in: 'node1',
      config: birdOf(speaker),
      sessions: sessionsOf(speaker),
    };
  node1.ports.eth2 = ['192.168.12.3/24', 'fd00:12::3/64'];
  const text = lab.nodes.tor.config as string;
  node1.config.bgp.peers[0].bfd = { interval: '300ms', multiplier: 5 };
  lab.nodes.tor2 = {
    ...lab.nodes.tor,
    ports: { eth1: ['192.168.12.2/24', 'fd00:12::2/64'] },
    config: text.replaceAll('192.168.11.', '192.168.12.').replaceAll('64512', '64513'),
    sessions: 0,
  };
  lab.nodes.tor.config = text.replace(
    /^( *)neighbor 192.168.11.3 timers connect 1/m,
    '$&\n$1neighbor 192.168.11.3 bfd',
  );
  lab.links.push(['tor2:eth1', 'node1:eth2']);
  // FRR leads the host's traffic; of the speaker with too much there is none to wait for.
  lab.nodes['bird-many'].sessions = 0;
  node1.sessions = 1 + 2 + speakers.reduce((sum, one) => sum + sessionsOf(one), 0) - 1;
});

beforeAll(async () => {
  await fabric.up();
});

afterAll(async () => {
  expect(await fabric.down()).toEqual([]);
});

it('has a session with each, of the kind it should be', async () => {
  await fabric.allSessions(15_000);
  const { sessions, state } = await passthroughView(fabric);
  const of = (peer: string) => sessions.find((one) => one.peer === peer);
  for (const peer of ['external-ipv4', 'external-ipv6', 'internal-ipv4', 'internal-ipv6', 'secret-ipv4'])
    expect(of(peer)).toMatchObject({ side: 'host', state: 'established', speaker: peer.split('-')[0] });
  expect(of('external-ipv4')!.remoteAsn).toBe(65101);
  expect(of('internal-ipv6')!.remoteAsn).toBe(64514);
  expect(of('dual')!.byFamily.map(({ family }) => family)).toEqual(['ipv4', 'ipv6']);
  expect(state).toBe('degraded');
});

it.each(speakers.filter(({ name }) => name !== 'many'))(
  'passes on what $name announces, and tells it the fabric’s',
  async (one) => {
    const path = one.name === 'internal' ? '64514' : `64514 ${one.asn}`;
    const prefixes = [
      `172.30.1.${one.number}/32`,
      ...(one.families === 46 ? [`2001:db8:30:1::${one.number}/128`] : []),
    ];
    for (const prefix of prefixes) {
      const paths = await until(
        () => frrPaths(fabric, 'tor', prefix),
        ({ length }) => length > 0,
        { timeoutMs: 5000, what: prefix },
      );
      expect(paths.map(({ asPath }) => asPath)).toEqual([path]);
    }
    for (const family of one.families === 46 ? (['ipv4', 'ipv6'] as const) : (['ipv4'] as const)) {
      const client = services.client[family];
      const look = () => birdc(fabric, `bird-${one.name}`, 'show', 'route', 'all', 'for', client);
      const shown = await until(look, (text) => text.includes('BGP.as_path'), {
        timeoutMs: 5000,
        what: client,
      });
      expect(shown).toMatch(
        one.name === 'internal' ? /BGP\.as_path: 64512\n/ : /BGP\.as_path: 64514 64512\n/,
      );
      expect(shown).toContain(`BGP.next_hop: ${family === 'ipv4' ? '192.169.10.1' : 'fd00:10::1'}`);
    }
  },
);

it('ends the session of a speaker with too many prefixes, and no other', async () => {
  const look = async () => (await passthroughView(fabric)).sessions.find(({ peer }) => peer === 'many-ipv4')!;
  const seen = await until(look, ({ reason }) => /prefix/i.test(reason ?? ''), {
    timeoutMs: 10_000,
    what: 'the limit',
  });
  console.log(seen.reason);
  expect(seen.state).not.toBe('established');
  expect(await frrPaths(fabric, 'tor', '172.30.1.15/32')).toEqual([]);
  // Fewer, and a word of the operator, bring it back.
  await birdc(fabric, 'bird-many', 'disable', 'services4');
  await fabric.leafctl('node1', 'peers', 'reset', 'many-ipv4');
});

const others = (before: Record<string, string>, changed: readonly string[]) =>
  Object.fromEntries(Object.entries(before).filter(([name]) => !changed.includes(name)));

it('changes BFD of one neighbour and no session notices, not even its own', async () => {
  const bfdOfTor = async () => (await fabric.get<PeerDetailView>('node1', '/v1/peers/192.168.11.2')).bfd;
  await until(bfdOfTor, (bfd) => bfd?.state === 'up', { timeoutMs: 15_000, what: 'BFD' });
  const before = await establishedSince(fabric);
  await applyEdited(fabric, 'node1', (config: LabData) => {
    config.bgp.peers[0].bfd = { interval: '450ms', multiplier: 5 };
  });
  const slower = (bfd: PeerDetailView['bfd']) => JSON.stringify(bfd).includes('450');
  await until(bfdOfTor, slower, { timeoutMs: 5000, what: 'the new interval' });
  await sleep(1500);
  expect(await bfdOfTor()).toMatchObject({ state: 'up' });
  expect(await establishedSince(fabric)).toEqual(before);
});

it('adds a ToR with its NIC, and no other session notices; then both carry the service', async () => {
  const before = await establishedSince(fabric);
  await applyEdited(fabric, 'node1', (config) => {
    config.passthrough.uplinks = ['eth1', 'eth2'];
    config.bgp.peers.push({ ...config.bgp.peers[0], address: '192.168.12.2', remoteAs: 64513 });
  });
  const peers = () => fabric.get<PeersView>('node1', '/v1/peers');
  const up = (view: PeersView) =>
    view.peers.some(({ name, state }) => name === '192.168.12.2' && state === 'established');
  await until(peers, up, { timeoutMs: 15_000, what: 'the second ToR' });
  expect(others(await establishedSince(fabric), ['192.168.12.2'])).toEqual(before);
  const service = () => frrPaths(fabric, 'tor2', `${services.frr.ipv4}/32`);
  const paths = await until(service, ({ length }) => length > 0, { timeoutMs: 5000, what: 'the service' });
  expect(paths).toMatchObject([{ asPath: '64514 64515', nextHops: ['192.168.12.3'] }]);
  const kernel = () => kernelRoutes(fabric.netns('tor2'), services.frr.ipv6);
  const routes = await until(kernel, ({ length }) => length > 0, { timeoutMs: 5000, what: 'the service' });
  expect(routes).toMatchObject([{ gateway: 'fd00:12::3' }]);
  expect(
    (await runOrThrow(['ip', '-n', `${fabric.netns('node1')}-pe`, '-br', 'link'])).match(/^eth[12]@/gm),
  ).toHaveLength(2);
});
