/**
 * What came of a strategy, over one simulated fleet or several.
 *
 * Owns: the numbers by which strategies are compared. Pure. Must hold: of several fleets each number is the median of theirs, but
 * where single VMs are counted all count alike.
 */
import { median } from '../base/statistics.ts';
import type { SimulatedFleet, SimulatedRun } from './fleet-simulation.ts';
import { STRATEGY_TITLES, type StrategyName } from './strategies.ts';

export interface StrategyOutcome {
  readonly strategy: StrategyName;
  readonly title: string;
  readonly bytes: number;
  /** From now until all are there; the same of the mean VM. */
  readonly makespanMs: number;
  readonly meanArrivalMs: number;
  /** Of the VM with the longest. */
  readonly downtimeMs: number;
  /** So many ended in post-copy, and so many were never started. */
  readonly postCopied: number;
  readonly stayed: number;
  /** Of VMs that do write in a rhythm, those that began in a quiet phase; null: there are none. */
  readonly quietStartPart: number | null;
  /** How far the predicted p50 of each VM's time was off, of the time it took (median); null: nothing was predicted. */
  readonly predictionOffPart: number | null;
  /** How many took as long as p10 to p90 say. */
  readonly predictionInsidePart: number | null;
}

/** Of one fleet. */
export interface RunSummary {
  readonly bytes: number;
  readonly makespanMs: number;
  readonly meanArrivalMs: number;
  readonly downtimeMs: number;
  readonly postCopied: number;
  readonly stayed: number;
  /** One for each VM of which it can be said. */
  readonly quiet: readonly boolean[];
  readonly off: readonly number[];
  readonly inside: readonly boolean[];
}

export function summarizeRun({ moves, stayed }: SimulatedRun, { vms, state }: SimulatedFleet): RunSummary {
  const byName = new Map(vms.map((simulated) => [simulated.vm.name, simulated]));
  const times = moves.flatMap(({ predictedMs, startedAtMs, endedAtMs }) =>
    predictedMs ? [{ predicted: predictedMs, ms: endedAtMs - startedAtMs }] : [],
  );
  const arrivals = moves.map(({ endedAtMs }) => endedAtMs - state.nowMs);
  return {
    bytes: moves.reduce((sum, { bytes }) => sum + bytes, 0),
    makespanMs: Math.max(0, ...arrivals),
    meanArrivalMs: arrivals.reduce((sum, ms) => sum + ms, 0) / Math.max(1, arrivals.length),
    downtimeMs: Math.max(0, ...moves.map(({ downtimeMs }) => downtimeMs)),
    postCopied: moves.filter(({ isPostCopied }) => isPostCopied).length,
    stayed: stayed.length,
    quiet: moves.flatMap(({ vm, startedAtMs }) => {
      const { isPeriodic, writingAt } = byName.get(vm)!;
      return isPeriodic ? [writingAt(startedAtMs) < 1] : [];
    }),
    off: times.map(({ predicted, ms }) => Math.abs(predicted.p50 - ms) / ms),
    inside: times.map(({ predicted, ms }) => ms >= predicted.p10 && ms <= predicted.p90),
  };
}

export function outcomeOf(strategy: StrategyName, runs: readonly RunSummary[]): StrategyOutcome {
  const middle = (value: (run: RunSummary) => number): number => median(runs.map(value));
  const off = runs.flatMap((run) => run.off);
  return {
    strategy,
    title: STRATEGY_TITLES[strategy],
    bytes: middle((run) => run.bytes),
    makespanMs: middle((run) => run.makespanMs),
    meanArrivalMs: middle((run) => run.meanArrivalMs),
    downtimeMs: middle((run) => run.downtimeMs),
    postCopied: middle((run) => run.postCopied),
    stayed: middle((run) => run.stayed),
    quietStartPart: partOf(runs.flatMap((run) => run.quiet)),
    predictionOffPart: off.length === 0 ? null : median(off),
    predictionInsidePart: partOf(runs.flatMap((run) => run.inside)),
  };
}

function partOf(flags: readonly boolean[]): number | null {
  return flags.length === 0 ? null : flags.filter(Boolean).length / flags.length;
}
