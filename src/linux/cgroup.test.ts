import { expect, test } from 'vitest';
import { computeQuota } from './cgroup.ts';

test.each([
  [4, 80_000, 20_000],
  [1, 20_000, 20_000],
  [0.5, 10_000, 20_000],
  [0.05, 1000, 20_000],
  // The kernel takes no quota below 1 ms, so the period grows.
  [0.04, 1000, 25_000],
  [0.01, 1000, 100_000],
  // And no period above 1 s.
  [0.0001, 1000, 1_000_000],
])('a limit of %d CPUs is a quota of %i microseconds every %i', (cpus, quota, period) => {
  expect(computeQuota(cpus)).toEqual({ quota, period });
});
