/**
 * What keeps a migration from starting at a moment of a plan.
 *
 * Owns: the conditions, in the order in which they are told: the one that lasts longest first. Pure.
 */
import type { Route } from './fleet-state.ts';
import type { VmPrediction } from './group-prediction.ts';
import { type Job, latestStartMs } from './job.ts';
import type { Period } from './period.ts';
import type { Wait } from './plan.ts';
import type { ProjectedFleet } from './projected-fleet.ts';
import { dirtyFactor, quietOpensMs, quietWaitMs } from './quiet-phase.ts';

export interface Moment {
  readonly fleet: ProjectedFleet;
  readonly waiting: Iterable<Job>;
}

/** A migration that gets less than this part of what it could have wastes bytes: it waits instead. */
const FULL_PART = 0.9;
/** What another VM is just bringing is waited for when it is more than this part of a VM's pages. */
const COMING_PART = 0.25;
/** A way is kept free for a quiet phase for no longer than this part of the migration that has to wait for it. */
const KEEPING_PART = 0.5;

/** What is quickly found; null: nothing. */
export function findWait(job: Job, moment: Moment): Wait | null {
  const { fleet } = moment;
  if (job.notBeforeMs > fleet.nowMs) return { kind: 'retry', untilMs: job.notBeforeMs, reason: job.failure };
  const quiet = findQuietWait(job, fleet);
  if (quiet) return quiet;
  const neededBytes = job.vm.ramBytes;
  const freeBytes = fleet.freeBytes(job.to);
  if (neededBytes > freeBytes) return { kind: 'memory', host: job.to, neededBytes, freeBytes };
  const free = fleet.allocator.free(job);
  if (free <= 0 || free < wantedRate(job, fleet) * FULL_PART) {
    const bottleneck = fleet.allocator.tightest(job);
    const behind = fleet.underway.filter((each) => meets(each, job)).map(({ vm }) => vm.name);
    return { kind: 'bandwidth', bottleneck, behind };
  }
  return null;
}

/** What is worth a look only at a job that could start else; null: nothing. */
export function findCourtesy(job: Job, moment: Moment): Wait | null {
  return findComing(job, moment.fleet) ?? findKept(job, moment);
}

/** What it can make use of, of what its way has. */
export function wantedRate(job: Job, fleet: ProjectedFleet): number {
  return Math.min(fleet.allocator.most(job), job.usableBytesPerSecond);
}

/** What it takes when it starts at a moment, whatever it waited for. */
export function predictionAt({ vm: { period }, minds, prediction, usual }: Job, nowMs: number): VmPrediction {
  const isInPhase = period !== null && quietWaitMs(period, nowMs, prediction.totalMs.p50) === 0;
  return minds && isInPhase ? prediction : usual;
}

/** When it may begin at the earliest, whatever the others do, seen from a moment. */
export function earliestStartMs(job: Job, nowMs: number): number {
  const atMs = Math.max(nowMs, job.notBeforeMs);
  const found = findQuietWaitAt(job, atMs);
  return atMs + (found ? quietOpensMs(found.period, atMs, found.lastingMs) : 0);
}

function findQuietWait(job: Job, fleet: ProjectedFleet): Wait | null {
  const found = findQuietWaitAt(job, fleet.nowMs);
  if (!found) return null;
  const { period, waitMs, lastingMs } = found;
  const untilMs = fleet.nowMs + waitMs;
  const factorNow = dirtyFactor(period, fleet.nowMs, lastingMs);
  return { kind: 'quiet', untilMs, factorNow, factorThen: dirtyFactor(period, untilMs, lastingMs) };
}

function findQuietWaitAt(
  job: Job,
  nowMs: number,
): { readonly period: Period; readonly waitMs: number; readonly lastingMs: number } | null {
  const { period } = job.vm;
  if (!job.minds || !period) return null;
  const lastingMs = job.prediction.totalMs.p50;
  const waitMs = quietWaitMs(period, nowMs, lastingMs);
  const latestMs = Math.min(job.latestQuietMs, latestStartMs(job));
  return waitMs > 0 && nowMs + waitMs <= latestMs ? { period, waitMs, lastingMs } : null;
}

/** A VM on its way to the same host that brings much of what this one has. */
function findComing(job: Job, fleet: ProjectedFleet): Wait | null {
  const coming = fleet.underway.filter(({ to }) => to === job.to);
  if (coming.length === 0) return null;
  const most = fleet.toBring(job.vm, job.to).newPages - job.vm.dataPages * COMING_PART;
  const one = coming.find((each) => fleet.toBringAfter(job.vm, each).newPages < most);
  return one ? { kind: 'contents', vm: one.vm.name } : null;
}

/** Its way is needed, before it would be over, by a VM whose quiet phase comes soon and is short. */
function findKept(job: Job, { fleet, waiting }: Moment): Wait | null {
  const lastsMs = job.prediction.totalMs.p50;
  for (const other of waiting) {
    if (other === job || !other.minds || !other.vm.period || !meets(other, job)) continue;
    const quiet = findQuietWait(other, fleet);
    if (quiet?.kind !== 'quiet') continue;
    const inMs = quiet.untilMs - fleet.nowMs;
    const isMissed = lastsMs > inMs + other.vm.period.quietMs * KEEPING_PART;
    if (isMissed && inMs < lastsMs * KEEPING_PART) {
      return { kind: 'keepsFree', vm: other.vm.name, untilMs: quiet.untilMs };
    }
  }
  return null;
}

function meets(a: Route, b: Route): boolean {
  return a.from === b.from || a.to === b.to;
}
