import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { isMoving } from '../migration/moving.ts';
import { IdleMemory } from './idle-memory.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const MIB = 2 ** 20;

test('memory is given back while nothing moves, and again only when there is more of it', () => {
  let given = 0;
  let usedBytes = 40 * MIB;
  const give = (): void => {
    given++;
    usedBytes -= 10 * MIB;
  };
  using _memory = new IdleMemory(() => true, { give, usedBytes: () => usedBytes });
  vi.advanceTimersByTime(5000);
  expect(given).toBe(1);
  usedBytes += 4 * MIB - 1;
  vi.advanceTimersByTime(10_000);
  expect(given).toBe(1);
  usedBytes += 1;
  vi.advanceTimersByTime(5000);
  expect(given).toBe(2);
});

test('a migration that runs is not held up', () => {
  let given = 0;
  let moves = true;
  using _memory = new IdleMemory(() => !moves, { give: () => void given++, usedBytes: () => 40 * MIB * (given + 1) });
  vi.advanceTimersByTime(20_000);
  expect([given, isMoving()]).toEqual([0, true]);
  moves = false;
  vi.advanceTimersByTime(4000);
  expect([given, isMoving()]).toEqual([0, false]);
  moves = true;
  vi.advanceTimersByTime(1000);
  moves = false;
  vi.advanceTimersByTime(4000);
  expect(given).toBe(0);
  vi.advanceTimersByTime(1000);
  expect(given).toBe(1);
});
