/**
 * The time below which no plan can be (algorithms.md, 9): every plan is compared with it.
 *
 * Owns: the bound. Pure. On each port and link: the time that it is busy if it carries nothing twice and is never idle,
 * where a migration at a part of its bandwidth counts for that part; and each single migration from when it may begin at
 * the earliest (the end of its rest after a failure; its quiet phase where that is waited for). It is a bound for these predictions: of another
 * order, in which other contents are held, it knows nothing.
 */
import type { BandwidthAllocator } from './bandwidth-allocator.ts';
import type { PlannedMove } from './plan.ts';
import type { Underway } from './projected-fleet.ts';

export function lowerBoundMs(
  allocator: BandwidthAllocator,
  moves: readonly PlannedMove[],
  running: readonly Underway[],
  nowMs: number,
  earliestMs: (vm: string) => number,
): number {
  const work = [
    ...moves.map(({ from, to, bytesPerSecond, startsAtMs, endsAtMs }) => ({
      from,
      to,
      bytesPerSecond,
      ms: endsAtMs - startsAtMs,
    })),
    ...running.map((each) => ({ ...each, ms: each.endsAtMs - nowMs })),
  ];
  const busy = new Map<string, number>();
  for (const { ms, bytesPerSecond, ...route } of work) {
    for (const port of allocator.bottlenecks(route)) {
      const part = port.bytesPerSecond > 0 ? Math.min(1, bytesPerSecond / port.bytesPerSecond) : 1;
      busy.set(port.name, (busy.get(port.name) ?? 0) + ms * part);
    }
  }
  const alone = moves.map((move) => earliestMs(move.vm) - nowMs + move.endsAtMs - move.startsAtMs);
  return Math.max(0, ...busy.values(), ...alone, ...running.map(({ endsAtMs }) => endsAtMs - nowMs));
}
