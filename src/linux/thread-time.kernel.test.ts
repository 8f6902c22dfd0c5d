import { expect, test } from 'vitest';
import { readOwnCpuMs, readOwnTime } from './thread-time.ts';

test('a thread that computes has run for longer', () => {
  const before = readOwnTime()!;
  const untilMs = performance.now() + 30;
  while (performance.now() < untilMs);
  const after = readOwnTime()!;
  const ranMs = after.ranMs - before.ranMs;
  expect(ranMs).toBeGreaterThan(0);
  expect(ranMs + after.waitedMs - before.waitedMs).toBeGreaterThan(20);
});

test('CPU time shows what took less than a timer tick, and leaves out waiting', () => {
  for (let i = 0; i < 20; i++) {
    const before = readOwnCpuMs();
    const untilMs = performance.now() + 0.3;
    while (performance.now() < untilMs);
    expect(readOwnCpuMs() - before).toBeGreaterThan(0);
  }
  const before = readOwnCpuMs();
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
  expect(readOwnCpuMs() - before).toBeLessThan(25);
});
