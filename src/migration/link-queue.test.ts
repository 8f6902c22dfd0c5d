import { expect, test } from 'vitest';
import { LinkQueue } from './link-queue.ts';

const MIB = 2 ** 20;

/** Looks once a second; how much is taken in each. */
function look(queue: LinkQueue, fromMs: number, taken: readonly number[], before = 0): number {
  let takenBytes = before;
  for (const [second, bytes] of taken.entries()) {
    takenBytes += bytes;
    queue.look({ nowMs: fromMs + second * 1000, takenBytes, waitingBytes: MIB });
  }
  return takenBytes;
}

test('a slow link is granted the time that a mebibyte takes on it, two minutes at most', () => {
  const slow = new LinkQueue();
  look(slow, 0, [0, ...Array<number>(5).fill(MIB / 20)]);
  expect(slow.ms).toBeCloseTo(20_000, -2);
  const slowest = new LinkQueue();
  look(slowest, 0, [0, ...Array<number>(5).fill(100)]);
  expect(slowest.ms).toBe(120_000);
});

test('a fast link that dies is no slow one, wherever between two looks it does', () => {
  for (const last of [100, 125_000, 60_000_000]) {
    const queue = new LinkQueue();
    const taken = look(queue, 0, [0, ...Array<number>(10).fill(120_000_000), last]);
    expect(queue.ms).toBeLessThan(100);
    look(queue, 12_000, Array<number>(20).fill(0), taken);
    expect(queue.ms).toBeLessThan(100);
  }
});

test('what has been confirmed in full waits behind nothing', () => {
  const queue = new LinkQueue();
  look(queue, 0, [0, ...Array<number>(5).fill(100)]);
  queue.emptied();
  expect(queue.ms).toBe(0);
});
