/**
 * From the moves that are wanted to groups with destinations, each in its order (B4).
 *
 * Owns: the steps between grouping and prediction. Pure. Must hold: a group has one source and one destination; VMs that
 * share memory physically are in one group.
 */
import type { FleetContents } from './fleet-contents.ts';
import type { FleetPolicy, FleetState, FleetVm, Move, Route } from './fleet-state.ts';
import { type Grouping, groupNone, groupVms } from './grouping.ts';
import { groupPairs } from './pair-grouping.ts';
import { type Placement, Placer, type Unit } from './placement.ts';
import type { ProjectedFleet } from './projected-fleet.ts';
import { groupAroundRepresentatives } from './representative-grouping.ts';

export interface WantedMove {
  readonly vm: FleetVm;
  readonly move: Move;
}

export interface FormedGroup extends Route {
  /** In the order in which they go. */
  readonly vms: readonly FleetVm[];
}

export interface FormedGroups {
  readonly groups: readonly FormedGroup[];
  readonly refused: Placement['refused'];
}

const GROUPINGS: Readonly<Record<FleetPolicy['grouping'], Grouping>> = {
  none: groupNone,
  pairs: groupPairs,
  representatives: groupAroundRepresentatives,
};

export function formGroups(
  state: FleetState,
  contents: FleetContents,
  fleet: ProjectedFleet,
  wanted: readonly WantedMove[],
): FormedGroups {
  const units = findGroups(state, contents, wanted).flatMap((group, number) => toUnits(group, number, contents));
  const { placed, refused } = new Placer(state, fleet, contents).place(units);
  const byRoute = new Map<string, { route: Route; vms: FleetVm[] }>();
  for (const { vm, group, to } of placed) {
    const key = `${group} ${to}`;
    const known = byRoute.get(key) ?? { route: { from: vm.host, to }, vms: [] };
    byRoute.set(key, known);
    known.vms.push(vm);
  }
  const groups = [...byRoute.values()].map(({ route, vms }) => ({
    ...route,
    vms: inOrder(vms, route, contents, fleet),
  }));
  return { groups, refused };
}

/** Groups of VMs that leave one host, to one destination or to wherever is best; those with most memory first. */
function findGroups(
  state: FleetState,
  contents: FleetContents,
  wanted: readonly WantedMove[],
): { readonly vms: FleetVm[]; readonly to: string | null }[] {
  const { commonality, numbers } = contents;
  const routes = Map.groupBy(wanted, ({ vm, move }) => `${vm.host}\n${move.to ?? ''}`);
  const groups = [...routes.values()].flatMap((moves) => {
    const to = moves[0]!.move.to;
    const known = moves.flatMap(({ vm }) => numbers.get(vm.name) ?? []);
    const byNumber = new Map(moves.map(({ vm }) => [numbers.get(vm.name), vm]));
    const formed = groupVms(GROUPINGS[state.policy.grouping], { vms: known, commonality });
    const unknown = moves.flatMap(({ vm }) => (numbers.has(vm.name) ? [] : [{ vms: [vm], to }]));
    return [...formed.map((group) => ({ vms: group.map((number) => byNumber.get(number)!), to })), ...unknown];
  });
  return groups.sort((a, b) => bytesOf(b.vms) - bytesOf(a.vms));
}

/** The VMs of a group one by one, those together that share memory. */
function toUnits(
  { vms, to }: { readonly vms: readonly FleetVm[]; readonly to: string | null },
  group: number,
  { commonality, numbers }: FleetContents,
): Unit[] {
  const known = vms.flatMap(({ name }) => numbers.get(name) ?? []);
  const byNumber = new Map(vms.map((vm) => [numbers.get(vm.name), vm]));
  const facts = { group, groupBytes: bytesOf(vms), to };
  const unknown = vms.flatMap((vm) => (numbers.has(vm.name) ? [] : [{ ...facts, vms: [vm] }]));
  const bound = groupVms(groupNone, { vms: known, commonality });
  return [...bound.map((unit) => ({ ...facts, vms: unit.map((number) => byNumber.get(number)!) })), ...unknown];
}

/** The first stays first: it is the representative. Then whoever brings least. */
function inOrder(vms: readonly FleetVm[], { to }: Route, contents: FleetContents, fleet: ProjectedFleet): FleetVm[] {
  const byNumber = new Map(vms.map((vm) => [contents.numbers.get(vm.name), vm]));
  const known = vms.flatMap(({ name }) => contents.numbers.get(name) ?? []);
  if (known.length < vms.length) return [...vms];
  return fleet
    .heldAt(to)
    .order(known, known[0])
    .map((number) => byNumber.get(number)!);
}

function bytesOf(vms: readonly FleetVm[]): number {
  return vms.reduce((sum, { ramBytes }) => sum + ramBytes, 0);
}
