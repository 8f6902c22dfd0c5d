/** A fleet, its plans and evacuations as text. */

import { PAGE_SIZE } from '../base/page.ts';
import { estimatePages } from '../base/page-sample.ts';
import { decodePageSample } from '../base/page-sample-code.ts';
import { formatDuration, formatRate, formatSize } from '../base/units.ts';
import type { EvacuationEvent, EvacuationOutcome } from '../controller/evacuation-port.ts';
import { sayThatSilent } from '../controller/evacuation-waits.ts';
import type { FleetPicture } from '../controller/fleet-picture.ts';
import { explainMove, explainPlan } from '../fleet/explain.ts';
import type { Period } from '../fleet/period.ts';
import type { FleetPlan } from '../fleet/plan.ts';
import { isQuiet, untilQuietMs } from '../fleet/quiet-phase.ts';
import type { Io } from './io.ts';
import { renderTable } from './table.ts';

/** What two VMs have in common. */
export interface CommonPair {
  readonly a: string;
  readonly b: string;
  readonly commonBytes: number;
  readonly standardErrorBytes: number;
  /** Of the contents of the one that has fewer. */
  readonly part: number;
}

export function statusOf({ base, vms, failures }: FleetPicture): object {
  return {
    hosts: base.hosts,
    unreachable: failures,
    vms: vms.map(({ fleetVm, outlook, obstacle }) => ({
      name: fleetVm.name,
      host: fleetVm.host,
      state: outlook.state,
      migration: outlook.migration,
      ramBytes: fleetVm.ramBytes,
      dataBytes: fleetVm.dataPages * PAGE_SIZE,
      dirtyBytesPerSecond: (outlook.samples.at(-1)?.pagesPerSecond ?? 0) * PAGE_SIZE,
      period: fleetVm.period,
      obstacle,
    })),
  };
}

export function renderFleet({ base, vms, failures }: FleetPicture): string {
  const names = new Set([...base.hosts, ...failures].map(({ name }) => name));
  const hosts = renderTable(
    [
      { title: 'HOST' },
      { title: 'VMS', align: 'right' },
      { title: 'ROOM FOR VMS', align: 'right' },
      { title: 'HELD BY VMS', align: 'right' },
      { title: 'STATE' },
    ],
    [...names].map((name) => {
      const here = vms.filter(({ fleetVm }) => fleetVm.host === name);
      const held = here.reduce((sum, { fleetVm }) => sum + fleetVm.dataPages * PAGE_SIZE, 0);
      const host = base.hosts.find((each) => each.name === name);
      const failure = failures.find((each) => each.name === name);
      const state = failure ? `${failure.isRefusal ? 'error' : 'no answer'}: ${failure.failure}` : 'answers';
      if (!host) return [name, '-', '-', '-', state];
      return [name, String(here.length), formatSize(host.memoryBytes), formatSize(held), state];
    }),
  );
  const rows = vms.map(({ fleetVm, outlook, obstacle }) => {
    const last = outlook.samples.at(-1);
    return [
      fleetVm.name,
      fleetVm.host,
      outlook.state,
      formatSize(fleetVm.dataPages * PAGE_SIZE),
      last ? formatRate(last.pagesPerSecond * PAGE_SIZE) : '-',
      fleetVm.period === null ? '-' : describeRhythm(fleetVm.period, base.nowMs),
      obstacle ?? '',
    ];
  });
  const table = renderTable(
    [
      { title: 'VM' },
      { title: 'HOST' },
      { title: 'STATE' },
      { title: 'DATA', align: 'right' },
      { title: 'WRITES', align: 'right' },
      { title: 'RHYTHM' },
      { title: '' },
    ],
    rows,
  );
  return [hosts, '', table].join('\n');
}

/** How long a cycle takes, and when its quiet quarter is. */
function describeRhythm(period: Period, nowMs: number): string {
  const every = `every ${formatDuration(period.periodMs)}`;
  if (isQuiet(period, nowMs)) return `${every}, quiet now`;
  return `${every}, quiet in ${formatDuration(untilQuietMs(period, nowMs))}`;
}

function showSilence(silence: FleetPicture['failures'][number]): string {
  return `host ${sayThatSilent(silence)}`;
}

/** The most alike first. */
export function pairsOf({ vms: chosen, contents }: FleetPicture): CommonPair[] {
  const sizes = new Map(
    chosen.map(({ outlook }) => {
      const sample = outlook.contents === null ? undefined : decodePageSample(outlook.contents);
      return [outlook.name, sample ? estimatePages({ ...sample, counts: sample.counts.map(() => 1) }).value : 0];
    }),
  );
  const { commonality, numbers } = contents;
  return chosen
    .flatMap(({ outlook: { name: a } }, index) =>
      chosen.slice(index + 1).map(({ outlook: { name: b } }): CommonPair => {
        const [left, right] = [numbers.get(a)!, numbers.get(b)!];
        const pages = commonality.common(left, right);
        const smaller = Math.min(sizes.get(a)!, sizes.get(b)!);
        return {
          a,
          b,
          commonBytes: pages * PAGE_SIZE,
          standardErrorBytes: commonality.standardError(left, right) * PAGE_SIZE,
          part: smaller === 0 ? 0 : Math.min(1, pages / smaller),
        };
      }),
    )
    .sort((one, other) => other.commonBytes - one.commonBytes);
}

export function renderCommonality(pairs: readonly CommonPair[]): string {
  if (pairs.length === 0) return 'There are no two VMs to compare.';
  return renderTable(
    [
      { title: 'VM' },
      { title: 'VM' },
      { title: 'IN COMMON', align: 'right' },
      { title: '±', align: 'right' },
      { title: 'PART', align: 'right' },
    ],
    pairs.map(({ a, b, commonBytes, standardErrorBytes, part }) => [
      a,
      b,
      formatSize(commonBytes),
      formatSize(standardErrorBytes),
      `${Math.round(part * 100)} %`,
    ]),
  );
}

export function renderPlan(plan: FleetPlan, unreachable: FleetPicture['failures']): string {
  return [...explainPlan(plan), ...unreachable.map(showSilence)].join('\n');
}

/** While it goes on, a line for what happens. */
export function tellEvent(io: Io, event: EvacuationEvent): void {
  switch (event.kind) {
    case 'planned':
      return;
    case 'waits':
      io.err(`${event.reason}\n`);
      return;
    case 'started':
      io.err(`${explainMove(event.move, event.move.startsAtMs)}\n`);
      return;
    case 'ended': {
      const { report } = event.view;
      if (report?.outcome !== 'completed') return;
      const { totalMs, wireBytes, downtimeMs } = report;
      const stood = downtimeMs === null ? '' : `, stood still for ${formatDuration(downtimeMs)}`;
      io.err(`${event.move.vm} is at ${event.move.to}: ${formatDuration(totalMs)}, ${formatSize(wireBytes)}${stood}\n`);
      return;
    }
    case 'failed':
      io.err(`${event.vm} has stayed (attempt ${event.attempts}): ${event.reason}\n`);
  }
}

export function renderEvacuation(outcome: EvacuationOutcome): string {
  const { state, arrived, stayed, running, error, totalMs, predictedMs } = outcome;
  const bytes = arrived.reduce((sum, each) => sum + each.bytes, 0);
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
    arrived.map((each) => [
      each.vm,
      each.to,
      formatDuration(each.totalMs),
      `${formatDuration(each.predictedMs.p10)} to ${formatDuration(each.predictedMs.p90)}`,
      formatSize(each.bytes),
      formatSize(each.predictedBytes),
      each.downtimeMs === null ? '-' : formatDuration(each.downtimeMs),
    ]),
  );
  const foretold = predictedMs === null ? '' : ` (predicted ${formatDuration(predictedMs)})`;
  return [
    ...(arrived.length > 0 ? [table, ''] : []),
    `${state}: ${arrived.length} VMs moved in ${formatDuration(totalMs)}${foretold}, ${formatSize(bytes)}`,
    ...(error === null ? [] : [`It could not go on: ${error}`]),
    ...stayed.map(({ reason }) => reason),
    ...running.map(({ vm, to, id }) => {
      const watch = id === null ? 'whether it has begun is not known' : `at its source: godwit migration watch ${id}`;
      return `${vm} is still on its way to ${to} (${watch})`;
    }),
  ].join('\n');
}
