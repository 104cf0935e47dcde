// Real DHCP clients behind a gateway that answers from bindings alone: udhcpc and dhclient for IPv4, the kernel and
// dhclient for IPv6. What counts is what is in the guest's kernel after the client's own script ran: the host address,
// the routes of option 121, the default router of the advertisement, and that the gateway can be pinged.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { GuestFilter } from '../../src/dataplane/guest-filter.ts';
import type { GuestPlaneIntent } from '../../src/dataplane/guest-wish.ts';
import type { DhcpAnswer, DhcpGuest, DhcpSettings } from '../../src/guests/dhcp.ts';
import { answerRouterSolicitation } from '../../src/guests/dhcp-router.ts';
import { answerDhcp4 } from '../../src/guests/dhcp4.ts';
import { answerDhcp6 } from '../../src/guests/dhcp6.ts';
import { ByteWriter } from '../../src/lib/bytes.ts';
import { parseIp } from '../../src/net/ip.ts';
import { parseMac } from '../../src/net/mac.ts';
import { createNetns, removeNetns, withNetns } from '../../src/netlink/netns.ts';
import { openPacketSender, type PacketSender } from '../../src/netlink/packet-sender.ts';
import { libcCalls } from '../../src/netlink/sys.ts';
import { DHCPREQUEST } from '../../src/wire/lan/dhcp4.ts';
import { RENEW } from '../../src/wire/lan/dhcp6.ts';
import { type FrameNews, readFrame } from '../../src/wire/lan/sighting.ts';
import { run, until } from '../support/fabric.ts';

const HOST = `lfdhcp-${process.pid}-h`;
const GUEST = `lfdhcp-${process.pid}-g`;
const MAC = '52:54:00:00:00:30';
const directory = mkdtempSync(join(tmpdir(), 'leafd-dhcp-'));
const ip = (...words: string[]): string => execFileSync('ip', words, { encoding: 'utf8' });
const path = (name: string): string => join(directory, name);

const settings: DhcpSettings = {
  gatewayMac: parseMac('02:00:00:00:00:01')!,
  gateway4: parseIp('169.254.0.1')!,
  gateway6: parseIp('fe80::1')!,
  dns: [parseIp('192.0.2.53')!, parseIp('2001:db8::53')!],
  domain: 'example.net',
  leaseTimeMs: 3_600_000,
};

const hearOnly: GuestPlaneIntent = {
  ...settings,
  bridges: [],
  taps: ['tap'],
  filter: false,
  reach: { tcp: [], udp: [] },
  reserved: [],
};

/** A gateway on the host's end of the cable: it keeps nothing but what the tests look at. */
class Responder {
  readonly heard: { news: NonNullable<FrameNews>; answer: DhcpAnswer }[] = [];
  readonly #filter: GuestFilter;
  readonly #sender: PacketSender;
  readonly #ifindex = withNetns(HOST, () => Number(libcCalls.if_nametoindex('tap')));
  readonly #out = new ByteWriter(2048);
  readonly #guest: DhcpGuest;
  readonly #settings: DhcpSettings;

  constructor(addresses: readonly string[], options: { mac?: string; leaseTimeMs?: number } = {}) {
    const bound = addresses.map((address) => parseIp(address)!);
    this.#guest = { mac: parseMac(options.mac ?? MAC)!, addresses: bound };
    this.#settings = { ...settings, leaseTimeMs: options.leaseTimeMs ?? settings.leaseTimeMs };
    this.#sender = openPacketSender(HOST);
    this.#filter = new GuestFilter({ netns: HOST, onHeard: (_, bytes, length) => this.#take(bytes, length) });
    const link = { ifindex: this.#ifindex, name: 'tap' };
    this.#filter.setIntent(hearOnly, [link]);
    this.#filter.setPorts([{ ...link, gatewayIfindex: link.ifindex, macs: [], addresses: [] }]);
  }

  #take(bytes: Uint8Array, length: number): void {
    const news = readFrame(bytes, length, settings);
    if (news === undefined) return;
    const answer = this.#answer(news);
    if (answer === undefined) return;
    this.heard.push({ news, answer });
    if (answer.kind === 'frame') this.#sender.send(this.#ifindex, this.#out.bytes, this.#out.length);
  }

  #answer(news: NonNullable<FrameNews>): DhcpAnswer | undefined {
    switch (news.kind) {
      case 'dhcp4':
        return answerDhcp4(news, this.#guest, this.#settings, this.#out);
      case 'dhcp6':
        return answerDhcp6(news, this.#guest, this.#settings, this.#out);
      case 'routerSolicitation':
        return answerRouterSolicitation(news, this.#guest, this.#settings, this.#out);
      default:
        return undefined;
    }
  }

  /** What was answered, in order: `offer`, `ack`; or why nothing was. What a client asked again counts once. */
  said(kind: 'dhcp4' | 'dhcp6' | 'routerSolicitation'): string[] {
    return this.heard
      .filter(({ news }) => news.kind === kind)
      .map(({ answer }) => (answer.kind === 'frame' ? answer.what : answer.why))
      .filter((what, i, all) => what !== all[i - 1]);
  }

  /** DHCPREQUESTs sent to the gateway itself, as renewals are. */
  renewals(): string[] {
    return this.heard
      .filter(({ news }) => news.kind === 'dhcp4' && news.message.type === DHCPREQUEST)
      .filter(({ news }) => news.kind === 'dhcp4' && news.destination[0] === 169)
      .map(({ answer }) => (answer.kind === 'frame' ? answer.what : answer.why));
  }

  close(): void {
    this.#filter.close();
    this.#sender.close();
  }
}

let responder: Responder | undefined;
const clients: ChildProcess[] = [];

/** In place of the responder there was: the guest runs on another hypervisor now. */
function serve(
  addresses: readonly string[],
  options: { mac?: string; leaseTimeMs?: number } = {},
): Responder {
  responder?.close();
  responder = new Responder(addresses, options);
  return responder;
}

const inGuest = (...words: string[]) => run(['ip', 'netns', 'exec', GUEST, ...words], { timeoutMs: 30_000 });
const guestIp = (...words: string[]): string => ip('-n', GUEST, ...words);

/** A client that stays; it is ended after the test. */
function start(...words: string[]): ChildProcess {
  const child = spawn('ip', ['netns', 'exec', GUEST, ...words], { stdio: 'ignore' });
  clients.push(child);
  return child;
}

const udhcpc = (...words: string[]): string[] => [
  'udhcpc',
  '-f',
  '-i',
  'eth0',
  '-s',
  path('udhcpc-script'),
  '-t',
  '4',
  '-T',
  '1',
  '-O',
  '121',
  ...words,
];

const dhclient = (...words: string[]): string[] => [
  'dhclient',
  '-d',
  '-cf',
  path('conf'),
  '-pf',
  path('pid'),
  '-lf',
  path('leases'),
  '-sf',
  path('script'),
  ...words,
];

function script(name: string, lines: readonly string[]): void {
  writeFileSync(path(name), ['#!/bin/sh', 'set -e', ...lines, ''].join('\n'), { mode: 0o755 });
}

beforeAll(() => {
  // `staticroutes`: destination and gateway in turn (RFC 3442).
  script('udhcpc-script', [
    '[ "$1" = bound ] || [ "$1" = renew ] || exit 0',
    `env > ${path('udhcpc-env')}`,
    'ip addr replace $ip/$mask dev $interface',
    'set -- $staticroutes',
    'while [ $# -gt 1 ]; do',
    '  if [ $2 = 0.0.0.0 ]; then ip route replace $1 dev $interface',
    '  else ip route replace $1 via $2 dev $interface; fi',
    '  shift 2',
    'done',
  ]);
  script('script', [
    'case $reason in BOUND|RENEW|REBIND|REBOOT)',
    `  env > ${path('dhclient-env')}`,
    '  ip addr replace $new_ip_address/32 dev $interface',
    // Length, significant bytes, router: 32 169 254 0 1 0 0 0 0 and 0 169 254 0 1.
    '  set -- $new_rfc3442_classless_static_routes',
    '  [ "$1" = 32 ] && ip route replace $2.$3.$4.$5 dev $interface && shift 9',
    '  [ "$1" = 0 ] && ip route replace default via $2.$3.$4.$5 dev $interface;;',
    'BOUND6|RENEW6|REBIND6)',
    `  env > ${path('dhclient6-env')}`,
    '  ip -6 addr replace $new_ip6_address/128 dev $interface nodad;;',
    'esac',
  ]);
  writeFileSync(
    path('conf'),
    [
      'option rfc3442-classless-static-routes code 121 = array of unsigned integer 8;',
      'request subnet-mask, routers, domain-name, domain-name-servers, rfc3442-classless-static-routes;',
      'timeout 20; retry 1; initial-interval 1; reboot 2;',
    ].join('\n'),
  );
});

beforeEach(() => {
  createNetns(HOST);
  createNetns(GUEST);
  ip('-n', HOST, 'link', 'add', 'tap', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', GUEST);
  ip('-n', HOST, 'link', 'set', 'tap', 'address', '02:00:00:00:00:01', 'addrgenmode', 'none');
  ip('-n', HOST, 'link', 'set', 'tap', 'up');
  ip('-n', HOST, 'addr', 'add', '169.254.0.1/32', 'dev', 'tap', 'scope', 'link');
  ip('-n', HOST, 'addr', 'add', 'fe80::1/64', 'dev', 'tap', 'nodad');
  ip('-n', HOST, 'route', 'add', '192.0.2.0/24', 'dev', 'tap', 'scope', 'link');
  ip('-n', HOST, 'route', 'add', '2001:db8:100::/64', 'dev', 'tap');
  guestIp('link', 'set', 'lo', 'up');
  guestIp('link', 'set', 'eth0', 'address', MAC);
  writeFileSync(path('leases'), '');
});

/** The guest's end of the cable goes up, which makes its kernel look for a router. */
function plug(): void {
  guestIp('link', 'set', 'eth0', 'up');
}

afterEach(async () => {
  for (const child of clients.splice(0)) {
    child.kill('SIGTERM');
    await until(
      () => child.exitCode ?? child.signalCode,
      (ended) => ended !== null,
      { timeoutMs: 5000 },
    );
  }
  responder?.close();
  responder = undefined;
  removeNetns(HOST);
  removeNetns(GUEST);
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

const environment = (name: string): Record<string, string> =>
  Object.fromEntries(
    readFileSync(path(name), 'utf8')
      .split('\n')
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );

const addresses4 = (): string => guestIp('-4', '-o', 'addr', 'show', 'dev', 'eth0');

async function pings(...words: string[]): Promise<number> {
  return (await inGuest('ping', '-c', '1', '-W', '2', ...words)).exitCode;
}

describe('DHCPv4', () => {
  test('udhcpc gets the host address, the routes of option 121, and reaches the gateway', async () => {
    plug();
    const seen = serve(['192.0.2.30', '192.0.2.31']);
    expect((await inGuest(...udhcpc('-q', '-n'))).exitCode).toBe(0);
    expect(seen.said('dhcp4')).toEqual(['offer', 'ack']);
    expect(addresses4()).toContain('inet 192.0.2.30/32 ');
    expect(guestIp('route', 'show')).toBe(
      'default via 169.254.0.1 dev eth0 \n169.254.0.1 dev eth0 scope link \n',
    );
    expect(environment('udhcpc-env')).toMatchObject({
      serverid: '169.254.0.1',
      router: '169.254.0.1',
      dns: '192.0.2.53',
      domain: 'example.net',
      lease: '3600',
    });
    expect(await pings('169.254.0.1')).toBe(0);
  });

  test('a renewal goes to the gateway alone, and another hypervisor answers it', async () => {
    plug();
    const before = serve(['192.0.2.30']);
    const client = start(...udhcpc());
    await until(
      () => before.said('dhcp4'),
      (said) => said.includes('ack'),
      { timeoutMs: 10_000 },
    );
    await until(addresses4, (text) => text.includes('192.0.2.30/32'), { timeoutMs: 5000 });
    await until(
      () => guestIp('route'),
      (text) => text.includes('default via'),
      { timeoutMs: 5000 },
    );
    rmSync(path('udhcpc-env'));
    const after = serve(['192.0.2.30']);
    client.kill('SIGUSR1');
    await until(
      () => after.renewals(),
      (answers) => answers.length > 0,
      { timeoutMs: 10_000 },
    );
    expect(after.said('dhcp4')).toEqual(['ack']);
    // Its script ran again: the client took the answer for one of the server it knew.
    await until(environmentExists, (there) => there, { timeoutMs: 5000 });
    expect(environment('udhcpc-env')).toMatchObject({ ip: '192.0.2.30', serverid: '169.254.0.1' });
  });

  test('another MAC than the binding has gets nothing', async () => {
    plug();
    const seen = serve(['192.0.2.30'], { mac: '52:54:00:00:00:99' });
    expect((await inGuest(...udhcpc('-q', '-n', '-t', '2'))).exitCode).not.toBe(0);
    expect(new Set(seen.said('dhcp4'))).toEqual(new Set(['unknown']));
    expect(addresses4()).not.toContain('inet 192.0.2');
  });

  test('dhclient too; with a lease of another address it is refused first', async () => {
    plug();
    const first = serve(['192.0.2.30']);
    const words = dhclient('-4', '-1', 'eth0');
    const client = start(...words);
    await until(addresses4, (text) => text.includes('192.0.2.30/32'), { timeoutMs: 15_000 });
    await until(
      () => guestIp('route', 'show'),
      (text) => text.startsWith('default via 169.254.0.1'),
      {
        timeoutMs: 5000,
      },
    );
    expect(first.said('dhcp4')).toEqual(['offer', 'ack']);
    expect(await pings('169.254.0.1')).toBe(0);
    client.kill('SIGTERM');
    await until(
      () => client.signalCode ?? client.exitCode,
      (ended) => ended !== null,
      { timeoutMs: 5000 },
    );
    guestIp('addr', 'flush', 'dev', 'eth0', 'scope', 'global');
    const second = serve(['192.0.2.40']);
    start(...words);
    await until(addresses4, (text) => text.includes('192.0.2.40/32'), { timeoutMs: 20_000 });
    expect(second.said('dhcp4')).toEqual(['nak', 'offer', 'ack']);
    expect(environment('dhclient-env')).toMatchObject({
      new_dhcp_server_identifier: '169.254.0.1',
      new_subnet_mask: '255.255.255.255',
      new_domain_name: 'example.net',
    });
  });
});

function environmentExists(): boolean {
  try {
    return readFileSync(path('udhcpc-env')).length > 0;
  } catch {
    return false;
  }
}

describe('router advertisements and DHCPv6', () => {
  test('the kernel takes the router, dhclient the address, and a renewal goes on elsewhere', async () => {
    const seen = serve(['192.0.2.30', '2001:db8:100::80'], { leaseTimeMs: 4000 });
    plug();
    const routes = (): string => guestIp('-6', 'route', 'show', 'default');
    expect(
      await until(routes, (text) => text.includes('via fe80::1'), { timeoutMs: 10_000, what: 'a router' }),
    ).toContain('proto ra');
    expect(seen.said('routerSolicitation')).toContain('routerAdvertisement');
    // No prefix: the guest has made no address for itself, and nothing but link-locals is on the link.
    expect(guestIp('-6', '-o', 'addr', 'show', 'dev', 'eth0', 'scope', 'global')).toBe('');
    start(...dhclient('-6', '-1', 'eth0'));
    const address = (): string => guestIp('-6', '-o', 'addr', 'show', 'dev', 'eth0');
    await until(address, (text) => text.includes('2001:db8:100::80/128'), { timeoutMs: 15_000 });
    expect(seen.said('dhcp6').slice(0, 2)).toEqual(['advertise', 'reply']);
    expect(environment('dhclient6-env')).toMatchObject({
      new_dhcp6_name_servers: '2001:db8::53',
      new_dhcp6_domain_search: 'example.net.',
      new_max_life: '4',
    });
    expect(await pings('fe80::1%eth0')).toBe(0);
    const after = serve(['2001:db8:100::80'], { leaseTimeMs: 4000 });
    const renewals = () =>
      after.heard.filter(({ news }) => news.kind === 'dhcp6' && news.message.type === RENEW);
    await until(renewals, (seen) => seen.length > 0, { timeoutMs: 15_000, what: 'a renewal' });
    expect(renewals()[0]!.answer).toMatchObject({ what: 'reply', addresses: [parseIp('2001:db8:100::80')] });
  });
});
