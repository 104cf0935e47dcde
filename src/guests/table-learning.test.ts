import { expect, test } from 'vitest';
import { formatIp } from '../net/ip.ts';
import { binding, frame, ip, mac, port, prefix, World } from './fake-host.test-data.ts';

const anywhere = { allowed: [prefix('10.0.0.0/8'), prefix('2001:db8::/32')] };

/** A world with an anonymous port 1 whose guest has MAC 1. */
function anonymous(more = {}): World {
  const world = new World({ ...anywhere, ...more });
  world.table.portUp(port(1));
  return world;
}

test.each([
  ['arp', '10.0.0.1', 'arp'],
  ['garp', '10.0.0.1', 'arp'],
  ['dad', '2001:db8::1', 'nd'],
  ['ns', '2001:db8::1', 'nd'],
  ['na', '2001:db8::1', 'nd'],
  ['unsolicitedNa', '2001:db8::1', 'nd'],
  ['dhcp4', '10.0.0.1', 'dhcp'],
  ['dhcp6', '2001:db8::1', 'dhcp'],
] as const)('%s of %s is learned', (kind, address, reason) => {
  const world = anonymous();
  world.table.sighted(1, frame(kind, mac(1), address));
  expect(world.state(address)).toBe(`learned ${reason}*`);
  expect(world.events()).toEqual([`learned ${reason}`]);
});

test.each([
  ['10.0.0.1', 'vmbr1', undefined, 'learned arp*'],
  ['10.0.0.1', 'vmbr1', [], 'none'],
  ['192.0.2.1', 'vmbr1', ['192.0.2.0/24'], 'learned arp*'],
  ['192.0.2.1', 'vmbr2', ['192.0.2.0/24'], 'none'],
  ['10.0.0.1', undefined, ['192.0.2.0/24'], 'learned arp*'],
])('%s on a port of %s where vmbr1 allows %s: %s', (address, bridge, allowed, state) => {
  const world = new World({
    ...anywhere,
    bridges: [{ name: 'vmbr1', ...(allowed === undefined ? {} : { allowed: allowed.map(prefix) }) }],
  });
  const { bridge: _, ...tap } = port(1);
  world.table.portUp(bridge === undefined ? tap : port(1, { bridge }));
  world.table.sighted(1, frame('arp', mac(1), address));
  expect(world.state(address)).toBe(state);
});

test.each([
  ['the gateway', '169.254.0.1', 'reserved'],
  ['the gateway of IPv6', 'fe80::1', 'reserved'],
  ['an address of the hypervisor', '192.0.2.250', 'reserved'],
  ['a multicast', '224.0.0.1', 'reserved'],
  ['a loopback', '127.0.0.1', 'reserved'],
  ['what is not in the list', '198.51.100.9', 'notAllowed'],
  ['what another binding names', '10.9.0.1', 'otherGuest'],
  ['what another guest has', '10.9.0.2', 'otherGuest'],
])('%s is refused, and the owner unharmed', (_, address, refusal) => {
  const world = anonymous();
  const { table } = world;
  table.attach(binding('owner', { port: 'tap2', mac: mac(2), addresses: ['10.9.0.1'] }));
  table.portUp(port(2));
  table.portUp(port(3));
  table.sighted(3, frame('arp', mac(3), '10.9.0.2'));
  const before = [...world.host.bound.keys()];
  world.events();
  for (let n = 0; n < 3; n++) table.sighted(1, frame('garp', mac(1), address));
  expect([...world.host.bound.keys()]).toEqual(before);
  expect(world.events()).toEqual([`refused ${refusal}`]);
  expect(table.port(1)!.refused).toEqual({ [refusal]: 3 });
  expect(table.refusals(ip(address))).toMatchObject([{ refusal, port: 'tap1', count: 3, mac: mac(1) }]);
  world.pass(10_000);
  table.sighted(1, frame('garp', mac(1), address));
  expect(world.events()).toEqual([`refused ${refusal}`]);
});

test('own link-local addresses and the unspecified one are neither learned nor refused', () => {
  const world = anonymous();
  for (const address of ['fe80::2', '::', '0.0.0.0'])
    world.table.sighted(1, frame('unsolicitedNa', mac(1), address));
  expect([world.events(), world.calls()]).toEqual([[], []]);
});

test('a message that names another sender than its frame is a lie', () => {
  const world = anonymous();
  world.table.sighted(1, { ...frame('arp', mac(1), '10.0.0.1'), claimsMac: mac(7) });
  expect(world.state('10.0.0.1')).toBe('none');
  expect(world.events()).toEqual(['refused otherMac']);
});

test('eight addresses a port, or what its binding says', () => {
  const world = anonymous();
  const { table } = world;
  table.attach(binding('b', { port: 'tap2', allowed: ['10.0.0.0/8'], maxAddresses: 2 }));
  table.portUp(port(2));
  for (let n = 1; n <= 20; n++) {
    table.sighted(1, frame('arp', mac(1), `10.0.1.${n}`));
    table.sighted(2, frame('arp', mac(2), `10.0.2.${n}`));
    world.pass(200);
  }
  expect([table.port(1)!.learned.length, table.port(2)!.learned.length]).toEqual([8, 2]);
  expect(table.refused()).toEqual({ tooMany: 12 + 18 });
  expect(table.binding('b')!.refused).toEqual({ tooMany: 18 });
});

test('new addresses come no faster than the rate', () => {
  const learn = { ...new World().given.learn, perSecond: 2 };
  const world = anonymous({ learn });
  const come = (from: number, to: number): void => {
    for (let n = from; n <= to; n++) world.table.sighted(1, frame('arp', mac(1), `10.0.0.${n}`));
  };
  come(1, 4);
  expect(world.table.port(1)!.learned).toHaveLength(2);
  world.pass(500);
  come(3, 6);
  expect(world.table.port(1)!.learned).toHaveLength(3);
  expect(world.table.refused()).toEqual({ tooFast: 5 });
});

test('an attacker who makes up addresses costs counters only', () => {
  const world = anonymous();
  for (let n = 0; n < 5000; n++)
    world.table.sighted(
      1,
      frame('arp', mac(n === 0 ? 1 : n % 256), `${11 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}.1`),
    );
  for (let n = 0; n < 5000; n++) world.table.sighted(1, frame('garp', mac(1), `172.16.${n >> 8}.${n & 255}`));
  expect(world.host.events.length).toBeLessThanOrEqual(32);
  expect([world.host.watched.size, world.host.bound.size]).toEqual([0, 0]);
  const counted = world.table.refused();
  expect(counted.notAllowed! + counted.otherMac!).toBe(10_000);
  // When it is over others are told of again.
  world.pass(10_000);
  world.events();
  world.table.sighted(1, frame('arp', mac(1), '203.0.113.1'));
  expect(world.events()).toEqual(['refused notAllowed']);
});

test('nothing is learned where learning is off; what is named is there', () => {
  const world = anonymous({ learn: { ...new World().given.learn, enabled: false } });
  world.table.attach(binding('b', { port: 'tap2', addresses: ['10.0.0.2'], allowed: ['10.0.0.3/32'] }));
  world.table.portUp(port(2));
  world.table.sighted(1, frame('arp', mac(1), '10.0.0.1'));
  world.table.sighted(2, frame('arp', mac(2), '10.0.0.3'));
  expect([...world.host.bound.keys()]).toEqual(['10.0.0.2']);
});

test('a silent guest is asked at its host prefixes: at once, after 0.3, 1 and 2 s, then now and then', () => {
  const world = new World();
  world.table.attach(
    binding('b', { port: 'tap1', mac: mac(1), allowed: ['10.0.0.1/32', '10.1.0.0/16', '2001:db8::1/128'] }),
  );
  world.table.portUp(port(1));
  const both = ['tap1 10.0.0.1', 'tap1 2001:db8::1'];
  expect(world.probes()).toEqual(both);
  for (const [ms, asked] of [
    [299, []],
    [1, both],
    [699, []],
    [1, both],
    [1000, both],
    [20_000, []],
    [12_000, both],
  ] as const) {
    world.pass(ms);
    expect([ms, world.probes()]).toEqual([ms, asked]);
  }
  world.table.sighted(1, frame('arp', mac(1), '10.0.0.1'));
  world.table.sighted(1, frame('na', mac(1), '2001:db8::1'));
  expect([...world.host.bound.keys()]).toEqual(['10.0.0.1', '2001:db8::1']);
});

test('learned addresses are asked for, and forgotten when nobody answers; named ones never', () => {
  const world = anonymous();
  const { table } = world;
  table.attach(binding('b', { port: 'tap2', mac: mac(2), addresses: ['10.2.0.1'] }));
  table.portUp(port(2));
  table.sighted(1, frame('arp', mac(1), '10.0.0.1'));
  table.sighted(1, frame('arp', mac(1), '10.0.0.2'));
  for (let n = 0; n < 10; n++) {
    world.pass(30_000);
    table.sighted(1, frame('arp', mac(1), '10.0.0.1'));
  }
  expect(world.probes()).toContain('tap1 10.0.0.2');
  expect([...world.host.bound.keys()]).toEqual(['10.2.0.1', '10.0.0.1']);
  world.events();
  world.pass(119_999);
  expect(world.state('10.0.0.1')).toBe('learned arp*');
  world.pass(1);
  expect(world.state('10.0.0.1')).toBe('none');
  expect(world.events()).toEqual(['detached forgotten']);
  expect([...world.host.watched]).toEqual(['10.2.0.1']);
});

test('carrier: a blink is nothing, a second is a loss; learned are forgotten, named wait and come back', () => {
  const world = new World();
  const { table } = world;
  table.attach(
    binding('b', { port: 'tap1', mac: mac(1), addresses: ['10.0.0.1'], allowed: ['10.1.0.0/16'] }),
  );
  table.portUp(port(1));
  table.sighted(1, frame('arp', mac(1), '10.1.0.1'));
  world.calls();
  table.portChanged(port(1, { carrier: false }));
  world.pass(999);
  table.portChanged(port(1));
  world.pass(5000);
  expect(world.calls()).toEqual([]);
  table.portChanged(port(1, { carrier: false }));
  world.pass(1000);
  expect(world.calls()).toEqual(['unbind 10.0.0.1', 'unbind 10.1.0.1']);
  expect([world.state('10.0.0.1'), world.state('10.1.0.1')]).toEqual(['waiting noCarrier', 'none']);
  // A frame that waited in a queue is not believed.
  table.sighted(1, frame('arp', mac(1), '10.1.0.1'));
  expect(world.state('10.1.0.1')).toBe('none');
  table.portChanged(port(1));
  expect(world.calls()).toEqual(['bind 10.0.0.1 tap1 0']);
});

test('configured beats learned, without a gap where it is the same guest', () => {
  const world = anonymous();
  const { table } = world;
  table.portUp(port(2));
  table.sighted(1, frame('arp', mac(1), '10.0.0.1'));
  table.sighted(2, frame('arp', mac(2), '10.0.0.2'));
  table.sighted(2, frame('arp', mac(2), '10.0.0.3'));
  world.calls();
  table.attach(binding('b', { port: 'tap2', addresses: ['10.0.0.2', '10.0.0.1'], allowed: [] }));
  expect(world.calls().sort()).toEqual(['bind 10.0.0.1 tap2 0', 'unbind 10.0.0.1', 'unbind 10.0.0.3']);
  expect([world.state('10.0.0.1'), world.state('10.0.0.2')]).toEqual(['attached bound*', 'attached arp*']);
  table.sighted(1, frame('arp', mac(1), '10.0.0.1'));
  expect(world.events().at(-1)).toBe('refused otherGuest');
});

test('what another node has is refused on a port without binding, and found when it withdraws', () => {
  const world = anonymous();
  world.host.others.set('10.0.0.1', { sequence: 4 });
  world.table.sighted(1, frame('arp', mac(1), '10.0.0.1'));
  expect(world.events()).toEqual(['refused otherNode']);
  expect([...world.host.watched]).toEqual(['10.0.0.1']);
  world.probes();
  world.hear('10.0.0.1', undefined);
  expect(world.probes()).toEqual(['tap1 10.0.0.1']);
  world.table.sighted(1, frame('arp', mac(1), '10.0.0.1'));
  expect(world.state('10.0.0.1')).toBe('learned arp*');
  for (let n = 2; n < 100; n++) {
    world.host.others.set(`10.0.0.${n}`, { sequence: 0 });
    world.table.sighted(1, frame('arp', mac(1), `10.0.0.${n}`));
    world.pass(200);
  }
  expect(world.host.watched.size).toBe(9);
  world.table.portGone(1);
  expect(world.host.watched.size).toBe(0);
});

test('a host prefix of a binding names the address: it is taken from another node', () => {
  const world = new World();
  world.table.attach(binding('b', { port: 'tap1', allowed: ['10.0.0.1/32', '10.1.0.0/16'] }));
  world.table.portUp(port(1));
  world.host.others.set('10.0.0.1', { sequence: 4 });
  world.host.others.set('10.1.0.1', { sequence: 4 });
  world.table.sighted(1, frame('arp', mac(1), '10.0.0.1'));
  world.table.sighted(1, frame('arp', mac(1), '10.1.0.1'));
  expect(world.calls()).toEqual(['bind 10.0.0.1 tap1 5 fresh']);
});

test('what is allowed shrinks: what no longer fits goes', () => {
  const world = anonymous();
  world.table.sighted(1, frame('arp', mac(1), '10.0.0.1'));
  world.table.sighted(1, frame('dad', mac(1), '2001:db8::1'));
  world.table.configure({ ...world.given, allowed: [prefix('2001:db8::/32')] }, []);
  expect([...world.host.bound.keys()]).toEqual(['2001:db8::1']);
  world.host.reservedFor.set('2001:db8::1', 'a loopback now');
  world.table.configure({ ...world.given, allowed: [prefix('2001:db8::/32')] }, []);
  expect(world.host.bound.size).toBe(0);
});

test('a named address that becomes reserved waits', () => {
  const world = new World();
  world.table.attach(binding('b', { port: 'tap1', mac: mac(1), addresses: ['10.0.0.1'] }));
  world.table.portUp(port(1));
  world.host.reservedFor.set('10.0.0.1', 'a loopback now');
  world.table.configure(world.given, []);
  expect(world.state('10.0.0.1')).toBe('waiting reserved');
});

test('DHCP: only the MAC of the port, and what is here', () => {
  const world = new World();
  const { table } = world;
  table.attach(binding('b', { port: 'tap1', addresses: ['10.0.0.1', '2001:db8::1'] }));
  table.portUp(port(1));
  table.portUp(port(2));
  expect(table.dhcpGuest(1)).toBeUndefined();
  table.sighted(1, frame('dhcp4', mac(1)));
  const guest = table.dhcpGuest(1)!;
  expect([guest.mac, guest.addresses.map((address) => formatIp(address))]).toEqual([
    mac(1),
    ['10.0.0.1', '2001:db8::1'],
  ]);
  table.sighted(2, frame('dhcp4', mac(2)));
  expect(table.dhcpGuest(2)).toBeUndefined();
});

test('drops of the kernel are counted and told like our own', () => {
  const world = anonymous();
  world.table.forbidden(1, 'routerAdvertisement', { mac: mac(1) });
  world.table.forbidden(1, 'routerAdvertisement', { mac: mac(1) });
  world.table.forbidden(99, 'redirect', {});
  expect(world.events()).toEqual(['refused routerAdvertisement']);
  expect(world.table.refused()).toEqual({ routerAdvertisement: 2 });
});

test('a silent guest of which only the MAC is known is asked for on ports that have shown none', () => {
  const world = new World();
  const { table } = world;
  for (const at of [1, 2, 3, 4]) table.portUp(port(at, at === 4 ? { bridge: 'vmbr2' } : {}));
  table.sighted(2, frame('arp', mac(9), '10.0.0.9'));
  world.pass(10_000);
  expect(world.probes()).toEqual([]);
  table.attach(binding('web1', { mac: mac(1), bridge: 'vmbr1', addresses: ['10.0.0.1', '2001:db8::1'] }));
  world.pass(0);
  const asked = ['tap1 10.0.0.1', 'tap3 10.0.0.1'];
  expect(world.probes()).toEqual(asked);
  world.pass(2000);
  expect(world.probes().filter((one) => !asked.includes(one))).toEqual([]);
  table.sighted(3, frame('arp', mac(1), '10.0.0.1'));
  expect(world.state('2001:db8::1')).toBe('attached bound*');
  world.probes();
  world.pass(60_000);
  expect(world.probes().filter((one) => one.startsWith('tap1'))).toEqual([]);
  // Where its port goes, it is asked for where a port comes.
  table.portGone(3);
  table.portUp(port(5));
  world.pass(0);
  expect(world.probes()).toEqual(['tap5 10.0.0.1']);
});

test('of many guests whose port is not known, some are asked for each time', () => {
  const world = new World();
  for (let i = 1; i <= 40; i++)
    world.table.attach(binding(`vm${i}`, { mac: mac(i), addresses: [`10.0.0.${i}`] }));
  world.table.portUp(port(1));
  world.pass(0);
  expect(world.probes()).toHaveLength(16);
  world.pass(2000);
  expect(new Set(world.probes()).size).toBe(40);
});
