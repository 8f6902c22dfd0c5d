import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ScratchMemory } from '../../test/support/scratch-memory.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { GuestMemory } from './guest-memory.ts';

test('pages are written and read across the border of regions', () => {
  using scratch = new ScratchMemory(4, 4);
  const contents = new Uint8Array(4 * PAGE_SIZE).map((_, i) => 1 + Math.floor(i / PAGE_SIZE));
  scratch.memory.writePages({ first: 2, count: 4 }, contents);
  const back = new Uint8Array(4 * PAGE_SIZE);
  scratch.memory.readPages({ first: 2, count: 4 }, back);
  expect(Buffer.compare(back, contents)).toBe(0);
  expect(scratch.memory.dataRuns()).toEqual([{ first: 2, count: 4 }]);
  expect(scratch.memory.dataRuns(3, 5)).toEqual([{ first: 3, count: 2 }]);
});

test('reading never fills a hole', () => {
  using scratch = new ScratchMemory(8);
  const into = new Uint8Array(8 * PAGE_SIZE).fill(1);
  scratch.memory.readPages({ first: 0, count: 8 }, into);
  expect(into.every((byte) => byte === 0)).toBe(true);
  expect(scratch.residentPages()).toBe(0);
});

test('punching makes holes of pages, one run or all', () => {
  using scratch = new ScratchMemory(4, 4);
  scratch.fill(0, 1, 2, 3, 4, 5, 6, 7, 8);
  scratch.memory.punch({ first: 3, count: 2 });
  expect(scratch.memory.dataRuns()).toEqual([
    { first: 0, count: 3 },
    { first: 5, count: 3 },
  ]);
  scratch.memory.punchAll();
  expect(scratch.memory.dataRuns()).toEqual([]);
  expect(scratch.residentPages()).toBe(0);
});

test('reserving takes the memory at once', () => {
  using scratch = new ScratchMemory(4, 4);
  scratch.memory.allocate({ first: 3, count: 2 });
  expect(scratch.residentPages()).toBe(2);
});

test('a buffer of another size than the run, pages outside and missing files are refused', () => {
  using scratch = new ScratchMemory(4);
  expect(() => scratch.memory.readPages({ first: 0, count: 2 }, new Uint8Array(PAGE_SIZE))).toThrow(RangeError);
  expect(() => scratch.memory.writePages({ first: 0, count: 1 }, new Uint8Array(2 * PAGE_SIZE))).toThrow(RangeError);
  expect(() => scratch.memory.writePages({ first: 4, count: 1 }, new Uint8Array(PAGE_SIZE))).toThrow(RangeError);
  expect(() => new GuestMemory(scratch.memory.layout, [])).toThrow(RangeError);
});

test('where one of its files cannot be opened none stays open', () => {
  using scratch = new ScratchMemory(4, 4);
  const { layout } = scratch.memory;
  const [path] = scratch.memory.ownPaths();
  const openFds = (): string[] => readdirSync('/proc/self/fd').sort();
  const before = openFds();
  expect(() => GuestMemory.open(layout, [path!, '/dev/shm/there-is-no-such-file'])).toThrow('ENOENT');
  expect(openFds()).toEqual(before);
});
