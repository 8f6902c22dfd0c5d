/**
 * How good predictions are, and whether `--finish-by` is kept (G5, G7).
 *
 * Owns: migrations that differ in how the guest writes, how large its working set is, the link and the mode. Each VM moves
 * several times, there and back, so that first visits are among them and later ones that a history helps. Must hold: all
 * links are of daemons of their own, because a daemon remembers what a link can do.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { MigrateBody, ReportView } from '../src/api/migration-schema.ts';
import { explain } from '../src/base/errors.ts';
import { GodwitHosts } from './godwit-hosts.ts';
import { GIGABIT, type Link, type NetworkPair, SLOW, UNSHAPED } from './network.ts';
import type { Results } from './results.ts';
import type { Bench } from './system.ts';
import { createTinyVm, type TinyWork } from './tiny-vm.ts';

export interface PredictionCase {
  /** Such as `prediction/1gbit/busy`. */
  readonly name: string;
  readonly link: Link;
  readonly work: TinyWork;
  readonly request: Omit<MigrateBody, 'to'>;
  /** There, back, there, … */
  readonly moves: number;
}

const HALF_GIGABIT: Link = { name: '500mbit', bitsPerSecond: 500e6 };
/** Twice from each side: at the second time it knows the VM. */
const MOVES = 4;
/** 256 MiB, 128 MiB and so on, in pages. */
const MIB_256 = 65_536;
const MIB_128 = 32_768;
const MIB_64 = 16_384;
const MIB_32 = 8_192;
const MIB_16 = 4_096;
const IDLE: TinyWork = { dataPages: MIB_128, workingPages: 64, pagesPerSecond: 200, writeMode: 'byte' };
const LIGHT: TinyWork = { dataPages: MIB_256, workingPages: MIB_32, pagesPerSecond: 1_500, writeMode: 'random' };
const BUSY: TinyWork = { dataPages: MIB_256, workingPages: MIB_64, pagesPerSecond: 6_000, writeMode: 'random' };
const HEAVY: TinyWork = { dataPages: MIB_256, workingPages: MIB_128, pagesPerSecond: 20_000, writeMode: 'random' };
const NEVER_CONVERGING: TinyWork = { dataPages: MIB_256, workingPages: MIB_64, writeMode: 'random' };

function cases(
  link: Link,
  works: Readonly<Record<string, readonly [TinyWork, Omit<MigrateBody, 'to'>]>>,
): PredictionCase[] {
  return Object.entries(works).map(([name, [work, request]]) => {
    return { name: `prediction/${link.name}/${name}`, link, work, request, moves: MOVES };
  });
}

export const PREDICTION_CASES: readonly PredictionCase[] = [
  ...cases(GIGABIT, {
    idle: [IDLE, {}],
    light: [LIGHT, {}],
    busy: [BUSY, {}],
    heavy: [HEAVY, {}],
    throttled: [{ ...HEAVY, workingPages: MIB_64 }, { mode: 'pre-copy' }],
  }),
  ...cases(HALF_GIGABIT, {
    small: [{ ...LIGHT, dataPages: MIB_128, workingPages: MIB_16 }, {}],
    bytes: [{ ...BUSY, writeMode: 'byte' }, {}],
    raw: [LIGHT, { without: ['unchanged', 'delta', 'compress'] }],
  }),
  ...cases(SLOW, {
    light: [{ ...LIGHT, dataPages: MIB_128 }, {}],
    hybrid: [{ ...BUSY, dataPages: MIB_128 }, { mode: 'hybrid' }],
  }),
  ...cases(UNSHAPED, { light: [LIGHT, {}], heavy: [HEAVY, {}] }),
];

/** 20 migrations of a VM that never converges, one after the other. */
export const FINISH_BY_CASE: PredictionCase = {
  name: 'finish-by/1gbit',
  link: GIGABIT,
  work: NEVER_CONVERGING,
  request: {},
  moves: 20,
};
const FINISH_BY_MS: readonly number[] = [5_000, 7_000, 9_000, 12_000];

/** Moves the VM of each case there and back. Series: `CASE/MOMENT/NUMBER`; `told` hears of every migration. */
export async function measurePredictions(
  bench: Bench,
  network: NetworkPair,
  wanted: readonly PredictionCase[],
  results: Results,
  told: (line: string) => void,
): Promise<void> {
  for (const link of new Set(wanted.map((each) => each.link))) {
    await network.use(link);
    const directory = join(bench.directory, link.name);
    mkdirSync(directory);
    await using hosts = await GodwitHosts.start(directory);
    for (const [index, each] of wanted.filter((candidate) => candidate.link === link).entries()) {
      const vm = `p${process.pid}-${index}`;
      try {
        await moveAbout(bench, hosts, vm, each, index === 0, results, told);
      } catch (error) {
        results.addRun(each.name, { kind: 'failed', reason: explain(error) });
        told(`${each.name}: ${explain(error)}`);
      } finally {
        for (const host of [hosts.source, hosts.destination]) await host.remove(vm).catch(() => undefined);
      }
    }
  }
}

async function moveAbout(
  bench: Bench,
  hosts: GodwitHosts,
  vm: string,
  each: PredictionCase,
  isNewLink: boolean,
  results: Results,
  told: (line: string) => void,
): Promise<void> {
  let [here, there] = [hosts.source, hosts.destination];
  await createTinyVm(bench, here, vm, each.work);
  for (let move = 0; move < each.moves; move++) {
    const finishByMs = each === FINISH_BY_CASE ? FINISH_BY_MS[move % FINISH_BY_MS.length]! : 0;
    const request = { ...each.request, to: there.migrationAddress, ...(finishByMs > 0 ? { finishByMs } : {}) };
    const { report } = await here.client.migrateAndWait(vm, request);
    if (report?.outcome !== 'completed') throw new Error(report?.error?.message ?? 'it has no report');
    // Each host has a link of its own to the other, and knows a VM that it has moved before.
    const start = move >= 2 ? 'start' : isNewLink ? 'startNewLink' : 'startNewVm';
    addReport(each.name, start, finishByMs, report, results);
    told(describe(each.name, finishByMs, report));
    [here, there] = [there, here];
  }
}

type Start = 'start' | 'startNewVm' | 'startNewLink';

function addReport(name: string, start: Start, finishByMs: number, report: ReportView, results: Results): void {
  results.add(`${name}/totalMs`, report.totalMs);
  if (finishByMs > 0) results.add(`${name}/leftMs`, finishByMs - report.totalMs);
  for (const { moment, errorPercent, covered } of report.prediction?.made ?? []) {
    const known = moment === 'start' ? start : moment;
    for (const value of ['totalMs', 'bytes', 'downtimeMs'] as const) {
      results.add(`${name}/${known}/${value}OffPercent`, Math.abs(errorPercent?.[value] ?? Number.NaN));
      const isCovered = covered?.[value] ?? null;
      if (isCovered !== null) results.add(`${name}/${known}/${value}Covered`, isCovered ? 1 : 0);
    }
  }
}

function describe(name: string, finishByMs: number, report: ReportView): string {
  const made = (report.prediction?.made ?? []).map(({ moment, totalMs, errorPercent, covered, ending }) => {
    const range = [totalMs.low, totalMs.expected, totalMs.high].map((ms) => (ms / 1000).toFixed(2)).join('–');
    return `${moment} ${range} ${ending} ${errorPercent?.totalMs?.toFixed(0)} %${covered?.totalMs ? '' : ' MISSED'}`;
  });
  const by = finishByMs > 0 ? ` by ${finishByMs / 1000} s` : '';
  const rules = report.rounds
    .map(({ rule }) => rule)
    .slice(-3)
    .join(' ');
  const pushed = report.postCopy
    ? `, pushed ${report.postCopy.missingPages} in ${report.postCopy.residentMs.toFixed(0)} ms`
    : '';
  return `${name}${by}: ${(report.totalMs / 1000).toFixed(2)} s, ${report.rounds.length} rounds ${rules}${pushed}; ${made.join('; ')}`;
}
