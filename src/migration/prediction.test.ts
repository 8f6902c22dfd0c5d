import { expect, test } from 'vitest';
import { type RecordedPrediction, scorePredictions } from './prediction.ts';

const exactly = (value: number) => ({ low: value, expected: value, high: value });
const MADE: RecordedPrediction = {
  moment: 'start',
  atMs: 3,
  rounds: { low: 1, expected: 2, high: 4 },
  bytes: { low: 900, expected: 1_000, high: 1_500 },
  totalMs: { low: 2_000, expected: 2_500, high: 3_000 },
  downtimeMs: exactly(20),
  ending: 'finish',
};

test('each value is compared with what came of it', () => {
  const { made } = scorePredictions([MADE], { rounds: 2, bytes: 800, totalMs: 2_000, downtimeMs: 40 });
  expect(made[0]).toMatchObject({
    ...MADE,
    errorPercent: { rounds: 0, bytes: 25, totalMs: 25, downtimeMs: -50 },
    covered: { rounds: true, bytes: false, totalMs: true, downtimeMs: false },
  });
});

test('a VM that was paused has no downtime to compare with', () => {
  const { made } = scorePredictions([MADE], { rounds: 1, bytes: 800, totalMs: 2_000, downtimeMs: null });
  expect([made[0]!.errorPercent!.downtimeMs, made[0]!.covered!.downtimeMs]).toEqual([null, null]);
});

test('a migration that did not complete is not scored, and its predictions are kept', () => {
  expect(scorePredictions([MADE], null)).toEqual({
    actual: null,
    made: [{ ...MADE, errorPercent: null, covered: null }],
  });
});
