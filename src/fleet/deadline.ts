/**
 * By when each migration has to be over for a deadline to hold for all (G7).
 *
 * Owns: the promise. Post-copy from the start is over within a bound that does not depend on how the VM writes, so
 * whoever goes before must leave that much time to each that follows on the same port; the engine is told the rest as
 * `--finish-by` and switches to post-copy at the last moment. Pure. Must hold: nothing is promised that the bounds do not
 * allow; VMs that cannot be moved by post-copy are promised nothing, nor are those that are begun as one with such a VM.
 */
import type { FleetVm } from './fleet-state.ts';
import type { FleetPlan, PlannedMove } from './plan.ts';

/** What is begun as one, most often a single VM. */
export interface PromisedUnit {
  readonly moves: readonly PlannedMove[];
  /** One after the other, each from when the one before has gone; else all at once. */
  readonly isInTurn: boolean;
}

/**
 * The moves with `finishByMs`, which is the same for all of a unit.
 *
 * @param units - in the order in which they begin
 * @param deadlineOf - Unix milliseconds; null: none
 */
export function promise(
  units: readonly PromisedUnit[],
  vms: ReadonlyMap<string, FleetVm>,
  deadlineOf: (vm: string) => number | null,
): PlannedMove[] {
  /** By port: when what follows has to begin. */
  const latest = new Map<string, number>();
  const promised = [...units].reverse().map(({ moves, isInTurn }) => {
    const ports = new Set(moves.flatMap(({ from, to }) => [`from ${from}`, `to ${to}`]));
    const limits = [...[...ports].map((port) => latest.get(port)), ...moves.map(({ vm }) => deadlineOf(vm))];
    const endsBy = Math.min(...limits.map((limit) => limit ?? Number.POSITIVE_INFINITY));
    if (!Number.isFinite(endsBy)) return moves.map((move) => ({ ...move, finishByMs: null }));
    const turns = isInTurn ? moves.length : 1;
    const boundMs = Math.max(...moves.map(({ prediction }) => prediction.boundMs));
    for (const port of ports) latest.set(port, Math.min(latest.get(port) ?? endsBy, endsBy - boundMs * turns));
    const eachMs = (endsBy - Math.min(...moves.map(({ startsAtMs }) => startsAtMs))) / turns;
    const isKept = eachMs >= boundMs && moves.every(({ vm }) => vms.get(vm)?.canPostCopy === true);
    return moves.map((move) => ({ ...move, finishByMs: isKept ? eachMs : null }));
  });
  return promised.reverse().flat();
}

/** Those whose deadline is not kept: nothing is promised, and by p50 they are there later. */
export function findLate(moves: readonly PlannedMove[], deadlineOf: (vm: string) => number | null): FleetPlan['late'] {
  return moves
    .flatMap(({ vm, endsAtMs, finishByMs, detourTo }) => {
      const deadlineAtMs = deadlineOf(vm);
      const isLate = deadlineAtMs !== null && endsAtMs > deadlineAtMs && finishByMs === null && detourTo === null;
      return isLate ? [{ vm, byMs: endsAtMs - deadlineAtMs }] : [];
    })
    .sort((a, b) => b.byMs - a.byMs);
}
