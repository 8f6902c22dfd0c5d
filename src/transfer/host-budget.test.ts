import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FakeClock } from '../base/clock.ts';
import { BURST_MS, HostBudget } from './host-budget.ts';

const MB = 1_000_000;

test('without a limit nothing waits', () => {
  const budget = HostBudget.create(0, new FakeClock(1));
  expect(budget.reserve(1e12)).toBe(0);
  budget.charge(1e12);
  expect(budget.reserve(1)).toBe(0);
});

test('each place in the queue is behind the bytes of the one before', () => {
  const clock = new FakeClock(1000);
  const budget = HostBudget.create(MB, clock);
  expect([budget.reserve(10_000), budget.reserve(20_000), budget.reserve(1)]).toEqual([0, 10, 30]);
  clock.advance(25);
  expect(budget.reserve(1)).toBeCloseTo(5, 2);
});

test('after a pause no more than the burst is there', () => {
  const clock = new FakeClock(1);
  const budget = HostBudget.create(MB, clock);
  clock.advance(60_000);
  expect(budget.reserve((MB * BURST_MS) / 1000)).toBe(0);
  expect(budget.reserve(1000)).toBe(0);
  expect(budget.reserve(1)).toBe(1);
});

test('bytes that must not wait are waited for by who comes next, but for no more than a second', () => {
  const clock = new FakeClock(1);
  const budget = HostBudget.create(MB, clock);
  budget.charge(50_000);
  expect(budget.reserve(1)).toBe(50);
  for (let i = 0; i < 100; i++) budget.charge(MB);
  expect(budget.reserve(1)).toBe(1000);
});

test('a long queue is not shortened by bytes that must not wait', () => {
  const budget = HostBudget.create(MB, new FakeClock(1));
  budget.reserve(5 * MB);
  budget.charge(1);
  expect(budget.reserve(1)).toBe(5000);
});

test('a new limit takes effect at once, and forgives what was owed', () => {
  const clock = new FakeClock(1);
  const budget = HostBudget.create(1000, clock);
  budget.reserve(MB);
  const { changes } = budget;
  budget.setLimit(MB);
  expect(budget.bytesPerSecond).toBe(MB);
  expect(budget.changes).not.toBe(changes);
  expect(budget.reserve(10_000)).toBe(0);
  expect(budget.reserve(1)).toBeCloseTo(10, 3);
});

test('all that share the memory share the limit', () => {
  const clock = new FakeClock(1);
  const one = HostBudget.create(MB, clock);
  const other = new HostBudget(one.buffer, clock);
  one.reserve(10_000);
  expect(other.reserve(10_000)).toBe(10);
  other.setLimit(0);
  expect(one.bytesPerSecond).toBe(0);
});

test('over any time no more is let go than limit × time and a burst', () => {
  const bytes = fc.integer({ min: 1, max: 2 * MB });
  const request = fc.record({ bytes, pauseMs: fc.integer({ min: 0, max: 50 }) });
  fc.assert(
    fc.property(
      fc.integer({ min: 1000, max: 10_000 * MB }),
      fc.array(request, { maxLength: 60 }),
      (limit, requests) => {
        const clock = new FakeClock(5);
        const budget = HostBudget.create(limit, clock);
        const sent = requests.map(({ bytes, pauseMs }) => {
          clock.advance(pauseMs);
          return { atMs: clock.nowMs() + budget.reserve(bytes), bytes };
        });
        for (const [first, { atMs }] of sent.entries()) {
          let sum = 0;
          for (const later of sent.slice(first)) {
            // Nanoseconds are rounded.
            const most = (limit * (later.atMs - atMs + BURST_MS + 0.001)) / 1000;
            expect(sum).toBeLessThanOrEqual(most);
            sum += later.bytes;
          }
        }
      },
    ),
  );
});
