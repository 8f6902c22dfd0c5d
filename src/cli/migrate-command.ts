/** `godwit migrate` and `godwit check`. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type MigrateBody, MigrateSchema } from '../api/migration-schema.ts';
import { PACKING_STEPS, type PackingStep } from '../base/packing-step.ts';
import { TRACKER_FORMS } from '../base/tracker-choice.ts';
import { formatDuration, parseDurationMs, parseRate } from '../base/units.ts';
import {
  DEFAULT_MIGRATION_OPTIONS,
  DISK_MODES,
  MIGRATION_MODES,
  SOURCE_DISKS,
  TIMEOUT_ACTIONS,
} from '../migration/request.ts';
import { withClient } from './api-connection.ts';
import type { CommandContext } from './command-context.ts';
import { printResult } from './io.ts';
import { parseFlags } from './parse-flags.ts';
import { renderCheck, renderReport } from './report-view.ts';
import { exitStatusOf, watchMigration } from './watch-migration.ts';

export interface MigrateFlags {
  readonly to: string;
  readonly mode?: MigrateBody['mode'];
  readonly maxDowntime?: number;
  readonly bandwidth?: number;
  readonly timeout?: number;
  readonly onTimeout?: MigrateBody['onTimeout'];
  readonly finishBy?: number;
  readonly verify?: boolean;
  readonly detach?: boolean;
  readonly throttle: boolean;
  readonly throttleRatio?: number;
  readonly throttleMinRate?: number;
  readonly throttleHistoryRate?: number;
  readonly throttleMax?: number;
  readonly connections?: number;
  readonly without?: MigrateBody['without'];
  readonly tracker?: string;
  readonly disks?: MigrateBody['disks'];
  readonly disk?: MigrateBody['diskPaths'];
  readonly sourceDisks?: MigrateBody['sourceDisks'];
}

/** As that of the migration would be. */
const CHECK_STATUSES = { ok: 0, refused: 3, failed: 1 } as const;
const DEFAULTS = DEFAULT_MIGRATION_OPTIONS;

export function addMigrateCommands(program: Command, context: CommandContext): void {
  program
    .command('migrate')
    .description('move a running VM to another host')
    .argument('<name>', 'the VM')
    .requiredOption('--to <host>', 'migration address HOST:PORT of the other host, or its name in `peers`')
    .addOption(new Option('--mode <mode>', `how (default: ${DEFAULTS.mode})`).choices([...MIGRATION_MODES]))
    .addOption(
      new Option(
        '--max-downtime <duration>',
        `how long the VM may stand still (default: ${formatDuration(DEFAULTS.maxDowntimeMs)})`,
      ).argParser((text: string) => parseDurationMs(text, '--max-downtime')),
    )
    .addOption(
      new Option(
        '--bandwidth <rate>',
        'at most so much on the wire, such as 1Gbit/s or 200MiB/s; page faults are answered beyond it (default: unlimited)',
      ).argParser((text: string) => parseRate(text, '--bandwidth')),
    )
    .addOption(
      new Option('--timeout <duration>', 'when --on-timeout happens (default: never)').argParser((text: string) =>
        parseDurationMs(text, '--timeout'),
      ),
    )
    .addOption(
      new Option('--on-timeout <action>', `what to do then (default: ${DEFAULTS.onTimeout})`).choices([
        ...TIMEOUT_ACTIONS,
      ]),
    )
    .addOption(
      new Option(
        '--finish-by <duration>',
        'when all is to be over, counted from the start: post-copy begins in time for that (not with --mode pre-copy)',
      ).argParser((text: string) => parseDurationMs(text, '--finish-by')),
    )
    .option('--verify', 'compare digests of all guest memory on both sides')
    .option('--detach', 'return as soon as it has begun')
    .option('--no-throttle', 'never slow the vCPUs')
    .addOption(
      new Option(
        '--throttle-ratio <number>',
        `slow down when sending is less than so many times as fast as changing (default: ${DEFAULTS.throttle.minRatio})`,
      ).argParser(parseNumber),
    )
    .addOption(
      new Option(
        '--throttle-min-rate <pages>',
        'slow down when fewer pages a second than this are sent, 0 = off (default: 0)',
      ).argParser(parseNumber),
    )
    .addOption(
      new Option(
        '--throttle-history-rate <pages>',
        `slow down from the start when the VM is known to change more pages a second, 0 = off (default: ${DEFAULTS.throttle.historyPagesPerSecond})`,
      ).argParser(parseNumber),
    )
    .addOption(
      new Option(
        '--throttle-max <percent>',
        `the strongest slowdown (default: ${DEFAULTS.throttle.maxPercent})`,
      ).argParser(parseNumber),
    )
    .addOption(
      new Option(
        '--connections <number>',
        'connections that carry pages side by side, 0 for as many as are best (default: 0)',
      ).argParser(parseNumber),
    )
    .addOption(
      new Option(
        '--without <steps>',
        `steps to leave out on the way to fewer bytes: ${PACKING_STEPS.join(', ')}, separated by commas (default: none)`,
      ).argParser(parseSteps),
    )
    .option(
      '--tracker <name>',
      `how written pages are found: ${TRACKER_FORMS}; with groups only writers are slowed (default: ${DEFAULTS.tracker})`,
    )
    .addOption(
      new Option(
        '--disks <mode>',
        `shared: they must be the same at the other host; pre-copy: copy them while the VM runs; auto: copy those that are not the same (default: ${DEFAULTS.disks})`,
      ).choices([...DISK_MODES]),
    )
    .addOption(
      new Option(
        '--disk <name=path>',
        'where this disk is to be at the other host; may be given several times (default: at the same path, or where that host makes images)',
      ).argParser(addDiskPath),
    )
    .addOption(
      new Option(
        '--source-disks <action>',
        `what becomes of images that were copied, once the VM has left (default: ${DEFAULTS.sourceDisks})`,
      ).choices([...SOURCE_DISKS]),
    )
    .addHelpText(
      'after',
      '\nCtrl-C cancels the migration (the VM goes on where it is); a second Ctrl-C leaves it to itself.',
    )
    .action(async (name: string, flags: MigrateFlags, command: Command) => {
      const body = parseFlags(MigrateSchema, bodyOfFlags(flags));
      const output = context.output(command);
      await withClient(context.options(command), context.io, async (client) => {
        const started = await client.migrate(name, body);
        if (flags.detach === true) {
          printResult(output, started, () => `migration ${started.id} has begun: godwit migration watch ${started.id}`);
          return;
        }
        const ended = await watchMigration(client, started.id, context.io, { interrupt: 'cancel' });
        context.exitStatus = exitStatusOf(ended);
        printResult(output, ended.report, () => (ended.report ? renderReport(ended.report) : ''));
      });
    });
  program
    .command('check')
    .description('what would block a migration, before any byte moves')
    .argument('<name>', 'the VM')
    .requiredOption('--to <host>', 'migration address HOST:PORT of the other host, or its name in `peers`')
    .action(async (name: string, flags: { to: string }, command: Command) => {
      const result = await withClient(context.options(command), context.io, (client) => client.check(name, flags.to));
      context.exitStatus = CHECK_STATUSES[result.outcome];
      printResult(context.output(command), result, () => renderCheck(name, flags.to, result));
    });
}

/** The request body of `godwit migrate`'s options. */
export function bodyOfFlags(flags: MigrateFlags): MigrateBody {
  const throttle = {
    ...(flags.throttle ? {} : { enabled: false }),
    ...(flags.throttleRatio === undefined ? {} : { minRatio: flags.throttleRatio }),
    ...(flags.throttleMinRate === undefined ? {} : { minPagesPerSecond: flags.throttleMinRate }),
    ...(flags.throttleHistoryRate === undefined ? {} : { historyPagesPerSecond: flags.throttleHistoryRate }),
    ...(flags.throttleMax === undefined ? {} : { maxPercent: flags.throttleMax }),
  };
  return {
    to: flags.to,
    ...(flags.mode === undefined ? {} : { mode: flags.mode }),
    ...(flags.maxDowntime === undefined ? {} : { maxDowntimeMs: flags.maxDowntime }),
    ...(flags.bandwidth === undefined ? {} : { bandwidthBytesPerSecond: flags.bandwidth }),
    ...(flags.timeout === undefined ? {} : { timeoutMs: Math.round(flags.timeout) }),
    ...(flags.onTimeout === undefined ? {} : { onTimeout: flags.onTimeout }),
    ...(flags.finishBy === undefined ? {} : { finishByMs: flags.finishBy }),
    ...(flags.verify === undefined ? {} : { verify: flags.verify }),
    ...(Object.keys(throttle).length === 0 ? {} : { throttle }),
    ...(flags.connections === undefined ? {} : { connections: flags.connections }),
    ...(flags.without === undefined ? {} : { without: flags.without }),
    ...(flags.tracker === undefined ? {} : { tracker: flags.tracker }),
    ...(flags.disks === undefined ? {} : { disks: flags.disks }),
    ...(flags.disk === undefined ? {} : { diskPaths: flags.disk }),
    ...(flags.sourceDisks === undefined ? {} : { sourceDisks: flags.sourceDisks }),
  };
}

function addDiskPath(text: string, before: Record<string, string> = {}): Record<string, string> {
  const [, name, path] = /^([^=]+)=(\/.*)$/.exec(text) ?? [];
  if (name === undefined || path === undefined)
    throw new InvalidArgumentError('give NAME=/PATH, such as virtio-disk0=/images/a.');
  return { ...before, [name]: path };
}

function parseSteps(text: string): PackingStep[] {
  return text.split(',').map((name) => {
    const step = PACKING_STEPS.find((known) => known === name.trim());
    if (step === undefined) throw new InvalidArgumentError(`give some of ${PACKING_STEPS.join(', ')}.`);
    return step;
  });
}

function parseNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('give a number.');
  return value;
}
