// `leafctl hook proxmox|libvirt`: what a hypervisor's hook runs. Thin clients of the REST API, with two promises: they
// end within a second, whatever hangs, and a daemon that is down or refuses does not keep a guest from starting; with
// --strict (or LEAFD_HOOK_STRICT=1) it does, in the phases in which the hypervisor asks. One line on stderr tells what
// was done or why not; stdout stays empty, because libvirt takes it for another domain XML.

import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Context } from './context.ts';
import { FAILED, OK } from './exit.ts';
import { Asker } from './hook-ask.ts';
import type { HookReading, HookRequest } from './hook-body.ts';
import type { ProxmoxKind } from './hook-proxmox.ts';

/** From the start of the process to its end; Node itself takes a part of the second. */
const TOTAL_MS = 800;
/** What the work has at least, on a machine on which Node starts slowly, and at most. */
const WORK_MS = { least: 150, most: 700 };
/** Configurations and domain XML are read up to this size. */
const MAX_INPUT_BYTES = 4 << 20;

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

/** A file's text; undefined where there is none. Throws for one that is too long. */
export async function readWhole(path: string, signal: AbortSignal): Promise<string | undefined> {
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
export function line(text: string): string {
  return `leafctl: ${text.replace(/\p{Cc}+/gu, ' ').slice(0, 1000)}\n`;
}

/** What did not happen, as the end of a sentence. */
function unasked(request: HookRequest): string {
  if (request.kind === 'attach')
    return `; not attached: ${request.bodies.map(({ name }) => name).join(', ')}`;
  if (request.kind === 'detach') return `; not detached: ${request.names.join(', ')}`;
  return '';
}
