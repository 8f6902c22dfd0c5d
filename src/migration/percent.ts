/**
 * How far a migration is, in percent, for people: a high-water mark weighted by phase.
 *
 * Must hold: never falls, and 100 only when nothing depends on the source any more.
 */
import type { SourcePhase } from './progress.ts';

export interface PercentFacts {
  readonly phase: SourcePhase;
  /** Pages that the destination does not have, or has outdated, now. */
  readonly remainingPages: number;
  /** Pages that hold data at all. */
  readonly totalPages: number;
}

/** A destination that is ready is one percent of the work; pages are the rest, whenever they come. */
const PREPARED = 1;
/** While rounds go on, how many more will be needed is not known. */
const COPYING_CEILING = 90;
const CEILING = 99;

/** @param previous - what this function returned last; 0 at first */
export function progressPercent(previous: number, { phase, remainingPages, totalPages }: PercentFacts): number {
  const part = totalPages > 0 ? 1 - Math.min(1, Math.max(0, remainingPages / totalPages)) : 1;
  return Math.max(previous, percentOf(phase, part));
}

function percentOf(phase: SourcePhase, part: number): number {
  switch (phase) {
    case 'copying':
      return PREPARED + (COPYING_CEILING - PREPARED) * part;
    case 'stopping':
    case 'committed':
    case 'serving':
      return PREPARED + (CEILING - PREPARED) * part;
    case 'released':
      return 100;
    default:
      return 0;
  }
}
