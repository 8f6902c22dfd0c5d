import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type DirtySample,
  dirtyAfter,
  fitDirtyCurve,
  idleCurve,
  modifiedBeforeTurn,
  modifiedWithin,
  scaleCurve,
} from './dirty-curve.ts';

const ALL = 65_536;
const TIMES = [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56];

function sampled(pagesAt: (seconds: number) => number): DirtySample[] {
  return TIMES.map((seconds) => ({ seconds, pages: pagesAt(seconds), weight: 1 }));
}

/** A VM that goes over its working set again and again, page by page. */
const sequential = (workingSet: number, pagesPerSecond: number) => (seconds: number) =>
  Math.min(workingSet, pagesPerSecond * seconds);
const random = (workingSet: number, writesPerSecond: number) => (seconds: number) =>
  workingSet * -Math.expm1((-writesPerSecond * seconds) / workingSet);

describe('the fitted curve', () => {
  // Columns: VM, its curve, a time at which it was not sampled, how far off at most.
  test.each([
    ['a random writer', random(16_384, 20_000), 0.5, 0.05],
    ['a slow random writer', random(40_000, 2_000), 0.5, 0.05],
    ['a fast random writer that has written all', random(4_096, 400_000), 0.5, 0.05],
    ['a sequential writer on its way', sequential(60_000, 10_000), 0.5, 0.05],
    ['a sequential writer that has come round', sequential(8_192, 30_000), 1, 0.15],
    ['hot and cold pages', (t: number) => random(1_000, 50_000)(t) + random(30_000, 3_000)(t), 1, 0.05],
  ])('%s is known between samples', (_, pagesAt, seconds, part) => {
    const curve = fitDirtyCurve(sampled(pagesAt), ALL);
    expect(Math.abs(dirtyAfter(curve, seconds) / pagesAt(seconds) - 1)).toBeLessThan(part);
  });

  test('ends at the working set, long after the last sample', () => {
    const curve = fitDirtyCurve(sampled(random(16_384, 60_000)), ALL);
    expect(dirtyAfter(curve, 60)).toBeGreaterThan(15_500);
    expect(dirtyAfter(curve, 60)).toBeLessThan(18_000);
  });

  test('newer samples count more than older ones that contradict them', () => {
    const old = sampled(random(16_384, 100_000)).map((sample) => ({ ...sample, weight: 0.05 }));
    const curve = fitDirtyCurve([...old, ...sampled(random(1_000, 2_000))], ALL);
    expect(dirtyAfter(curve, 1)).toBeLessThan(2_500);
  });

  test('of nothing is a VM that writes nothing', () => {
    expect(fitDirtyCurve([], ALL)).toEqual(idleCurve(ALL));
    expect(dirtyAfter(idleCurve(ALL), 10)).toBe(0);
  });

  test('never falls, is never negative and never passes all pages, whatever was sampled', () => {
    const sample = fc.record({
      seconds: fc.double({ min: 0, max: 100, noNaN: true }),
      pages: fc.integer({ min: 0, max: 2 * ALL }),
      weight: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(sample, { maxLength: 12 }), (samples) => {
        const curve = fitDirtyCurve(samples, ALL);
        const values = [0, 0.001, 0.1, 1, 10, 1_000].map((seconds) => dirtyAfter(curve, seconds));
        expect(values).toEqual(values.toSorted((a, b) => a - b));
        expect(values[0]).toBe(0);
        expect(values.at(-1)).toBeLessThanOrEqual(ALL);
      }),
      { numRuns: 100 },
    );
  });
});

describe('pages of a round', () => {
  const curve = fitDirtyCurve(sampled(random(16_384, 20_000)), ALL);

  test('modified before their turn are fewer than modified at its end', () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-3, max: 100, noNaN: true }), (seconds) => {
        const before = modifiedBeforeTurn(curve.pagesByRate, seconds);
        expect(before).toBeGreaterThanOrEqual(0);
        expect(before).toBeLessThanOrEqual(dirtyAfter(curve, seconds) + 1e-6);
      }),
    );
  });

  test('of a random writer are modified again as a sender that goes through them finds', () => {
    // 1 - (1 - e^-x) / x with x = 20 000 / 16 384.
    const x = 20_000 / 16_384;
    expect(modifiedBeforeTurn(curve.pagesByRate, 1) / 16_384).toBeCloseTo(1 + Math.expm1(-x) / x, 1);
  });

  test('that were modified in a short time are fewer, and hotter', () => {
    const few = modifiedWithin(curve, 0.05).reduce((sum, pages) => sum + pages, 0);
    expect(few).toBeCloseTo(dirtyAfter(curve, 0.05), 3);
    expect(dirtyAfter(scaleCurve(curve, 2), 0.05)).toBeCloseTo(2 * few, 3);
  });
});
