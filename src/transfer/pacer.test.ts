import fc from 'fast-check';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { largerTest } from '../../test/support/further-cases.ts';
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { BURST_MS, HostBudget } from './host-budget.ts';
import { Pacer } from './pacer.ts';

const MB = 1_000_000;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** What one migration has sent, and when. */
type Trace = { readonly atMs: number; readonly bytes: number }[];

function createBudget(bytesPerSecond: number): HostBudget {
  return HostBudget.create(bytesPerSecond, SYSTEM_CLOCK);
}

/** Takes again and again, as long as there is anybody to hear of it. */
function keepTaking(pacer: Pacer, frameBytes: () => number): Trace {
  const trace: Trace = [];
  const go = async (): Promise<never> => {
    for (;;) {
      const bytes = frameBytes();
      await pacer.take(bytes);
      trace.push({ atMs: performance.now(), bytes });
    }
  };
  void go();
  return trace;
}

function total(trace: Trace): number {
  return trace.reduce((sum, { bytes }) => sum + bytes, 0);
}

async function isTaken(taking: Promise<void>): Promise<boolean> {
  let taken = false;
  void taking.then(() => (taken = true));
  await vi.advanceTimersByTimeAsync(0);
  return taken;
}

test('without any limit nothing waits', async () => {
  const pacer = new Pacer(0);
  expect(pacer.bytesPerSecond).toBe(0);
  expect(await isTaken(pacer.take(1e12))).toBe(true);
  expect(await isTaken(pacer.take(1))).toBe(true);
});

test('its own limit is kept, and a new one takes effect for who waits', async () => {
  const pacer = new Pacer(MB);
  const trace = keepTaking(pacer, () => 4096);
  await vi.advanceTimersByTimeAsync(2000);
  expect(total(trace)).toBeGreaterThan(1.95 * MB);
  expect(total(trace)).toBeLessThan(2.1 * MB);
  pacer.setLimit(10);
  await vi.advanceTimersByTimeAsync(1000);
  const before = trace.length;
  pacer.setLimit(MB);
  await vi.advanceTimersByTimeAsync(10);
  expect(trace.length).toBeGreaterThan(before);
});

test('frames are made for the lower one of both limits', () => {
  const budget = createBudget(MB);
  const pacer = new Pacer(0, budget);
  expect(pacer.bytesPerSecond).toBe(MB);
  pacer.setLimit(2 * MB);
  expect(pacer.bytesPerSecond).toBe(MB);
  budget.setLimit(3 * MB);
  expect(pacer.bytesPerSecond).toBe(2 * MB);
  budget.setLimit(0);
  expect(pacer.bytesPerSecond).toBe(2 * MB);
});

test('the lower one of both limits is kept', async () => {
  const budget = createBudget(4 * MB);
  const slow = keepTaking(new Pacer(MB, budget), () => 4096);
  const fast = keepTaking(new Pacer(0, budget), () => 4096);
  await vi.advanceTimersByTimeAsync(3000);
  expect(total(slow) / 3).toBeGreaterThan(0.95 * MB);
  expect(total(slow) / 3).toBeLessThan(1.1 * MB);
  // The other one has what is left.
  expect(total(fast) / 3).toBeGreaterThan(2.8 * MB);
  expect((total(slow) + total(fast)) / 3).toBeLessThan(4.1 * MB);
});

test('a new limit of the host takes effect at once for who waits', async () => {
  const budget = createBudget(1000);
  const trace = keepTaking(new Pacer(0, budget), () => 100_000);
  await vi.advanceTimersByTimeAsync(5000);
  const before = total(trace);
  budget.setLimit(10 * MB);
  await vi.advanceTimersByTimeAsync(1000);
  expect(total(trace) - before).toBeGreaterThan(9.5 * MB);
  expect(total(trace) - before).toBeLessThan(10.5 * MB);
  const then = total(trace);
  budget.setLimit(MB);
  await vi.advanceTimersByTimeAsync(1000);
  expect(total(trace) - then).toBeLessThan(1.2 * MB);
});

test('what was left of a turn under a high limit does not count under a low one', async () => {
  const budget = createBudget(1000 * MB);
  const pacer = new Pacer(0, budget);
  await pacer.take(1000);
  budget.setLimit(MB);
  const trace = keepTaking(pacer, () => 10_000);
  await vi.advanceTimersByTimeAsync(1000);
  expect(total(trace)).toBeLessThan(1.1 * MB);
});

test('suspended it does not wait, and the others wait for what it has sent', async () => {
  const budget = createBudget(MB);
  const pacer = new Pacer(1000, budget);
  await pacer.take(100_000);
  const waiting = pacer.take(1);
  expect(await isTaken(waiting)).toBe(false);
  pacer.suspend();
  expect(pacer.bytesPerSecond).toBe(0);
  expect(await isTaken(waiting)).toBe(true);
  expect(await isTaken(pacer.take(400_000))).toBe(true);
  pacer.charge(100_000);
  expect(budget.reserve(1)).toBeGreaterThan(450);
  pacer.resume();
  expect(pacer.bytesPerSecond).toBe(1000);
  expect(await isTaken(pacer.take(1))).toBe(false);
});

test('what must not wait is waited for by the next one', async () => {
  const budget = createBudget(MB);
  const pacer = new Pacer(0, budget);
  pacer.charge(100_000);
  const next = pacer.take(1);
  await vi.advanceTimersByTimeAsync(90);
  expect(await isTaken(next)).toBe(false);
  await vi.advanceTimersByTimeAsync(11);
  expect(await isTaken(next)).toBe(true);
});

test('one that sends little and one that sends much: the second has what the first leaves', async () => {
  const budget = createBudget(10 * MB);
  const busy = keepTaking(new Pacer(0, budget), () => 50_000);
  const calm = new Pacer(0, budget);
  let slowestMs = 0;
  for (let i = 0; i < 20; i++) {
    const fromMs = performance.now();
    const taking = calm.take(4096).then(() => {
      slowestMs = Math.max(slowestMs, performance.now() - fromMs);
    });
    await vi.advanceTimersByTimeAsync(100);
    await taking;
  }
  // It waits for one turn of the other.
  expect(slowestMs).toBeLessThan(25);
  expect(total(busy) / 2).toBeGreaterThan(9.4 * MB);
});

const frames = fc.record({ least: fc.integer({ min: 500, max: 40_000 }), spread: fc.integer({ min: 0, max: 20_000 }) });

largerTest(
  'of the limit everybody gets the same, whatever the size of frames, and together no more than the limit',
  async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 8 * MB, max: 50 * MB }),
        fc.array(frames, { minLength: 2, maxLength: 6 }),
        async (limit, takers) => {
          vi.clearAllTimers();
          const budget = createBudget(limit);
          const seconds = 3;
          const traces = takers.map(({ least, spread }) => {
            let turn = 0;
            return keepTaking(new Pacer(0, budget), () => least + ((++turn * 7919) % (spread + 1)));
          });
          await vi.advanceTimersByTimeAsync(seconds * 1000);
          const share = (limit * seconds) / takers.length;
          // With frames of 500 bytes and a low limit a tenth and a little more: a turn has many of them, each a turn of the event loop.
          for (const trace of traces) expect(Math.abs(total(trace) / share - 1)).toBeLessThan(0.15);
          // In any window: each may have a turn, and a frame at its end, before the others have had theirs.
          const allowance = (limit * BURST_MS) / 1000 + takers.length * (budget.turnBytes + 60_000);
          const all = traces.flat().sort((a, b) => a.atMs - b.atMs);
          const sums = [0];
          for (const { bytes } of all) sums.push(sums.at(-1)! + bytes);
          // The most that any window holds beyond its share of the limit: one pass, as for the largest sum of a part.
          let least = Number.POSITIVE_INFINITY;
          let most = 0;
          for (const [index, { atMs }] of all.entries()) {
            least = Math.min(least, sums[index]! - (limit * atMs) / 1000);
            most = Math.max(most, sums[index + 1]! - (limit * atMs) / 1000 - least);
          }
          expect(most).toBeLessThanOrEqual(allowance);
        },
      ),
      { numRuns: 15 },
    );
  },
);
