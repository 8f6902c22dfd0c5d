import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  addSample,
  EMPTY_HISTORY,
  findPeak,
  HISTORY_MS,
  LONGEST_HISTORY_MS,
  MAX_SAMPLES,
  mergeHistories,
  parseHistory,
} from './history.ts';
import { DEFAULT_MIGRATION_OPTIONS } from './request.ts';
import { adviseThrottle, computeInitialThrottle } from './throttle.ts';

const OPTIONS = DEFAULT_MIGRATION_OPTIONS.throttle;

describe('adviseThrottle', () => {
  test.each([
    ['no need at all', 0, 30_000, 1_000, 0, null],
    ['just above the ratio', 0, 30_000, 5_900, 0, null],
    ['at the ratio', 0, 30_000, 6_000, 0, 'S3'],
    ['close by: a small step', 0, 30_000, 7_500, 20, 'S3'],
    ['far away: a large step', 0, 30_000, 30_000, 80, 'S3'],
    ['very far away: at most a factor of ten', 0, 30_000, 380_000, 90, 'S3'],
    ['again, from there', 90, 30_000, 38_000, 98, 'S3'],
    ['never above the maximum', 98, 30_000, 380_000, 99, 'S3'],
    ['keeps what works', 60, 30_000, 3_000, 60, null],
    ['lets go when far from needed', 60, 30_000, 1_000, 40, 'relax'],
    ['lets go of the last bit', 10, 30_000, 0, 0, 'relax'],
  ] as const)('%s: from %i %% at %i sent and %i modified a second', (_, now, transmission, modification, percent, rule) => {
    expect(adviseThrottle(now, { transmission, modification }, OPTIONS)).toEqual({ percent, rule });
  });

  test('S4 slows in proportion to the shortfall, whatever the ratio', () => {
    const options = { ...OPTIONS, minPagesPerSecond: 40_000 };
    expect(adviseThrottle(0, { transmission: 10_000, modification: 10 }, options)).toEqual({ percent: 74, rule: 'S4' });
  });

  test('switched off, nothing is slowed', () => {
    const advice = adviseThrottle(50, { transmission: 1, modification: 1e6 }, { ...OPTIONS, enabled: false });
    expect(advice).toEqual({ percent: 0, rule: null });
  });

  test('more modification never means less slowdown, and the maximum holds', () => {
    const rate = fc.integer({ min: 0, max: 1_000_000 });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 99 }), rate, rate, rate, (now, transmission, a, b) => {
        const [low, high] = a < b ? [a, b] : [b, a];
        const less = adviseThrottle(now, { transmission, modification: low }, OPTIONS).percent;
        const more = adviseThrottle(now, { transmission, modification: high }, OPTIONS).percent;
        expect(more).toBeGreaterThanOrEqual(less);
        expect(more).toBeLessThanOrEqual(OPTIONS.maxPercent);
      }),
    );
  });
});

test('S5 brings a busy VM down to the threshold and leaves a quiet one alone', () => {
  expect(computeInitialThrottle(20_000, OPTIONS)).toBe(0);
  expect(computeInitialThrottle(80_000, OPTIONS)).toBe(75);
  expect(computeInitialThrottle(80_000, { ...OPTIONS, historyPagesPerSecond: 0 })).toBe(0);
});

describe('history', () => {
  test('forgets what is more than a day older than the newest sample', () => {
    const old = addSample(EMPTY_HISTORY, { atMs: 1_000, pagesPerSecond: 9 });
    const now = addSample(old, { atMs: 1_000 + LONGEST_HISTORY_MS, pagesPerSecond: 2 });
    expect(now.samples).toEqual([{ atMs: 1_000 + LONGEST_HISTORY_MS, pagesPerSecond: 2 }]);
  });

  test('the peak does not count samples that have become too old since', () => {
    const history = addSample(EMPTY_HISTORY, { atMs: 1_000, pagesPerSecond: 9 });
    expect(findPeak(history, 2_000)).toBe(9);
    expect(findPeak(history, 1_000 + HISTORY_MS)).toBe(0);
  });

  test('merging keeps the order, the bound and the higher of two samples, whichever side comes first', () => {
    const sample = fc.record({ atMs: fc.nat(5_000), pagesPerSecond: fc.nat(100) });
    const samples = fc.array(sample, { maxLength: 1_000 });
    fc.assert(
      fc.property(samples, samples, (a, b) => {
        const merged = mergeHistories({ samples: a }, { samples: b });
        expect(merged).toEqual(mergeHistories({ samples: b }, { samples: a }));
        expect(merged.samples.length).toBeLessThanOrEqual(MAX_SAMPLES);
        expect(merged.samples).toEqual(merged.samples.toSorted((x, y) => x.atMs - y.atMs));
      }),
      { numRuns: 30 },
    );
  });

  test.each([
    [null, 0],
    ['rubbish', 0],
    [{ samples: 3 }, 0],
    [{ samples: [null, { atMs: 'x', pagesPerSecond: 1 }, { atMs: 1, pagesPerSecond: -1 }] }, 0],
    [{ samples: [{ atMs: 1, pagesPerSecond: 7 }, { atMs: 2 }] }, 1],
    [{ samples: [{ atMs: 1, pagesPerSecond: 7, points: [{ ms: 100, pages: 7 }] }] }, 1],
    [{ samples: [{ atMs: 1, pagesPerSecond: 7, points: [{ ms: 100 }] }] }, 0],
    [{ samples: [{ atMs: 1, pagesPerSecond: 7, points: new Array(17).fill({ ms: 1, pages: 1 }) }] }, 0],
  ])('%j is read as a history of %i samples', (value, count) => {
    expect(parseHistory(value).samples).toHaveLength(count);
  });
});
