import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PageBitmap } from '../base/page-bitmap.ts';
import { PageHeat } from '../memory/page-heat.ts';
import { HotPages } from './hot-pages.ts';

/** A heat as given for each page; counts how often it is asked. */
class GivenHeat extends PageHeat {
  readonly #heats: readonly number[];
  asked = 0;

  constructor(heats: readonly number[]) {
    super(heats.length);
    this.#heats = heats;
  }

  override of(page: number): number {
    this.asked++;
    return this.#heats[page]!;
  }
}

function oweAll(pages: number): PageBitmap {
  const owed = PageBitmap.shared(pages);
  owed.addRun(0, pages);
  return owed;
}

function takeAll(hot: HotPages, pagesAStep: number): number[] {
  const pages: number[] = [];
  for (let before = -1; before < pages.length; hot.take(pagesAStep, pages)) before = pages.length;
  return pages;
}

const heats = fc.array(fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 255)), { minLength: 1, maxLength: 400 });
const stepPages = fc.integer({ min: 1, max: 100 });

test('all pages with any heat come, the hottest first, however many at a time', () => {
  fc.assert(
    fc.property(heats, stepPages, (given, pagesAStep) => {
      const owed = oweAll(given.length);
      const came = takeAll(new HotPages(owed, new GivenHeat(given)), pagesAStep);
      expect(came.map((page) => given[page])).toEqual(given.filter((heat) => heat > 0).sort((a, b) => b - a));
      expect(new Set(came).size).toBe(came.length);
      expect(owed.count()).toBe(given.filter((heat) => heat === 0).length);
    }),
  );
});

test('pages that somebody else took do not come', () => {
  fc.assert(
    fc.property(heats, stepPages, fc.array(fc.nat(399)), (given, pagesAStep, others) => {
      const owed = oweAll(given.length);
      const hot = new HotPages(owed, new GivenHeat(given));
      const first: number[] = [];
      hot.take(pagesAStep, first);
      const taken = others.filter((page) => page < given.length && owed.release(page));
      const came = [...first, ...takeAll(hot, pagesAStep)];
      expect(came.filter((page) => taken.includes(page))).toEqual([]);
      expect(came.length + taken.filter((page) => given[page]! > 0).length).toBe(
        given.filter((heat) => heat > 0).length,
      );
    }),
  );
});

test.each([
  ['all are equally hot', () => 128],
  ['each is differently hot', (page: number) => 1 + (page % 255)],
  ['hardly any is hot', (page: number) => (page % 1000 === 0 ? 1 : 0)],
])('a page costs a few looks at its block when %s', (_, heat) => {
  const heat255 = new GivenHeat(Array.from({ length: 8192 }, (__, page) => heat(page)));
  takeAll(new HotPages(oweAll(8192), heat255), 32);
  expect(heat255.asked).toBeLessThan(8192 * 36);
});

test('pages that are not owed cost nothing', () => {
  const owed = PageBitmap.shared(8192);
  owed.addRun(4000, 10);
  const heat = new GivenHeat(Array(8192).fill(7));
  expect(takeAll(new HotPages(owed, heat), 32)).toHaveLength(10);
  expect(heat.asked).toBeLessThan(50);
});
