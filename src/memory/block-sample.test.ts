import { expect, test } from 'vitest';
import { PAGE_SIZE } from '../base/page.ts';
import type { PageSample } from '../base/page-sample.ts';
import { BlockHash } from './block-hash.ts';
import { BLOCK_GRAINS, type BlockGrain, BlockSampler, sampledOf } from './block-sample.ts';

const KEY = new Uint8Array(32).fill(7);
const PAGES = 2048;

/** Each line is told by a number; 0 is a line of zeros. */
function memoryOf(lineOf: (line: number) => number, pages = PAGES): Uint8Array {
  const words = new Int32Array((pages * PAGE_SIZE) / 4);
  for (let line = 0; line < words.length / 16; line++) {
    const number = lineOf(line);
    if (number !== 0) words.fill(number, line * 16, line * 16 + 16);
  }
  return new Uint8Array(words.buffer);
}

function sampleOf(memory: Uint8Array, key = KEY): Record<BlockGrain, PageSample> {
  const sampler = new BlockSampler(key);
  for (let at = 0; at < memory.length; at += 64 * PAGE_SIZE) sampler.add(memory.subarray(at, at + 64 * PAGE_SIZE));
  return sampler.finish();
}

/** Contents in both, estimated in blocks. */
function inBoth(a: PageSample, b: PageSample, grain: BlockGrain): number {
  const keys = new Set(a.keys);
  return b.keys.filter((key) => keys.has(key)).length * sampledOf(grain);
}

test('the number of blocks of each grain is estimated well from the sample', () => {
  const sample = sampleOf(memoryOf((line) => line + 1));
  for (const grain of BLOCK_GRAINS) {
    const blocks = (PAGES * PAGE_SIZE) / grain;
    const estimated = sample[grain].counts.reduce((sum, count) => sum + count, 0) * sampledOf(grain);
    // Five standard deviations: the key is fixed, so this never changes.
    expect(Math.abs(estimated - blocks)).toBeLessThan(5 * Math.sqrt(blocks * sampledOf(grain)));
  }
});

test('what lies elsewhere, in pages that are all different, is found again where the grain is small enough', () => {
  // Every fourth line is another one: no kibibyte is the same, three of four lines are.
  const a = sampleOf(memoryOf((line) => line + 1));
  const b = sampleOf(memoryOf((line) => (line % 4 === 0 ? -line - 1 : line + 1)));
  const lines = PAGES * 64;
  expect(inBoth(a[1024], b[1024], 1024)).toBe(0);
  expect(Math.abs(inBoth(a[64], b[64], 64) - 0.75 * lines)).toBeLessThan(0.15 * lines);
});

test('zeros are in no sample, and another key samples other contents', () => {
  expect(sampleOf(memoryOf(() => 0))[64].keys).toHaveLength(0);
  const memory = memoryOf((line) => line + 1);
  expect(inBoth(sampleOf(memory)[64], sampleOf(memory, new Uint8Array(32))[64], 64)).toBe(0);
});

test('one changed bit anywhere in a page changes the keys of its blocks, and of no other', () => {
  const hash = new BlockHash(KEY);
  const keysOf = (memory: Uint8Array, lines: number): (number | null)[] => {
    hash.look(new Int32Array(memory.buffer), 0);
    return Array.from({ length: 64 / lines }, (_, block) => hash.keyOf(block, lines, 1));
  };
  const memory = memoryOf((line) => line + 1, 1);
  for (const lines of [1, 16, 64]) {
    const before = keysOf(memory, lines);
    expect(new Set(before).size).toBe(64 / lines);
    for (const bit of [0, 7, 511, 512 * 16, 4096 * 8 - 1]) {
      const changed = memory.slice();
      changed[bit >> 3]! ^= 1 << (bit & 7);
      const different = keysOf(changed, lines).flatMap((key, block) => (key === before[block] ? [] : [block]));
      expect(different).toEqual([Math.floor(bit / (512 * lines))]);
    }
  }
});
