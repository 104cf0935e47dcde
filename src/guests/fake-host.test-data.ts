// A host of arrays and maps for tests of the table, with a clock that tests move, and short ways to write ports,
// bindings and frames. It asserts what every host may rely on: binds and unbinds pair up, nothing is bound twice.

import { assert } from '../lib/assert.ts';
import { formatIp, parseIp } from '../net/ip.ts';
import { formatMac, parseMac } from '../net/mac.ts';
import { parsePrefix } from '../net/prefix.ts';
import type { Binding, BindingSource } from './binding.ts';
import type { BoundAddress, GuestEvent, GuestHost, GuestPort, Heard, Sighting } from './ports.ts';
import { GuestTable } from './table.ts';
import type { GuestTableOptions } from './table-state.ts';

export const ip = (text: string): Uint8Array => parseIp(text)!;
export const mac = (n: number): Uint8Array => parseMac(`02:00:00:00:00:${n.toString(16).padStart(2, '0')}`)!;
export const prefix = (text: string) => parsePrefix(text)!;

export const port = (n: number, more: Partial<GuestPort> = {}): GuestPort => ({
  ifindex: n,
  name: `tap${n}`,
  gatewayIfindex: 1,
  bridge: 'vmbr1',
  carrier: true,
  ...more,
});

interface BindingWords {
  port?: string;
  mac?: Uint8Array;
  bridge?: string;
  addresses?: string[];
  allowed?: string[];
  maxAddresses?: number;
  source?: BindingSource;
  expected?: Binding['expected'];
}

export const binding = (name: string, words: BindingWords): Binding => {
  const { addresses = [], allowed = [], source = 'api', ...rest } = words;
  return {
    name,
    source,
    addresses: addresses.map(ip),
    allowed: allowed.map(prefix),
    sinceMs: 0,
    ...rest,
  } as Binding;
};

export const frame = (kind: Sighting['kind'], from: Uint8Array, address?: string): Sighting =>
  address === undefined ? { kind, mac: from } : { kind, mac: from, address: ip(address) };

export const options = (more: Partial<GuestTableOptions> = {}): GuestTableOptions => ({
  gatewayMac: parseMac('02:6c:66:00:00:01')!,
  allowed: [],
  bridges: [{ name: 'vmbr1' }],
  learn: { enabled: true, maxAddresses: 8, perSecond: 10, probeEveryMs: 30_000, forgetAfterMs: 120_000 },
  moves: {
    freshForMs: 30_000,
    expectForMs: 3_600_000,
    duplicateMoves: 5,
    duplicateWithinMs: 180_000,
    freshPreference: 200,
  },
  ...more,
});

export class FakeHost implements GuestHost {
  now = 1000;
  /** Wall time is monotonic time and this. */
  epoch = 1_700_000_000_000;
  readonly bound = new Map<string, BoundAddress>();
  readonly watched = new Set<string>();
  /** What others announce, by address. */
  readonly others = new Map<string, Heard>();
  readonly macs = new Map<number, string[]>();
  readonly reservedFor = new Map([
    ['169.254.0.1', 'the gateway'],
    ['fe80::1', 'the gateway'],
    ['192.0.2.250', 'the loopback'],
  ]);
  probes: string[] = [];
  events: GuestEvent[] = [];
  calls: string[] = [];
  qmps: string[] = [];
  changes = 0;

  nowMs(): number {
    return this.now;
  }
  wallMs(): number {
    return this.epoch + this.now;
  }
  bind(bound: BoundAddress): void {
    const text = formatIp(bound.address);
    const before = this.bound.get(text);
    if (before !== undefined)
      assert(before.port.ifindex === bound.port.ifindex, `${text} is bound at two ports`);
    this.bound.set(text, bound);
    this.calls.push(`bind ${text} ${bound.port.name} ${bound.sequence}${bound.fresh ? ' fresh' : ''}`);
  }
  unbind(address: Uint8Array): void {
    const text = formatIp(address);
    assert(this.bound.delete(text), `${text} is unbound without being bound`);
    this.calls.push(`unbind ${text}`);
  }
  admit(on: GuestPort, macs: readonly Uint8Array[]): void {
    this.macs.set(
      on.ifindex,
      macs.map((one) => formatMac(one)),
    );
  }
  probe(on: GuestPort, address: Uint8Array): void {
    this.probes.push(`${on.name} ${formatIp(address)}`);
  }
  watch(address: Uint8Array): Heard | undefined {
    this.watched.add(formatIp(address));
    return this.others.get(formatIp(address));
  }
  unwatch(address: Uint8Array): void {
    assert(this.watched.delete(formatIp(address)), `${formatIp(address)} is not watched`);
  }
  reserved(address: Uint8Array): string | undefined {
    return this.reservedFor.get(formatIp(address));
  }
  event(event: GuestEvent): void {
    this.events.push(event);
  }
  changed(): void {
    this.changes++;
  }
  qmp(name: string, socket: string | undefined): void {
    this.qmps.push(`${name} ${socket ?? '-'}`);
  }
}

/** A table with its host, and what tests ask of them. */
export class World {
  readonly host = new FakeHost();
  readonly given: GuestTableOptions;
  readonly table: GuestTable;

  constructor(more: Partial<GuestTableOptions> = {}, config: readonly Binding[] = []) {
    this.given = options(more);
    this.table = new GuestTable(this.host, this.given);
    this.table.configure(this.given, config);
  }

  /** Lets time pass, deadline by deadline. */
  pass(ms: number): void {
    const until = this.host.now + ms;
    for (;;) {
      const next = this.table.nextDeadlineMs();
      if (next > until) break;
      this.host.now = Math.max(this.host.now, next);
      this.table.advance();
    }
    this.host.now = until;
  }

  /** What others announce of a watched address changes. */
  hear(address: string, sequence: number | undefined): void {
    if (sequence === undefined) this.host.others.delete(address);
    else this.host.others.set(address, { sequence });
    if (this.host.watched.has(address))
      this.table.heard(ip(address), sequence === undefined ? undefined : { sequence });
  }

  /** `state reason` of an address, with `*` where it is bound. */
  state(address: string): string {
    const look = this.table.look(ip(address));
    return look === undefined ? 'none' : `${look.state} ${look.reason}${look.bound ? '*' : ''}`;
  }

  /** What was called since the last time. */
  calls(): string[] {
    return this.host.calls.splice(0);
  }

  /** Events since the last time: kind and reason or refusal. */
  events(): string[] {
    return this.host.events.splice(0).map((event) => {
      if (event.kind === 'guest-refused') return `refused ${event.refusal}`;
      if (event.kind === 'guest-expected') return 'expected';
      return `${event.kind.slice(6)} ${event.reason}`;
    });
  }

  probes(): string[] {
    return this.host.probes.splice(0);
  }
}
