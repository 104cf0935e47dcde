// The doors with real sockets, the routes by injection. Hostile requests are here because a daemon that holds a
// fabric together must answer them and go on.

import { execFile, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LeafdError } from '../lib/leafd-error.ts';
import { createApp } from './app.ts';
import { EventRing } from './events.ts';
import { type FakeBackend, fakeBackend } from './fake-backend.ts';
import { type ApiServer, startApi } from './server.ts';
import { defaultLimits } from './stream.ts';

const folder = mkdtempSync(join(tmpdir(), 'leafd-api-'));
const socket = join(folder, 'leafd.sock');
const bugs: unknown[] = [];
let backend: FakeBackend;
let events: EventRing;
let servers: ApiServer[] = [];

beforeEach(() => {
  backend = fakeBackend();
  events = new EventRing(() => 0, 8);
  bugs.length = 0;
});
afterEach(async () => {
  await Promise.all(servers.map((one) => one.close()));
  servers = [];
});
afterAll(() => rmSync(folder, { recursive: true }));

const onBug = (error: unknown) => void bugs.push(error);
const app = (way: 'unix' | 'tcp', write = true) =>
  createApp({ backend, events, way, limits: defaultLimits, mayWrite: () => write, onBug });

async function start(listen?: { host: string; port: number }, limits = defaultLimits): Promise<void> {
  servers.push(await startApi({ backend, events, socket, listen, limits, onBug }));
}

/** A port that nobody listens on just now. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

interface Answer {
  status: number;
  body: string;
}

function call(
  options: { path: string; method?: string; port?: number; headers?: Record<string, string> },
  body = '',
) {
  return new Promise<Answer>((resolve, reject) => {
    const target = options.port === undefined ? { socketPath: socket } : { host: '127.0.0.1' };
    const out = request({ agent: false, ...target, ...options }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => resolve({ status: response.statusCode!, body: text }));
    });
    out.on('error', reject);
    out.end(body);
  });
}

describe('routes', () => {
  test.each([
    ['/v1/status', 'leaf1'],
    ['/v1/peers', '"peers":['],
    ['/v1/peers/eth0', '"byFamily"'],
    ['/v1/routes?family=ipv4&limit=1', '"next":"abc"'],
    ['/v1/why/10.0.0.12/32', '"winner"'],
    ['/v1/why/10.0.0.12%2F32', '"winner"'],
    ['/v1/why?thing=10.0.0.12', '"winner"'],
    ['/v1/kernel', '"foreign"'],
    ['/v1/events', '"next":0'],
    ['/v1/schema', 'leafd.yaml'],
  ])('GET %s', async (url, part) => {
    const answer = await app('unix').inject(url);
    expect(answer.statusCode).toBe(200);
    expect(answer.body).toContain(part);
    expect(answer.headers['cache-control']).toBe('no-store');
  });

  test('names with a slash or a percent sign arrive as they are', async () => {
    await app('unix').inject(`/v1/peers/${encodeURIComponent('10.9.0.0/24')}`);
    await app('unix').inject(`/v1/peers/${encodeURIComponent('fe80::1%eth0')}`);
    expect(backend.asked).toEqual(['peer 10.9.0.0/24', 'peer fe80::1%eth0']);
  });

  test('filters reach the backend checked and canonical', async () => {
    await app('unix').inject('/v1/routes?prefix=2001:DB8:0::/32&peer=eth0&received&community=no-export');
    expect(JSON.parse(backend.asked[0]!.slice(7))).toEqual({
      prefix: '2001:db8::/32',
      peer: 'eth0',
      received: true,
      advertised: false,
      community: 'no-export',
      limit: 1000,
    });
  });

  test.each([
    ['/v1/routes?famly=ipv4', 400, 'famly'],
    ['/v1/routes?family=evqn', 400, 'family'],
    ['/v1/routes?prefix=10.0.0.1/8', 400, 'did you mean 10.0.0.0/8?'],
    ['/v1/routes?for=10.0.0.0/8', 400, 'for:'],
    ['/v1/routes?limit=0', 400, 'limit'],
    ['/v1/routes?limit=99999999', 400, 'limit'],
    ['/v1/routes?limit=1e3', 400, 'limit'],
    ['/v1/routes?limit=1&limit=2', 400, 'more than once'],
    ['/v1/routes?received=1', 400, 'peer: is required'],
    ['/v1/routes?received=1&advertised=1&peer=a', 400, 'excludes'],
    ['/v1/routes?community=x', 400, 'community'],
    ['/v1/routes?peer=nobody', 404, 'nobody'],
    [`/v1/routes?peer=${'x'.repeat(300)}`, 400, 'peer'],
    ['/v1/peers/nobody', 404, 'there is no peer nobody'],
    ['/v1/peers/%00', 400, 'printable'],
    ['/v1/peers/%ff', 400, 'bad-request'],
    [`/v1/peers/${'x'.repeat(400)}`, 400, 'bad-request'],
    ['/v1/why/10.9.9.9', 404, 'there is no route to 10.9.9.9'],
    ['/v1/why', 400, 'thing'],
    ['/v1/events?since=-1', 400, 'since'],
    ['/v2/status', 404, 'there is no GET /v2/status'],
    ['/v1/peers?__proto__=1', 400, '__proto__'],
    ['//', 404, 'not-found'],
  ])('hostile %#', async (url, status, part) => {
    const answer = await app('unix').inject(url);
    expect(answer.statusCode).toBe(status);
    const body = JSON.parse(answer.body) as { error: { code: string; message: string } };
    expect(Object.keys(body)).toEqual(['error']);
    expect(answer.body).toContain(part);
    expect(body.error.message).not.toBe('');
    expect(bugs).toEqual([]);
  });

  test('a bug of ours is told to the log and not to the client', async () => {
    backend.fail = new TypeError('secret internals');
    const answer = await app('unix').inject('/v1/status');
    expect(answer.statusCode).toBe(500);
    expect(answer.body).not.toContain('secret internals');
    expect(bugs).toEqual([backend.fail]);
  });

  test("the backend's own refusals keep code, hint and place", async () => {
    const where = { file: 'a', line: 1, column: 2 };
    backend.fail = new LeafdError('conflict', 'not now', { hint: 'later', where });
    const answer = await app('unix').inject('/v1/status');
    expect(answer.statusCode).toBe(409);
    expect(JSON.parse(answer.body)).toEqual({
      error: { code: 'conflict', message: 'not now', hint: 'later', where },
    });
  });
});

describe('commands', () => {
  const post = (url: string, payload: string | object, type = 'application/yaml', write = true) =>
    app('unix', write).inject({ method: 'POST', url, payload, headers: { 'content-type': type } });

  test('plan and apply take YAML or files', async () => {
    expect((await post('/v1/plan', 'bgp: {}')).json()).toMatchObject({
      effect: 'live',
      changes: [{ what: 'interface eth1' }],
    });
    expect(
      (await post('/v1/apply', { files: [{ file: '/a.yaml', text: 'x' }] }, 'application/json')).json(),
    ).toMatchObject({
      applied: true,
    });
    expect(backend.asked).toEqual(['config leafd.yaml:7', 'config /a.yaml:1']);
  });

  test('an invalid configuration is 422 with every problem', async () => {
    const answer = await post('/v1/apply', 'wrong: 1');
    expect(answer.statusCode).toBe(422);
    expect(answer.json()).toMatchObject({
      error: { code: 'config-invalid', where: { line: 2 }, problems: [{ path: 'bgp.wrong' }] },
    });
  });

  test.each([
    ['{"files": []}', 400],
    ['{"files": [{"file": "a"}]}', 400],
    ['{"files": [{"file": "a\\u0000b", "text": ""}]}', 400],
    ['{"files": 3, "more": 1}', 400],
    ['[1]', 400],
    ['null', 400],
    ['{"__proto__": {"files": []}}', 400],
    ['{"files": ', 400],
    ['', 400],
    [`"${'x'.repeat(5 << 20)}"`, 413],
    [`${'['.repeat(200_000)}`, 400],
  ])('body %#', async (body, status) => {
    const answer = await post('/v1/plan', body, 'application/json');
    expect(answer.statusCode).toBe(status);
    expect(answer.json()).toHaveProperty('error.code');
    expect(bugs).toEqual([]);
  });

  test('an unknown content type is 415', async () => {
    expect((await post('/v1/plan', '<a/>', 'application/xml')).json()).toMatchObject({
      error: { code: 'unsupported-media-type' },
    });
  });

  test('two configurations at once: the second waits for its caller', async () => {
    let release = () => {};
    const gate = new Promise<void>((resolve) => (release = resolve));
    const plan = backend.plan;
    backend.plan = async (files) => {
      await gate;
      return plan(files);
    };
    const one = app('unix');
    const send = () =>
      one.inject({
        method: 'POST',
        url: '/v1/plan',
        payload: 'a: 1',
        headers: { 'content-type': 'text/yaml' },
      });
    const first = send();
    const second = await new Promise<Awaited<typeof first>>((resolve) =>
      setImmediate(() => void send().then(resolve)),
    );
    expect(second.statusCode).toBe(429);
    release();
    expect((await first).statusCode).toBe(200);
  });

  test('peer actions, with a text for the peer', async () => {
    const answer = await post('/v1/peers/eth0/shutdown', { text: 'maintenance' }, 'application/json');
    expect(answer.json()).toEqual({ peer: 'eth0', action: 'shutdown', text: 'eth0: shutdown' });
    expect(backend.asked).toEqual(['shutdown eth0 maintenance']);
    expect((await post('/v1/peers/eth0/explode', {}, 'application/json')).statusCode).toBe(404);
    expect((await post('/v1/peers/none/reset', {}, 'application/json')).statusCode).toBe(404);
    const long = await post('/v1/peers/eth0/reset', { text: 'é'.repeat(128) }, 'application/json');
    expect(long.statusCode).toBe(400);
  });

  test('who may not write is told so before the body is read', async () => {
    const answer = await post('/v1/peers/eth0/reset', '{', 'application/json', false);
    expect(answer.json()).toMatchObject({ error: { code: 'forbidden', hint: 'use sudo' } });
    expect(backend.asked).toEqual([]);
  });
});

describe('TCP', () => {
  const get = (host: string, method: 'GET' | 'POST' = 'GET') =>
    app('tcp').inject({
      method,
      url: method === 'GET' ? '/v1/status' : '/v1/peers/eth0/reset',
      headers: { host },
    });

  test.each(['127.0.0.1:7179', 'localhost', 'LOCALHOST:7179', '[::1]:7179'])('Host %s', async (host) => {
    expect((await get(host)).statusCode).toBe(200);
  });

  test.each(['evil.example', '127.0.0.1.evil.example', 'localhost.evil.example:7179', '10.0.0.1'])(
    'Host "%s" is refused (rebinding)',
    async (host) => expect((await get(host)).statusCode).toBe(403),
  );

  test('nothing is written over it', async () => {
    expect((await get('localhost', 'POST')).statusCode).toBe(403);
    expect(backend.asked).toEqual([]);
  });
});

describe('the unix socket', () => {
  test('0660, removed at the end, and the caller is known by the kernel', async () => {
    await start();
    expect(statSync(socket).mode & 0o777).toBe(0o660);
    const answer = await call({ path: '/v1/peers/eth0/reset', method: 'POST' });
    expect(answer.status).toBe(200);
    await servers.pop()!.close();
    expect(existsSync(socket)).toBe(false);
  });

  test.runIf(process.geteuid!() === 0)('another user reads and does not write', async () => {
    await start();
    chmodSync(socket, 0o666);
    chmodSync(folder, 0o755);
    const script = `const {request} = require('node:http');
      const ask = (method, path) => new Promise((done) => request({socketPath: ${JSON.stringify(socket)}, path, method},
        (r) => { r.resume(); done(r.statusCode); }).end());
      ask('GET', '/v1/status').then(async (read) => console.log(read, await ask('POST', '/v1/peers/eth0/reset')));`;
    const child = await new Promise<string>((resolve, reject) =>
      execFile(process.execPath, ['-e', script], { uid: 65534, gid: 65534 }, (error, out) =>
        error ? reject(error) : resolve(out),
      ),
    );
    expect(child.trim()).toBe('200 403');
    expect(backend.asked).toEqual([]);
  });

  test('a socket left by a crash is replaced, a living one is not, a file is not', async () => {
    const die = `() => process.kill(process.pid, 'SIGKILL')`;
    const code = `require('node:net').createServer().listen(${JSON.stringify(socket)}, ${die})`;
    spawnSync(process.execPath, ['-e', code]);
    expect(existsSync(socket)).toBe(true);
    await start();
    await expect(start()).rejects.toMatchObject({ code: 'already-running' });
    const file = join(folder, 'file');
    writeFileSync(file, '');
    await expect(startApi({ backend, events, socket: file, onBug })).rejects.toMatchObject({
      code: 'api-listen',
    });
  });

  test('a TCP port that is taken is an operator error, and the unix socket is gone again', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    const { port } = other.address() as { port: number };
    await expect(start({ host: '127.0.0.1', port })).rejects.toMatchObject({
      code: 'api-listen',
      message: `cannot listen on 127.0.0.1:${port}: EADDRINUSE`,
    });
    expect(existsSync(socket)).toBe(false);
    other.close();
  });

  test('garbage gets one answer in our shape, and the next request is served', async () => {
    await start();
    for (const garbage of [
      '\0\0\0\0\r\n\r\n',
      'GET / HTTP/9.9\r\n\r\n',
      `GET /${'a'.repeat(100_000)} HTTP/1.1\r\n\r\n`,
    ]) {
      const text = await new Promise<string>((resolve) => {
        let out = '';
        const raw = connect(socket, () => raw.write(garbage));
        raw.on('data', (chunk) => (out += chunk.toString()));
        raw.on('error', () => {});
        raw.on('close', () => resolve(out));
      });
      expect(text).toContain('"bad-request"');
    }
    expect((await call({ path: '/v1/status' })).status).toBe(200);
  });
});

describe('events', () => {
  const publish = (text: string) => events.publish({ level: 'info', kind: 'peer-up', text, peer: 'eth0' });

  test('the ring keeps the newest and counts the lost', () => {
    for (let i = 1; i <= 20; i++) publish(`event ${i}`);
    expect(events.since(0)).toMatchObject({ lost: 12, events: { length: 8 } });
    expect(events.since(15).events.map((one) => one.id)).toEqual([16, 17, 18, 19, 20]);
    expect(events.since(20)).toEqual({ events: [], lost: 0 });
    expect(events.since(999).events, 'an id of an earlier life').toHaveLength(8);
  });

  test('a subscriber that throws is dropped, the others hear on', () => {
    const heard: string[] = [];
    events.subscribe(() => {
      throw new Error('no');
    });
    events.subscribe((event) => heard.push(event.text));
    publish('a');
    publish('b');
    expect(heard).toEqual(['a', 'b']);
    expect(events.subscribers).toBe(1);
  });

  /** Reads a stream until it has shown `count` events. */
  function stream(headers: Record<string, string>, count: number, onOpen = () => {}): Promise<string> {
    return new Promise((resolve, reject) => {
      const out = request(
        {
          agent: false,
          socketPath: socket,
          path: '/v1/events',
          headers: { accept: 'text/event-stream', ...headers },
        },
        (response) => {
          let text = '';
          response.once('data', onOpen);
          response.on('data', (chunk: Buffer) => {
            text += chunk.toString();
            if (text.split('data: ').length <= count) return;
            out.destroy();
            resolve(text);
          });
          response.on('error', () => {});
        },
      );
      out.on('error', reject);
      out.end();
    });
  }

  test('a stream begins now, or after the last id it had', async () => {
    await start();
    publish('before');
    const text = await stream({}, 1, () => publish('after'));
    expect(text).not.toContain('before');
    expect(text).toContain('id: 2\nevent: peer-up\ndata: {"id":2,"at":"1970-01-01T00:00:00.000Z"');
    expect(await stream({ 'last-event-id': '0' }, 2)).toContain('before');
    await expect.poll(() => events.subscribers).toBe(0);
  });

  test('a HEAD is answered and subscribes nobody', async () => {
    await start();
    const headers = { accept: 'text/event-stream' };
    expect(await call({ path: '/v1/events', method: 'HEAD', headers })).toEqual({ status: 200, body: '' });
    expect(events.subscribers).toBe(0);
  });

  test('subscribers over TCP leave places for the unix socket', async () => {
    const port = await freePort();
    await start({ host: '127.0.0.1', port }, { ...defaultLimits, subscribers: 2 });
    const request = 'GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n';
    const first = connect(port, '127.0.0.1', () => first.write(request));
    await expect.poll(() => events.subscribers).toBe(1);
    const headers = { accept: 'text/event-stream', host: 'localhost' };
    expect((await call({ path: '/v1/events', port, headers })).status).toBe(429);
    const second = connect(socket, () => second.write(request));
    await expect.poll(() => events.subscribers).toBe(2);
    first.destroy();
    second.destroy();
  });

  test('subscribers are limited, and one that does not read is cut off', async () => {
    await start(undefined, { ...defaultLimits, subscribers: 1, backlogBytes: 100_000 });
    const lazy = connect(socket, () =>
      lazy.write('GET /v1/events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n'),
    );
    lazy.pause();
    lazy.on('error', () => {});
    await expect.poll(() => events.subscribers).toBe(1);
    expect((await call({ path: '/v1/events', headers: { accept: 'text/event-stream' } })).status).toBe(429);
    for (let i = 0; i < 500 && events.subscribers > 0; i++) {
      publish('x'.repeat(10_000));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(events.subscribers).toBe(0);
    lazy.destroy();
  });
});
