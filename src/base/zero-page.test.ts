import { expect, test } from 'vitest';
import { PAGE_SIZE } from './page.ts';
import { isZeroPage } from './zero-page.ts';

const PAGES = 3;

test('a page of zeros is zero, wherever it lies', () => {
  const words = new Int32Array((PAGES * PAGE_SIZE) / 4);
  expect([0, 1, 2].map((page) => isZeroPage(words, page))).toEqual([true, true, true]);
});

test('one bit anywhere in a page makes it, and it alone, not zero', () => {
  const bytes = new Uint8Array(PAGES * PAGE_SIZE);
  const words = new Int32Array(bytes.buffer);
  const seen = Array.from({ length: PAGE_SIZE }, (_, offset) => {
    bytes[PAGE_SIZE + offset] = 0x80 >> (offset % 8);
    const verdicts = [0, 1, 2].map((page) => isZeroPage(words, page)).join();
    bytes[PAGE_SIZE + offset] = 0;
    return verdicts;
  });
  expect(new Set(seen)).toEqual(new Set(['true,false,true']));
});

test('a page of negative zeros is not zero', () => {
  const floats = new Float64Array(PAGE_SIZE / 8).fill(-0);
  expect(isZeroPage(new Int32Array(floats.buffer), 0)).toBe(false);
});
