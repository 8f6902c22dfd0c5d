/**
 * The place of a bundle in a plan: what its VMs, which the planner puts one after the other, take when they are begun as one.
 *
 * Owns: their rates, times and predictions. Pure. Must hold: those that begin at one moment have between them what the way has, and each is
 * predicted with its share of it; those that share memory go one after the other (docs/sharing.md, `one-by-one`), each by the lowest limit
 * that any of them has (move-request.ts).
 */
import type { PromisedUnit } from '../fleet/deadline.ts';
import type { FleetState, FleetVm } from '../fleet/fleet-state.ts';
import { predictVm, type VmPrediction } from '../fleet/group-prediction.ts';
import type { PlannedMove } from '../fleet/plan.ts';
import { type Bundle, shareWay } from './bundles.ts';

/** A plan's moves by what is begun as one, in the order in which that begins. */
export function toUnits(
  moves: readonly PlannedMove[],
  bundles: readonly Bundle[],
  state: FleetState,
): readonly PromisedUnit[] {
  const units = moves.flatMap((move): PromisedUnit[] => {
    const bundle = bundles.find(({ vms }) => vms.includes(move.vm));
    const members = bundle ? moves.filter(({ vm }) => bundle.vms.includes(vm)) : [];
    // One that goes by way of a third host is there twice; one that is on its way is not there.
    const isOnce = (vm: string): boolean => members.filter((member) => member.vm === vm).length === 1;
    if (!bundle?.vms.every(isOnce)) return [{ moves: [move], isInTurn: false }];
    if (move !== members[0]) return [];
    const isInTurn = bundle.region !== null;
    return [{ moves: isInTurn ? inTurn(members, state) : atOneMoment(members, state), isInTurn }];
  });
  return units.sort((a, b) => a.moves[0]!.startsAtMs - b.moves[0]!.startsAtMs);
}

/** It keeps back all that are to begin with it, whatever they wait for themselves. */
export function isHeldBack({ wait }: PlannedMove): boolean {
  return wait?.kind === 'retry' || wait?.kind === 'memory';
}

/** When the first of them begins, unless another one is held back. */
function atOneMoment(members: readonly PlannedMove[], state: FleetState): PlannedMove[] {
  const shares = shareWay(members);
  const held = members.filter(isHeldBack);
  const startsAtMs = Math.max(members[0]!.startsAtMs, ...held.map((move) => move.startsAtMs));
  const { wait } = held[0] ?? members[0]!;
  return members.map((move) => {
    const limitBytesPerSecond = shares.get(move.vm)!;
    const prediction = predictAt(limitBytesPerSecond, move, state);
    const endsAtMs = startsAtMs + Math.max(1, prediction.totalMs.p50);
    const rates = { bytesPerSecond: limitBytesPerSecond, limitBytesPerSecond };
    return { ...move, ...rates, startsAtMs, endsAtMs, prediction, wait };
  });
}

function inTurn(members: readonly PlannedMove[], state: FleetState): PlannedMove[] {
  const limits = members.map((move) => vmOf(move, state)?.options.bandwidthBytesPerSecond ?? 0);
  const lowest = Math.min(...limits.map((limit) => (limit > 0 ? limit : Number.POSITIVE_INFINITY)));
  let startsAtMs = members[0]!.startsAtMs;
  return members.map((move) => {
    const bytesPerSecond = Math.min(move.bytesPerSecond, lowest);
    const isSlower = bytesPerSecond < move.bytesPerSecond;
    const prediction = isSlower ? predictAt(bytesPerSecond, move, state) : move.prediction;
    const slot = { startsAtMs, endsAtMs: startsAtMs + Math.max(1, prediction.totalMs.p50) };
    startsAtMs = slot.endsAtMs;
    return { ...move, ...slot, bytesPerSecond, prediction };
  });
}

function predictAt(bytesPerSecond: number, move: PlannedMove, state: FleetState): VmPrediction {
  const { pages, dirtyFactor } = move.prediction;
  const vm = vmOf(move, state);
  if (!vm) return move.prediction;
  return predictVm(vm, pages, { expectation: state.expect(vm, move.to), bytesPerSecond, dirtyFactor });
}

function vmOf({ vm, from }: PlannedMove, { vms }: FleetState): FleetVm | undefined {
  return vms.find(({ name, host }) => name === vm && host === from);
}
