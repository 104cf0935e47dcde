// RESUME over a QMP socket: told once, after the handshake, also where the socket comes late or talks nonsense.

import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { ResumeWatch } from './qmp.ts';

const directory = mkdtempSync(join(tmpdir(), 'leafd-qmp-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const greeting = '{"QMP": {"version": {"qemu": {"major": 7}}, "capabilities": []}}\r\n';

function qemu(path: string, onLine: (socket: Socket, line: string) => void): Promise<Server> {
  const server = createServer((socket) => {
    socket.setEncoding('utf8').write(greeting);
    socket.on('data', (text) => onLine(socket, String(text)));
    socket.on('error', () => {});
  });
  return new Promise((resolve) => server.listen(path, () => resolve(server)));
}

async function watched(path: string, late: boolean, say: string): Promise<number> {
  let resumed = 0;
  let told: () => void = () => {};
  const first = new Promise<void>((resolve) => {
    told = resolve;
  });
  const resume = (): void => {
    resumed++;
    told();
  };
  const watch = late ? new ResumeWatch(path, resume) : undefined;
  const server = await qemu(path, (socket, line) => {
    if (line.includes('qmp_capabilities')) socket.write(`{"return": {}}\r\n${say}`);
  });
  const early = late ? undefined : new ResumeWatch(path, resume);
  await first;
  await new Promise((resolve) => setTimeout(resolve, 20));
  watch?.close();
  early?.close();
  server.close();
  return resumed;
}

test('RESUME is told once, whatever else is said', async () => {
  const say = 'nonsense\r\n{"event": "STOP"}\r\nnull\r\n{"event": "RESUME"}\r\n{"event": "RESUME"}\r\n';
  expect(await watched(join(directory, 'a'), false, say)).toBe(1);
});

test('a socket that comes later is found', async () => {
  expect(await watched(join(directory, 'b'), true, '{"event": "RESUME"}\r\n')).toBe(1);
});
