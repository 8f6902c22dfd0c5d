/**
 * What a migration was predicted to take, and how that compares with what it took (G5).
 *
 * Owns: the shape of predictions, and their score. Pure. Must hold: only a migration that completed is scored, and every
 * prediction that was recorded is, also a wrong one.
 */

/** Nine of ten actual values are meant to lie between `low` and `high`. */
export interface Interval {
  readonly low: number;
  readonly expected: number;
  readonly high: number;
}

/** What is predicted: of the whole migration, from its start to its very end. */
export interface PredictedValues<T> {
  readonly rounds: T;
  /** On the wire. */
  readonly bytes: T;
  readonly totalMs: T;
  readonly downtimeMs: T;
}

/** How it is likely to end: with the last pages sent while the VM stands still, after it has moved, or not at all. */
export type PredictedEnding = 'finish' | 'postCopy' | 'giveUp';

export interface Prediction extends PredictedValues<Interval> {
  readonly ending: PredictedEnding;
}

/** `start`: before the first page; `firstPass`: as soon as the link was measured; `round1`: after the first round. */
export type PredictionMoment = 'start' | 'firstPass' | 'round1' | 'round2';

export interface RecordedPrediction extends Prediction {
  readonly moment: PredictionMoment;
  /** Since the start of the migration. */
  readonly atMs: number;
}

export interface ScoredPrediction extends RecordedPrediction {
  /** (expected - actual) / actual, in percent; null for a migration that did not complete, and where there is no actual value. */
  readonly errorPercent: PredictedValues<number | null> | null;
  /** Whether the interval held the actual value. */
  readonly covered: PredictedValues<boolean | null> | null;
}

export interface PredictionReport {
  /** null for a migration that did not complete. */
  readonly actual: PredictedValues<number | null> | null;
  /** In the order in which they were made. */
  readonly made: readonly ScoredPrediction[];
}

/** @param actual - null: it did not complete. A VM that was paused has no downtime */
export function scorePredictions(
  made: readonly RecordedPrediction[],
  actual: PredictedValues<number | null> | null,
): PredictionReport {
  return {
    actual,
    made: made.map((prediction) => ({
      ...prediction,
      errorPercent: actual && compare(prediction, actual, errorPercentOf),
      covered: actual && compare(prediction, actual, isCovered),
    })),
  };
}

function compare<T>(
  { rounds, bytes, totalMs, downtimeMs }: Prediction,
  actual: PredictedValues<number | null>,
  by: (predicted: Interval, value: number) => T,
): PredictedValues<T | null> {
  const each = (predicted: Interval, value: number | null): T | null => (value === null ? null : by(predicted, value));
  return {
    rounds: each(rounds, actual.rounds),
    bytes: each(bytes, actual.bytes),
    totalMs: each(totalMs, actual.totalMs),
    downtimeMs: each(downtimeMs, actual.downtimeMs),
  };
}

function errorPercentOf({ expected }: Interval, actual: number): number {
  return (100 * (expected - actual)) / Math.max(Math.abs(actual), Number.EPSILON);
}

function isCovered({ low, high }: Interval, actual: number): boolean {
  return actual >= low && actual <= high;
}
