// Guests that know nothing of themselves and ask by DHCP, as whole daemons answer: Debian's own clients with their own
// scripts (udhcpc, dhclient for both families, the kernel for the advertisement), judged by what is in the guest's kernel
// and by whom it reaches. The hypervisor's leafd dies, the guest moves, and its lease is renewed where it is then: the
// renewal goes to 169.254.0.1 alone, and another hypervisor answers it.
//
// Scripts of the clients write /etc/resolv.conf: each client sees one of its own, in its mount namespace.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { type Running, run, runOrThrow, start, until } from '../support/fabric.ts';
import { ask, everywhere, hypervisorFabric, looseGuest, pathsTo } from '../support/hypervisor.ts';

const terms = { dns: ['192.0.2.2', '2001:db8::53'], domain: 'example.net', leaseTime: '60s' };
const fabric = hypervisorFabric('dhcp', {}, { dhcp: terms });
const directory = mkdtempSync(join(tmpdir(), 'leafd-dhcp-e2e-'));
const clients: Running[] = [];

const db1 = ['192.0.2.21', '2001:db8:100::21'] as const;
const db2 = ['192.0.2.22', '2001:db8:100::22'] as const;
const web1 = '192.0.2.11';
const web2 = ['192.0.2.12', '2001:db8:100::12'] as const;

beforeAll(async () => {
  mkdirSync(join(directory, 'hooks'));
  writeFileSync(join(directory, 'hooks', 'no-resolver'), 'make_resolv_conf() { :; }\n');
  writeFileSync(join(directory, 'resolv.conf'), '');
  // As Debian's, but in a hurry: renewed after seconds, not after half of the lease.
  const conf = readFileSync('/etc/dhcp/dhclient.conf', 'utf8');
  writeFileSync(join(directory, 'conf'), `${conf}\nsupersede dhcp-renewal-time 6;\n`);
  await fabric.up();
});

afterEach(async () => {
  for (const client of clients.splice(0)) await client.stop();
});

afterAll(async () => {
  rmSync(directory, { recursive: true, force: true });
  expect(await fabric.down()).toEqual([]);
});

const ip = (guest: string, ...words: string[]) => runOrThrow(['ip', '-n', fabric.netns(guest), ...words]);

/** A command in a guest that can spoil no file of this machine. */
function guarded(netns: string, words: readonly string[]): string[] {
  const mounts = [
    `mount --bind ${directory}/resolv.conf /etc/resolv.conf`,
    `mount --bind ${directory}/hooks /etc/dhcp/dhclient-enter-hooks.d`,
  ];
  return ['ip', 'netns', 'exec', netns, 'sh', '-c', `${mounts.join(' && ')} && exec "$@"`, 'sh', ...words];
}

/** A client that stays until the test is over. */
function client(guest: string, ...words: string[]): Running {
  const running = start(guarded(fabric.netns(guest), words));
  clients.push(running);
  return running;
}

const udhcpc = ['udhcpc', '-f', '-i', 'eth0', '-t', '4', '-T', '1'];

function dhclient(guest: string, family: '-4' | '-6'): string[] {
  const file = (kind: string): string => join(directory, `${guest}${family}.${kind}`);
  return [
    'dhclient',
    family,
    '-d',
    '-cf',
    join(directory, 'conf'),
    '-pf',
    file('pid'),
    '-lf',
    file('leases'),
    'eth0',
  ];
}

/** Makes the DHCPv6 lease of a guest older. */
function rewind(guest: string, seconds: number): void {
  const path = join(directory, `${guest}-6.leases`);
  const text = readFileSync(path, 'utf8');
  const older = text.replaceAll(/starts (\d+);/g, (_, at: string) => `starts ${Number(at) - seconds};`);
  expect(older).not.toBe(text);
  writeFileSync(path, older);
}

/** Takes from a guest of the lab what the lab has given it; its kernel listens to advertisements from now on. */
async function strip(guest: string): Promise<void> {
  await ip(guest, 'link', 'set', 'eth0', 'down');
  await ip(guest, 'addr', 'flush', 'dev', 'eth0');
  await fabric.out(guest, 'sysctl', '-qw', 'net.ipv6.conf.eth0.accept_ra=1');
  await ip(guest, 'link', 'set', 'eth0', 'up');
  expect(await ip(guest, 'route', 'show')).toBe('');
}

async function pings(guest: string, address: string): Promise<string> {
  const { stdout } = await fabric.inside(guest, 'ping', '-nqc', '2', '-i', '0.05', '-W', '1', address);
  return /\d+ received/.exec(stdout)?.[0] ?? stdout;
}

const said = (running: Running, what: RegExp, timeoutMs: number): Promise<string> =>
  until(running.text, (text) => what.test(text), { timeoutMs, everyMs: 20, what: String(what) });

const addresses = (guest: string) => ip(guest, '-o', 'addr', 'show', 'dev', 'eth0', 'scope', 'global');
const defaults6 = (guest: string) => ip(guest, '-6', 'route', 'show', 'default');

/** Waits for an advertisement, and for a link-local address from which DHCPv6 can be spoken. */
async function routerOf(guest: string): Promise<void> {
  const what = { timeoutMs: 8000, what: `the router of ${guest}` };
  expect(
    await until(
      () => defaults6(guest),
      (text) => text.includes('fe80::1'),
      what,
    ),
  ).toContain('proto ra');
}

const leases = async (guest: string, of: readonly string[]) =>
  until(
    () => addresses(guest),
    (text) => of.every((address) => text.includes(` ${address}/`)),
    {
      timeoutMs: 10_000,
      what: `the addresses of ${guest}`,
    },
  );

it('give a guest its addresses and its way out, and another hypervisor renews them', async () => {
  await Promise.all(['web1', 'db1'].map(strip));
  const ours = client('web1', ...udhcpc);
  const four = client('db1', ...dhclient('db1', '-4'));
  await said(ours, /lease of 192\.0\.2\.11 obtained from 169\.254\.0\.1/, 6000);
  await said(four, /bound to 192\.0\.2\.21/, 10_000);
  await routerOf('db1');
  const six = client('db1', ...dhclient('db1', '-6'));
  const given = await leases('db1', db1);
  expect(given).toContain('inet 192.0.2.21/32 ');
  expect(given).toContain('inet6 2001:db8:100::21/128 ');
  // What option 121 says, by the script of the package.
  expect(await ip('db1', '-4', 'route', 'show')).toBe(
    'default via 169.254.0.1 dev eth0 \n169.254.0.1 dev eth0 scope link \n',
  );
  expect(await leases('web1', [web1])).toContain('inet 192.0.2.11/32 ');
  for (const [guest, to] of [
    ['db1', db2[0]],
    ['db1', db2[1]],
    ['db1', web1],
    ['web1', db2[0]],
  ] as const)
    expect(`${guest} ${to}: ${await pings(guest, to)}`).toBe(`${guest} ${to}: 2 received`);

  // The leafd that gave the leases is dead; the guests move as if it were not.
  await fabric.lab('stop', 'hv2', '--kill');
  const told = four.text().length;
  await six.stop();
  await fabric.lab('migrate', 'db1', 'hv3');
  for (const address of db1)
    await until(
      () => pathsTo(fabric, 'spine1', address),
      (paths) => paths[0] === 'hv3',
      {
        timeoutMs: 3000,
        what: `${address} at hv3`,
      },
    );
  const answer = await until(
    () => four.text().slice(told),
    (text) => /bound to 192\.0\.2\.21/.test(text),
    { timeoutMs: 10_000, what: 'a renewal of dhclient' },
  );
  expect(answer).toMatch(/DHCPREQUEST for 192\.0\.2\.21 on eth0 to 169\.254\.0\.1 port 67/);
  expect(answer).toMatch(/DHCPACK of 192\.0\.2\.21 from 169\.254\.0\.1/);
  expect(answer).not.toMatch(/255\.255\.255\.255|DHCPDISCOVER|DHCPNAK/);
  // The lease is older than it is: the client renews it as soon as it has found its link to be the same.
  rewind('db1', 40);
  const again = client('db1', ...dhclient('db1', '-6'));
  expect(await said(again, /XMT: Confirm.*XMT: Renew.*RCV: Reply/s, 15_000)).not.toMatch(
    /XMT: (Rebind|Solicit)/,
  );
  expect(await leases('db1', db1)).toContain('inet6 2001:db8:100::21/128 ');
  for (const to of web2) expect(`${to}: ${await pings('db1', to)}`).toBe(`${to}: 2 received`);
  await fabric.lab('restart', 'hv2');

  // And with all of them alive.
  await fabric.lab('migrate', 'web1', 'hv3');
  await everywhere(fabric, [web1], 'hv3', 3000);
  const before = ours.text().length;
  ours.child.kill('SIGUSR1');
  await until(
    () => ours.text().slice(before),
    (text) => /lease of 192\.0\.2\.11 obtained/.test(text),
    {
      timeoutMs: 5000,
      what: 'a renewal of udhcpc',
    },
  );
  expect(ours.text().slice(before)).toMatch(/sending renew to (server )?169\.254\.0\.1/);
});

it('give nothing to a MAC that nobody has told of, nor to one that is not of its binding', async () => {
  const guest = await looseGuest(fabric, 'hv3', ['192.0.2.90']);
  const once = (...words: string[]) => run(guarded(guest.netns, [...udhcpc, '-n', '-q', ...words]));
  const attach = (mac: string) =>
    ask(fabric, 'hv3', 'POST', '/v1/guests', { ...guest.binding, mac, addresses: ['192.0.2.89'] });
  try {
    await runOrThrow(['ip', '-n', guest.netns, 'addr', 'flush', 'dev', 'eth0']);
    const stranger = await once('-t', '1');
    expect([stranger.exitCode, stranger.stderr]).toEqual([1, expect.stringContaining('no lease')]);
    await attach('02:00:00:00:99:ff');
    const other = await once('-t', '1');
    expect([other.exitCode, other.stderr]).toEqual([1, expect.stringContaining('no lease')]);
    await attach(guest.mac);
    const known = await once();
    expect([known.exitCode, known.stderr]).toEqual([
      0,
      expect.stringContaining('lease of 192.0.2.89 obtained'),
    ]);
  } finally {
    await ask(fabric, 'hv3', 'DELETE', `/v1/guests/${guest.name}`).catch(() => {});
    await guest.remove();
  }
});
