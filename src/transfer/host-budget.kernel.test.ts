/** One budget in several threads of a process. */
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { BudgetTakerInput } from '../../test/support/budget-taker.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import { HostBudget } from './host-budget.ts';

const MB = 1_000_000;
const LIMIT = 20 * MB;
const FRAMES = [4096, 30_000, 80_000];
const TAKER = new URL('../../test/support/budget-taker.ts', import.meta.url);

let budget: HostBudget;
let taken: BigInt64Array<SharedArrayBuffer>;
let threads: Worker[];

beforeEach(async () => {
  budget = HostBudget.create(LIMIT);
  taken = new BigInt64Array(new SharedArrayBuffer(FRAMES.length * BigInt64Array.BYTES_PER_ELEMENT));
  threads = FRAMES.map((frameBytes, index) => {
    const workerData: BudgetTakerInput = { budget: budget.buffer, taken, index, frameBytes };
    return new Worker(TAKER, { workerData });
  });
  await waitUntil('all threads take', () => taken.every((bytes) => bytes > 0n));
});
afterEach(async () => {
  await Promise.all(threads.map((thread) => thread.terminate()));
});

/** Bytes a second that each thread takes. */
async function ratesOver(ms: number): Promise<number[]> {
  const before = Array.from(taken, Number);
  const fromMs = performance.now();
  await delay(ms);
  const seconds = (performance.now() - fromMs) / 1000;
  return Array.from(taken, (bytes, index) => (Number(bytes) - before[index]!) / seconds);
}

function sum(rates: readonly number[]): number {
  return rates.reduce((all, rate) => all + rate, 0);
}

test('threads share the limit in equal parts, whatever the size of their frames', async () => {
  const rates = await ratesOver(1500);
  expect(sum(rates)).toBeGreaterThan(LIMIT * 0.9);
  expect(sum(rates)).toBeLessThan(LIMIT * 1.1);
  for (const rate of rates) expect(Math.abs(rate / (LIMIT / FRAMES.length) - 1)).toBeLessThan(0.1);
});

test('a new limit takes effect at once in every thread', async () => {
  budget.setLimit(LIMIT * 3);
  const rates = await ratesOver(700);
  expect(sum(rates)).toBeGreaterThan(LIMIT * 2.7);
  expect(sum(rates)).toBeLessThan(LIMIT * 3.3);
  budget.setLimit(LIMIT / 4);
  expect(sum(await ratesOver(700))).toBeLessThan((LIMIT / 4) * 1.2);
});

test('of a thread that was ended in the middle the others have its part', async () => {
  await threads[0]!.terminate();
  const rates = await ratesOver(1000);
  expect(rates[0]).toBe(0);
  expect(sum(rates)).toBeGreaterThan(LIMIT * 0.9);
  expect(sum(rates)).toBeLessThan(LIMIT * 1.1);
});
