import { describe, expect, test } from 'vitest';
import { countPages, PAGE_SIZE } from '../base/page.ts';
import { PageBitmap } from '../base/page-bitmap.ts';
import type { GroupSetting } from '../base/tracker-choice.ts';
import { RamLayout } from './layout.ts';
import { WriteGrants } from './write-grants.ts';

/** Regions of 100 and 1000 pages. */
function open(setting: GroupSetting): WriteGrants {
  const layout = new RamLayout([
    { id: 'small', bytes: 100 * PAGE_SIZE },
    { id: 'large', bytes: 1000 * PAGE_SIZE },
  ]);
  return new WriteGrants(layout, setting, new PageBitmap(layout.pageCount));
}

describe('write grants', () => {
  test.each([
    ['the aligned group around the page', 16, 37, { first: 32, count: 16, added: 16 }],
    ['a page of its own', 1, 37, { first: 37, count: 1, added: 1 }],
    ['no page beyond the region', 16, 98, { first: 96, count: 4, added: 4 }],
    ['groups that count from the start of their region', 16, 105, { first: 100, count: 16, added: 16 }],
    ['all of a region that is smaller than the group', 4096, 5, { first: 0, count: 100, added: 100 }],
  ] as const)('make %s writable', (_, setting, page, grant) => {
    expect(open(setting).grant(page, 0)).toEqual(grant);
  });

  test('are listed with their unchanged neighbours until they are cleared', () => {
    const grants = open(16);
    grants.grant(37, 0);
    grants.grant(300, 0);
    expect(grants.list()).toEqual([
      { first: 32, count: 16 },
      { first: 292, count: 16 },
    ]);
    expect(grants.isGranted(47)).toBe(true);
    grants.clear();
    expect(grants.list()).toEqual([]);
  });

  test('with `auto` get smaller as the budget is used up, down to single pages, and start anew after a look', () => {
    const grants = open('auto');
    grants.setBudget(500);
    const sizes = Array.from({ length: 1000 }, (_, page) => page + 100).flatMap((page) =>
      grants.isGranted(page) ? [] : [grants.grant(page, page).count],
    );
    expect(sizes[0]).toBe(16);
    expect(sizes.at(-1)).toBe(1);
    expect(countPages(grants.list())).toBe(1000);
    expect([grants.smallestPages, grants.largestPages]).toEqual([1, 16]);
    grants.clear();
    expect(grants.grant(100, 5000).count).toBe(16);
  });

  test('count a page once that lies in two groups', () => {
    const grants = open('auto');
    grants.setBudget(33);
    expect(grants.grant(101, 0).added).toBe(2);
    grants.setBudget(100);
    expect(grants.grant(103, 0)).toEqual({ first: 100, count: 4, added: 2 });
  });
});
