// A network for the tests of update groups: a RIB, a group, and receivers that read every byte they are sent
// through the wire room's decoder, as real peers would.

import { expect } from 'vitest';
import { ByteWriter, readU32 } from '../lib/bytes.ts';
import { families, IPV4 } from '../wire/bgp/family.ts';
import { HEADER_LENGTH } from '../wire/bgp/header.ts';
import { ip4At, ip6WordAt, prefixSize } from '../wire/bgp/nlri/ip.ts';
import { nlriCodecs } from '../wire/bgp/nlri/opaque.ts';
import { UpdateDecoder } from '../wire/bgp/update.ts';
import { messageLengthAt } from '../wire/bgp/update-writer.ts';
import { AttributePool } from './attribute-pool.ts';
import type { ExportOptions } from './export-stage.ts';
import { NextHopTable } from './next-hop-table.ts';
import { type PeerColumns, type PeerKind, PeerTable } from './peer-table.ts';
import { Rib } from './rib.ts';
import type { RouteFilter } from './route-filter.ts';
import { attributeBytes, type SampleAttributes } from './sample-attributes.test-data.ts';
import { type GroupPort, UpdateGroup } from './update-group.ts';

export const LOCAL_AS = 65000;
export const ROUTER_ID = 0x0a00_0001;
export const P = 0x0a01_0100;

/** What one member holds after reading every byte it was sent, as a real peer would. */
export class Receiver {
  readonly routes = new Map<string, string>();
  readonly decoder = new UpdateDecoder();
  readonly family: number;
  readonly kind: PeerKind;
  readonly addPath: boolean;
  dumped = 0;
  messages = 0;
  /** Withdrawals of what it does not have, and announcements of what it has already. */
  superfluous = 0;

  constructor(family: number, kind: PeerKind, addPath: boolean) {
    this.family = family;
    this.kind = kind;
    this.addPath = addPath;
  }

  read(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += messageLengthAt(bytes, at)) {
      this.messages++;
      this.#update(bytes, at + HEADER_LENGTH, at + messageLengthAt(bytes, at));
    }
  }

  #update(bytes: Uint8Array, start: number, end: number): void {
    const mask = 1 << this.family;
    const view = this.decoder.decode(bytes, start, end, {
      asn4: true,
      internal: this.kind === 'internal',
      confederation: this.kind !== 'external',
      families: mask,
      addPath: this.addPath ? mask : 0,
    });
    expect(view.fault).toBeUndefined();
    for (let i = 0; i < view.sectionCount; i++) {
      const hop = view.nextHop.slice(view.nextHopStart[i]!, view.nextHopStart[i]! + view.nextHopLength[i]!);
      const attributes = Buffer.from(view.attrs.slice(0, view.attrsLength)).toString('hex');
      for (let at = view.sectionStart[i]!; at < view.sectionEnd[i]!; ) {
        const pathId = this.addPath ? readU32(bytes, at) : 0;
        if (this.addPath) at += 4;
        const [key, rest, size] = this.#nlri(bytes, at);
        at += size;
        const told = `${attributes}${rest} via ${Buffer.from(hop).toString('hex')}`;
        this.#note(pathId === 0 ? key : `${key} #${pathId}`, view.sectionReach[i] === 1, told);
      }
    }
  }

  /** Key, what is carried beside it, and size. */
  #nlri(bytes: Uint8Array, at: number): [string, string, number] {
    const codec = nlriCodecs[this.family];
    if (codec !== undefined) {
      const [key, rest] = [new ByteWriter(), new ByteWriter()];
      codec.split(bytes, at, key, rest);
      const text = codec.text(key.bytes, 0, key.length);
      return [text, ` + ${Buffer.from(rest.take()).toString('hex')}`, codec.size(bytes, at)];
    }
    const key =
      this.family === IPV4
        ? `${ip4At(bytes, at)}/${bytes[at]}`
        : `${[0, 1, 2, 3].map((word) => ip6WordAt(bytes, at, word))}/${bytes[at]}`;
    return [key, '', prefixSize(bytes, at)];
  }

  #note(key: string, reach: boolean, told: string): void {
    const known = this.routes.get(key);
    if (reach) {
      if (known === told) this.superfluous++;
      this.routes.set(key, told);
    } else {
      if (known === undefined) this.superfluous++;
      this.routes.delete(key);
    }
  }
}

const external: ExportOptions = {
  kind: 'external',
  localAsn: LOCAL_AS,
  rrClients: false,
  clusterId: ROUTER_ID,
  nextHopSelf: 'never',
  nextHopLength: 4,
  asn4: true,
  maxMessage: 4096,
};

export function network(
  options: Partial<ExportOptions> = {},
  filter?: RouteFilter,
  family: number = IPV4,
  identity: { confederationId?: number } = {},
) {
  const all = { ...external, ...options };
  const pool = new AttributePool({ asn: LOCAL_AS, routerId: ROUTER_ID, clusterId: ROUTER_ID, ...identity });
  const nextHops = new NextHopTable();
  const peers = new PeerTable();
  const rib = new Rib(family, pool, nextHops, peers);
  const receivers: (Receiver | undefined)[] = [];
  const port: GroupPort = {
    send: (member, bytes) => receivers[member]?.read(bytes),
    dumped: (member) => {
      receivers[member]!.dumped++;
    },
  };
  const group = new UpdateGroup(rib, all, filter, port);
  const hop = (last: number): number => {
    const bytes = new Uint8Array(families[family]!.addressLength === 16 ? 16 : 4).fill(32);
    bytes[bytes.length - 1] = last;
    const id = nextHops.intern(bytes, 0, bytes.length, 0);
    nextHops.setState(id, true, 0);
    return id;
  };
  const peer = (kind: PeerKind, n: number, rrClient = false, more: Partial<PeerColumns> = {}): number =>
    peers.add({
      kind,
      asn: kind === 'internal' ? LOCAL_AS : 65100 + n,
      bgpId: 100 + n,
      address: new Uint8Array([10, 9, 0, n]),
      rrClient,
      acceptAsSet: true,
      moves: true,
      ...more,
    });
  const ownHop = (peerIndex: number): Uint8Array => {
    const bytes = new Uint8Array(all.nextHopLength).fill(128 + peerIndex);
    // 32 bytes are a global and a link-local address (RFC 2545 section 3).
    if (bytes.length === 32) bytes.set([0xfe, 0x80, 0, 0, 0, 0, 0, 0], 16);
    return bytes;
  };
  const join = (peerIndex: number): number => {
    const member = group.join(peerIndex, ownHop(peerIndex));
    receivers[member] = new Receiver(family, all.kind, all.addPath !== undefined);
    return member;
  };
  const leave = (member: number): void => {
    group.leave(member);
    receivers[member] = undefined;
  };
  const say = (
    from: number,
    prefix: number,
    attributes: SampleAttributes,
    hopId: number,
    pathId = 0,
  ): number => {
    const bytes = attributeBytes(attributes);
    const attrId = pool.intern(bytes, 0, bytes.length);
    const words = family === IPV4 ? [prefix, 0, 0] : [0x2001_0db8, prefix, 0];
    const id = rib.announceOne(
      from,
      words[0]!,
      words[1]!,
      words[2]!,
      0,
      family === IPV4 ? 24 : 64,
      pathId,
      attrId,
      hopId,
    );
    pool.release(attrId);
    return id;
  };
  /** As `say` for a family whose NLRI are more than prefixes; `key` in words. */
  const sayKey = (
    from: number,
    key: string,
    rest: readonly number[],
    attributes: SampleAttributes,
    hopId: number,
  ): number => {
    const bytes = attributeBytes(attributes);
    const attrId = pool.intern(bytes, 0, bytes.length);
    const keyBytes = nlriCodecs[family]!.parse(key)!;
    const id = rib.announceNlri(from, keyBytes, Uint8Array.from(rest), 0, attrId, hopId);
    pool.release(attrId);
    return id;
  };
  const decide = (max = 1000): void => {
    do {
      const more = rib.decide(max);
      for (let i = 0; i < rib.changes.count; i++) group.enqueue(rib.changes.ids[i]!);
      if (!more) break;
    } while (max === 1000);
  };
  const settle = (): void => {
    while (rib.work(1000));
    decide();
    while (group.flush(1000));
    rib.decide(0);
  };
  const keyOf = (id: number): string => {
    if (rib.form === 'opaque') return rib.nlriText(id);
    const { address, length, words } = rib.table;
    return `${address.slice(id * words, id * words + words)}/${length[id]}`;
  };
  /** What a member must hold, from the group's columns. */
  const adjRibOut = (member: number, peerIndex: number): Map<string, string> => {
    const expected = new Map<string, string>();
    for (let id = rib.nextPrefix(0); id >= 0; id = rib.nextPrefix(id + 1)) {
      for (const { pathId, attrId, nextHopId, nlriDataId, source } of group.pathsOut(id)) {
        if (source === peerIndex && !group.stage.reflectsBack) continue;
        expect(group.hasSent(member, id)).toBe(true);
        const via = nextHopId === 0 ? ownHop(peerIndex) : nextHops.addressOf(nextHopId);
        const attributes = Buffer.from(pool.copyOf(attrId)).toString('hex');
        const rest = Buffer.from(rib.nlriData.copyOf(nlriDataId)).toString('hex');
        expected.set(
          pathId === 0 ? keyOf(id) : `${keyOf(id)} #${pathId}`,
          `${attributes}${rib.form === 'opaque' ? ` + ${rest}` : ''} via ${Buffer.from(via).toString('hex')}`,
        );
      }
    }
    expect(group.routeCountOf(member)).toBe(expected.size);
    return expected;
  };
  return {
    rib,
    pool,
    nextHops,
    peers,
    group,
    receivers,
    hop,
    peer,
    join,
    leave,
    say,
    sayKey,
    decide,
    settle,
    adjRibOut,
  };
}

export type Network = ReturnType<typeof network>;

export function filterOf(evaluate: RouteFilter['evaluate'], reads: Partial<RouteFilter> = {}): RouteFilter {
  return { readsPrefix: false, readsNextHop: false, readsPeer: false, ...reads, evaluate };
}
