// Commands about guests as people and hooks meet them, against the real API server with a fake hypervisor behind it.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { EventRing } from '../api/events.ts';
import { type FakeBackend, fakeBackend } from '../api/fake-backend.ts';
import { type ApiServer, startApi } from '../api/server.ts';
import type { GuestsView } from '../api/views.ts';
import { run } from './main.ts';
import { guestsTrouble } from './render-guests.ts';

const folder = mkdtempSync(join(tmpdir(), 'leafd-cli-guests-'));
const socket = join(folder, 'leafd.sock');
let backend: FakeBackend;
let server: ApiServer;

beforeAll(async () => {
  backend = fakeBackend();
  const forwarding = new Proxy({} as FakeBackend, { get: (_, key) => backend[key as keyof FakeBackend] });
  server = await startApi({ backend: forwarding, events: new EventRing(() => 0), socket, onBug: () => {} });
});
beforeEach(() => {
  backend = fakeBackend();
});
afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

async function leafctl(...words: string[]) {
  const outcome = { code: -1, out: '', err: '' };
  outcome.code = await run(words, {
    out: (text) => (outcome.out += text),
    err: (text) => (outcome.err += text),
    colour: words.includes('--colour'),
    env: { LEAFCTL_SOCKET: socket },
    interrupted: new AbortController().signal,
  });
  return outcome;
}

const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};

/** Lines of a table with one space between columns: what stands where is the table's own test. */
const squeezed = (text: string): string[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/ {2,}/g, ' | '));

describe('looking', () => {
  test('all: an address a line', async () => {
    const { code, out } = await leafctl('guests');
    expect(code).toBe(0);
    expect(squeezed(out)).toEqual([
      'Name | Guest | Source | Bridge | Port | MAC | Address | State | Since | From | Why',
      'web1 | 100 | config | vmbr1 | tap100i0 | 02:00:5e:00:53:01 | 192.0.2.10 | attached | 00:01:00 | ' +
        'a binding names it and its port is here',
      'web1 | 100 | config | vmbr1 | tap100i0 | 02:00:5e:00:53:01 | 2001:db8::10 | attached | 00:01:00 | ' +
        'the guest told of its arrival (RARP, gratuitous ARP or unsolicited NA)',
      'web1 | 100 | config | vmbr1 | tap100i0 | 02:00:5e:00:53:01 | 192.0.2.70 | learned | 00:01:00 | ' +
        'its guest said so by ARP',
      'db1 | 101 | proxmox | vmbr1 | tap101i0 | 192.0.2.11 | expected | 00:01:00 | hv1 | ' +
        'the guest still runs on another node',
      'old1 | api | 02:00:5e:00:53:03 | 192.0.2.12 | waiting | 00:01:00 | the port is not here',
      'tap9 | learned | tap9 | 02:00:5e:00:53:09 | 192.0.2.99 | frozen | 00:01:00 | ' +
        'it moved too often, unexpected, within guests.moves.duplicateWithin: two guests may have it',
    ]);
  });

  test('one: exit 1 unless it is announced from here', async () => {
    const web1 = await leafctl('guests', 'web1');
    expect(web1.code).toBe(0);
    expect(web1.out).toBe(`name       web1
guest      100
source     config
port       tap100i0
bridge     vmbr1
MAC        02:00:5e:00:53:01
state      attached since 00:01:00: a binding names it and its port is here
may learn  192.0.2.64/26
refused    1 otherMac
dropped    12 spoofed4

Address       State        Since     Moves  Why
192.0.2.10    attached  00:01:00         3  a binding names it and its port is here
2001:db8::10  attached  00:01:00  4, fresh  the guest told of its arrival (RARP, gratuitous ARP or unsolicited NA)
192.0.2.70    learned   00:01:00         0  its guest said so by ARP
`);
    const db1 = await leafctl('guests', 'db1');
    expect(db1.code).toBe(1);
    expect(db1.out).toContain('expected  from hv1 for 00:10:00 more, RESUME on /run/qmp/101\n');
    expect(await leafctl('guests', 'web9')).toEqual({
      code: 1,
      out: '',
      err: 'leafctl: there is no guest web9\nhint: leafctl guests lists them\n',
    });
    expect(JSON.parse((await leafctl('-j', 'guests', 'web1')).out)).toHaveProperty(
      'addresses.2.state',
      'learned',
    );
  });

  test('none, and not configured', async () => {
    backend.guests!.list = () => [];
    expect((await leafctl('guests')).out).toBe('no guests\n');
    Object.assign(backend, { guests: undefined });
    expect(await leafctl('guests')).toMatchObject({
      code: 1,
      err:
        'leafctl: no guests are looked after here\n' +
        'hint: guests: in leafd.yaml names the bridges and taps of guests\n',
    });
  });

  test('the status counts them', async () => {
    const { out } = await leafctl('status');
    expect(out).toContain(
      'guests  3 bindings, 3 ports, 2 attached, 1 learned, 1 waiting, 1 expected, 1 frozen\n' +
        '        refused 1 otherMac, 2 notAllowed; dropped 12 spoofed4\n',
    );
    const counts = backend.guests!.counts();
    backend.guests!.counts = () => ({ ...counts, unheard: 2 });
    expect((await leafctl('status')).out).toContain('; dropped 12 spoofed4; frames lost 2 times\n');
    Object.assign(backend, { guests: undefined });
    expect((await leafctl('status')).out).not.toContain('guests');
  });

  test('why: the guest first, its routes after', async () => {
    const { code, out } = await leafctl('why', '192.0.2.10');
    expect(code).toBe(0);
    expect(out).toBe(`192.0.2.10 of web1 is attached and announced: a binding names it and its port is here

guest      100
binding    web1
port       tap100i0
MAC        02:00:5e:00:53:01
since      2026-01-02T03:03:05.000Z
moves      3
elsewhere  announced after 2 moves

Refused     Times       Ago  Port  MAC                Why
otherGuest      3  00:01:00  tap9  02:00:5e:00:53:09  another guest of this machine has the address
`);
    const { why } = backend.guests!;
    backend.guests!.why = () => why(Uint8Array.of(192, 0, 2, 70));
    const both = (await leafctl('why', '10.0.0.12')).out;
    expect(both).toMatch(/^192\.0\.2\.70 of web1 is announced|^192\.0\.2\.70 of web1 was learned/);
    expect(both.indexOf('10.0.0.12/32 goes through eth0')).toBeGreaterThan(both.indexOf('binding'));
  });
});

describe('attaching', () => {
  test('by options', async () => {
    const words =
      '--port tap9 --mac 02:00:5e:00:53:90 --address 192.0.2.90 2001:db8::90 --allow 192.0.2.128/25';
    const answer = await leafctl('attach', 'web9', ...words.split(' '), '--guest', 'vm 9', '--max', '2');
    expect(answer).toMatchObject({ code: 0, err: '' });
    expect(squeezed(answer.out)[1]).toContain('web9 | vm 9 | api');
    expect(backend.guests!.one('web9')).toMatchObject({
      mac: '02:00:5e:00:53:90',
      allowed: ['192.0.2.128/25'],
      maxAddresses: 2,
    });
  });

  test('from a file: one, or many', async () => {
    const one = file('one.json', '{"name": "a", "port": "tap1", "addresses": ["192.0.2.90"]}');
    expect(await leafctl('attach', '--file', one)).toMatchObject({ code: 0, err: '' });
    const many = file(
      'many.json',
      '{"guests": [{"name": "b", "port": "tap2"}, {"name": "c", "port": "tap3"}]}',
    );
    const { guests } = JSON.parse((await leafctl('-j', 'attach', '--file', many)).out) as GuestsView;
    expect(guests.map((guest) => guest.name)).toEqual(['b', 'c']);
  });

  test('refused: the field, the conflict, the command line', async () => {
    expect(await leafctl('attach', 'a', '--port', 'tap1', '--address', '224.0.0.1')).toMatchObject({
      code: 2,
      err: 'leafctl: addresses.0: is multicast: no guest is reached by it\n',
    });
    expect(await leafctl('attach', 'a', '--port', 'tap1', '--address', '192.0.2.10')).toMatchObject({
      code: 5,
      err: "leafctl: 192.0.2.10 is another guest's\nhint: leafctl why 192.0.2.10\n",
    });
    expect((await leafctl('attach')).err).toContain('a name is missing');
    expect((await leafctl('attach', 'a', '--file', 'b')).err).toContain('exclude each other');
    expect((await leafctl('attach', '--file', 'b', '--port', 'c')).err).toContain('--file stands alone');
    expect((await leafctl('attach', 'a', '--port', 'b', '--max', 'x')).err).toContain('--max takes a number');
    const missing = await leafctl('attach', '--file', join(folder, 'none'));
    expect(missing).toMatchObject({ code: 2 });
    expect(missing.err).toContain('ENOENT');
    expect((await leafctl('attach', '--file', file('bad.json', '{'))).err).toContain('is not JSON');
  });

  test('expect: what is there, or what comes along', async () => {
    const words = ['--from', 'hv2', '--for', '10m', '--qmp', '/run/q'];
    const known = await leafctl('expect', 'web1', ...words);
    expect(known).toMatchObject({ code: 0, err: '' });
    expect(known.out).toContain('expected   from hv2 for 00:10:00 more, RESUME on /run/q\n');
    await leafctl('expect', 'web9', '--port', 'tap9', '--address', '192.0.2.90');
    expect(backend.asked).toEqual([
      'expect web1 {"from":"hv2","forMs":600000,"qmp":"/run/q"}',
      'expect web9 {} anew',
    ]);
    expect((await leafctl('expect', 'nobody')).code).toBe(1);
    expect(await leafctl('expect', 'web1', '--for', 'long')).toMatchObject({ code: 2 });
  });

  test('detach: all that are there, exit 1 when one is not', async () => {
    expect(await leafctl('detach', 'db1')).toEqual({ code: 0, out: 'db1 is detached\n', err: '' });
    expect(await leafctl('detach', 'db1', 'old1')).toEqual({
      code: 1,
      out: 'old1 is detached\n',
      err: 'leafctl: there is no guest db1\n',
    });
    expect(await leafctl('detach', 'web1')).toMatchObject({ code: 5 });
    expect(JSON.parse((await leafctl('-j', 'attach', 'a', '--port', 'b')).out)).toHaveProperty('guests');
    expect((await leafctl('-j', 'detach', 'a')).out).toBe('{"detached":["a"]}\n');
  });

  test('clear', async () => {
    expect(await leafctl('guests', 'clear', '192.0.2.99')).toEqual({
      code: 0,
      out: '192.0.2.99 is no longer frozen\n',
      err: '',
    });
    expect((await leafctl('guests', 'clear', '192.0.2.99')).code).toBe(1);
  });
});

describe('the own side of a guest', () => {
  test('each format, without a daemon', async () => {
    for (const format of ['netplan', 'networkd', 'ifupdown', 'cloud-init']) {
      const { code, out } = await leafctl(
        ...['-s', '/nowhere', 'guests', 'config', '192.0.2.10', '2001:db8::10/128', '--format', format],
      );
      expect(code).toBe(0);
      for (const part of ['192.0.2.10/32', '2001:db8::10/128', '169.254.0.1', 'fe80::1', 'eth0'])
        expect(out).toContain(part);
    }
  });

  test('options, JSON, and what is refused', async () => {
    const config = (...words: string[]) => leafctl('guests', 'config', ...words);
    const { out } = await config(
      ...['192.0.2.10', '--format', 'networkd', '--mac', '02:00:5e:00:53:01', '--interface', 'ens3'],
      ...['--dns', '192.0.2.53', '2001:db8::53', '--gateway', '169.254.7.1'],
    );
    expect(out).toBe(`# /etc/systemd/network/10-ens3.network
[Match]
MACAddress=02:00:5e:00:53:01

[Network]
DHCP=no
IPv6AcceptRA=no
LinkLocalAddressing=ipv6
DNS=192.0.2.53
DNS=2001:db8::53
Address=192.0.2.10/32

[Route]
Gateway=169.254.7.1
GatewayOnLink=yes
`);
    const json = JSON.parse((await config('192.0.2.10', '--format', 'netplan', '-j')).out);
    expect(json).toMatchObject({ format: 'netplan', text: expect.stringContaining('on-link: true') });
    for (const words of [
      ['192.0.2.10'],
      ['192.0.2.10', '--format', 'wicked'],
      ['192.0.2.0/24', '--format', 'netplan'],
      ['web1', '--format', 'netplan'],
      ['192.0.2.10', '--format', 'netplan', '--mac', 'x'],
      ['192.0.2.10', '--format', 'netplan', '--interface', 'a b'],
      ['192.0.2.10', '--format', 'netplan', '--dns', 'x'],
    ]) {
      const answer = await config(...words);
      expect(answer).toMatchObject({ code: 2, out: '' });
      expect(answer.err).toMatch(/^leafctl: ./);
    }
  });
});

test('a guest may be called like the beginning of a command', async () => {
  await leafctl('attach', 'conf', '--port', 'tap1');
  expect((await leafctl('guests', 'conf')).out).toMatch(/^name +conf\n/);
  expect((await leafctl('gu', 'web1')).out).toMatch(/^name +web1\n/);
});

test('completion knows guests, frozen addresses and formats', async () => {
  const complete = async (...words: string[]) =>
    (await leafctl('__complete', '--', ...words)).out.trim().split('\n');
  expect(await complete('detach', '')).toEqual(['web1', 'db1', 'old1', 'tap9']);
  expect(await complete('detach', 'web1', 'd')).toEqual(['db1']);
  expect(await complete('expect', 'w')).toEqual(['web1']);
  expect(await complete('guests', '')).toEqual(['clear', 'config', 'web1', 'db1', 'old1', 'tap9']);
  expect(await complete('guests', 'clear', '')).toEqual(['192.0.2.99']);
  expect(await complete('guests', 'config', '192.0.2.1', '--format', 'net')).toEqual([
    'netplan',
    'networkd',
    'ifupdown',
    'cloud-init',
  ]);
});

test('of many failures the status shows the first ones, and how many more', () => {
  const failures = [1, 2, 3, 4, 5].map((at) => `address vmbr${at}: EROFS`);
  const counts = { failures, refused: {} } as Parameters<typeof guestsTrouble>[0];
  const text = guestsTrouble(counts, false as never)!;
  expect(text).toContain('vmbr3: EROFS; and 2 more');
  expect(text).not.toContain('vmbr4');
});
