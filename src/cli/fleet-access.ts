/**
 * A fleet as the commands have it: by a controller's API, or by the same class in this process.
 *
 * Must hold: what a command does is the same both ways; without a controller it ends with the command.
 */
import type { Command } from 'commander';
import { Option } from 'commander';
import type { EvacuationView } from '../api/evacuation-schema.ts';
import type { FleetActions } from '../api/fleet-service.ts';
import { GodwitError } from '../base/errors.ts';
import { FleetClient } from '../client/fleet-client.ts';
import { type GlobalOptions, tokenOf } from './api-connection.ts';
import type { CommandContext } from './command-context.ts';
import type { Io } from './io.ts';

export interface FleetFlags extends GlobalOptions {
  readonly fleet?: string;
  readonly controller?: string;
}

export interface FleetAccess extends AsyncDisposable {
  readonly actions: FleetActions;
  /** Whether there is a controller, which goes on when the command has ended. */
  readonly isRemote: boolean;
  /** How it is, and then each change, to its end. */
  watch(id: string, signal: AbortSignal): AsyncIterable<EvacuationView>;
}

const DEFAULT_FILE = 'fleet.yaml';

export function fleetOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--controller <url>',
        'controller of the fleet: http://HOST:PORT or unix:/path (env GODWIT_CONTROLLER)',
      ),
    )
    .addOption(
      new Option(
        '--fleet <file>',
        `without a controller: the hosts of the fleet (docs/fleet.md; default: ${DEFAULT_FILE})`,
      ),
    );
}

/** Runs `action` with the fleet and closes it, whatever happens. */
export async function withFleet<T>(
  context: CommandContext,
  command: Command,
  action: (fleet: FleetAccess) => Promise<T>,
): Promise<T> {
  await using fleet = await openFleet(context.options<FleetFlags>(command), context.io);
  return await action(fleet);
}

/** For what only a controller remembers or goes on with. @throws GW_USAGE */
export function withController<T>(
  context: CommandContext,
  command: Command,
  action: (fleet: FleetAccess) => Promise<T>,
): Promise<T> {
  return withFleet(context, command, (fleet) => {
    const reason =
      'this needs a controller: start one with `godwit controller`, and give --controller URL or GODWIT_CONTROLLER';
    if (!fleet.isRemote) throw new GodwitError('GW_USAGE', { reason });
    return action(fleet);
  });
}

async function openFleet(flags: FleetFlags, io: Io): Promise<FleetAccess> {
  const url = flags.controller ?? (flags.fleet === undefined ? io.environment['GODWIT_CONTROLLER'] : undefined);
  if (url !== undefined && url !== '') return openRemote(url, tokenOf(flags, io));
  // Loaded here only: the other commands need neither the planner nor a store.
  const { openLocalFleet } = await import('../controller/local-fleet.ts');
  return openLocalFleet(flags.fleet ?? DEFAULT_FILE);
}

function openRemote(url: string, token: string | undefined): FleetAccess {
  const client = new FleetClient({ url, ...(token === undefined ? {} : { token }) });
  return {
    actions: client,
    isRemote: true,
    watch: (id, signal) => client.watchEvacuation(id, { signal }),
    [Symbol.asyncDispose]: () => client.close(),
  };
}
