// Random lives of one table: whatever guests, operators, drivers, other nodes and the clock do in whatever order, what
// is bound obeys the rules, and a restart from the file ends with the same.

import { expect, test } from 'vitest';
import { assert } from '../lib/assert.ts';
import { LeafdError } from '../lib/leafd-error.ts';
import { Rng } from '../lib/rng.ts';
import { prefixContainsIp } from '../net/prefix.ts';
import type { Binding } from './binding.ts';
import { binding, frame, ip, mac, port, prefix, World } from './fake-host.test-data.ts';
import { decodeKept, encodeKept } from './kept.ts';
import type { Sighting } from './ports.ts';
import type { AddressLook } from './table.ts';

const kinds: readonly Sighting['kind'][] = [
  'arp',
  'garp',
  'rarp',
  'dad',
  'ns',
  'na',
  'unsolicitedNa',
  'dhcp4',
];
const addresses = ['10.0.0.1', '10.0.0.2', '10.1.0.1', '10.1.0.2', '10.2.0.1', '2001:db8::1', '169.254.0.1'];
const allowed = [prefix('10.1.0.0/16'), prefix('2001:db8::/32')];
const PORTS = 4;
const SEEDS = Number(process.env.LEAFD_GUEST_SEEDS ?? 80);

function anyBinding(rng: Rng, source: Binding['source']): Binding {
  const n = rng.between(1, PORTS);
  return binding(`b${rng.between(1, 4)}`, {
    ...(rng.chance(0.6) ? { port: `tap${n}` } : {}),
    mac: mac(rng.between(1, PORTS)),
    ...(rng.chance(0.3) ? { bridge: 'vmbr1' } : {}),
    addresses: addresses.slice(0, 6).filter(() => rng.chance(0.2)),
    allowed: ['10.1.0.0/16', '10.2.0.1/32', '10.0.0.2/32'].filter(() => rng.chance(0.4)),
    source,
  });
}

/** One thing that happens; operators' mistakes are refused and change nothing. */
function happen(world: World, rng: Rng): void {
  const { table, host } = world;
  const n = rng.between(1, PORTS);
  const address = rng.pick(addresses);
  const act = rng.below(100);
  if (act < 45)
    table.sighted(
      n,
      frame(
        rng.pick(kinds),
        mac(rng.chance(0.8) ? n : rng.between(1, 5)),
        rng.chance(0.8) ? address : undefined,
      ),
    );
  else if (act < 52) table.portUp(port(n, { carrier: rng.chance(0.8) }));
  else if (act < 56) table.portGone(n);
  else if (act < 62) table.attach(anyBinding(rng, 'api'), { keepExpected: rng.chance(0.3) });
  else if (act < 68) {
    const expected = { untilMs: host.wallMs() + rng.below(5000), ...(rng.chance(0.3) ? { qmp: '/q' } : {}) };
    table.expect({ ...anyBinding(rng, 'proxmox'), expected });
  } else if (act < 71) table.detach(`b${rng.between(1, 4)}`);
  else if (act < 73) table.resumed(`b${rng.between(1, 4)}`);
  else if (act < 76) table.clear(ip(address));
  else if (act < 78) {
    const config = [anyBinding(rng, 'config'), anyBinding(rng, 'config')].filter(() => rng.chance(0.5));
    table.configure({ ...world.given, allowed: allowed.filter(() => rng.chance(0.9)) }, config);
  } else if (act < 90) {
    const own = table.look(ip(address))?.sequence ?? 0;
    world.hear(
      address,
      rng.chance(0.4) ? undefined : own + rng.between(-1, 2) < 0 ? 0 : own + rng.between(0, 2),
    );
  } else world.pass(rng.pick([1, 300, 1000, 5000, 40_000]));
}

function check(world: World): void {
  const { host, table } = world;
  const looks = table.addresses();
  assert(looks.filter(({ bound }) => bound).length === host.bound.size, 'the table says what the host has');
  for (const look of looks) {
    const text = textOf(look.address);
    assert(look.bound === host.bound.has(text), `${text}: bound`);
    assert(host.watched.has(text), `${text}: watched`);
    if (look.bound) checkBound(world, look, text);
  }
  // Nothing else is watched but what ports still want.
  assert(host.watched.size <= looks.length + 8 * PORTS, 'watched in bounds');
  const macs = new Set<string>();
  for (const { ifindex, mac: its, learned } of table.ports()) {
    assert(learned.length <= 8, `${ifindex}: learned in bounds`);
    assert(host.macs.get(ifindex)?.length === (its === undefined ? 0 : 1), `${ifindex}: one MAC`);
    assert(its === undefined || !macs.has(`${its}`), `${ifindex}: its MAC is on two ports`);
    if (its !== undefined) macs.add(`${its}`);
  }
}

/** What is bound is at one port with the MAC of that port, by right, and nobody has a higher sequence. */
function checkBound(world: World, look: AddressLook, text: string): void {
  const { host, table } = world;
  const bound = host.bound.get(text)!;
  assert(look.state === 'attached' || look.state === 'learned', `${text}: ${look.state} and bound`);
  assert(!host.reservedFor.has(text), `${text}: reserved`);
  const its = table.port(bound.port.ifindex)!;
  assert(its.up && `${its.mac}` === `${bound.mac}`, `${text}: port and MAC`);
  assert(bound.sequence === look.sequence && bound.fresh === look.fresh, `${text}: sequence`);
  assert((look.heard ?? 0) <= look.sequence, `${text}: higher elsewhere`);
  if (look.named) {
    const owner = table.binding(look.binding!)!;
    assert(owner.port === bound.port.name, `${text}: port of its binding`);
    assert(
      owner.binding.addresses.some((one) => `${one}` === `${look.address}`),
      `${text}: named`,
    );
    const wanted = owner.binding.mac;
    assert(wanted === undefined || `${wanted}` === `${bound.mac}`, `${text}: MAC of its binding`);
  } else {
    const binding = its.binding === undefined ? undefined : table.binding(its.binding)!.binding;
    const may = binding?.allowed ?? table.optionsNow().allowed;
    assert(
      may.some((one) => prefixContainsIp(one, look.address)),
      `${text}: allowed`,
    );
  }
}

const textOf = (address: Uint8Array): string => addresses.find((text) => `${ip(text)}` === `${address}`)!;

/** What is bound anew is not of a binding that still waits for its guest. */
function checkExpected(world: World, before: ReadonlySet<string>): void {
  for (const look of world.table.addresses())
    if (look.bound && look.named && !before.has(`${look.address}`))
      expect(world.table.binding(look.binding!)!.binding.expected).toBeUndefined();
}

function restart(world: World): void {
  const file = encodeKept(world.table.kept());
  const kept = decodeKept(file, 'guests.json');
  expect(kept.skipped).toEqual([]);
  const next = new World();
  next.host.now = world.host.now;
  next.host.epoch = world.host.epoch;
  const config = world.table
    .bindings()
    .map((look) => look.binding)
    .filter(({ source }) => source === 'config');
  next.table.configure(
    world.table.optionsNow(),
    config.map(({ expected: _, ...rest }) => rest),
  );
  next.table.restore(kept.addresses, kept.bindings);
  for (const look of world.table.ports()) next.table.portUp(port(look.ifindex, { carrier: look.up }));
  const plain = (from: World) =>
    [...from.host.bound].map(
      ([text, { port: on, mac: its, sequence }]) => `${text} ${on.name} ${its} ${sequence}`,
    );
  const was = plain(world);
  const is = plain(next);
  // An expectation of a configured binding is not kept, nor that a port has shown another MAC before, which kept a
  // binding by MAC from it; all else is as it was.
  const other = (name: string): boolean =>
    next.table.ports().find((look) => look.name === name)?.binding !==
    world.table.ports().find((look) => look.name === name)?.binding;
  for (const one of was) if (!other(one.split(' ')[1]!)) expect(is).toContain(one);
  for (const [text] of next.host.bound) {
    const old = world.table.look(ip(text));
    expect(world.host.bound.has(text) || old === undefined || old.state === 'waiting').toBe(true);
  }
  check(next);
}

test('random lives', () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const rng = new Rng(seed);
    const world = new World({ allowed });
    for (let n = 1; n <= PORTS; n++) if (rng.chance(0.7)) world.table.portUp(port(n));
    for (let step = 0; step < 120; step++) {
      const before = new Set([...world.host.bound.values()].map(({ address }) => `${address}`));
      try {
        happen(world, rng);
      } catch (error) {
        if (!(error instanceof LeafdError)) throw new Error(`seed ${seed}, step ${step}`, { cause: error });
      }
      try {
        check(world);
        checkExpected(world, before);
      } catch (error) {
        throw new Error(`seed ${seed}, step ${step}: ${(error as Error).message}`, { cause: error });
      }
    }
    try {
      restart(world);
    } catch (error) {
      throw new Error(`seed ${seed}, restart: ${(error as Error).message}`, { cause: error });
    }
    for (let n = 1; n <= PORTS; n++) world.table.portGone(n);
    world.table.configure(world.given, []);
    for (const { binding: one } of world.table.bindings()) world.table.detach(one.name);
    for (const address of addresses) world.table.clear(ip(address));
    expect([seed, world.host.bound.size, world.host.watched.size]).toEqual([seed, 0, 0]);
  }
});
