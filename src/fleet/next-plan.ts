/**
 * The planner: from the fleet as it is now, what to start, what waits and why (B4–B8).
 *
 * Owns: the step. A controller calls it when it begins and after everything that happens (a migration has ended or
 * failed, a host has come or gone, `askAgainAtMs`): the rest is grouped and predicted anew each time (B6). Pure: the same
 * state gives the same plan. Must hold: every wanted move is in `moves`, in `refused`, or running.
 */
import { findLate, promise } from './deadline.ts';
import type { FleetContents } from './fleet-contents.ts';
import type { FleetHost, FleetState, FleetVm, Move } from './fleet-state.ts';
import { type FormedGroups, formGroups, type WantedMove } from './group-moves.ts';
import type { Job } from './job.ts';
import { makeJobs } from './job-making.ts';
import { lowerBoundMs } from './lower-bound.ts';
import type { FleetPlan, PlannedGroup, Refusal, Wait } from './plan.ts';
import { ProjectedFleet } from './projected-fleet.ts';
import { isSpent, refuseFailed } from './retries.ts';
import { nextWake, schedule } from './schedule.ts';
import { earliestStartMs } from './start-conditions.ts';

export function nextPlan(state: FleetState, contents: FleetContents): FleetPlan {
  const fleet = new ProjectedFleet(state, contents);
  const running = [...fleet.underway];
  const refused: { vm: string; why: Refusal }[] = [];
  const wanted = new Map<string, WantedMove>();
  const vms = new Map(state.vms.map((vm) => [vm.name, vm]));
  for (const move of state.moves) {
    const vm = vms.get(move.vm);
    const why = refusalOf(move, vm, state);
    if (why) refused.push({ vm: move.vm, why });
    else if (vm && move.state.kind !== 'running' && vm.host !== move.to) wanted.set(move.vm, { vm, move });
  }
  let formed = formGroups(state, contents, fleet, [...wanted.values()]);
  // What is left to people frees no room, and others of its group go without it.
  for (let left = givenUp(formed); left.length > 0; left = givenUp(formed)) {
    refused.push(...left);
    for (const { vm } of left) wanted.delete(vm);
    formed = formGroups(state, contents, fleet, [...wanted.values()]);
  }
  const made = makeJobs(state, contents, fleet, formed.groups, wanted);
  const boundWith = (startMs: (job: Job) => number): number => {
    const earliest = new Map(made.jobs.map((job) => [job.vm.name, startMs(job)]));
    const { allocator } = fleet;
    return lowerBoundMs(allocator, moves, running, state.nowMs, (vm) => earliest.get(vm) ?? state.nowMs);
  };
  const scheduled = schedule(state, fleet, made.jobs);
  const deadlineOf = (vm: string): number | null => wanted.get(vm)?.move.deadlineAtMs ?? null;
  const units = scheduled.moves.map((move) => ({ moves: [move], isInTurn: false }));
  const moves = promise(units, vms, deadlineOf);
  refused.push(...formed.refused, ...made.refused, ...scheduled.stuck.map(toRefusal));
  return {
    madeAtMs: state.nowMs,
    moves,
    groups: made.groups.map(({ route, members, prediction }): PlannedGroup => {
      const pages = members.map((member) => member.prediction.pages);
      const heldPages = pages.reduce((sum, each) => sum + each.heldPages, 0);
      const newPages = pages.reduce((sum, each) => sum + each.newPages, 0);
      return { ...route, vms: members.map(({ vm }) => vm.name), prediction, heldPages, pages: heldPages + newPages };
    }),
    refused,
    late: findLate(moves, deadlineOf),
    makespanMs: scheduled.endsAtMs - state.nowMs,
    lowerBoundMs: boundWith((job) => Math.max(state.nowMs, job.notBeforeMs)),
    quietBoundMs: boundWith((job) => earliestStartMs(job, state.nowMs)),
    askAgainAtMs: nextWake(moves, state.nowMs),
  };
}

function refusalOf({ to, state }: Move, vm: FleetVm | undefined, { hosts }: FleetState): Refusal | null {
  if (state.kind === 'parked') return { kind: 'parked', reason: state.reason };
  if (state.kind !== 'failed' || !isSpent(state)) return null;
  const isUntried = ({ name, takesVms }: FleetHost): boolean =>
    takesVms && name !== vm?.host && !state.failedAt.includes(name);
  return to === null && hosts.some(isUntried) ? null : refuseFailed(state);
}

function givenUp({ refused }: FormedGroups): FormedGroups['refused'] {
  return refused.filter(({ why }) => why.kind === 'failed');
}

function toRefusal({ job, wait }: { job: Job; wait: Wait | null }): { vm: string; why: Refusal } {
  return { vm: job.vm.name, why: { kind: 'stuck', wait } };
}
