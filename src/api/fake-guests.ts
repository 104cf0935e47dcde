// Guests of a fixed small hypervisor, for tests of the API and of leafctl: bindings that can be attached and detached
// for real, addresses in every state.

import type { Binding } from '../guests/binding.ts';
import { LeafdError } from '../lib/leafd-error.ts';
import { formatIp, parseIp } from '../net/ip.ts';
import { parseMac } from '../net/mac.ts';
import { parsePrefix } from '../net/prefix.ts';
import type { AttachRequest, ExpectRequest, GuestsBackend } from './backend.ts';
import {
  type GuestAddressRow,
  type GuestPortRow,
  type GuestRefusalRow,
  type GuestRows,
  guestCounts,
  guestViews,
  guestWhy,
} from './guest-views.ts';

const nowMs = Date.parse('2026-01-02T03:04:05.000Z');
const minuteAgo = nowMs - 60_000;
const mac1 = parseMac('02:00:5e:00:53:01')!;

export interface FakeGuests extends GuestsBackend {
  bindings: Map<string, Binding>;
}

function fakeBindings(): Binding[] {
  return [
    {
      name: 'web1',
      source: 'config',
      guest: '100',
      port: 'tap100i0',
      mac: mac1,
      addresses: [parseIp('192.0.2.10')!, parseIp('2001:db8::10')!],
      allowed: [parsePrefix('192.0.2.64/26')!],
      sinceMs: minuteAgo,
    },
    {
      name: 'db1',
      source: 'proxmox',
      guest: '101',
      port: 'tap101i0',
      addresses: [parseIp('192.0.2.11')!],
      allowed: [],
      sinceMs: minuteAgo,
      expected: { from: 'hv1', untilMs: nowMs + 600_000, qmp: '/run/qmp/101' },
    },
    {
      name: 'old1',
      source: 'api',
      mac: parseMac('02:00:5e:00:53:03')!,
      addresses: [parseIp('192.0.2.12')!],
      allowed: [],
      sinceMs: minuteAgo,
    },
  ];
}

function row(
  address: string,
  state: GuestAddressRow['state'],
  reason: GuestAddressRow['reason'],
  more: Partial<GuestAddressRow> = {},
): GuestAddressRow {
  const none = { sequence: 0, fresh: false };
  return { address: parseIp(address)!, state, reason, sinceMs: minuteAgo, ...none, ...more };
}

const web1 = { binding: 'web1', port: 'tap100i0', mac: mac1 };

const fakeAddresses: readonly GuestAddressRow[] = [
  row('192.0.2.10', 'attached', 'bound', { ...web1, sequence: 3, heard: 2 }),
  row('2001:db8::10', 'attached', 'rarp', { ...web1, sequence: 4, fresh: true }),
  row('192.0.2.70', 'learned', 'arp', web1),
  row('192.0.2.11', 'expected', 'migration', { binding: 'db1', port: 'tap101i0' }),
  row('192.0.2.12', 'waiting', 'noPort', { binding: 'old1' }),
  row('192.0.2.99', 'frozen', 'duplicate', { port: 'tap9', mac: parseMac('02:00:5e:00:53:09')! }),
];

const fakePorts: readonly GuestPortRow[] = [
  { ifindex: 7, name: 'tap100i0', bridge: 'vmbr1', up: true, mac: mac1, refused: { otherMac: 1 } },
  { ifindex: 8, name: 'tap101i0', bridge: 'vmbr1', up: true, refused: {} },
  { ifindex: 9, name: 'tap9', up: true, refused: { notAllowed: 2 } },
];

const fakeRefusals: readonly (GuestRefusalRow & { about: string })[] = [
  {
    about: '192.0.2.10',
    lastMs: minuteAgo,
    refusal: 'otherGuest',
    port: 'tap9',
    mac: parseMac('02:00:5e:00:53:09')!,
    count: 3,
  },
  { about: '203.0.113.9', lastMs: minuteAgo, refusal: 'notAllowed', port: 'tap9', count: 1 },
];

/** Records what it is asked in `asked`. */
export function fakeGuests(asked: string[]): FakeGuests {
  const bindings = new Map(fakeBindings().map((one) => [one.name, one]));
  let frozen = true;
  const rows = (): GuestRows => ({
    bindings: [...bindings.values()].map((binding) => {
      const addresses = fakeAddresses.filter((other) => other.binding === binding.name);
      const port = fakePorts.find((other) => other.name === binding.port);
      return { binding, port: port?.name, mac: binding.mac, addresses, refused: port?.refused ?? {} };
    }),
    addresses: fakeAddresses.filter((other) => other.binding === undefined || bindings.has(other.binding)),
    ports: fakePorts,
    drops: new Map([[7, { spoofed4: 12, spoofed6: 0 }]]),
  });
  const one = (name: string) => guestViews(rows(), nowMs, new Set([name]))[0];
  const expected = ({ from, forMs = 3_600_000, qmp }: ExpectRequest): Binding['expected'] => ({
    untilMs: nowMs + forMs,
    ...(from !== undefined && { from }),
    ...(qmp !== undefined && { qmp }),
  });
  const made = (binding: AttachRequest['binding'], expect: ExpectRequest | undefined): Binding => {
    const taken = binding.addresses.find((address) =>
      fakeAddresses.some((other) => other.binding !== binding.name && sameText(other.address, address)),
    );
    if (taken !== undefined)
      throw new LeafdError('conflict', `${formatIp(taken)} is another guest's`, {
        hint: `leafctl why ${formatIp(taken)}`,
      });
    return { ...binding, sinceMs: nowMs, ...(expect && { expected: expected(expect) }) } as Binding;
  };
  return {
    bindings,
    list: () => guestViews(rows(), nowMs),
    one,
    counts: () => guestCounts(rows()),
    attach: (requests) => {
      asked.push(`attach ${requests.map((request) => request.binding.name).slice(0, 3)}`);
      const whole = requests.map(({ binding, expect }) => made(binding, expect));
      for (const binding of whole) bindings.set(binding.name, binding);
      return guestViews(rows(), nowMs, new Set(whole.map((binding) => binding.name)));
    },
    expect: (name, binding, expect) => {
      asked.push(`expect ${name} ${JSON.stringify(expect)}${binding === undefined ? '' : ' anew'}`);
      const before = bindings.get(name);
      if (binding === undefined && before === undefined) return undefined;
      bindings.set(name, binding ? made(binding, expect) : { ...before!, expected: expected(expect)! });
      return one(name);
    },
    detach: (name) => {
      if (bindings.get(name)?.source === 'config')
        throw new LeafdError('conflict', `${name} is a binding of the configuration`, {
          hint: 'remove it from guests.bind',
        });
      return bindings.delete(name);
    },
    clear: (address) => {
      const was = frozen && formatIp(address) === '192.0.2.99';
      if (was) frozen = false;
      return was;
    },
    why: (address) => {
      const is = (other: Uint8Array) => sameText(other, address);
      const found = fakeAddresses.find((other) => is(other.address));
      const binding = found?.binding === undefined ? undefined : bindings.get(found.binding);
      const refusals = fakeRefusals.filter((other) => other.about === formatIp(address));
      const reserved = formatIp(address) === '169.254.0.1' ? 'the gateway of the guests' : undefined;
      return guestWhy(address, { row: found, binding, refusals, reserved }, nowMs);
    },
  };
}

const sameText = (a: Uint8Array, b: Uint8Array): boolean => formatIp(a) === formatIp(b);
