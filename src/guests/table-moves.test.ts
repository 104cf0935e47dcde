import { describe, expect, test } from 'vitest';
import type { Binding } from './binding.ts';
import { binding, frame, ip, mac, port, World } from './fake-host.test-data.ts';
import type { Sighting } from './ports.ts';

const A = '10.0.0.1';
const B = '2001:db8::1';
const vm = binding('vm', { port: 'tap1', mac: mac(1), addresses: [A, B], allowed: ['10.1.0.0/16'] });

const expecting = (
  world: World,
  more: Partial<Binding> = {},
  expected: Partial<Binding['expected']> = {},
) => ({
  ...vm,
  ...more,
  expected: { from: 'hv1', untilMs: world.host.wallMs() + 60_000, ...expected },
});

/** Another node has both addresses with sequence 4, and the guest is expected here. */
function arriving(portFirst: boolean, more: Partial<Binding> = {}): World {
  const world = new World();
  world.host.others.set(A, { sequence: 4 });
  world.host.others.set(B, { sequence: 7 });
  if (portFirst) world.table.portUp(port(1));
  world.table.expect(expecting(world, more));
  if (!portFirst) {
    expect(world.state(A)).toBe('expected noPort');
    world.table.portUp(port(1));
  }
  return world;
}

describe.each([
  ['the port comes after', false],
  ['the port is there', true],
])('an expected guest, %s', (_, portFirst) => {
  test.each<[string, Sighting]>([
    ['RARP', frame('rarp', mac(1))],
    ['gratuitous ARP', frame('garp', mac(1), A)],
    ['an unsolicited advertisement', frame('unsolicitedNa', mac(1), B)],
    ['any other frame', frame('ns', mac(1))],
  ])('is announced with its first sign: %s', (__, sign) => {
    const world = arriving(portFirst);
    world.pass(5000);
    expect([world.state(A), world.calls()]).toEqual(['expected migration', []]);
    world.table.sighted(1, frame('garp', mac(9), A));
    expect(world.calls()).toEqual([]);
    world.table.sighted(1, sign);
    expect(world.calls()).toEqual([`bind ${A} tap1 5 fresh`, `bind ${B} tap1 8 fresh`]);
    expect(world.table.binding('vm')!.binding.expected).toBeUndefined();
    world.hear(A, undefined);
    world.pass(29_999);
    expect(world.calls()).toEqual([]);
    world.pass(1);
    expect(world.calls().sort()).toEqual([`bind ${A} tap1 5`, `bind ${B} tap1 8`]);
    expect(world.table.look(ip(A))).toMatchObject({ fresh: false, sequence: 5, state: 'attached' });
    expect(world.events().filter((event) => !event.startsWith('refused'))).toEqual([
      'expected',
      ...[0, 1].map(() => `moved ${reasonOf(sign)}`),
    ]);
  });
});

function reasonOf({ kind }: Sighting): string {
  return kind === 'rarp' ? 'rarp' : kind === 'garp' ? 'arp' : 'nd';
}

test('QMP says RESUME: announced without a frame', () => {
  const world = new World();
  world.host.others.set(A, { sequence: 4 });
  world.table.expect(expecting(world, {}, { qmp: '/run/vm.qmp' }));
  world.table.portUp(port(1));
  world.table.resumed('vm');
  world.table.resumed('vm');
  expect(world.calls()).toEqual([`bind ${A} tap1 5 fresh`, `bind ${B} tap1 0 fresh`]);
  expect(world.host.qmps).toEqual(['vm /run/vm.qmp', 'vm -']);
});

test('QMP says RESUME before the port is known: taken when it is', () => {
  const world = new World();
  world.host.others.set(A, { sequence: 4 });
  world.table.expect(expecting(world));
  world.table.resumed('vm');
  world.table.portUp(port(1));
  expect(world.calls()[0]).toBe(`bind ${A} tap1 5 fresh`);
});

test('the source withdrew before the first sign: still more than the highest that was heard', () => {
  const world = arriving(true);
  world.hear(A, undefined);
  world.table.sighted(1, frame('rarp', mac(1)));
  expect(world.calls()).toEqual([`bind ${A} tap1 5 fresh`, `bind ${B} tap1 8 fresh`]);
});

test('what an expected guest brings beside is part of the move', () => {
  const world = arriving(true);
  world.host.others.set('10.1.0.1', { sequence: 2 });
  world.table.sighted(1, frame('garp', mac(1), '10.1.0.1'));
  expect(world.state('10.1.0.1')).toBe('learned arp*');
  expect(world.table.look(ip('10.1.0.1'))).toMatchObject({ sequence: 3, fresh: true });
});

test.each([
  ['the time is over', 'expired', (world: World) => world.pass(60_000)],
  ['the port goes', 'cancelled', (world: World) => world.table.portGone(1)],
] as const)('cancelled because %s: nothing was ever announced, and the binding goes', (_, reason, cancel) => {
  const world = arriving(true);
  cancel(world);
  expect(world.calls()).toEqual([]);
  expect(world.events()).toEqual(['expected', `detached ${reason}`, `detached ${reason}`]);
  expect(world.table.bindings()).toEqual([]);
  expect(world.host.watched.size).toBe(0);
  world.table.sighted(1, frame('rarp', mac(1)));
  expect(world.calls()).toEqual([]);
});

test('cancelled, with a binding that was there before: it stays, and takes nothing by itself', () => {
  const world = new World({}, [{ ...vm, source: 'config' }]);
  world.host.others.set(A, { sequence: 4 });
  world.hear(A, 4);
  world.hear(B, 4);
  world.table.expect(expecting(world, { addresses: [] }));
  world.table.portUp(port(1));
  expect(world.table.binding('vm')!.binding.source).toBe('config');
  world.pass(60_000);
  expect(world.events()).toEqual(['expected', 'detached expired', 'detached expired']);
  expect([world.state(A), world.calls()]).toEqual(['moved otherNode', []]);
  // Its guest is here after all: a move nobody expected.
  world.table.sighted(1, frame('rarp', mac(1)));
  expect(world.calls()).toEqual([`bind ${A} tap1 5 fresh`, `bind ${B} tap1 5 fresh`]);
});

test('the wall clock decides when an expectation is over', () => {
  const world = arriving(true);
  world.host.epoch -= 30_000;
  world.pass(60_000);
  expect(world.state(A)).toBe('expected migration');
  world.pass(30_000);
  expect(world.state(A)).toBe('none');
});

test('attach on an expected binding: `keepExpected` keeps waiting, else the guest is here', () => {
  const world = arriving(true);
  world.table.attach(vm, { keepExpected: true });
  expect([world.state(A), world.calls()]).toEqual(['expected migration', []]);
  world.table.portGone(1);
  // Attached by now: it does not go with its expectation.
  expect(world.state(A)).toBe('waiting noPort');
  world.table.expect(expecting(world));
  world.table.portUp(port(1));
  world.calls();
  world.table.attach(vm);
  expect(world.calls()).toEqual([`bind ${A} tap1 5 fresh`, `bind ${B} tap1 8 fresh`]);
});

test('expecting a guest that is announced here changes nothing until it is lost', () => {
  const world = new World();
  world.table.attach(vm);
  world.table.portUp(port(1));
  world.calls();
  world.table.expect(expecting(world));
  world.table.sighted(1, frame('garp', mac(1), A));
  expect(world.calls()).toEqual([]);
});

test('lost while it is expected back: frames that were on their way are not the sign, an answer is', () => {
  const world = new World();
  world.table.attach(vm);
  world.table.portUp(port(1));
  world.table.expect(expecting(world));
  world.calls();
  world.hear(A, 1);
  expect([world.state(A), world.calls()]).toEqual(['expected migration', [`unbind ${A}`]]);
  world.table.sighted(1, frame('arp', mac(1), A));
  world.table.resumed('vm');
  expect(world.calls()).toEqual([]);
  world.probes();
  world.pass(1000);
  expect(world.probes()).toContain(`tap1 ${A}`);
  world.table.sighted(1, frame('arp', mac(1), A));
  expect(world.calls()).toEqual([`bind ${A} tap1 2 fresh`]);
  // Its port had lived before: that it goes is not the end of what is expected.
  world.hear(A, 3);
  world.table.expect(expecting(world));
  world.table.portGone(1);
  expect(world.state(A)).toBe('expected noPort');
});

test('a guest that came and went again is not expected any more', () => {
  const world = arriving(true);
  world.table.sighted(1, frame('rarp', mac(1)));
  world.table.portGone(1);
  world.hear(A, 9);
  world.calls();
  world.table.portUp(port(1));
  expect(world.state(A)).toBe('moved otherNode');
});

test('a higher sequence elsewhere ends it here; equal and lower ones do not', () => {
  const world = new World();
  world.table.attach(vm);
  world.table.portUp(port(1));
  world.calls();
  world.hear(A, 0);
  expect(world.calls()).toEqual([]);
  world.hear(A, 1);
  expect(world.calls()).toEqual([`unbind ${A}`]);
  expect([world.state(A), world.state(B)]).toEqual(['moved higherSequence', 'attached bound*']);
  expect(world.events().at(-1)).toBe('moved higherSequence');
});

/** The guest's addresses were taken by another node with sequence 1, a moment ago. */
function moved(): World {
  const world = new World();
  world.table.attach(vm);
  world.table.portUp(port(1));
  world.table.sighted(1, frame('garp', mac(1), '10.1.0.1'));
  for (const address of [A, B, '10.1.0.1']) world.hear(address, 1);
  world.calls();
  world.probes();
  world.events();
  return world;
}

test('frames that were on their way prove nothing; a guest that lives answers a moment later', () => {
  const world = moved();
  world.table.sighted(1, frame('arp', mac(1), A));
  world.table.sighted(1, frame('rarp', mac(1)));
  expect(world.calls()).toEqual([]);
  world.pass(1000);
  expect(world.probes()).toEqual([`tap1 ${A}`, `tap1 ${B}`]);
  world.table.sighted(1, frame('arp', mac(1), A));
  expect(world.calls()).toEqual([`bind ${A} tap1 2 fresh`]);
  expect(world.probes()).toEqual([`tap1 ${B}`]);
});

test('the paused source of a migration never comes back by itself', () => {
  const world = moved();
  world.table.sighted(1, frame('arp', mac(1), A));
  world.pass(600_000);
  expect(world.calls()).toEqual([]);
  world.table.portGone(1);
  expect(world.calls()).toEqual([]);
  world.table.portUp(port(1));
  expect([world.state(A), world.calls()]).toEqual(['moved otherNode', []]);
});

test.each([
  ['RARP: the guest as a whole', frame('rarp', mac(1)), [`bind ${A} tap1 2 fresh`, `bind ${B} tap1 2 fresh`]],
  ['one address', frame('na', mac(1), B), [`bind ${B} tap1 2 fresh`]],
  ['a learned one, which waits for the other node', frame('arp', mac(1), '10.1.0.1'), []],
  ['something else of it', frame('ns', mac(1)), []],
])('back without being expected, by %s', (_, sign, calls) => {
  const world = moved();
  world.pass(1000);
  world.table.sighted(1, sign);
  expect(world.calls()).toEqual(calls);
});

test('the other node withdraws: named ones are asked and come back as they were, learned ones wait', () => {
  const world = moved();
  world.pass(5000);
  for (const address of [A, '10.1.0.1']) world.hear(address, undefined);
  expect(world.probes()).toEqual([`tap1 ${A}`, 'tap1 10.1.0.1']);
  world.pass(999);
  expect(world.calls()).toEqual([]);
  world.pass(1);
  expect(world.calls()).toEqual([`bind ${A} tap1 0`]);
  world.table.sighted(1, frame('arp', mac(1), '10.1.0.1'));
  expect(world.calls()).toEqual(['bind 10.1.0.1 tap1 2']);
});

test('an answer brings a named address back at once, above what was heard', () => {
  const world = moved();
  world.hear(A, undefined);
  world.table.sighted(1, frame('arp', mac(1), A));
  expect(world.calls()).toEqual([`bind ${A} tap1 2`]);
});

test('another node that flaps gets it back without a fight, and each return takes longer', () => {
  const world = moved();
  const binds: number[] = [];
  for (let n = 0; n < 100; n++) {
    world.hear(A, undefined);
    world.pass(3000);
    binds.push(world.calls().filter((call) => call.startsWith('bind')).length);
    world.hear(A, 1);
    world.pass(3000);
  }
  expect(binds.reduce((sum, n) => sum + n, 0)).toBe(2);
  expect(world.events().some((event) => event.startsWith('frozen'))).toBe(false);
});

test('an operator attaches what another node has: taken at once, and counted as unexpected', () => {
  const world = new World();
  world.table.portUp(port(1));
  world.host.others.set(A, { sequence: 8 });
  world.table.attach(vm);
  expect(world.calls()).toEqual([`bind ${A} tap1 9 fresh`, `bind ${B} tap1 0`]);
});

test('a port that only comes up takes nothing from another node before its guest shows itself', () => {
  const world = new World();
  world.host.others.set(A, { sequence: 8 });
  world.table.attach(vm);
  world.table.portUp(port(1));
  expect(world.calls()).toEqual([`bind ${B} tap1 0`]);
  expect(world.state(A)).toBe('moved otherNode');
  expect(world.probes()).toContain(`tap1 ${A}`);
  // Any frame of it will do, also one about its link-local address.
  world.table.sighted(1, frame('ns', mac(1)));
  expect(world.calls()).toEqual([`bind ${A} tap1 9 fresh`]);
});

test('the other node withdraws before the guest shows itself: bound at once', () => {
  const world = new World();
  world.host.others.set(A, { sequence: 8 });
  world.table.attach(vm);
  world.table.portUp(port(1));
  world.calls();
  world.hear(A, undefined);
  world.pass(0);
  expect(world.calls()).toEqual([`bind ${A} tap1 0`]);
});

test('five unexpected moves in three minutes freeze, until it is cleared', () => {
  const world = new World();
  world.table.attach(vm);
  world.table.portUp(port(1));
  let sequence = 0;
  const lose = (): void => world.hear(A, ++sequence);
  const show = (): void => {
    world.pass(1000);
    world.table.sighted(1, frame('garp', mac(1), A));
    sequence = world.table.look(ip(A))!.sequence;
  };
  lose();
  show();
  lose();
  show();
  lose();
  expect(world.state(A)).toBe('moved higherSequence');
  world.calls();
  show();
  expect([world.state(A), world.calls()]).toEqual(['frozen duplicate', []]);
  expect(world.events().filter((event) => event.startsWith('frozen'))).toEqual(['frozen duplicate']);
  world.table.sighted(1, frame('garp', mac(1), A));
  world.hear(A, undefined);
  world.table.portGone(1);
  world.table.portUp(port(1));
  world.table.attach({ ...vm, guest: 'other' });
  expect(world.state(A)).toBe('frozen duplicate');
  expect(world.events().filter((event) => event.startsWith('refused'))).toEqual(['refused frozen']);
  world.table.detach('vm');
  world.table.attach(vm);
  expect(world.state(A)).toBe('frozen duplicate');
  expect([world.table.clear(ip(A)), world.table.clear(ip(A)), world.table.clear(ip(B))]).toEqual([
    true,
    false,
    false,
  ]);
  expect(world.state(A)).toBe('attached bound*');
});

test('slow moves do not freeze', () => {
  const world = new World();
  world.table.attach(vm);
  world.table.portUp(port(1));
  for (let n = 0; n < 20; n++) {
    world.hear(A, world.table.look(ip(A))!.sequence + 1);
    world.pass(100_000);
    world.table.sighted(1, frame('garp', mac(1), A));
  }
  expect(world.state(A)).toBe('attached arp*');
});

test('the highest sequence there can be is not outdone, and nothing breaks', () => {
  const world = new World();
  world.table.portUp(port(1));
  world.host.others.set(A, { sequence: 0xffffffff });
  world.table.attach(vm);
  expect(world.table.look(ip(A))).toMatchObject({ sequence: 0xffffffff, bound: true });
});

test('who learned an address while its guest was away gives it back, and does not fight for it', () => {
  const owner = new World();
  const squatter = new World({ allowed: [{ bytes: ip('10.0.0.0'), length: 8 }] });
  const talk = (): void => {
    for (let round = 0; round < 4; round++) {
      const [one, other] = [owner, squatter].map((world) => world.host.bound.get(A)?.sequence);
      owner.hear(A, other);
      squatter.hear(A, one);
    }
  };
  owner.table.attach(vm);
  squatter.table.portUp(port(2));
  squatter.table.sighted(2, frame('garp', mac(2), A));
  talk();
  owner.table.portUp(port(1));
  talk();
  expect([owner.state(A), squatter.state(A)]).toEqual(['moved otherNode', 'learned arp*']);
  for (let n = 0; n < 20; n++) {
    owner.table.sighted(1, frame('arp', mac(1), A));
    talk();
    for (const world of [owner, squatter]) world.pass(1100);
    squatter.table.sighted(2, frame('garp', mac(2), A));
    talk();
  }
  expect([owner.state(A), squatter.state(A)]).toEqual(['attached arp*', 'moved higherSequence']);
  expect(squatter.table.refused()).toEqual({ otherNode: 20 });
  // When the owner goes he may have it again.
  owner.table.portGone(1);
  talk();
  squatter.table.sighted(2, frame('garp', mac(2), A));
  expect(squatter.state(A)).toBe('learned arp*');
});

describe('a restart', () => {
  /** The same world in a new life, from its file. */
  function again(old: World, portsFirst: boolean): World {
    const next = new World(old.given);
    next.host.now = old.host.now;
    const { addresses, bindings } = old.table.kept();
    const ports = (): void => {
      for (const look of old.table.ports()) next.table.portUp(port(look.ifindex));
    };
    if (portsFirst) ports();
    expect(next.table.restore(addresses, bindings)).toEqual([]);
    if (!portsFirst) ports();
    return next;
  }

  function lived(): World {
    const world = new World({ allowed: [{ bytes: ip('10.0.0.0'), length: 8 }] });
    const { table } = world;
    table.attach(vm);
    table.attach(binding('silent', { port: 'tap2', addresses: ['10.0.0.2'] }));
    table.attach(binding('roaming', { mac: mac(3), addresses: ['10.0.0.3'] }));
    for (const n of [1, 2, 3, 4]) table.portUp(port(n));
    table.sighted(1, frame('arp', mac(1), '10.1.0.1'));
    table.sighted(2, frame('rarp', mac(2)));
    table.sighted(3, frame('rarp', mac(3)));
    table.sighted(4, frame('arp', mac(4), '10.0.0.4'));
    world.hear('10.0.0.4', 5);
    world.pass(1000);
    world.hear('10.0.0.4', undefined);
    table.sighted(4, frame('arp', mac(4), '10.0.0.4'));
    return world;
  }

  test.each([
    ['before', false],
    ['after', true],
  ])(
    'restored %s the ports: the same is bound at once, with its sequence, and nothing is called twice',
    (_, portsFirst) => {
      const old = lived();
      const world = again(old, portsFirst);
      const plain = (from: World) =>
        [...from.host.bound]
          .map(([text, { port: on, mac: its, sequence }]) => [text, on.name, its, sequence])
          .sort();
      expect(plain(world)).toEqual(plain(old));
      expect(world.host.bound.size).toBe(6);
      expect([...world.host.bound.values()].some(({ fresh }) => fresh)).toBe(false);
      expect(world.calls().filter((call) => call.startsWith('unbind'))).toEqual([]);
      expect(world.table.bindings().map((look) => look.binding)).toEqual(
        old.table.bindings().map((look) => look.binding),
      );
      world.pass(2000);
      expect(world.probes().filter((probe) => probe.endsWith('10.0.0.4')).length).toBeGreaterThan(1);
      world.pass(120_000);
      expect(world.state('10.0.0.4')).toBe('none');
      expect(world.state(A)).toBe(portsFirst ? 'attached bound*' : 'attached restored*');
    },
  );

  test('a port without its guest: another MAC takes its place', () => {
    const world = again(lived(), false);
    world.table.sighted(2, frame('garp', mac(9), '10.0.0.2'));
    expect(world.host.bound.get('10.0.0.2')!.mac).toEqual(mac(9));
    world.table.sighted(3, frame('garp', mac(8), '10.0.0.8'));
    world.table.sighted(2, frame('arp', mac(3)));
    expect([world.state('10.0.0.3'), world.state('10.0.0.8')]).toEqual(['waiting noPort', 'learned arp*']);
  });

  test('another port that shows a MAC before its own does not get it, unless its guest does not answer', () => {
    const world = again(lived(), false);
    world.probes();
    for (const wait of [0, 1999]) {
      world.pass(wait);
      world.table.sighted(4, frame('arp', mac(3)));
      expect(world.host.bound.get('10.0.0.3')!.port.name).toBe('tap3');
    }
    expect(world.probes().filter((probe) => probe === 'tap3 10.0.0.3')).toHaveLength(1);
    const silent = again(lived(), false);
    silent.table.sighted(4, frame('arp', mac(3)));
    silent.pass(2000);
    silent.table.sighted(4, frame('arp', mac(3)));
    expect(silent.host.bound.get('10.0.0.3')!.port.name).toBe('tap4');
    world.table.sighted(3, frame('na', mac(3), '10.0.0.3'));
    world.pass(60_000);
    world.table.sighted(4, frame('arp', mac(3)));
    expect(world.host.bound.get('10.0.0.3')!.port.name).toBe('tap3');
  });

  test('what was kept for a port is gone after a minute', () => {
    const old = lived();
    const world = new World(old.given);
    const { addresses, bindings } = old.table.kept();
    world.table.restore(addresses, bindings);
    world.pass(60_000);
    world.table.portUp(port(4));
    expect(world.host.bound.size).toBe(0);
  });

  test('frozen, moved and expected stay what they were', () => {
    const old = arriving(true);
    old.table.attach(binding('gone', { port: 'tap2', mac: mac(2), addresses: ['10.0.0.2'] }));
    old.table.portUp(port(2));
    old.hear('10.0.0.2', 3);
    const file = old.table.kept();
    file.addresses.push({ ...file.addresses[0]!, address: '10.9.9.9', state: 'frozen', reason: 'duplicate' });
    const world = new World();
    world.table.restore(file.addresses, file.bindings);
    world.table.portUp(port(1));
    world.table.portUp(port(2));
    expect([world.state(A), world.state('10.0.0.2'), world.state('10.9.9.9'), world.calls()]).toEqual([
      'expected migration',
      'moved otherNode',
      'frozen duplicate',
      [],
    ]);
    // Other nodes had time to be heard, and none has it: the guest's port is here.
    world.pass(59_999);
    expect(world.calls()).toEqual([]);
    world.pass(1);
    expect(world.calls()).toEqual(['bind 10.0.0.2 tap2 0']);
    expect(world.table.bindings().map((look) => look.binding.name)).toEqual(['gone']);
  });

  test('a binding that cannot be any more is told of, or waits for the configuration', () => {
    const world = new World({}, [binding('c', { port: 'tap1', source: 'config' })]);
    const other = binding('other', { port: 'tap5', addresses: [A] });
    expect(world.table.restore([], [vm, other, { ...other, name: 'twice' }])).toEqual([
      expect.stringMatching(/binding twice: port tap5 belongs to binding other/),
    ]);
    expect(world.table.binding('vm')).toMatchObject({ shadowedBy: 'c' });
  });
});

test('two nodes took it unheard of each other: the one whose guest answers takes it once more', () => {
  const world = arriving(true);
  world.table.sighted(1, frame('garp', mac(1), A));
  world.calls();
  world.probes();
  world.hear(A, 5);
  expect(world.probes()).toEqual([`tap1 ${A}`]);
  expect(world.state(A)).toBe('attached arp*');
  world.table.sighted(1, frame('arp', mac(1), A));
  expect(world.calls()).toEqual([`bind ${A} tap1 6 fresh`]);
  // The other one gives in.
  const other = arriving(true);
  other.table.sighted(1, frame('garp', mac(1), A));
  other.hear(A, 5);
  other.hear(A, 6);
  expect(other.state(A)).toBe('moved higherSequence');
});

test('an address that several nodes serve without a move is no tie', () => {
  const world = new World();
  world.table.portUp(port(1));
  world.table.attach(vm);
  world.calls();
  world.hear(A, 0);
  world.table.sighted(1, frame('arp', mac(1), A));
  expect(world.calls()).toEqual([]);
});
