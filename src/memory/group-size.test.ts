import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { GroupSizer, MAX_AUTO_GROUP_PAGES, resendBudget, sizeByBudget } from './group-size.ts';

/** Sizes for faults that come at this rate with no budget left. */
function press(sizer: GroupSizer, faultsPerSecond: number, ms: number, fromMs = 0): number[] {
  const count = (faultsPerSecond * ms) / 1000;
  return Array.from({ length: count }, (_, fault) => sizer.next(1000, 0, fromMs + (fault * 1000) / faultsPerSecond));
}

describe('the size of a group by the budget', () => {
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
    expect(sizeByBudget(resend, budget)).toBe(pages);
  });

  test('falls as more pages have to be sent again, and is a power of two in bounds', () => {
    const pages = fc.nat(1_000_000);
    fc.assert(
      fc.property(pages, pages, pages, (budget, a, b) => {
        const [less, more] = [Math.min(a, b), Math.max(a, b)];
        const [large, small] = [sizeByBudget(less, budget), sizeByBudget(more, budget)];
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
        for (let pages = sizeByBudget(0, budget); pages > 1; pages = sizeByBudget(resend, budget)) resend += pages;
        expect(resend).toBeLessThanOrEqual(budget);
      }),
    );
  });
});

describe('a sizer', () => {
  test('keeps to a size that was given, whatever happens', () => {
    const sizer = new GroupSizer(16);
    expect(new Set(press(sizer, 50_000, 100))).toEqual(new Set([16]));
  });

  test('leaves pages on their own while faults are few', () => {
    expect(new Set(press(new GroupSizer('auto'), 4000, 2000))).toEqual(new Set([1]));
  });

  test('makes groups grow while there are too many faults, up to 64 pages and no further', () => {
    const sizes = press(new GroupSizer('auto'), 15_000, 100);
    expect(sizes[0]).toBe(1);
    expect(sizes.at(-1)).toBe(64);
    expect(sizes).toEqual(sizes.toSorted((a, b) => a - b));
    // Fifty milliseconds.
    expect(sizes.indexOf(64)).toBeLessThan(750);
  });

  test('lets them shrink again when that is over, down to single pages', () => {
    const sizer = new GroupSizer('auto');
    press(sizer, 15_000, 100);
    expect(sizer.next(1000, 0, 300)).toBe(32);
    expect(press(sizer, 100, 2000, 301).at(-1)).toBe(1);
  });
});
