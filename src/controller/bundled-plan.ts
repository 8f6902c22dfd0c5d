/**
 * Bundles in a plan: planned VM by VM, begun as one.
 *
 * Owns: what follows for the others of a bundle from what the planner says of one. Pure. Must hold: where one of a bundle stays all of it
 * stays, with the reason; nothing that is never begun is left in a plan as if it were; a bundle is predicted, and promised, as it is begun.
 */
import { findLate, promise } from '../fleet/deadline.ts';
import { explainMove, explainRefusal, listNames } from '../fleet/explain.ts';
import type { FleetState, Move } from '../fleet/fleet-state.ts';
import type { FleetPlan, PlannedMove } from '../fleet/plan.ts';
import { isHeldBack, toUnits } from './bundle-slot.ts';
import type { Bundle } from './bundles.ts';

export interface BundledPlan extends FleetPlan {
  /** Those of which several VMs are to go. */
  readonly bundles: readonly Bundle[];
}

/** What is begun at one moment. */
export interface DueStart {
  readonly moves: readonly PlannedMove[];
  /** null: each by itself. */
  readonly region: string | null;
}

/** A VM of which only some of its bundle is asked for stays: it would wait for the others for ever. */
export function keepWhole(
  moves: readonly Move[],
  bundles: readonly Bundle[],
  isAsked: (vm: string) => boolean,
): readonly Move[] {
  return moves.map((move) => {
    const bundle = bundles.find(({ vms }) => vms.includes(move.vm));
    const absent = bundle?.vms.find((vm) => !isAsked(vm));
    if (!bundle || absent === undefined || move.state.kind === 'running' || move.state.kind === 'parked') return move;
    const how = bundle.region === null ? 'moves together with' : 'shares memory with';
    return { ...move, state: { kind: 'parked', reason: `it ${how} ${absent}, which is not asked for: name both` } };
  });
}

/** Plans until no bundle has both VMs that go and VMs that stay; each time one more bundle stays. */
export function planBundled(
  state: FleetState,
  bundles: readonly Bundle[],
  plan: (state: FleetState) => FleetPlan,
): BundledPlan {
  let moves = state.moves;
  for (;;) {
    const planned = plan({ ...state, moves });
    const stay = new Map(planned.refused.map((refusal) => [refusal.vm, refusal]));
    const torn = bundles.find(
      ({ vms }) => vms.some((vm) => stay.has(vm)) && planned.moves.some((move) => vms.includes(move.vm)),
    );
    if (!torn) {
      const isGoing = ({ vms }: Bundle): boolean => planned.moves.filter(({ vm }) => vms.includes(vm)).length > 1;
      const going = bundles.filter(isGoing);
      return { ...(going.length === 0 ? planned : planAsBegun(planned, going, state)), bundles: going };
    }
    const { vm, why } = stay.get(torn.vms.find((name) => stay.has(name))!)!;
    const reason = `it moves together with ${vm}, and ${explainRefusal(vm, why)}`;
    const park = (move: Move): Move =>
      torn.vms.includes(move.vm) && !stay.has(move.vm) ? { ...move, state: { kind: 'parked', reason } } : move;
    moves = moves.map(park);
  }
}

/** What goes as one, in a sentence. */
export function explainBundle({ vms, region }: Bundle): string {
  if (region === null) return `${listNames(vms)} go together: they begin at one moment and go to one host`;
  return `${listNames(vms)} share memory (${region}) and go as one group: all arrive, or all stay`;
}

/** As `explainMove`; of VMs that go as one the first in the plan says when, the others only with whom. */
export function explainBundledMove(move: PlannedMove, { bundles, moves, madeAtMs }: BundledPlan): string {
  const alone = explainMove(move, madeAtMs);
  const bundle = bundles.find(({ vms }) => vms.includes(move.vm));
  const lead = moves.find(({ vm }) => bundle?.vms.includes(vm));
  if (!bundle || !lead) return alone;
  const why = bundle.region === null ? '' : `, with which it shares memory (${bundle.region})`;
  if (lead !== move) return `${move.vm} goes to ${move.to} together with ${lead.vm}${why}`;
  return `${alone}, together with ${listNames(bundle.vms.filter((vm) => vm !== move.vm))}${why}`;
}

/** A bundle is due when its first VM is, unless one of it waits for room or after a failure. */
export function dueNow({ moves }: FleetPlan, bundles: readonly Bundle[]): DueStart[] {
  const begun = new Set<string>();
  return moves.flatMap((move): DueStart[] => {
    if (move.wait !== null || begun.has(move.vm)) return [];
    const bundle = bundles.find(({ vms }) => vms.includes(move.vm));
    if (!bundle) return [{ moves: [move], region: null }];
    const members = bundle.vms.flatMap((vm) => moves.find((each) => each.vm === vm && each.from === move.from) ?? []);
    // One that is on its way by itself is waited for.
    if (members.some(isHeldBack) || members.length < bundle.vms.length) return [];
    for (const { vm } of members) begun.add(vm);
    return [{ moves: members.map((each) => atOnce(each, move)), region: bundle.region }];
  });
}

/** What the planner has put one after the other is begun as one: with other rates and times, and one promise. */
function planAsBegun(planned: FleetPlan, bundles: readonly Bundle[], state: FleetState): FleetPlan {
  const deadlines = new Map(state.moves.map(({ vm, deadlineAtMs }) => [vm, deadlineAtMs]));
  const deadlineOf = (vm: string): number | null => deadlines.get(vm) ?? null;
  const vms = new Map(state.vms.map((vm) => [vm.name, vm]));
  const moves = promise(toUnits(planned.moves, bundles, state), vms, deadlineOf);
  moves.sort((a, b) => a.startsAtMs - b.startsAtMs);
  const makespanMs = Math.max(planned.makespanMs, ...moves.map(({ endsAtMs }) => endsAtMs - planned.madeAtMs));
  return { ...planned, moves, late: findLate(moves, deadlineOf), makespanMs };
}

/** Whatever the plan has it wait for: it begins with the first. */
function atOnce(move: PlannedMove, { startsAtMs }: PlannedMove): PlannedMove {
  return { ...move, startsAtMs, wait: null };
}
