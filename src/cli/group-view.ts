/** Groups of VMs that share memory, as text. */
import type { GroupMigrationView } from '../api/group-migration-schema.ts';
import type { GroupDetailView, GroupView } from '../api/group-schema.ts';
import { formatDuration, formatSize } from '../base/units.ts';
import { renderTable } from './table.ts';

export function renderGroupList(groups: readonly GroupView[]): string {
  if (groups.length === 0) return 'No VMs of this host share memory.';
  return renderTable(
    [{ title: 'NAME' }, { title: 'REGIONS' }, { title: 'SHARED', align: 'right' }, { title: 'VMS' }],
    groups.map(({ name, regions, vms }) => [
      name,
      regions.map((region) => region.name).join(', '),
      formatSize(regions.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)),
      vms.map((vm) => vm.name).join(', '),
    ]),
  );
}

export function renderGroup({ name, regions, vms, strangers }: GroupDetailView): string {
  const problems = regions.flatMap((region) => (region.problem === null ? [] : [`${region.name}: ${region.problem}`]));
  return [
    `group ${name}`,
    '',
    renderTable(
      [{ title: 'REGION' }, { title: 'SIZE', align: 'right' }, { title: 'VMS' }, { title: 'FILE' }],
      regions.map((region) => [region.name, formatSize(region.sizeBytes), region.vms.join(', '), region.path]),
    ),
    ...problems.map((problem) => `  no further VM can have ${problem}`),
    '',
    renderTable(
      [{ title: 'VM' }, { title: 'STATE' }, { title: 'PID', align: 'right' }],
      vms.map((vm) => [vm.name, vm.state, vm.pid === null ? '-' : String(vm.pid)]),
    ),
    ...(strangers.length === 0
      ? []
      : [
          '',
          'Strangers: they use this memory and are no VMs of the group, which cannot move before they have ended.',
          renderTable(
            [{ title: 'PID', align: 'right' }, { title: 'REGION' }, { title: 'USE' }, { title: 'COMMAND' }],
            strangers.map(({ pid, region, use, command }) => [String(pid), region, use, command]),
          ),
        ]),
  ].join('\n');
}

export function renderGroupMigrationList(migrations: readonly GroupMigrationView[]): string {
  if (migrations.length === 0) return 'No migrations of groups yet.';
  return renderTable(
    [{ title: 'ID' }, { title: 'GROUP' }, { title: 'TO' }, { title: 'STATE' }, { title: 'TOTAL', align: 'right' }],
    migrations.map(({ id, group, to, state, totalMs }) => {
      return [id, group, to, state, totalMs === null ? '-' : formatDuration(totalMs)];
    }),
  );
}

export function renderGroupMigration(view: GroupMigrationView): string {
  const { id, group, to, state, totalMs, members, regions, notes, error } = view;
  const took = totalMs === null ? '' : ` in ${formatDuration(totalMs)}`;
  return [
    `group ${group} to ${to}: ${state}${took} (${id})`,
    '',
    renderTable(
      [
        { title: 'VM' },
        { title: 'STATE' },
        { title: 'DOWNTIME', align: 'right' },
        { title: 'CALLED BY' },
        { title: 'MIGRATION' },
      ],
      members.map(({ vm, state: now, downtimeMs, stoppedBy, migration }) => [
        vm,
        now,
        downtimeMs === null ? '-' : formatDuration(downtimeMs),
        stoppedBy === null
          ? '-'
          : `page ${stoppedBy.page} of ${stoppedBy.region} after ${formatDuration(stoppedBy.ms)}`,
        migration ?? '-',
      ]),
    ),
    '',
    renderTable(
      [
        { title: 'REGION' },
        ...['SIZE', 'LEFT', 'ASKED FOR', 'PUSHED', 'LENT', 'AGAIN', 'WIRE'].map((title) => ({
          title,
          align: 'right' as const,
        })),
      ],
      regions.map((region) => [
        region.name,
        formatSize(region.sizeBytes),
        String(region.pagesLeft),
        String(region.requestedPages),
        String(region.pushedPages),
        String(region.lentPages),
        String(region.sentAgainPages),
        formatSize(region.wireBytes),
      ]),
    ),
    ...notes.map((note) => `note: ${note}`),
    ...(error === null ? [] : [`error: ${error.message} [${error.code}]`]),
  ].join('\n');
}
