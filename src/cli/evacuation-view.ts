/** Evacuations as text, and as the document of `godwit fleet evacuate --json`. */
import type { EvacuationView } from '../api/evacuation-schema.ts';
import { formatDuration, formatSize } from '../base/units.ts';
import { renderTable } from './table.ts';

type EvacuatedVm = EvacuationView['vms'][number];

/** What has become of it: who arrived, who stayed and why, who was left on the way. */
export function outcomeOf(view: EvacuationView): object {
  const of = (state: EvacuatedVm['state']): EvacuatedVm[] => view.vms.filter((vm) => vm.state === state);
  return {
    id: view.id,
    state: view.state,
    arrived: of('arrived').map(({ vm, to, predicted, actual }) => ({
      vm,
      to,
      predictedMs: predicted?.totalMs ?? null,
      predictedBytes: predicted?.bytes.p50 ?? null,
      totalMs: actual?.totalMs ?? null,
      bytes: actual?.bytes ?? null,
      downtimeMs: actual?.downtimeMs ?? null,
    })),
    stayed: of('stayed').map(({ vm, reason }) => ({ vm, reason })),
    // What has not ended is left to itself by who does not wait for it.
    running: [...of('running'), ...of('left')].map(({ vm, to, migration, groupMigration }) => ({
      vm,
      to,
      id: migration,
      groupMigration,
    })),
    error: view.error?.message ?? null,
    totalMs: tookMs(view),
    predictedMs: view.predictedMs,
  };
}

export function renderEvacuation(view: EvacuationView): string {
  const arrived = view.vms.filter(({ state }) => state === 'arrived');
  const bytes = arrived.reduce((sum, { actual }) => sum + (actual?.bytes ?? 0), 0);
  const table = renderTable(
    [
      { title: 'VM' },
      { title: 'TO' },
      { title: 'TOOK', align: 'right' },
      { title: 'PREDICTED', align: 'right' },
      { title: 'BYTES', align: 'right' },
      { title: 'PREDICTED', align: 'right' },
      { title: 'DOWNTIME', align: 'right' },
    ],
    arrived.map(({ vm, to, predicted, actual }) => [
      vm,
      to ?? '-',
      actual ? formatDuration(actual.totalMs) : '-',
      predicted ? `${formatDuration(predicted.totalMs.p10)} to ${formatDuration(predicted.totalMs.p90)}` : '-',
      actual ? formatSize(actual.bytes) : '-',
      predicted ? formatSize(predicted.bytes.p50) : '-',
      actual?.downtimeMs == null ? '-' : formatDuration(actual.downtimeMs),
    ]),
  );
  const foretold = view.predictedMs === null ? '' : ` (predicted ${formatDuration(view.predictedMs)})`;
  return [
    ...(arrived.length > 0 ? [table, ''] : []),
    `${view.state}: ${arrived.length} ${arrived.length === 1 ? 'VM' : 'VMs'} moved in ${formatDuration(tookMs(view))}${foretold}, ${formatSize(bytes)}`,
    ...(view.error === null ? [] : [`It could not go on: ${view.error.message}`]),
    ...view.vms.flatMap((each) => {
      const { vm, state, reason } = each;
      if (state === 'stayed') return [reason ?? `${vm} has stayed`];
      return state === 'left' ? [renderOnWay(each)] : [];
    }),
  ].join('\n');
}

/** Of one that has not ended: what goes on by itself. */
export function renderLeft({ vms }: EvacuationView): string {
  const left = vms.filter(({ state }) => state === 'running').map(renderOnWay);
  return left.length > 0 ? left.join('\n') : 'Nothing is on its way.';
}

export function renderEvacuations(all: readonly EvacuationView[]): string {
  if (all.length === 0) return 'There are none.';
  return renderTable(
    [
      { title: 'ID' },
      { title: 'FROM' },
      { title: 'TO' },
      { title: 'BY' },
      { title: 'STATE' },
      { title: 'ARRIVED', align: 'right' },
      { title: 'BEGUN' },
      { title: 'TOOK', align: 'right' },
      { title: 'PREDICTED', align: 'right' },
    ],
    all.map((view) => [
      view.id,
      view.from,
      view.to ?? '-',
      view.by ?? view.initiator,
      view.isCancelling ? 'cancelling' : view.state,
      `${view.vms.filter(({ state }) => state === 'arrived').length} of ${view.vms.length}`,
      new Date(view.requestedAtMs).toISOString().slice(0, 19),
      view.endedAtMs === null ? '-' : formatDuration(tookMs(view)),
      view.predictedMs === null ? '-' : formatDuration(view.predictedMs),
    ]),
  );
}

function renderOnWay(each: EvacuatedVm): string {
  return each.reason ?? `${each.vm} is still on its way to ${each.to} (${watchOf(each)})`;
}

function watchOf({ migration, groupMigration }: EvacuatedVm): string {
  if (migration !== null) return `at its source: godwit migration watch ${migration}`;
  if (groupMigration !== null) return `with its group, at its source: godwit group report ${groupMigration}`;
  return 'whether it has begun is not known';
}

function tookMs({ startedAtMs, requestedAtMs, endedAtMs }: EvacuationView): number {
  return (endedAtMs ?? Date.now()) - (startedAtMs ?? requestedAtMs);
}
