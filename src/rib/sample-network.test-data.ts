// A network for the tests of update groups: a RIB, a group, and receivers that read every byte they are sent
// through the wire room's decoder, as real peers would.

import { expect } from 'vitest';
import { IPV4 } from '../wire/bgp/family.ts';
import { HEADER_LENGTH } from '../wire/bgp/header.ts';
import { ip4At, ip6WordAt, prefixSize } from '../wire/bgp/nlri/ip.ts';
import { UpdateDecoder } from '../wire/bgp/update.ts';
import { messageLengthAt } from '../wire/bgp/update-writer.ts';
import { AttributePool } from './attribute-pool.ts';
import type { ExportOptions } from './export-stage.ts';
import { NextHopTable } from './next-hop-table.ts';
import { PeerTable } from './peer-table.ts';
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
  readonly internal: boolean;
  dumped = 0;
  messages = 0;
  /** Withdrawals of what it does not have, and announcements of what it has already. */
  superfluous = 0;

  constructor(family: number, internal: boolean) {
    this.family = family;
    this.internal = internal;
  }

  read(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += messageLengthAt(bytes, at)) {
      this.messages++;
      this.#update(bytes, at + HEADER_LENGTH, at + messageLengthAt(bytes, at));
    }
  }

  #update(bytes: Uint8Array, start: number, end: number): void {
    const families = 1 << this.family;
    const view = this.decoder.decode(bytes, start, end, {
      asn4: true,
      internal: this.internal,
      families,
      addPath: 0,
    });
    expect(view.fault).toBeUndefined();
    for (let i = 0; i < view.sectionCount; i++) {
      const hop = view.nextHop.slice(view.nextHopStart[i]!, view.nextHopStart[i]! + view.nextHopLength[i]!);
      const attributes = Buffer.from(view.attrs.slice(0, view.attrsLength)).toString('hex');
      const told = `${attributes} via ${Buffer.from(hop).toString('hex')}`;
      for (let at = view.sectionStart[i]!; at < view.sectionEnd[i]!; at += prefixSize(bytes, at)) {
        const key =
          this.family === IPV4
            ? `${ip4At(bytes, at)}/${bytes[at]}`
            : `${[0, 1, 2, 3].map((word) => ip6WordAt(bytes, at, word))}/${bytes[at]}`;
        const known = this.routes.get(key);
        if (view.sectionReach[i] === 1) {
          if (known === told) this.superfluous++;
          this.routes.set(key, told);
        } else {
          if (known === undefined) this.superfluous++;
          this.routes.delete(key);
        }
      }
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

export function network(options: Partial<ExportOptions> = {}, filter?: RouteFilter, family: number = IPV4) {
  const all = { ...external, ...options };
  const pool = new AttributePool({ asn: LOCAL_AS, routerId: ROUTER_ID, clusterId: ROUTER_ID });
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
    const bytes = new Uint8Array(family === IPV4 ? 4 : 16).fill(32);
    bytes[bytes.length - 1] = last;
    const id = nextHops.intern(bytes, 0, bytes.length, 0);
    nextHops.setState(id, true, 0);
    return id;
  };
  const peer = (kind: 'external' | 'internal', n: number, rrClient = false): number =>
    peers.add({
      kind,
      asn: 65100 + n,
      bgpId: 100 + n,
      address: new Uint8Array([10, 9, 0, n]),
      rrClient,
      acceptAsSet: true,
    });
  const ownHop = (peerIndex: number): Uint8Array => {
    const bytes = new Uint8Array(all.nextHopLength).fill(128 + peerIndex);
    // 32 bytes are a global and a link-local address (RFC 2545 section 3).
    if (bytes.length === 32) bytes.set([0xfe, 0x80, 0, 0, 0, 0, 0, 0], 16);
    return bytes;
  };
  const join = (peerIndex: number): number => {
    const member = group.join(peerIndex, ownHop(peerIndex));
    receivers[member] = new Receiver(family, all.kind === 'internal');
    return member;
  };
  const leave = (member: number): void => {
    group.leave(member);
    receivers[member] = undefined;
  };
  const say = (from: number, prefix: number, attributes: SampleAttributes, hopId: number): number => {
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
      0,
      attrId,
      hopId,
    );
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
  /** What a member must hold, from the group's columns. */
  const adjRibOut = (member: number, peerIndex: number): Map<string, string> => {
    const expected = new Map<string, string>();
    for (let id = rib.nextPrefix(0); id >= 0; id = rib.nextPrefix(id + 1)) {
      const attrId = group.attrOut(id);
      if (attrId === 0 || group.sourceOf(id) === peerIndex) continue;
      expect(group.hasSent(member, id)).toBe(true);
      const hopId = group.nextHopOut(id);
      const via = hopId === 0 ? ownHop(peerIndex) : nextHops.addressOf(hopId);
      const { address, length, words } = rib.table;
      const key = `${address.slice(id * words, id * words + words)}/${length[id]}`;
      const attributes = Buffer.from(pool.copyOf(attrId)).toString('hex');
      expected.set(key, `${attributes} via ${Buffer.from(via).toString('hex')}`);
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
    decide,
    settle,
    adjRibOut,
  };
}

export type Network = ReturnType<typeof network>;

export function filterOf(evaluate: RouteFilter['evaluate'], reads: Partial<RouteFilter> = {}): RouteFilter {
  return { readsPrefix: false, readsNextHop: false, readsPeer: false, ...reads, evaluate };
}
