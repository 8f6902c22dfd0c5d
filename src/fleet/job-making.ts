/**
 * From groups to jobs: each VM's prediction at its place in its group, and what cannot succeed taken out (B5, B7).
 *
 * Owns: the test whether a group can succeed. Pure. Must hold: no VM is in a job that is predicted to fail; where a group
 * would be too late as a whole, the VM with the least in common with the others goes alone, until the rest is in time.
 */
import type { FleetContents } from './fleet-contents.ts';
import { pagesToBring } from './fleet-contents.ts';
import type { FleetPolicy, FleetState, FleetVm, Move, Route } from './fleet-state.ts';
import type { FormedGroup, WantedMove } from './group-moves.ts';
import { type Prediction, predictGroup, predictGroupTime, predictVm, type VmPrediction } from './group-prediction.ts';
import type { HeldContents, PagesToBring } from './held-contents.ts';
import type { Job } from './job.ts';
import type { Refusal } from './plan.ts';
import type { ProjectedFleet } from './projected-fleet.ts';
import { dirtyFactor, quietWaitMs } from './quiet-phase.ts';
import { notBeforeMs } from './retries.ts';

export interface MadeJobs {
  readonly jobs: readonly Job[];
  readonly groups: readonly {
    readonly route: Route;
    readonly members: readonly Member[];
    readonly prediction: Prediction;
  }[];
  readonly refused: readonly { readonly vm: string; readonly why: Refusal }[];
}

interface Member {
  readonly vm: FleetVm;
  /** From its quiet phase on, where it minds that. */
  readonly prediction: VmPrediction;
  readonly usual: VmPrediction;
  readonly minds: boolean;
}

/** A quiet phase that saves less than this part of bytes or downtime is not waited for. */
const WORTHWHILE_SAVING = 0.03;

export function makeJobs(
  state: FleetState,
  contents: FleetContents,
  fleet: ProjectedFleet,
  formed: readonly FormedGroup[],
  wanted: ReadonlyMap<string, WantedMove>,
): MadeJobs {
  const refused: { vm: string; why: Refusal }[] = [];
  const groups: MadeJobs['groups'][number][] = [];
  const deadlineOf = (vm: FleetVm): number | null => wanted.get(vm.name)?.move.deadlineAtMs ?? null;
  const open = [...formed];
  for (let group = open.shift(); group !== undefined; group = open.shift()) {
    const members = predictMembers(group, state, contents, { fleet, wanted });
    const hopeless = members.filter(({ prediction }) => prediction.ending === 'giveUp');
    if (hopeless.length > 0) {
      for (const { vm } of hopeless) refused.push({ vm: vm.name, why: { kind: 'cannotConverge' } });
      const rest = group.vms.filter((vm) => !hopeless.some((each) => each.vm === vm));
      if (rest.length > 0) open.unshift({ ...group, vms: rest });
      continue;
    }
    const late = findLate(members, state.nowMs, deadlineOf);
    if (late && members.length > 1) {
      const odd = leastCommon(group.vms, contents);
      open.unshift({ ...group, vms: group.vms.filter((vm) => vm !== odd) });
      open.push({ ...group, vms: [odd] });
      continue;
    }
    if (late && !members[0]!.vm.canPostCopy) {
      refused.push({ vm: members[0]!.vm.name, why: late });
      continue;
    }
    const prediction = predictGroup(members.map((member) => member.prediction));
    groups.push({ route: { from: group.from, to: group.to }, members, prediction });
  }
  const jobs = groups.flatMap(({ route, members, prediction }, group) =>
    members.map(({ vm, prediction: own, usual, minds }, place) => {
      const move = wanted.get(vm.name)!.move.state;
      const failed = move.kind === 'failed' ? move : null;
      const { link, isLinkKnown } = state.expect(vm, route.to);
      const limit = vm.options.bandwidthBytesPerSecond;
      return {
        ...route,
        vm,
        group,
        place,
        groupMs: prediction.totalMs.p50 / members.length,
        prediction: own,
        usual,
        // A link that is only assumed may be faster.
        usableBytesPerSecond: Math.min(isLinkKnown ? link.bytesPerSecond : Infinity, limit > 0 ? limit : Infinity),
        detourTo: null,
        minds,
        latestQuietMs: latestQuietMs(wanted.get(vm.name)!.move, state.policy),
        notBeforeMs: failed ? notBeforeMs(failed) : state.nowMs,
        failure: failed?.reason ?? '',
        deadlineAtMs: deadlineOf(vm),
      };
    }),
  );
  return { jobs, groups, refused };
}

/** Each with what those before it bring. */
function predictMembers(
  { vms, from, to }: FormedGroup,
  state: FleetState,
  contents: FleetContents,
  { fleet, wanted }: { readonly fleet: ProjectedFleet; readonly wanted: ReadonlyMap<string, WantedMove> },
): Member[] {
  const held: HeldContents = vms.length > 1 ? fleet.heldAt(to).clone() : fleet.heldAt(to);
  const bytesPerSecond = Math.max(1, fleet.allocator.most({ from, to }));
  return vms.map((vm) => {
    const number = contents.numbers.get(vm.name);
    const pages = pagesToBring(vm.dataPages, number, held);
    if (number !== undefined && vms.length > 1) held.add(number);
    return predictMember(wanted.get(vm.name)!, pages, { state, to, bytesPerSecond });
  });
}

function predictMember(
  { vm, move }: WantedMove,
  pages: PagesToBring,
  { state, to, bytesPerSecond }: { readonly state: FleetState; readonly to: string; readonly bytesPerSecond: number },
): Member {
  const expectation = state.expect(vm, to);
  const at = (factor: number): VmPrediction =>
    predictVm(vm, pages, { expectation, bytesPerSecond, dirtyFactor: factor });
  const usual = at(1);
  const { period } = vm;
  if (!period || state.policy.maxQuietWaitMs <= 0) return { vm, prediction: usual, usual, minds: false };
  const lastingMs = usual.totalMs.p50;
  const quietAtMs = state.nowMs + quietWaitMs(period, state.nowMs, lastingMs);
  if (quietAtMs > latestQuietMs(move, state.policy)) return { vm, prediction: usual, usual, minds: false };
  const quiet = at(dirtyFactor(period, quietAtMs, lastingMs));
  const saves = (value: (prediction: VmPrediction) => number): boolean =>
    value(quiet) < value(usual) * (1 - WORTHWHILE_SAVING);
  const minds =
    quiet.ending !== usual.ending || saves(({ bytes }) => bytes.p50) || saves(({ downtimeMs }) => downtimeMs.p50);
  return { vm, prediction: minds ? quiet : usual, usual, minds };
}

/** However often it is planned anew meanwhile. */
function latestQuietMs({ wantedSinceMs }: Move, { maxQuietWaitMs }: FleetPolicy): number {
  return wantedSinceMs + maxQuietWaitMs;
}

/** The first that would be later than its deadline, one after the other from now. */
function findLate(
  members: readonly Member[],
  nowMs: number,
  deadlineOf: (vm: FleetVm) => number | null,
): Refusal | null {
  const predictions: VmPrediction[] = [];
  for (const { vm, prediction } of members) {
    predictions.push(prediction);
    const deadlineAtMs = deadlineOf(vm);
    const p90Ms = predictGroupTime(predictions).p90;
    if (deadlineAtMs !== null && nowMs + p90Ms > deadlineAtMs) return { kind: 'tooLate', deadlineAtMs, p90Ms };
  }
  return null;
}

/** The VM with the least in common with the others, as a part of what it has. */
function leastCommon(vms: readonly FleetVm[], { commonality, numbers }: FleetContents): FleetVm {
  const parts = vms.map((vm) => {
    const number = numbers.get(vm.name);
    if (number === undefined) return 0;
    const others = vms.flatMap(({ name }) => (name === vm.name ? [] : (numbers.get(name) ?? [])));
    const sum = others.reduce((total, other) => total + commonality.common(number, other), 0);
    return sum / Math.max(1, commonality.common(number, number));
  });
  return vms[parts.indexOf(Math.min(...parts))]!;
}
