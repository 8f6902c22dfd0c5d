import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LatencyHistogram } from './latency-histogram.ts';

test('without samples every percentile is 0', () => {
  expect(new LatencyHistogram().percentile(0.99)).toBe(0);
});

test('a percentile is that of the sorted samples, up to 5 % more', () => {
  const samples = fc.array(fc.double({ min: 1, max: 9e7, noNaN: true }), { minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(samples, fc.constantFrom(0.01, 0.5, 0.9, 0.99, 1), (microseconds, fraction) => {
      const histogram = new LatencyHistogram();
      for (const each of microseconds) histogram.add(each);
      const exact = microseconds.sort((a, b) => a - b)[Math.ceil(microseconds.length * fraction) - 1]!;
      expect(histogram.count).toBe(microseconds.length);
      expect(histogram.percentile(fraction) / exact).toBeGreaterThan(1 - 1e-9);
      expect(histogram.percentile(fraction) / exact).toBeLessThan(1.0501);
    }),
  );
});

test('what is shorter than a microsecond counts as one', () => {
  const histogram = new LatencyHistogram();
  histogram.add(0);
  histogram.add(0.3);
  expect(histogram.percentile(1)).toBe(1);
});

test('what is longer than the last bucket counts in it', () => {
  const histogram = new LatencyHistogram();
  histogram.add(1e12);
  expect(histogram.percentile(0.5)).toBeGreaterThan(1e8);
});
