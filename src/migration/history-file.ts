/**
 * A VM's history of modification rates, in a file beside it (S5).
 *
 * Owns: the file. Must hold: a damaged or missing file is an empty history, never a failed migration.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import {
  addSample,
  type DirtyHistory,
  EMPTY_HISTORY,
  findPeak,
  type HistorySample,
  parseHistory,
  trimHistory,
} from './history.ts';
import type { RoundReport } from './report.ts';

/** Shorter rounds say more about the moment than about the VM. */
const MIN_SAMPLE_MS = 50;

export class HistoryFile {
  readonly #path: string;
  #history: DirtyHistory;

  constructor(path: string) {
    this.#path = path;
    this.#history = existsSync(path) ? readHistory(path) : EMPTY_HISTORY;
  }

  get known(): DirtyHistory {
    return this.#history;
  }

  /** The newest samples, oldest first. */
  recent(count: number): HistorySample[] {
    return this.#history.samples
      .slice(-count)
      .map(({ atMs, pagesPerSecond, ms }) => ({ atMs, pagesPerSecond, ...(ms === undefined ? {} : { ms }) }));
  }

  peakPagesPerSecond(nowMs: number): number {
    return findPeak(this.#history, nowMs);
  }

  /** Takes a round's modification rate, scaled to full speed. */
  add(atMs: number, round: RoundReport): void {
    if (round.ms < MIN_SAMPLE_MS) return;
    const share = Math.max(0.01, 1 - round.throttlePercent / 100);
    const pagesPerSecond = round.modificationPagesPerSecond / share;
    this.#history = addSample(this.#history, { atMs, pagesPerSecond, ms: round.ms * share });
  }

  /** What was sampled while no migration had the VM. @param keepMs - what is older is forgotten */
  addSampled(sample: HistorySample, keepMs: number): void {
    this.#history = trimHistory(addSample(this.#history, sample), keepMs);
  }

  save(): void {
    mkdirSync(dirname(this.#path), { recursive: true });
    writeFileSync(`${this.#path}.new`, JSON.stringify(this.#history));
    renameSync(`${this.#path}.new`, this.#path);
  }
}

/** Of a VM that has arrived: what came with it is all there is. */
export function writeHistory(path: string, samples: readonly HistorySample[]): void {
  writeFileSync(path, JSON.stringify(parseHistory({ samples })));
}

function readHistory(path: string): DirtyHistory {
  try {
    return parseHistory(JSON.parse(readFileSync(path, 'utf8')));
  } catch (error) {
    if (error instanceof SyntaxError) return EMPTY_HISTORY;
    throw error;
  }
}
