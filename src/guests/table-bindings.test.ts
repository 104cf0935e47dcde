import { describe, expect, test } from 'vitest';
import type { LeafdError } from '../lib/leafd-error.ts';
import { formatIp } from '../net/ip.ts';
import type { Binding } from './binding.ts';
import { binding, frame, ip, mac, port, prefix, World } from './fake-host.test-data.ts';

const codeOf = (action: () => void): string => {
  try {
    action();
  } catch (error) {
    return `${(error as LeafdError).code}: ${(error as LeafdError).message}`;
  }
  return 'nothing';
};

const web = binding('web', { port: 'tap1', mac: mac(1), addresses: ['192.0.2.1', '2001:db8::1'] });

test('named addresses are bound when the port is there, with no frame, and go with it', () => {
  const world = new World();
  world.table.attach(web);
  expect(world.state('192.0.2.1')).toBe('waiting noPort');
  world.table.portUp(port(1));
  expect(world.calls()).toEqual(['bind 192.0.2.1 tap1 0', 'bind 2001:db8::1 tap1 0']);
  expect(world.state('192.0.2.1')).toBe('attached bound*');
  expect(world.host.macs.get(1)).toEqual(['02:00:00:00:00:01']);
  world.table.portGone(1);
  expect(world.calls()).toEqual(['unbind 192.0.2.1', 'unbind 2001:db8::1']);
  expect(world.events()).toEqual(['attached bound', 'attached bound', 'detached noPort', 'detached noPort']);
  world.table.portUp(port(7, { name: 'tap1' }));
  expect(world.calls()).toHaveLength(2);
});

test.each<[string, Binding, RegExp]>([
  ['an address', binding('b', { port: 'tap2', addresses: ['192.0.2.1'] }), /conflict.*b.*192\.0\.2\.1.*web/],
  ['a port', binding('b', { port: 'tap1' }), /conflict.*b.*tap1.*web/],
  ['a MAC', binding('b', { mac: mac(1) }), /conflict.*b.*02:00:00:00:00:01.*web/],
  [
    'the gateway',
    binding('b', { port: 'tap2', addresses: ['169.254.0.1'] }),
    /bad-request.*reserved: the gateway/,
  ],
  ['a multicast', binding('b', { port: 'tap2', addresses: ['ff02::1'] }), /bad-request.*reserved/],
  ['neither port nor MAC', binding('b', {}), /bad-request.*neither/],
  [
    'the MAC of a group',
    binding('b', { mac: new Uint8Array([1, 0, 0, 0, 0, 1]) }),
    /bad-request.*MAC of a guest/,
  ],
  [
    'too many addresses',
    binding('b', { port: 'tap2', addresses: Array.from({ length: 65 }, (_, n) => `10.0.0.${n}`) }),
    /too-many.*64/,
  ],
  [
    'too many prefixes',
    binding('b', { port: 'tap2', allowed: Array.from({ length: 65 }, (_, n) => `10.0.${n}.0/24`) }),
    /too-many.*64/,
  ],
])('%s is refused, and nothing changes', (_, wrong, message) => {
  const world = new World();
  world.table.attach(web);
  const before = JSON.stringify(world.table.bindings());
  expect(codeOf(() => world.table.attach(wrong))).toMatch(message);
  expect(codeOf(() => world.table.expect({ ...wrong, expected: { untilMs: 9e15 } }))).toMatch(message);
  expect(JSON.stringify(world.table.bindings())).toBe(before);
});

test('one MAC on two bridges is no conflict', () => {
  const world = new World();
  world.table.attach(binding('a', { mac: mac(1), bridge: 'vmbr1', addresses: ['10.0.0.1'] }));
  world.table.attach(binding('b', { mac: mac(1), bridge: 'vmbr2', addresses: ['10.0.0.2'] }));
  world.table.portUp(port(1, { bridge: 'vmbr2' }));
  world.table.sighted(1, frame('arp', mac(1)));
  expect([world.state('10.0.0.1'), world.state('10.0.0.2')]).toEqual(['waiting noPort', 'attached bound*']);
});

test('there are 8192 bindings and ports at most', () => {
  const world = new World();
  for (let n = 0; n < 8192; n++) {
    world.table.attach(binding(`b${n}`, { port: `tap${n + 1}` }));
    world.table.portUp(port(n + 1));
  }
  expect(codeOf(() => world.table.attach(binding('more', { port: 'x' })))).toMatch(/too-many/);
  expect(codeOf(() => world.table.portUp(port(9000)))).toMatch(/too-many/);
  world.table.attach(binding('b7', { port: 'tap8', addresses: ['10.0.0.1'] }));
});

test('the same name replaces: what stays named is not touched', () => {
  const world = new World();
  world.table.attach(web);
  world.table.portUp(port(1));
  world.calls();
  world.table.attach({ ...web, sinceMs: 5 });
  expect(world.calls()).toEqual([]);
  world.table.attach({ ...web, addresses: [ip('192.0.2.1'), ip('192.0.2.9')] });
  expect(world.calls()).toEqual(['unbind 2001:db8::1', 'bind 192.0.2.9 tap1 0']);
  world.table.portUp(port(2));
  world.table.attach({ ...web, port: 'tap2', addresses: [ip('192.0.2.1')] });
  expect(world.calls().at(-1)).toBe('bind 192.0.2.1 tap2 0');
  expect([...world.host.bound.keys()]).toEqual(['192.0.2.1']);
  expect(world.table.detach('web')).toBe(true);
  expect(world.table.detach('web')).toBe(false);
  expect([world.host.bound.size, world.host.watched.size]).toEqual([0, 0]);
});

test('the configuration beats operators and drivers, and gives back what it lets go', () => {
  const world = new World();
  const { host, table } = world;
  table.attach(web);
  table.attach(binding('db', { port: 'tap2', mac: mac(2), addresses: ['192.0.2.2', '192.0.2.3'] }));
  table.portUp(port(1));
  table.portUp(port(2));
  world.calls();
  const sameName = { ...web, source: 'config' as const };
  const sameAddress = binding('front', { port: 'tap3', addresses: ['192.0.2.3'], source: 'config' });
  const options = world.given;
  table.configure(options, [sameName, sameAddress]);
  // Same name: over without a gap. An address: the rest of the loser stays.
  expect(world.calls()).toEqual(['unbind 192.0.2.3']);
  expect(table.addressesOf('db').map(({ state, reason }) => `${state} ${reason}`)).toEqual([
    'attached bound',
    'waiting configured',
  ]);
  expect(codeOf(() => table.detach('front'))).toMatch(/conflict/);
  expect(codeOf(() => table.attach(web))).toMatch(/conflict.*configuration/);
  // The port: the whole of the loser waits, and is still kept.
  table.configure(options, [sameName, binding('x', { port: 'tap2', source: 'config' })]);
  expect(world.calls()).toEqual(['unbind 192.0.2.2']);
  expect(table.binding('db')).toMatchObject({ shadowedBy: 'x' });
  expect(
    table
      .kept()
      .bindings.map(({ name }) => name)
      .sort(),
  ).toEqual(['db', 'web']);
  table.configure(options, []);
  expect([...host.bound.keys()].sort()).toEqual(['192.0.2.1', '192.0.2.2', '192.0.2.3', '2001:db8::1']);
  expect(
    table
      .bindings()
      .map(({ binding: { name, source } }) => `${name} ${source}`)
      .sort(),
  ).toEqual(['db api', 'web api']);
});

test('a configuration that contradicts itself changes nothing; two bindings may exchange what they have', () => {
  const world = new World();
  const a = binding('a', { port: 'tap1', mac: mac(1), addresses: ['10.0.0.1'], source: 'config' });
  const b = binding('b', { port: 'tap2', mac: mac(2), addresses: ['10.0.0.2'], source: 'config' });
  const options = world.given;
  world.table.configure(options, [a, b]);
  world.table.portUp(port(1));
  world.table.portUp(port(2));
  for (const wrong of [
    { ...b, addresses: a.addresses },
    { ...b, port: 'tap1' },
    { ...b, mac: mac(1) },
    { ...b, name: 'a' },
  ])
    expect(codeOf(() => world.table.configure(options, [a, wrong]))).toMatch(/conflict.*binding (a|b)/);
  expect(world.host.bound.size).toBe(2);
  world.table.configure(options, [
    { ...a, addresses: b.addresses },
    { ...b, addresses: a.addresses },
  ]);
  expect(world.host.bound.get('10.0.0.1')!.port.name).toBe('tap2');
  world.table.configure(options, [
    { ...a, port: 'tap2', mac: mac(2) },
    { ...b, port: 'tap1', mac: mac(1) },
  ]);
  expect(world.host.bound.get('10.0.0.1')!.port.name).toBe('tap2');
  expect(world.host.bound.get('10.0.0.2')!.port.name).toBe('tap1');
  expect(world.host.macs.get(2)).toEqual(['02:00:00:00:00:02']);
});

test('a binding without MAC waits for the first frame, and asks for it', () => {
  const world = new World();
  world.table.attach(binding('a', { port: 'tap1', addresses: ['10.0.0.1', '10.0.0.2'] }));
  world.table.portUp(port(1));
  expect(world.state('10.0.0.1')).toBe('waiting noMac');
  expect(world.probes()).toEqual(['tap1 10.0.0.1', 'tap1 10.0.0.2']);
  world.pass(2000);
  expect(world.probes()).toHaveLength(6);
  world.table.sighted(1, frame('arp', mac(9), '10.0.0.1'));
  expect(world.calls()).toEqual(['bind 10.0.0.1 tap1 0', 'bind 10.0.0.2 tap1 0']);
  expect(world.table.port(1)!.mac).toEqual(mac(9));
  world.table.sighted(1, frame('garp', mac(8), '10.0.0.1'));
  expect(world.host.macs.get(1)).toEqual(['02:00:00:00:00:09']);
  expect(world.events().at(-1)).toBe('refused otherMac');
});

test('the MAC of a port changes only after a second without carrier, or with a new port', () => {
  const world = new World();
  world.table.attach(binding('a', { port: 'tap1', addresses: ['10.0.0.1'] }));
  world.table.portUp(port(1));
  world.table.sighted(1, frame('arp', mac(9)));
  const flap = (ms: number): void => {
    world.table.portChanged(port(1, { carrier: false }));
    world.pass(ms);
    world.table.portChanged(port(1));
    world.table.sighted(1, frame('arp', mac(8)));
  };
  flap(900);
  expect(world.host.bound.get('10.0.0.1')!.mac).toEqual(mac(9));
  flap(1000);
  expect(world.host.bound.get('10.0.0.1')!.mac).toEqual(mac(8));
  world.table.sighted(1, frame('arp', mac(7)));
  expect(world.host.bound.get('10.0.0.1')!.mac).toEqual(mac(8));
});

test('a binding with only a MAC stays where its MAC was seen first, while that port is up', () => {
  const world = new World();
  const { table } = world;
  table.attach(binding('a', { mac: mac(1), addresses: ['10.0.0.1'] }));
  table.attach(binding('b', { port: 'tap3' }));
  for (const n of [1, 2, 3]) table.portUp(port(n));
  table.sighted(3, frame('arp', mac(1)));
  table.sighted(1, frame('dad', mac(1)));
  table.sighted(2, frame('garp', mac(1), '10.0.0.1'));
  expect(world.host.bound.get('10.0.0.1')!.port.name).toBe('tap1');
  table.sighted(1, frame('arp', mac(5), '10.0.0.1'));
  expect(world.events().filter((event) => event.startsWith('refused'))).toEqual([
    'refused otherGuest',
    'refused otherGuest',
    'refused otherMac',
  ]);
  table.portChanged(port(1, { carrier: false }));
  world.pass(1000);
  table.sighted(2, frame('garp', mac(1)));
  expect(world.host.bound.get('10.0.0.1')!.port.name).toBe('tap2');
  table.portChanged(port(1));
  table.sighted(1, frame('garp', mac(1)));
  expect(world.host.bound.get('10.0.0.1')!.port.name).toBe('tap2');
  table.portGone(2);
  table.sighted(1, frame('garp', mac(1)));
  expect(world.host.bound.get('10.0.0.1')!.port.name).toBe('tap1');
});

test('a MAC belongs to one port of a bridge: who has it first, but a binding with port and MAC always', () => {
  const world = new World({ allowed: [{ bytes: ip('10.0.0.0'), length: 8 }] });
  const { table } = world;
  table.portUp(port(1));
  table.portUp(port(2));
  table.portUp(port(3, { bridge: 'vmbr2' }));
  table.sighted(1, frame('arp', mac(1), '10.0.0.1'));
  table.sighted(2, frame('arp', mac(1), '10.0.0.2'));
  table.sighted(3, frame('arp', mac(1), '10.0.0.3'));
  expect([...world.host.bound.keys()]).toEqual(['10.0.0.1', '10.0.0.3']);
  table.attach(binding('a', { port: 'tap2', mac: mac(1), addresses: ['10.0.0.9'] }));
  expect([...world.host.bound.keys()]).toEqual(['10.0.0.3', '10.0.0.9']);
  expect(world.host.macs.get(1)).toEqual([]);
  table.sighted(1, frame('arp', mac(1), '10.0.0.1'));
  expect(world.host.bound.size).toBe(2);
});

test.each([['vmbr1'], [undefined]])(
  'a binding with a MAC, on bridge %s, takes it from a stranger before its own port is there',
  (bridge) => {
    const world = new World({ allowed: [{ bytes: ip('10.0.0.0'), length: 8 }] });
    world.table.portUp(port(1));
    world.table.sighted(1, frame('arp', mac(4), '10.0.0.1'));
    expect(world.state('10.0.0.1')).toBe('learned arp*');
    world.table.attach(
      binding('a', { port: 'tap4', mac: mac(4), ...(bridge === undefined ? {} : { bridge }) }),
    );
    expect([world.host.bound.size, world.host.macs.get(1)]).toEqual([0, []]);
    world.table.sighted(1, frame('arp', mac(4), '10.0.0.1'));
    expect(world.events().at(-1)).toBe('refused otherGuest');
  },
);

test('nobody sends from the MAC of the gateway or of a group', () => {
  const world = new World();
  world.table.portUp(port(1));
  for (const from of ['02:6c:66:00:00:01', '01:00:5e:00:00:01', '00:00:00:00:00:00'])
    world.table.sighted(
      1,
      frame(
        'arp',
        Uint8Array.from(from.split(':'), (byte) => Number.parseInt(byte, 16)),
      ),
    );
  expect(world.events()).toEqual(['refused reserved', 'refused otherMac']);
  expect(world.table.refused()).toEqual({ reserved: 1, otherMac: 2 });
  expect(world.table.port(1)!.mac).toBeUndefined();
});

test('a port that gets another name or bridge is another port', () => {
  const world = new World();
  world.table.attach(web);
  world.table.portUp(port(1));
  world.table.portChanged(port(1, { name: 'other' }));
  expect(world.host.bound.size).toBe(0);
  world.table.portChanged(port(1));
  expect(world.host.bound.size).toBe(2);
  world.table.portChanged(port(1, { gatewayIfindex: 9 }));
  expect(world.host.bound.get('192.0.2.1')!.port.gatewayIfindex).toBe(9);
});

test('2000 ports with two addresses each: attached in no time', () => {
  const bindings = Array.from({ length: 2000 }, (_, at) => {
    const low = [(at + 1) >> 8, (at + 1) & 255];
    const ip6 = ip('2001:db8::');
    ip6.set(low, 14);
    return {
      ...binding(`vm${at + 1}`, { port: `tap${at + 1}`, mac: new Uint8Array([2, 1, 0, 0, ...low]) }),
      addresses: [new Uint8Array([10, 0, ...low]), ip6],
    };
  });
  // The best of three: the first also warms the compiler up.
  const took = [1, 2, 3].map(() => {
    const world = new World();
    for (let n = 1; n <= 2000; n++) world.table.portUp(port(n));
    // CPU time, because other tests run beside this one.
    const start = process.cpuUsage();
    for (const one of bindings) world.table.attach(one);
    const { user, system } = process.cpuUsage(start);
    const tookMs = (user + system) / 1000;
    expect(world.host.bound.size).toBe(4000);
    return tookMs;
  });
  expect(Math.min(...took)).toBeLessThan(200);
});

describe('a binding with only a MAC', () => {
  const byMac = binding('vm', { mac: mac(1), addresses: ['10.0.0.1'] });
  const flap = (world: World, n: number): void => {
    world.table.portChanged(port(n, { carrier: false }));
    world.pass(2000);
    world.table.portChanged(port(n));
  };

  test('does not go to a port that has shown another MAC, whatever its carrier did', () => {
    const world = new World();
    world.table.attach(byMac);
    world.table.portUp(port(2));
    world.table.sighted(2, frame('rarp', mac(9)));
    flap(world, 2);
    world.table.sighted(2, frame('rarp', mac(1)));
    expect([world.host.bound.size, world.events()]).toEqual([0, ['refused otherGuest']]);
    world.table.portUp(port(1));
    world.table.sighted(1, frame('rarp', mac(1)));
    expect(world.host.bound.get('10.0.0.1')!.port.name).toBe('tap1');
  });

  test('that is expected goes to a port that came after, for its guest was not here before', () => {
    const world = new World();
    world.host.others.set('10.0.0.1', { sequence: 4 });
    world.table.portUp(port(2));
    world.pass(1000);
    world.table.expect({ ...byMac, expected: { untilMs: world.host.wallMs() + 60_000 } });
    world.table.sighted(2, frame('rarp', mac(1)));
    expect(world.calls().filter((call) => call.startsWith('bind'))).toEqual([]);
    world.pass(1000);
    world.table.portUp(port(1));
    world.table.sighted(1, frame('rarp', mac(1)));
    expect(world.calls()).toContain('bind 10.0.0.1 tap1 5 fresh');
  });
});

describe('what hooks and drivers may name', () => {
  const within = [prefix('10.0.0.0/24')];
  const asked = (addresses: string[], source: Binding['source'] = 'proxmox') =>
    binding('vm', { port: 'tap1', mac: mac(1), addresses, source });

  test('is within the prefixes of the configuration, whose own bindings may name any', () => {
    const world = new World({ within });
    world.table.attach(asked(['10.0.0.1']));
    expect(() => world.table.attach(asked(['10.0.1.1']))).toThrow(/10\.0\.1\.1\/32 is outside/);
    expect(() => world.table.attach(binding('wide', { port: 'tap2', allowed: ['10.0.0.0/16'] }))).toThrow(
      /10\.0\.0\.0\/16 is outside/,
    );
    world.table.configure({ ...world.given, within }, [asked(['10.0.1.1'], 'config')]);
    world.table.portUp(port(1));
    expect([...world.host.bound.keys()]).toEqual(['10.0.1.1']);
  });

  test('ends where the configuration narrows it', () => {
    const world = new World();
    world.table.attach(asked(['10.0.1.1']));
    world.table.portUp(port(1));
    expect(world.state('10.0.1.1')).toBe('attached bound*');
    world.table.configure({ ...world.given, within }, []);
    expect(world.state('10.0.1.1')).toBe('waiting reserved');
  });

  test('takes nothing from another node before the guest shows itself; an operator does at once', () => {
    const attached = (source: Binding['source']): World => {
      const world = new World();
      world.host.others.set('10.0.0.1', { sequence: 4 });
      world.table.portUp(port(1));
      world.table.attach(asked(['10.0.0.1'], source));
      return world;
    };
    expect(attached('api').state('10.0.0.1')).toBe('attached bound*');
    const world = attached('lxd');
    expect(world.state('10.0.0.1')).toBe('moved otherNode');
    world.table.sighted(1, frame('arp', mac(1), '10.0.0.1'));
    expect(world.host.bound.get('10.0.0.1')!.sequence).toBe(5);
  });
});

describe('all of a request, or none', () => {
  const refused = binding('more', { port: 'tap1' });

  const all = (world: World): unknown => {
    const looks = world.table.bindings();
    const addresses = world.table
      .addresses()
      .map(({ address }) => `${formatIp(address)} ${world.state(formatIp(address))}`);
    return [looks.map(({ binding: one, shadowedBy }) => [one, shadowedBy]), addresses];
  };

  const refuse = (world: World, ...bindings: Binding[]): void => {
    const before = all(world);
    const orders = [...bindings, refused].map((one) => ({ binding: one }));
    expect(codeOf(() => world.table.attachAll(orders))).toMatch(/conflict.*more.*tap1.*web/);
    expect(all(world)).toEqual(before);
  };

  test('what was new goes, what was replaced is as it was and stays announced', () => {
    const world = new World();
    world.table.attach(web);
    world.table.attach(binding('db', { port: 'tap2', mac: mac(2), addresses: ['192.0.2.2', '192.0.2.3'] }));
    for (const n of [1, 2]) world.table.portUp(port(n));
    world.calls();
    refuse(
      world,
      binding('new', { port: 'tap9', addresses: ['192.0.2.9'] }),
      binding('db', { port: 'tap2', mac: mac(2), addresses: ['192.0.2.2'] }),
      binding('other', { port: 'tap8', addresses: ['192.0.2.3'] }),
    );
    expect(world.calls()).toEqual(['unbind 192.0.2.3', 'bind 192.0.2.3 tap2 0']);
  });

  test('one that the configuration beats is so again', () => {
    const world = new World();
    world.table.attach(binding('vm', { port: 'tap1', addresses: ['192.0.2.5'] }));
    world.table.configure(world.given, [{ ...web, source: 'config' }]);
    expect(world.table.binding('vm')?.shadowedBy).toBe('web');
    refuse(
      world,
      binding('vm', { port: 'tap5', addresses: ['192.0.2.5'] }),
      binding('new', { port: 'tap9' }),
    );
  });

  test('an expectation that had ended is there again, with its time and its socket', () => {
    const world = new World();
    world.table.attach(web);
    const expected = { untilMs: world.host.wallMs() + 5000, qmp: '/run/a' };
    world.table.expect(binding('vm', { port: 'tap5', addresses: ['192.0.2.5'], expected }));
    world.host.qmps = [];
    refuse(world, binding('vm', { port: 'tap5', addresses: ['192.0.2.5'] }));
    expect(world.host.qmps).toEqual(['vm -', 'vm /run/a']);
    expect(world.table.nextDeadlineMs()).toBe(world.host.now + 5000);
  });
});
