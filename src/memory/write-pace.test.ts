import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LONGEST_WAIT_MS, UnslowedRate, WritePace } from './write-pace.ts';

/** Pages that one writer, who faults again at once, gets in the time. */
function write(pace: WritePace, groupPages: number, ms: number): { pages: number; longestMs: number } {
  let nowMs = 0;
  let pages = 0;
  let longestMs = 0;
  while (nowMs < ms) {
    const waitMs = pace.waitMs(nowMs);
    longestMs = Math.max(longestMs, waitMs);
    nowMs += waitMs;
    if (pace.waitMs(nowMs) > 0) continue;
    pace.take(groupPages, nowMs);
    pages += groupPages;
    nowMs += 0.01;
  }
  return { pages, longestMs };
}

describe('a pace', () => {
  test('that was not set lets everybody through', () => {
    const pace = new WritePace();
    expect(pace.waitMs(0)).toBe(0);
    pace.take(1_000_000, 0);
    expect(pace.waitMs(0)).toBe(0);
  });

  test.each([
    [1000, 1],
    [20_000, 1],
    [20_000, 64],
    [100_000, 512],
  ])('of %i pages a second is kept with groups of %i', (rate, group) => {
    const pace = new WritePace();
    pace.set(rate, 0);
    const { pages } = write(pace, group, 10_000);
    expect(pages).toBeGreaterThan(rate * 10 * 0.9);
    expect(pages).toBeLessThan(rate * 10 * 1.1);
  });

  test('lets nobody wait longer than the longest wait, however slow and however large the groups', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000_000 }), fc.integer({ min: 1, max: 4096 }), (rate, group) => {
        const pace = new WritePace();
        pace.set(rate, 0);
        expect(write(pace, group, 1_000).longestMs).toBeLessThanOrEqual(LONGEST_WAIT_MS + 1e-6);
      }),
      { numRuns: 50 },
    );
  });

  test('that is lifted lets go at once', () => {
    const pace = new WritePace();
    pace.set(1, 0);
    pace.take(100, 0);
    expect(pace.waitMs(1)).toBeGreaterThan(0);
    pace.set(Number.POSITIVE_INFINITY, 1);
    expect(pace.waitMs(1)).toBe(0);
  });
});

describe('the rate of a slowdown', () => {
  test('is that part of what was written unslowed', () => {
    const rate = new UnslowedRate();
    rate.observe(20_000, 1000, 0);
    expect(rate.at(0)).toBe(Number.POSITIVE_INFINITY);
    expect(rate.at(75)).toBe(5000);
  });

  test('stays the same while the writers use it up', () => {
    const rate = new UnslowedRate();
    rate.observe(20_000, 1000, 0);
    rate.observe(5000, 1000, 75);
    expect(rate.at(75)).toBe(5000);
  });

  test('is known from the history before anything was seen, and unlimited without one', () => {
    expect(new UnslowedRate(8000).at(50)).toBe(4000);
    expect(new UnslowedRate().at(50)).toBe(Number.POSITIVE_INFINITY);
  });

  test('survives a quiet round, and comes down after several', () => {
    const rate = new UnslowedRate(8000);
    rate.observe(0, 1000, 50);
    expect(rate.at(50)).toBe(2000);
    for (let round = 0; round < 20; round++) rate.observe(0, 1000, 50);
    expect(rate.at(50)).toBe(1);
  });

  test('takes no notice of moments', () => {
    const rate = new UnslowedRate(8000);
    rate.observe(1000, 1, 0);
    expect(rate.at(50)).toBe(4000);
  });
});
