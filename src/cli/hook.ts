// `leafctl hook proxmox|libvirt`: what a hypervisor's hook runs. Thin clients of the REST API, with two promises: they
// end within a second, whatever hangs, and a daemon that is down or refuses does not keep a guest from starting; with
// --strict (or LEAFD_HOOK_STRICT=1) it does, in the phases in which the hypervisor asks. One line on stderr tells what
// was done or why not; stdout stays empty, because libvirt takes it for another domain XML.

import { readFile, stat } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import type { AttachBody, ErrorView, GuestsView } from '../api/views.ts';
import type { Context } from './context.ts';
import { FAILED, OK } from './exit.ts';
import type { HookReading, HookRequest } from './hook-body.ts';
import type { ProxmoxKind } from './hook-proxmox.ts';

/** From the start of the process to its end; Node itself takes a part of the second. */
const TOTAL_MS = 800;
/** What the work has at least, on a machine on which Node starts slowly, and at most. */
const WORK_MS = { least: 150, most: 700 };
/** Configurations and domain XML are read up to this size. */
const MAX_INPUT_BYTES = 4 << 20;
const MAX_ANSWER_BYTES = 64 << 20;

export interface HookOptions {
  strict?: boolean;
  configDir?: string;
}

/** What is outside: replaced in tests. */
export interface HookWorld {
  /** How long the work may take. */
  workMs: number;
  stdin: NodeJS.ReadableStream & { destroy(): unknown };
}

export function processWorld(): HookWorld {
  const left = TOTAL_MS - performance.now();
  return {
    workMs: Math.min(Math.max(left, WORK_MS.least), WORK_MS.most),
    // Opened by those alone that read it.
    get stdin() {
      return process.stdin;
    },
  };
}

/** One phase of Proxmox's hookscript. */
export async function proxmoxHook(
  context: Context,
  [vmid, phase]: readonly [vmid: string, phase: string],
  options: HookOptions,
  world = processWorld(),
): Promise<number> {
  const { env } = context.terminal;
  const strict = isStrict(context, options);
  const mayPrevent = phase === 'pre-start' || phase === 'post-start';
  return hook(context, { world, failure: strict && mayPrevent ? FAILED : OK }, async (signal) => {
    if (!/^[1-9]\d{0,8}$/.test(vmid)) throw new Error(`${vmid} is no VMID`);
    const { proxmoxRequest } = await import('./hook-proxmox.ts');
    const migratedFrom = env.PVE_MIGRATED_FROM || undefined;
    const about = { vmid, strict, ...(migratedFrom !== undefined && { migratedFrom }) };
    // A guest that was removed has no configuration, and none is needed to detach it.
    const file = mayPrevent
      ? await proxmoxFile(options.configDir ?? env.LEAFD_PVE_DIR ?? '/etc/pve', vmid, migratedFrom, signal)
      : { kind: 'qemu' as const, text: '' };
    return proxmoxRequest(phase, { ...about, ...file });
  });
}

/**
 * A guest's configuration. It belongs to the node that the guest runs on: while it migrates, to the one it comes from;
 * `/etc/pve/qemu-server` is this node's.
 */
async function proxmoxFile(
  directory: string,
  vmid: string,
  migratedFrom: string | undefined,
  signal: AbortSignal,
): Promise<{ kind: ProxmoxKind; text: string }> {
  const kinds: [ProxmoxKind, string][] = [
    ['qemu', 'qemu-server'],
    ['lxc', 'lxc'],
  ];
  const isNode = migratedFrom !== undefined && /^[A-Za-z0-9][A-Za-z0-9.-]*$/.test(migratedFrom);
  const places = isNode ? [join('nodes', migratedFrom), '.'] : ['.'];
  for (const place of places)
    for (const [kind, folder] of kinds) {
      const text = await readWhole(join(directory, place, folder, `${vmid}.conf`), signal);
      if (text !== undefined) return { kind, text };
    }
  throw new Error(`no configuration of ${vmid} in ${directory}`);
}

/** A file's text; undefined where there is none. */
async function readWhole(path: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    if ((await stat(path)).size > MAX_INPUT_BYTES) throw new Error(`${path} is too long`);
    return await readFile(path, { encoding: 'utf8', signal });
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** One operation of libvirt's qemu hook, with the domain's XML on stdin. */
export async function libvirtHook(
  context: Context,
  [, operation]: readonly [name: string, operation: string],
  options: HookOptions,
  world = processWorld(),
): Promise<number> {
  const strict = isStrict(context, options);
  const mayPrevent = ['prepare', 'started', 'migrate', 'attach'].includes(operation);
  return hook(context, { world, failure: strict && mayPrevent ? FAILED : OK }, async (signal) => {
    const { libvirtReads, libvirtRequest } = await import('./hook-libvirt.ts');
    if (!libvirtReads(operation, strict)) return { request: { kind: 'nothing' }, problems: [] };
    return libvirtRequest(operation, { xml: await readInput(world.stdin, signal), strict });
  });
}

async function readInput(stdin: HookWorld['stdin'], signal: AbortSignal): Promise<string> {
  const end = (): void => void stdin.destroy();
  signal.addEventListener('abort', end);
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stdin) {
    bytes += (chunk as Buffer).length;
    if (bytes > MAX_INPUT_BYTES) throw new Error(`the domain XML is longer than ${MAX_INPUT_BYTES} bytes`);
    chunks.push(Buffer.from(chunk as Buffer));
  }
  return Buffer.concat(chunks).toString();
}

function isStrict(context: Context, options: HookOptions): boolean {
  return options.strict === true || context.terminal.env.LEAFD_HOOK_STRICT === '1';
}

/** Reads and asks within the time; every failure is a line on stderr and `failure`. */
async function hook(
  context: Context,
  { world, failure }: { world: HookWorld; failure: number },
  read: (signal: AbortSignal) => Promise<HookReading>,
): Promise<number> {
  const ended = new AbortController();
  const late = new Promise<never>((_, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`no answer within ${Math.round(world.workMs)} ms`));
    }, world.workMs);
    ended.signal.addEventListener('abort', () => clearTimeout(timer));
  });
  let asked: HookRequest = { kind: 'nothing' };
  const work = async (): Promise<string[]> => {
    const { request, problems } = await read(ended.signal);
    asked = request;
    const done = await new Asker(context.socket, ended.signal).ask(request);
    return [...problems, ...done];
  };
  try {
    const said = await Promise.race([work(), late]);
    if (said.length > 0) context.terminal.err(line(said.join('; ')));
    return OK;
  } catch (error) {
    context.terminal.err(line(`${(error as Error).message}${unasked(asked)}`));
    return failure;
  } finally {
    // Whatever still hangs goes, so that the process ends.
    ended.abort();
  }
}

/** One line, whatever a guest is called. */
function line(text: string): string {
  return `leafctl: ${text.replace(/\p{Cc}+/gu, ' ').slice(0, 1000)}\n`;
}

/** What did not happen, as the end of a sentence. */
function unasked(request: HookRequest): string {
  if (request.kind === 'attach')
    return `; not attached: ${request.bodies.map(({ name }) => name).join(', ')}`;
  if (request.kind === 'detach') return `; not detached: ${request.names.join(', ')}`;
  return '';
}

/** Whether the daemon said no, rather than nothing. */
class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** The daemon, asked one thing after the other until the signal. */
class Asker {
  private readonly socket: string;
  private readonly signal: AbortSignal;

  constructor(socket: string, signal: AbortSignal) {
    this.socket = socket;
    this.signal = signal;
  }

  /** What was done, for people. Throws for what was not. */
  async ask(request: HookRequest): Promise<string[]> {
    if (request.kind === 'attach') return this.attach(request.bodies);
    if (request.kind === 'detach') return this.detach(request.names);
    if (request.kind === 'nothing') return [];
    const { guests } = (await this.send('GET', '/v1/guests')) as GuestsView;
    const names = guests.filter(({ source, name }) => source === 'proxmox' && request.pattern.test(name));
    return this.detach(names.map(({ name }) => name));
  }

  private async attach(bodies: readonly AttachBody[]): Promise<string[]> {
    try {
      await this.send('POST', '/v1/guests', { guests: bodies });
      return bodies.map(done);
    } catch (error) {
      if (!(error instanceof Refusal) || bodies.length === 1) throw error;
    }
    // All or none: what one NIC is refused for does not cost the others.
    const told: string[] = [];
    let refusal: Refusal | undefined;
    for (const body of bodies)
      try {
        await this.send('POST', '/v1/guests', body);
        told.push(done(body));
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        refusal = error;
        told.push(`${body.name}: ${error.message}`);
      }
    if (refusal !== undefined) throw new Refusal(refusal.code, told.join('; '));
    return told;
  }

  private async detach(names: readonly string[]): Promise<string[]> {
    const told: string[] = [];
    for (const name of names)
      try {
        await this.send('DELETE', `/v1/guests/${encodeURIComponent(name)}`);
        told.push(`${name} detached`);
      } catch (error) {
        // Another hook, or the end of its port, was first.
        if (!(error instanceof Refusal && error.code === 'not-found')) throw error;
      }
    return told;
  }

  private send(method: string, path: string, body?: unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const text = body === undefined ? undefined : JSON.stringify(body);
      const headers = { host: 'leafd', ...(text !== undefined && { 'content-type': 'application/json' }) };
      const options = {
        socketPath: this.socket,
        path,
        method,
        headers,
        agent: false as const,
        signal: this.signal,
      };
      const unreachable = (error: Error): void => {
        const why = (error as { code?: string }).code ?? error.message;
        reject(new Error(`cannot reach leafd on ${this.socket}: ${why}`));
      };
      const out = httpRequest(options, (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > MAX_ANSWER_BYTES) response.destroy(new Error('the answer is too long'));
          else chunks.push(chunk);
        });
        response.on('error', unreachable);
        response.on('end', () => {
          try {
            const view = JSON.parse(Buffer.concat(chunks).toString()) as Partial<ErrorView>;
            if (response.statusCode === 200) resolve(view);
            else reject(new Refusal(view.error!.code, `leafd refuses: ${view.error!.message}`));
          } catch {
            reject(new Error(`what answers on ${this.socket} is not leafd`));
          }
        });
      });
      out.on('error', unreachable);
      out.end(text);
    });
  }
}

function done(body: AttachBody): string {
  const addresses = [...(body.addresses ?? []), ...(body.allowed ?? [])].join(' ');
  const what = body.expect === undefined ? 'attached' : 'expected';
  return `${body.name} ${what}${addresses === '' ? '' : `: ${addresses}`}`;
}
