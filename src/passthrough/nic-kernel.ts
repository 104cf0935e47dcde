// One namespace as the mover of NICs sees it: everything of a link is read by dumps at once, and written message by
// message, each with its own answer. Settings of a link are files of the namespace below /proc/sys.

import { closeSync, openSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { decodeWholeAddress, encodeAddressDump } from '../netlink/address.ts';
import { decodeLink, encodeLinkDump, encodeLinkSet, type Link, type LinkChange } from '../netlink/link.ts';
import {
  type MessageWriter,
  RTM_NEWLINK,
  RTM_NEWNEIGH,
  RTM_NEWROUTE,
  RTPROT_LEAFD,
} from '../netlink/message.ts';
import { decodeNeighbour, encodeNeighbourDump, NTF_PROXY, NUD_PERMANENT } from '../netlink/neighbour.ts';
import { netnsPath, withNetns } from '../netlink/netns.ts';
import { decodeNexthop, encodeNexthopDump, type Nexthop } from '../netlink/nexthop.ts';
import { encodeRouteDump } from '../netlink/route.ts';
import { isAbsentTable } from '../netlink/route-feed.ts';
import { AF_INET, AF_INET6 } from '../netlink/sys.ts';
import { decodeWholeRoute, type WholeRoute } from '../netlink/whole-route.ts';
import { type Fault, NO_ANSWER, refusal } from './fault.ts';
import type { Side } from './nic-port.ts';
import { type SavedAddress, type SavedNeighbour, saveAddress, saveNeighbour } from './nic-record.ts';
import { type SavedRoute, saveRoute } from './nic-routes.ts';

const BATCH = 500;
/** Directories of settings that each link has. */
const SETTINGS = [
  'net/ipv4/conf',
  'net/ipv6/conf',
  'net/ipv4/neigh',
  'net/ipv6/neigh',
  'net/mpls/conf',
] as const;
/** Read again and written again: setting one may change another. */
const SETTING_PASSES = 2;
const OWNER_WRITES = 0o200;

export class NicKernel {
  readonly #side: Side;

  constructor(side: Side) {
    this.#side = side;
  }

  links(): Link[] {
    const found: Link[] = [];
    this.#side.rtnl.dumpNow({
      encode: encodeLinkDump,
      onMessage: (type, _flags, bytes, start, end) => {
        const link = type === RTM_NEWLINK ? decodeLink(bytes, start, end) : undefined;
        if (link) found.push(link);
      },
    });
    return found;
  }

  /** Addresses as they are kept, by ifindex. */
  addresses(): Map<number, SavedAddress[]> {
    const found = new Map<number, SavedAddress[]>();
    this.#side.rtnl.dumpNow({
      encode: (writer, seq) => encodeAddressDump(writer, seq),
      onMessage: (_type, _flags, bytes, start, end) => {
        const address = decodeWholeAddress(bytes, start, end);
        const saved = address && saveAddress(address);
        if (!address || !saved) return;
        const list = found.get(address.ifindex);
        if (list === undefined) found.set(address.ifindex, [saved]);
        else list.push(saved);
      },
    });
    return found;
  }

  /** All routes of all tables that can be kept. */
  routes(links: readonly Link[]): SavedRoute[] {
    const told: WholeRoute[] = [];
    for (const family of [AF_INET, AF_INET6]) this.#dumpRoutes(family, told);
    const objects = told.some((route) => route.nhid !== 0) ? this.#nexthops() : new Map<number, Nexthop>();
    const names = new Map(links.map((link) => [link.ifindex, link.name]));
    return told.flatMap((route) => saveRoute(route, (ifindex) => names.get(ifindex), objects) ?? []);
  }

  #dumpRoutes(family: number, told: WholeRoute[]): void {
    try {
      this.#side.rtnl.dumpNow({
        encode: (writer, seq) => encodeRouteDump(writer, seq, family, 0),
        onMessage: (type, _flags, bytes, start, end) => {
          const route = type === RTM_NEWROUTE ? decodeWholeRoute(bytes, start, end) : undefined;
          if (route) told.push(route);
        },
      });
    } catch (error) {
      if (!isAbsentTable(error)) throw error;
    }
  }

  #nexthops(): Map<number, Nexthop> {
    const objects = new Map<number, Nexthop>();
    this.#side.rtnl.dumpNow({
      encode: encodeNexthopDump,
      onMessage: (_type, _flags, bytes, start, end) => {
        const object = decodeNexthop(bytes, start, end);
        if (object) objects.set(object.id, object);
      },
    });
    return objects;
  }

  /** What somebody entered by hand: permanent neighbours, and those answered for by proxy. */
  neighbours(ifindex: number): SavedNeighbour[] {
    const found: SavedNeighbour[] = [];
    for (const flags of [0, NTF_PROXY])
      this.#side.rtnl.dumpNow({
        encode: (writer, seq) => encodeNeighbourDump(writer, seq, 0, flags),
        onMessage: (type, _flags, bytes, start, end) => {
          const neighbour = type === RTM_NEWNEIGH ? decodeNeighbour(bytes, start, end) : undefined;
          if (neighbour?.ifindex !== ifindex || neighbour.protocol === RTPROT_LEAFD) return;
          if (flags !== 0 || (neighbour.state & NUD_PERMANENT) !== 0) found.push(saveNeighbour(neighbour));
        },
      });
    return found;
  }

  setLink(change: LinkChange): Fault | undefined {
    return this.write([change], encodeLinkSet)[0]?.fault;
  }

  /** Writes a message for each item; the items that the kernel refused, each with its words. */
  write<T>(
    items: readonly T[],
    encode: (writer: MessageWriter, seq: number, item: T) => void,
  ): { item: T; fault: Fault }[] {
    const refused: { item: T; fault: Fault }[] = [];
    for (let from = 0; from < items.length; from += BATCH) {
      const part = items.slice(from, from + BATCH);
      const { outcome, failed } = this.#side.rtnl.write((writer, firstSeq) => {
        part.forEach((item, i) => void encode(writer, firstSeq + i, item));
      });
      if (outcome === 'unknown') part.forEach((item) => void refused.push({ item, fault: NO_ANSWER }));
      else
        for (const failure of failed) refused.push({ item: part[failure.index]!, fault: refusal(failure) });
    }
    return refused;
  }

  /** Opens the namespace for the time of the call, so that links can be put into it. */
  withFd<T>(use: (netnsFd: number) => T): T {
    const { netns } = this.#side;
    const fd = openSync(netns === undefined ? '/proc/thread-self/ns/net' : netnsPath(netns), 'r');
    try {
      return use(fd);
    } finally {
      closeSync(fd);
    }
  }

  /** Settings of a link that can be written, with their values. */
  settings(name: string): Record<string, string> {
    const found: Record<string, string> = {};
    this.#inside(() => {
      for (const directory of SETTINGS)
        for (const key of entries(`/proc/sys/${directory}/${name}`)) {
          const path = `${directory}/${name}/${key}`;
          const value = isWritable(path) ? readSetting(path) : undefined;
          if (value !== undefined) found[path] = value;
        }
    });
    return found;
  }

  /** Gives settings these values, where they have others; what could not be. */
  setSettings(wanted: Readonly<Record<string, string>>): string[] {
    const failed = new Map<string, string>();
    const paths = Object.keys(wanted).sort((a, b) => Number(isSwitch(b)) - Number(isSwitch(a)));
    this.#inside(() => {
      for (let pass = 0; pass < SETTING_PASSES; pass++)
        for (const path of paths) {
          const fault = setSetting(path, wanted[path]!);
          if (fault === undefined) failed.delete(path);
          else failed.set(path, `${path}: ${fault}`);
        }
    });
    return [...failed.values()];
  }

  #inside<T>(use: () => T): T {
    const { netns } = this.#side;
    return netns === undefined ? use() : withNetns(netns, use);
  }
}

/** While IPv6 is switched off on a link it has no other settings to speak of. */
const isSwitch = (path: string): boolean => path.endsWith('/disable_ipv6');

function entries(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return [];
  }
}

function isWritable(path: string): boolean {
  try {
    return (statSync(`/proc/sys/${path}`).mode & OWNER_WRITES) !== 0;
  } catch {
    return false;
  }
}

// A setting that has no value yet (stable_secret) answers with an error.
function readSetting(path: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${path}`, 'utf8').trim();
  } catch {
    return undefined;
  }
}

function setSetting(path: string, value: string): string | undefined {
  const before = readSetting(path);
  if (before === value) return undefined;
  try {
    writeFileSync(`/proc/sys/${path}`, value);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}
