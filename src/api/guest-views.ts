// Views of guests, made from what the table of guests tells: bindings, addresses and ports, as rows. Times of rows
// are milliseconds since 1970, for bindings outlive the process. A binding is shown with the addresses that are
// there of it; addresses that no binding is for are shown by their port.

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
}

export interface GuestPortRow {
  name: string;
  bridge?: string | undefined;
  carrier: boolean;
  /** MACs seen or bound on it. */
  macs: readonly Uint8Array[];
  /** Claims refused and packets dropped, by refusal. */
  refused: Readonly<Record<string, number>>;
}

export interface GuestRefusalRow {
  atMs: number;
  refusal: string;
  port: string;
  address?: Uint8Array | undefined;
  mac?: Uint8Array | undefined;
  binding?: string | undefined;
  count: number;
}

export interface GuestRows {
  bindings: readonly Binding[];
  addresses: readonly GuestAddressRow[];
  ports: readonly GuestPortRow[];
}

/** Guests, or those of some names: bindings in their order, then ports with addresses of no binding. */
export function guestViews(rows: GuestRows, wallMs: number, names?: ReadonlySet<string>): GuestView[] {
  const wanted = (name: string): boolean => names === undefined || names.has(name);
  const byBinding = new Map<string, GuestAddressRow[]>();
  const byPort = new Map<string, GuestAddressRow[]>();
  const bound = new Set(rows.bindings.map((one) => one.name));
  for (const row of rows.addresses) {
    const isBound = row.binding !== undefined && bound.has(row.binding);
    const [groups, key] = isBound ? [byBinding, row.binding!] : [byPort, row.port ?? ''];
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [row]);
    else group.push(row);
  }
  const ports = portIndex(rows.ports);
  const views: GuestView[] = [];
  for (const binding of rows.bindings)
    if (wanted(binding.name))
      views.push(bindingView(binding, byBinding.get(binding.name) ?? [], ports, wallMs));
  for (const [name, addresses] of byPort)
    if (wanted(name) && !bound.has(name))
      views.push(learnedView(name, addresses, ports.byName.get(name), wallMs));
  return views;
}

interface PortIndex {
  byName: ReadonlyMap<string, GuestPortRow>;
  byMac: ReadonlyMap<string, GuestPortRow>;
}

function portIndex(ports: readonly GuestPortRow[]): PortIndex {
  return {
    byName: new Map(ports.map((port) => [port.name, port])),
    byMac: new Map(ports.flatMap((port) => port.macs.map((mac) => [formatMac(mac), port]))),
  };
}

function bindingView(
  binding: Binding,
  addresses: readonly GuestAddressRow[],
  ports: PortIndex,
  wallMs: number,
): GuestView {
  const there = addresses.find((one) => one.port !== undefined)?.port ?? binding.port;
  const byMac = binding.mac === undefined ? undefined : ports.byMac.get(formatMac(binding.mac));
  const port = there === undefined ? byMac : ports.byName.get(there);
  const mac = addresses.find((one) => one.mac !== undefined)?.mac ?? binding.mac;
  const bridge = port?.bridge ?? binding.bridge;
  const { guest, maxAddresses, expected } = binding;
  const name = there ?? port?.name;
  return {
    name: binding.name,
    source: binding.source,
    ...(guest !== undefined && { guest }),
    ...(name !== undefined && { port: name }),
    ...(mac !== undefined && { mac: formatMac(mac) }),
    ...(bridge !== undefined && { bridge }),
    ...standing(gravest(addresses) ?? withoutAddress(binding, port), wallMs),
    addresses: addresses.map((one) => addressView(one, wallMs)),
    allowed: binding.allowed.map(prefixText),
    ...(maxAddresses !== undefined && { maxAddresses }),
    ...(expected !== undefined && { expected: expectedView(expected, wallMs) }),
    ...refusedOf(port),
  };
}

function learnedView(
  name: string,
  addresses: readonly GuestAddressRow[],
  port: GuestPortRow | undefined,
  wallMs: number,
): GuestView {
  const mac = addresses.find((one) => one.mac !== undefined)?.mac;
  return {
    name,
    source: 'learned',
    port: name,
    ...(mac !== undefined && { mac: formatMac(mac) }),
    ...(port?.bridge !== undefined && { bridge: port.bridge }),
    ...standing(gravest(addresses)!, wallMs),
    addresses: addresses.map((one) => addressView(one, wallMs)),
    allowed: [],
    ...refusedOf(port),
  };
}

function refusedOf(port: GuestPortRow | undefined): Pick<GuestView, 'refused'> {
  return port === undefined || Object.keys(port.refused).length === 0 ? {} : { refused: { ...port.refused } };
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
function withoutAddress({ expected, sinceMs }: Binding, port: GuestPortRow | undefined): Standing {
  if (expected !== undefined) return { state: 'expected', reason: 'migration', sinceMs };
  if (port === undefined) return { state: 'waiting', reason: 'noPort', sinceMs };
  if (!port.carrier) return { state: 'waiting', reason: 'noCarrier', sinceMs };
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

/** Of the whole machine; `failures` are texts of what the kernel has not taken. */
export function guestCounts(rows: GuestRows, failures: readonly string[] = []): GuestCountsView {
  const addresses: Record<GuestStateView, number> = {
    attached: 0,
    learned: 0,
    waiting: 0,
    expected: 0,
    moved: 0,
    frozen: 0,
  };
  for (const { state } of rows.addresses) addresses[state]++;
  const refused: Record<string, number> = {};
  for (const port of rows.ports)
    for (const [name, count] of Object.entries(port.refused)) refused[name] = (refused[name] ?? 0) + count;
  return {
    bindings: rows.bindings.length,
    ports: rows.ports.length,
    addresses,
    refused,
    ...(failures.length > 0 && { failures: [...failures] }),
  };
}

export function guestRefusalView(row: GuestRefusalRow, wallMs: number): GuestRefusalView {
  const { address, mac, binding } = row;
  return {
    at: new Date(row.atMs).toISOString(),
    ageSeconds: secondsBetween(row.atMs, wallMs),
    reason: refusalReason(row.refusal),
    port: row.port,
    ...(address !== undefined && { address: formatIp(address) }),
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
  /** Highest move sequence of other nodes; absent where they announce nothing. */
  heardSequence?: number | undefined;
  /** Whose it is when it can be no guest's. */
  reserved?: string | undefined;
  refusals: readonly GuestRefusalRow[];
}

/** The explanation of an address as a guest's, or undefined. */
export function guestWhy(
  address: Uint8Array,
  parts: GuestWhyParts,
  wallMs: number,
): GuestWhyView | undefined {
  const { row, binding, heardSequence, reserved, refusals } = parts;
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
    ...(heardSequence !== undefined && { heardSequence }),
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
  const last = refusals.at(-1)!;
  return `${address} is no guest's here; port ${last.port} claimed it: ${refusalReason(last.refusal).text}`;
}
