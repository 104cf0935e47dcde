// A guest that moves between two hypervisors of ours behind a spine that is FRR's and knows nothing of move sequences:
// while both announce it, FRR takes the one that has just got it, in eBGP by the shorter path and in iBGP, as a
// reflector, by LOCAL_PREF. The sequence passes through FRR, so that the source hears it.

import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { parseIp } from '../../src/net/ip.ts';
import { LinkMonitor } from '../../src/netlink/monitor.ts';
import { withNetns } from '../../src/netlink/netns.ts';
import { RouteFeed } from '../../src/netlink/route-feed.ts';
import { kernelRtnl } from '../../src/netlink/rtnl.ts';
import { type AddressPeer, defaultPeerSettings, defaultRouterSettings } from '../../src/router/config.ts';
import { Speaker } from '../../src/speaker/speaker.ts';
import { fabricOf, until } from '../support/fabric.ts';

/** `e`: a spine of AS 65010 and hypervisors of their own; `i`: all of one AS, and the spine reflects. */
const kinds = ['e', 'i'] as const;
type Kind = (typeof kinds)[number];
const SPINE_ASN = 65010;
const asnOf = (kind: Kind, n: number): number => (kind === 'i' ? SPINE_ASN : 65010 + n);

function frr(kind: Kind): string {
  const neighbours = [1, 2].flatMap((n) => [
    ` neighbor 10.0.${n}.1 remote-as ${asnOf(kind, n)}`,
    ` neighbor 10.0.${n}.1 timers connect 1`,
    ...(kind === 'i' ? [` neighbor 10.0.${n}.1 route-reflector-client`] : []),
  ]);
  return `
frr defaults datacenter
router bgp ${SPINE_ASN}
 bgp router-id 10.255.0.9
 bgp bestpath as-path multipath-relax
 no bgp ebgp-requires-policy
${neighbours.join('\n')}
 address-family ipv4 unicast
  maximum-paths 16
  maximum-paths ibgp 16
${kind === 'i' ? [1, 2].map((n) => `  neighbor 10.0.${n}.1 next-hop-self force`).join('\n') : ''}
 exit-address-family
exit
`;
}

const nodes = Object.fromEntries(
  kinds.flatMap((kind) => [
    [`${kind}0`, { kind: 'frr', config: frr(kind), ports: { p1: ['10.0.1.0/31'], p2: ['10.0.2.0/31'] } }],
    ...[1, 2].map((n) => [`${kind}${n}`, { kind: 'host', ports: { up0: [`10.0.${n}.1/31`] } }]),
  ]),
);
const links = kinds.flatMap((kind) => [1, 2].map((n) => [`${kind}0:p${n}`, `${kind}${n}:up0`]));
const fabric = fabricOf('moves', stringify({ nodes, links }));
const GUEST = parseIp('198.51.100.7')!;
const close: (() => unknown)[] = [];

interface Hypervisor {
  speaker: Speaker;
  tap: number;
  /** What was told of the guest, in order. */
  heard: (number | undefined)[];
}

/** A hypervisor of ours: it waits for the spine to call, and has a tap with a guest at its other end. */
function hypervisor(kind: Kind, n: number): Hypervisor {
  const netns = fabric.netns(`${kind}${n}`);
  const ip = (words: string): string =>
    execFileSync('ip', ['-n', netns, ...words.split(' ')], { encoding: 'utf8' });
  ip('link add tap7 type veth peer name guest7');
  for (const name of ['tap7', 'guest7']) ip(`link set ${name} up`);
  const tap = JSON.parse(ip('-j link show tap7'))[0].ifindex as number;
  const spine: AddressPeer = {
    ...defaultPeerSettings,
    kind: 'address',
    address: parseIp(`10.0.${n}.0`)!,
    remoteAs: { kind: kind === 'i' ? 'internal' : 'external' },
    families: 0b01,
    holdTimeMs: 9000,
    passive: true,
    moves: true,
  };
  const rtnl = kernelRtnl(netns);
  const monitor = new LinkMonitor(rtnl);
  const feed = new RouteFeed(rtnl, { table: 254, protocols: [2], ignorePortIds: [] });
  const heard: (number | undefined)[] = [];
  const config = {
    ...defaultRouterSettings,
    nodeName: `${kind}${n}`,
    asn: asnOf(kind, n),
    bgpId: n,
    profile: 'fabric' as const,
    networks: [],
    redistribute: {},
    peers: [spine],
  };
  const world = {
    monitor,
    feed,
    event: () => {},
    trouble: () => {},
    guestHeard: (_address: Uint8Array, said: { sequence: number } | undefined) =>
      void heard.push(said?.sequence),
  };
  const speaker = withNetns(netns, () => new Speaker(config, world, { port: 179, restarting: false }));
  close.push(async () => {
    await speaker.stop(true);
    feed.close();
    monitor.close();
    rtnl.close();
  });
  speaker.router.guests.watch(GUEST);
  return { speaker, tap, heard };
}

interface FrrPath {
  valid: boolean;
  bestpath?: { overall?: boolean };
  multipath?: boolean;
  aspath: { string: string };
  locPrf?: number;
  largeCommunity?: { string: string };
  nexthops: { ip: string }[];
}

/** What FRR forwards by, and all that it knows. */
async function atFrr(kind: Kind): Promise<{ used: string[]; paths: string[] }> {
  const node = `${kind}0`;
  const words = [
    'vtysh',
    '--vty_socket',
    fabric.directory(node),
    '-c',
    'show bgp ipv4 unicast 198.51.100.7/32 json',
  ];
  const { paths = [] } = JSON.parse(await fabric.out(node, ...words)) as { paths?: FrrPath[] };
  const hop = ({ nexthops }: FrrPath): string => nexthops[0]!.ip;
  const text = (path: FrrPath): string =>
    [hop(path), path.aspath.string, kind === 'i' ? path.locPrf : '', path.largeCommunity?.string].join(' ');
  return {
    used: paths.filter((path) => path.bestpath?.overall || path.multipath).map(hop),
    paths: paths.map(text).sort(),
  };
}

beforeAll(async () => {
  await fabric.up({ waitSeconds: 5 });
}, 60_000);

afterAll(async () => {
  for (const one of close.reverse()) await one();
  expect(await fabric.down()).toEqual([]);
}, 30_000);

/** What FRR has of a path in each state. */
const asTold: Readonly<Record<Kind, (n: number, sequence: number, fresh: boolean) => string>> = {
  e: (n, sequence, fresh) => {
    const path = fresh ? `${65010 + n}` : `${65010 + n} ${65010 + n}`;
    return `10.0.${n}.1 ${path}  ${65010 + n}:${fresh ? 28023 : 28022}:${sequence}`;
  },
  i: (n, sequence, fresh) =>
    `10.0.${n}.1 Local ${fresh ? 200 : 100} ${SPINE_ASN}:${fresh ? 28023 : 28022}:${sequence}`,
};

describe.each(kinds)('behind a spine of FRR (%s)', (kind) => {
  it('the fresh one is used while both announce, the only one when the source has heard', async () => {
    const [one, two] = [hypervisor(kind, 1), hypervisor(kind, 2)];
    const told = asTold[kind];
    const see = (used: string[], paths: string[]): Promise<unknown> =>
      until(
        () => atFrr(kind),
        (seen) => JSON.stringify(seen) === JSON.stringify({ used, paths: paths.sort() }),
        {
          timeoutMs: 15_000,
          what: JSON.stringify({ used, paths }),
        },
      );
    const set = ({ speaker, tap }: Hypervisor, sequence: number, fresh: boolean): void =>
      speaker.router.guests.set(GUEST, { ifindex: tap, sequence, fresh, metric: 0 });

    set(one, 1, false);
    await see(['10.0.1.1'], [told(1, 1, false)]);
    await until(
      () => two.heard.join(),
      (text) => text === '1',
      { timeoutMs: 5000 },
    );

    // The guest is at the second one; the first does not know yet.
    set(two, 2, true);
    await see(['10.0.2.1'], [told(1, 1, false), told(2, 2, true)]);
    await until(
      () => one.heard.join(),
      (text) => text === '2',
      { timeoutMs: 5000 },
    );
    one.speaker.router.guests.remove(GUEST);
    await see(['10.0.2.1'], [told(2, 2, true)]);
    set(two, 2, false);
    await see(['10.0.2.1'], [told(2, 2, false)]);

    // And back.
    set(one, 3, true);
    await see(['10.0.1.1'], [told(1, 3, true), told(2, 2, false)]);
    await until(
      () => two.heard.at(-1),
      (last) => last === 3,
      { timeoutMs: 5000 },
    );
  }, 40_000);
});
