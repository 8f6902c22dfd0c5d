/**
 * `npm run bench`: godwit and QEMU's own migration side by side; see docs/performance.md.
 *
 * Must hold: runs of the systems take turns, so that a noisy machine disturbs all alike; whatever way it ends, no
 * process, namespace or memory file of the bench is left; after a SIGKILL the next bench clears up.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { linuxGuestImages } from '../guest/linux/images.ts';
import { explain } from '../src/base/errors.ts';
import { median } from '../src/base/statistics.ts';
import { FLEET_NAMES, measureAllFleets, renderFleets } from './fleets.ts';
import { FLOOR_CASES, measureFloors, renderFloors } from './floor.ts';
import { GodwitHosts } from './godwit-hosts.ts';
import { GODWIT_METHODS, GodwitSystem } from './godwit-system.ts';
import { GROUP_CASES, measureGroups } from './group.ts';
import { renderGroups } from './group-table.ts';
import { HELD_CASES, measureHeld, renderHeld } from './held-contents.ts';
import { measureRun } from './measure.ts';
import { measureNbd, NBD_CASES, renderNbd } from './nbd.ts';
import { NetworkPair } from './network.ts';
import { type BenchOptions, isWanted, parseOptions, USAGE } from './options.ts';
import { FINISH_BY_CASE, measurePredictions, PREDICTION_CASES, type PredictionCase } from './prediction.ts';
import { renderPredictions } from './prediction-table.ts';
import { QEMU_METHODS } from './qemu-methods.ts';
import { QemuSystem } from './qemu-system.ts';
import { wrapQemu } from './qemu-wrapper.ts';
import { losesFreeMemory, lowerHelperThreads, warmMemory } from './quiet-machine.ts';
import { describeHost, Results } from './results.ts';
import { SCENARIOS, type Scenario } from './scenarios.ts';
import type { Bench, System } from './system.ts';
import { alignColumns, renderScenario } from './table.ts';
import { renderTargets } from './targets.ts';
import { measureThrottle, THROTTLE_PERCENTS } from './throttle-accuracy.ts';
import { measureTogether, renderTogether, TOGETHER_CASES } from './together.ts';
import { measureTrackers, renderTrackers, TRACKER_CASES } from './trackers.ts';
import { measureTracking, TRACKING_CASES } from './tracking-cost.ts';
import { BUSY } from './workloads.ts';

/** The guest's kernel makes huge pages of the workload's memory first, and the work is slower meanwhile. */
const STANDING_WARM_UP_MS = 5_000;
/** Two QEMUs and two daemons want the CPUs for themselves. */
const BUSY_LOAD = 0.7;
const SYSTEM_NAMES = [...QEMU_METHODS, ...GODWIT_METHODS].map(({ name }) => name);

async function main(args: readonly string[]): Promise<number> {
  let options: BenchOptions;
  try {
    options = parseOptions(args);
  } catch (error) {
    process.stderr.write(`bench: ${explain(error)}\n\n${USAGE}\n`);
    return 2;
  }
  const names = wantedNames(options);
  if (names.length === 0) {
    process.stderr.write(`bench: nothing has ${options.only.join(' or ')} in its name (--list shows the names)\n`);
    return 2;
  }
  if (options.list) {
    for (const name of names) print(name);
    return 0;
  }
  const results = new Results();
  const directory = mkdtempSync(join(tmpdir(), 'godwit-bench-'));
  try {
    const bench: Bench = { qemu: await wrapQemu(directory), images: linuxGuestImages(), directory };
    print(`godwit bench: QEMU ${bench.qemu.version} (${bench.qemu.binary}), ${describeHost()}`);
    const [load = 0] = loadavg();
    if (load > BUSY_LOAD) print(`This machine is busy (load ${load.toFixed(1)}): what follows is no measurement.`);
    await runScenarios(bench, options, results);
    for (const { name } of SCENARIOS) printScenario(name, results);
    for (const line of [...renderFloors(results), ...renderNbd(results)]) print(line);
    for (const line of [...renderHeld(results), ...renderTogether(results), ...renderFleets(results)]) print(line);
    printStandingGuest(results);
    print(renderTrackers(results));
    for (const line of [...renderGroups(results), ...renderPredictions(results)]) print(line);
    for (const line of renderTargets(results, godwitRuns())) print(line);
    print(`\n${await results.save(bench.qemu.version)}`);
    return 0;
  } finally {
    if (!options.keep) rmSync(directory, { recursive: true, force: true });
  }
}

function wantedNames(options: BenchOptions): string[] {
  return [
    ...SCENARIOS.flatMap((scenario) => systemsOf(scenario, options).map((name) => `${scenario.name}/${name}`)),
    ...[HELD_CASES, TOGETHER_CASES, TRACKING_CASES, TRACKER_CASES, GROUP_CASES, FLOOR_CASES, NBD_CASES]
      .flatMap((cases) => cases.map(({ name }) => name))
      .filter((name) => isWanted(name, options)),
    ...THROTTLE_PERCENTS.map((percent) => `throttle/${percent}`).filter((name) => isWanted(name, options)),
    ...FLEET_NAMES.filter((name) => isWanted(name, options)),
    ...wantedPredictions(options).map(({ name }) => name),
  ];
}

function wantedPredictions(options: BenchOptions): PredictionCase[] {
  return [...PREDICTION_CASES, FINISH_BY_CASE].filter(({ name }) => isWanted(name, options));
}

async function runScenarios(bench: Bench, options: BenchOptions, results: Results): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const network = stack.use(await NetworkPair.create());
  lowerHelperThreads();
  if (losesFreeMemory()) {
    print('This machine gives free memory back to its hypervisor: memory is touched first, for all systems alike.');
    stack.use(warmMemory(`/dev/shm/godwit-bench-${process.pid}`));
  }
  const stop = onSignal();
  let hosts: Promise<GodwitHosts> | undefined;
  const endHosts = async (): Promise<void> => {
    await (await hosts?.catch(() => undefined))?.[Symbol.asyncDispose]();
    hosts = undefined;
  };
  stack.defer(endHosts);
  const startHosts = (): Promise<GodwitHosts> => {
    hosts ??= GodwitHosts.start(bench.directory);
    return hosts;
  };
  const systems: System[] = [
    ...QEMU_METHODS.map((method) => new QemuSystem(bench, method)),
    ...GODWIT_METHODS.map((method) => new GodwitSystem(bench, startHosts, method)),
  ];
  let count = 0;
  for (let round = 0; round < options.runs; round++) {
    for (const scenario of SCENARIOS) {
      const names = systemsOf(scenario, options);
      await network.use(scenario.link);
      // Nobody always follows the same one.
      for (const name of [...names.slice(round % names.length), ...names.slice(0, round % names.length)]) {
        if (stop.aborted) return;
        const system = systems.find((candidate) => candidate.name === name)!;
        const title = `${scenario.name}/${name}`;
        // Short: it becomes a part of paths of sockets.
        const runName = `gwb${process.pid}-${++count}`;
        progress(`${title}, run ${round + 1} of ${options.runs} (${runName})`);
        const result = await measureRun(bench, network, system, scenario.workload, runName).catch((error: unknown) => ({
          kind: 'failed' as const,
          reason: explain(error),
        }));
        results.addRun(title, result);
        if (options.verbose) process.stderr.write(`${JSON.stringify(result)}\n`);
      }
    }
    for (const held of HELD_CASES.filter(({ name }) => isWanted(name, options))) {
      if (stop.aborted) return;
      progress(`${held.name}, run ${round + 1} of ${options.runs}`);
      await measureHeld(bench, network, held, results, `gwb${process.pid}-${++count}`);
    }
    const together = TOGETHER_CASES.filter(({ name }) => isWanted(name, options));
    await measureTogether(bench, network, together, results, `gwb${process.pid}-t${round + 1}`, progress, stop);
    if (stop.aborted) return;
    await measureStandingGuest(bench, options, results, `gwb${process.pid}-s${round + 1}`);
  }
  // Once: it is the same each time.
  const floors = FLOOR_CASES.filter(({ name }) => isWanted(name, options));
  await measureFloors(bench, floors, results, progress, stop);
  await measureNbd(bench, options, results, progress, stop);
  // Others take their ports.
  await endHosts();
  const tell = options.verbose ? print : progress;
  const groups = GROUP_CASES.filter(({ name }) => isWanted(name, options));
  await measureGroups(bench, network, groups, options.runs, results, tell, stop);
  // Once: they have runs enough of their own.
  await measurePredictions(bench, network, wantedPredictions(options), results, tell);
  const fleets = FLEET_NAMES.filter((name) => isWanted(name, options));
  await measureAllFleets(bench, network, fleets, options.runs, results, tell, stop);
  progress('');
}

/** What needs no migration: one guest for all of it. */
async function measureStandingGuest(
  bench: Bench,
  options: BenchOptions,
  results: Results,
  name: string,
): Promise<void> {
  const cases = TRACKING_CASES.filter((candidate) => isWanted(candidate.name, options));
  const percents = THROTTLE_PERCENTS.filter((percent) => isWanted(`throttle/${percent}`, options));
  const trackers = TRACKER_CASES.filter((candidate) => isWanted(candidate.name, options));
  if (cases.length === 0 && percents.length === 0 && trackers.length === 0) return;
  progress(`tracking and throttle (${name})`);
  const directory = join(bench.directory, name);
  mkdirSync(directory);
  await using session = await new QemuSystem(bench, QEMU_METHODS[0]!).open({ name, directory }, BUSY);
  await session.source.booted();
  await delay(STANDING_WARM_UP_MS);
  await measureTracking(session.source, cases, results);
  await measureThrottle(session.source, percents, results);
  await measureTrackers(session.source, trackers, results);
}

function systemsOf(scenario: Scenario, options: BenchOptions): string[] {
  return (scenario.systems ?? SYSTEM_NAMES).filter((name) => isWanted(`${scenario.name}/${name}`, options));
}

function godwitRuns(): string[] {
  return SCENARIOS.flatMap((scenario) => GODWIT_METHODS.map(({ name }) => `${scenario.name}/${name}`));
}

function printScenario(name: string, results: Results): void {
  const scenario = SCENARIOS.find((candidate) => candidate.name === name)!;
  if (!SYSTEM_NAMES.some((system) => results.hasRun(`${name}/${system}`))) return;
  print(`\n${name}: ${scenario.workload.description}`);
  print(`${renderScenario(name, SYSTEM_NAMES, results)}`);
  for (const system of SYSTEM_NAMES) {
    const title = `${name}/${system}`;
    if (results.hasRun(title)) for (const remark of results.tally(title).remarks) print(`  ${system}: ${remark}`);
  }
}

function printStandingGuest(results: Results): void {
  const names = [
    ...TRACKING_CASES.map(({ name }) => name),
    ...THROTTLE_PERCENTS.map((percent) => `throttle/${percent}`),
  ];
  const rows = names.flatMap((name) => {
    const lost = results.samples(`${name}/lostPercent`);
    if (lost.length === 0) return [];
    const share = median(results.samples(`${name}/undisturbedCpuPercent`)).toFixed(0);
    return [[name, median(lost).toFixed(1), share, String(lost.length)]];
  });
  if (rows.length > 0)
    print(`\n${alignColumns([['without migration', 'guest work lost %', 'CPU had otherwise %', 'runs'], ...rows])}\n`);
}

/** Aborted by Ctrl-C: the run under way ends first, and what there is so far is shown. */
function onSignal(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      process.stderr.write('\nbench: stopping after this run\n');
      controller.abort();
    });
  }
  return controller.signal;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function progress(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${line}`);
  else if (line !== '') process.stderr.write(`${line}\n`);
}

process.exitCode = await main(process.argv.slice(2));
