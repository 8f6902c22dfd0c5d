/**
 * Ways to evacuate: the planner with its groupings, with and without waiting for quiet phases, and what is done without a planner.
 *
 * Pure. Must hold: all get the same fleet and the same chance; whoever plans keeps to what hosts have room for.
 */
import type { Decision, Start, Strategy } from './fleet-simulation.ts';
import type { FleetPolicy, FleetState } from './fleet-state.ts';
import type { FleetPlan } from './plan.ts';

export const STRATEGY_NAMES = [
  'arbitrary',
  'parallel',
  'none',
  'pairs',
  'representatives',
  'none-no-wait',
  'pairs-no-wait',
  'representatives-no-wait',
] as const;
export type StrategyName = (typeof STRATEGY_NAMES)[number];

/** For people. */
export const STRATEGY_TITLES: Readonly<Record<StrategyName, string>> = {
  arbitrary: 'arbitrary order',
  parallel: 'all parallel',
  none: 'no grouping',
  pairs: 'pairs, regrouped',
  representatives: 'representatives',
  'none-no-wait': 'no grouping, no quiet phases',
  'pairs-no-wait': 'pairs, no quiet phases',
  'representatives-no-wait': 'representatives, no quiet phases',
};

/** The planner, with what it knows of contents. */
export type Planner = (state: FleetState) => FleetPlan;

export function strategyOf(name: StrategyName, plan: Planner): Strategy {
  switch (name) {
    case 'arbitrary':
      return (state) => ({ start: inOrderOfNames(state, 1), askAgainAtMs: null });
    case 'parallel':
      return (state) => ({ start: inOrderOfNames(state, Number.POSITIVE_INFINITY), askAgainAtMs: null });
    case 'none':
    case 'pairs':
    case 'representatives':
      return planned(plan, { grouping: name });
    case 'none-no-wait':
      return planned(plan, { grouping: 'none', maxQuietWaitMs: 0 });
    case 'pairs-no-wait':
      return planned(plan, { grouping: 'pairs', maxQuietWaitMs: 0 });
    case 'representatives-no-wait':
      return planned(plan, { grouping: 'representatives', maxQuietWaitMs: 0 });
  }
}

function planned(plan: Planner, policy: Partial<FleetPolicy>): Strategy {
  return (state): Decision => {
    const { moves, askAgainAtMs } = plan({ ...state, policy: { ...state.policy, ...policy } });
    const due = moves.filter(({ wait }) => wait === null);
    return { start: due.map((move) => ({ ...move, predictedMs: move.prediction.totalMs })), askAgainAtMs };
  };
}

/** Wherever most memory is free: how it is done without a plan. */
function inOrderOfNames(state: FleetState, atOnce: number): Start[] {
  const vms = new Map(state.vms.map((vm) => [vm.name, vm]));
  const free = new Map(
    state.hosts.filter(({ takesVms }) => takesVms).map(({ name, memoryBytes }) => [name, memoryBytes]),
  );
  const take = (host: string, bytes: number): unknown => free.has(host) && free.set(host, free.get(host)! - bytes);
  for (const { host, ramBytes } of state.vms) take(host, ramBytes);
  const running = state.moves.flatMap((move) =>
    move.state.kind === 'running' ? [{ ...move.state, vm: move.vm }] : [],
  );
  for (const { to, vm } of running) take(to, vms.get(vm)!.ramBytes);
  const waiting = state.moves.filter((move) => move.state.kind === 'waiting');
  return waiting.slice(0, atOnce - running.length).flatMap(({ vm: name, to: wanted }) => {
    const vm = vms.get(name)!;
    const to = wanted ?? mostFree(free);
    if (to === undefined || (free.get(to) ?? 0) < vm.ramBytes) return [];
    take(to, vm.ramBytes);
    return [{ vm: name, from: vm.host, to, predictedMs: null, bytesPerSecond: 0 }];
  });
}

function mostFree(free: ReadonlyMap<string, number>): string | undefined {
  let most: string | undefined;
  for (const [host, bytes] of free) if (most === undefined || bytes > free.get(most)!) most = host;
  return most;
}
