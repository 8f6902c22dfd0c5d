/** What has happened in a fleet, and what balancing would do, as text. */
import type { BalanceView } from '../api/balance-schema.ts';
import type { FinishedMigrationView, FleetHistoryView } from '../api/evacuation-schema.ts';
import { formatDuration, formatSize } from '../base/units.ts';
import { renderEvacuations } from './evacuation-view.ts';
import { renderTable } from './table.ts';

export function renderFleetHistory({ migrations, evacuations }: FleetHistoryView): string {
  const table = renderTable(
    [
      { title: 'VM' },
      { title: 'FROM' },
      { title: 'TO' },
      { title: 'ENDED' },
      { title: 'BEGUN' },
      { title: 'TOOK', align: 'right' },
      { title: 'PREDICTED', align: 'right' },
      { title: 'BYTES', align: 'right' },
      { title: 'PREDICTED', align: 'right' },
      { title: 'EVACUATION' },
    ],
    migrations.map(rowOf),
  );
  return [migrations.length === 0 ? 'No migration has ended yet.' : table, '', renderEvacuations(evacuations)].join(
    '\n',
  );
}

export function renderBalance({ hosts, words, evacuations }: BalanceView): string {
  const percent = (part: number | null): string => (part === null ? '-' : `${Math.round(part * 100)} %`);
  const table = renderTable(
    [{ title: 'HOST' }, { title: 'CPU', align: 'right' }, { title: 'MEMORY', align: 'right' }, { title: 'IS' }],
    hosts.map(({ host, cpuPart, memoryPart, verdict }) => [host, percent(cpuPart), percent(memoryPart), verdict]),
  );
  const begun = evacuations.length === 0 ? [] : [`Begun: ${evacuations.join(', ')}`];
  return [table, '', ...words, ...begun].join('\n');
}

function rowOf(each: FinishedMigrationView): string[] {
  const { predicted, actual } = each;
  return [
    each.vm,
    each.from,
    each.to,
    each.outcome,
    new Date(each.startedAtMs).toISOString().slice(0, 19),
    formatDuration(actual.totalMs),
    predicted ? `${formatDuration(predicted.totalMs.p10)} to ${formatDuration(predicted.totalMs.p90)}` : '-',
    formatSize(actual.bytes),
    predicted ? formatSize(predicted.bytes.p50) : '-',
    each.evacuation ?? '-',
  ];
}
