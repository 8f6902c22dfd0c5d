/**
 * The progress of a migration over time, as the page has seen it: what the live charts are drawn from.
 *
 * Owns: the samples' thinning and the rounds that can be told from them. Pure. Must hold: memory is bounded however long a
 * migration takes: when there are too many, every second one goes, the latest never.
 */
import type { MigrationView } from '../../src/api/migration-schema.ts';

type Progress = NonNullable<MigrationView['progress']>;

export interface LiveSample {
  readonly atMs: number;
  readonly round: number;
  readonly sentBytes: number;
  readonly remainingBytes: number;
  readonly bytesPerSecond: number;
  readonly dirtyBytesPerSecond: number;
  readonly throttlePercent: number;
}

export interface SeenRound {
  readonly number: number;
  readonly bytes: number;
  readonly ms: number;
  /** What was left when it ended, or is now. */
  readonly remainingBytes: number;
}

/** Twice what a chart of a wide screen can show apart. */
const MAX_SAMPLES = 2400;

export function addSample(samples: readonly LiveSample[], progress: Progress, atMs: number): readonly LiveSample[] {
  const { round, sentBytes, remainingBytes, bytesPerSecond, dirtyBytesPerSecond, throttlePercent } = progress;
  const sample = { atMs, round, sentBytes, remainingBytes, bytesPerSecond, dirtyBytesPerSecond, throttlePercent };
  const kept = samples.length < MAX_SAMPLES ? samples : samples.filter((_, index) => index % 2 === 0);
  return [...kept, sample];
}

/** Rounds as they were seen; the last one runs still. */
export function roundsSeen(samples: readonly LiveSample[]): SeenRound[] {
  const rounds: SeenRound[] = [];
  let first = samples[0];
  let last = first;
  for (const sample of samples) {
    if (first === undefined || last === undefined || sample.round !== first.round) {
      first = last ?? sample;
      first = { ...first, round: sample.round };
      rounds.push(roundOf(first, sample));
    } else if (rounds.length === 0) rounds.push(roundOf(first, sample));
    else rounds[rounds.length - 1] = roundOf(first, sample);
    last = sample;
  }
  return rounds;
}

function roundOf(first: LiveSample, last: LiveSample): SeenRound {
  return {
    number: last.round,
    bytes: last.sentBytes - first.sentBytes,
    ms: last.atMs - first.atMs,
    remainingBytes: last.remainingBytes,
  };
}
