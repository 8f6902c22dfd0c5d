import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { isMoving } from '../migration/moving.ts';
import { IdleMemory } from './idle-memory.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('memory is given back while nothing moves, and again only when there is more of it', () => {
  let given = 0;
  using _memory = new IdleMemory(
    () => true,
    () => given++,
  );
  vi.advanceTimersByTime(5000);
  expect(given).toBe(1);
  vi.advanceTimersByTime(10_000);
  expect(given).toBe(1);
  const kept = Array.from({ length: 400_000 }, (_, at) => ({ at }));
  vi.advanceTimersByTime(5000);
  expect(given).toBe(2);
  expect(kept).toHaveLength(400_000);
});

test('a migration that runs is not held up', () => {
  let given = 0;
  let moves = true;
  using _memory = new IdleMemory(
    () => !moves,
    () => given++,
  );
  vi.advanceTimersByTime(20_000);
  expect([given, isMoving()]).toEqual([0, true]);
  moves = false;
  vi.advanceTimersByTime(5000);
  expect([given, isMoving()]).toEqual([1, false]);
});
