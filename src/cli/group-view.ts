/** Groups of VMs that share memory, as text. */
import type { GroupMemberView, GroupMigrationView } from '../api/group-migration-schema.ts';
import type { GroupDetailView, GroupMoveView, GroupView } from '../api/group-schema.ts';
import { formatDuration, formatSize } from '../base/units.ts';
import { PART_TITLES } from './report-view.ts';
import { renderTable } from './table.ts';

export function renderGroupList(groups: readonly GroupView[]): string {
  if (groups.length === 0) return 'No VMs of this host share memory.';
  const table = renderTable(
    [
      { title: 'NAME' },
      { title: 'REGIONS' },
      { title: 'SHARED', align: 'right' },
      { title: 'VMS' },
      { title: 'MOVES' },
    ],
    groups.map(({ name, regions, vms, migration }) => [
      name,
      regions.map((region) => region.name).join(', '),
      formatSize(regions.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)),
      vms.map((vm) => (vm.state === 'arriving' ? `(${vm.name})` : vm.name)).join(', '),
      migration ? describeMove(migration) : '-',
    ]),
  );
  return [table, ...groups.flatMap(({ name, migration }) => waitingLines(name, migration))].join('\n');
}

export function renderGroup({ name, regions, vms, strangers, migration }: GroupDetailView): string {
  const problems = regions.flatMap((region) => (region.problem === null ? [] : [`${region.name}: ${region.problem}`]));
  return [
    `group ${name}${migration ? `, ${describeMove(migration)} (${migration.id})` : ''}`,
    ...waitingLines(name, migration),
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
  const { id, group, to, state, totalMs, waitsFor, members, regions, notes, error } = view;
  const took = totalMs === null ? '' : ` in ${formatDuration(totalMs)}`;
  return [
    `group ${group} to ${to}: ${state}${took} (${id})`,
    ...(waitsFor === null ? [] : [`  it waits for ${waitsFor}`]),
    '',
    renderTable(
      [
        { title: 'VM' },
        { title: 'STATE' },
        { title: 'DOWNTIME', align: 'right' },
        { title: 'MOST OF IT' },
        { title: 'BEGUN', align: 'right' },
        { title: 'CALLED BY' },
        { title: 'MIGRATION' },
      ],
      members.map(({ vm, state: now, downtimeMs, downtimeParts, attempts, stoppedBy, migration }) => [
        vm,
        now,
        downtimeMs === null ? '-' : formatDuration(downtimeMs),
        describeLongest(downtimeParts),
        describeAttempts(attempts),
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

function describeMove({ direction, peer }: GroupMoveView): string {
  return direction === 'outgoing' ? `to ${peer}` : `here from ${peer}`;
}

function waitingLines(name: string, migration: GroupMoveView | null): string[] {
  const waitsFor = migration?.waitsFor ?? null;
  return waitsFor === null ? [] : [`  ${name} waits for ${waitsFor}`];
}

function describeAttempts(attempts: number): string {
  if (attempts === 0) return '-';
  return attempts === 1 ? 'once' : `${attempts} times`;
}

/** What a VM stood for longest. */
function describeLongest(parts: GroupMemberView['downtimeParts']): string {
  const [longest] = Object.entries(parts ?? {}).sort(([, a], [, b]) => b - a);
  if (!longest) return '-';
  const [part, ms] = longest;
  return `${PART_TITLES[part as keyof typeof PART_TITLES]} ${formatDuration(ms)}`;
}
