// Views of guests, made from what the table of guests tells of itself: bindings with their addresses, ports, and
// addresses, as rows. Times of rows are milliseconds since 1970, for bindings outlive the process. A binding is shown
// with the addresses that are there of it; addresses that no binding is for are shown by their port, and those that
// have neither (frozen, their port gone) by themselves.

import type { AddressReason, AddressState, Binding } from '../guests/binding.ts';
import { formatIp } from '../net/ip.ts';
import { formatMac } from '../net/mac.ts';
import { prefixText } from '../net/prefix.ts';
import { addressReason, refusalReason, stateTexts } from './guest-texts.ts';
import type {
  GuestAddressView,
  GuestCountsView,
  GuestRefusalView,
  GuestStateView,
  GuestView,
  GuestWhyView,
} from './views.ts';

export interface GuestAddressRow {
  address: Uint8Array;
  state: AddressState;
  reason: AddressReason;
  sinceMs: number;
  /** Name of its binding; absent where it was learned without one. */
  binding?: string | undefined;
  /** Name of the port it is on, or was. */
  port?: string | undefined;
  mac?: Uint8Array | undefined;
  sequence: number;
  fresh: boolean;
  /** The highest sequence that other nodes announce it with now. */
  heard?: number | undefined;
}

export type Counts = Readonly<Partial<Record<string, number>>>;

export interface GuestBindingRow {
  binding: Binding;
  /** The configured binding that beats it: then it has no part in anything. */
  shadowedBy?: string | undefined;
  /** Where it is now. */
  port?: string | undefined;
  mac?: Uint8Array | undefined;
  /** Those it names, then those learned on its port. */
  addresses: readonly GuestAddressRow[];
  refused: Counts;
}

export interface GuestPortRow {
  ifindex: number;
  name: string;
  bridge?: string | undefined;
  /** Has carrier. */
  up: boolean;
  binding?: string | undefined;
  mac?: Uint8Array | undefined;
  refused: Counts;
}

export interface GuestRefusalRow {
  /** When it happened last. */
  lastMs: number;
  refusal: string;
  port: string;
  mac?: Uint8Array | undefined;
  binding?: string | undefined;
  count: number;
}

export interface GuestRows {
  bindings: readonly GuestBindingRow[];
  addresses: readonly GuestAddressRow[];
  ports: readonly GuestPortRow[];
  /** Of the whole machine; absent: those of the ports that are there. */
  refused?: Counts;
  /** Packets that the kernel dropped, by port and reason. */
  drops?: ReadonlyMap<number, Counts> | undefined;
}

/** Guests, or those of some names: bindings in their order, then what no binding is for. */
export function guestViews(rows: GuestRows, wallMs: number, names?: ReadonlySet<string>): GuestView[] {
  const wanted = (name: string): boolean => names === undefined || names.has(name);
  const ports = new Map(rows.ports.map((port) => [port.name, port]));
  const taken = new Set(rows.bindings.map((one) => one.binding.name));
  const views: GuestView[] = [];
  for (const row of rows.bindings)
    if (wanted(row.binding.name))
      views.push(bindingView(row, ports.get(row.port ?? row.binding.port ?? ''), rows, wallMs));
  const others = new Map<string, GuestAddressRow[]>();
  for (const row of rows.addresses) {
    if (row.binding !== undefined && taken.has(row.binding)) continue;
    const name = row.port ?? formatIp(row.address);
    const group = others.get(name);
    if (group === undefined) others.set(name, [row]);
    else group.push(row);
  }
  for (const [name, addresses] of others)
    if (wanted(name) && !taken.has(name))
      views.push(learnedView(name, addresses, ports.get(name), rows, wallMs));
  return views;
}

function bindingView(
  row: GuestBindingRow,
  port: GuestPortRow | undefined,
  rows: GuestRows,
  wallMs: number,
): GuestView {
  const { binding, shadowedBy } = row;
  const { guest, maxAddresses, expected } = binding;
  const name = row.port ?? binding.port;
  const mac = row.mac ?? binding.mac;
  const bridge = port?.bridge ?? binding.bridge;
  return {
    name: binding.name,
    source: binding.source,
    ...(guest !== undefined && { guest }),
    ...(name !== undefined && { port: name }),
    ...(mac !== undefined && { mac: formatMac(mac) }),
    ...(bridge !== undefined && { bridge }),
    ...standing(gravest(row.addresses) ?? withoutAddress(row, port), wallMs),
    addresses: row.addresses.map((one) => addressView(one, wallMs)),
    allowed: binding.allowed.map(prefixText),
    ...(maxAddresses !== undefined && { maxAddresses }),
    ...(expected !== undefined && { expected: expectedView(expected, wallMs) }),
    ...(shadowedBy !== undefined && { shadowedBy }),
    ...countsOf('refused', row.refused),
    ...countsOf('dropped', row.port === undefined ? undefined : dropsOf(port, rows)),
  };
}

function learnedView(
  name: string,
  addresses: readonly GuestAddressRow[],
  port: GuestPortRow | undefined,
  rows: GuestRows,
  wallMs: number,
): GuestView {
  const mac = port?.mac ?? addresses.find((one) => one.mac !== undefined)?.mac;
  const there = addresses[0]!.port;
  return {
    name,
    source: 'learned',
    ...(there !== undefined && { port: there }),
    ...(mac !== undefined && { mac: formatMac(mac) }),
    ...(port?.bridge !== undefined && { bridge: port.bridge }),
    ...standing(gravest(addresses)!, wallMs),
    addresses: addresses.map((one) => addressView(one, wallMs)),
    allowed: [],
    ...countsOf('refused', port?.refused),
    ...countsOf('dropped', dropsOf(port, rows)),
  };
}

const dropsOf = (port: GuestPortRow | undefined, { drops }: GuestRows): Counts | undefined =>
  port === undefined ? undefined : drops?.get(port.ifindex);

/** Counts that are not zero, under their key; nothing where there are none. */
function countsOf(key: 'refused' | 'dropped', counts: Counts = {}): Pick<GuestView, 'refused' | 'dropped'> {
  const some = Object.entries(counts).filter((entry): entry is [string, number] => (entry[1] ?? 0) > 0);
  return some.length === 0 ? {} : { [key]: Object.fromEntries(some) };
}

type Standing = Pick<GuestAddressRow, 'state' | 'reason' | 'sinceMs'>;

/** What needs a look first comes first. */
const gravity: readonly AddressState[] = ['frozen', 'moved', 'expected', 'waiting', 'attached', 'learned'];

function gravest(addresses: readonly GuestAddressRow[]): Standing | undefined {
  let worst: GuestAddressRow | undefined;
  for (const one of addresses)
    if (worst === undefined || gravity.indexOf(one.state) < gravity.indexOf(worst.state)) worst = one;
  return worst;
}

/** A binding of which no address is there yet. */
function withoutAddress(row: GuestBindingRow, port: GuestPortRow | undefined): Standing {
  const { expected, sinceMs } = row.binding;
  if (row.shadowedBy !== undefined) return { state: 'waiting', reason: 'configured', sinceMs };
  if (expected !== undefined) return { state: 'expected', reason: 'migration', sinceMs };
  if (port === undefined) return { state: 'waiting', reason: 'noPort', sinceMs };
  if (!port.up) return { state: 'waiting', reason: 'noCarrier', sinceMs };
  return { state: 'attached', reason: 'bound', sinceMs };
}

function times(atMs: number, wallMs: number): { since: string; sinceSeconds: number } {
  return { since: new Date(atMs).toISOString(), sinceSeconds: secondsBetween(atMs, wallMs) };
}

const secondsBetween = (from: number, to: number): number => Math.max(0, Math.floor((to - from) / 1000));

function standing({ state, reason, sinceMs }: Standing, wallMs: number) {
  return { state, reason: addressReason(reason), ...times(sinceMs, wallMs) };
}

function expectedView(
  { from, untilMs, qmp }: NonNullable<Binding['expected']>,
  wallMs: number,
): NonNullable<GuestView['expected']> {
  return {
    ...(from !== undefined && { from }),
    until: new Date(untilMs).toISOString(),
    remainingSeconds: secondsBetween(wallMs, untilMs),
    ...(qmp !== undefined && { qmp }),
  };
}

function addressView(row: GuestAddressRow, wallMs: number): GuestAddressView {
  const { binding, port, mac } = row;
  return {
    address: formatIp(row.address),
    ...standing(row, wallMs),
    ...(binding !== undefined && { binding }),
    ...(port !== undefined && { port }),
    ...(mac !== undefined && { mac: formatMac(mac) }),
    sequence: row.sequence,
    fresh: row.fresh,
  };
}

/** Of the whole machine, counted without a row for each. */
export interface GuestSums {
  bindings: number;
  ports: number;
  /** Addresses by their state; absent: none. */
  addresses: Partial<Record<AddressState, number>>;
  refused: Counts;
  /** As in `GuestRows`. */
  drops?: ReadonlyMap<number, Counts> | undefined;
}

/** As `guestSumsView`, of rows. */
export function guestCounts(
  rows: GuestRows,
  failures?: readonly string[],
  unheard?: number,
): GuestCountsView {
  const addresses: GuestSums['addresses'] = {};
  for (const { state } of rows.addresses) addresses[state] = (addresses[state] ?? 0) + 1;
  const { bindings, ports, drops } = rows;
  const refused = rows.refused ?? sum(ports.map((port) => port.refused));
  const sums = { bindings: bindings.length, ports: ports.length, addresses, refused, drops };
  return guestSumsView(sums, failures, unheard);
}

const noAddresses: Readonly<Record<GuestStateView, number>> = {
  attached: 0,
  learned: 0,
  waiting: 0,
  expected: 0,
  moved: 0,
  frozen: 0,
};

/** Of the whole machine; `failures` are texts of what the kernel has not taken. */
export function guestSumsView(
  { bindings, ports, addresses, refused, drops }: GuestSums,
  failures: readonly string[] = [],
  unheard = 0,
): GuestCountsView {
  return {
    bindings,
    ports,
    addresses: { ...noAddresses, ...addresses },
    refused: countsOf('refused', refused).refused ?? {},
    ...countsOf('dropped', sum([...(drops?.values() ?? [])])),
    ...(unheard > 0 && { unheard }),
    ...(failures.length > 0 && { failures: [...failures] }),
  };
}

function sum(parts: readonly Counts[]): Counts {
  const all: Record<string, number> = {};
  for (const part of parts)
    for (const [name, count] of Object.entries(part)) all[name] = (all[name] ?? 0) + (count ?? 0);
  return all;
}

export function guestRefusalView(row: GuestRefusalRow, wallMs: number): GuestRefusalView {
  const { mac, binding } = row;
  return {
    at: new Date(row.lastMs).toISOString(),
    ageSeconds: secondsBetween(row.lastMs, wallMs),
    reason: refusalReason(row.refusal),
    port: row.port,
    ...(mac !== undefined && { mac: formatMac(mac) }),
    ...(binding !== undefined && { binding }),
    count: row.count,
  };
}

/** What is known of an address; nothing of all this: it is no guest's, and nobody asked for it. */
export interface GuestWhyParts {
  row?: GuestAddressRow | undefined;
  /** That of the row, or one that names the address. */
  binding?: Binding | undefined;
  /** Whose it is when it can be no guest's. */
  reserved?: string | undefined;
  /** The latest first. */
  refusals: readonly GuestRefusalRow[];
}

/** The explanation of an address as a guest's, or undefined. */
export function guestWhy(
  address: Uint8Array,
  parts: GuestWhyParts,
  wallMs: number,
): GuestWhyView | undefined {
  const { row, binding, reserved, refusals } = parts;
  if (row === undefined && binding === undefined && reserved === undefined && refusals.length === 0)
    return undefined;
  const text = formatIp(address);
  const port = row?.port ?? binding?.port;
  const mac = row?.mac ?? binding?.mac;
  return {
    address: text,
    summary: whySummary(text, parts),
    ...(row !== undefined && { ...standing(row, wallMs), sequence: row.sequence, fresh: row.fresh }),
    ...(binding !== undefined && { binding: binding.name }),
    ...(binding?.guest !== undefined && { guest: binding.guest }),
    ...(port !== undefined && { port }),
    ...(mac !== undefined && { mac: formatMac(mac) }),
    ...(binding?.expected !== undefined && { expected: expectedView(binding.expected, wallMs) }),
    ...(row?.heard !== undefined && { heardSequence: row.heard }),
    ...(reserved !== undefined && { reserved }),
    refusals: refusals.map((one) => guestRefusalView(one, wallMs)),
  };
}

function whySummary(address: string, { row, binding, reserved, refusals }: GuestWhyParts): string {
  if (row !== undefined) {
    const whose = binding === undefined ? `of port ${row.port ?? '?'}` : `of ${binding.name}`;
    return `${address} ${whose} ${stateTexts[row.state]}: ${addressReason(row.reason).text}`;
  }
  if (reserved !== undefined) return `${address} can be no guest's: it is reserved (${reserved})`;
  if (binding !== undefined) return `${address} is named by ${binding.name} and not there yet`;
  const last = refusals[0]!;
  return `${address} is no guest's here; port ${last.port} claimed it: ${refusalReason(last.refusal).text}`;
}
