import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PageHeat } from './page-heat.ts';

const ALL = { first: 0, count: 10 };

describe('the heat of a page', () => {
  test.each([
    ['never written', [0, 0, 0], 0x00],
    ['written in the last look', [0, 0, 1], 0x80],
    ['written in the look before the last', [0, 1, 0], 0x40],
    ['written in all of three looks', [1, 1, 1], 0xe0],
    ['written long ago', [1, 0, 0, 0, 0, 0, 0, 0, 0], 0x00],
    ['written in more looks than are remembered', Array(20).fill(1), 0xff],
  ])('%s', (_, looks, heat) => {
    const pages = new PageHeat(10);
    for (const written of looks) pages.look(written ? [{ first: 7, count: 1 }] : []);
    expect(pages.of(7)).toBe(heat);
    expect([pages.of(6), pages.of(8)]).toEqual([0, 0]);
  });

  test('of a page written lately is above that of one written earlier, however often', () => {
    const looks = fc.array(fc.boolean(), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(looks, (earlier) => {
        const pages = new PageHeat(2);
        for (const isWritten of earlier) pages.look(isWritten ? [{ first: 0, count: 1 }] : []);
        pages.look([{ first: 1, count: 1 }]);
        expect(pages.of(1)).toBeGreaterThan(pages.of(0));
      }),
    );
  });
});

test('pages written in so many looks in a row are found, among those that are asked for', () => {
  const pages = new PageHeat(10);
  pages.look([{ first: 2, count: 5 }]);
  pages.look([{ first: 3, count: 2 }]);
  pages.look([{ first: 3, count: 6 }]);
  expect(pages.inRow([ALL], 1)).toEqual([{ first: 3, count: 6 }]);
  expect(pages.inRow([ALL], 2)).toEqual([{ first: 3, count: 2 }]);
  expect(pages.inRow([{ first: 4, count: 3 }], 3)).toEqual([{ first: 4, count: 1 }]);
  expect(pages.inRow([ALL], 4)).toEqual([]);
});
