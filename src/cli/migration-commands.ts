/** `godwit migration …`: migrations that run or have run. */
import { type Command, Option } from 'commander';
import type { TuneBody } from '../api/migration-schema.ts';
import { GodwitError } from '../base/errors.ts';
import { parseDurationMs, parseRate } from '../base/units.ts';
import { TIMEOUT_ACTIONS } from '../migration/request.ts';
import { withClient } from './api-connection.ts';
import type { CommandContext } from './command-context.ts';
import { printResult } from './io.ts';
import { renderMigration, renderMigrationList, renderReport } from './report-view.ts';
import { exitStatusOf, watchMigration } from './watch-migration.ts';

interface TuneFlags {
  readonly bandwidth?: number;
  readonly maxDowntime?: number;
  readonly timeout?: number;
  readonly onTimeout?: TuneBody['onTimeout'];
  readonly finishBy?: number;
}

export function addMigrationCommands(program: Command, context: CommandContext): void {
  const migration = program.command('migration').description('watch, change and look up migrations');
  migration
    .command('list')
    .alias('ls')
    .description('running migrations and the last ones, newest first')
    .option('--limit <number>', 'at most so many', '100')
    .action(async (options: { limit: string }, command: Command) => {
      const limit = Number(options.limit);
      if (!Number.isSafeInteger(limit) || limit < 1) {
        throw new GodwitError('GW_INPUT_INVALID', {
          field: '--limit',
          value: options.limit,
          fix: 'give a whole number from 1',
        });
      }
      const migrations = await withClient(context.options(command), context.io, (client) =>
        client.listMigrations({ limit }),
      );
      printResult(context.output(command), migrations, () => renderMigrationList(migrations));
    });
  migration
    .command('show')
    .description('one migration, with its report once it has ended')
    .argument('<id>')
    .action(async (id: string, _options: unknown, command: Command) => {
      const shown = await withClient(context.options(command), context.io, (client) => client.showMigration(id));
      printResult(context.output(command), shown, () => renderMigration(shown));
    });
  migration
    .command('watch')
    .description('watch a migration to its end; Ctrl-C only stops watching')
    .argument('<id>')
    .action(async (id: string, _options: unknown, command: Command) => {
      await withClient(context.options(command), context.io, async (client) => {
        const ended = await watchMigration(client, id, context.io, { interrupt: 'leave' });
        context.exitStatus = exitStatusOf(ended);
        printResult(context.output(command), ended.report, () => (ended.report ? renderReport(ended.report) : ''));
      });
    });
  migration
    .command('cancel')
    .description('cancel; the VM goes on at the source')
    .argument('<id>')
    .action(async (id: string, _options: unknown, command: Command) => {
      const after = await withClient(context.options(command), context.io, (client) => client.cancelMigration(id));
      printResult(context.output(command), after, () => `migration ${id} is being cancelled`);
    });
  migration
    .command('tune')
    .description('change the limits of a running migration')
    .argument('<id>')
    .addOption(
      new Option('--bandwidth <rate>', 'such as 1Gbit/s, 200MiB/s or unlimited').argParser((text: string) =>
        parseRate(text, '--bandwidth'),
      ),
    )
    .addOption(
      new Option('--max-downtime <duration>', 'such as 50ms').argParser((text: string) =>
        parseDurationMs(text, '--max-downtime'),
      ),
    )
    .addOption(
      new Option('--timeout <duration>', 'when --on-timeout happens, counted from the start; 0s: never').argParser(
        (text: string) => parseDurationMs(text, '--timeout'),
      ),
    )
    .addOption(new Option('--on-timeout <action>', 'what to do then').choices([...TIMEOUT_ACTIONS]))
    .addOption(
      new Option('--finish-by <duration>', 'counted from the start of the migration; 0s: no such promise').argParser(
        (text: string) => parseDurationMs(text, '--finish-by'),
      ),
    )
    .action(async (id: string, options: TuneFlags, command: Command) => {
      const body = {
        ...(options.bandwidth === undefined ? {} : { bandwidthBytesPerSecond: options.bandwidth }),
        ...(options.maxDowntime === undefined ? {} : { maxDowntimeMs: options.maxDowntime }),
        ...(options.timeout === undefined ? {} : { timeoutMs: Math.round(options.timeout) }),
        ...(options.onTimeout === undefined ? {} : { onTimeout: options.onTimeout }),
        ...(options.finishBy === undefined ? {} : { finishByMs: options.finishBy }),
      };
      if (Object.keys(body).length === 0)
        throw new GodwitError('GW_USAGE', {
          reason: 'give --bandwidth, --max-downtime, --timeout, --on-timeout or --finish-by',
        });
      const after = await withClient(context.options(command), context.io, (client) => client.tuneMigration(id, body));
      printResult(context.output(command), after, () => `migration ${id} has new limits`);
    });
  migration
    .command('switch-postcopy')
    .description('stop pre-copy and go on by post-copy')
    .argument('<id>')
    .action(async (id: string, _options: unknown, command: Command) => {
      const after = await withClient(context.options(command), context.io, (client) => client.switchToPostCopy(id));
      printResult(context.output(command), after, () => `migration ${id} goes on by post-copy`);
    });
}
