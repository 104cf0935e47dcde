// What an instance of LXD or Incus says of its links, as bindings. Pure: JSON as the REST API gives it in (`GET
// /1.0/instances/NAME`), bindings and complaints out. Two kinds of NIC are leafd's business:
// - `bridged` on a guest bridge: addresses are the operator's, in the instance's keys `user.leafd.<device>.addresses`
//   and `user.leafd.<device>.allowed`, comma separated; the host's end and the MAC are in LXD's volatile keys;
// - `routed`: taken as it is, its addresses are the device's `ipv4.address` and `ipv6.address`.
// An instance that does not run has no host's end, and so no bindings.

import { parseHostAddress, whyNoGuest, whyNoGuestAddress } from '../intent/guest-address.ts';
import { parseIp } from '../net/ip.ts';
import { parseMac } from '../net/mac.ts';
import { type Prefix, parsePrefix, prefixOf } from '../net/prefix.ts';
import type { Binding } from './binding.ts';

/** Addresses and allowed prefixes of one NIC at most. */
const MAX_ADDRESSES = 64;
const MAX_PREFIXES = 256;
/** NICs of one instance at most. */
const MAX_NICS = 64;

/** The parts of an instance that are read; everything may be absent or of another type. */
export interface LxdInstance {
  name: string;
  project: string;
  /** Member it is on; `none` without a cluster. */
  location: string;
  running: boolean;
  config: Readonly<Record<string, string>>;
  devices: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

export interface LxdSurroundings {
  /** Name of this member; undefined without a cluster. */
  member: string | undefined;
  isGuestBridge(name: string): boolean;
  wallMs: number;
}

export interface LxdBindings {
  bindings: Binding[];
  /** What the operator wrote and cannot be meant, a sentence each. */
  problems: string[];
}

/** Key of an instance: names are unique in their project only. */
export function instanceKey(project: string, name: string): string {
  return project === 'default' ? name : `${project}_${name}`;
}

/** An instance from its JSON, or undefined for what is none. */
export function readInstance(value: unknown): LxdInstance | undefined {
  const fields = record(value);
  if (fields === undefined || typeof fields.name !== 'string' || fields.name === '') return undefined;
  const status = typeof fields.status === 'string' ? fields.status : '';
  return {
    name: fields.name,
    project: typeof fields.project === 'string' && fields.project !== '' ? fields.project : 'default',
    location: typeof fields.location === 'string' && fields.location !== '' ? fields.location : 'none',
    running: status !== '' && status !== 'Stopped' && status !== 'Error',
    config: texts(fields.expanded_config ?? fields.config),
    devices: Object.fromEntries(
      Object.entries(record(fields.expanded_devices ?? fields.devices) ?? {}).map(([name, device]) => [
        name,
        texts(device),
      ]),
    ),
  };
}

/** The bindings of an instance, as it is now; none when it does not run here. */
export function lxdBindings(instance: LxdInstance, around: LxdSurroundings): LxdBindings {
  const found: LxdBindings = { bindings: [], problems: [] };
  const elsewhere = around.member !== undefined && instance.location !== around.member;
  if (!instance.running || elsewhere) return found;
  for (const [name, device] of Object.entries(instance.devices).slice(0, MAX_NICS))
    if (device.type === 'nic') readNic(instance, name, device, around, found);
  return found;
}

function readNic(
  instance: LxdInstance,
  name: string,
  device: Readonly<Record<string, string>>,
  around: LxdSurroundings,
  found: LxdBindings,
): void {
  const { config } = instance;
  const key = instanceKey(instance.project, instance.name);
  const port = config[`volatile.${name}.host_name`] ?? device.host_name;
  if (port === undefined || port === '') return;
  const mac = parseMac(device.hwaddr ?? config[`volatile.${name}.hwaddr`] ?? '');
  const binding = {
    name: `${key}-${name}`,
    source: 'lxd',
    guest: key,
    port,
    sinceMs: around.wallMs,
  } as const;
  const read = new Listing(found.problems, key);
  const allowed = read.prefixes(`user.leafd.${name}.allowed`, config);
  if (device.nictype === 'routed') {
    const given = [...read.addresses('ipv4.address', device), ...read.addresses('ipv6.address', device)];
    found.bindings.push({ ...binding, ...(mac && { mac }), addresses: given, allowed });
    return;
  }
  const bridge = device.parent ?? device.network;
  if (device.nictype !== 'bridged' && device.network === undefined) return;
  if (bridge === undefined || !around.isGuestBridge(bridge)) return;
  const addresses = read.addresses(`user.leafd.${name}.addresses`, config);
  found.bindings.push({ ...binding, ...(mac && { mac }), bridge, addresses, allowed });
}

/** Reads comma separated lists; what is wrong in them is told and left out. */
class Listing {
  private readonly problems: string[];
  private readonly instance: string;

  constructor(problems: string[], instance: string) {
    this.problems = problems;
    this.instance = instance;
  }

  addresses(key: string, from: Readonly<Record<string, string>>): Uint8Array[] {
    return this.items(key, from, MAX_ADDRESSES, (item) => {
      const address = parseHostAddress(item);
      if (!(address instanceof Uint8Array)) return address.reason;
      return whyNoGuestAddress(address) ?? address;
    });
  }

  prefixes(key: string, from: Readonly<Record<string, string>>): Prefix[] {
    return this.items(key, from, MAX_PREFIXES, (item) => {
      const address = parseIp(item);
      const prefix =
        address === undefined ? parsePrefix(item, { strict: true }) : prefixOf(address, address.length * 8);
      if (prefix === undefined) return 'must be a prefix or an address';
      return whyNoGuest(prefix) ?? prefix;
    });
  }

  /** `parse` gives a text where it refuses. */
  private items<Item extends object>(
    key: string,
    from: Readonly<Record<string, string>>,
    limit: number,
    parse: (item: string) => Item | string,
  ): Item[] {
    const found: Item[] = [];
    // `none` is LXD's word for no address of a family.
    const items = (from[key] ?? '').split(/[\s,]+/).filter((item) => item !== '' && item !== 'none');
    if (items.length > limit)
      this.problems.push(`${this.instance}: ${key}: ${items.length} entries, ${limit} are read`);
    for (const item of items.slice(0, limit)) {
      const value = parse(item);
      if (typeof value === 'string')
        this.problems.push(`${this.instance}: ${key}: ${item.slice(0, 64)}: ${value}`);
      else found.push(value);
    }
    return found;
  }
}

function record(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

function texts(value: unknown): Record<string, string> {
  return Object.fromEntries(
    Object.entries(record(value) ?? {}).filter(
      (pair): pair is [string, string] => typeof pair[1] === 'string',
    ),
  );
}

/** Whether two bindings say the same, whenever they were said. */
export function sameBinding(a: Binding, b: Binding): boolean {
  return textOf(a) === textOf(b);
}

function textOf({ name, guest, port, mac, bridge, addresses, allowed, maxAddresses }: Binding): string {
  const prefixes = allowed.map(({ bytes, length }) => `${bytes.join('.')}/${length}`);
  const parts = [name, guest, port, mac?.join(':'), bridge, addresses.map((one) => one.join('.')), prefixes];
  return JSON.stringify([...parts, maxAddresses]);
}

/** What a lifecycle event is about, or undefined where it is not about an instance. */
export interface LxdEvent {
  /** Names in the event's project: the instance's, and after a rename its old one. */
  names: readonly string[];
  project: string;
  location: string;
}

export function readLifecycleEvent(value: unknown): LxdEvent | undefined {
  const event = record(value);
  const metadata = record(event?.metadata);
  if (event === undefined || metadata === undefined || event.type !== 'lifecycle') return undefined;
  if (typeof metadata.action !== 'string' || !metadata.action.startsWith('instance-')) return undefined;
  const found = /^\/1\.0\/(?:instances|containers|virtual-machines)\/([^/?]+)(?:\?|$)/.exec(
    String(metadata.source),
  );
  if (found === null) return undefined;
  const old = record(metadata.context)?.old_name;
  return {
    names: [decoded(found[1]!), ...(typeof old === 'string' && old !== '' ? [old] : [])],
    project: typeof event.project === 'string' && event.project !== '' ? event.project : 'default',
    location: typeof event.location === 'string' && event.location !== '' ? event.location : 'none',
  };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
