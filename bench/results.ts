/**
 * Everything that was measured, as series, and the file that keeps them.
 *
 * Must hold: a series has one sample for each run that gave one, in order; runs that gave none are counted.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, hostname, release } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './command.ts';
import type { RunResult } from './measure.ts';

/** One measured number of one system in one scenario. */
export interface Series {
  /** `SCENARIO/SYSTEM/NUMBER`, such as `data@1gbit/qemu-multifd/downtimeMs`. */
  readonly name: string;
  readonly unit: string;
  readonly samples: number[];
}

/** What became of the runs of one system in one scenario. */
export interface Tally {
  runs: number;
  measured: number;
  /** The guest came out with wrong memory, or not at all. */
  broken: number;
  notConverged: number;
  failed: number;
  readonly remarks: string[];
}

const RESULTS_DIRECTORY = fileURLToPath(new URL('results/', import.meta.url));

/** By the end of the name. */
const UNITS: readonly [RegExp, string][] = [
  [/Microseconds(P\d+)?$/, 'us'],
  [/(Ms|^downtime\..*)$/, 'ms'],
  [/Megabytes$/, 'MB'],
  [/Percent$/, '%'],
  [/Covered$/, 'share'],
  [/Points$/, 'percentage points'],
  [/Seconds$/, 's'],
];

export class Results {
  readonly #series = new Map<string, Series>();
  readonly #tallies = new Map<string, Tally>();

  /** @param name - `SCENARIO/SYSTEM` */
  addRun(name: string, result: RunResult): void {
    const tally = this.tally(name);
    tally.runs++;
    if (result.kind === 'measured') {
      tally.measured++;
      for (const [number, value] of Object.entries(result.numbers)) this.add(`${name}/${number}`, value);
      if (result.damage === undefined) return;
      tally.broken++;
      tally.remarks.push(`guest broken: ${result.damage}`);
    } else if (result.kind === 'notConverged') {
      tally.notConverged++;
      tally.remarks.push(`called off after ${(result.afterMs / 1000).toFixed(0)} s`);
    } else {
      tally.failed++;
      tally.remarks.push(`failed: ${result.reason}`);
    }
  }

  /** Numbers that are none are left out. */
  add(name: string, value: number): void {
    if (!Number.isFinite(value)) return;
    const number = name.slice(name.lastIndexOf('/') + 1);
    const unit = UNITS.find(([pattern]) => pattern.test(number))?.[1] ?? 'count';
    const series = this.#series.get(name) ?? { name, unit, samples: [] };
    series.samples.push(value);
    this.#series.set(name, series);
  }

  /** Empty when nothing of the name was measured. */
  samples(name: string): readonly number[] {
    return this.#series.get(name)?.samples ?? [];
  }

  tally(name: string): Tally {
    const known = this.#tallies.get(name);
    if (known !== undefined) return known;
    const tally = { runs: 0, measured: 0, broken: 0, notConverged: 0, failed: 0, remarks: [] };
    this.#tallies.set(name, tally);
    return tally;
  }

  hasRun(name: string): boolean {
    return this.#tallies.has(name);
  }

  /** Writes the file and returns its path. */
  async save(qemuVersion: string): Promise<string> {
    const date = new Date().toISOString();
    const facts = { rev: await revision(), host: describeHost(), kernel: release(), qemu: qemuVersion, date };
    const document = {
      ...facts,
      series: [...this.#series.values()].map((series) => ({ ...series, ...facts })),
      runs: Object.fromEntries(this.#tallies),
    };
    mkdirSync(RESULTS_DIRECTORY, { recursive: true });
    const path = join(RESULTS_DIRECTORY, `${date.replaceAll(/[:.]/g, '-')}.json`);
    writeFileSync(path, `${JSON.stringify(document, null, 1)}\n`);
    return path;
  }
}

export function describeHost(): string {
  const all = cpus();
  return `${hostname()}, ${all.length} × ${all[0]?.model ?? 'unknown CPU'}`;
}

/** A checkout with changes that are not committed is marked. */
async function revision(): Promise<string> {
  const directory = fileURLToPath(new URL('..', import.meta.url));
  try {
    const text = await run('git', '-C', directory, 'describe', '--always', '--dirty', '--abbrev=12');
    return text.trim();
  } catch {
    return 'unknown'; // not a checkout
  }
}
