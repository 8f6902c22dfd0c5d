/**
 * By when each migration has to be over for a deadline to hold for all (G7).
 *
 * Owns: the promise. Post-copy from the start is over within a bound that does not depend on how the VM writes, so
 * whoever goes before must leave that much time to each that follows on the same port; the engine is told the rest as
 * `--finish-by` and switches to post-copy at the last moment. Pure. Must hold: nothing is promised that the bounds do not
 * allow; VMs that cannot be moved by post-copy are promised nothing.
 */
import type { FleetVm } from './fleet-state.ts';
import type { FleetPlan, PlannedMove } from './plan.ts';

/**
 * The moves with `finishByMs`.
 *
 * @param deadlineOf - Unix milliseconds; null: none
 */
export function promise(
  moves: readonly PlannedMove[],
  vms: ReadonlyMap<string, FleetVm>,
  deadlineOf: (vm: string) => number | null,
): PlannedMove[] {
  /** By port: when what follows has to begin. */
  const latest = new Map<string, number>();
  const promised = [...moves].reverse().map((move) => {
    const ports = [`from ${move.from}`, `to ${move.to}`];
    const own = deadlineOf(move.vm) ?? Number.POSITIVE_INFINITY;
    const endsBy = Math.min(own, ...ports.map((port) => latest.get(port) ?? Number.POSITIVE_INFINITY));
    if (!Number.isFinite(endsBy)) return move;
    const { boundMs } = move.prediction;
    for (const port of ports) latest.set(port, Math.min(latest.get(port) ?? endsBy, endsBy - boundMs));
    const leftMs = endsBy - move.startsAtMs;
    return vms.get(move.vm)?.canPostCopy === true && leftMs >= boundMs ? { ...move, finishByMs: leftMs } : move;
  });
  return promised.reverse();
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
