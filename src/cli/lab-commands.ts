// `leafctl lab`: the grammar around the lab room, which is imported when one of these commands runs. Steps are told
// on stderr while they happen, the result on stdout.

import { writeFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { parseDuration } from '../intent/duration.ts';
import type { MigrateOptions } from '../lab/lab.ts';
import type { Context } from './context.ts';
import { ABSENT, CliError, FAILED, OK, usageError } from './exit.ts';
import type { Bind } from './program.ts';
import { renderLab, renderLabs } from './render-system.ts';

const room = () => import('../lab/lab.ts');

export function addLabCommands(root: Command, bind: Bind): void {
  const lab = root.command('lab').description('a fabric of real daemons in namespaces on this machine');
  addLifeCommands(lab, bind);
  addCableCommands(lab, bind);
  addGuestCommands(lab, bind);
  lab
    .command('exec')
    .description('run a command in a node: lab exec NAME NODE -- CMD…')
    .argument('<lab>')
    .argument('<node>')
    .argument('<command...>')
    .action(
      bind(async (_, name: string, node: string, command: string[]) => {
        const { exitCode } = await (await room()).exec(name, node, command, 'inherit');
        return exitCode;
      }),
    );
  lab
    .command('ping')
    .description('packets from a node to a node or an address; exit 1 when one is lost')
    .argument('<lab>')
    .argument('<from>')
    .argument('<to>')
    .addOption(new Option('--family <family>').choices(['4', '6', 'ipv4', 'ipv6']))
    .option('--count <packets>')
    .action(bind(ping));
  lab
    .command('graph')
    .description('a drawing of a lab, or of a lab file')
    .argument('<lab>')
    .option('--svg <file>', 'write it there instead of to stdout')
    .action(bind(graph));
}

function addLifeCommands(lab: Command, bind: Bind): void {
  lab
    .command('up')
    .description('bring up the lab of a file')
    .argument('<file>')
    .option('--wait <duration>', 'for BGP sessions; 0s does not wait', '30s')
    .action(bind(up));
  lab
    .command('down')
    .description('remove a lab, exactly and also after a crash')
    .argument('<lab>')
    .action(
      bind(async (context, name: string) => {
        const removed = await (await room()).down(name);
        const text = `${name}: removed ${removed.namespaces} namespaces, ended ${removed.processes} processes\n`;
        context.show(removed, () => text);
        return OK;
      }),
    );
  lab
    .command('ls')
    .description('labs on this machine')
    .action(
      bind(async (context) => {
        context.show({ labs: (await room()).list() }, (view, ink) => renderLabs(view.labs, ink));
        return OK;
      }),
    );
  lab
    .command('status')
    .description('nodes, sessions and cables; exit 1 when something is not up')
    .argument('<lab>')
    .action(
      bind(async (context, name: string) => {
        const view = await (await room()).status(name);
        context.show(view, renderLab);
        return view.state === 'up' && view.sessions.established >= view.sessions.expected ? OK : ABSENT;
      }),
    );
  lab
    .command('restart')
    .description("restart a node's daemon; its namespace and routes stay")
    .argument('<lab>')
    .argument('<node>')
    .option('--kill', 'without asking it')
    .action(
      bind(async (context, name: string, node: string, options: { kill?: boolean }) => {
        const view = await (await room()).restart(name, node, options);
        context.show(view, (one) => `${one.node}: ready after ${one.tookMs} ms\n`);
        return OK;
      }),
    );
  lab
    .command('stop')
    .description("end a node's daemon; restart starts it again")
    .argument('<lab>')
    .argument('<node>')
    .option('--kill', 'without asking it')
    .action(
      bind(async (context, name: string, node: string, options: { kill?: boolean }) => {
        context.show(await (await room()).stop(name, node, options), (one) => `${one.node}: stopped\n`);
        return OK;
      }),
    );
}

interface CutFlags {
  silent?: boolean;
  oneWay?: boolean;
  loss?: string;
}

function addCableCommands(lab: Command, bind: Bind): void {
  lab
    .command('cut')
    .description('cut a cable: the link goes down, or packets are dropped')
    .argument('<lab>')
    .argument('<end>', 'NODE:PORT')
    .option('--silent', 'the link stays up, packets are lost')
    .option('--one-way', 'only what this end sends is lost')
    .option('--loss <percent>', 'this share of packets is lost')
    .action(
      bind(async (context, name: string, end: string, flags: CutFlags) => {
        const view = await (await room()).cut(name, end, cutOptions(flags));
        context.show(view, () => `${end}: cut\n`);
        return OK;
      }),
    );
  lab
    .command('mend')
    .description('mend a cable, however it was cut')
    .argument('<lab>')
    .argument('<end>', 'NODE:PORT')
    .action(
      bind(async (context, name: string, end: string) => {
        const view = await (await room()).mend(name, end);
        context.show(view, (one) => `${end}: ${one.mended ? 'mended' : 'was not cut'}\n`);
        return OK;
      }),
    );
  lab
    .command('move')
    .description('plug the far end of a cable into another port')
    .argument('<lab>')
    .argument('<from>', 'NODE:PORT')
    .argument('<to>', 'NODE:PORT')
    .action(
      bind(async (context, name: string, from: string, to: string) => {
        const view = await (await room()).move(name, from, to);
        const loose = view.unplugged.length === 0 ? '' : `, unplugged ${view.unplugged.join(', ')}`;
        context.show(view, () => `${from}: now goes to ${to}${loose}\n`);
        return OK;
      }),
    );
}

function addGuestCommands(lab: Command, bind: Bind): void {
  lab
    .command('migrate')
    .description('take a guest to another hypervisor, live')
    .argument('<lab>')
    .argument('<guest>')
    .argument('<node>')
    .option('--cold', 'stop it there and start it here')
    .option('--cancel', 'prepare everything and let it stay where it is')
    .action(
      bind(async (context, name: string, guest: string, node: string, flags: MigrateOptions) => {
        const view = await (await room()).migrate(name, guest, node, flags);
        const end = view.kind === 'cancelled' ? `stayed on ${view.from}` : `is on ${view.to}`;
        context.show(view, (one) => `${one.guest}: ${end} after ${one.tookMs} ms\n`);
        return OK;
      }),
    );
}

function cutOptions(flags: CutFlags) {
  const given = Object.keys(flags);
  if (given.length > 1) throw usageError('--silent, --one-way and --loss exclude each other');
  if (flags.loss === undefined) return flags.silent ? { silent: true } : flags.oneWay ? { oneWay: true } : {};
  const percent = /^(\d{1,3}(?:\.\d+)?)%?$/.exec(flags.loss);
  const lossPercent = Number(percent?.[1]);
  if (!(lossPercent > 0 && lossPercent <= 100))
    throw usageError('--loss takes a share of packets', 'such as 5%');
  return { lossPercent };
}

async function up(context: Context, file: string, options: { wait: string }): Promise<number> {
  const waitMs = parseDuration(options.wait);
  if (waitMs === undefined) throw usageError('--wait takes a duration', 'such as 30s');
  const onStep = (step: string): void => context.remark(`${step}\n`);
  const signal = context.terminal.interrupted;
  const view = await (await room()).up(file, { waitMs, onStep, signal });
  const { established, expected } = view.sessions;
  context.show(
    view,
    (one) =>
      `${one.name}: ${one.nodes} nodes, ${one.links} cables in ${one.tookMs} ms; ` +
      `${established} of ${expected} sessions established\n`,
  );
  return waitMs > 0 && established < expected ? ABSENT : OK;
}

/** ping(8) and ip(8) say 4 and 6, leafd says ipv4 and ipv6: both are understood. */
const familyNames = { 4: 'ipv4', 6: 'ipv6', ipv4: 'ipv4', ipv6: 'ipv6' } as const;

async function ping(
  context: Context,
  name: string,
  from: string,
  to: string,
  options: { family?: '4' | '6' | 'ipv4' | 'ipv6'; count?: string },
): Promise<number> {
  const count = options.count === undefined ? undefined : Number(options.count);
  if (count !== undefined && !(Number.isInteger(count) && count > 0))
    throw usageError('--count takes a number of packets');
  const wanted = {
    ...(options.family === undefined ? {} : { family: familyNames[options.family] }),
    ...(count === undefined ? {} : { count }),
  };
  const view = await (await room()).ping(name, from, to, wanted);
  context.show(view, (one) => {
    const rtt = one.rttMs === undefined ? '' : `, rtt ${one.rttMs.min}/${one.rttMs.avg}/${one.rttMs.max} ms`;
    const error = one.error === undefined ? '' : ` (${one.error})`;
    return `${one.source} -> ${one.address}: ${one.received} of ${one.sent} came back${rtt}${error}\n`;
  });
  return view.received > 0 && view.lost === 0 ? OK : ABSENT;
}

async function graph(context: Context, name: string, options: { svg?: string }): Promise<number> {
  const svg = await (await room()).graph(name);
  if (options.svg === undefined) {
    context.terminal.out(svg);
    return OK;
  }
  try {
    writeFileSync(options.svg, svg);
  } catch (error) {
    const message = `cannot write ${options.svg}: ${(error as { code?: string }).code}`;
    throw new CliError(FAILED, { code: 'unwritable', message });
  }
  context.remark(`${options.svg} written\n`);
  return OK;
}
