// Who is no speaker of the host, and tries to be: users of the host that call from its addresses or listen there while
// the speaker is away, and a container behind its NAT. And what of the fabric, or of a speaker, must not lead the router
// astray: more specific routes to the ends of its own sessions.

import { afterAll, beforeAll, expect, it } from 'vitest';
import type { PeerDetailView, StatusView } from '../../src/api/views.ts';
import { type Running, runOrThrow, start, until } from '../support/fabric.ts';
import {
  configureFrr,
  establishedSince,
  kernelWay,
  passthroughFabric,
  routerOf,
} from '../support/passthrough.ts';

const UID = 4242;
const fabric = passthroughFabric('intruders');
const node = () => fabric.netns('node1');
const busy: Running[] = [];

const detail = (peer: string) => fabric.get<PeerDetailView>('node1', `/v1/peers/${peer}`);
const refused = async (why: string): Promise<number> => {
  const { bgp } = await fabric.get<StatusView>('node1', '/v1/status');
  return bgp.refused?.[why] ?? 0;
};

/** OPEN of AS 64516 with 192.169.10.3 as its identifier, and a KEEPALIVE behind it. */
const words = ['ff'.repeat(16), '001d0104fc040009c0a90a0300', 'ff'.repeat(16), '001304'].join('');

/** Perl as a user of the node, or in a namespace of its own: prints what the far end says, in hexadecimal. */
function intruder(script: string, netns = node(), uid = UID): Running {
  const text = `use Socket qw(:all); $| = 1; my $words = pack('H*', '${words}');
    sub talk { my $s = shift; send($s, $words, MSG_NOSIGNAL);
      while (defined(recv($s, my $b, 4096, 0)) && length($b)) { print unpack('H*', $b), "\\n"; } print "end\\n"; }
    ${script}`;
  const user = ['setpriv', `--reuid=${uid}`, '--clear-groups'];
  const running = start(['ip', 'netns', 'exec', netns, ...user, 'perl', '-e', text]);
  busy.push(running);
  return running;
}

const call = (from: string): string => `socket(S, AF_INET, SOCK_STREAM, 6) or die;
  ${from === '' ? '' : `bind(S, pack_sockaddr_in(0, inet_aton('${from}'))) or die $!;`}
  connect(S, pack_sockaddr_in(179, inet_aton('192.169.10.1'))) or die $!; talk(*S);`;

const hasEnded = (one: Running) =>
  until(
    () => one.text(),
    (text) => text.includes('end'),
    { timeoutMs: 10_000, what: 'the end of a connection' },
  );

const isUp = (...names: string[]) =>
  until(
    () => establishedSince(fabric),
    (since) => names.every((name) => since[name] !== undefined),
    { timeoutMs: 30_000, what: `${names.join(', ')} up` },
  );

beforeAll(async () => {
  await fabric.up();
  await isUp('frr-ipv4', 'frr-ipv6', 'bird-ipv4', 'bird-ipv6');
}, 120_000);

afterAll(async () => {
  for (const one of busy) await one.stop();
  await fabric.down();
});

it('speakers that run as users of the system are let in', async () => {
  expect(await refused('otherUser')).toBe(0);
  expect(await refused('noProcess')).toBe(0);
});

it('a user cannot take the place of a speaker that is there', async () => {
  const before = await establishedSince(fabric);
  const one = intruder(call('192.169.10.3'));
  await hasEnded(one);
  expect(one.text()).toBe('end\n');
  expect(await refused('otherUser')).toBe(1);
  expect(await establishedSince(fabric)).toEqual(before);
});

it('nor of one that is away, calling or called', async () => {
  process.kill(await fabric.pid('node1-bird'), 'SIGKILL');
  const caller = intruder(call('192.169.10.3'));
  await hasEnded(caller);
  expect(caller.text()).toBe('end\n');
  const before = await refused('otherUser');
  const listener =
    intruder(`socket(L, AF_INET, SOCK_STREAM, 6) or die; setsockopt(L, SOL_SOCKET, SO_REUSEADDR, 1);
    bind(L, pack_sockaddr_in(1790, inet_aton('192.169.10.3'))) or die $!; listen(L, 5); accept(S, L); talk(*S); <STDIN>;`);
  await hasEnded(listener);
  expect(listener.text()).toBe('end\n');
  expect(await refused('otherUser')).toBeGreaterThan(before);
  expect((await detail('bird-ipv4')).reason).toContain(`may not be the speaker (users): uid ${UID}`);
  const why = await fabric.leafctl('node1', 'why', 'bird-ipv4');
  expect(why.stdout).toContain(`uid ${UID}`);
  await listener.stop();
});

it('nor can a container behind the NAT of the host', async () => {
  const container = `${fabric.name}-ct`;
  await runOrThrow(['ip', 'netns', 'add', container]);
  try {
    const link = ['link', 'add', 'ct0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', container];
    await runOrThrow(['ip', '-n', node(), ...link]);
    await fabric.out('node1', 'ip', 'addr', 'add', '10.88.0.1/24', 'dev', 'ct0');
    await fabric.out('node1', 'ip', 'link', 'set', 'ct0', 'up');
    await fabric.out('node1', 'sysctl', '-qw', 'net.ipv4.ip_forward=1');
    await runOrThrow(['ip', '-n', container, 'addr', 'add', '10.88.0.2/24', 'dev', 'eth0']);
    await runOrThrow(['ip', '-n', container, 'link', 'set', 'eth0', 'up']);
    await runOrThrow(['ip', '-n', container, 'route', 'add', 'default', 'via', '10.88.0.1']);
    const table =
      'table ip behind { chain post { type nat hook postrouting priority 100; ip saddr 10.88.0.0/24 snat to 192.169.10.3; }; }';
    await fabric.out('node1', 'nft', table);
    const one = intruder(call(''), container, 0);
    await hasEnded(one);
    expect(one.text()).toBe('end\n');
    expect(await refused('noProcess')).toBe(1);
  } finally {
    await runOrThrow(['ip', 'netns', 'del', container]);
  }
});

it('the speaker itself is let in when it is back', async () => {
  await fabric.lab('restart', 'node1-bird');
  await isUp('bird-ipv4', 'bird-ipv6');
});

it('no route of the fabric leads the router away from its speakers', async () => {
  const lines = [
    '192.169.10.2/32',
    '192.169.10.2/31',
    '192.169.10.0/30',
    '192.169.10.0/25',
    '192.169.10.1/32',
  ];
  for (const prefix of lines) await fabric.out('tor', 'ip', 'route', 'add', 'blackhole', prefix);
  // The last one told has come when it is known to the router.
  await until(
    () => fabric.leafctl('node1', '-j', 'routes', '192.169.10.0/25'),
    ({ stdout }) => stdout.includes('64512'),
    { timeoutMs: 10_000, what: 'a route of the ToR' },
  );
  expect(await kernelWay(routerOf(fabric), '192.169.10.2')).toMatchObject({ dev: 'pt-ns' });
  expect(await kernelWay(routerOf(fabric), '192.169.10.3')).toMatchObject({ dev: 'pt-ns' });
  await isUp('frr-ipv4', 'bird-ipv4');
});

it('no route of a speaker leads the router away from the fabric', async () => {
  const routes = ['192.168.11.2/32', '192.168.11.2/31', '192.168.11.3/32'];
  for (const prefix of routes)
    await configureFrr(
      fabric,
      'node1-frr',
      'router bgp 64515',
      'address-family ipv4 unicast',
      `network ${prefix}`,
    );
  await until(
    () => fabric.leafctl('node1', '-j', 'routes', '192.168.11.2/31'),
    ({ stdout }) => stdout.includes('64515'),
    { timeoutMs: 10_000, what: 'a route of the speaker' },
  );
  expect(await kernelWay(routerOf(fabric), '192.168.11.2')).toMatchObject({ dev: 'eth1' });
});
