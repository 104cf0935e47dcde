// leafctl as people and scripts meet it: exit codes, streams, columns. Against the real API server with a fake
// backend over a real socket, because what is between them is what breaks.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { EventRing } from '../api/events.ts';
import { type FakeBackend, fakeBackend, fakePeer, fakeRoute } from '../api/fake-backend.ts';
import { type ApiServer, startApi } from '../api/server.ts';
import type { RouteView } from '../api/views.ts';
import { LeafdError } from '../lib/leafd-error.ts';
import { version } from '../lib/version.ts';
import { run } from './main.ts';
import { renderRoutes } from './render-bgp.ts';

const folder = mkdtempSync(join(tmpdir(), 'leafd-cli-'));
const socket = join(folder, 'leafd.sock');
let backend: FakeBackend;
const events = new EventRing(() => 0);
let server: ApiServer;

beforeAll(async () => {
  backend = fakeBackend();
  const forwarding = new Proxy({} as FakeBackend, { get: (_, key) => backend[key as keyof FakeBackend] });
  server = await startApi({ backend: forwarding, events, socket, onBug: () => {} });
});
beforeEach(() => {
  backend = fakeBackend();
});
afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

interface Outcome {
  code: number;
  out: string;
  err: string;
}

async function leafctl(
  words: string[],
  options: { colour?: boolean; socket?: string; stop?: AbortSignal } = {},
): Promise<Outcome> {
  const outcome: Outcome = { code: -1, out: '', err: '' };
  outcome.code = await run(words, {
    out: (text) => (outcome.out += text),
    err: (text) => (outcome.err += text),
    colour: options.colour ?? false,
    env: { LEAFCTL_SOCKET: options.socket ?? socket },
    interrupted: options.stop ?? new AbortController().signal,
  });
  return outcome;
}

const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};

describe('columns for people', () => {
  test('peers', async () => {
    expect((await leafctl(['peers'])).out).toBe(
      [
        'Peer       Host       AS   Up/Down  State        |#Received  Accepted  Advertised  Why',
        'eth0       spine1  65201  01:02:05  Established          12        11           7',
        '192.0.2.1          64512     never  Active                                         connection refused',
        '',
      ].join('\n'),
    );
  });

  test('routes', async () => {
    expect((await leafctl(['routes'])).out).toBe(
      [
        '    Network       Next Hop        AS_PATH                 Age  Peer       Attrs',
        '*>  10.0.0.12/32  fe80::1%eth0    65201 65102        00:01:30  eth0       i, 65000:1',
        '*   10.0.0.12/32  192.0.2.1%eth1  64512 65201 65102  00:01:30  192.0.2.1  i',
        '',
      ].join('\n'),
    );
    expect((await leafctl(['routes', '--limit', '1'])).out).toMatch(/there are more: .*--cursor \S+ those/);
  });

  test('rpki', async () => {
    expect((await leafctl(['rpki'])).out).toBe(
      [
        'in use  500002 payloads',
        'file    /etc/leafd/exceptions.json: 2 payloads',
        '',
        '   Cache      Port  State   Version  Session  Serial    VRPs       Age  Expires in  Last error',
        '>  192.0.2.3  3323  synced        1        7      42  500000  00:01:30    01:58:30',
        '   192.0.2.4  3323  down                                   0                        ECONNREFUSED',
        '',
      ].join('\n'),
    );
  });

  test('status, why, kernel', async () => {
    expect((await leafctl(['status'])).out).toContain(
      'bgp     AS 65101, router id 10.0.0.11, profile fabric\npeers   1 of 2 established',
    );
    const status = fakeBackend().status();
    backend.status = () => ({ ...status, bgp: { ...status.bgp, speaker: 'none' } });
    const alone = (await leafctl(['status'])).out;
    expect(alone).toContain('bgp     spoken by another daemon of this machine (bgp.speaker: none)\n');
    expect(alone).not.toMatch(/AS \d|^peers/m);
    const why = await leafctl(['why', '10.0.0.12/32']);
    expect(why.out).toMatch(/^10\.0\.0\.12\/32 goes through eth0 \(spine1\)/);
    expect(why.out).toMatch(
      /64512 65201 65102 {2}lost {5}its AS path is longer: 3 against 2 \(RFC 4271 9\.1\.2\.2 a\)/,
    );
    expect((await leafctl(['kernel'])).out).toMatch(/192\.0\.2\.0\/24 {2}dev eth9 {14}foreign {4}kernel/);
  });

  test('one peer: down is exit 1, absent too', async () => {
    const up = await leafctl(['peers', 'eth0']);
    expect(up.code).toBe(0);
    expect(up.out).toContain('negotiated  hold 9s, keepalive 3s');
    expect((await leafctl(['peers', '192.0.2.1'])).code).toBe(1);
    const absent = await leafctl(['peers', 'eth7']);
    expect(absent).toEqual({
      code: 1,
      out: '',
      err: 'leafctl: there is no peer eth7\nhint: leafctl peers lists them\n',
    });
  });

  test('a route that is not there is exit 1, an address is a longest match', async () => {
    expect(await leafctl(['routes', '10.1.0.0/16'])).toMatchObject({ code: 1, out: 'no routes\n' });
    await leafctl(['routes', '10.0.0.12', '--family', 'ipv4']);
    expect(backend.asked.at(-1)).toContain('"for":"10.0.0.12"');
  });

  test('colour only where it is wanted, and none from the network', async () => {
    expect((await leafctl(['peers'])).out).not.toContain('\x1b');
    expect((await leafctl(['peers'], { colour: true })).out).toContain('\x1b[32mEstablished\x1b[39m');
    backend.peers = () => [{ ...fakePeer, hostname: '\x1b[2Jspine\x07\r\n1' }];
    const { out } = await leafctl(['peers']);
    expect(out).toContain('?[2Jspine???1');
    expect(out.split('\n')).toHaveLength(3);
  });
});

describe('JSON for programs', () => {
  test.each([
    [['status', '-j'], 'node'],
    [['-j', 'peers'], 'peers'],
    [['peers', 'eth0', '--json'], 'byFamily'],
    [['routes', '-j'], 'routes'],
    [['why', '10.0.0.12', '-j'], 'winner'],
    [['kernel', '-j'], 'intended'],
    [['rpki', '-j'], 'servers'],
    [['events', '-j'], 'events'],
  ])('%j is one document', async (words, key) => {
    const { code, out, err } = await leafctl(words);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out.endsWith('}\n')).toBe(true);
    expect(JSON.parse(out)).toHaveProperty(key);
  });

  test('errors too, on stderr', async () => {
    const { out, err } = await leafctl(['-j', 'peers', 'eth7']);
    expect(out).toBe('');
    expect(JSON.parse(err)).toEqual({
      error: { code: 'not-found', message: 'there is no peer eth7', hint: 'leafctl peers lists them' },
    });
    expect(JSON.parse((await leafctl(['frob', '-j'])).err)).toHaveProperty('error.code', 'usage');
  });
});

describe('abbreviations', () => {
  test.each([
    [['st'], 'node'],
    [['pe'], 'eth0'],
    [['peer'], 'eth0'],
    [['peer', 'eth0'], 'negotiated'],
    [['pee', 'eth0'], 'negotiated'],
    [['-s', '/nowhere', '-s', 'SOCKET', 'ro'], '*>'],
    [['pe', 'res', 'eth0'], 'eth0: reset'],
    [['w', '10.0.0.12'], 'goes through'],
  ])('%j', async (words, part) => {
    const { out, err } = await leafctl(words.map((word) => (word === 'SOCKET' ? socket : word)));
    expect(err).toBe('');
    expect(out).toContain(part);
  });

  test('an ambiguous one lists what it could be', async () => {
    expect(await leafctl(['p'])).toEqual({
      code: 2,
      out: '',
      err: 'leafctl: "p" is ambiguous\nhint: peers, peer, passthrough, plan, policy\n',
    });
  });
});

describe('usage', () => {
  test.each([
    [['frob'], "unknown command 'frob'"],
    [['peer', 'frob', 'eth0'], "unknown command 'frob'"],
    [['peer', 'refresh', 'eth0', 'please'], 'too many arguments'],
    [['statsu'], 'did you mean status?'],
    [['status', '--loud'], "unknown option '--loud'"],
    [['why'], "missing required argument 'thing'"],
    [['routes', '10.0.0.1/8'], 'did you mean 10.0.0.0/8?'],
    [['routes', '--family', 'evqn'], 'family: must be one of ipv4, ipv6, vpnv4'],
    [['routes', '--received'], 'peer: is required'],
    [['events', '--since', 'x'], '--since'],
    [['completion', 'tcsh'], "shell: 'tcsh' is none: Allowed choices are bash, zsh, fish"],
    [['lab', 'cut', 'x', 'a:b', '--silent', '--one-way'], 'exclude each other'],
    [['lab', 'cut', 'x', 'a:b', '--loss', '500%'], 'such as 5%'],
    [['lab', 'up', 'x', '--wait', '9'], 'such as 30s'],
  ])('%j -> 2', async (words, part) => {
    const { code, out, err } = await leafctl(words);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain(part);
    expect(err).toMatch(/^leafctl: .*\n/);
  });

  test('help and version are no errors', async () => {
    const bare = await leafctl([]);
    expect(bare).toMatchObject({ code: 0, err: '' });
    expect(bare.out).toMatch(/Usage: leafctl.*Exit codes/s);
    expect((await leafctl(['peer', '--help'])).out).toContain('shutdown');
    expect((await leafctl(['peers', '--help'])).out).toContain('one in detail');
    expect(await leafctl(['--help'])).toMatchObject({ code: 0, err: '' });
    expect(await leafctl(['-V'])).toEqual({ code: 0, out: `${version}\n`, err: '' });
    expect(version).toBe((JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }).version);
  });
});

describe('the daemon is not there', () => {
  test.each([
    [join(folder, 'none.sock'), 'ENOENT', 'systemctl start leafd'],
    ['/dev/null', 'ECONNREFUSED|ENOTSOCK', 'leafd'],
  ])('%s', async (path, errno, hint) => {
    const { code, out, err } = await leafctl(['status'], { socket: path });
    expect({ code, out }).toEqual({ code: 3, out: '' });
    expect(err).toMatch(new RegExp(`^leafctl: cannot reach leafd on ${path}: (${errno})\nhint: .*${hint}`));
  });

  test('something else answers', async () => {
    const path = join(folder, 'other.sock');
    const other = createServer((one) => one.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi')).listen(
      path,
    );
    await new Promise((resolve) => other.once('listening', resolve));
    expect(await leafctl(['status'], { socket: path })).toMatchObject({ code: 3 });
    other.close();
  });

  test('it fails', async () => {
    backend.fail = new TypeError('bug');
    expect(await leafctl(['status'])).toMatchObject({ code: 5 });
    backend.fail = new LeafdError('conflict', 'not now', { hint: 'later' });
    expect(await leafctl(['status'])).toEqual({ code: 5, out: '', err: 'leafctl: not now\nhint: later\n' });
  });
});

describe('configuration', () => {
  const good = 'bgp: {asn: 65101, routerId: 10.0.0.1, profile: host}\n';

  test('check tells every problem with its place, and needs no daemon', async () => {
    const bad = file('bad.yaml', 'bgp:\n  asn: 0\n  foo: 1\n');
    const { code, out, err } = await leafctl(['check', file('good.yaml', good), bad], { socket: '/nowhere' });
    expect(code).toBe(4);
    expect(out).toBe(`${join(folder, 'good.yaml')}: ok\n`);
    expect(err).toBe(
      `${bad}:2:8: bgp.asn: AS 0 is reserved (RFC 7607)\n` + `${bad}:3:3: bgp.foo: is not a known key\n`,
    );
    const json = await leafctl(['check', '-j', bad]);
    expect(JSON.parse(json.out)).toMatchObject({
      files: [{ ok: false, problems: [{ path: 'bgp.asn' }, { path: 'bgp.foo' }] }],
    });
    expect(await leafctl(['check', join(folder, 'none.yaml')])).toMatchObject({ code: 4 });
  });

  test('plan: 0 nothing, 1 something, 4 refused', async () => {
    expect(await leafctl(['plan', file('same.yaml', `# same\n${good}`)])).toEqual({
      code: 0,
      out: 'nothing would change\n',
      err: '',
    });
    expect(await leafctl(['plan', file('other.yaml', good)])).toEqual({
      code: 1,
      out: '+ peer eth1  (live)\n',
      err: '',
    });
    const path = file('wrong.yaml', 'wrong: 1\n');
    const refused = await leafctl(['plan', path]);
    expect(refused.code).toBe(4);
    expect(refused.err).toBe(
      `${path}:2:3: bgp.wrong: is not a known key\nleafctl: ${path} is refused: the configuration has 1 problem\n`,
    );
    expect((await leafctl(['plan', join(folder, 'none.yaml')])).err).toContain('no such file (ENOENT)');
  });

  test('apply', async () => {
    expect(await leafctl(['apply', file('other.yaml', good)])).toEqual({
      code: 0,
      out: '+ peer eth1  (live)\n',
      err: '',
    });
  });

  const policies = 'test/good-config/policies.yaml';
  const policyTest = (...words: string[]) => leafctl(['policy', 'test', policies, ...words]);

  test('policy test: 0 accepts, 1 rejects, each condition with what it saw', async () => {
    const yes = await policyTest('--policy', 'from-kernel', '--route', '10.0.0.0/8 source kernel');
    expect(yes).toEqual({
      code: 0,
      err: '',
      out: `10.0.0.0/8: from-kernel: rule 1 accepts: source: kernel; prefixes: everything-private

Rule       Asks for                      Saw         Does
1     yes  source: kernel                kernel
      yes  prefixes: everything-private  10.0.0.0/8  accept

nothing is changed
`,
    });
    const no = await policyTest('--policy', 'from-kernel', '--route', '10.0.0.0/8');
    expect(no).toMatchObject({ code: 1, err: '' });
    expect(no.out).toContain('1     no  source: kernel  local\n');
    const changed = await policyTest(
      '--policy',
      'to-transit',
      '--route',
      '10.0.0.0/8 med 5 ext-community rt:65000:1 large-community 65000:1:2',
    );
    expect(changed.out).toContain('\nchanged:\n  med: 5 -> none\n');
  });

  test('policy test: the policies of a peer, and many routes', async () => {
    const peer = await policyTest('--peer', '192.0.2.1', '--route', '0.0.0.0/0 as-path 64512', '-j');
    expect(peer.code).toBe(1);
    expect(JSON.parse(peer.out)).toMatchObject({
      routes: [
        { prefix: '0.0.0.0/0', policy: 'from-transit', verdict: 'reject', rule: { name: 'no defaults' } },
      ],
    });
    const path = file('routes.txt', '# two routes\n10.0.0.0/8 med 5\n\n::/0 as-path "65001 65002"\n');
    const two = await policyTest('--peer', '192.0.2.1', '--as', 'export', '--routes', path);
    expect(two.out).toBe(
      'accept  10.0.0.0/8  to-transit: no rule decided, the default accepts\n' +
        'accept  ::/0  to-transit: no rule decided, the default accepts\n',
    );
  });

  test('policy test: what is wrong is told with its word', async () => {
    const told = async (route: string) => {
      const answer = await policyTest('--policy', 'to-transit', '--route', route);
      expect(answer.code).toBe(2);
      return answer.err.split('\n')[0]!.replace('leafctl: route: ', '');
    };
    expect(await told('10.0.0.1/8')).toBe('10.0.0.1/8 is not a prefix');
    expect(await told('0.0.0.0/0 community x')).toBe('community x is not such a community');
    expect(await told('0.0.0.0/0 as-path x')).toBe('as-path x is not an AS path');
    expect(await told('0.0.0.0/0 source x')).toBe('source x is not known');
    expect(await told('0.0.0.0/0 med')).toBe('med has no value');
    expect(await told('0.0.0.0/0 med 1 med 2')).toBe('med is given twice');
    expect(await told('0.0.0.0/0 comunity 65000:1')).toBe('"comunity" is not a known word');
    expect(await told('0.0.0.0/0 as-path "65001')).toBe('" opens a quote that is not closed');
    expect(await told('med 1')).toBe('it begins with a prefix');
    expect((await policyTest('--policy', 'from-kernl', '--route', '::/0')).err).toContain(
      'did you mean "from-kernel"?',
    );
    expect((await policyTest('--route', '::/0')).code).toBe(2);
    expect((await policyTest('--policy', 'to-transit')).code).toBe(2);
    expect((await policyTest('--peer', 'nobody', '--route', '::/0')).code).toBe(1);
    const bad = file('bad.yaml', 'bgp: {}');
    expect((await leafctl(['policy', 'test', bad, '--policy', 'p', '--route', '::/0'])).code).toBe(4);
  });

  test('what stands in a file of others moves no cursor and fakes no line', async () => {
    const evil = '"\\e[31mx\\nok: 1\\u009b2J"';
    const own = file('evil.yaml', `${evil}: 1\n`);
    const head = `apiVersion: network.openperouter.io/v1alpha1\nkind: Underlay\n`;
    const manifest = `${head}metadata: {name: ${evil}}\nspec: {}\n`;
    for (const path of [own, file('evil-underlay.yaml', manifest)]) {
      const { err } = await leafctl(['check', path]);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not be there
      expect(err).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
      for (const line of err.trimEnd().split('\n')) expect(line).toMatch(/^(\/|leafctl: |hint: )/);
    }
  });

  test('schema is that of the file shipped', async () => {
    expect((await leafctl(['schema'])).out).toBe(readFileSync('docs/leafd.schema.json', 'utf8'));
  });
});

test('peer actions carry a text', async () => {
  expect(await leafctl(['peer', 'shutdown', 'eth0', 'back', 'at', 'noon'])).toMatchObject({
    code: 0,
    out: 'eth0: shutdown\n',
  });
  expect(backend.asked).toEqual(['shutdown eth0 back at noon']);
});

test('events: what is kept, and what happens until the user has seen enough', async () => {
  events.publish({ level: 'info', kind: 'peer-up', text: 'eth0 is up' });
  expect((await leafctl(['events'])).out).toBe('1  1970-01-01T00:00:00.000Z  peer-up  eth0 is up\n');
  const stop = new AbortController();
  const following = leafctl(['events', '--follow', '--since', '0', '-j'], { stop: stop.signal });
  await expect.poll(() => events.subscribers).toBe(1);
  events.publish({ level: 'warning', kind: 'peer-down', text: 'eth0 is down' });
  setTimeout(() => stop.abort(), 50);
  const { code, out } = await following;
  expect(code).toBe(0);
  expect(
    out
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { text: string }).text),
  ).toEqual(['eth0 is up', 'eth0 is down']);
});

test('routes stand by address and length, of a prefix the one in use first', () => {
  const route = (prefix: string, best: boolean): RouteView => ({ ...fakeRoute, prefix, best });
  const routes = [
    route('2001:db8::/32', true),
    route('10.100.0.0/16', true),
    route('10.20.0.0/16', false),
    route('10.20.0.0/16', true),
    route('10.20.0.0/15', true),
    route('9.0.0.0/8', true),
  ];
  const text = renderRoutes({ routes }, { colour: false }, false);
  expect(text.match(/^\*.. \S+/gm)!.map((one) => one.replace(/ +/g, ' '))).toEqual([
    '*> 9.0.0.0/8',
    '*> 10.20.0.0/15',
    '*> 10.20.0.0/16',
    '* 10.20.0.0/16',
    '*> 10.100.0.0/16',
    '*> 2001:db8::/32',
  ]);
});

test('completion knows commands, options, choices and live peers', async () => {
  const complete = async (...words: string[]) =>
    (await leafctl(['__complete', '--', ...words])).out.trim().split('\n');
  expect(await complete('pe')).toEqual(['peers', 'peer']);
  expect(await complete('peers', '')).toEqual(['eth0', '192.0.2.1']);
  expect(await complete('peer', 're')).toEqual(['reset', 'refresh']);
  expect(await complete('routes', '--fa')).toEqual(['--family']);
  expect(await complete('routes', '--peer', 'e')).toEqual(['eth0', '192.0.2.1']);
  expect(await complete('policy', 'test', 'f', '--as', '')).toEqual(['import', 'export']);
  expect(await complete('completion', '')).toEqual(['bash', 'zsh', 'fish']);
  for (const shell of ['bash', 'zsh', 'fish'])
    expect((await leafctl(['completion', shell])).out).toContain('__complete');
});
