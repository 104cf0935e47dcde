// The API's questions about guests, answered from the table, and its orders carried out: what follows from one is in
// the kernel when it is answered, and on disk.

import type { AttachRequest, ExpectRequest, GuestsBackend } from '../api/backend.ts';
import { type GuestRows, guestSumsView, guestViews, guestWhy } from '../api/guest-views.ts';
import type { ObjectStatus } from '../dataplane/dataplane.ts';
import type { Binding } from '../guests/binding.ts';
import type { Guests } from '../guests/guests.ts';
import type { AttachOrder } from '../guests/table.ts';

export interface GuestBackendParts {
  guests: Guests;
  /** How long a guest is expected where nobody says. */
  expectForMs: number;
  /** What of what was asked of the kernel went wrong. */
  failures(): ObjectStatus[];
  /** How often frames of guests were lost. */
  unheard(): number;
  /** Packets that the kernel dropped, by port and reason. */
  drops(): GuestRows['drops'];
  /** Whose an address is that no guest may have. */
  reserved(address: Uint8Array): string | undefined;
}

export function guestBackend(parts: GuestBackendParts): GuestsBackend {
  const { guests, expectForMs } = parts;
  const { table } = guests;
  const counted = (): GuestRows => ({ ...rowsOf(table), drops: parts.drops() });
  const one = (name: string) => {
    const names = new Set([name]);
    if (table.binding(name) === undefined) return guestViews(counted(), Date.now(), names)[0];
    return guestViews({ ...rowsOfBindings(table, names), drops: parts.drops() }, Date.now())[0];
  };
  return {
    list: () => guestViews(counted(), Date.now()),
    one,
    counts: () => {
      const failures = parts.failures().map(({ key, text }) => `${key}: ${text}`);
      return guestSumsView({ ...table.sums(), drops: parts.drops() }, failures, parts.unheard());
    },
    attach: async (requests) => {
      guests.change(() => table.attachAll(requests.map((request) => orderOf(request, expectForMs))));
      await guests.saved();
      const names = new Set(requests.map(({ binding }) => binding.name));
      return guestViews(rowsOfBindings(table, names), Date.now());
    },
    expect: async (name, binding, wish) => {
      const known = binding ?? table.binding(name)?.binding;
      if (known === undefined) return undefined;
      guests.change(() => table.expect(expectedOf(known, wish, expectForMs)));
      await guests.saved();
      return one(name);
    },
    detach: async (name) => {
      const found = guests.change(() => table.detach(name));
      if (found) await guests.saved();
      return found;
    },
    clear: (address) => guests.change(() => table.clear(address)),
    why: (address) => whyOf(parts, address),
  };
}

function rowsOf(table: Guests['table']): GuestRows {
  return {
    bindings: table.bindings(),
    addresses: table.addresses(),
    ports: table.ports(),
    refused: table.refused(),
  };
}

/** Only what is told of these bindings, in the order of the names. */
function rowsOfBindings(table: Guests['table'], names: ReadonlySet<string>): GuestRows {
  const bindings = [...names].flatMap((name) => table.binding(name) ?? []);
  const ports = bindings.flatMap(({ port, binding }) => {
    const name = port ?? binding.port;
    return (name === undefined ? undefined : table.portNamed(name)) ?? [];
  });
  return { bindings, addresses: [], ports };
}

function whyOf({ guests: { table }, reserved }: GuestBackendParts, address: Uint8Array) {
  const row = table.look(address);
  const binding = row?.binding === undefined ? undefined : table.binding(row.binding)?.binding;
  const refusals = table.refusals(address);
  return guestWhy(address, { row, binding, reserved: reserved(address), refusals }, Date.now());
}

function orderOf({ binding, expect, keepExpected }: AttachRequest, expectForMs: number): AttachOrder {
  if (expect !== undefined) return { binding: expectedOf(binding, expect, expectForMs) };
  return {
    binding: { ...binding, sinceMs: Date.now() },
    ...(keepExpected !== undefined && { keepExpected }),
  };
}

function expectedOf(binding: AttachRequest['binding'], wish: ExpectRequest, expectForMs: number): Binding {
  const { from, forMs, qmp } = wish;
  const sinceMs = Date.now();
  return {
    ...binding,
    sinceMs,
    expected: {
      untilMs: sinceMs + (forMs ?? expectForMs),
      ...(from === undefined ? {} : { from }),
      ...(qmp === undefined ? {} : { qmp }),
    },
  };
}
