/** Fleets for tests of the planner, and what must hold of any plan for them. */
import { expect } from 'vitest';
import { type FleetContents, joinContents } from '../../src/fleet/fleet-contents.ts';
import { DEFAULT_POLICY, type FleetHost, type FleetPolicy, type FleetState } from '../../src/fleet/fleet-state.ts';
import { nextPlan } from '../../src/fleet/next-plan.ts';
import type { FleetPlan, PlannedMove } from '../../src/fleet/plan.ts';
import {
  type FleetSpec,
  type SyntheticVm,
  syntheticState,
  syntheticVms,
  waitingMove,
} from '../../src/fleet/synthetic-fleet.ts';

export const GIBIBYTE = 2 ** 30;
export const host = (name: string, gibibytes: number, takesVms = true): FleetHost => ({
  name,
  memoryBytes: gibibytes * GIBIBYTE,
  sendBytesPerSecond: 1e8,
  receiveBytesPerSecond: 1e8,
  takesVms,
});
export const EVACUATION: FleetSpec = {
  seed: 1,
  vmCount: 10,
  images: 2,
  ramBytes: GIBIBYTE,
  imagePart: 0.7,
  hosts: [host('a', 20, false), host('b', 20), host('c', 20)],
  on: ['a'],
  linkBytesPerSecond: 1e8,
};

interface Fleet {
  readonly spec: FleetSpec;
  readonly vms: readonly SyntheticVm[];
  readonly state: FleetState;
  readonly contents: FleetContents;
}

export function fleetOf(change: Partial<FleetSpec> = {}, policy: Partial<FleetPolicy> = {}): Fleet {
  const spec = { ...EVACUATION, ...change };
  const vms = syntheticVms(spec);
  const moves = vms.filter(({ vm }) => vm.host === 'a').map(({ vm }) => waitingMove(vm.name));
  const plain = syntheticState(
    spec,
    vms.map(({ vm }) => vm),
    moves,
  );
  const state = { ...plain, policy: { ...DEFAULT_POLICY, ...policy } };
  return { spec, vms, state, contents: joinContents(vms.map((each) => each.contents)) };
}

export function planOf({ state, contents }: Fleet, change: Partial<FleetState> = {}): FleetPlan {
  return nextPlan({ ...state, ...change }, contents);
}

/** Everything that must hold of any plan. */
export function expectSound(state: FleetState, plan: FleetPlan): void {
  const running = state.moves.flatMap(({ vm, state: move }) => (move.kind === 'running' ? [{ vm, ...move }] : []));
  const told = [...new Set([...plan.moves, ...plan.refused, ...running].map(({ vm }) => vm))].sort();
  const asked = state.moves.filter(({ vm, to }) => state.vms.find(({ name }) => name === vm)?.host !== to);
  expect(told).toEqual(asked.map(({ vm }) => vm).sort());
  expect(plan.makespanMs).toBeGreaterThanOrEqual(plan.quietBoundMs - 1);
  expect(plan.quietBoundMs).toBeGreaterThanOrEqual(plan.lowerBoundMs - 1);
  const moments = [...new Set(plan.moves.flatMap(({ startsAtMs, endsAtMs }) => [startsAtMs, endsAtMs]))];
  for (const atMs of moments) {
    const during = plan.moves.filter(({ startsAtMs, endsAtMs }) => startsAtMs <= atMs && atMs < endsAtMs);
    for (const { name, memoryBytes, sendBytesPerSecond, receiveBytesPerSecond } of state.hosts) {
      expect(usedBytes(state, plan.moves, name, atMs)).toBeLessThanOrEqual(memoryBytes);
      const rate = (moves: readonly PlannedMove[]): number => moves.reduce((sum, each) => sum + each.bytesPerSecond, 0);
      expect(rate(during.filter(({ from }) => from === name))).toBeLessThanOrEqual(sendBytesPerSecond * 1.000001);
      expect(rate(during.filter(({ to }) => to === name))).toBeLessThanOrEqual(receiveBytesPerSecond * 1.000001);
    }
  }
}

/** A VM takes memory where it is until it has left, and where it goes from its start on. */
export function usedBytes(state: FleetState, moves: readonly PlannedMove[], name: string, atMs: number): number {
  const ram = new Map(state.vms.map((vm) => [vm.name, vm.ramBytes]));
  const here = state.vms.filter((vm) => vm.host === name).reduce((sum, { ramBytes }) => sum + ramBytes, 0);
  const came = moves.filter(({ to, startsAtMs }) => to === name && startsAtMs <= atMs);
  const left = moves.filter(({ from, endsAtMs }) => from === name && endsAtMs <= atMs);
  const bytes = (all: readonly PlannedMove[]): number => all.reduce((sum, { vm }) => sum + ram.get(vm)!, 0);
  return here + bytes(came) - bytes(left);
}
