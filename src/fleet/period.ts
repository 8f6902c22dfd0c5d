/**
 * Whether a VM modifies memory in a rhythm, and where in it now is (B1, B8).
 *
 * Owns: the search for a period in a dirty-rate history, and the profile of one cycle. Pure. Must hold: a period was seen
 * in at least `MIN_CYCLES` cycles, and each cycle is foretold by the others (leave one out), so that neither noise nor a
 * slow drift passes for one; nor does a rhythm that is too short to be seen, which evenly spaced samples show as a longer one
 * (aliasing); samples may be missing, doubled or far off.
 *
 * Candidates come from the autocorrelation of the samples that there are; each is refined and scored by folding. All of it
 * is done on logarithms: rates differ by powers of ten, and one burst must not outweigh an hour.
 */
import type { DirtyHistory, HistorySample } from '../migration/history.ts';

export interface Period {
  readonly periodMs: number;
  /** Unix milliseconds at which a cycle begins, and with it the profile. */
  readonly anchorMs: number;
  /** The rate in equal parts of a cycle, relative to the mean over the cycle. */
  readonly profile: readonly number[];
  /** The quarter of the cycle with the lowest rate: when it begins in the cycle, and how long it is. */
  readonly quietFromMs: number;
  readonly quietMs: number;
  /** 0 … 1: the part of the history's variance that the other cycles foretell. */
  readonly confidence: number;
}

export const MIN_CYCLES = 3;
/** Fewer show anything. */
const MIN_SAMPLES = 18;
/** A cycle must have so many slots for a quiet quarter to be seen in it. */
const MIN_SLOTS_A_CYCLE = 4;
const MAX_SLOTS = 720;
/** Divides by four, so that a quiet quarter is a whole number of parts. */
const PROFILE_PARTS = 24;
const MAX_FOLD_PARTS = 16;
/** Peaks of the autocorrelation that are looked at closely, and how high they must be. */
const MAX_CANDIDATES = 8;
const MIN_CORRELATION = 0.15;
const REFINING_STEPS = 16;
/** A peak may be one of several cycles: where these are a few slots long their own is low, since samples come at uneven intervals. */
const DIVISORS = [1, 2, 3];
/** Less of the variance foretold is no rhythm: of 4500 histories of noise, drifting noise included, one reached it. */
const MIN_CONFIDENCE = 0.35;
/** A multiple of a period scores about as high as the period itself: the shortest of those that come so close is it. */
const AS_GOOD = 0.85;
/** A quiet quarter that is busier than this, relative to the mean, is not worth waiting for. */
const MAX_QUIET_RATE = 0.8;
/**
 * Half of the gaps between samples lie within less than this part of their median on both sides: too evenly spaced. Of samples that lie up to a
 * part `a` of the gap off an even grid, sin(2πa) ÷ 2πa of an amplitude comes through as an alias; here a = 0.27, and a third of the variance:
 * less than MIN_CONFIDENCE. Samples that come at 0.5 to 1.5 of a mean gap, as a host takes them, are at 0.25.
 */
const MIN_GAP_SPREAD = 0.16;
/** So many cycles after the last sample nothing is foretold any more: the error of the period adds up. */
const MAX_CYCLES_AHEAD = 3;
/** Rates below this part of the mean are alike. */
const FLOOR_PART = 0.05;

interface Point {
  readonly atMs: number;
  readonly value: number;
}

/** null: no period that can be relied on. @param nowMs - Unix milliseconds at which it is asked for */
export function findPeriod({ samples }: DirtyHistory, nowMs: number): Period | null {
  const rates = samples.map(({ pagesPerSecond }) => pagesPerSecond);
  const mean = rates.reduce((sum, rate) => sum + rate, 0) / Math.max(1, rates.length);
  const spanMs = samples.length > 0 ? samples.at(-1)!.atMs - samples[0]!.atMs : 0;
  if (samples.length < MIN_SAMPLES || mean <= 0 || spanMs <= 0) return null;
  const gaps = samples.slice(1).map(({ atMs }, i) => atMs - samples[i]!.atMs);
  const gapMs = quantile(gaps, 0.5);
  if (quantile(gaps, 0.75) - quantile(gaps, 0.25) < 2 * MIN_GAP_SPREAD * gapMs) return null;
  const slotMs = Math.max(gapMs, spanMs / MAX_SLOTS);
  const points = samples.map(({ atMs, pagesPerSecond }) => ({
    atMs,
    value: Math.log(pagesPerSecond + mean * FLOOR_PART),
  }));
  const refined = findCandidates(points, slotMs, spanMs).map((periodMs) => refine(points, periodMs, slotMs, spanMs));
  const best = Math.max(...refined.map(({ confidence }) => confidence));
  if (best < MIN_CONFIDENCE) return null;
  const chosen = refined
    .filter(({ confidence }) => confidence >= best * AS_GOOD)
    .reduce((a, b) => (a.periodMs <= b.periodMs ? a : b));
  if (nowMs - samples.at(-1)!.atMs > chosen.periodMs * MAX_CYCLES_AHEAD) return null;
  return describe(samples, chosen.periodMs, chosen.confidence, slotMs);
}

function quantile(values: readonly number[], part: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length * part)]!;
}

/** Periods at peaks of the autocorrelation, highest first. */
function findCandidates(points: readonly Point[], slotMs: number, spanMs: number): number[] {
  const slots = Math.floor(spanMs / slotMs) + 1;
  const sums = new Float64Array(slots);
  const counts = new Uint32Array(slots);
  const start = points[0]!.atMs;
  for (const { atMs, value } of points) {
    const slot = Math.min(slots - 1, Math.round((atMs - start) / slotMs));
    sums[slot]! += value;
    counts[slot]!++;
  }
  const filled = [...counts].flatMap((count, slot) => (count > 0 ? [slot] : []));
  const mean = filled.reduce((sum, slot) => sum + sums[slot]! / counts[slot]!, 0) / filled.length;
  const values = sums.map((sum, slot) => (counts[slot]! > 0 ? sum / counts[slot]! - mean : Number.NaN));
  const longest = Math.floor(slots / MIN_CYCLES);
  const correlations = Array.from({ length: longest + 2 }, (_, lag) => correlate(values, lag));
  const peaks = correlations.flatMap((height, lag) => {
    const isPeak = height >= (correlations[lag - 1] ?? 1) && height >= (correlations[lag + 1] ?? -1);
    return isPeak && lag >= MIN_SLOTS_A_CYCLE && lag <= longest && height >= MIN_CORRELATION ? [{ lag, height }] : [];
  });
  return peaks
    .sort((a, b) => b.height - a.height)
    .slice(0, MAX_CANDIDATES)
    .flatMap(({ lag }) => DIVISORS.map((divisor) => (lag / divisor) * slotMs))
    .filter((periodMs) => periodMs >= MIN_SLOTS_A_CYCLE * slotMs);
}

/** Over the slots that are filled at both ends of the lag. */
function correlate(values: Float64Array, lag: number): number {
  let product = 0;
  let left = 0;
  let right = 0;
  for (let slot = 0; slot + lag < values.length; slot++) {
    const a = values[slot]!;
    const b = values[slot + lag]!;
    if (Number.isNaN(a + b)) continue;
    product += a * b;
    left += a * a;
    right += b * b;
  }
  return left > 0 && right > 0 ? product / Math.sqrt(left * right) : 0;
}

/** The period near a candidate that foretells most: over all cycles, half a slot in each adds up to whole ones. */
function refine(
  points: readonly Point[],
  candidateMs: number,
  slotMs: number,
  spanMs: number,
): { periodMs: number; confidence: number } {
  let best = { periodMs: candidateMs, confidence: Number.NEGATIVE_INFINITY };
  // The peak is off by a part of a slot, and where it is broad and the samples are noisy by a part of itself.
  const reachMs = Math.min(Math.max(slotMs * 0.75, candidateMs * 0.06), candidateMs / 8);
  for (let step = -REFINING_STEPS; step <= REFINING_STEPS; step++) {
    const periodMs = candidateMs + (reachMs * step) / REFINING_STEPS;
    if (spanMs + slotMs < periodMs * MIN_CYCLES) continue;
    const parts = Math.min(MAX_FOLD_PARTS, Math.max(MIN_SLOTS_A_CYCLE, Math.floor(periodMs / slotMs)));
    const confidence = scoreFold(points, periodMs, parts);
    if (confidence > best.confidence) best = { periodMs, confidence };
  }
  return best;
}

/** How much of the variance each cycle's neighbours foretell: 1 all of it, 0 or less none. */
function scoreFold(points: readonly Point[], periodMs: number, parts: number): number {
  const start = points[0]!.atMs;
  const cycles = Math.floor((points.at(-1)!.atMs - start) / periodMs) + 1;
  const sums = new Float64Array(parts * (cycles + 1));
  const counts = new Uint32Array(parts * (cycles + 1));
  const cellOf = ({ atMs }: Point): { cell: number; all: number } => {
    const phase = (atMs - start) / periodMs;
    const part = Math.min(parts - 1, Math.floor((phase - Math.floor(phase)) * parts));
    return { cell: Math.floor(phase) * parts + part, all: cycles * parts + part };
  };
  let mean = 0;
  for (const point of points) {
    const { cell, all } = cellOf(point);
    for (const at of [cell, all]) {
      sums[at]! += point.value;
      counts[at]!++;
    }
    mean += point.value / points.length;
  }
  let unexplained = 0;
  let total = 0;
  for (const point of points) {
    const { cell, all } = cellOf(point);
    const others = counts[all]! - counts[cell]!;
    const foretold = others > 0 ? (sums[all]! - sums[cell]!) / others : mean;
    unexplained += (point.value - foretold) ** 2;
    total += (point.value - mean) ** 2;
  }
  return total > 0 ? 1 - unexplained / total : 0;
}

function describe(
  samples: readonly HistorySample[],
  periodMs: number,
  confidence: number,
  slotMs: number,
): Period | null {
  // The latest cycle is the one that the next follows: an error of the period adds up from there only.
  const anchorMs = samples.at(-1)!.atMs - periodMs;
  const absolute = Array.from({ length: PROFILE_PARTS }, (_, part) =>
    rateAt(samples, { anchorMs, periodMs, phase: (part + 0.5) / PROFILE_PARTS, reach: reachOf(slotMs, periodMs) }),
  );
  const mean = absolute.reduce((sum, rate) => sum + rate, 0) / PROFILE_PARTS;
  const profile = absolute.map((rate) => rate / mean);
  const quarter = PROFILE_PARTS / 4;
  const means = profile.map((_, from) => {
    const parts = Array.from({ length: quarter }, (_, i) => profile[(from + i) % PROFILE_PARTS]!);
    return parts.reduce((sum, rate) => sum + rate, 0) / quarter;
  });
  const quietest = means.indexOf(Math.min(...means));
  if (means[quietest]! > MAX_QUIET_RATE) return null;
  const quietFromMs = (quietest * periodMs) / PROFILE_PARTS;
  return { periodMs, anchorMs, profile, quietFromMs, quietMs: periodMs / 4, confidence: Math.min(1, confidence) };
}

/** Samples this far from a phase, as a part of the cycle, count for it. */
function reachOf(slotMs: number, periodMs: number): number {
  return Math.max(1 / PROFILE_PARTS, (0.75 * slotMs) / periodMs);
}

/** The mean of the samples near a phase, the nearer the more, and the latest cycles more than those long past. */
function rateAt(
  samples: readonly HistorySample[],
  at: { readonly anchorMs: number; readonly periodMs: number; readonly phase: number; readonly reach: number },
): number {
  let sum = 0;
  let weights = 0;
  let nearest = { distance: 1, rate: 0 };
  for (const { atMs, pagesPerSecond } of samples) {
    const cycle = (atMs - at.anchorMs) / at.periodMs - at.phase;
    const distance = Math.abs(cycle - Math.round(cycle));
    if (distance < nearest.distance) nearest = { distance, rate: pagesPerSecond };
    const weight = Math.max(0, 1 - distance / at.reach) * 0.95 ** Math.max(0, -cycle);
    sum += weight * pagesPerSecond;
    weights += weight;
  }
  return weights > 0 ? sum / weights : nearest.rate;
}
