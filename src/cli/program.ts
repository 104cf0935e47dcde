// The grammar of leafctl. Commands that talk to the daemon are imported here; those that judge files, test policies
// or drive labs are imported when they run, because leafctl must start in 150 ms and they bring a schema along.
// Nothing here prints or exits: main.ts turns what is thrown or returned into streams and an exit code.

import { Command, Option } from 'commander';
import type { PeerAction } from '../api/views.ts';
import { version } from '../lib/version.ts';
import { completionScript, type Shell } from './completion.ts';
import { Context, type GlobalOptions } from './context.ts';
import { OK } from './exit.ts';
import { addGuestCommands } from './guest-commands.ts';
import { addHookCommands } from './hook-commands.ts';
import { addLabCommands } from './lab-commands.ts';
import { addPassthroughCommands } from './passthrough-commands.ts';
import { apply, plan } from './plan.ts';
import type { PolicyTestOptions } from './policy-test.ts';
import {
  actOnPeer,
  type RouteOptions,
  showEvents,
  showKernel,
  showPeers,
  showRoutes,
  showRpki,
  showStatus,
  showWhy,
} from './queries.ts';
import type { SimOptions } from './sim.ts';
import type { Terminal } from './terminal.ts';

export interface Program {
  command: Command;
  /** The exit code of the command that ran; 0 before. */
  exitCode(): number;
}

/** The whole grammar, bound to a terminal. */
export function createProgram(terminal: Terminal): Program {
  let exitCode = OK;
  const root = new Command('leafctl');
  /** An action that gets the context first, then arguments and options as commander has them. */
  const bind =
    (action: (context: Context, ...rest: never[]) => Promise<number> | number) =>
    async (...given: unknown[]) => {
      const context = new Context(terminal, root.opts<GlobalOptions>());
      exitCode = await action(context, ...(given as never[]));
    };
  root
    .description('looks at leafd and steers it')
    .version(version, '-V, --version')
    .option('-s, --socket <path>', "the daemon's socket (or LEAFCTL_SOCKET; default /run/leafd/leafd.sock)")
    .option('-j, --json', 'one JSON document instead of text')
    .helpCommand(false)
    .showHelpAfterError(false)
    .configureOutput({ writeOut: terminal.out, writeErr: terminal.err, outputError: () => {} })
    .addHelpText('after', helpEnd);
  addQueries(root, bind);
  addGuestCommands(root, bind);
  addPassthroughCommands(root, bind);
  addConfiguration(root, bind);
  addLabCommands(root, bind);
  addHookCommands(root, bind);
  addCompletion(root, bind, terminal);
  for (const command of withDescendants(root)) command.exitOverride();
  return { command: root, exitCode: () => exitCode };
}

export type Bind = (
  action: (context: Context, ...rest: never[]) => Promise<number> | number,
) => (...given: unknown[]) => Promise<void>;

const helpEnd = `
Commands may be shortened: leafctl st, leafctl pe eth0.
Exit codes: 0 ok, 1 absent, down or differs, 2 usage, 3 daemon unreachable, 4 configuration invalid,
5 refused or failed.`;

function addQueries(root: Command, bind: Bind): void {
  root.command('status').description('the node in a few lines').action(bind(showStatus));
  root
    .command('peers')
    .description('all peers, or one in detail')
    .argument('[peer]')
    .action(bind((context, name: string | undefined) => showPeers(context, name)));
  const peer = root.command('peer').description('do something to a peer');
  for (const [name, description] of peerActions) {
    const command = peer.command(name).description(description).argument('<peer>');
    // The others end no session, and have nothing to tell.
    const tells = name === 'reset' || name === 'shutdown';
    if (tells) command.argument('[text...]', 'told to the peer (RFC 9003)');
    command.action(
      bind((context, who: string, text: string[] | object) =>
        actOnPeer(context, who, name, Array.isArray(text) && text.length > 0 ? text.join(' ') : undefined),
      ),
    );
  }
  root
    .command('routes')
    .description('routes: all, of a prefix, or the longest match of an address')
    .argument('[prefix]')
    .option('--family <family>', 'ipv4, ipv6, vpnv4, vpnv6, evpn, rtc, flowspec4, …')
    .option('--for <address>', 'the longest match')
    .option('--peer <peer>', 'learned from this peer')
    .option('--community <community>', '65000:1, 65000:1:2, rt:65000:1 or a well-known name')
    .option('--received', 'as received from --peer, before policy')
    .option('--advertised', 'as sent to --peer')
    .option('--limit <rows>')
    .addOption(new Option('--cursor <cursor>').hideHelp())
    .action(
      bind((context, prefix: string | undefined, options: RouteOptions) =>
        showRoutes(context, prefix, options),
      ),
    );
  root
    .command('kernel')
    .description('what leafd wants in the kernel, what is there, what belongs to others')
    .option('--limit <rows>')
    .action(bind((context, options: { limit?: string }) => showKernel(context, options)));
  root.command('rpki').description('where origin validation has its data from').action(bind(showRpki));
  root
    .command('events')
    .description('what happened')
    .option('-f, --follow', 'and what happens from now on')
    .option('--since <id>', 'only what came after this event')
    .action(bind((context, options: { follow?: boolean; since?: string }) => showEvents(context, options)));
  root
    .command('why')
    .description('why a prefix, an address or a peer is as it is')
    .argument('<thing>')
    .action(bind((context, thing: string) => showWhy(context, thing)));
}

const peerActions: readonly (readonly [PeerAction, string])[] = [
  ['reset', 'close the session; it comes back by itself'],
  ['refresh', 'ask for its routes again and judge them anew'],
  ['shutdown', 'close the session and keep it closed'],
  ['enable', 'undo shutdown'],
];

const routeHelp = `
A route is a prefix and any of: next-hop A, as-path "65001 65002", local-pref N, med N, origin O, community C...,
large-community C..., ext-community C..., rpki valid|invalid|notFound, tag N, from PEER, neighbor-as ASN, source S,
igp-metric N; or the text of an NLRI, with family F and maybe vni N.`;

function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}

function addConfiguration(root: Command, bind: Bind): void {
  root
    .command('check')
    .description('judge configuration or lab files; no daemon needed')
    .argument('<file...>')
    .action(
      bind(async (context, files: string[]) => (await import('./configuration.ts')).check(context, files)),
    );
  root
    .command('sim')
    .description('simulate a lab file under faults, seed after seed; no daemon needed')
    .argument('<file>')
    .option('--seed <number>', 'the first seed', '1')
    .option('--seeds <count>', 'how many seeds', '20')
    .option('--faults <count>', 'faults a seed', '22')
    .action(
      bind(async (context, file: string, options: SimOptions) =>
        (await import('./sim.ts')).sim(context, file, options),
      ),
    );
  root
    .command('plan')
    .description('what a configuration would change: exit 0 nothing, 1 something')
    .argument('<file>')
    .action(bind((context, file: string) => plan(context, file)));
  root
    .command('apply')
    .description('put a configuration in force until the next reload')
    .argument('<file>')
    .action(bind((context, file: string) => apply(context, file)));
  root
    .command('policy')
    .description('policies of a configuration')
    .command('test')
    .description('what a policy does with a route, rule by rule; no daemon needed')
    .argument('<file>')
    .option(
      '--route <route>',
      `'10.0.0.0/8 as-path "65001 65002" community 65000:1'; may be repeated`,
      collect,
    )
    .option('--routes <file>', 'a route a line')
    .option('--policy <name>', 'this policy, or a chain: a,b')
    .option('--peer <peer>', "the peer's policy for the family of the route")
    .option('--as <direction>', 'import (default) or export')
    .addHelpText('after', routeHelp)
    .action(
      bind(async (context, file: string, options: PolicyTestOptions) =>
        (await import('./policy-test.ts')).policyTest(context, file, options),
      ),
    );
  root
    .command('schema')
    .description('the JSON Schema of leafd.yaml, for editors')
    .action(bind(async (context) => (await import('./configuration.ts')).schema(context)));
}

function addCompletion(root: Command, bind: Bind, terminal: Terminal): void {
  root
    .command('completion')
    .description('a script for the shell: source <(leafctl completion bash)')
    .addArgument(root.createArgument('<shell>').choices(['bash', 'zsh', 'fish']))
    .action(
      bind((_, shell: Shell) => {
        terminal.out(completionScript(shell));
        return OK;
      }),
    );
  root
    .command('__complete', { hidden: true })
    .argument('[words...]')
    .allowUnknownOption()
    .action(
      bind(async (context, words: string[]) => {
        const { complete } = await import('./complete.ts');
        terminal.out((await complete(root, words, context)).map((one) => `${one}\n`).join(''));
        return OK;
      }),
    );
}

function withDescendants(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withDescendants)];
}
