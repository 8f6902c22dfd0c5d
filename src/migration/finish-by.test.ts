import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { largerTest, triedFor } from '../../test/support/further-cases.ts';
import { roundFacts } from '../../test/support/round-facts.ts';
import { type SimulatedVm, simulate } from '../../test/support/simulated-vm.ts';
import type { RoundFacts } from './dirty-estimate.ts';
import { explainLateDisks, explainTooLate, isLastMoment, lastMomentMs, pushBoundMs, residueOf } from './finish-by.ts';
import { DEFAULT_MIGRATION_OPTIONS } from './request.ts';

/** 1 Gbit/s. */
const LINK_PAGES = 30_000;
const PAGE_BYTES = 4112;
const PASS = {
  number: 1,
  sentPages: 65_536,
  sentBytes: 65_536 * PAGE_BYTES,
  skippedPages: 0,
  ms: 2_185,
  dirtyPages: 0,
};
const REWRITER: SimulatedVm = {
  totalPages: 65_536,
  workingSetPages: 32_768,
  writesPerSecond: 380_000,
  order: 'random',
};

function facts(more: Partial<RoundFacts> & { readonly finishByMs?: number } = {}): RoundFacts {
  const { finishByMs = 10_000, ...rest } = more;
  return roundFacts({
    options: { ...DEFAULT_MIGRATION_OPTIONS, finishByMs },
    rounds: [PASS],
    remainingPages: 10_000,
    linkBytesPerSecond: LINK_PAGES * PAGE_BYTES,
    ...rest,
  });
}

describe('the last moment', () => {
  // Columns: left to send, elapsed, whether post-copy has to begin.
  test.each([
    [10_000, 5_000, false],
    [10_000, 9_500, true],
    [100_000, 5_000, true],
    [100_000, 1_000, false],
    [0, 8_500, false],
  ])('%i pages after %i ms: %s', (remainingPages, elapsedMs, expected) => {
    const now = facts({ remainingPages, elapsedMs });
    expect(isLastMoment(now, residueOf(now))).toBe(expected);
  });

  test('is earlier by what hosts that are slow now took to prepare, but not by what they waited for', () => {
    const at = (begunMs: number): number => lastMomentMs(facts({ begunMs }), { pages: 0, bytes: 0 });
    expect(at(0) - at(400)).toBe(0);
    expect(at(0) - at(1_500)).toBe(1_000);
    expect(at(0) - at(60_000)).toBe(2_500);
  });

  test('never comes without --finish-by', () => {
    const now = facts({ finishByMs: 0, elapsedMs: 1e9 });
    expect(isLastMoment(now, residueOf(now))).toBe(false);
  });

  test('is at half of the time while nothing is known of the link', () => {
    expect(lastMomentMs(facts({ rounds: [], linkBytesPerSecond: 0 }), { pages: 1, bytes: PAGE_BYTES })).toBe(5_000);
  });

  test('is at half of the time that is left when disks were copied before', () => {
    const now = facts({ rounds: [], linkBytesPerSecond: 0, begunMs: 6_000 });
    expect(lastMomentMs(now, { pages: 1, bytes: PAGE_BYTES })).toBe(8_000);
    expect(lastMomentMs({ ...now, begunMs: 11_000 }, { pages: 1, bytes: PAGE_BYTES })).toBe(10_000);
  });

  test('is no later with more pages, with a slower link, or with less time', () => {
    const numbers = fc.tuple(
      fc.nat(1e6),
      fc.nat(1e6),
      fc.integer({ min: 1, max: 1e9 }),
      fc.integer({ min: 1, max: 1e9 }),
    );
    fc.assert(
      fc.property(numbers, fc.integer({ min: 1, max: 1e6 }), fc.nat(1e6), ([a, b, slow, fast], finishByMs, less) => {
        const at = (pages: number, rate: number, byMs: number): number =>
          lastMomentMs(facts({ linkBytesPerSecond: rate, finishByMs: byMs }), { pages, bytes: pages * PAGE_BYTES });
        const [few, many] = [Math.min(a, b), Math.max(a, b)];
        expect(at(many, fast, finishByMs)).toBeLessThanOrEqual(at(few, fast, finishByMs));
        expect(at(few, Math.min(slow, fast), finishByMs)).toBeLessThanOrEqual(
          at(few, Math.max(slow, fast), finishByMs),
        );
        expect(at(few, fast, finishByMs)).toBeLessThanOrEqual(at(few, fast, finishByMs + less));
      }),
    );
  });
});

describe('--finish-by', () => {
  const times = fc.integer({ min: 2_500, max: 10_000 });
  const vms = fc.record({
    totalPages: fc.constant(8_192),
    workingSetPages: fc.integer({ min: 1, max: 8_192 }),
    writesPerSecond: fc.integer({ min: 0, max: 300_000 }),
    order: fc.constantFrom('sequential' as const, 'random' as const),
  });

  test('is met by every VM that it can be met by, whatever the VM does', () => {
    fc.assert(
      fc.property(
        vms,
        times,
        fc.boolean(),
        fc.constantFrom('auto' as const, 'hybrid' as const),
        (vm, finishByMs, skipsRewritten, mode) => {
          const result = simulate({
            vm,
            linkPagesPerSecond: LINK_PAGES,
            skipsRewritten,
            maxRounds: 10_000,
            options: { mode, finishByMs },
          });
          expect(['finish', 'postCopy']).toContain(result.end);
          expect(result.totalMs).toBeLessThanOrEqual(finishByMs);
        },
      ),
      { numRuns: triedFor(40) },
    );
  });

  test('begins post-copy as late as it can be met: what is kept back is about what post-copy takes', () => {
    const result = simulate({ vm: REWRITER, linkPagesPerSecond: LINK_PAGES, options: { finishByMs: 12_000 } });
    expect(result).toMatchObject({ end: 'postCopy', rule: 'G7-finish-by' });
    const pushMs = (REWRITER.workingSetPages * 1000) / LINK_PAGES;
    expect(12_000 - result.totalMs).toBeLessThan(1.2 * pushMs + 1_200);
    expect(result.rules).toContain('G7-wait');
  });

  test('that cannot be met begins post-copy at once, and says so', () => {
    const result = simulate({ vm: REWRITER, linkPagesPerSecond: LINK_PAGES, options: { finishByMs: 1_000 } });
    expect(result).toMatchObject({ end: 'postCopy', rule: 'G7-finish-by', rounds: 0 });
    expect(result.decisions.at(-1)!.verdict.text).toMatch(/later than --finish-by 1.0 s/);
  });

  test('keeps pre-copy where that converges in time', () => {
    const vm: SimulatedVm = { ...REWRITER, workingSetPages: 1_000, writesPerSecond: 2_000 };
    expect(simulate({ vm, linkPagesPerSecond: LINK_PAGES, options: { finishByMs: 20_000 } })).toMatchObject({
      end: 'finish',
    });
  });

  largerTest('and --timeout: the earlier one counts', () => {
    const both = (timeoutMs: number) =>
      simulate({
        vm: REWRITER,
        linkPagesPerSecond: LINK_PAGES,
        options: { finishByMs: 9_000, timeoutMs, onTimeout: 'cancel' },
      });
    expect(both(5_000)).toMatchObject({ end: 'giveUp', rule: 'deadline' });
    expect(both(60_000)).toMatchObject({ end: 'postCopy', rule: 'G7-finish-by' });
  });
});

test('what is told of a time that cannot be met names both times', () => {
  const now = facts({ finishByMs: 1_000 });
  const bound = pushBoundMs(now, residueOf(now));
  expect(bound).toBeGreaterThan((10_000 * 1000) / LINK_PAGES);
  expect(explainTooLate(facts({ finishByMs: 60_000 }), residueOf(now))).toBeNull();
  expect(explainTooLate(facts({ finishByMs: 100 }), residueOf(now))).toMatch(
    /^it may take up to .* in all, later than --finish-by 100/,
  );
});

test.each([
  [0, 1e6, 1e6, null],
  [10_000, 4_000, null, null],
  [10_000, 4_000, 6_000, null],
  [10_000, 4_000, 16_000, 'with them it may take 20.0 s in all, later than --finish-by 10.0 s'],
  [10_000, 11_000, null, 'with them it may take 11.0 s in all, later than --finish-by 10.0 s'],
])('disks that are copied, %i ms, after %i ms, with %s ms to go: %s', (finishByMs, elapsedMs, etaMs, expected) => {
  expect(explainLateDisks(finishByMs, elapsedMs, etaMs)).toBe(expected);
});
