import { expect, test } from 'vitest';
import { FakeClock, SYSTEM_CLOCK } from './clock.ts';

test('a fake clock moves only when told to, both its readings together', () => {
  const clock = new FakeClock(100);
  clock.advance(2.5);
  expect([clock.nowMs(), clock.wallMs()]).toEqual([102.5, 102.5]);
});

test('the system clock tells Unix time, and never goes back', () => {
  expect(Math.abs(SYSTEM_CLOCK.wallMs() - Date.now())).toBeLessThan(1000);
  const first = SYSTEM_CLOCK.nowMs();
  expect(SYSTEM_CLOCK.nowMs()).toBeGreaterThanOrEqual(first);
});
