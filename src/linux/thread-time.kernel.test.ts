import { expect, test } from 'vitest';
import { readOwnTime } from './thread-time.ts';

test('a thread that computes has run for longer', () => {
  const before = readOwnTime()!;
  const untilMs = performance.now() + 30;
  while (performance.now() < untilMs);
  const after = readOwnTime()!;
  const ranMs = after.ranMs - before.ranMs;
  expect(ranMs).toBeGreaterThan(0);
  expect(ranMs + after.waitedMs - before.waitedMs).toBeGreaterThan(20);
});
