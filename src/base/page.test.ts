import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  batchRuns,
  countPages,
  intersectRuns,
  PAGE_SIZE,
  type PageRun,
  pagesFor,
  RunBuilder,
  subtractRuns,
} from './page.ts';

const MAX_PAGE = 200;
const pageSets = fc.uniqueArray(fc.nat(MAX_PAGE - 1)).map((pages) => pages.sort((a, b) => a - b));

/** The naive models: sets of page numbers. */
function toRuns(pages: readonly number[]): PageRun[] {
  const builder = new RunBuilder();
  for (const page of pages) builder.add(page, 1);
  return builder.finish();
}

function toPages(runs: readonly PageRun[]): number[] {
  return runs.flatMap(({ first, count }) => Array.from({ length: count }, (_, index) => first + index));
}

function isRunList(runs: readonly PageRun[]): boolean {
  return runs.every(({ first, count }, index) => {
    const before = runs[index - 1];
    return count > 0 && (before === undefined || first > before.first + before.count);
  });
}

test.each([
  [0, 0],
  [1, 1],
  [PAGE_SIZE, 1],
  [PAGE_SIZE + 1, 2],
  [2 ** 40, 2 ** 28],
])('%d bytes lie in %d pages', (bytes, pages) => {
  expect(pagesFor(bytes)).toBe(pages);
});

test('a run list built page by page has the pages, merged into ascending runs that do not touch', () => {
  fc.assert(
    fc.property(pageSets, (pages) => {
      const runs = toRuns(pages);
      expect(toPages(runs)).toEqual(pages);
      expect(isRunList(runs)).toBe(true);
      expect(countPages(runs)).toBe(pages.length);
    }),
  );
});

test('a run list built of neighbouring runs is one run, and empty runs are left out', () => {
  const builder = new RunBuilder();
  builder.add(0, 3);
  builder.add(3, 0);
  builder.add(3, 2);
  builder.add(9, 0);
  expect(builder.finish()).toEqual([{ first: 0, count: 5 }]);
});

test('finishing a run list twice changes nothing', () => {
  const builder = new RunBuilder();
  builder.add(4, 1);
  expect(builder.finish()).toEqual([{ first: 4, count: 1 }]);
  expect(builder.finish()).toEqual([{ first: 4, count: 1 }]);
});

test('the intersection has the pages that both lists have', () => {
  fc.assert(
    fc.property(pageSets, pageSets, (a, b) => {
      const runs = intersectRuns(toRuns(a), toRuns(b));
      expect(toPages(runs)).toEqual(a.filter((page) => b.includes(page)));
      expect(isRunList(runs)).toBe(true);
    }),
  );
});

test('the difference has the pages of the first list that the second has not', () => {
  fc.assert(
    fc.property(pageSets, pageSets, (a, b) => {
      const runs = subtractRuns(toRuns(a), toRuns(b));
      expect(toPages(runs)).toEqual(a.filter((page) => !b.includes(page)));
      expect(isRunList(runs)).toBe(true);
    }),
  );
});

test('batches have all pages in order, each as many as allowed but for the last', () => {
  fc.assert(
    fc.property(pageSets, fc.integer({ min: 1, max: 40 }), (pages, maxPages) => {
      const batches = [...batchRuns(toRuns(pages), maxPages)];
      expect(batches.flatMap(toPages)).toEqual(pages);
      expect(batches.slice(0, -1).every((batch) => countPages(batch) === maxPages)).toBe(true);
      expect(batches.every((batch) => countPages(batch) > 0 && countPages(batch) <= maxPages)).toBe(true);
    }),
  );
});

test('batches of no pages are refused: they would never end', () => {
  expect(() => [...batchRuns([{ first: 0, count: 1 }], 0)]).toThrow(RangeError);
});
