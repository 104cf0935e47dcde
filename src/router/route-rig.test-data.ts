// A router with hands in the place of its peers and of the kernel, for tests about routes: what a peer is told is
// decoded and kept as that peer would keep it, so that a test asks what a peer has, not which messages came.

import { ByteWriter, readU32 } from '../lib/bytes.ts';
import { VirtualClock } from '../lib/clock.ts';
import { formatIp, parseIp } from '../net/ip.ts';
import { formatPrefix } from '../net/prefix.ts';
import { type AttributesView, describeAttributes, encodeAttributes } from '../wire/bgp/attribute/describe.ts';
import type { Capability } from '../wire/bgp/capability.ts';
import { families, familiesIn } from '../wire/bgp/family.ts';
import { HEADER_LENGTH, keepaliveMessage, messageType, UPDATE } from '../wire/bgp/header.ts';
import { prefixSize } from '../wire/bgp/nlri/ip.ts';
import { nlriCodecs } from '../wire/bgp/nlri/opaque.ts';
import { encodeOpen } from '../wire/bgp/open.ts';
import { UpdateDecoder } from '../wire/bgp/update.ts';
import { messageLengthAt, UpdateWriter } from '../wire/bgp/update-writer.ts';
import { type AddressPeer, defaultPeerSettings, defaultRouterSettings, type RouterConfig } from './config.ts';
import type { Peer } from './peer.ts';
import type { FibPort, ForwardingMember, RouterEvent } from './ports.ts';
import { Router } from './router.ts';

export const ip = (text: string): Uint8Array => parseIp(text)!;

/** A passive external peer on the link. */
export function neighbour(address: string, settings: Partial<AddressPeer> = {}): AddressPeer {
  return {
    ...defaultPeerSettings,
    remoteAs: { kind: 'external' },
    families: 0b11,
    passive: true,
    holdTimeMs: 90_000,
    keepaliveMs: 30_000,
    kind: 'address',
    address: ip(address),
    ...settings,
  };
}

export interface Told {
  nextHop: string;
  attributes: AttributesView;
  /** The NLRI as it came, in hex. */
  nlri: string;
}

/** The other end of a session. */
export interface Far {
  peer: Peer;
  connection: number;
  /** What it has of us, by the text of the NLRI. */
  has: Map<string, Told>;
  /** Families of which it has got End-of-RIB. */
  ended: Set<string>;
  say(...messages: Uint8Array[]): void;
}

export interface RouteRig {
  router: Router;
  events: RouterEvent[];
  /** Routes of the kernel by prefix: gateways and links, or `discard`. */
  kernel: Map<string, string[]>;
  /** The metric of each, 0 for the table's. */
  metrics: Map<string, number>;
  up(address: string, asn?: number, capabilities?: Capability[]): Far;
  run(ms?: number): void;
  /** What was told of watched addresses: the address and the sequence, or `nobody`. */
  heard: string[];
  /** What the kernel was given, in order: `prefix set metric`. */
  given: string[];
}

const LINK = 2;

/** An UPDATE; NLRI in wire form, one behind the other. */
export function update(
  family: number,
  nlri: readonly Uint8Array[],
  reach?: { attributes: Parameters<typeof encodeAttributes>[0]; nextHop?: string },
): Uint8Array {
  const writer = new UpdateWriter();
  writer.begin(4096, true);
  if (reach === undefined) writer.beginUnreach(family, true);
  else {
    const attributes = encodeAttributes(reach.attributes);
    const hop = reach.nextHop === undefined ? new Uint8Array(0) : ip(reach.nextHop);
    writer.beginReach(family, attributes, 0, attributes.length, hop, 0, hop.length);
  }
  for (const one of nlri) writer.addNlri(one, 0, one.length);
  writer.finish();
  return writer.bytes.slice(0, writer.length);
}

/** `10.0.0.0/8` as NLRI. */
export function prefixNlri(text: string): Uint8Array {
  const [address, length] = text.split('/') as [string, string];
  return Uint8Array.of(Number(length), ...ip(address).subarray(0, (Number(length) + 7) >> 3));
}

export const fromHex = (text: string): Uint8Array =>
  Uint8Array.from(text.replaceAll(' ', '').match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));

export function routeRig(
  peers: AddressPeer[],
  settings: Partial<RouterConfig> = {},
  life: {
    isReflector?: true;
    restarting?: true;
    onHeard?: (router: Router, address: Uint8Array) => void;
  } = {},
): RouteRig {
  const clock = new VirtualClock(1000);
  const fars = new Map<number, Far>();
  const events: RouterEvent[] = [];
  const kernel = new Map<string, string[]>();
  const metricOf = new Map<string, number>();
  const heard: string[] = [];
  const given: string[] = [];
  /** One array a set as long as it lives, which the routes on it share. */
  const sets = new Map<number, string[]>();
  const redefine = (id: number, members: ForwardingMember[]): void => {
    const set = sets.get(id) ?? [];
    sets.set(id, set);
    set.splice(0, set.length, ...members.map(memberText));
  };
  const acks: number[] = [];
  const config: RouterConfig = {
    ...defaultRouterSettings,
    nodeName: 'r',
    asn: 65001,
    bgpId: 0x0a00_0001,
    profile: 'fabric',
    networks: [],
    redistribute: {},
    peers,
    ...settings,
  };
  const fib: FibPort = {
    defineSet: redefine,
    redefineSet: redefine,
    releaseSet: (id) => void sets.delete(id),
    apply: ({ seq, family, count, words, lengths, setIds, metrics }) => {
      for (let i = 0; i < count; i++) {
        const size = family === 0 ? 1 : 4;
        const bytes = new Uint8Array(size * 4);
        for (let b = 0; b < bytes.length; b++) bytes[b] = words[i * size + (b >> 2)]! >>> (24 - (b & 3) * 8);
        const key = formatPrefix(bytes, 0, bytes.length, lengths[i]!);
        const members = sets.get(setIds[i]!);
        if (members === undefined) kernel.delete(key);
        else kernel.set(key, members);
        given.push(members === undefined ? `${key} gone` : `${key} ${members} ${metrics?.[i] ?? 0}`);
        if (members === undefined) metricOf.delete(key);
        else metricOf.set(key, metrics?.[i] ?? 0);
      }
      acks.push(seq);
    },
    sweep: () => {},
  };
  const router: Router = new Router(config, clock, {
    connect: () => {},
    close: () => {},
    send: (connection, bytes, length) => {
      for (let at = 0; at < length; at += messageLengthAt(bytes, at))
        if (messageType(bytes, at) === UPDATE) take(fars.get(connection)!, bytes, at);
      return true;
    },
    wake: () => {},
    event: (event) => void events.push(event),
    jitter: () => 1,
    setKey: () => {},
    discover: () => {},
    guestHeard: (address, said) => {
      heard.push(`${formatIp(address)} ${said?.sequence ?? 'nobody'}`);
      life.onHeard?.(router, address);
    },
    ...(life.isReflector !== true && { fib }),
  });
  const run = (ms = 0): void => {
    clock.advanceTo(clock.nowMs() + ms);
    for (let i = 0; i < 1000; i++) {
      const seq = acks.shift();
      if (seq !== undefined) router.fibAcked(seq, []);
      if (!router.work() && acks.length === 0) return;
    }
  };
  if (life.restarting === true) router.beginRestart();
  router.start();
  router.linkChanged({ ifindex: LINK, name: 'eth0', up: true });
  router.localAddress(ip('192.0.2.1'), true, LINK, 24);
  router.localAddress(ip('2001:db8:ffff::1'), true, LINK, 64);
  const subnet = { source: 'connected', metric: 0, ifindex: LINK, protocol: 2 } as const;
  router.kernelRouteAdded({ ...subnet, bytes: ip('192.0.2.0'), length: 24 });
  router.kernelRouteAdded({ ...subnet, bytes: ip('2001:db8:ffff::'), length: 64 });
  run();
  const up = (address: string, asn = 65002, more: Capability[] = []): Far => {
    const peer = router.incoming(ip(address), LINK)!;
    const connection = router.sessions.newConnection();
    const say = (...messages: Uint8Array[]): void => {
      for (const message of messages) router.received(connection, message);
      run();
    };
    const far = { peer, connection, has: new Map(), ended: new Set<string>(), say };
    fars.set(connection, far);
    router.accepted(peer, connection, ip(address.includes(':') ? '2001:db8:ffff::1' : '192.0.2.1'));
    const wanted = familiesIn(peer.config.families).map((id) => families[id]!);
    const capabilities: Capability[] = [
      ...wanted.map(({ afi, safi }) => ({ kind: 'multiprotocol' as const, afi, safi })),
      { kind: 'asn4', asn },
      ...more,
    ];
    say(encodeOpen({ asn, holdTimeS: 90, bgpId: ip(address).at(-1)!, capabilities }), keepaliveMessage);
    run(1000);
    return far;
  };
  return { router, events, kernel, metrics: metricOf, up, run, heard, given };
}

function memberText({ gateway, ifindex, weight, discard }: ForwardingMember): string {
  if (discard) return 'discard';
  return `${gateway === undefined ? '' : formatIp(gateway)}%${ifindex}${weight === 1 ? '' : `*${weight}`}`;
}

/** Takes an UPDATE of the router as its peer does. */
function take(far: Far, bytes: Uint8Array, at: number): void {
  const negotiated = far.peer.negotiated!;
  const addPath = negotiated.addPathSend;
  const ctx = { asn4: true, internal: negotiated.internal, families: negotiated.families, addPath };
  const view = new UpdateDecoder().decode(bytes, at + HEADER_LENGTH, at + messageLengthAt(bytes, at), ctx);
  if (view.fault !== undefined) throw new Error(`the router sent: ${view.fault.reason}`);
  if (view.endOfRib >= 0) far.ended.add(families[view.endOfRib]!.name);
  for (let i = 0; i < view.sectionCount; i++) {
    const family = view.sectionFamily[i]!;
    const hopAt = view.nextHopStart[i]!;
    for (let n = view.sectionStart[i]!; n < view.sectionEnd[i]!; ) {
      const hasId = (addPath & (1 << family)) !== 0;
      const id = hasId ? `${readU32(bytes, n)} ` : '';
      if (hasId) n += 4;
      const codec = nlriCodecs[family];
      const size = codec === undefined ? prefixSize(bytes, n) : codec.size(bytes, n);
      const key = id + nlriText(family, bytes, n);
      const nlri = Buffer.from(bytes.subarray(n, n + size)).toString('hex');
      n += size;
      if (view.sectionReach[i] === 0) {
        far.has.delete(key);
        continue;
      }
      const length = view.nextHopLength[i]!;
      const nextHop = length === 0 ? '' : formatIp(view.nextHop, hopAt, length === 32 ? 16 : length);
      far.has.set(key, { nextHop, attributes: describeAttributes(view.attrs, 0, view.attrsLength), nlri });
    }
  }
}

function nlriText(family: number, bytes: Uint8Array, at: number): string {
  const codec = nlriCodecs[family];
  if (codec === undefined) {
    const address = new Uint8Array(families[family]!.addressLength);
    address.set(bytes.subarray(at + 1, at + prefixSize(bytes, at)));
    return formatPrefix(address, 0, address.length, bytes[at]!);
  }
  const key = new ByteWriter(64);
  codec.split(bytes, at, key, new ByteWriter(64));
  return codec.text(key.bytes, 0, key.length);
}
