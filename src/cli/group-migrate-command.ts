/**
 * `godwit group migrate`.
 *
 * Must hold: which group moves is said before anything else.
 */
import { type Command, Option } from 'commander';
import { GROUP_ORDERS, type GroupMigrateBody, GroupMigrateSchema } from '../api/group-migration-schema.ts';
import { formatDuration, parseDurationMs, parseRate } from '../base/units.ts';
import { DEFAULT_MIGRATION_OPTIONS, MIGRATION_MODES } from '../migration/request.ts';
import { withClient } from './api-connection.ts';
import type { CommandContext } from './command-context.ts';
import { renderGroupMigration } from './group-view.ts';
import { exitStatusOfGroup, watchGroup } from './group-watch.ts';
import { printResult } from './io.ts';
import { parseFlags } from './parse-flags.ts';

interface GroupMigrateFlags {
  readonly to: string;
  readonly mode?: GroupMigrateBody['mode'];
  readonly order?: GroupMigrateBody['order'];
  readonly modeOf?: Record<string, string>;
  readonly first?: string[];
  readonly bandwidth?: number;
  readonly maxDowntime?: number;
  readonly verify?: boolean;
  readonly detach?: boolean;
}

const DEFAULTS = DEFAULT_MIGRATION_OPTIONS;

export function addGroupMigrateCommand(group: Command, context: CommandContext): void {
  group
    .command('migrate')
    .description('move all VMs of a group to another host, with the memory that they share')
    .argument('<name>', 'name of the group, or of any of its regions or VMs')
    .requiredOption('--to <host>', 'migration address HOST:PORT of the other host, or its name in `peers`')
    .addOption(
      new Option('--mode <mode>', `how each VM moves (default: ${DEFAULTS.mode})`).choices([...MIGRATION_MODES]),
    )
    .addOption(
      new Option(
        '--order <order>',
        'when its VMs begin: one-by-one; together; on-access: the first, and each other when it touches memory that has gone, however long that takes (default: one-by-one)',
      ).choices([...GROUP_ORDERS]),
    )
    .option(
      '--mode-of <vm=mode>',
      'how this VM moves, where not as the others; may be given again',
      (text: string, before: Record<string, string> = {}) => ({ ...before, ...modeOf(text) }),
    )
    .option(
      '--first <vm>',
      'the VM that begins (default: the first by name); may be given again, for the ones that follow',
      (vm: string, before: string[] = []) => [...before, vm],
    )
    .addOption(
      new Option(
        '--max-downtime <duration>',
        `how long each VM may stand still (default: ${formatDuration(DEFAULTS.maxDowntimeMs)})`,
      ).argParser((text: string) => parseDurationMs(text, '--max-downtime')),
    )
    .addOption(
      new Option('--bandwidth <rate>', 'at most so much on the wire for each VM (default: unlimited)').argParser(
        (text: string) => parseRate(text, '--bandwidth'),
      ),
    )
    .option('--verify', "compare digests of all of each VM's own memory on both sides")
    .option('--detach', 'return as soon as it has begun')
    .addHelpText('after', '\nCtrl-C cancels as long as no VM has moved; a second Ctrl-C leaves it to itself.')
    .action(async (name: string, flags: GroupMigrateFlags, command: Command) => {
      const body = parseFlags(GroupMigrateSchema, bodyOfFlags(flags));
      const output = context.output(command);
      await withClient(context.options(command), context.io, async (client) => {
        const started = await client.migrateGroup(name, body);
        context.io.err(`group ${started.group} moves: VM ${started.members.map(({ vm }) => vm).join(', ')}\n`);
        const ended = flags.detach === true ? started : await watchGroup(client, started, context.io);
        if (flags.detach !== true) context.exitStatus = exitStatusOfGroup(ended);
        printResult(output, ended, () => renderGroupMigration(ended));
      });
    });
}

function bodyOfFlags(flags: GroupMigrateFlags): GroupMigrateBody {
  return {
    to: flags.to,
    ...(flags.mode === undefined ? {} : { mode: flags.mode }),
    ...(flags.modeOf === undefined ? {} : { modes: flags.modeOf as GroupMigrateBody['modes'] }),
    ...(flags.order === undefined ? {} : { order: flags.order }),
    ...(flags.first === undefined ? {} : { first: flags.first }),
    ...(flags.bandwidth === undefined ? {} : { bandwidthBytesPerSecond: flags.bandwidth }),
    ...(flags.maxDowntime === undefined ? {} : { maxDowntimeMs: flags.maxDowntime }),
    ...(flags.verify === undefined ? {} : { verify: flags.verify }),
  };
}

/** Whether it is a mode is looked at with the rest of the request. */
function modeOf(text: string): Record<string, string> {
  const [vm = '', ...mode] = text.split('=');
  return { [vm]: mode.join('=') };
}
