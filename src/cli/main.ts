// leafctl from the command line to the exit code. `run` does it for any terminal (tests pass their own); the program
// itself is `leafctl()` at the end, called by bin/leafctl.

import { CommanderError } from 'commander';
import { type CommandNames, expandWords } from './abbreviate.ts';
import { asCliError, CliError, errorText, OK, USAGE } from './exit.ts';
import { createProgram } from './program.ts';
import { processTerminal, type Terminal } from './terminal.ts';

/** Runs one command line (without `node leafctl`) and returns its exit code. Never throws. */
export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const program = createProgram(terminal);
  try {
    if (words.length === 0) {
      program.command.outputHelp();
      return OK;
    }
    await program.command.parseAsync(expandWords(words, namesOf(program.command)), { from: 'user' });
    return program.exitCode();
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return OK;
    const failure = error instanceof CommanderError ? grammarError(error) : asCliError(error);
    terminal.err(errorText(failure, wantsJson(words)));
    if (failure.cause !== undefined && terminal.env.LEAFCTL_DEBUG !== undefined)
      terminal.err(`${(failure.cause as Error).stack ?? String(failure.cause)}\n`);
    return failure.exitCode;
  }
}

/** Whether JSON was asked for, also in a command line that could not be parsed. */
function wantsJson(words: readonly string[]): boolean {
  const end = words.indexOf('--');
  return (end < 0 ? words : words.slice(0, end)).some((word) => word === '-j' || word === '--json');
}

/** Commander's complaint in our form: one line and a hint. */
function grammarError(error: CommanderError): CliError {
  if (error.code === 'commander.help')
    return new CliError(USAGE, { code: 'usage', message: 'a command is missing', hint: 'leafctl --help' });
  const [message, near] = error.message.replace(/^error: /, '').split('\n');
  const hint = /\(Did you mean (.*?)\?\)/.exec(near ?? '')?.[1];
  return new CliError(USAGE, {
    code: 'usage',
    message: message!.replace(
      /^command-argument value (.*) is invalid for argument '(.*?)'\./,
      '$2: $1 is none:',
    ),
    hint: hint === undefined ? 'leafctl --help, or leafctl COMMAND --help' : `did you mean ${hint}?`,
  });
}

interface Grammar {
  name(): string;
  commands: readonly Grammar[];
  registeredArguments: readonly unknown[];
  options: readonly { long?: string | undefined; short?: string | undefined; required: boolean }[];
}

function namesOf(command: Grammar): CommandNames {
  return {
    name: command.name(),
    commands: command.commands.filter((one) => !one.name().startsWith('_')).map(namesOf),
    hasArguments: command.registeredArguments.length > 0,
    valued: command.options
      .filter((one) => one.required)
      .flatMap((one) => [one.long, one.short].filter((name) => name !== undefined)),
  };
}

/** The program. */
export async function leafctl(): Promise<void> {
  process.exitCode = await run(process.argv.slice(2), processTerminal());
}
