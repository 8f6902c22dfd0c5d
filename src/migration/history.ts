/**
 * How fast a VM has modified memory lately: the history behind rule S5, predictions and plans (B1).
 *
 * Owns: the samples' rules. A sample says how many pages a second were modified at full speed; one that was taken while
 * the vCPUs were slowed is scaled up by whoever takes it. The host keeps the history in a file beside the VM and sends
 * it along with the VM.
 * Must hold: samples are ascending in time, none is older than a day before the newest, and there are at most
 * `MAX_SAMPLES`.
 */
import type { DirtySample } from './dirty-curve.ts';
import type { WrittenAfter } from './dirty-window.ts';

export interface HistorySample {
  /** Unix milliseconds. */
  readonly atMs: number;
  readonly pagesPerSecond: number;
  /** Of the vCPUs at full speed, over which it was measured: pages count once in that time. */
  readonly ms?: number | undefined;
  /** How that grew: pages count once, since the beginning. Of what was sampled while no migration had the VM. */
  readonly points?: readonly WrittenAfter[] | undefined;
}

export interface DirtyHistory {
  readonly samples: readonly HistorySample[];
}

/** Over which S5 looks, and B1's default. */
export const HISTORY_MS = 3_600_000;
/** What may be kept: a day, of one sample in 30 s. */
export const LONGEST_HISTORY_MS = 86_400_000;
export const MAX_SAMPLES = 2880;
const MAX_POINTS = 16;
/** What a sample of an older history was taken over. */
const UNKNOWN_SAMPLE_MS = 1000;

export const EMPTY_HISTORY: DirtyHistory = { samples: [] };

export function addSample(history: DirtyHistory, sample: HistorySample): DirtyHistory {
  return mergeHistories(history, { samples: [sample] });
}

/** Both histories as one; of two samples of one moment the higher stays. */
export function mergeHistories(a: DirtyHistory, b: DirtyHistory): DirtyHistory {
  const byTime = new Map<number, HistorySample>();
  for (const sample of [...a.samples, ...b.samples]) {
    const known = byTime.get(sample.atMs);
    if (!known || isHigher(sample, known)) byTime.set(sample.atMs, sample);
  }
  const samples = [...byTime.values()].sort((left, right) => left.atMs - right.atMs);
  return trimHistory({ samples }, LONGEST_HISTORY_MS);
}

/** What is older than so long before the newest sample is left out. */
export function trimHistory({ samples }: DirtyHistory, keepMs: number): DirtyHistory {
  const newest = samples.at(-1)?.atMs ?? 0;
  return { samples: samples.filter(({ atMs }) => atMs > newest - keepMs).slice(-MAX_SAMPLES) };
}

/** The highest rate of the last hour before `nowMs`; 0 without samples. */
export function findPeak(history: DirtyHistory, nowMs: number): number {
  let peak = 0;
  for (const { atMs, pagesPerSecond } of history.samples) {
    if (atMs > nowMs - HISTORY_MS) peak = Math.max(peak, pagesPerSecond);
  }
  return peak;
}

/** What one sample says of the VM's dirty curve: one look at it, however many points that has. */
export function dirtySamplesOf({
  pagesPerSecond,
  ms,
  points = [],
}: Pick<HistorySample, 'pagesPerSecond' | 'points'> & { readonly ms?: number | null | undefined }): DirtySample[] {
  const measuredMs = ms ?? UNKNOWN_SAMPLE_MS;
  const found = points.length > 0 ? points : [{ ms: measuredMs, pages: (pagesPerSecond * measuredMs) / 1000 }];
  return found.map((point) => ({ seconds: point.ms / 1000, pages: point.pages, weight: 1 / found.length }));
}

/** A history from a file or a peer; what is not a sample is left out, so a damaged history is only a shorter one. */
export function parseHistory(value: unknown): DirtyHistory {
  const samples = (value as { samples?: unknown } | null)?.samples;
  if (!Array.isArray(samples)) return EMPTY_HISTORY;
  return mergeHistories({ samples: samples.slice(-MAX_SAMPLES).filter(isSample) }, EMPTY_HISTORY);
}

function isHigher(a: HistorySample, b: HistorySample): boolean {
  if (a.pagesPerSecond !== b.pagesPerSecond) return a.pagesPerSecond > b.pagesPerSecond;
  return (a.ms ?? 0) > (b.ms ?? 0);
}

function isSample(value: unknown): value is HistorySample {
  const { atMs, pagesPerSecond, ms, points } = (value ?? {}) as Partial<Record<keyof HistorySample, unknown>>;
  const isMeasured = isNonNegative(atMs) && isNonNegative(pagesPerSecond) && (ms === undefined || isNonNegative(ms));
  return (
    isMeasured &&
    (points === undefined || (Array.isArray(points) && points.length <= MAX_POINTS && points.every(isPoint)))
  );
}

function isPoint(value: unknown): value is WrittenAfter {
  const { ms, pages } = (value ?? {}) as Partial<Record<keyof WrittenAfter, unknown>>;
  return isNonNegative(ms) && isNonNegative(pages);
}

function isNonNegative(value: unknown): boolean {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}
