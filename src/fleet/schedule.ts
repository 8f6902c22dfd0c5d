/**
 * When each migration starts: list scheduling on hosts and links (B6, B8; an open shop).
 *
 * Owns: the projection of all jobs into the future by their predicted times. Whenever something ends or a phase begins,
 * the first job in order that nothing keeps back is started, until none is left to start. Pure. Must hold: memory and
 * bandwidth are never over-committed (projected-fleet.ts refuses); no port is idle while a job for it could start, but for
 * a quiet phase that is near; it ends.
 */
import type { FleetState, Route } from './fleet-state.ts';
import { adaptPrediction } from './group-prediction.ts';
import { compareJobs, type Job } from './job.ts';
import type { PlannedMove, Wait } from './plan.ts';
import type { ProjectedFleet } from './projected-fleet.ts';
import { findCourtesy, findWait, predictionAt, wantedRate } from './start-conditions.ts';
import { findDetour } from './swap-cycle.ts';

export interface Schedule {
  readonly moves: readonly PlannedMove[];
  /** What never starts, and what it waits for. */
  readonly stuck: readonly { readonly job: Job; readonly wait: Wait | null }[];
  readonly endsAtMs: number;
}

export function schedule(state: FleetState, fleet: ProjectedFleet, jobs: readonly Job[]): Schedule {
  const { nowMs } = fleet;
  const spares = state.hosts.filter(({ takesVms }) => takesVms).map(({ name }) => name);
  const waiting = new Set(jobs);
  const waitsNow = new Map<Job, Wait | null>();
  const begun = new Set<number>();
  const moves: PlannedMove[] = [];
  /** What has arrived at a third host and has to go on. */
  let goingOn: { readonly job: Job; readonly atMs: number }[] = [];
  let endsAtMs = Math.max(nowMs, ...fleet.underway.map((each) => each.endsAtMs));
  for (;;) {
    for (const { job } of goingOn.filter(({ atMs }) => atMs <= fleet.nowMs)) waiting.add(job);
    goingOn = goingOn.filter(({ atMs }) => atMs > fleet.nowMs);
    const waits = startAll();
    if (waiting.size === 0 && goingOn.length === 0) break;
    const nextMs = nextMoment(fleet, [...waits.values()]);
    if (nextMs !== null) {
      fleet.advance(nextMs);
      continue;
    }
    const detour = findDetour([...waiting], spares, fleet.freeBytes.bind(fleet));
    if (!detour) return { moves, endsAtMs, stuck: [...waits].map(([job, wait]) => ({ job, wait })) };
    const { job, via } = detour;
    waiting.delete(job);
    const there = { ...job, to: via, detourTo: job.to };
    const arrivesAtMs = start(there);
    if (arrivesAtMs === null)
      return { moves, endsAtMs, stuck: [...waits].map(([each, wait]) => ({ job: each, wait })) };
    // It is marked, so that it is not sent about again.
    goingOn.push({ job: { ...job, from: via, minds: false, detourTo: job.to }, atMs: arrivesAtMs });
  }
  return { moves, endsAtMs, stuck: [] };

  /** Starts what can start; returns what keeps the others back. */
  function startAll(): Map<Job, Wait | null> {
    const isFirst = fleet.nowMs === nowMs;
    const { objective } = state.policy;
    for (;;) {
      const moment = { fleet, waiting };
      const waits = new Map<Job, Wait | null>();
      for (const job of waiting) waits.set(job, findWait(job, moment));
      const ready = [...waiting].filter((job) => waits.get(job) === null);
      const awaited = new Set([...waits.values()].flatMap((wait) => (wait?.kind === 'memory' ? [wait.host] : [])));
      const facts = { objective, begun, awaited, loadMs: objective === 'makespan' ? measureLoads(waiting) : () => 0 };
      ready.sort((a, b) => compareJobs(a, b, facts));
      const next = ready.find((job) => {
        const courtesy = findCourtesy(job, moment);
        waits.set(job, courtesy);
        return courtesy === null && start(job) !== null;
      });
      if (isFirst) for (const [job, wait] of waits) waitsNow.set(job, wait);
      if (next === undefined) return waits;
      waiting.delete(next);
    }
  }

  /** Returns when it arrives; null: there is no bandwidth for it. */
  function start(job: Job): number | null {
    const { vm, from, to, group, detourTo } = job;
    const isNow = fleet.nowMs === nowMs;
    const limitBytesPerSecond = fleet.allocator.free(job);
    const bytesPerSecond = Math.min(limitBytesPerSecond, wantedRate(job, fleet));
    if (bytesPerSecond <= 0) return null;
    const prediction = adaptPrediction(predictionAt(job, fleet.nowMs), fleet.toBring(vm, to));
    const arrivesAtMs = fleet.nowMs + Math.max(1, prediction.totalMs.p50);
    fleet.start({ vm, from, to, bytesPerSecond, endsAtMs: arrivesAtMs });
    begun.add(group);
    endsAtMs = Math.max(endsAtMs, arrivesAtMs);
    moves.push({
      vm: vm.name,
      from,
      to,
      group,
      detourTo: to === detourTo ? null : detourTo,
      startsAtMs: fleet.nowMs,
      endsAtMs: arrivesAtMs,
      bytesPerSecond,
      limitBytesPerSecond,
      prediction,
      finishByMs: null,
      wait: isNow ? null : (waitsNow.get(job) ?? { kind: 'turn' }),
    });
    return arrivesAtMs;
  }
}

function nextMoment(fleet: ProjectedFleet, waits: readonly (Wait | null)[]): number | null {
  const ends = fleet.underway.map(({ endsAtMs }) => endsAtMs);
  const wakes = waits.flatMap((wait) => (wait && 'untilMs' in wait ? [wait.untilMs] : []));
  const next = Math.min(...ends, ...wakes.filter((atMs) => atMs > fleet.nowMs));
  return Number.isFinite(next) ? next : null;
}

/** The work that waits at each end of each way. */
function measureLoads(jobs: Iterable<Job>): (route: Route) => number {
  const loads = new Map<string, number>();
  for (const { from, to, prediction } of jobs) {
    for (const port of [`from ${from}`, `to ${to}`]) {
      loads.set(port, (loads.get(port) ?? 0) + prediction.totalMs.p50);
    }
  }
  return ({ from, to }) => Math.max(loads.get(`from ${from}`) ?? 0, loads.get(`to ${to}`) ?? 0);
}

/** When to ask for another plan, if nothing happens before; null: only what happens changes the plan. */
export function nextWake(moves: readonly PlannedMove[], nowMs: number): number | null {
  const wakes = moves.flatMap(({ wait }) => (wait && 'untilMs' in wait ? [wait.untilMs] : []));
  const next = Math.min(...wakes.filter((atMs) => atMs > nowMs));
  return Number.isFinite(next) ? next : null;
}
