import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PAGE_SIZE } from '../base/page.ts';
import { RamLayout } from './layout.ts';

const MIB = 2 ** 20;
const TWO = new RamLayout([
  { id: 'ram', bytes: 4 * PAGE_SIZE },
  { id: 'hotplugged', bytes: 2 * PAGE_SIZE },
]);

test('regions follow each other', () => {
  expect(TWO.pageCount).toBe(6);
  expect(TWO.bytes).toBe(6 * PAGE_SIZE);
  expect(TWO.regions.map(({ firstPage, pageCount }) => [firstPage, pageCount])).toEqual([
    [0, 4],
    [4, 2],
  ]);
});

test.each([
  { page: 0, id: 'ram', offset: 0 },
  { page: 3, id: 'ram', offset: 3 * PAGE_SIZE },
  { page: 4, id: 'hotplugged', offset: 0 },
  { page: 5, id: 'hotplugged', offset: PAGE_SIZE },
])('page $page lies in $id at $offset, and back', ({ page, id, offset }) => {
  const located = TWO.locate(page);
  expect([located.region.id, located.offset]).toEqual([id, offset]);
  expect(TWO.pageAt(located.region.index, offset + 4095)).toBe(page);
});

test('pages outside the VM are refused', () => {
  expect(() => TWO.locate(6)).toThrow(RangeError);
  expect(() => TWO.locate(-1)).toThrow(RangeError);
  expect(() => TWO.split({ first: 5, count: 2 })).toThrow(RangeError);
});

test('a run is cut at the border of regions', () => {
  const pieces = TWO.split({ first: 2, count: 4 });
  expect(pieces.map(({ region, regionPage, first, count }) => [region.id, regionPage, first, count])).toEqual([
    ['ram', 2, 2, 2],
    ['hotplugged', 0, 4, 2],
  ]);
  expect(TWO.split({ first: 6, count: 0 })).toEqual([]);
});

test('the pieces of a run are the run, each inside its region', () => {
  const layouts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(layouts, fc.nat(), fc.nat(), (pageCounts, a, b) => {
      const layout = new RamLayout(pageCounts.map((pages, i) => ({ id: `r${i}`, bytes: pages * PAGE_SIZE })));
      const first = a % layout.pageCount;
      const count = b % (layout.pageCount - first + 1);
      let at = first;
      for (const piece of layout.split({ first, count })) {
        expect(piece.first).toBe(at);
        expect(piece.regionPage + piece.count).toBeLessThanOrEqual(piece.region.pageCount);
        expect(layout.locate(at)).toEqual({ region: piece.region, offset: piece.regionPage * PAGE_SIZE });
        at += piece.count;
      }
      expect(at).toBe(first + count);
    }),
  );
});

test('a layout survives the wire', () => {
  const copy = RamLayout.fromJson(JSON.parse(JSON.stringify(TWO)));
  expect(copy.difference(TWO)).toBeUndefined();
  expect(copy.regions).toEqual(TWO.regions);
});

test.each([
  ['nothing', undefined],
  ['null', null],
  ['no list', { regions: 7 }],
  ['no region', { regions: [] }],
  ['a region without size', { regions: [{ id: 'ram' }] }],
  ['a region without name', { regions: [{ bytes: MIB }] }],
  ['a region that is null', { regions: [null] }],
  ['half a page', { regions: [{ id: 'ram', bytes: 2048 }] }],
  ['less than nothing', { regions: [{ id: 'ram', bytes: -4096 }] }],
  ['not a number', { regions: [{ id: 'ram', bytes: Number.NaN }] }],
  ['more than any host has', { regions: [{ id: 'ram', bytes: 2 ** 53 - 4096 }] }],
  ['too many regions', { regions: Array.from({ length: 257 }, () => ({ id: 'ram', bytes: 4096 })) }],
])('a layout from a peer with %s is refused', (_, json) => {
  expect(() => RamLayout.fromJson(json)).toThrow(expect.objectContaining({ code: 'GW_INPUT_INVALID' }));
});

test.each([
  { other: [{ id: 'ram', bytes: 4 * PAGE_SIZE }], words: 'region 1 (hotplugged) exists only here' },
  { other: [...TWO.toJSON().regions, { id: 'x', bytes: MIB }], words: 'region 2 (x) exists only there' },
  {
    other: [TWO.toJSON().regions[0]!, { id: 'y', bytes: 2 * PAGE_SIZE }],
    words: 'region 1 is hotplugged here and y there',
  },
  {
    other: [TWO.toJSON().regions[0]!, { id: 'hotplugged', bytes: MIB }],
    words: 'region hotplugged has 8192 bytes here and 1048576 there',
  },
])('the difference is named: $words', ({ other, words }) => {
  expect(TWO.difference(new RamLayout(other))).toBe(words);
});
