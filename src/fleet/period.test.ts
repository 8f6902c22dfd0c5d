import { describe, expect, test } from 'vitest';
import { type Random, randomFrom } from '../base/random.ts';
import type { DirtyHistory } from '../migration/history.ts';
import { findPeriod, type Period } from './period.ts';
import { dirtyFactor, isQuiet, quietOpensMs, quietWaitMs } from './quiet-phase.ts';

const MINUTE = 60_000;
const START = 1e12;

/** Of an hour. Samples come as a host takes them, at 0.5 to 1.5 of the gap; `isEven`: as near the gap as a clock is. */
function historyOf(
  gapMs: number,
  rate: (ms: number) => number,
  { random = randomFrom(1), noise = 0, missing = 0, outliers = 0, isEven = false } = {},
): DirtyHistory {
  let ms = 0;
  const samples = Array.from({ length: Math.floor((60 * MINUTE) / gapMs) }, () => {
    ms += gapMs * (isEven ? 1 + (random() - 0.5) * 0.02 : 0.5 + random());
    const pagesPerSecond = rate(ms) * Math.exp(noise * normal(random)) * (random() < outliers ? 20 : 1);
    return { atMs: START + ms, pagesPerSecond };
  });
  return { samples: samples.filter(() => random() >= missing) };
}

const findPeriodOf = (history: DirtyHistory): Period | null =>
  findPeriod(history, history.samples.at(-1)?.atMs ?? START);

function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** Busy for the first 40 % of its period. */
const pulse = (periodMs: number) => (ms: number) => (ms % periodMs < periodMs * 0.4 ? 3000 : 200);
const wave = (periodMs: number) => (ms: number) => 1000 * (1.1 - Math.cos((2 * Math.PI * ms) / periodMs));

describe('a history in a rhythm', () => {
  test.each([
    ['pulses of 5 min, looked at once a minute', MINUTE, 5 * MINUTE, pulse],
    ['pulses of 7.3 min', MINUTE, 7.3 * MINUTE, pulse],
    ['pulses of 18 min', MINUTE, 18 * MINUTE, pulse],
    ['pulses of a minute, looked at every 5 s', 5_000, MINUTE, pulse],
    ['waves of 12 min', MINUTE, 12 * MINUTE, wave],
    ['waves of 18 min, looked at every 5 s', 5_000, 18 * MINUTE, wave],
  ])('%s: its period is found, with noise, gaps and outliers', (_, gapMs, periodMs, shape) => {
    const random = randomFrom(periodMs + gapMs);
    const history = historyOf(gapMs, shape(periodMs), { random, noise: 0.2, missing: 0.15, outliers: 0.02 });
    const period = findPeriodOf(history);
    expect(period?.periodMs).toBeGreaterThan(periodMs * 0.96);
    expect(period?.periodMs).toBeLessThan(periodMs * 1.04);
    expect(period?.confidence).toBeGreaterThan(0.35);
  });

  test('of half a minute is found in ten minutes of looks that come as often as can be', () => {
    const { samples } = historyOf(6_000, pulse(28_000), { noise: 0.1 });
    const period = findPeriodOf({ samples: samples.slice(0, 100) });
    expect(period?.periodMs).toBeGreaterThan(27_000);
    expect(period?.periodMs).toBeLessThan(29_000);
  });

  test('has its quiet quarter where the rate is lowest, also far in the future', () => {
    const periodMs = 9 * MINUTE;
    const period = findPeriodOf(historyOf(10_000, wave(periodMs), { noise: 0.1 }))!;
    // The wave's minimum is at its phase 0.
    const minimum = START + 8 * periodMs;
    expect(isQuiet(period, minimum)).toBe(true);
    expect(isQuiet(period, minimum + periodMs / 2)).toBe(false);
    expect(dirtyFactor(period, minimum, MINUTE)).toBeLessThan(0.5);
    expect(dirtyFactor(period, minimum + periodMs / 2, MINUTE)).toBeGreaterThan(1.5);
    expect(dirtyFactor(period, minimum, periodMs)).toBeCloseTo(1, 1);
  });

  test('is started in its true quiet quarter nine times of ten', () => {
    const started = Array.from({ length: 60 }, (_, seed) => {
      const random = randomFrom(seed);
      const periodMs = (5 + random() * 10) * MINUTE;
      const period = findPeriodOf(historyOf(MINUTE, wave(periodMs), { random, noise: 0.2, missing: 0.1 }));
      if (!period) return null;
      const askedMs = START + (60 + 20 * random()) * MINUTE;
      const phase = (askedMs + quietWaitMs(period, askedMs, 1000) - START) / periodMs;
      return Math.abs(phase - Math.round(phase)) <= 1 / 8;
    });
    const found = started.filter((each) => each !== null);
    expect(found.length).toBeGreaterThan(54);
    expect(found.filter(Boolean).length / found.length).toBeGreaterThanOrEqual(0.9);
  });
});

describe('no period', () => {
  test.each([
    ['nothing', { samples: [] }],
    ['a few samples', historyOf(5 * MINUTE, wave(15 * MINUTE))],
    ['a VM that writes nothing', historyOf(MINUTE, () => 0)],
    ['one that always writes as much', historyOf(MINUTE, () => 500)],
    ['one that writes more and more', historyOf(MINUTE, (ms) => 100 + ms / 1000)],
    ['one that changed once', historyOf(MINUTE, (ms) => (ms < 30 * MINUTE ? 100 : 5000))],
    ['two cycles only', historyOf(MINUTE, wave(30 * MINUTE))],
    ['a rhythm of seconds, looked at evenly', historyOf(61_000, pulse(28_000), { isEven: true })],
    [
      'one of minutes, looked at so evenly that it may as well be one of seconds',
      historyOf(MINUTE, wave(12 * MINUTE), { isEven: true }),
    ],
    ['a rhythm that hardly shows', historyOf(MINUTE, (ms) => 1000 + wave(10 * MINUTE)(ms) / 10)],
  ])('is found for %s', (_, history) => {
    expect(findPeriodOf(history)).toBeNull();
  });

  test.each([
    [61_000, 28_000],
    [60_000, 70_000],
    [60_000, 45_000],
  ])('is found in looks every %s ms at a rhythm of %s ms, but for 2 of 100', (gapMs, periodMs) => {
    const found = Array.from({ length: 200 }, (_, seed) =>
      findPeriodOf(historyOf(gapMs, pulse(periodMs), { random: randomFrom(seed), noise: 0.1 })),
    );
    expect(found.filter((each) => each !== null).length).toBeLessThanOrEqual(4);
  });

  test('is told any more when three cycles have passed since the last look', () => {
    const history = historyOf(MINUTE, wave(9 * MINUTE), { noise: 0.1 });
    const lastMs = history.samples.at(-1)!.atMs;
    const { periodMs } = findPeriod(history, lastMs)!;
    expect(findPeriod(history, lastMs + 2.9 * periodMs)).toEqual(findPeriod(history, lastMs));
    expect(findPeriod(history, lastMs + 3.1 * periodMs)).toBeNull();
  });

  test.each([
    0, 0.5, 0.8, 0.95,
  ])('is found in noise of which each sample is %s of the last, but for 2 of 100', (memory) => {
    const random = randomFrom(Math.round(memory * 100));
    const found = Array.from({ length: 200 }, () => {
      let level = 0;
      const rate = (): number => {
        level = memory * level + Math.sqrt(1 - memory ** 2) * normal(random);
        return 1000 * Math.exp(0.7 * level);
      };
      return findPeriodOf(historyOf(MINUTE, rate, { random, missing: 0.1 })) !== null;
    });
    expect(found.filter(Boolean).length).toBeLessThanOrEqual(4);
  });
});

describe('the wait for a quiet phase', () => {
  const period = {
    periodMs: 1000,
    anchorMs: START,
    profile: Array.from({ length: 24 }, (_, part) => (part >= 12 && part < 18 ? 0.1 : 1.3)),
    quietFromMs: 500,
    quietMs: 250,
    confidence: 0.9,
  };

  test.each([
    ['in the busy phase: until a third into the quiet one', 0, 100, 575],
    ['just in the quiet phase: as long as its beginning may be wrong', 510, 100, 65],
    ['well in it', 600, 100, 0],
    ['at its very end: for the next', 740, 100, 835],
    ['of a migration that takes longer than the rhythm', 0, 900, 0],
    ['long ago', -10_000, 100, 575],
  ])('%s', (_, atMs, lastingMs, waitMs) => {
    expect(quietWaitMs(period, START + atMs, lastingMs)).toBeCloseTo(waitMs, 6);
  });

  test('would be over at once for who looks when the phase has opened', () => {
    const opensMs = quietOpensMs(period, START, 100);
    expect(quietWaitMs(period, START + opensMs + 1e-3, 100)).toBe(0);
    expect(quietWaitMs(period, START + opensMs - 1, 100)).toBeGreaterThan(0);
  });
});
