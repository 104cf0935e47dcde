// The grammar of commands about guests: looked at, attached, expected, detached, and what a guest's own side needs.

import { type Command, Option } from 'commander';
import {
  type AttachOptions,
  attach,
  clearGuest,
  detach,
  type ExpectOptions,
  expectGuest,
  type OwnSideOptions,
  showGuests,
  showOwnSide,
} from './guests.ts';
import type { Bind } from './program.ts';

export function addGuestCommands(root: Command, bind: Bind): void {
  const guests = root
    .command('guests')
    .description('all guests, or one in detail: exit 1 unless it is announced')
    .argument('[guest]')
    .action(bind((context, name: string | undefined) => showGuests(context, name)));
  guests
    .command('clear')
    .description('let an address that moved too often be used again')
    .argument('<address>')
    .action(bind((context, address: string) => clearGuest(context, address)));
  guests
    .command('config')
    .description('what the guest itself needs; no daemon needed')
    .argument('<own-address...>')
    .addOption(
      new Option('--format <format>', 'for which tool')
        .choices(['netplan', 'networkd', 'ifupdown', 'cloud-init'])
        .makeOptionMandatory(),
    )
    .option('--interface <name>', 'as the guest calls it', 'eth0')
    .option('--mac <mac>', 'tells the interface where its name is not sure')
    .option('--gateway <address...>', 'guests.gateways, where they are not 169.254.0.1 and fe80::1')
    .option('--dns <address...>', 'name servers')
    .action(
      bind((context, addresses: string[], options: OwnSideOptions) =>
        showOwnSide(context, addresses, options),
      ),
    );
  withPlace(root.command('attach').description('bind addresses to a port or MAC').argument('[name]'))
    .option('--file <file>', 'a JSON body of POST /v1/guests instead; - is standard input')
    .action(
      bind((context, name: string | undefined, options: AttachOptions) => attach(context, name, options)),
    );
  root
    .command('detach')
    .description('take bindings and their addresses back')
    .argument('<guest...>')
    .action(bind((context, names: string[]) => detach(context, names)));
  withPlace(
    root
      .command('expect')
      .description('a guest is about to come from another node: announced at its first sign of life')
      .argument('<guest>'),
  )
    .option('--from <node>', 'where it comes from, for people')
    .option('--for <duration>', 'how long it is waited for: 10m (default: guests.moves.expectFor)')
    .option('--qmp <path>', 'a QMP socket that tells RESUME')
    .action(bind((context, name: string, options: ExpectOptions) => expectGuest(context, name, options)));
}

/** Where a guest is and what it may have. */
function withPlace(command: Command): Command {
  return command
    .option('--port <port>', "the host's end of its link: tap100i0")
    .option('--mac <mac>', "the guest's")
    .option('--bridge <bridge>', 'where a MAC alone is looked for')
    .option('--address <address...>', 'announced as soon as the port is there')
    .option('--allow <prefix...>', 'what may be learned beside them')
    .option('--guest <guest>', 'the VM or container, for people')
    .option('--max <count>', 'learned addresses at most');
}
