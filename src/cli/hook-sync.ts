// `leafctl hook sync`: what hooks would have told while nobody listened. leafd's unit runs it after each start, a timer
// may run it now and then. It reads what runs on this machine from the files of Proxmox (configurations of this node
// whose ports are there) and of libvirt (state files of running domains), attaches it, and detaches what these two had
// attached and whose port has gone. Who is expected stays so: the configuration of a guest that migrates to here is
// still with the node it comes from.

import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { AttachBody, GuestView } from '../api/views.ts';
import type { Context } from './context.ts';
import { FAILED, OK } from './exit.ts';
import { line, readWhole } from './hook.ts';
import { Asker } from './hook-ask.ts';
import type { ProxmoxKind } from './hook-proxmox.ts';

const WORK_MS = 10_000;
/** Guests of each kind at most. */
const MAX_FILES = 4096;

export interface SyncOptions {
  configDir?: string;
  libvirtDir?: string;
  /** In place of /sys/class/net. */
  links?: string;
}

export async function hookSync(context: Context, options: SyncOptions): Promise<number> {
  const { env } = context.terminal;
  const signal = AbortSignal.timeout(WORK_MS);
  const links = options.links ?? '/sys/class/net';
  const isThere = (port: string): boolean => existsSync(join(links, port));
  try {
    const asker = new Asker(context.socket, signal);
    const before = await asker.list();
    const problems: string[] = [];
    const bodies = [
      ...(await proxmoxBodies(
        options.configDir ?? env.LEAFD_PVE_DIR ?? '/etc/pve',
        isThere,
        problems,
        signal,
      )),
      ...(await libvirtBodies(options.libvirtDir ?? '/run/libvirt/qemu', before, problems, signal)),
    ];
    const running = new Set(bodies.map(({ name }) => name));
    const gone = before.filter((one) => isStale(one, running, isThere)).map(({ name }) => name);
    const said = await asker.ask({ kind: 'detach', names: gone });
    // Gone ones first: one of the others may have their address.
    if (bodies.length > 0) await asker.ask({ kind: 'attach', bodies });
    said.push(`${bodies.length} attached`, ...problems);
    context.terminal.err(line(said.join('; ')));
    return OK;
  } catch (error) {
    context.terminal.err(line((error as Error).message));
    return FAILED;
  }
}

/** Of ours, not expected, and without a port. */
function isStale(
  guest: GuestView,
  running: ReadonlySet<string>,
  isThere: (port: string) => boolean,
): boolean {
  const ours = guest.source === 'proxmox' || guest.source === 'libvirt';
  const hasPort = guest.port !== undefined && isThere(guest.port);
  return ours && guest.expected === undefined && !running.has(guest.name) && !hasPort;
}

async function proxmoxBodies(
  directory: string,
  isThere: (port: string) => boolean,
  problems: string[],
  signal: AbortSignal,
): Promise<AttachBody[]> {
  const { proxmoxRunning } = await import('./hook-proxmox.ts');
  const bodies: AttachBody[] = [];
  const kinds: [ProxmoxKind, string][] = [
    ['qemu', 'qemu-server'],
    ['lxc', 'lxc'],
  ];
  for (const [kind, folder] of kinds)
    for (const file of await filesIn(join(directory, folder), /^[1-9]\d{0,8}\.conf$/)) {
      const vmid = file.slice(0, -'.conf'.length);
      bodies.push(
        ...(await fromFile(join(directory, folder, file), problems, signal, (text) =>
          proxmoxRunning({ text, vmid, kind }, isThere),
        )),
      );
    }
  return bodies;
}

async function libvirtBodies(
  directory: string,
  before: readonly GuestView[],
  problems: string[],
  signal: AbortSignal,
): Promise<AttachBody[]> {
  const files = await filesIn(directory, /\.xml$/);
  if (files.length === 0) return [];
  const { libvirtRunning } = await import('./hook-libvirt.ts');
  const attached = new Set(before.filter((one) => one.expected === undefined).map(({ name }) => name));
  const bodies: AttachBody[] = [];
  for (const file of files)
    bodies.push(
      ...(await fromFile(join(directory, file), problems, signal, (xml) =>
        libvirtRunning(xml, (name) => attached.has(name)),
      )),
    );
  return bodies;
}

/** What a file gives; one that cannot be read is a problem, and the others are read all the same. */
async function fromFile(
  path: string,
  problems: string[],
  signal: AbortSignal,
  read: (text: string) => AttachBody[],
): Promise<AttachBody[]> {
  try {
    const text = await readWhole(path, signal);
    return text === undefined ? [] : read(text);
  } catch (error) {
    if (signal.aborted) throw error;
    problems.push(`${path}: ${(error as Error).message}`);
    return [];
  }
}

/** Names that match, in order; none where there is no such directory. */
async function filesIn(directory: string, pattern: RegExp): Promise<string[]> {
  try {
    return (await readdir(directory))
      .filter((name) => pattern.test(name))
      .sort()
      .slice(0, MAX_FILES);
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return [];
    throw error;
  }
}
