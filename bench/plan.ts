/**
 * `node bench/plan.ts [--seeds N]`: how good plans are and what they cost, on simulated fleets; see docs/performance.md.
 * No VM moves. Must hold: all strategies get the same fleets and the same chance.
 */
import { parseArgs } from 'node:util';
import { renderOutcomes } from '../src/cli/simulation-view.ts';
import { joinContents } from '../src/fleet/fleet-contents.ts';
import { simulate } from '../src/fleet/fleet-simulation.ts';
import { nextPlan } from '../src/fleet/next-plan.ts';
import { STRATEGY_NAMES, strategyOf } from '../src/fleet/strategies.ts';
import { outcomeOf, summarizeRun } from '../src/fleet/strategy-outcome.ts';
import { type FleetSpec, syntheticFleet } from '../src/fleet/synthetic-fleet.ts';
import { uniformFleetSpec } from '../src/fleet/uniform-fleet.ts';
import { EVEN_MIX } from '../src/fleet/workload-mix.ts';
import { FLEETS } from './fleet-specs.ts';
import { alignColumns } from './table.ts';

const SIZES = [10, 50, 100, 500, 1000];
const DEFAULT_SEEDS = 5;

function main(): void {
  const { values } = parseArgs({ options: { seeds: { type: 'string', default: String(DEFAULT_SEEDS) } } });
  const seeds = Array.from({ length: Number(values.seeds) }, (_, i) => i + 1);
  print(`Cost of a plan: 4 GiB a VM, CPU seconds of this machine\n${renderCosts()}`);
  for (const { name, spec } of FLEETS) {
    print(`\n${name} (simulated; medians of ${seeds.length} fleets)\n${compare(spec, seeds)}`);
  }
}

function compare(spec: Omit<FleetSpec, 'seed'>, seeds: readonly number[]): string {
  const fleets = seeds.map((seed) => ({ seed, fleet: syntheticFleet({ ...spec, seed }, spec.on) }));
  return renderOutcomes(
    STRATEGY_NAMES.map((name) => {
      const runs = fleets.map(({ seed, fleet }) => {
        const strategy = strategyOf(name, (state) => nextPlan(state, fleet.contents));
        return summarizeRun(simulate(fleet, strategy, seed), fleet);
      });
      return outcomeOf(name, runs);
    }),
  );
}

/** CPU time, which others on the machine disturb less than they do the clock. */
function renderCosts(): string {
  const rows = SIZES.map((vms) => {
    let at = 0;
    const lap = (): string => {
      const before = at;
      at = cpuSeconds();
      return (at - before).toFixed(2);
    };
    let joined = '';
    const { state, contents } = syntheticFleet(sizedFleet(vms), ['host1'], (samples) => {
      lap();
      const all = joinContents(samples);
      joined = lap();
      return all;
    });
    lap();
    const plan = nextPlan(state, contents);
    const planned = lap();
    const ratio = (plan.makespanMs / plan.lowerBoundMs).toFixed(2);
    const peak = (process.resourceUsage().maxRSS / 1024).toFixed(0);
    return [String(vms), joined, planned, String(plan.groups.length), ratio, peak];
  });
  return alignColumns([['VMs', 'commonality s', 'plan s', 'groups', 'makespan ÷ bound', 'peak MiB'], ...rows]);
}

/** So many VMs on one host, to three. */
function sizedFleet(vms: number): FleetSpec {
  return uniformFleetSpec({
    ...{ seed: vms, hosts: 4, leaving: 1, vms, residents: 0, ramBytes: 4 * 2 ** 30, commonPart: 0.6 },
    ...{ images: Math.ceil(vms / 20), mix: EVEN_MIX, bytesPerSecond: 10e9 / 8, periodMs: 360_000 },
  });
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

main();
