/**
 * One migration that is to be put into a plan, and which of two goes first (B6).
 *
 * Owns: the order. Pure. Must hold: who makes room that others wait for goes first; a VM that can start and minds its phase is in it, and goes before those that can
 * go at any time (but for deadlines); a group that has begun is finished first where the order is by time, since what
 * its first VM brought is of use to the others as long as it is unchanged.
 */
import type { FleetVm, Objective, Route } from './fleet-state.ts';
import type { VmPrediction } from './group-prediction.ts';

export interface Job extends Route {
  readonly vm: FleetVm;
  readonly group: number;
  /** In the group. */
  readonly place: number;
  /** Predicted time of its group for each of its VMs. */
  readonly groupMs: number;
  /** From its quiet phase on, where it minds that. */
  readonly prediction: VmPrediction;
  /** From any moment on. */
  readonly usual: VmPrediction;
  /** More than this it cannot make use of. */
  readonly usableBytesPerSecond: number;
  readonly detourTo: string | null;
  /** Whether starting in its quiet phase is worth waiting for. */
  readonly minds: boolean;
  /** Unix milliseconds: it does not wait beyond. */
  readonly latestQuietMs: number;
  readonly notBeforeMs: number;
  readonly failure: string;
  readonly deadlineAtMs: number | null;
}

export interface OrderFacts {
  readonly objective: Objective;
  readonly begun: ReadonlySet<number>;
  /** Hosts for whose memory somebody waits. */
  readonly awaited: ReadonlySet<string>;
  /** Milliseconds of work that wait at the most loaded end of a way. */
  loadMs(route: Route): number;
}

/** Negative: `a` goes first. */
export function compareJobs(a: Job, b: Job, { objective, begun, awaited, loadMs }: OrderFacts): number {
  const byRoom = Number(awaited.has(b.from)) - Number(awaited.has(a.from));
  if (byRoom !== 0) return byRoom;
  const byTime = a.groupMs - b.groupMs || a.group - b.group || a.place - b.place;
  const byPhase = Number(b.minds) - Number(a.minds);
  switch (objective) {
    case 'deadline':
      return latestStartMs(a) - latestStartMs(b) || byTime;
    case 'makespan':
      return byPhase || loadMs(b) - loadMs(a) || b.groupMs - a.groupMs || a.group - b.group || a.place - b.place;
    case 'shortest':
      return byPhase || Number(begun.has(b.group)) - Number(begun.has(a.group)) || byTime;
  }
}

/** Nine of ten times it is over by its deadline if it starts by then. */
export function latestStartMs({ deadlineAtMs, prediction }: Job): number {
  // A number, so that two without deadlines can be compared.
  return (deadlineAtMs ?? Number.MAX_SAFE_INTEGER) - prediction.totalMs.p90;
}
