// Guests over REST: every body is judged field by field, a large request is quick, and a configuration without
// guests says so. Views are made from rows as the table of guests tells them.

import { beforeEach, describe, expect, test } from 'vitest';
import { frame, binding as guestBinding, mac, port as tap, World } from '../guests/fake-host.test-data.ts';
import { parseIp } from '../net/ip.ts';
import { createApp } from './app.ts';
import { EventRing } from './events.ts';
import { type FakeBackend, fakeBackend } from './fake-backend.ts';
import { type GuestAddressRow, type GuestRows, guestCounts, guestViews, guestWhy } from './guest-views.ts';
import { defaultLimits } from './stream.ts';
import type { AttachBody, GuestsView, GuestView, WhyView } from './views.ts';

let backend: FakeBackend;
const bugs: unknown[] = [];

beforeEach(() => {
  backend = fakeBackend();
  bugs.length = 0;
});

const app = (way: 'unix' | 'tcp' = 'unix', write = true) =>
  createApp({
    backend,
    events: new EventRing(() => 0, 8),
    way,
    limits: defaultLimits,
    mayWrite: () => write,
    onBug: (error) => void bugs.push(error),
  });
const get = (url: string) => app().inject(url);
const post = (url: string, payload: string | object, write = true) =>
  app('unix', write).inject({
    method: 'POST',
    url,
    payload,
    headers: { 'content-type': 'application/json' },
  });

describe('asking', () => {
  test('all guests: bindings with their addresses, ports without a binding', async () => {
    const { guests } = (await get('/v1/guests')).json() as GuestsView;
    expect(guests.map(({ name, source, state }) => `${name} ${source} ${state}`)).toEqual([
      'web1 config attached',
      'db1 proxmox expected',
      'old1 api waiting',
      'tap9 learned frozen',
    ]);
    expect(guests[0]).toMatchObject({
      guest: '100',
      port: 'tap100i0',
      mac: '02:00:5e:00:53:01',
      bridge: 'vmbr1',
      reason: { code: 'bound', text: 'a binding names it and its port is here' },
      since: '2026-01-02T03:03:05.000Z',
      sinceSeconds: 60,
      allowed: ['192.0.2.64/26'],
      refused: { otherMac: 1 },
      dropped: { spoofed4: 12 },
      addresses: [
        { address: '192.0.2.10', state: 'attached', sequence: 3, fresh: false },
        { address: '2001:db8::10', state: 'attached', sequence: 4, fresh: true },
        { address: '192.0.2.70', state: 'learned', reason: { code: 'arp' } },
      ],
    });
    expect(guests[1]!.expected).toEqual({
      from: 'hv1',
      until: '2026-01-02T03:14:05.000Z',
      remainingSeconds: 600,
      qmp: '/run/qmp/101',
    });
  });

  test('one, by its name or by its port where no binding is for it', async () => {
    expect((await get('/v1/guests/db1')).json()).toMatchObject({ name: 'db1', state: 'expected' });
    expect((await get('/v1/guests/tap9')).json()).toMatchObject({
      source: 'learned',
      refused: { notAllowed: 2 },
    });
    const none = await get('/v1/guests/web9');
    expect(none.statusCode).toBe(404);
    expect(none.json()).toEqual({
      error: { code: 'not-found', message: 'there is no guest web9', hint: 'leafctl guests lists them' },
    });
  });

  test('counts are a part of the status', async () => {
    expect((await get('/v1/status')).json()).toMatchObject({
      node: 'leaf1',
      guests: {
        bindings: 3,
        ports: 3,
        addresses: { attached: 2, learned: 1, waiting: 1, expected: 1, moved: 0, frozen: 1 },
        refused: { otherMac: 1, notAllowed: 2 },
        dropped: { spoofed4: 12 },
      },
    });
  });

  test('why an address is as it is: beside its route, or alone', async () => {
    expect((await get('/v1/why/192.0.2.10')).json()).toMatchObject({
      kind: 'address',
      summary: '192.0.2.10 of web1 is attached and announced: a binding names it and its port is here',
      paths: [],
      guest: {
        binding: 'web1',
        state: 'attached',
        sequence: 3,
        heardSequence: 2,
        refusals: [{ port: 'tap9', count: 3, reason: { code: 'otherGuest' }, mac: '02:00:5e:00:53:09' }],
      },
    });
    expect((await get('/v1/why?thing=192.0.2.10/32')).json()).toMatchObject({ kind: 'prefix', guest: {} });
    expect((await get('/v1/why/203.0.113.9')).json()).toMatchObject({
      summary:
        "203.0.113.9 is no guest's here; port tap9 claimed it: " +
        'the address is in no binding and no allowed prefix of the port',
    });
    expect((await get('/v1/why/169.254.0.1')).json()).toMatchObject({
      guest: { reserved: 'the gateway of the guests' },
    });
    expect((await get('/v1/why/10.0.0.12')).json()).not.toHaveProperty('guest');
    const { why } = backend.guests!;
    backend.guests!.why = (address) => why(address[0] === 10 ? parseIp('192.0.2.10')! : address);
    expect((await get('/v1/why/10.0.0.12')).json()).toMatchObject({
      winner: {},
      guest: { binding: 'web1' },
    });
    expect((await get('/v1/why/192.0.2.0/24')).statusCode).toBe(404);
    expect((await get('/v1/why/db1')).json()).toMatchObject({
      kind: 'guest',
      summary: 'db1 is a guest, expected: the guest still runs on another node',
      steps: [{ code: 'migration', text: expect.stringMatching(/^192\.0\.2\.11 is expected: nothing/) }],
    });
  });

  test('why a guest is as it is, by its port or MAC: also where the port is a link without a peer', async () => {
    const { port, mac } = backend.guests!.one('web1')!;
    const noPeer: Omit<WhyView, 'thing'> = {
      kind: 'peer',
      summary: '',
      paths: [],
      advertised: [],
      steps: [{ code: 'noPattern', text: '' }],
    };
    const { why } = backend;
    backend.why = (thing) => (thing === port ? { ...noPeer, thing } : why(thing));
    for (const thing of [port!, mac!.toUpperCase()])
      expect((await get(`/v1/why/${thing}`)).json()).toMatchObject({
        kind: 'guest',
        summary: expect.stringContaining(`${thing}: web1 is a guest, attached`),
      });
    expect((await get('/v1/why/02:00:5e:00:53:ff')).statusCode).toBe(404);
  });
});

describe('a configuration without guests', () => {
  test.each([
    ['GET', '/v1/guests'],
    ['GET', '/v1/guests/web1'],
    ['POST', '/v1/guests'],
    ['POST', '/v1/guests/web1/expect'],
    ['POST', '/v1/guests/clear'],
    ['DELETE', '/v1/guests/web1'],
  ] as const)('%s %s says so', async (method, url) => {
    Object.assign(backend, { guests: undefined });
    const answer = await app().inject({ method, url, ...(method === 'POST' && { payload: {} }) });
    expect(answer.statusCode).toBe(404);
    expect(answer.json()).toEqual({
      error: {
        code: 'not-found',
        message: 'no guests are looked after here',
        hint: 'guests: in leafd.yaml names the bridges and taps of guests',
      },
    });
    expect((await get('/v1/status')).json()).not.toHaveProperty('guests');
    expect((await get('/v1/why/192.0.2.10')).statusCode).toBe(404);
  });
});

describe('attaching', () => {
  const web9: AttachBody = { name: 'web9', port: 'tap9', addresses: ['192.0.2.90', '2001:DB8::90/128'] };

  test('one', async () => {
    const answer = await post('/v1/guests', {
      ...web9,
      mac: '02:00:5E:00:53:90',
      guest: 'vm 9',
      allowed: ['192.0.2.128/25'],
      maxAddresses: 0,
      source: 'libvirt',
      bridge: 'vmbr1',
    });
    expect(answer.statusCode).toBe(200);
    expect((answer.json() as GuestsView).guests).toMatchObject([
      { name: 'web9', source: 'libvirt', mac: '02:00:5e:00:53:90', maxAddresses: 0 },
    ]);
    expect(backend.guests!.one('web9')).toMatchObject({ guest: 'vm 9', allowed: ['192.0.2.128/25'] });
  });

  test('two thousand at once, quickly', async () => {
    const guests = Array.from({ length: 2000 }, (_, i) => ({
      name: `vm${i}`,
      port: `tap${i}i0`,
      mac: `02:00:5e:01:${(i >> 8).toString(16).padStart(2, '0')}:${(i & 255).toString(16).padStart(2, '0')}`,
      addresses: [`10.9.${i >> 8}.${i & 255}`, `2001:db8:9::${i.toString(16)}`],
      allowed: ['10.10.0.0/16'],
    }));
    const one = app();
    await one.inject('/v1/status');
    // The best of three: other tests run beside this one.
    let bestMs = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 3; round++) {
      const before = performance.now();
      const answer = await one.inject({ method: 'POST', url: '/v1/guests', payload: { guests } });
      bestMs = Math.min(bestMs, performance.now() - before);
      expect((answer.json() as GuestsView).guests).toHaveLength(2000);
    }
    expect(bestMs).toBeLessThan(700);
  });

  test('all or none, and a conflict is 409', async () => {
    const taken = { name: 'thief', port: 'tap8', addresses: ['192.0.2.10'] };
    const answer = await post('/v1/guests', { guests: [web9, taken] });
    expect(answer.statusCode).toBe(409);
    expect(answer.json()).toMatchObject({
      error: { code: 'conflict', message: "192.0.2.10 is another guest's" },
    });
    expect(backend.guests!.one('web9')).toBeUndefined();
  });

  test('expected from the beginning', async () => {
    const { guests } = (
      await post('/v1/guests', {
        ...web9,
        expect: { from: 'hv2', for: '10m', qmp: '/run/a' },
      })
    ).json() as GuestsView;
    expect(guests[0]).toMatchObject({
      state: 'expected',
      expected: { from: 'hv2', remainingSeconds: 600, qmp: '/run/a' },
    });
  });

  const wrong: [object | string, string][] = [
    ['[]', 'the body must be a JSON object'],
    ['7', 'the body must be a JSON object'],
    [{}, 'name: must be a name'],
    [{ name: 'a b', port: 'tap1' }, 'name: must be a name'],
    [{ name: 'x'.repeat(128), port: 'tap1' }, 'name: must be a name'],
    [{ name: 'a' }, 'port: is required, or mac'],
    [{ name: 'a', port: 'tap-with-a-long-name' }, 'port: must be 1 to 15 printable characters'],
    [{ name: 'a', port: 'tap\u009b2J' }, 'port: must be 1 to 15 printable characters'],
    [{ name: 'a', port: 'b', guest: 'web\u202e1' }, 'guest: must be 1 to 63 printable characters'],
    [{ name: 'a', port: 'a/b' }, 'port: must be an interface name'],
    [{ name: 'a', port: 7 }, 'port: must be 1 to 15'],
    [{ name: 'a', mac: '02:00:5e' }, 'mac: must be a MAC address'],
    [{ name: 'a', mac: 'ff:ff:ff:ff:ff:ff' }, 'mac: is a group address'],
    [{ name: 'a', mac: '00:00:00:00:00:00' }, 'mac: is zero'],
    [{ name: 'a', port: 'b', guest: 'a\nb' }, 'guest: must be'],
    [{ name: 'a', port: 'b', addresses: '192.0.2.1' }, 'addresses: must be a list'],
    [{ name: 'a', port: 'b', addresses: ['192.0.2.1', 'x'] }, 'addresses.1: must be an IPv4 or IPv6 address'],
    [{ name: 'a', port: 'b', addresses: [4] }, 'addresses.0: must be an address'],
    [{ name: 'a', port: 'b', addresses: ['192.0.2.0/24'] }, 'addresses.0: must be one address'],
    [
      { name: 'a', port: 'b', addresses: ['192.0.2.1', '192.0.2.1/32'] },
      'addresses.1: 192.0.2.1 is given twice',
    ],
    [{ name: 'a', port: 'b', addresses: ['127.0.0.1'] }, 'addresses.0: is loopback'],
    [{ name: 'a', port: 'b', addresses: ['224.0.0.1'] }, 'addresses.0: is multicast'],
    [{ name: 'a', port: 'b', addresses: ['fe80::7'] }, 'addresses.0: is link-local'],
    [{ name: 'a', port: 'b', addresses: ['0.0.0.0'] }, 'addresses.0: is of'],
    [{ name: 'a', port: 'b', addresses: ['::'] }, 'addresses.0: is unspecified'],
    [{ name: 'a', port: 'b', addresses: Array(65).fill('192.0.2.1') }, 'addresses: must be at most 64'],
    [{ name: 'a', port: 'b', allowed: ['192.0.2.1/24'] }, 'allowed.0: has bits set beyond its length'],
    [{ name: 'a', port: 'b', allowed: ['192.0.2.1'] }, 'allowed.0: must be a prefix'],
    [{ name: 'a', port: 'b', allowed: ['fe80::/64'] }, 'allowed.0: is link-local'],
    [{ name: 'a', port: 'b', allowed: Array(65).fill('::/0') }, 'allowed: must be at most 64'],
    [{ name: 'a', port: 'b', maxAddresses: -1 }, 'maxAddresses: must be a whole number from 0 to 1024'],
    [{ name: 'a', port: 'b', maxAddresses: '4' }, 'maxAddresses: must be a whole number'],
    [{ name: 'a', port: 'b', source: 'config' }, 'source: must be one of api, proxmox, libvirt, lxd'],
    [{ name: 'a', port: 'b', adresses: [] }, 'adresses: is not a field'],
    [{ name: 'a', port: 'b', keepExpected: 'yes' }, 'keepExpected: must be true or false'],
    [{ name: 'a', port: 'b', expect: true }, 'expect: must be'],
    [{ name: 'a', port: 'b', expect: { form: 'x' } }, 'expect.form: is not a field'],
    [{ name: 'a', port: 'b', expect: { for: '1 hour' } }, 'expect.for: must be a duration'],
    [{ name: 'a', port: 'b', expect: { for: '8d' } }, 'expect.for: must be a duration'],
    [{ name: 'a', port: 'b', expect: { qmp: 'qmp.sock' } }, 'expect.qmp: must be the absolute path'],
    [{ guests: [] }, 'guests: must name at least one binding'],
    [{ guests: [{ name: 'a', port: 'b' }], name: 'a' }, 'name: is not a field'],
    [{ guests: [7] }, 'guests.0: must be a binding'],
    [
      {
        guests: [
          { name: 'a', port: 'b' },
          { name: 'c', port: 'b', mac: 'x' },
        ],
      },
      'guests.1.mac: must be a MAC',
    ],
    [
      {
        guests: [
          { name: 'a', port: 'b' },
          { name: 'a', port: 'c' },
        ],
      },
      'guests.1.name: a is given twice',
    ],
    [
      {
        guests: [
          { name: 'a', port: 'b', addresses: ['2001:db8::1'] },
          { name: 'c', port: 'd', addresses: ['2001:db8:0::1'] },
        ],
      },
      'guests.1.addresses.0: 2001:db8::1 is an address of a too',
    ],
    [{ guests: Array.from({ length: 4097 }, () => ({})) }, 'guests: must be at most 4096'],
    ['{"__proto__": {"name": "a"}}', 'bad-request'],
  ];
  test.each(wrong)('refused with the field %#', async (body, part) => {
    const answer = await post('/v1/guests', body);
    expect(answer.statusCode).toBe(400);
    expect(answer.body.replaceAll('\\"', '"')).toContain(part);
    expect(backend.asked).toEqual([]);
    expect(bugs).toEqual([]);
  });

  test('only who may write, only over the unix socket', async () => {
    expect((await post('/v1/guests', web9, false)).statusCode).toBe(403);
    const tcp = await app('tcp').inject({
      method: 'DELETE',
      url: '/v1/guests/db1',
      headers: { host: 'localhost' },
    });
    expect(tcp.statusCode).toBe(403);
    const read = await app('tcp').inject({ url: '/v1/guests', headers: { host: 'localhost' } });
    expect(read.statusCode).toBe(200);
  });
});

describe('expecting, detaching, clearing', () => {
  test('a binding that is there, or one that comes along', async () => {
    const known = await post('/v1/guests/web1/expect', { from: 'hv1', for: '30s' });
    expect(known.json()).toMatchObject({ name: 'web1', expected: { from: 'hv1', remainingSeconds: 30 } });
    const fresh = await post('/v1/guests/web9/expect', {
      port: 'tap9',
      addresses: ['192.0.2.90'],
      qmp: '/q',
    });
    expect(fresh.json()).toMatchObject({ name: 'web9', state: 'expected', expected: { qmp: '/q' } });
    const bare = await app().inject({ method: 'POST', url: '/v1/guests/web1/expect' });
    expect(bare.statusCode).toBe(200);
    expect(backend.asked).toEqual([
      'expect web1 {"from":"hv1","forMs":30000}',
      'expect web9 {"qmp":"/q"} anew',
      'expect web1 {}',
    ]);
    expect((await post('/v1/guests/nobody/expect', {})).statusCode).toBe(404);
  });

  test.each([
    [{ fro: 'x' }, 'fro: is not a field'],
    [{ addresses: ['192.0.2.1'] }, 'addresses: needs port or mac'],
    [{ for: 60 }, 'for: must be a duration'],
    [{ port: 'tap1', name: 'other' }, 'name: is not a field'],
  ])('refused %#', async (body, part) => {
    const answer = await post('/v1/guests/web1/expect', body);
    expect(answer.statusCode).toBe(400);
    expect(answer.body).toContain(part);
  });

  test('detach: what is configured stays, what is not there is told', async () => {
    const drop = (name: string) => app().inject({ method: 'DELETE', url: `/v1/guests/${name}` });
    expect((await drop('db1')).json()).toEqual({ name: 'db1', text: 'db1 is detached' });
    expect((await drop('db1')).statusCode).toBe(404);
    const configured = await drop('web1');
    expect(configured.statusCode).toBe(409);
    expect(configured.json()).toMatchObject({ error: { hint: 'remove it from guests.bind' } });
  });

  test('clear: a frozen address, once', async () => {
    const body = { address: '192.0.2.99/32' };
    expect((await post('/v1/guests/clear', body)).json()).toEqual({
      address: '192.0.2.99',
      text: '192.0.2.99 is no longer frozen',
    });
    const again = await post('/v1/guests/clear', body);
    expect(again.statusCode).toBe(404);
    expect(again.json()).toMatchObject({ error: { hint: 'leafctl why 192.0.2.99' } });
    expect((await post('/v1/guests/clear', { address: 'x' })).statusCode).toBe(400);
    expect((await post('/v1/guests/clear', {})).json()).toMatchObject({
      error: { message: 'address: must be an address' },
    });
  });
});

describe('views', () => {
  const binding = { name: 'a', source: 'api', port: 'tap1', addresses: [], allowed: [], sinceMs: 0 } as const;
  const bound = { binding, addresses: [], refused: {} };
  const port = { ifindex: 1, name: 'tap1', up: true, refused: {} };
  const rows = (more: Partial<GuestRows>): GuestRows => ({
    bindings: [bound],
    addresses: [],
    ports: [],
    ...more,
  });
  const stateOf = (more: Partial<GuestRows>): string => {
    const [view] = guestViews(rows(more), 5000) as [GuestView];
    return `${view.state} ${view.reason.code} ${view.sinceSeconds}`;
  };
  const address = (last: number, state: GuestAddressRow['state']): GuestAddressRow => ({
    address: Uint8Array.of(192, 0, 2, last),
    state,
    reason: 'arp',
    sinceMs: 1000,
    sequence: 0,
    fresh: false,
  });

  test('a binding without addresses tells of its port', () => {
    expect(stateOf({})).toBe('waiting noPort 5');
    expect(stateOf({ ports: [{ ...port, up: false }] })).toBe('waiting noCarrier 5');
    expect(stateOf({ ports: [port] })).toBe('attached bound 5');
    const expected = { ...bound, binding: { ...binding, expected: { untilMs: 9000 } } };
    expect(stateOf({ bindings: [expected], ports: [port] })).toBe('expected migration 5');
    const shadowed = { ...bound, shadowedBy: 'b' };
    expect(stateOf({ bindings: [shadowed], ports: [port] })).toBe('waiting configured 5');
    expect(guestViews(rows({ bindings: [shadowed] }), 0)[0]).toMatchObject({ shadowedBy: 'b' });
  });

  test('a MAC alone is shown with the port it was found on', () => {
    const mac = Uint8Array.of(2, 0, 0, 0, 0, 1);
    const { port: _, ...elsewhere } = binding;
    const found = { ...bound, binding: { ...elsewhere, mac }, port: 'tap7', refused: { tooMany: 1 } };
    const ports = [{ ...port, ifindex: 7, name: 'tap7', bridge: 'vmbr7' }];
    const drops = new Map([[7, { spoofedArp: 2 }]]);
    expect(guestViews(rows({ bindings: [found], ports, drops }), 0)[0]).toMatchObject({
      port: 'tap7',
      mac: '02:00:00:00:00:01',
      bridge: 'vmbr7',
      state: 'attached',
      refused: { tooMany: 1 },
      dropped: { spoofedArp: 2 },
    });
  });

  test('the gravest address speaks for the guest', () => {
    const addresses = [address(1, 'learned'), address(2, 'moved'), address(3, 'attached')];
    expect(stateOf({ bindings: [{ ...bound, addresses }] })).toBe('moved arp 4');
    const counts = guestCounts(rows({ addresses, refused: { tooFast: 3 } }), ['tap1: EBUSY']);
    expect(counts).toMatchObject({
      addresses: { learned: 1, moved: 1, attached: 1, frozen: 0 },
      refused: { tooFast: 3 },
      failures: ['tap1: EBUSY'],
    });
    expect(counts).not.toHaveProperty('dropped');
    expect(counts).not.toHaveProperty('unheard');
    expect(guestCounts(rows({}), [], 2)).toMatchObject({ unheard: 2 });
  });

  test('addresses without a binding are shown by their port, those without a port by themselves', () => {
    const onPort = { ...address(1, 'learned'), binding: 'gone', port: 'tap1' };
    const views = guestViews({ bindings: [], addresses: [onPort, address(2, 'frozen')], ports: [port] }, 0);
    expect(views).toMatchObject([
      { name: 'tap1', source: 'learned', port: 'tap1', state: 'learned' },
      { name: '192.0.2.2', source: 'learned', state: 'frozen' },
    ]);
    expect(views[1]).not.toHaveProperty('port');
  });

  test('the table of guests tells of itself as it is shown', () => {
    const world = new World();
    const { table } = world;
    table.attach(
      guestBinding('web1', { port: 'tap1', mac: mac(1), addresses: ['192.0.2.10'], allowed: ['10.0.0.0/8'] }),
    );
    table.attach(guestBinding('web2', { mac: mac(2), addresses: ['192.0.2.11'] }));
    table.portUp(tap(1));
    table.sighted(1, frame('arp', mac(1), '10.0.0.7'));
    table.sighted(1, frame('arp', mac(1), '192.0.2.11'));
    const told: GuestRows = {
      bindings: table.bindings(),
      addresses: table.addresses(),
      ports: table.ports(),
      refused: table.refused(),
    };
    const now = world.host.wallMs();
    const views = guestViews(told, now);
    expect(views.map(({ name, port, state }) => `${name} ${port} ${state}`)).toEqual([
      'web1 tap1 attached',
      'web2 undefined waiting',
    ]);
    expect(views[0]!.addresses.map((one) => `${one.address} ${one.state} ${one.mac}`)).toEqual([
      '192.0.2.10 attached 02:00:00:00:00:01',
      '10.0.0.7 learned 02:00:00:00:00:01',
    ]);
    expect(views[0]!.refused).toEqual({ otherGuest: 1 });
    expect(guestCounts(told)).toMatchObject({ bindings: 2, ports: 1, refused: { otherGuest: 1 } });
    const bytes = parseIp('192.0.2.11')!;
    const why = guestWhy(bytes, { row: table.look(bytes), refusals: table.refusals(bytes) }, now);
    expect(why).toMatchObject({
      state: 'waiting',
      refusals: [{ port: 'tap1', reason: { code: 'otherGuest' } }],
    });
  });

  test('nothing known is no answer; a name alone is one', () => {
    const bytes = Uint8Array.of(192, 0, 2, 1);
    expect(guestWhy(bytes, { refusals: [] }, 0)).toBeUndefined();
    expect(guestWhy(bytes, { refusals: [], binding }, 0)).toMatchObject({
      summary: '192.0.2.1 is named by a and not there yet',
    });
    const row = { ...address(1, 'moved'), heard: 4, port: 'tap1' };
    expect(guestWhy(bytes, { refusals: [], row }, 0)).toMatchObject({
      state: 'moved',
      port: 'tap1',
      heardSequence: 4,
      summary: expect.stringContaining('192.0.2.1 of port tap1 has moved to another node'),
    });
  });
});
