/**
 * One run: a guest boots, works for a while, is moved, and is looked at afterwards.
 *
 * Must hold: everything is measured from outside and for every system alike. docs/performance.md says what each number
 * means.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Guest } from './guest.ts';
import type { NetworkPair } from './network.ts';
import { type Observation, Observer, type ProgressSeries } from './observer.ts';
import { findProgressCounters } from './progress-page.ts';
import { resumedAt, stoppedAt } from './run-state-log.ts';
import { type Bench, type Move, type System, wallMs } from './system.ts';
import { GUEST_MEMORY_MEBIBYTES, type Workload } from './workloads.ts';

export type RunResult =
  | {
      readonly kind: 'measured';
      readonly numbers: Readonly<Record<string, number>>;
      readonly damage: string | undefined;
    }
  | { readonly kind: 'notConverged'; readonly afterMs: number }
  | { readonly kind: 'failed'; readonly reason: string };

/** The guest's kernel sorts its memory for some seconds after the start (khugepaged), and works slower meanwhile. */
const WARM_UP_MS = 4_000;
const UNDISTURBED_MS = 2_000;
/** How long after the end a gap in the guest's progress still belongs to the migration. */
const AFTERMATH_MS = 1_000;
/** After the resume: when most of the pages that the guest wants first are still missing in post-copy. */
const FIRST_MS = 1_000;

export async function measureRun(
  bench: Bench,
  network: NetworkPair,
  system: System,
  workload: Workload,
  name: string,
): Promise<RunResult> {
  const directory = join(bench.directory, name);
  mkdirSync(directory);
  await using session = await system.open({ name, directory }, workload);
  const { source } = session;
  await source.booted();
  await delay(WARM_UP_MS);
  const offset = findProgressCounters(source.ramFd, GUEST_MEMORY_MEBIBYTES * 2 ** 20);
  await using observer = new Observer(source, offset);
  for (const helper of session.helpers) observer.processFound(helper);
  const prepared = await session.prepare();
  if (prepared !== undefined) observer.destinationFound(prepared);
  const undisturbedFromMs = wallMs();
  await delay(UNDISTURBED_MS);
  const bytesBefore = await network.wireBytes();
  const move = await session.migrate((destination) => observer.destinationFound(destination));
  if (move.kind !== 'moved') return move;
  const wireBytes = (await network.wireBytes()) - bytesBefore;
  await delay(AFTERMATH_MS);
  const observation = await observer.finish();
  const damage = await move.destination.findDamage();
  return judge(source, move, observation, { undisturbedFromMs, wireBytes, damage });
}

function judge(
  source: Guest,
  move: Extract<Move, { kind: 'moved' }>,
  { progress, cpu }: Observation,
  facts: { undisturbedFromMs: number; wireBytes: number; damage: string | undefined },
): RunResult {
  const stoppedMs = stoppedAt(source.runStates);
  const resumedMs = resumedAt(move.destination.runStates);
  if (stoppedMs === undefined || resumedMs === undefined) {
    return { kind: 'failed', reason: 'the traces show no stop at the source or no resume at the destination' };
  }
  const { startedAtMs, endedAtMs, preparedAtMs, preparingMs } = move;
  const movingMs = endedAtMs - preparedAtMs;
  const undisturbed = rateBetween(progress.source, facts.undisturbedFromMs, startedAtMs);
  const workAtStop = valueAt(progress.source, stoppedMs + AFTERMATH_MS);
  const steps = [
    ...stepsBetween(progress.source, startedAtMs, stoppedMs, 0),
    ...stepsBetween(progress.destination, resumedMs, endedAtMs + AFTERMATH_MS, workAtStop),
  ];
  const workFrom = valueAt(progress.source, startedAtMs);
  const workTo = Math.max(valueAt(progress.destination, endedAtMs), valueAt(progress.source, endedAtMs));
  const workPercent = (100 * (workTo - workFrom)) / (undisturbed * (endedAtMs - startedAtMs));
  const [sourceCpuSeconds, destinationCpuSeconds] = [cpu.source, cpu.destination].map(
    (series) => valueAt(series, endedAtMs) - valueAt(series, startedAtMs),
  ) as [number, number];
  const numbers: Record<string, number> = {
    totalMs: preparingMs + movingMs,
    totalWithoutPreparingMs: movingMs,
    downtimeMs: resumedMs - stoppedMs,
    gapMs: gapAround(steps, stoppedMs, resumedMs),
    longestGapMs: longestGap([startedAtMs, ...steps]),
    wireMegabytes: facts.wireBytes / 1e6,
    workPercent,
    lostPercent: 100 - workPercent,
    firstSecondPercent:
      (100 * (valueAt(progress.destination, resumedMs + FIRST_MS) - workAtStop)) / (undisturbed * FIRST_MS),
    cpuSeconds: sourceCpuSeconds + destinationCpuSeconds,
    sourceCpuSeconds,
    destinationCpuSeconds,
    ...move.own,
  };
  return { kind: 'measured', numbers, damage: facts.damage };
}

/** The last value seen at a time; 0 before the first. */
function valueAt({ times, values }: ProgressSeries, atMs: number): number {
  const index = times.findLastIndex((time) => time <= atMs);
  return index === -1 ? 0 : values[index]!;
}

/** Progress per millisecond. */
function rateBetween(series: ProgressSeries, fromMs: number, toMs: number): number {
  // The observer's thread takes a moment to start.
  const seenFromMs = Math.max(fromMs, series.times[0] ?? fromMs);
  return (valueAt(series, toMs) - valueAt(series, seenFromMs)) / (toMs - seenFromMs);
}

/**
 * When the guest was seen to go on. A counter that appears is no step, because memory gets there without the guest;
 * unless it shows more work than the other side ever did.
 */
function stepsBetween({ times, values }: ProgressSeries, fromMs: number, toMs: number, beyond: number): number[] {
  return times.filter((time, index) => {
    const appeared = index === 0 || values[index - 1] === 0;
    return time >= fromMs && time <= toMs && (!appeared || values[index]! > beyond);
  });
}

/** From the last step before the stop to the first after the resume. NaN when the guest did not go on. */
function gapAround(steps: readonly number[], stoppedMs: number, resumedMs: number): number {
  const before = steps.findLast((time) => time <= stoppedMs);
  const after = steps.find((time) => time >= resumedMs);
  return before === undefined || after === undefined ? Number.NaN : after - before;
}

function longestGap(times: readonly number[]): number {
  let longest = 0;
  for (let i = 1; i < times.length; i++) longest = Math.max(longest, times[i]! - times[i - 1]!);
  return longest;
}
