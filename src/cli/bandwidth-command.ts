/** `godwit bandwidth`: what all migrations of a host may send together. */
import { Argument, type Command } from 'commander';
import type { HostView } from '../api/host-schema.ts';
import { formatBandwidth, parseRate } from '../base/units.ts';
import { withClient } from './api-connection.ts';
import type { CommandContext } from './command-context.ts';
import { printResult } from './io.ts';

/** A limit that a daemon kept by itself would win over the file that says what the host is like. */
const UNTIL = '\nuntil the daemon ends; `bandwidth` in its configuration, or --bandwidth, is for good';

export function addBandwidthCommand(program: Command, context: CommandContext): void {
  program
    .command('bandwidth')
    .description('show or change what all migrations away from the host may send together')
    .addArgument(
      new Argument(
        '[rate]',
        'such as 5Gbit/s, 200MiB/s or unlimited; at once, until the daemon ends (for good: `bandwidth` in its configuration)',
      ).argParser((text: string) => parseRate(text, 'rate')),
    )
    .action(async (bandwidthBytesPerSecond: number | undefined, _options: unknown, command: Command) => {
      const host = await withClient(context.options(command), context.io, (client) =>
        bandwidthBytesPerSecond === undefined ? client.host() : client.tuneHost({ bandwidthBytesPerSecond }),
      );
      const result = { host: host.name, bandwidthBytesPerSecond: host.bandwidthBytesPerSecond };
      const changed = bandwidthBytesPerSecond !== undefined;
      printResult(context.output(command), result, () => renderBandwidth(host) + (changed ? UNTIL : ''));
    });
}

function renderBandwidth({ name, bandwidthBytesPerSecond: limit, runningMigrations }: HostView): string {
  const rate = limit === 0 ? 'unlimited' : formatBandwidth(limit);
  return `bandwidth of all migrations of host ${name}: ${rate}; ${runningMigrations} running`;
}
