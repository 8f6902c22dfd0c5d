/**
 * Simulating evacuations for `godwit fleet simulate`.
 *
 * Must hold: what cannot be simulated in the memory of a usual machine is refused before it is tried, with what to give instead.
 */
import { FleetRecordingSchema } from '../api/fleet-recording-schema.ts';
import { parseInput } from '../api/input-error.ts';
import { readTextFile } from '../api/text-file.ts';
import { GodwitError } from '../base/errors.ts';
import { recordedFleet } from '../controller/recorded-fleet.ts';
import { explainRefusal } from '../fleet/explain.ts';
import { joinContents } from '../fleet/fleet-contents.ts';
import { type SimulatedFleet, simulate } from '../fleet/fleet-simulation.ts';
import { nextPlan } from '../fleet/next-plan.ts';
import { type Planner, STRATEGY_NAMES, strategyOf } from '../fleet/strategies.ts';
import { outcomeOf, type RunSummary, summarizeRun } from '../fleet/strategy-outcome.ts';
import { syntheticFleet } from '../fleet/synthetic-fleet.ts';
import { totalKeys, totalVms, type UniformFleet, uniformFleetSpec } from '../fleet/uniform-fleet.ts';
import type { SimulateFlags } from './simulate-command.ts';
import type { SimulationView } from './simulation-view.ts';

/** The matrix of all pairs takes 64 MB for so many. */
const MOST_VMS = 4000;
/** Of pages, sampled: 0.6 GB; 4000 VMs of 4 GiB. */
const MOST_KEYS = 54_000_000;
/** A plan is made anew after each end: beyond that it takes many minutes. */
const COMPARED_VMS = 200;
const VMS_AN_IMAGE = 20;

interface Prepared {
  readonly fleet: SimulatedFleet;
  readonly plan: Planner;
  readonly from: readonly string[];
  readonly commonalityMs: number;
}

/** @throws GW_INPUT_INVALID, GW_INPUT_UNREADABLE */
export function runSimulation(flags: SimulateFlags): SimulationView {
  const { seed, fleets } = flags;
  const recorded = flags.from === undefined ? undefined : readRecording(flags.from);
  const prepare = (at: number): Prepared =>
    recorded ? fromRecording(recorded, flags) : fromNumbers({ ...numbersOf(flags), seed: at });
  const first = prepare(seed);
  const begunMs = performance.now();
  const plan = first.plan(first.fleet.state);
  const planMs = performance.now() - begunMs;
  const peakMemoryBytes = process.resourceUsage().maxRSS * 1024;
  const leaving = first.fleet.state.moves.length;
  const names = flags.strategy ?? (leaving > COMPARED_VMS ? [] : STRATEGY_NAMES);
  const runs = new Map(names.map((name): [typeof name, RunSummary[]] => [name, []]));
  for (let at = seed; at < seed + fleets && names.length > 0; at++) {
    const { fleet, plan: planner } = at === seed ? first : prepare(at);
    for (const [name, all] of runs) all.push(summarizeRun(simulate(fleet, strategyOf(name, planner), at), fleet));
  }
  return {
    fleet: {
      recordedAtMs: recorded?.atMs ?? null,
      ...{ seed, fleets, leaving, from: first.from },
      hosts: first.fleet.state.hosts.length,
      vms: first.fleet.state.vms.length,
    },
    planning: { commonalityMs: first.commonalityMs, planMs, peakMemoryBytes },
    plan: {
      migrations: plan.moves.length,
      groups: plan.groups.length,
      bytes: plan.moves.reduce((sum, { prediction }) => sum + prediction.bytes.p50, 0),
      makespanMs: plan.makespanMs,
      lowerBoundMs: plan.lowerBoundMs,
      quietBoundMs: plan.quietBoundMs,
      refused: plan.refused.map(({ vm, why }) => ({ vm, text: explainRefusal(vm, why) })),
    },
    strategies: [...runs].map(([name, all]) => outcomeOf(name, all)),
  };
}

function fromNumbers(numbers: UniformFleet): Prepared {
  const spec = uniformFleetSpec(numbers);
  let commonalityMs = 0;
  const fleet = syntheticFleet(spec, spec.leaving, (vms) => {
    const begunMs = performance.now();
    const contents = joinContents(vms);
    commonalityMs = performance.now() - begunMs;
    return contents;
  });
  return { fleet, plan: (state) => nextPlan(state, fleet.contents), from: spec.leaving, commonalityMs };
}

function fromRecording(recording: ReturnType<typeof readRecording>, { host, to }: SimulateFlags): Prepared {
  const begunMs = performance.now();
  const { fleet, plan } = recordedFleet(recording, host!, to ?? null);
  return { fleet, plan, from: [host!], commonalityMs: performance.now() - begunMs };
}

function numbersOf(flags: SimulateFlags): UniformFleet {
  const { hosts, leave: leaving, vms, residents, memory: ramBytes, mix, rate, period: periodMs, seed } = flags;
  if (leaving >= hosts) throw invalid('--leave', leaving, `give less than --hosts (${hosts}): VMs need hosts to go to`);
  const numbers = {
    ...{ seed, hosts, leaving, vms, residents, ramBytes, mix, periodMs },
    ...{ commonPart: flags.common, bytesPerSecond: rate, images: 1 },
  };
  const all = totalVms(numbers);
  const most = Math.min(MOST_VMS, Math.floor((MOST_KEYS / Math.max(1, totalKeys(numbers))) * all));
  if (all > most) {
    const field = residents * (hosts - leaving) > vms * leaving ? '--residents' : '--vms';
    const fix = `these are ${all} VMs in all: at most ${most} of that size are simulated; give fewer VMs or hosts, or less memory`;
    throw invalid(field, field === '--vms' ? vms : residents, fix);
  }
  return { ...numbers, images: flags.images ?? Math.ceil(all / VMS_AN_IMAGE) };
}

function readRecording(path: string) {
  const text = readTextFile(path);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const fix = 'give a file that `godwit fleet record` has written: this is no JSON';
    throw new GodwitError('GW_INPUT_INVALID', { field: '--from', value: path, fix }, { cause: error });
  }
  return parseInput(FleetRecordingSchema, value, '--from');
}

function invalid(field: string, value: number, fix: string): GodwitError {
  return new GodwitError('GW_INPUT_INVALID', { field, value: String(value), fix });
}
