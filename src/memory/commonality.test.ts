import { expect, test } from 'vitest';
import { largerTest } from '../../test/support/further-cases.ts';
import { PAGE_SIZE, type PageRun } from '../base/page.ts';
import { createPageSample } from '../base/page-sample.ts';
import type { ReadableMemory } from './block-reader.ts';
import { countExactly, countSampled } from './commonality.ts';

const KEY = new Uint8Array(32).fill(9);
const PAGES = 300;

/** Lines are told by numbers, 0 is zeros; the last page is a hole. */
function memoryOf(lineOf: (line: number) => number): ReadableMemory & { readonly words: Int32Array; reads: number } {
  const words = new Int32Array((PAGES * PAGE_SIZE) / 4);
  for (let line = 0; line < words.length / 16; line++) words.fill(lineOf(line), line * 16, line * 16 + 16);
  const bytes = new Uint8Array(words.buffer);
  const memory = {
    words,
    reads: 0,
    dataRuns: (): PageRun[] => [{ first: 0, count: PAGES - 1 }],
    readPages: ({ first, count }: PageRun, into: Uint8Array): void => {
      memory.reads++;
      into.set(bytes.subarray(first * PAGE_SIZE, (first + count) * PAGE_SIZE));
    },
  };
  return memory;
}

const exact = (memories: readonly ReadableMemory[], grain: number) => {
  const { common, refuted } = countExactly(memories, grain, KEY, () => undefined)!;
  return { common: common.map((row) => [...row]), refuted };
};

test('contents that both have are counted once, at every grain; zeros and holes nowhere', () => {
  const lines = (PAGES - 1) * 64;
  // The second has the first's pages in another order, and the first line of each is another one.
  const a = memoryOf((line) => (line < 64 ? 0 : line + 1));
  const pageOf = (line: number): number => (Math.floor(line / 64) * 7) % 299;
  const b = memoryOf((line) => (line % 64 === 0 ? -line - 1 : pageOf(line) * 64 + (line % 64) + 1));
  const own = lines - 64;
  expect(exact([a, b], 64)).toEqual({
    common: [
      [own, own - 298],
      [own - 298, lines],
    ],
    refuted: 0,
  });
  // Of each page's four kibibytes one has the changed line.
  expect(exact([a, b], 1024).common[0]).toEqual([own / 16, 298 * 3]);
  expect(exact([a, b], PAGE_SIZE).common).toEqual([
    [298, 0],
    [0, 299],
  ]);
});

test('a block that has changed since it was looked at is refuted, not counted', () => {
  const a = memoryOf((line) => line + 1);
  const b = memoryOf((line) => line + 1);
  const read = a.readPages.bind(a);
  let passes = 0;
  a.readPages = (run, into) => {
    read(run, into);
    // Read a second time whole, and then changed: the comparison finds it.
    if (run.first === 256 && run.count > 1 && ++passes === 2) a.words.fill(-7, 0, 16);
  };
  const { common, refuted } = exact([a, b], PAGE_SIZE);
  expect(refuted).toBe(1);
  expect(common[0]![1]).toBe(298);
});

largerTest('more VMs than bits in a word are told apart', () => {
  const all = Array.from({ length: 40 }, (_, vm) => memoryOf((line) => (line < 64 ? 5 : line < 128 ? 1000 + vm : 0)));
  const { common } = exact(all, PAGE_SIZE);
  expect(common[0]!.slice(0, 3)).toEqual([2, 1, 1]);
  expect(common[39]!.slice(-2)).toEqual([1, 2]);
});

test('samples are counted the same way', () => {
  const [a, b] = [createPageSample([1, 2, 2, 3]), createPageSample([2, 3, 4, 5])];
  expect(countSampled([a, b]).common.map((row) => [...row])).toEqual([
    [3, 2],
    [2, 4],
  ]);
});

test('of more memory than can be looked through in an hour nothing is read', () => {
  const memory = memoryOf((line) => line);
  memory.dataRuns = () => [{ first: 0, count: 2 ** 21 }];
  expect(countExactly([memory], 64, KEY, () => undefined)).toBeNull();
  expect(memory.reads).toBe(0);
});
