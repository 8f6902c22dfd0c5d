import { expect, test } from 'vitest';
import { largerTest } from '../../test/support/further-cases.ts';
import { fleetOf, GIBIBYTE, host } from '../../test/support/planned-fleet.ts';
import { DEFAULT_MIGRATION_OPTIONS } from '../migration/request.ts';
import { type SimulatedFleet, type SimulatedRun, simulate } from './fleet-simulation.ts';
import type { FleetVm } from './fleet-state.ts';
import { nextPlan } from './next-plan.ts';
import { STRATEGY_NAMES, type StrategyName, strategyOf } from './strategies.ts';
import { outcomeOf, summarizeRun } from './strategy-outcome.ts';
import { type FleetSpec, syntheticFleet } from './synthetic-fleet.ts';

const SPEC: FleetSpec = {
  ...{ seed: 1, vmCount: 10, images: 2, ramBytes: GIBIBYTE, imagePart: 0.7 },
  ...{ hosts: [host('a', 20, false), host('b', 20), host('c', 20)], on: ['a'], linkBytesPerSecond: 0.94e8 },
};
const FLEET = syntheticFleet(SPEC, ['a']);

function run(name: StrategyName, fleet: SimulatedFleet = FLEET, seed = 1): SimulatedRun {
  return simulate(
    fleet,
    strategyOf(name, (state) => nextPlan(state, fleet.contents)),
    seed,
  );
}

/** The same fleet, whose VMs are other ones. */
function withVms(change: Partial<FleetVm>): SimulatedFleet {
  const state = { ...FLEET.state, vms: FLEET.state.vms.map((vm) => ({ ...vm, ...change })) };
  return { ...FLEET, state, vms: FLEET.vms.map((each) => ({ ...each, vm: { ...each.vm, ...change } })) };
}

test.each(STRATEGY_NAMES)('%s moves every VM once, the same way with the same seed', (name) => {
  const { moves, stayed } = run(name);
  expect(stayed).toEqual([]);
  expect(moves.map(({ vm }) => vm).sort()).toEqual(FLEET.state.vms.map((vm) => vm.name));
  expect(run(name).moves).toEqual(moves);
  expect(run(name, FLEET, 2).moves).not.toEqual(moves);
});

test('one after the other identical contents cross once; all at once they cross many times', () => {
  const bytes = (name: StrategyName): number => run(name).moves.reduce((sum, move) => sum + move.bytes, 0);
  expect(bytes('representatives')).toBeLessThan(0.7 * bytes('parallel'));
  expect(bytes('representatives')).toBeLessThan(bytes('none'));
});

largerTest('VMs of one rhythm that cannot all move in a quiet phase do not wait for another one for ever', () => {
  const workloads = ['periodic'] as const;
  const hosts = [host('a', 90, false), host('b', 90)];
  const alike = { workloads, hosts, vmCount: 20, ramBytes: 4 * GIBIBYTE, periodMs: [600_000, 600_000] as const };
  const fleet = syntheticFleet({ ...SPEC, ...alike }, ['a']);
  const { vm, writingAt } = fleet.vms[0]!;
  const vms = fleet.vms.map((each) => ({ ...each, writingAt, vm: { ...each.vm, period: vm.period } }));
  const { moves } = run('none', { ...fleet, vms, state: { ...fleet.state, vms: vms.map((each) => each.vm) } });
  const { nowMs, policy } = fleet.state;
  const lastStartMs = Math.max(...moves.map(({ startedAtMs }) => startedAtMs)) - nowMs;
  const workMs = moves.reduce((sum, { predictedMs }) => sum + predictedMs!.p90, 0);
  expect(moves).toHaveLength(20);
  // Some do wait.
  expect(lastStartMs).toBeGreaterThan(policy.maxQuietWaitMs / 2);
  expect(lastStartMs).toBeLessThan(policy.maxQuietWaitMs + workMs);
});

test('what was never started has stayed', () => {
  const small = { ...FLEET.state, hosts: [host('a', 20, false), host('b', 3)] };
  const { moves, stayed } = run('arbitrary', { ...FLEET, state: small });
  expect(moves).toHaveLength(3);
  expect(stayed).toHaveLength(7);
  expect(run('pairs', { ...FLEET, state: small }).moves).toHaveLength(3);
});

test('a VM that may not end in post-copy is slowed until it converges', () => {
  const options = { ...DEFAULT_MIGRATION_OPTIONS, mode: 'pre-copy' as const };
  const { moves } = run('arbitrary', withVms({ options, canPostCopy: false }));
  expect(moves.map(({ isPostCopied }) => isPostCopied)).not.toContain(true);
  expect(Math.max(...moves.map(({ downtimeMs }) => downtimeMs))).toBeLessThanOrEqual(options.maxDowntimeMs);
  // One that cannot be slowed either stands still for as long as it takes.
  const stubborn = run('arbitrary', withVms({ options, canPostCopy: false, canThrottle: false }));
  expect(Math.max(...stubborn.moves.map(({ downtimeMs }) => downtimeMs))).toBeGreaterThan(options.maxDowntimeMs);
});

test('VMs that are migrated by post-copy have the shortest downtime from the first page on', () => {
  const options = { ...DEFAULT_MIGRATION_OPTIONS, mode: 'post-copy' as const };
  const { moves } = run('arbitrary', withVms({ options }));
  expect(moves.every(({ isPostCopied, downtimeMs }) => isPostCopied && downtimeMs === 15)).toBe(true);
});

test('no port and no link carries more than it has', () => {
  const links = [{ name: 'uplink', bytesPerSecond: 2e7, between: [['a'], ['b', 'c']] as const }];
  const { moves } = run('parallel', { ...FLEET, state: { ...FLEET.state, links } });
  const lastMs = Math.max(...moves.map(({ endedAtMs }) => endedAtMs)) - FLEET.state.nowMs;
  const bytes = moves.reduce((sum, move) => sum + move.bytes, 0);
  expect(bytes / (lastMs / 1000)).toBeLessThanOrEqual(2e7);
});

test('a strategy that never begins anything is not waited for', () => {
  const { stayed } = simulate(FLEET, () => ({ start: [], askAgainAtMs: null }), 1);
  expect(stayed).toHaveLength(10);
});

test('of several fleets the median is told, and single VMs count alike', () => {
  const runs = [1, 2, 3].map((seed) => summarizeRun(run('pairs', FLEET, seed), FLEET));
  const outcome = outcomeOf('pairs', runs);
  expect(outcome.bytes).toBe(runs.map(({ bytes }) => bytes).sort((a, b) => a - b)[1]);
  expect(outcome.predictionInsidePart).toBe(runs.flatMap(({ inside }) => inside).filter(Boolean).length / 30);
  expect(outcomeOf('arbitrary', [summarizeRun(run('arbitrary'), FLEET)])).toMatchObject({
    predictionOffPart: null,
    predictionInsidePart: null,
    quietStartPart: expect.any(Number),
  });
});

test('the planner is asked about the fleet as it is by then', () => {
  const { state } = fleetOf();
  const seen: number[] = [];
  simulate(
    FLEET,
    (now) => {
      seen.push(now.vms.filter((vm) => vm.host === 'a').length);
      return strategyOf('arbitrary', (each) => nextPlan(each, FLEET.contents))(now);
    },
    1,
  );
  expect(state.vms).toHaveLength(10);
  expect(seen).toEqual([10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
});
