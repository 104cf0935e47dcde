// The hooks as hypervisors run them: against a daemon that answers, refuses, hangs or is not there. They end within a
// second and say what was done in one line; a guest is kept from starting only where that is asked for.

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { build } from 'esbuild';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { Context } from './context.ts';
import { libvirtHook, proxmoxHook } from './hook.ts';
import { hookSync } from './hook-sync.ts';

const folder = mkdtempSync(join(tmpdir(), 'leafd-hook-'));
const socket = join(folder, 'leafd.sock');
const pve = join(folder, 'pve');

interface Asked {
  method: string;
  path: string;
  body: unknown;
}

type Answer = { status: number; body: unknown } | 'hang';
const asked: Asked[] = [];
let answer: (request: Asked) => Answer;
let server: Server;

beforeAll(async () => {
  for (const place of ['qemu-server', 'lxc', 'nodes/pve2/qemu-server'])
    mkdirSync(join(pve, place), { recursive: true });
  const net = (vmid: string, n: number): string =>
    `net${n}: virtio=BC:24:11:00:${vmid}:0${n},bridge=vmbr1\nipconfig${n}: ip=192.0.2.${vmid}${n}/32\n`;
  writeFileSync(join(pve, 'qemu-server', '10.conf'), net('10', 0) + net('10', 1));
  writeFileSync(join(pve, 'nodes', 'pve2', 'qemu-server', '11.conf'), net('11', 0));
  writeFileSync(
    join(pve, 'lxc', '12.conf'),
    'net0: name=eth0,bridge=vmbr1,hwaddr=BC:24:11:00:12:00,ip=192.0.2.120/32\n',
  );
  writeFileSync(join(pve, 'qemu-server', '13.conf'), `#${'x'.repeat(5 << 20)}`);
  writeFileSync(join(pve, 'qemu-server', '14.conf'), 'net0: virtio=BC:24:11:00:14:00,bridge=vmbr0\n');
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const text = Buffer.concat(chunks).toString();
      const one = {
        method: request.method!,
        path: request.url!,
        body: text === '' ? undefined : JSON.parse(text),
      };
      asked.push(one);
      const said = answer(one);
      if (said === 'hang') return;
      response.writeHead(said.status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(said.body));
    });
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
});
beforeEach(() => {
  asked.length = 0;
  answer = () => ({ status: 200, body: { guests: [] } });
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true });
});

interface Outcome {
  code: number;
  out: string;
  err: string;
  tookMs: number;
}

type Env = Record<string, string>;

async function run(
  work: (context: Context) => Promise<number>,
  { env = {}, at = socket }: { env?: Env; at?: string } = {},
): Promise<Outcome> {
  let out = '';
  let err = '';
  const terminal = {
    out: (text: string) => void (out += text),
    err: (text: string) => void (err += text),
    colour: false,
    env: { LEAFCTL_SOCKET: at, LEAFD_PVE_DIR: pve, ...env },
    interrupted: new AbortController().signal,
  };
  const started = performance.now();
  const code = await work(new Context(terminal, {}));
  return { code, out, err, tookMs: performance.now() - started };
}

const stdin = (text?: string): PassThrough => {
  const stream = new PassThrough();
  if (text !== undefined) stream.end(text);
  return stream;
};

const proxmox = (vmid: string, phase: string, options: { env?: Env; at?: string; strict?: boolean } = {}) =>
  run(
    (context) =>
      proxmoxHook(
        context,
        [vmid, phase],
        { strict: options.strict === true },
        { workMs: 400, stdin: stdin() },
      ),
    options,
  );

const libvirt = (
  operation: string,
  input: string | undefined,
  options: { strict?: boolean; at?: string } = {},
) =>
  run(
    (context) =>
      libvirtHook(
        context,
        ['web1', operation],
        { strict: options.strict === true },
        { workMs: 400, stdin: stdin(input) },
      ),
    options,
  );

const domain = `<domain><name>web1</name><metadata>
<l:guest xmlns:l="https://leafd.dev/guest/1"><l:address>192.0.2.7</l:address>
</l:guest></metadata><devices><interface type="bridge"><mac address="52:54:00:00:00:07"/><source bridge="vmbr1"/>
<target dev="vnet0"/></interface></devices></domain>`;

test('a start on Proxmox is one request with all NICs, and one line', async () => {
  const { code, out, err } = await proxmox('10', 'post-start');
  expect([code, out, err]).toEqual([
    0,
    '',
    'leafctl: vm10-net0 attached: 192.0.2.100; vm10-net1 attached: 192.0.2.101\n',
  ]);
  expect(asked).toMatchObject([
    { method: 'POST', path: '/v1/guests', body: { guests: [{ name: 'vm10-net0' }, {}] } },
  ]);
});

test('a container is found where containers are', async () => {
  expect((await proxmox('12', 'post-start')).err).toBe('leafctl: ct12-net0 attached: 192.0.2.120\n');
});

test('the configuration of a guest that migrates is with the node it comes from', async () => {
  const { err } = await proxmox('11', 'pre-start', { env: { PVE_MIGRATED_FROM: 'pve2' } });
  expect(err).toBe('leafctl: vm11-net0 expected: 192.0.2.110\n');
  expect(asked).toMatchObject([
    { body: { guests: [{ mac: 'bc:24:11:00:11:00', expect: { from: 'pve2' } }] } },
  ]);
  const outside = await proxmox('11', 'pre-start', { env: { PVE_MIGRATED_FROM: '../nodes/pve2' } });
  expect(outside.err).toBe(`leafctl: no configuration of 11 in ${pve}\n`);
});

test('after the stop all that Proxmox had attached of the guest goes, and nobody else', async () => {
  const there = [
    ['vm10-net0', 'proxmox'],
    ['vm10-net7', 'proxmox'],
    ['vm100-net0', 'proxmox'],
    ['vm10-net1', 'api'],
  ].map(([name, source]) => ({ name, source }));
  answer = ({ method, path }) => {
    if (method === 'GET') return { status: 200, body: { guests: there } };
    if (path.endsWith('net7'))
      return { status: 404, body: { error: { code: 'not-found', message: 'no guest' } } };
    return { status: 200, body: {} };
  };
  const { code, err } = await proxmox('10', 'post-stop');
  expect([code, err]).toEqual([0, 'leafctl: vm10-net0 detached\n']);
  expect(asked.slice(1).map(({ method, path }) => `${method} ${path}`)).toEqual([
    'DELETE /v1/guests/vm10-net0',
    'DELETE /v1/guests/vm10-net7',
  ]);
});

test('a guest that is no business of ours costs no request and no word', async () => {
  expect(await proxmox('14', 'post-start')).toMatchObject({ code: 0, err: '' });
  expect(await proxmox('10', 'pre-start')).toMatchObject({ code: 0, err: '' });
  expect(await proxmox('10', 'pre-stop')).toMatchObject({ code: 0, err: '' });
  expect(asked).toEqual([]);
});

test('what one NIC is refused for does not cost the other', async () => {
  answer = ({ body }) => {
    const text = JSON.stringify(body);
    return text.includes('vm10-net1')
      ? { status: 409, body: { error: { code: 'conflict', message: '192.0.2.101 is an address of web2' } } }
      : { status: 200, body: {} };
  };
  const told = 'vm10-net0 attached: 192.0.2.100; vm10-net1: leafd refuses: 192.0.2.101 is an address of web2';
  expect(await proxmox('10', 'post-start')).toMatchObject({ code: 0, err: expect.stringContaining(told) });
  expect(await proxmox('10', 'post-start', { strict: true })).toMatchObject({ code: 5 });
});

test('with the daemon down a guest starts, unless that is to be prevented, and always stops', async () => {
  const at = join(folder, 'nobody.sock');
  const { code, err, tookMs } = await proxmox('10', 'post-start', { at });
  expect(code).toBe(0);
  expect(err).toBe(`leafctl: cannot reach leafd on ${at}: ENOENT; not attached: vm10-net0, vm10-net1\n`);
  expect(tookMs).toBeLessThan(300);
  for (const phase of ['pre-start', 'post-start'])
    expect(await proxmox('10', phase, { at, env: { LEAFD_HOOK_STRICT: '1' } })).toMatchObject({ code: 5 });
  expect(await proxmox('10', 'post-stop', { at, strict: true })).toMatchObject({ code: 0 });
  expect(await libvirt('started', domain, { at })).toMatchObject({ code: 0 });
  expect(await libvirt('started', domain, { at, strict: true })).toMatchObject({ code: 5 });
  expect(await libvirt('stopped', domain, { at, strict: true })).toMatchObject({ code: 0 });
  // libvirt kills the domain when this one fails.
  expect(await libvirt('reconnect', domain, { at, strict: true })).toMatchObject({ code: 0 });
});

test('a daemon that hangs is waited for no longer than the time there is', async () => {
  answer = () => 'hang';
  const { code, err, tookMs } = await proxmox('10', 'post-start');
  expect([code, err]).toEqual([0, 'leafctl: no answer within 400 ms; not attached: vm10-net0, vm10-net1\n']);
  expect(tookMs).toBeLessThan(600);
});

test('configurations that are absent or too long, and no VMID, are a line', async () => {
  expect(await proxmox('99', 'post-start')).toMatchObject({
    code: 0,
    err: `leafctl: no configuration of 99 in ${pve}\n`,
  });
  expect((await proxmox('13', 'post-start')).err).toMatch(/13\.conf is too long/);
  expect((await proxmox('../10', 'post-start')).err).toBe('leafctl: ../10 is no VMID\n');
  expect(asked).toEqual([]);
});

test('libvirt: stdout stays empty, whatever happens', async () => {
  expect(await libvirt('started', domain)).toMatchObject({
    code: 0,
    out: '',
    err: 'leafctl: web1-net0 attached: 192.0.2.7\n',
  });
  expect(await libvirt('migrate', domain)).toMatchObject({
    code: 0,
    out: '',
    err: 'leafctl: web1-net0 expected: 192.0.2.7\n',
  });
  expect(await libvirt('stopped', domain)).toMatchObject({
    code: 0,
    out: '',
    err: 'leafctl: web1-net0 detached\n',
  });
  expect(asked.map(({ method, path }) => `${method} ${path}`)).toEqual([
    'POST /v1/guests',
    'POST /v1/guests',
    'DELETE /v1/guests/web1-net0',
  ]);
});

test('a guest that stays expected is told as such', async () => {
  answer = () => ({ status: 200, body: { guests: [{ name: 'web1-net0', expected: {} }] } });
  expect((await libvirt('started', domain)).err).toBe('leafctl: web1-net0 expected: 192.0.2.7\n');
});

test('libvirt: broken, endless or absent XML is a line', async () => {
  expect(await libvirt('started', domain.slice(0, -9))).toMatchObject({
    code: 0,
    out: '',
    err: expect.stringContaining('broken'),
  });
  const long = `<domain>${' '.repeat(5 << 20)}</domain>`;
  expect(await libvirt('started', long, { strict: true })).toMatchObject({
    code: 5,
    err: expect.stringContaining('longer than'),
  });
  // Nobody closes stdin.
  const { code, err, tookMs } = await libvirt('started', undefined);
  expect([code, err]).toEqual([0, 'leafctl: no answer within 400 ms\n']);
  expect(tookMs).toBeLessThan(600);
});

test('what runs is attached and what has gone is detached after a time in which nobody listened', async () => {
  const links = join(folder, 'net');
  const state = join(folder, 'libvirt');
  for (const name of [links, state]) mkdirSync(name);
  for (const port of ['tap10i0', 'veth12i0', 'vnet0', 'tap77i0', 'tap14i0'])
    writeFileSync(join(links, port), '');
  writeFileSync(join(state, 'web1.xml'), `<domstatus state='running' pid='7'>${domain}</domstatus>`);
  const incoming = domain.replaceAll('web1', 'web2').replace(':07', ':08');
  writeFileSync(
    join(state, 'web2.xml'),
    `<domstatus state='paused' reason='migration'>${incoming}</domstatus>`,
  );
  writeFileSync(join(state, 'web3.xml'), '<domstatus><domain>');
  const there = [
    { name: 'vm10-net1', source: 'proxmox', port: 'tap10i1' },
    { name: 'vm15-net0', source: 'proxmox', expected: {} },
    { name: 'vm77-net0', source: 'proxmox', port: 'tap77i0' },
    { name: 'old-net0', source: 'libvirt', port: 'vnet9' },
    { name: 'other', source: 'api', port: 'tap9' },
  ];
  answer = ({ method }) => ({ status: 200, body: method === 'GET' ? { guests: there } : {} });
  const { code, err } = await run((context) => hookSync(context, { libvirtDir: state, links }));
  expect([code, err]).toEqual([0, expect.any(String)]);
  expect(err).toMatch(
    /^leafctl: vm10-net1 detached; old-net0 detached; 4 attached; \S*13\.conf: .* is too long; \S*web3\.xml: .*broken/,
  );
  const last = asked.at(-1)!.body as { guests: unknown[] };
  expect(last.guests).toMatchObject([
    { name: 'vm10-net0', port: 'tap10i0', keepExpected: true },
    { name: 'ct12-net0', port: 'veth12i0' },
    { name: 'web1-net0', port: 'vnet0', keepExpected: true },
    { name: 'web2-net0', expect: {} },
  ]);
});

test('the whole program ends within a second, also where the daemon hangs and stdin stays open', async () => {
  const dist = join(folder, 'dist');
  await build({
    entryPoints: { leafctl: 'src/cli/main.ts' },
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    outdir: dist,
    outExtension: { '.js': '.mjs' },
    banner: {
      js: "import { createRequire as r } from 'node:module'; const require = r(import.meta.url);",
    },
    external: ['koffi'],
    logLevel: 'silent',
  });
  const program = join(dist, 'run.mjs');
  writeFileSync(program, `(await import('./leafctl.mjs')).leafctl();`);
  const whole = (words: string[], options: { input?: string; env?: Env } = {}): Promise<Outcome> =>
    new Promise((resolve) => {
      const env = { ...process.env, LEAFCTL_SOCKET: socket, LEAFD_PVE_DIR: pve, ...options.env };
      const started = performance.now();
      const child = spawn(process.execPath, [program, 'hook', ...words], { env });
      let [out, err] = ['', ''];
      child.stdout.on('data', (chunk) => void (out += chunk));
      child.stderr.on('data', (chunk) => void (err += chunk));
      child.stdin.on('error', () => {});
      if (options.input !== undefined) child.stdin.end(options.input);
      child.on('exit', (code) =>
        resolve({ code: code ?? 255, out, err, tookMs: performance.now() - started }),
      );
    });
  const done = await whole(['proxmox', '10', 'post-start']);
  expect(done).toMatchObject({ code: 0, err: expect.stringContaining('vm10-net1 attached') });
  const told = await whole(['libvirt', 'web1', 'started', 'begin', '-'], { input: domain });
  expect(told).toMatchObject({ code: 0, out: '', err: 'leafctl: web1-net0 attached: 192.0.2.7\n' });
  const down = await whole(['proxmox', '10', 'post-start'], { env: { LEAFCTL_SOCKET: '/nowhere.sock' } });
  expect(down).toMatchObject({ code: 0, err: expect.stringContaining('ENOENT') });
  answer = () => 'hang';
  const hanging = await whole(['proxmox', '10', 'post-start']);
  expect(hanging).toMatchObject({ code: 0, err: expect.stringContaining('no answer within') });
  const open = await whole(['libvirt', 'web1', 'started', 'begin', '-']);
  expect(open).toMatchObject({ code: 0, err: expect.stringContaining('no answer within') });
  const took = [done, told, down, hanging, open].map(({ tookMs }) => Math.round(tookMs));
  expect(Math.max(...took)).toBeLessThan(1000);
});
