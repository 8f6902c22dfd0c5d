/** `godwit group …`: VMs that share memory. */
import type { Command } from 'commander';
import { withClient } from './api-connection.ts';
import type { CommandContext } from './command-context.ts';
import { addGroupMigrateCommand } from './group-migrate-command.ts';
import { renderGroup, renderGroupList, renderGroupMigration, renderGroupMigrationList } from './group-view.ts';
import { exitStatusOfGroup, watchGroup } from './group-watch.ts';
import { printResult } from './io.ts';

const MIGRATION = 'of the migration, or its beginning; while it runs the name of the group does';

export function addGroupCommands(program: Command, context: CommandContext): void {
  const group = program.command('group').description('VMs that share memory, which move together');
  group
    .command('list')
    .alias('ls')
    .description('all groups of the host')
    .action(async (_options: unknown, command: Command) => {
      const groups = await withClient(context.options(command), context.io, (client) => client.listGroups());
      printResult(context.output(command), groups, () => renderGroupList(groups));
    });
  group
    .command('show')
    .description('one group: its memory, its VMs, and who else uses the memory')
    .argument('<name>', 'name of the group, or of any of its regions or VMs')
    .action(async (name: string, _options: unknown, command: Command) => {
      const shown = await withClient(context.options(command), context.io, (client) => client.showGroup(name));
      printResult(context.output(command), shown, () => renderGroup(shown));
    });
  group
    .command('migrations')
    .description('migrations of groups that run and the last ones, newest first')
    .action(async (_options: unknown, command: Command) => {
      const shown = await withClient(context.options(command), context.io, (client) => client.listGroupMigrations());
      printResult(context.output(command), shown, () => renderGroupMigrationList(shown));
    });
  group
    .command('report')
    .description("one group's migration: what became of its VMs and of the memory that they share")
    .argument('<id>', MIGRATION)
    .action(async (id: string, _options: unknown, command: Command) => {
      const shown = await withClient(context.options(command), context.io, (client) => client.showGroupMigration(id));
      printResult(context.output(command), shown, () => renderGroupMigration(shown));
    });
  addGroupMigrateCommand(group, context);
  group
    .command('follow')
    .description('call VMs that wait with `--order on-access` to the other host, one after the other')
    .argument('<id>', MIGRATION)
    .option('--vm <name>', 'only this one')
    .option('--detach', 'return as soon as they are called')
    .action(async (id: string, flags: { vm?: string; detach?: boolean }, command: Command) => {
      await withClient(context.options(command), context.io, async (client) => {
        const called = await client.followGroup(id, flags.vm === undefined ? {} : { vm: flags.vm });
        // One of several called: the others wait on.
        const stays = flags.detach === true || flags.vm !== undefined;
        const ended = stays ? called : await watchGroup(client, called, context.io);
        if (!stays) context.exitStatus = exitStatusOfGroup(ended);
        printResult(context.output(command), ended, () => renderGroupMigration(ended));
      });
    });
  group
    .command('cancel')
    .description('put all back, as long as no VM has moved')
    .argument('<id>', MIGRATION)
    .action(async (id: string, _options: unknown, command: Command) => {
      const shown = await withClient(context.options(command), context.io, (client) => client.cancelGroupMigration(id));
      printResult(context.output(command), shown, () => renderGroupMigration(shown));
    });
}
