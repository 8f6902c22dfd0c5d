import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PageBitmap, uniteRuns } from './page-bitmap.ts';

/** Three words and a half, so that the last one is not whole. */
const PAGE_COUNT = 112;
const page = fc.nat(PAGE_COUNT - 1);
/** Inside the bitmap. */
const run = fc
  .tuple(fc.nat(PAGE_COUNT), fc.nat(PAGE_COUNT))
  .map(([a, b]) => ({ first: Math.min(a, b), count: Math.abs(a - b) }));

type Step =
  | { readonly kind: 'add' | 'delete' | 'claim' | 'release'; readonly page: number }
  | { readonly kind: 'addRun' | 'deleteRun'; readonly first: number; readonly count: number }
  | { readonly kind: 'clear' };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constantFrom('add', 'delete', 'claim', 'release'), page }),
  fc.tuple(fc.constantFrom('addRun', 'deleteRun'), run).map(([kind, { first, count }]) => ({ kind, first, count })),
  fc.constant({ kind: 'clear' } as const),
);
const steps = fc.array(step, { maxLength: 30 });

/** Does the step to both; a claim or release must say the same of both. */
function apply(bitmap: PageBitmap, model: Set<number>, each: Step): void {
  switch (each.kind) {
    case 'add':
      bitmap.add(each.page);
      model.add(each.page);
      break;
    case 'delete':
      bitmap.delete(each.page);
      model.delete(each.page);
      break;
    case 'claim':
      expect(bitmap.claim(each.page)).toBe(!model.has(each.page));
      model.add(each.page);
      break;
    case 'release':
      expect(bitmap.release(each.page)).toBe(model.delete(each.page));
      break;
    case 'addRun':
      bitmap.addRun(each.first, each.count);
      for (const member of membersOf(each)) model.add(member);
      break;
    case 'deleteRun':
      bitmap.deleteRun(each.first, each.count);
      for (const member of membersOf(each)) model.delete(member);
      break;
    case 'clear':
      bitmap.clear();
      model.clear();
  }
}

function membersOf({ first, count }: { readonly first: number; readonly count: number }): number[] {
  return Array.from({ length: count }, (_, index) => first + index);
}

function build(history: readonly Step[]): { bitmap: PageBitmap; pages: number[] } {
  const bitmap = PageBitmap.shared(PAGE_COUNT);
  const model = new Set<number>();
  for (const each of history) apply(bitmap, model, each);
  return { bitmap, pages: [...model].sort((a, b) => a - b) };
}

test('whatever is done to it, the bitmap holds what a set of numbers holds', () => {
  fc.assert(
    fc.property(steps, (history) => {
      const { bitmap, pages } = build(history);
      expect(membersOf({ first: 0, count: PAGE_COUNT }).filter((each) => bitmap.has(each))).toEqual(pages);
      expect(bitmap.count()).toBe(pages.length);
      expect(bitmap.isEmpty()).toBe(pages.length === 0);
    }),
  );
});

const anywhere = fc.nat(PAGE_COUNT + 40);

test('next finds the first page at or after any page, or -1', () => {
  fc.assert(
    fc.property(steps, anywhere, (history, from) => {
      const { bitmap, pages } = build(history);
      expect(bitmap.next(from)).toBe(pages.find((each) => each >= from) ?? -1);
    }),
  );
});

test('next and previous find the first and the last page within any bounds, or -1', () => {
  fc.assert(
    fc.property(steps, anywhere, anywhere, (history, from, to) => {
      const { bitmap, pages } = build(history);
      const within = pages.filter((each) => each >= from && each < to);
      expect([bitmap.next(from, to), bitmap.previous(to, from)]).toEqual([within.at(0) ?? -1, within.at(-1) ?? -1]);
    }),
  );
});

test('previous finds the last page before any page, or -1', () => {
  fc.assert(
    fc.property(steps, anywhere, (history, to) => {
      const { bitmap, pages } = build(history);
      expect(bitmap.previous(to)).toBe(pages.findLast((each) => each < to) ?? -1);
    }),
  );
});

test('runs within any bounds, beyond the end too, are the pages within them', () => {
  fc.assert(
    fc.property(steps, fc.nat(PAGE_COUNT + 100), fc.nat(PAGE_COUNT + 100), (history, from, to) => {
      const { bitmap, pages } = build(history);
      const runs = bitmap.runs(from, to);
      expect(runs.flatMap(membersOf)).toEqual(pages.filter((each) => each >= from && each < to));
      expect(
        runs.every(({ first }, index) => index === 0 || first > runs[index - 1]!.first + runs[index - 1]!.count),
      ).toBe(true);
    }),
  );
});

test('addRuns of its runs makes an equal bitmap', () => {
  fc.assert(
    fc.property(steps, (history) => {
      const { bitmap } = build(history);
      const copy = new PageBitmap(PAGE_COUNT);
      copy.addRuns(bitmap.runs());
      expect([...copy.words]).toEqual([...bitmap.words]);
    }),
  );
});

test('a full bitmap is one run', () => {
  const bitmap = new PageBitmap(PAGE_COUNT);
  bitmap.addRun(0, PAGE_COUNT);
  expect(bitmap.runs()).toEqual([{ first: 0, count: PAGE_COUNT }]);
  expect(bitmap.next(PAGE_COUNT - 1)).toBe(PAGE_COUNT - 1);
});

test('two bitmaps over one buffer are one set: a page claimed in one cannot be claimed in the other', () => {
  const here = PageBitmap.shared(PAGE_COUNT);
  const there = new PageBitmap(PAGE_COUNT, here.words.buffer);
  expect(here.claim(63)).toBe(true);
  expect(there.claim(63)).toBe(false);
  expect(there.release(63)).toBe(true);
  expect(here.has(63)).toBe(false);
});

test('a bitmap of no pages is empty', () => {
  const bitmap = new PageBitmap(0);
  expect(bitmap.isEmpty()).toBe(true);
  expect(bitmap.next(0)).toBe(-1);
  expect(bitmap.runs()).toEqual([]);
});

test('more pages than its arithmetic can number are refused', () => {
  expect(() => new PageBitmap(2 ** 31 + 1, new ArrayBuffer(0))).toThrow(RangeError);
});

test('the union of two run lists has the pages of both', () => {
  fc.assert(
    fc.property(steps, steps, (one, other) => {
      const a = build(one);
      const b = build(other);
      const union = uniteRuns(a.bitmap.runs(), b.bitmap.runs(), PAGE_COUNT);
      expect(union.flatMap(membersOf)).toEqual([...new Set([...a.pages, ...b.pages])].sort((x, y) => x - y));
    }),
  );
});
