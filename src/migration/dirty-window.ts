/**
 * One look at how a VM writes, while no migration has it (B1).
 *
 * Owns: when a window looks and when it ends. Must hold: the VM is tracked no longer than the window; who asks for its end
 * has it at once. What is watched is bounded, and with it the cost (sampled-pieces.ts).
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../base/clock.ts';
import { countPages, type PageRun } from '../base/page.ts';
import type { DirtyTracker } from '../memory/dirty-tracker.ts';
import type { HistorySample } from './history.ts';

/** Pages that were written in so long: each counts once. */
export interface WrittenAfter {
  /** Since the window began. */
  readonly ms: number;
  readonly pages: number;
}

/** Of a window, milliseconds: a factor of 3 apart, so that a curve is found (dirty-curve.ts). */
export const LOOKS_MS: readonly number[] = [100, 300, 1000, 3000];
/** The rate of a sample is that of its first second. */
const RATE_MS = 1000;

export interface DirtyWindowPort {
  readonly tracker: Pick<DirtyTracker, 'start' | 'peek' | 'stop'>;
  readonly pageCount: number;
  /** Of the VM's pages to those that are watched. */
  readonly scale: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Tracks the VM for one window, and ends the tracking. Returns what was found; nothing when it was ended before its first look. */
export async function lookAtWriting({
  tracker,
  pageCount,
  scale,
  clock,
  signal,
}: DirtyWindowPort): Promise<WrittenAfter[]> {
  const all: PageRun = { first: 0, count: pageCount };
  const found: WrittenAfter[] = [];
  try {
    tracker.start();
    const begunMs = clock.nowMs();
    for (const lookMs of LOOKS_MS) {
      await delay(Math.max(0, begunMs + lookMs - clock.nowMs()), undefined, { signal });
      const pages = tracker.peek(all).reduce((sum, run) => sum + countPages([run]), 0);
      found.push({ ms: clock.nowMs() - begunMs, pages: pages * scale });
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    tracker.stop();
  }
  return found;
}

/**
 * null where nothing was found out. Its moment is the middle of what its rate is of: rhythms of seconds are found by it.
 *
 * @param endedAtMs - when the window ended
 */
export function sampleOf(points: readonly WrittenAfter[], endedAtMs: number): HistorySample | null {
  const rated = points.findLast(({ ms }) => ms < RATE_MS * 2) ?? points.at(0);
  if (!rated) return null;
  const atMs = Math.round(endedAtMs - points.at(-1)!.ms + rated.ms / 2);
  return { atMs, pagesPerSecond: (rated.pages * 1000) / rated.ms, ms: rated.ms, points };
}
