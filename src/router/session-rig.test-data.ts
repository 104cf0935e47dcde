// A router under a virtual clock with hands in the place of its peers: a test says the bytes of the other end, and
// reads what the router sent, closed, set and watched. No network and no kernel between.

import { ByteWriter } from '../lib/bytes.ts';
import { VirtualClock } from '../lib/clock.ts';
import { parseIp } from '../net/ip.ts';
import { encodeAttributes } from '../wire/bgp/attribute/describe.ts';
import type { Capability } from '../wire/bgp/capability.ts';
import { IPV4 } from '../wire/bgp/family.ts';
import { HEADER_LENGTH, keepaliveMessage, messageType, NOTIFICATION, OPEN } from '../wire/bgp/header.ts';
import { decodeOpen, encodeOpen, type Open } from '../wire/bgp/open.ts';
import { messageLengthAt, UpdateWriter } from '../wire/bgp/update-writer.ts';
import {
  type AddressPeer,
  defaultPeerSettings,
  defaultRouterSettings,
  type PeerConfig,
  type RouterConfig,
} from './config.ts';
import type { Peer } from './peer.ts';
import type { BfdTarget, ConnectionTuning, ConnectTarget, RouterEvent } from './ports.ts';
import { Router } from './router.ts';

export const ip = (text: string): Uint8Array => parseIp(text)!;

/** A passive external peer with an address on the link, IPv4 only. */
export function peerAt(address: string, settings: Partial<AddressPeer> = {}): AddressPeer {
  return {
    ...defaultPeerSettings,
    remoteAs: { kind: 'external' },
    connectRetryMs: 1000,
    passive: true,
    holdTimeMs: 90_000,
    keepaliveMs: 30_000,
    families: 1,
    kind: 'address',
    address: ip(address),
    ...settings,
  };
}

const unicast = { afi: 1, safi: 1 };

/** The capabilities of the other end, with graceful restart of IPv4 over `timeS` seconds. */
export function restartable(
  options: { timeS?: number; notification?: boolean; forwarding?: boolean; staleTimeS?: number } = {},
): Capability[] {
  const { timeS = 120, notification = false, forwarding = true, staleTimeS } = options;
  const families = [{ ...unicast, forwarding }];
  const all: Capability[] = [
    { kind: 'multiprotocol', ...unicast },
    { kind: 'asn4', asn: 65002 },
    { kind: 'routeRefresh' },
    { kind: 'enhancedRouteRefresh' },
    { kind: 'gracefulRestart', restartState: false, notification, timeS, families },
  ];
  if (staleTimeS !== undefined)
    all.push({
      kind: 'longLivedGracefulRestart',
      families: [{ ...unicast, forwarding, staleTimeS }],
    });
  return all;
}

export function openOf(capabilities: Capability[] = restartable(), asn = 65002, bgpId = 2): Uint8Array {
  const own = capabilities.map((known) => (known.kind === 'asn4' ? { ...known, asn } : known));
  return encodeOpen({ asn, holdTimeS: 90, bgpId, capabilities: own });
}

/** An UPDATE that announces 10.x.0.0/16. */
export function announce(second: number, asn = 65002, nextHop = '192.0.2.2'): Uint8Array {
  const attributes = encodeAttributes({ origin: 'igp', asPath: String(asn) });
  const writer = new UpdateWriter();
  const hop = ip(nextHop);
  writer.begin(4096, true);
  writer.beginReach(IPV4, attributes, 0, attributes.length, hop, 0, hop.length);
  writer.addIp4((0x0a00_0000 | (second << 16)) >>> 0, 16);
  writer.finish();
  return new ByteWriter().copy(writer.bytes, 0, writer.length).take();
}

/** End-of-RIB of IPv4 unicast (RFC 4724 section 2). */
export const endOfRib4 = new Uint8Array([...new Uint8Array(16).fill(255), 0, 23, 2, 0, 0, 0, 0]);

export interface Rig {
  router: Router;
  events: RouterEvent[];
  connects: { connection: number; target: ConnectTarget }[];
  closed: number[];
  bfd: { peer: number; wanted: BfdTarget | undefined }[];
  tuned: { connection: number; tuning: ConnectionTuning }[];
  keys: Map<string, string>;
  /** Connections whose bytes have come and wait to be read. */
  unread: Set<number>;
  peer(name: string): Peer;
  /** The other end connects; undefined when nobody is expected from there. */
  call(remote: string): number | undefined;
  /** The other end connects, and the session comes up. */
  up(remote: string, open?: Uint8Array): number;
  say(connection: number, ...messages: Uint8Array[]): void;
  run(ms: number): void;
  /** What was sent on a connection since the last look: `type` or `n6/2`. */
  sent(connection: number): string[];
  /** The last OPEN that was sent on it. */
  openSent(connection: number): Open;
  /** The prefixes of the IPv4 table, `10.1`. */
  routes(): string[];
}

const LINK = 2;

export function rig(peers: PeerConfig[], settings: Partial<RouterConfig> = {}): Rig {
  const clock = new VirtualClock(1000);
  const messages = new Map<number, Uint8Array[]>();
  const opens = new Map<number, Open>();
  const r = { events: [], connects: [], closed: [], bfd: [], tuned: [] } as unknown as Rig;
  r.keys = new Map();
  r.unread = new Set();
  const config: RouterConfig = {
    ...defaultRouterSettings,
    nodeName: 'r',
    asn: 65001,
    bgpId: 0x0a00_0001,
    profile: 'fabric',
    networks: [],
    redistribute: {},
    gracefulRestart: { restartTimeMs: 20_000, stalePathTimeMs: 30_000, notification: true },
    peers,
    ...settings,
  };
  r.router = new Router(config, clock, {
    connect: (connection, target) => void r.connects.push({ connection, target }),
    close: (connection) => void r.closed.push(connection),
    send: (connection, bytes, length) => {
      const list = messages.get(connection) ?? [];
      messages.set(connection, list);
      for (let at = 0; at < length; at += messageLengthAt(bytes, at))
        list.push(bytes.slice(at, at + messageLengthAt(bytes, at)));
      const last = list.at(-1)!;
      if (messageType(last, 0) === OPEN)
        opens.set(connection, decodeOpen(last, HEADER_LENGTH, last.length) as Open);
      return true;
    },
    wake: () => {},
    event: (event) => void r.events.push(event),
    jitter: () => 1,
    setKey: (address, length, key) => {
      const name = `${[...address].join('.')}/${length}`;
      if (key === null) r.keys.delete(name);
      else r.keys.set(name, key);
    },
    hasUnread: (connection) => r.unread.has(connection),
    tune: (connection, tuning) => void r.tuned.push({ connection, tuning }),
    bfd: (peer, wanted) => void r.bfd.push({ peer, wanted }),
    discover: () => {},
  });
  const work = (): void => {
    for (let i = 0; i < 1000 && r.router.work(); i++);
  };
  r.router.start();
  r.router.linkChanged({ ifindex: LINK, name: 'eth0', up: true });
  r.router.localAddress(ip('192.0.2.1'), true, LINK, 24);
  const subnet = { source: 'connected', metric: 0, ifindex: LINK, protocol: 2 } as const;
  r.router.kernelRouteAdded({ ...subnet, bytes: ip('192.0.2.0'), length: 24 });
  work();
  r.peer = (name) => r.router.directory.byName.get(name)!;
  r.say = (connection, ...said) => {
    for (const message of said) r.router.received(connection, message);
    work();
  };
  r.call = (remote) => {
    const peer = r.router.incoming(ip(remote), LINK);
    if (peer === undefined) return undefined;
    const connection = r.router.sessions.newConnection();
    return r.router.accepted(peer, connection, ip('192.0.2.1')) ? connection : undefined;
  };
  r.up = (remote, open = openOf()) => {
    const connection = r.call(remote)!;
    r.say(connection, open, keepaliveMessage);
    return connection;
  };
  r.run = (ms) => {
    const endMs = clock.nowMs() + ms;
    for (let at = r.router.nextDeadlineMs(); at < endMs; at = r.router.nextDeadlineMs()) {
      clock.advanceTo(Math.max(at, clock.nowMs()));
      work();
    }
    clock.advanceTo(endMs);
    work();
  };
  r.sent = (connection) => {
    const list = messages.get(connection) ?? [];
    messages.set(connection, []);
    return list.map((message) => {
      const type = messageType(message, 0);
      return type === NOTIFICATION ? `n${message[19]}/${message[20]}` : nameOf(message, type);
    });
  };
  r.openSent = (connection) => opens.get(connection)!;
  r.routes = () => {
    const rib = r.router.ribs[IPV4]!;
    const found: string[] = [];
    for (let id = rib.nextPrefix(0); id >= 0; id = rib.nextPrefix(id + 1)) {
      const address = rib.table.address[id]!;
      if (rib.prefixes.bestPath[id] !== 0) found.push(`${address >>> 24}.${(address >>> 16) & 255}`);
    }
    return found.sort();
  };
  return r;
}

function nameOf(message: Uint8Array, type: number): string {
  if (type === 2) return message.length === 23 ? 'endOfRib' : 'update';
  if (type === 5) return ['refresh', 'begin', 'end'][message[21]!] ?? 'refresh?';
  return ['', 'open', '', '', 'keepalive'][type]!;
}
