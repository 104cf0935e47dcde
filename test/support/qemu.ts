// Real guests: QEMU by software emulation (/dev/kvm is not to be relied on in containers), a tap in the bridge of a
// hypervisor's namespace, live migration between two of them. The tap is made by QEMU itself and goes with the process,
// as those of Proxmox and libvirt do; a script, run by QEMU in its namespace, plugs it in.
//
// Debian packages: qemu-system-x86, cpio, kmod; the kernel's and busybox-static's are taken apart by guest-image.ts.

import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './fabric.ts';
import { guestImage } from './guest-image.ts';
import { Qmp, type QmpEvent } from './qmp.ts';

export interface QemuOptions {
  /** Unique in this test process. */
  readonly name: string;
  /** The hypervisor's namespace. */
  readonly netns: string;
  /** The tap's name, at most 15 characters. */
  readonly tap: string;
  readonly bridge: string;
  readonly mac: string;
  /** With their lengths. */
  readonly addresses: readonly string[];
  /** No duplicate address detection: the guest says nothing of its addresses by itself. */
  readonly silent?: boolean;
  /** Memory the guest rewrites without end: a migration of it never comes to an end by itself. */
  readonly dirtyMib?: number;
}

export interface QemuGuest {
  readonly options: QemuOptions;
  readonly pid: number;
  readonly qmp: Qmp;
  /** The socket for a second listener, such as leafd's: QEMU serves one client on each. */
  readonly spareQmpPath: string;
  console(): string;
  /** Why it has ended by itself, with the last words of QEMU and of the guest; undefined while it runs. */
  death(): string | undefined;
  /** Ends it without asking, as a crash would; resolves when it is gone. */
  kill(): Promise<void>;
}

export interface MigrationView {
  /** Wall clock, QEMU's own times. */
  readonly stopMs: number;
  readonly resumeMs: number;
  /** From the command until the source has said that it is complete. */
  readonly tookMs: number;
}

const scratch = join(tmpdir(), `leafd-qemu-${process.pid}`);
const children = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(scratch, { recursive: true, force: true });
});

const MEMORY_MIB = 96;

/** Ends with the process that started it, however that ends. What is measured is leafd, not how long QEMU waits its turn. */
const withUs = ['nice', '-n', '-10', 'setpriv', '--pdeathsig', 'KILL'];

/** Starts a guest and waits until its addresses are there (about 2 s). */
export async function bootGuest(options: QemuOptions): Promise<QemuGuest> {
  const guest = await startQemu(options);
  await until(guest.console, (text) => /leafd-guest: ready/.test(text), {
    timeoutMs: 40_000,
    what: `the guest ${options.name}`,
  });
  return guest;
}

async function startQemu(options: QemuOptions, incoming?: string): Promise<QemuGuest> {
  const image = await guestImage();
  const own = (word: string) => join(scratch, `${options.name}.${word}`);
  const paths = { qmp: own('qmp'), spare: own('spare'), console: own('console'), script: own('ifup') };
  mkdirSync(scratch, { recursive: true, mode: 0o700 });
  for (const path of [paths.qmp, paths.spare, paths.console]) rmSync(path, { force: true });
  const plug = `#!/bin/sh\nexec ip -batch - <<E\nlink set $1 addrgenmode none\nlink set $1 master ${options.bridge} up\nE\n`;
  writeFileSync(paths.script, plug);
  chmodSync(paths.script, 0o755);
  // A plain processor: with all that emulation offers (`max`) a guest now and then reset itself or stood still for a
  // second or two after it had moved.
  const words = [
    ...['-accel', 'tcg', '-M', 'q35', '-cpu', 'qemu64', '-smp', '1', '-m', `${MEMORY_MIB}M`],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-kernel', image.kernel, '-initrd', image.initrd, '-append', commandLineOf(options)],
    ...['-serial', `file:${paths.console}`],
    ...['-qmp', `unix:${paths.qmp},server=on,wait=off`, '-qmp', `unix:${paths.spare},server=on,wait=off`],
    ...['-netdev', `tap,id=n0,ifname=${options.tap},script=${paths.script},downscript=no`],
    ...['-device', `virtio-net-pci,netdev=n0,mac=${options.mac},romfile=`],
    ...(incoming === undefined ? [] : ['-incoming', incoming]),
  ];
  const child = spawn('ip', ['netns', 'exec', options.netns, ...withUs, 'qemu-system-x86_64', ...words], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (said += chunk));
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  children.add(child);
  child.once('close', () => children.delete(child));
  // The socket is there a moment before QEMU listens on it.
  const qmp = await until(
    () => (child.exitCode === null ? Qmp.open(paths.qmp).catch(() => undefined) : null),
    (opened) => opened !== undefined,
    { timeoutMs: 10_000, everyMs: 10, what: `QEMU of ${options.name}` },
  );
  if (qmp === null || qmp === undefined) throw new Error(`QEMU of ${options.name} ended: ${said.trim()}`);
  const console = (): string => (existsSync(paths.console) ? readFileSync(paths.console, 'utf8') : '');
  return {
    options,
    pid: child.pid!,
    qmp,
    spareQmpPath: paths.spare,
    console,
    death: () => {
      if (child.exitCode === null && child.signalCode === null) return undefined;
      const last = console().split('\n').slice(-20).join('\n');
      return `QEMU of ${options.name} ended with ${child.exitCode ?? child.signalCode}: ${said.trim()}\n${last}`;
    },
    kill: async () => {
      child.kill('SIGKILL');
      await ended;
      qmp.close();
      if (children.size === 0) rmSync(scratch, { recursive: true, force: true });
    },
  };
}

function commandLineOf({ addresses, silent, dirtyMib }: QemuOptions): string {
  const kernel = 'console=ttyS0 quiet panic=-1 mitigations=off nokaslr tsc=reliable random.trust_cpu=on';
  const dirty = dirtyMib === undefined ? '' : ` leafd.dirty=${dirtyMib}`;
  return `${kernel} leafd.addresses=${addresses.join(',')}${silent ? ' leafd.silent' : ''}${dirty}`;
}

export interface Incoming {
  readonly target: QemuGuest;
  readonly uri: string;
}

/** A second QEMU that waits for a guest: its tap is there, the guest is not. */
export async function prepareIncoming(
  source: QemuGuest,
  place: { name: string; netns: string; tap?: string; bridge?: string },
): Promise<Incoming> {
  const uri = `unix:${join(scratch, `${place.name}.migrate`)}`;
  rmSync(uri.slice(5), { force: true });
  const target = await startQemu({ ...source.options, ...place }, uri);
  for (const { qmp } of [source, target])
    await qmp.ask('migrate-set-capabilities', { capabilities: [{ capability: 'events', state: true }] });
  return { target, uri };
}

/** Sets the pace: bytes a second; the guest stands still for at most `downtimeMs` at the end. */
export async function setPace(source: QemuGuest, bytesPerSecond: number, downtimeMs = 30): Promise<void> {
  const limits = { 'max-bandwidth': bytesPerSecond, 'downtime-limit': downtimeMs };
  await source.qmp.ask('migrate-set-parameters', limits);
}

const FULL_PACE = 1 << 30;

/** Starts the transfer; the guest runs on at the source. */
export async function startMigration(source: QemuGuest, incoming: Incoming): Promise<number> {
  source.qmp.events.length = 0;
  const startedMs = Date.now();
  await source.qmp.ask('migrate', { uri: incoming.uri });
  return startedMs;
}

const statusIs = (status: string) => (event: QmpEvent) =>
  event.event === 'MIGRATION' && event.data.status === status;

/** Waits until the guest runs at the target. The source's QEMU still exists, stopped, with its tap. */
export async function migrationCompleted(
  source: QemuGuest,
  incoming: Incoming,
  startedMs: number,
  timeoutMs = 20_000,
): Promise<MigrationView> {
  const over = (event: QmpEvent) => statusIs('completed')(event) || statusIs('failed')(event);
  const end = await source.qmp.event(over, timeoutMs, 'the end of the migration');
  if (end.data.status === 'failed') throw new Error(`the migration failed: ${incoming.target.console()}`);
  const stop = await source.qmp.event(({ event }) => event === 'STOP', 1000, 'STOP');
  const resume = await incoming.target.qmp.event(({ event }) => event === 'RESUME', 5000, 'RESUME');
  return { stopMs: stop.atMs, resumeMs: resume.atMs, tookMs: end.atMs - startedMs };
}

/** A whole live migration at full pace; the source's QEMU is left for the caller to kill, as a hypervisor does. */
export async function migrate(source: QemuGuest, incoming: Incoming): Promise<MigrationView> {
  await setPace(source, FULL_PACE);
  const startedMs = await startMigration(source, incoming);
  return migrationCompleted(source, incoming, startedMs);
}

/** Cancels a migration that runs: the guest never left; the target's QEMU ends by itself or is killed. */
export async function cancelMigration(source: QemuGuest, incoming: Incoming): Promise<void> {
  await source.qmp.ask('migrate_cancel');
  await source.qmp.event(statusIs('cancelled'), 5000, 'the cancellation');
  await incoming.target.kill();
}

/** Bytes sent so far, of a migration in this status. */
export async function migrationProgress(source: QemuGuest): Promise<{ status: string; transferred: number }> {
  type Answer = { status: string; ram?: { transferred: number } };
  const { status, ram } = await source.qmp.ask<Answer>('query-migrate');
  return { status, transferred: ram?.transferred ?? 0 };
}
