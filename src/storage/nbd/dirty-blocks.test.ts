import { expect, test } from 'vitest';
import { DirtyBlocks } from './dirty-blocks.ts';

const KIB = 1024;

test('what was written is collected once, in whole blocks, the last one as far as the image goes', () => {
  const dirty = new DirtyBlocks(200 * KIB);
  dirty.mark(60 * KIB, 8 * KIB);
  dirty.mark(199 * KIB, KIB);
  expect(dirty.dirtyBytes).toBe(192 * KIB);
  expect(dirty.collect([]).ranges).toEqual([
    { offset: 0, bytes: 128 * KIB },
    { offset: 192 * KIB, bytes: 8 * KIB },
  ]);
  expect(dirty.collect([]).ranges).toEqual([]);
});

test('a write that is under way when it is collected is collected again', () => {
  const dirty = new DirtyBlocks(1024 * KIB);
  dirty.mark(64 * KIB, KIB);
  expect(dirty.collect([{ offset: 64 * KIB, bytes: KIB }]).ranges).toEqual([{ offset: 64 * KIB, bytes: 64 * KIB }]);
  expect(dirty.collect([]).ranges).toEqual([{ offset: 64 * KIB, bytes: 64 * KIB }]);
  expect(dirty.collect([]).ranges).toEqual([]);
});

test('nothing written marks nothing', () => {
  const dirty = new DirtyBlocks(1024 * KIB);
  dirty.mark(64 * KIB, 0);
  expect(dirty.dirtyBytes).toBe(0);
});

test('what is more than was asked for is left for the next time', () => {
  const dirty = new DirtyBlocks(1024 * KIB);
  for (const block of [1, 3, 5]) dirty.mark(block * 64 * KIB, 1);
  const range = (block: number) => ({ offset: block * 64 * KIB, bytes: 64 * KIB });
  expect(dirty.collect([], 2)).toEqual({ ranges: [range(1), range(3)], isAll: false });
  expect(dirty.collect([], 2)).toEqual({ ranges: [range(5)], isAll: true });
});
