import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { randomFrom } from '../base/random.ts';
import { largestQuantiles, type Quantiles, sumQuantiles, TENTH_SCORE } from './quantiles.ts';

const quantiles = fc
  .tuple(fc.double({ min: 1, max: 1e6, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true }))
  .map(([p50, spread]) => ({ p10: p50 * (1 - spread * 0.9), p50, p90: p50 * (1 + spread) }));

test('the sum of several is no surer than that of independent ones, no less sure than that of wholly alike ones', () => {
  fc.assert(
    fc.property(fc.array(quantiles, { minLength: 1, maxLength: 10 }), (all) => {
      const sum = sumQuantiles(all, 0.7);
      const total = (of: (each: (typeof all)[number]) => number): number => all.reduce((s, each) => s + of(each), 0);
      const apart = Math.sqrt(total(({ p50, p90 }) => (p90 - p50) ** 2));
      expect(sum.p50).toBeCloseTo(
        total(({ p50 }) => p50),
        3,
      );
      expect(sum.p90 - sum.p50).toBeGreaterThanOrEqual(apart * (1 - 1e-9) - 1e-9);
      expect(sum.p90).toBeLessThanOrEqual(total(({ p90 }) => p90) * (1 + 1e-9));
      const apartBelow = Math.sqrt(total(({ p10, p50 }) => (p50 - p10) ** 2));
      expect(sum.p50 - sum.p10).toBeGreaterThanOrEqual(apartBelow * (1 - 1e-9) - 1e-9);
      expect(sum.p10).toBeGreaterThanOrEqual(total(({ p10 }) => p10) * (1 - 1e-9));
    }),
  );
});

describe('the largest of several', () => {
  test.each(
    [0, 0.7].flatMap((correlation) => Array.from({ length: 10 }, (_, i) => [i + 1, correlation] as const)),
  )('lies between p10 and p90 in eight of ten cases: %d with correlation %d', (count, correlation) => {
    const all = Array.from({ length: count }, (_, i): Quantiles => ({ p10: 8 + i, p50: 20 + i, p90: 50 + 7 * i }));
    const { p10, p50, p90 } = largestQuantiles(all, correlation);
    const drawn = draw(all, correlation, 20_000);
    const part = (is: (value: number) => boolean): number => drawn.filter(is).length / drawn.length;
    expect(part((value) => value >= p10 && value <= p90)).toBeCloseTo(0.8, 1);
    expect(Math.abs(part((value) => value < p10) - 0.1)).toBeLessThan(0.025);
    expect(Math.abs(part((value) => value < p50) - 0.5)).toBeLessThan(0.025);
    expect(Math.abs(part((value) => value > p90) - 0.1)).toBeLessThan(0.025);
  });

  test('of one is that one, and one that all others are far below is hardly different', () => {
    const one = { p10: 10, p50: 20, p90: 40 };
    expect(largestQuantiles([one], 0.7)).toEqual(one);
    const far = largestQuantiles([one, { p10: 0.1, p50: 0.2, p90: 0.4 }, { p10: 0, p50: 0, p90: 0 }], 0.7);
    expect(far.p10).toBeCloseTo(10, 2);
    expect(far.p50).toBeCloseTo(20, 2);
    expect(far.p90).toBeCloseTo(40, 2);
    expect(largestQuantiles([], 0.7)).toEqual({ p10: 0, p50: 0, p90: 0 });
  });

  test('of what is certain is certain', () => {
    const largest = largestQuantiles(
      [5, 9].map((each) => ({ p10: each, p50: each, p90: each })),
      0.7,
    );
    expect(largest.p10).toBeCloseTo(9, 6);
    expect(largest.p90).toBeCloseTo(9, 6);
  });
});

/** Of as many draws the largest: what the model says, by chance. */
function draw(all: readonly Quantiles[], correlation: number, times: number): number[] {
  const random = randomFrom(7);
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return Array.from({ length: times }, () => {
    const common = normal();
    const values = all.map(({ p10, p50, p90 }) => {
      const score = correlation * common + Math.sqrt(1 - correlation ** 2) * normal();
      const side = score < 0 ? p50 / p10 : p90 / p50;
      return p50 * side ** (score / TENTH_SCORE);
    });
    return Math.max(...values);
  });
}
