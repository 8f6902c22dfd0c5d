import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { groupSize, MAX_AUTO_GROUP_PAGES, resendBudget } from './group-size.ts';

describe('the size of a group', () => {
  test.each([
    ['at the beginning of a large round', 0, 100_000, 512],
    ['with half of the budget left', 5_000, 10_000, 256],
    ['with little of it left', 9_900, 10_000, 4],
    ['with none left', 10_000, 10_000, 1],
    ['beyond it', 20_000, 10_000, 1],
    ['near the end, in a round of 500 pages', 0, resendBudget(500), 8],
    ['at the very end', 0, resendBudget(40), 1],
    ['before anything is known', 0, Number.POSITIVE_INFINITY, 512],
  ])('%s: %i of %i pages used make groups of %i', (_, resend, budget, pages) => {
    expect(groupSize('auto', resend, budget)).toBe(pages);
  });

  test('does not change when it was given', () => {
    expect([0, 1e6].map((resend) => groupSize(64, resend, 100))).toEqual([64, 64]);
  });

  test('falls as more pages have to be sent again, and is a power of two in bounds', () => {
    const pages = fc.nat(1_000_000);
    fc.assert(
      fc.property(pages, pages, pages, (budget, a, b) => {
        const [less, more] = [Math.min(a, b), Math.max(a, b)];
        const [large, small] = [groupSize('auto', less, budget), groupSize('auto', more, budget)];
        expect(small).toBeLessThanOrEqual(large);
        expect(Number.isInteger(Math.log2(large))).toBe(true);
        expect(large).toBeLessThanOrEqual(MAX_AUTO_GROUP_PAGES);
      }),
    );
  });

  test('never takes more than the budget by groups of more than one page', () => {
    fc.assert(
      fc.property(fc.nat(200_000), (budget) => {
        let resend = 0;
        for (let pages = groupSize('auto', 0, budget); pages > 1; pages = groupSize('auto', resend, budget)) {
          resend += pages;
        }
        expect(resend).toBeLessThanOrEqual(budget);
      }),
    );
  });
});
