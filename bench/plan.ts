/**
 * `node bench/plan.ts [--seeds N]`: how good plans are and what they cost, on simulated fleets; see docs/performance.md.
 * No VM moves. Must hold: all strategies get the same fleets and the same chance.
 */
import { parseArgs } from 'node:util';
import { joinContents } from '../src/fleet/fleet-contents.ts';
import type { FleetPolicy, FleetState } from '../src/fleet/fleet-state.ts';
import { nextPlan } from '../src/fleet/next-plan.ts';
import {
  type FleetSpec,
  NOW_MS,
  rhythmAt,
  syntheticState,
  syntheticVms,
  waitingMove,
} from '../test/support/synthetic-fleet.ts';
import { type SimulatedMove, type Start, type Strategy, simulate } from './fleet-simulation.ts';
import { FLEETS, sizedFleet } from './fleet-specs.ts';
import { median } from './statistics.ts';
import { alignColumns } from './table.ts';

const PLANNED: readonly [string, Partial<FleetPolicy>][] = [
  ['no grouping', { grouping: 'none' }],
  ['pairs (fifth design)', { grouping: 'pairs' }],
  ['representatives', { grouping: 'representatives' }],
  ['no grouping, no quiet phases', { grouping: 'none', maxQuietWaitMs: 0 }],
  ['pairs, no quiet phases', { grouping: 'pairs', maxQuietWaitMs: 0 }],
  ['representatives, no quiet phases', { grouping: 'representatives', maxQuietWaitMs: 0 }],
];
const SIZES = [10, 50, 100, 500, 1000];
const DEFAULT_SEEDS = 5;

interface Row {
  readonly gigabytes: number;
  readonly makespanS: number;
  readonly meanS: number;
  readonly postCopied: number;
  readonly quiet: readonly boolean[];
  readonly off: readonly number[];
  readonly inside: readonly boolean[];
}

function main(): void {
  const { values } = parseArgs({ options: { seeds: { type: 'string', default: String(DEFAULT_SEEDS) } } });
  const seeds = Array.from({ length: Number(values.seeds) }, (_, i) => i + 1);
  print(`Cost of a plan: 4 GiB a VM, CPU seconds of this machine\n${renderCosts()}`);
  for (const { name, spec } of FLEETS) {
    print(`\n${name} (simulated; medians of ${seeds.length} fleets)\n${compare(spec, seeds)}`);
  }
}

function compare(spec: Omit<FleetSpec, 'seed'>, seeds: readonly number[]): string {
  const rows = new Map<string, Row[]>();
  for (const seed of seeds) {
    const whole = { ...spec, seed };
    const vms = syntheticVms(whole);
    const contents = joinContents(vms.map((each) => each.contents));
    const moving = vms.filter(({ vm }) => spec.on.includes(vm.host));
    const state = syntheticState(
      whole,
      vms.map(({ vm }) => vm),
      moving.map(({ vm }) => waitingMove(vm.name)),
    );
    const strategies: [string, Strategy][] = [
      ['arbitrary order', (now) => ({ start: arbitrary(now, 1), askAgainAtMs: null })],
      ['all parallel', (now) => ({ start: arbitrary(now, Number.POSITIVE_INFINITY), askAgainAtMs: null })],
      ...PLANNED.map(([name, policy]): [string, Strategy] => [
        name,
        (now) => {
          const plan = nextPlan({ ...now, policy: { ...now.policy, ...policy } }, contents);
          const start = plan.moves.filter(({ wait }) => wait === null);
          return {
            start: start.map((move) => ({ ...move, predictedMs: move.prediction.totalMs })),
            askAgainAtMs: plan.askAgainAtMs,
          };
        },
      ]),
    ];
    for (const [name, strategy] of strategies) {
      const moves = simulate(state, vms, strategy, seed);
      rows.set(name, [...(rows.get(name) ?? []), summarize(moves, new Map(vms.map((vm) => [vm.vm.name, vm])))]);
    }
  }
  const head = [
    'strategy',
    'GB',
    'all there s',
    'mean there s',
    'post-copied',
    'quiet start %',
    'p50 off %',
    'inside %',
  ];
  return alignColumns([head, ...[...rows].map(([name, all]) => cells(name, all))]);
}

/** In the order of names, wherever most memory is free: how it is done without a plan. */
function arbitrary(state: FleetState, atOnce: number): Start[] {
  const free = new Map(
    state.hosts.filter(({ takesVms }) => takesVms).map(({ name, memoryBytes }) => [name, memoryBytes]),
  );
  const take = (host: string, bytes: number): unknown => free.has(host) && free.set(host, free.get(host)! - bytes);
  for (const { host, ramBytes } of state.vms) take(host, ramBytes);
  const running = state.moves.filter((move) => move.state.kind === 'running');
  for (const move of running) take(move.to!, state.vms.find(({ name }) => name === move.vm)!.ramBytes);
  const waiting = state.moves.filter((move) => move.state.kind === 'waiting').slice(0, atOnce - running.length);
  return waiting.flatMap(({ vm: name }) => {
    const vm = state.vms.find((each) => each.name === name)!;
    const [to] = [...free].sort((a, b) => b[1] - a[1])[0]!;
    if (free.get(to)! < vm.ramBytes) return [];
    take(to, vm.ramBytes);
    return [{ vm: name, from: vm.host, to, predictedMs: null, bytesPerSecond: 0 }];
  });
}

function summarize(
  moves: readonly SimulatedMove[],
  vms: ReadonlyMap<string, ReturnType<typeof syntheticVms>[number]>,
): Row {
  const known = moves.flatMap((move) => (move.predictedMs ? [{ ...move, predicted: move.predictedMs }] : []));
  const times = known.map(({ predicted, startedAtMs, endedAtMs }) => ({ predicted, ms: endedAtMs - startedAtMs }));
  const periodic = moves.filter(({ vm }) => vms.get(vm)!.workload === 'periodic');
  return {
    gigabytes: moves.reduce((sum, { bytes }) => sum + bytes, 0) / 1e9,
    makespanS: (Math.max(...moves.map(({ endedAtMs }) => endedAtMs)) - NOW_MS) / 1000,
    meanS: moves.reduce((sum, { endedAtMs }) => sum + endedAtMs - NOW_MS, 0) / moves.length / 1000,
    postCopied: moves.filter(({ isPostCopied }) => isPostCopied).length,
    quiet: periodic.map(({ vm, startedAtMs }) => rhythmAt(vms.get(vm)!, startedAtMs) < 1),
    off: times.map(({ predicted, ms }) => (100 * Math.abs(predicted.p50 - ms)) / ms),
    inside: times.map(({ predicted, ms }) => ms >= predicted.p10 && ms <= predicted.p90),
  };
}

function cells(name: string, rows: readonly Row[]): string[] {
  const of = (value: (row: Row) => number, digits: number): string => median(rows.map(value)).toFixed(digits);
  const percent = (flags: readonly boolean[]): string =>
    flags.length === 0 ? '–' : ((100 * flags.filter(Boolean).length) / flags.length).toFixed(0);
  const off = rows.flatMap((row) => row.off);
  return [
    name,
    of((row) => row.gigabytes, 2),
    of((row) => row.makespanS, 1),
    of((row) => row.meanS, 1),
    of((row) => row.postCopied, 0),
    percent(rows.flatMap((row) => row.quiet)),
    off.length === 0 ? '–' : median(off).toFixed(0),
    percent(rows.flatMap((row) => row.inside)),
  ];
}

/** CPU time, which others on the machine disturb less than they do the clock. */
function renderCosts(): string {
  const rows = SIZES.map((size) => {
    const spec = sizedFleet(size);
    const vms = syntheticVms(spec);
    const state = syntheticState(
      spec,
      vms.map(({ vm }) => vm),
      vms.map(({ vm }) => waitingMove(vm.name)),
    );
    let at = cpuSeconds();
    const lap = (): string => {
      const before = at;
      at = cpuSeconds();
      return (at - before).toFixed(2);
    };
    const contents = joinContents(vms.map((each) => each.contents));
    const joined = lap();
    const plan = nextPlan(state, contents);
    const planned = lap();
    const ratio = (plan.makespanMs / plan.lowerBoundMs).toFixed(2);
    const peak = (process.resourceUsage().maxRSS / 1024).toFixed(0);
    return [String(size), joined, planned, String(plan.groups.length), ratio, peak];
  });
  return alignColumns([['VMs', 'commonality s', 'plan s', 'groups', 'makespan ÷ bound', 'peak MiB'], ...rows]);
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

main();
