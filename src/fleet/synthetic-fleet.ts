/**
 * Fleets that do not exist: hosts, and VMs of a few images with different workloads, from a seed.
 *
 * Must hold: the same seed gives the same fleet; what a VM has in common with others is known exactly: its pages are
 * given as keys of contents, of which the sample keeps those that threshold sampling would.
 */
import { PAGE_SIZE } from '../base/page.ts';
import { createPageSample, KEY_LIMIT, SAMPLED_OF } from '../base/page-sample.ts';
import { type Random, randomFrom } from '../base/random.ts';
import { fitDirtyCurve } from '../migration/dirty-curve.ts';
import { expectOf } from '../migration/known-links.ts';
import { DEFAULT_MIGRATION_OPTIONS } from '../migration/request.ts';
import { joinContents, type VmContents } from './fleet-contents.ts';
import type { SimulatedFleet, SimulatedVm, SimulatedWay } from './fleet-simulation.ts';
import { DEFAULT_POLICY, type FleetHost, type FleetState, type FleetVm, type Move } from './fleet-state.ts';
import { findPeriod } from './period.ts';
import { WORKLOADS, type Workload } from './workload-mix.ts';

export function randomKey(random: Random): number {
  return Math.floor(random() * (KEY_LIMIT / 2 ** 26)) * 2 ** 26 + Math.floor(random() * 2 ** 26);
}

/** Pages that are written, and how many writes a second there are, as a part of the VM's pages. */
const WRITING: Readonly<Record<Workload, { readonly working: number; readonly writes: number }>> = {
  idle: { working: 0.002, writes: 0.0005 },
  web: { working: 0.03, writes: 0.01 },
  database: { working: 0.12, writes: 0.05 },
  periodic: { working: 0.2, writes: 0.12 },
  rewriting: { working: 0.3, writes: 3 },
};
/** A periodic VM writes so much of its mean rate in 60 % of its period, and next to nothing in the rest. */
const BUSY_PART = 0.6;
const BUSY_FACTOR = 1.6;
const QUIET_FACTOR = 0.1;

/** What migrations of synthetic VMs really find: the middle of what the planner expects. */
const WAY: SimulatedWay = {
  mostBytesPerSecond: Number.POSITIVE_INFINITY,
  wholeBytes: 4112 * 0.6,
  resentBytes: 4112 * 0.6 * 0.7,
  // On two CPUs that guests use as well (docs/performance.md).
  namingMs: 0.02,
  preparingMs: 200,
  fixedDowntimeMs: 15,
  endingMs: 40,
  pushFactor: 1.2,
};
/** Of a VM's memory, the part that holds data. */
const DATA_PART = 0.8;

export interface SyntheticVm extends SimulatedVm {
  readonly contents: VmContents;
  readonly workload: Workload;
  readonly image: number;
  readonly periodMs: number;
  readonly phaseMs: number;
}

export interface FleetSpec {
  readonly seed: number;
  readonly vmCount: number;
  readonly images: number;
  readonly ramBytes: number;
  /** Of a VM's data those that come from its image: each page with this probability. */
  readonly imagePart: number;
  readonly hosts: readonly FleetHost[];
  /** VMs take turns on these. */
  readonly on: readonly string[];
  readonly linkBytesPerSecond: number;
  /** VMs take turns. */
  readonly workloads?: readonly Workload[];
  /** Of VMs in a rhythm, and how often the history has a sample. */
  readonly periodMs?: readonly [number, number];
  readonly sampleMs?: number;
}

export const NOW_MS = Date.UTC(2026, 10, 29);

export function syntheticVms(spec: FleetSpec): SyntheticVm[] {
  const random = randomFrom(spec.seed);
  const dataPages = Math.floor((spec.ramBytes / PAGE_SIZE) * DATA_PART);
  const sampled = sampledKeysOf(spec.ramBytes);
  const imageKeys = Array.from({ length: spec.images }, () =>
    Float64Array.from({ length: sampled }, () => randomKey(random)),
  );
  const workloads = spec.workloads ?? WORKLOADS;
  return Array.from({ length: spec.vmCount }, (_, i) => {
    const name = `vm${String(i + 1).padStart(4, '0')}`;
    const image = Math.floor(random() * spec.images);
    const workload = workloads[i % workloads.length]!;
    const keys = imageKeys[image]!.map((key) => (random() < spec.imagePart ? key : randomKey(random)));
    const [shortestMs, longestMs] = spec.periodMs ?? [360_000, 720_000];
    const periodMs = shortestMs + random() * (longestMs - shortestMs);
    const phaseMs = random() * periodMs;
    const rhythm = { workload, periodMs, phaseMs };
    const { working, writes } = WRITING[workload];
    const factor = 0.7 + 0.6 * random();
    const curve = curveOf(dataPages * working, dataPages * writes * factor, dataPages);
    const sampleMs = spec.sampleMs ?? 60_000;
    const chance = randomFrom(spec.seed + i);
    const history = Array.from({ length: 60 }, (_unused, sample) => {
      const atMs = NOW_MS - (60 - sample + (chance() - 0.5) * 0.8) * sampleMs;
      const noise = Math.exp(0.25 * (random() + random() + random() - 1.5));
      return { atMs, pagesPerSecond: dataPages * writes * factor * rhythmAt(rhythm, atMs) * noise };
    });
    const vm: FleetVm = {
      name,
      host: spec.on[i % spec.on.length]!,
      ramBytes: spec.ramBytes,
      dataPages,
      curve,
      period: findPeriod({ samples: history }, NOW_MS),
      options: DEFAULT_MIGRATION_OPTIONS,
      canThrottle: true,
      canPostCopy: true,
    };
    return {
      vm,
      contents: { vm: name, sample: createPageSample(keys), regions: [] },
      workload,
      image,
      periodMs,
      phaseMs,
      isPeriodic: workload === 'periodic',
      writingAt: (atMs) => rhythmAt(rhythm, atMs),
    };
  });
}

/** Of one VM, so many bytes of memory: what a fleet's contents take is in proportion to it. */
export function sampledKeysOf(ramBytes: number): number {
  return Math.floor(Math.floor((ramBytes / PAGE_SIZE) * DATA_PART) / SAMPLED_OF);
}

/** All VMs of these hosts leave them. */
export function syntheticFleet(
  spec: FleetSpec,
  leaving: readonly string[],
  join: typeof joinContents = joinContents,
): SimulatedFleet {
  const vms = syntheticVms(spec);
  const moves = vms.filter(({ vm }) => leaving.includes(vm.host)).map(({ vm }) => waitingMove(vm.name));
  const known = vms.map(({ vm }) => vm);
  const contents = join(vms.map((each) => each.contents));
  return { state: syntheticState(spec, known, moves), contents, vms, way: () => WAY };
}

/** How much more than on average a VM writes at a moment. */
function rhythmAt(
  { workload, periodMs, phaseMs }: Pick<SyntheticVm, 'workload' | 'periodMs' | 'phaseMs'>,
  atMs: number,
): number {
  if (workload !== 'periodic') return 1;
  return isBusy({ periodMs, phaseMs }, atMs) ? BUSY_FACTOR : QUIET_FACTOR;
}

export function isBusy({ periodMs, phaseMs }: Pick<SyntheticVm, 'periodMs' | 'phaseMs'>, atMs: number): boolean {
  return ((atMs + phaseMs) % periodMs) / periodMs < BUSY_PART;
}

export function syntheticState(spec: FleetSpec, vms: readonly FleetVm[], moves: readonly Move[]): FleetState {
  const known = expectOf([], { vm: 'any', isPacked: true, limit: spec.linkBytesPerSecond });
  const doubts = { rate: 0.15, wholeBytes: 0.1, resentBytes: 0.3, writing: 0, fixed: 0.5, ending: 0.7 };
  const { fixedDowntimeMs, endingMs, pushFactor } = WAY;
  const pair = { fixedDowntimeMs, endingMs, pushFactor };
  const link = { ...known.link, bytesPerSecond: spec.linkBytesPerSecond };
  const expectation = { ...known, link, pair, doubts, isLinkKnown: true };
  return {
    nowMs: NOW_MS,
    hosts: spec.hosts,
    links: [],
    reservations: [],
    vms,
    moves,
    policy: DEFAULT_POLICY,
    expect: () => expectation,
  };
}

export function waitingMove(vm: string, to: string | null = null): Move {
  return { vm, to, deadlineAtMs: null, wantedSinceMs: NOW_MS, state: { kind: 'waiting' } };
}

function curveOf(workingPages: number, writesPerSecond: number, maxPages: number): FleetVm['curve'] {
  const samples = [0.1, 0.3, 1, 3, 10].map((seconds) => ({
    seconds,
    pages: workingPages * -Math.expm1((-writesPerSecond * seconds) / workingPages),
    weight: 1,
  }));
  return fitDirtyCurve(samples, maxPages);
}
