// A host with NICs that have everything a NIC may have, a router namespace beside it, and what `ip` says of them without
// what changes by itself. The NICs are veths whose other legs are in a third namespace, the fabric.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { withNetns } from '../../src/netlink/netns.ts';
import { kernelRtnl, type Rtnl } from '../../src/netlink/rtnl.ts';
import { NicMover } from '../../src/passthrough/nic-mover.ts';
import { until } from './fabric.ts';

export interface NicHost {
  home: string;
  router: string;
  fabric: string;
  stateDir: string;
  /** `ip` in a namespace; words are separated by single blanks. */
  ip(netns: string, words: string): string;
  json(netns: string, words: string): unknown[];
  sysctl(netns: string, key: string, value: string): void;
  /** A mover with sockets of its own, closed with the host. */
  mover(options?: { stateDir?: string }): NicMover;
  /** Messages that movers have written, so far. */
  writes(): number;
  /** All of a namespace that a round trip must not change. */
  picture(netns: string): Picture;
  /** Its picture, once the kernel has noticed carriers (up to a second later) or else as it stays. */
  pictureLike(netns: string, wanted: Picture): Promise<Picture>;
  /** No address is being looked for duplicates of, and the kernel has noticed every carrier. */
  settled(): Promise<void>;
  remove(): void;
}

export type Picture = Record<string, unknown>;

export function nicHost(tag: string): NicHost {
  const [home, router, fabric] = ['h', 'r', 'f'].map((letter) => `lfpn-${process.pid}-${tag}${letter}`) as [
    string,
    string,
    string,
  ];
  const stateDir = mkdtempSync(join(tmpdir(), 'lfpn-'));
  const closers: (() => void)[] = [];
  let written = 0;
  const ip = (netns: string, words: string): string =>
    execFileSync('ip', ['-n', netns, ...words.split(' ')], { encoding: 'utf8', stdio: 'pipe' });
  const json = (netns: string, words: string): unknown[] => {
    const text = ip(netns, `-j ${words}`);
    return text.trim() === '' ? [] : (JSON.parse(text) as unknown[]);
  };
  const side = (netns: string) => {
    const rtnl = kernelRtnl(netns);
    closers.push(() => rtnl.close());
    const write: Rtnl['write'] = (encode) =>
      rtnl.write((writer, firstSeq) => {
        encode(writer, firstSeq);
        written += writer.count;
      });
    return { rtnl: { ...rtnl, write }, netns };
  };
  for (const netns of [home, router, fabric]) {
    execFileSync('ip', ['netns', 'add', netns]);
    ip(netns, 'link set lo up');
  }
  return {
    home,
    router,
    fabric,
    stateDir,
    ip,
    json,
    sysctl: (netns, key, value) =>
      withNetns(netns, () => writeFileSync(`/proc/sys/${key.replaceAll('.', '/')}`, value)),
    mover: (options) => new NicMover({ home: side(home), router: side(router), stateDir, ...options }),
    writes: () => written,
    picture: (netns) => picture(netns, json),
    pictureLike: async (netns, wanted) => {
      const look = (): Picture => picture(netns, json);
      const isLike = (seen: Picture): boolean => isDeepStrictEqual(seen, wanted);
      return await until(look, isLike, { timeoutMs: 4000, everyMs: 50 }).catch(look);
    },
    settled: async () => {
      const all = ['addr', 'route show table all', '-6 route show table all'];
      const look = (): string =>
        [home, router].flatMap((netns) => all.map((words) => ip(netns, words))).join('');
      const isDone = (text: string): boolean => !/tentative|NO-CARRIER|linkdown/.test(text);
      await until(look, isDone, { timeoutMs: 10_000, everyMs: 50 });
    },
    remove: () => {
      for (const close of closers.splice(0)) close();
      for (const netns of [home, router, fabric]) execFileSync('ip', ['netns', 'del', netns]);
      rmSync(stateDir, { recursive: true, force: true });
    },
  };
}

/** Gives the host eth1, with all there is, and eth2, which shares routes with it. */
export function furnish({ home, fabric, ip, sysctl }: NicHost): void {
  for (const [nic, peer] of [
    ['eth1', 'p1'],
    ['eth2', 'p2'],
  ]) {
    ip(home, `link add ${nic} type veth peer name ${peer} netns ${fabric}`);
    ip(fabric, `link set ${peer} up`);
  }
  ip(home, 'link set eth1 mtu 1400 group 7 alias rack');
  for (const words of FURNITURE) ip(home, words);
  for (const [key, value] of SETTINGS) sysctl(home, key, value);
}

const SETTINGS = [
  ['net.ipv4.conf.eth1.arp_ignore', '2'],
  ['net.ipv4.conf.eth1.rp_filter', '2'],
  ['net.ipv6.conf.eth1.accept_ra', '0'],
  ['net.ipv6.conf.eth1.hop_limit', '33'],
  ['net.ipv4.neigh.eth1.gc_stale_time', '77'],
] as const;

const FURNITURE = [
  'link set eth1 up',
  'link set eth2 up',
  'addr add 10.1.0.5/24 dev eth1 brd + label eth1:one',
  'addr add 10.1.0.6/24 dev eth1',
  'addr add 10.9.0.1 peer 10.9.0.2/32 dev eth1',
  'addr add 10.4.0.1/24 dev eth1 noprefixroute',
  'addr add 10.5.0.1/24 dev eth1 metric 5 valid_lft 5000 preferred_lft 4000',
  'addr add 169.254.7.7/16 dev eth1 scope link',
  'addr add 2001:db8:1::5/64 dev eth1',
  'addr add 2001:db8:1::6/64 dev eth1 nodad preferred_lft 0',
  'addr add 2001:db8:2::1/64 dev eth1 metric 300 noprefixroute',
  'addr add fe80::77/64 dev eth1',
  'addr add 10.2.0.5/24 dev eth2',
  'addr add 2001:db8:22::5/64 dev eth2 nodad',
  'route add default via 10.1.0.1 metric 20',
  'route add 10.4.0.0/24 dev eth1 proto kernel scope link src 10.4.0.1 metric 100',
  'route add 192.0.2.0/24 via 10.1.0.1 src 10.1.0.6 table 100 proto static mtu 1300 advmss lock 1200',
  'route add 192.0.3.0/24 via 10.1.0.1 table 1000 tos 0x10',
  'route add 198.51.100.0/24 nexthop via 10.1.0.1 weight 3 nexthop via 10.2.0.1',
  'route add 198.51.101.0/24 via 172.16.0.1 dev eth1 onlink',
  'route add 198.51.102.0/24 via 198.51.108.7 dev eth1 onlink',
  'route add 198.51.103.0/24 via 10.2.0.1 src 10.1.0.5',
  'route add 198.51.104.0/24 via inet6 fe80::1 dev eth1',
  'route add 198.51.105.0/24 dev eth1 scope link',
  'route add 198.51.106.0/24 via 198.51.105.9',
  'route add blackhole 203.0.113.0/24',
  'route add unreachable 203.0.114.0/24 metric 9',
  '-6 route add default via fe80::1 dev eth1 metric 512',
  '-6 route add 2001:db8:100::/48 via 2001:db8:1::1 src 2001:db8:1::6 table 100 proto static',
  '-6 route add 2001:db8:101::/48 nexthop via 2001:db8:1::1 nexthop via 2001:db8:22::1',
  '-6 route add 2001:db8:102::/48 via fe80::9 dev eth1 onlink pref high expires 3000',
  '-6 route add 2001:db8:103::/48 from 2001:db8:9::/48 via 2001:db8:1::1 dev eth1',
  '-6 route add blackhole 2001:db8:fff::/48',
  'neigh add 10.1.0.1 lladdr 02:00:00:00:00:01 dev eth1 nud permanent',
  'neigh add 2001:db8:1::1 lladdr 02:00:00:00:00:02 dev eth1 nud permanent router',
  'neigh add proxy 10.1.0.77 dev eth1',
];

/** Indexes change with every move; times run; the rest of the list is of counting or of the other end. */
const VOLATILE = new Set([
  'ifindex',
  'link_index',
  'link_netnsid',
  'operstate',
  'confirmed',
  'used',
  'updated',
]);
const TIMES = new Set(['valid_life_time', 'preferred_life_time', 'expires']);
const FOREVER = 0xffffffff;

function picture(netns: string, json: NicHost['json']): Picture {
  const view = (words: string): unknown[] => json(netns, words).map(still);
  const sorted = (words: string): unknown[] =>
    view(words).sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  const links = (json(netns, '-d link') as { ifname: string }[])
    .sort((a, b) => (a.ifname < b.ifname ? -1 : 1))
    .map(still);
  const addresses = (json(netns, 'addr') as { ifname: string }[])
    .sort((a, b) => (a.ifname < b.ifname ? -1 : 1))
    .map(still);
  return {
    links,
    addresses,
    routes4: sorted('route show table all'),
    routes6: sorted('-6 route show table all'),
    neighbours: sorted('neigh show nud permanent'),
    proxies: sorted('neigh show proxy'),
    settings: settings(netns),
  };
}

function still(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(still);
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).flatMap(([key, inner]) => {
    if (VOLATILE.has(key)) return [];
    if (TIMES.has(key) && inner !== FOREVER && inner !== 0) return [[key, 'running']];
    return [[key, still(inner)]];
  });
  return Object.fromEntries(kept);
}

function settings(netns: string): Record<string, string> {
  return withNetns(netns, () => {
    const found: Record<string, string> = {};
    for (const part of ['ipv4/conf', 'ipv6/conf', 'ipv4/neigh', 'ipv6/neigh'])
      for (const nic of ['eth1', 'eth2'])
        for (const key of list(`/proc/sys/net/${part}/${nic}`)) {
          const path = `${part}/${nic}/${key}`;
          try {
            found[path] = readFileSync(`/proc/sys/net/${path}`, 'utf8').trim();
          } catch {}
        }
    return found;
  });
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
