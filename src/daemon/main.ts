// leafd's entry: arguments, one of four modes, signals, exit codes (0 ok, 2 usage, 4 configuration invalid, 5 failed).

import { readFileSync } from 'node:fs';
import { LeafdError } from '../lib/leafd-error.ts';
import { version } from '../lib/version.ts';
import type { PassthroughFlushReport } from '../passthrough/flush.ts';
import { readArguments, usage } from './arguments.ts';
import { errorLine } from './configuration.ts';
import { Daemon } from './daemon.ts';
import { announcePresence, refuseRunning } from './presence.ts';

const exitCodes: Readonly<Record<string, number>> = { usage: 2, 'config-invalid': 4, 'config-unreadable': 4 };

/** Runs the program; `argv` without node and the script. */
export async function leafd(argv: readonly string[] = process.argv.slice(2)): Promise<void> {
  try {
    const options = readArguments(argv);
    if (options.mode === 'help') process.stdout.write(usage);
    else if (options.mode === 'version') process.stdout.write(`leafd ${version}\n`);
    else if (options.mode === 'flush') await flush(options.state);
    else await serve(await Daemon.start(options, version));
  } catch (error) {
    if (!(error instanceof LeafdError)) throw error;
    process.stderr.write(`leafd: ${errorLine(error)}\n`);
    if (error.hint !== undefined) process.stderr.write(`hint: ${error.hint}\n`);
    process.exit(exitCodes[error.code] ?? 5);
  }
}

async function serve(daemon: Daemon): Promise<void> {
  const signalled = new Promise<void>((resolve) => {
    process.once('SIGTERM', () => resolve());
    process.once('SIGINT', () => resolve());
  });
  process.on('SIGHUP', () => void daemon.reload());
  await announcePresence();
  await signalled;
  await daemon.stop();
  process.exit(0);
}

async function flush(stateDir: string): Promise<void> {
  if (!mayChangeRoutes())
    throw new LeafdError('permission-denied', 'flushing needs CAP_NET_ADMIN', { hint: 'use sudo' });
  await refuseRunning();
  const { flushEverywhere } = await import('./flush-namespace.ts');
  const { home, passthrough } = flushEverywhere(stateDir);
  const { routes, objects, addresses, sysctls, guests } = home;
  process.stdout.write(
    `removed ${routes} routes, ${objects} nexthop objects, ${addresses} addresses; restored ${sysctls} sysctls\n`,
  );
  const { neighbours, bridges, restored } = guests;
  if (neighbours + bridges + guests.addresses + restored > 0) {
    const removed = `removed ${neighbours} neighbours, ${guests.addresses} addresses, ${bridges} bridges`;
    process.stdout.write(`guests: ${removed}; restored ${restored} settings of links\n`);
  }
  tellPassthrough(passthrough);
}

/** Throws LeafdError `passthrough-left` where something could not be taken back. */
function tellPassthrough(report: PassthroughFlushReport): void {
  const { nics, links, namespaces, sysctls, failures, occupants } = report;
  if (nics + links + namespaces > 0) {
    const removed = `removed ${links} links, ${namespaces} namespaces; ${nics} NICs are home`;
    process.stdout.write(`passthrough: ${removed}; restored ${sysctls} sysctls\n`);
  }
  if (occupants.length > 0)
    process.stdout.write(`passthrough: the namespace is left for ${occupants.join(', ')}\n`);
  if (failures.length === 0) return;
  throw new LeafdError('passthrough-left', `passthrough: ${failures.join('; ')}`, {
    hint: 'what is kept of it is on disk still: flush again',
  });
}

/** Without CAP_NET_ADMIN (capabilities(7)) every removal would be refused, and told as nothing to remove. */
function mayChangeRoutes(): boolean {
  const capNetAdmin = 1n << 12n;
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return effective !== undefined && (BigInt(`0x${effective}`) & capNetAdmin) !== 0n;
}
