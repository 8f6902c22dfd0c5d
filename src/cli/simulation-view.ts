/** Simulated evacuations as text. */
import { formatDuration, formatSize } from '../base/units.ts';
import { explainBound } from '../fleet/explain.ts';
import type { StrategyOutcome } from '../fleet/strategy-outcome.ts';
import { renderTable } from './table.ts';

/** What `godwit fleet simulate` answers. */
export interface SimulationView {
  readonly fleet: {
    readonly recordedAtMs: number | null;
    readonly seed: number;
    /** So many were simulated, with this seed and the following ones. */
    readonly fleets: number;
    readonly hosts: number;
    readonly vms: number;
    /** The hosts that all VMs leave, and how many do. */
    readonly from: readonly string[];
    readonly leaving: number;
  };
  /** Of the first plan of the first fleet, by the clock; the only numbers that are not the same each time. */
  readonly planning: {
    readonly commonalityMs: number;
    readonly planMs: number;
    /** Of this process, until the plan was there. */
    readonly peakMemoryBytes: number;
  };
  readonly plan: {
    readonly migrations: number;
    readonly groups: number;
    readonly bytes: number;
    readonly makespanMs: number;
    readonly lowerBoundMs: number;
    readonly quietBoundMs: number;
    readonly refused: readonly { readonly vm: string; readonly text: string }[];
  };
  /** Those that were simulated. */
  readonly strategies: readonly StrategyOutcome[];
}

/** Longer lists are cut. */
const MOST_REFUSED = 5;

export function renderSimulation({ fleet, planning, plan, strategies }: SimulationView): string {
  const { commonalityMs, planMs, peakMemoryBytes } = planning;
  const from = fleet.from.length === 1 ? `host ${fleet.from[0]}` : `${fleet.from.length} hosts`;
  const what = fleet.recordedAtMs === null ? 'synthetic' : `recorded ${new Date(fleet.recordedAtMs).toISOString()}`;
  const others = fleet.hosts - fleet.from.length;
  const more = plan.refused.length - MOST_REFUSED;
  return [
    `${fleet.leaving} of ${fleet.vms} VMs leave ${from} for ${others} other${others === 1 ? '' : 's'} (${what}, seed ${fleet.seed})`,
    `planning: commonality ${formatDuration(commonalityMs)}, plan ${formatDuration(planMs)}, ${formatSize(peakMemoryBytes)} of memory at most`,
    `plan: ${plan.migrations} migrations in ${plan.groups} groups, ${formatSize(plan.bytes)} in ${formatDuration(plan.makespanMs)}${explainBound(plan)}`,
    ...plan.refused.slice(0, MOST_REFUSED).map(({ text }) => text),
    ...(more > 0 ? [`and ${more} more are not started (--json has all)`] : []),
    ...(strategies.length === 0 ? [] : ['', headOf(fleet.fleets), renderOutcomes(strategies)]),
  ].join('\n');
}

function headOf(fleets: number): string {
  return `Simulated, no VM moved${fleets === 1 ? '' : `; medians of ${fleets} fleets`}:`;
}

export function renderOutcomes(outcomes: readonly StrategyOutcome[]): string {
  const stay = outcomes.some(({ stayed }) => stayed > 0);
  const right = (title: string) => ({ title, align: 'right' }) as const;
  return renderTable(
    [
      { title: 'STRATEGY' },
      right('SENT'),
      right('ALL THERE'),
      right('MEAN THERE'),
      right('LONGEST DOWNTIME'),
      right('POST-COPIED'),
      ...(stay ? [right('STAYED')] : []),
      right('QUIET START'),
      right('P50 OFF'),
      right('IN P10–P90'),
    ],
    outcomes.map((each) => [
      each.title,
      formatSize(each.bytes),
      formatDuration(each.makespanMs),
      formatDuration(each.meanArrivalMs),
      formatDuration(each.downtimeMs),
      String(each.postCopied),
      ...(stay ? [String(each.stayed)] : []),
      percent(each.quietStartPart),
      percent(each.predictionOffPart),
      percent(each.predictionInsidePart),
    ]),
  );
}

function percent(part: number | null): string {
  return part === null ? '-' : `${Math.round(100 * part)} %`;
}
