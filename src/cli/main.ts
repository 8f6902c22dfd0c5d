/**
 * The command line `godwit`.
 *
 * Owns: the exit status and the last word on errors. Must hold: exit statuses 0 done, 1 failed, 2 bad usage or input,
 * 3 refused, 130 cancelled; with --json an error is one JSON document on stdout, too.
 */
import { Command, CommanderError } from 'commander';
import { asGodwitError, ERRORS, GodwitError } from '../base/errors.ts';
import { DEFAULT_API } from './api-connection.ts';
import { addBandwidthCommand } from './bandwidth-command.ts';
import { CommandContext, type ExitStatus } from './command-context.ts';
import { addControllerCommand } from './controller-command.ts';
import { addDiskCommands } from './disk-command.ts';
import { addDoctorCommand } from './doctor-command.ts';
import { addFleetCommands } from './fleet-commands.ts';
import { addGroupCommands } from './group-commands.ts';
import { addHostCommand } from './host-command.ts';
import { type Io, printError } from './io.ts';
import { addMigrateCommands } from './migrate-command.ts';
import { addMigrationCommands } from './migration-commands.ts';
import { addTlsCommands } from './tls-commands.ts';
import { addTokenCommands } from './token-commands.ts';
import { VERSION } from './version.ts';
import { addVmCommands } from './vm-commands.ts';

const HELP = `
Start:
  godwit doctor                                   what this machine can do
  godwit host --name a                            run a host daemon
  godwit vm create web1.yaml                      start a VM (docs/spec.md)
  godwit migrate web1 --to 10.0.0.2:7710          move it while it runs

Exit status: 0 done, 1 failed, 2 bad usage or input, 3 refused, 130 cancelled.`;

/** @param args - without the program's own name */
export async function main(args: readonly string[], io: Io): Promise<ExitStatus> {
  const context = new CommandContext(io);
  try {
    await createProgram(context).parseAsync([...args], { from: 'user' });
    return context.exitStatus;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    const shown = error instanceof CommanderError ? usageError(error) : asGodwitError(error);
    printError({ json: args.includes('--json'), io }, shown.toBody());
    if (shown.code === 'GW_INTERNAL' && error instanceof Error) io.err(`${error.stack ?? ''}\n`);
    return ERRORS[shown.code].exitStatus;
  }
}

export function createProgram(context: CommandContext): Command {
  const { io } = context;
  const program = new Command('godwit')
    .description('Moves running virtual machines between hosts, on unmodified QEMU.')
    .version(VERSION)
    .option('--api <url>', `host daemon: http://HOST:PORT or unix:/path (env GODWIT_API, default: ${DEFAULT_API})`)
    .option('--token-file <file>', 'file with the bearer token of the API (env GODWIT_TOKEN)')
    .option('--json', 'print the result as one JSON document on stdout')
    .addHelpText('after', HELP);
  addHostCommand(program, context);
  addControllerCommand(program, context);
  addVmCommands(program, context);
  addGroupCommands(program, context);
  addFleetCommands(program, context);
  addMigrateCommands(program, context);
  addMigrationCommands(program, context);
  addBandwidthCommand(program, context);
  addDiskCommands(program, context);
  addTlsCommands(program, context);
  addTokenCommands(program, context);
  addDoctorCommand(program, context);
  forEachCommand(program, (command) => {
    command
      .exitOverride()
      .configureHelp({ showGlobalOptions: true })
      // The error itself is printed by `main`, once, in the form that was asked for.
      .configureOutput({
        writeOut: (text) => io.out(text),
        writeErr: (text) => io.err(text),
        outputError: () => undefined,
      });
  });
  return program;
}

function forEachCommand(command: Command, apply: (command: Command) => void): void {
  apply(command);
  for (const child of command.commands) forEachCommand(child, apply);
}

function usageError(error: CommanderError): GodwitError {
  if (error.code === 'commander.help') return new GodwitError('GW_USAGE', { reason: 'give a command' });
  return new GodwitError('GW_USAGE', { reason: error.message.replace(/^error: /, '') });
}
