// The grammar of commands about L3 passthrough; what they do is loaded when they run.

import type { Command } from 'commander';
import type { Bind } from './program.ts';

const actions: readonly (readonly [name: string, description: string])[] = [
  ['confirm', 'end the trial: the uplinks stay, whether a session of the fabric is up or not'],
  [
    'rollback',
    'take the uplinks back to the host, until retry, another configuration or the next start of leafd',
  ],
  ['retry', 'try again what was taken back'],
];

export function addPassthroughCommands(root: Command, bind: Bind): void {
  const passthrough = root
    .command('passthrough')
    .description('the router of this node: exit 1 when it is down or was taken back')
    .action(bind(async (context) => (await import('./passthrough.ts')).showPassthrough(context)));
  for (const [name, description] of actions)
    passthrough
      .command(name)
      .description(description)
      .action(bind(async (context) => (await import('./passthrough.ts')).actOnPassthrough(context, name)));
}
