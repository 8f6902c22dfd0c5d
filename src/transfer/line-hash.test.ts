import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hashLines, hashPage, LINE_HASH_WORDS, LINES_PER_PAGE } from './line-hash.ts';

const PAGE_WORDS = 1024;
const SEED = Int32Array.of(0x12345678, -5);

function hashes(page: Int32Array, seed = SEED): Int32Array {
  const into = new Int32Array(LINE_HASH_WORDS);
  hashLines(page, 0, into, 0, seed);
  return into;
}

function differingLines(a: Int32Array, b: Int32Array): number[] {
  const lines: number[] = [];
  for (let i = 0; i < LINES_PER_PAGE; i++) if (a[2 * i] !== b[2 * i] || a[2 * i + 1] !== b[2 * i + 1]) lines.push(i);
  return lines;
}

const page = () => Int32Array.from({ length: PAGE_WORDS }, (_, i) => Math.imul(i, 0x9e3779b1));

test('exactly the lines that differ have other hashes', () => {
  const change = fc.record({ word: fc.nat(PAGE_WORDS - 1), xor: fc.integer({ min: 1, max: 2 ** 31 - 1 }) });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 20 }), (changes) => {
      const before = page();
      const after = page();
      for (const { word, xor } of changes) after[word]! ^= xor;
      const expected = [...new Set(changes.map(({ word }) => word >> 4))].filter((line) =>
        after.subarray(line * 16, line * 16 + 16).some((value, i) => value !== before[line * 16 + i]),
      );
      expect(differingLines(hashes(before), hashes(after))).toEqual(expected.sort((a, b) => a - b));
    }),
  );
});

test('the page is read from where it lies, and the hashes written to where they belong', () => {
  const two = new Int32Array(2 * PAGE_WORDS);
  two.set(page(), PAGE_WORDS);
  const into = new Int32Array(3 * LINE_HASH_WORDS);
  hashLines(two, PAGE_WORDS, into, LINE_HASH_WORDS, SEED);
  expect(into.subarray(LINE_HASH_WORDS, 2 * LINE_HASH_WORDS)).toEqual(hashes(page()));
  expect(into.subarray(0, LINE_HASH_WORDS).every((word) => word === 0)).toBe(true);
  expect(into.subarray(2 * LINE_HASH_WORDS).every((word) => word === 0)).toBe(true);
});

test('another seed, other hashes', () => {
  expect(differingLines(hashes(page()), hashes(page(), Int32Array.of(1, 2)))).toHaveLength(LINES_PER_PAGE);
});

test('lines that differ in few bits do not collide, and every bit of the hash is used', () => {
  const seen = new Set<bigint>();
  let lines = 0;
  let changedBits = 0;
  const one = new Int32Array(PAGE_WORDS);
  const plain = hashes(one);
  // Each pair of bits of a line's first and each later word, one line each.
  for (let word = 1; word < 16; word++) {
    for (let bit = 0; bit < 32; bit++) {
      one.fill(0);
      for (let line = 0; line < LINES_PER_PAGE; line++) {
        one[line * 16]! = line & 1 ? 1 << (line >> 1) : 0;
        one[line * 16 + word]! ^= 1 << bit;
      }
      const found = hashes(one);
      for (let line = 0; line < LINES_PER_PAGE; line++) {
        if ((line & 1) === 0 && line > 0) continue;
        const low = found[2 * line]!;
        const high = found[2 * line + 1]!;
        seen.add((BigInt(low >>> 0) << 32n) | BigInt(high >>> 0));
        lines++;
        changedBits += bitsOf(low ^ plain[0]!) + bitsOf(high ^ plain[1]!);
      }
    }
  }
  expect(seen.size).toBe(lines);
  expect(changedBits / lines).toBeGreaterThan(28);
  expect(changedBits / lines).toBeLessThan(36);
});

test('pages that differ in few bits do not collide, and every bit of the hash is used', () => {
  const contents = new Int32Array(PAGE_WORDS);
  const found = new Int32Array(2);
  const hashNow = (): bigint => {
    hashPage(hashes(contents), found, 0, SEED);
    return (BigInt(found[0]! >>> 0) << 32n) | BigInt(found[1]! >>> 0);
  };
  const plain = hashNow();
  const seen = new Set([plain]);
  let changedBits = 0;
  let pages = 0;
  for (let word = 0; word < PAGE_WORDS; word++) {
    for (let bit = 0; bit < 32; bit += 3, pages++) {
      contents[word] = 1 << bit;
      const hash = hashNow();
      seen.add(hash);
      changedBits += bitsOf(Number((hash ^ plain) >> 32n)) + bitsOf(Number((hash ^ plain) & 0xffff_ffffn));
    }
    contents[word] = 0;
  }
  expect(seen.size).toBe(pages + 1);
  expect(changedBits / pages).toBeGreaterThan(31);
  expect(changedBits / pages).toBeLessThan(33);
});

test('lines that trade places, and another seed, make another page', () => {
  const traded = page();
  traded.copyWithin(0, 16, 32);
  traded.set(page().subarray(0, 16), 16);
  const found = new Int32Array(6);
  hashPage(hashes(page()), found, 0, SEED);
  hashPage(hashes(traded), found, 2, SEED);
  hashPage(hashes(page()), found, 4, Int32Array.of(1, 2));
  expect(new Set([found[0], found[2], found[4]]).size).toBe(3);
});

function bitsOf(word: number): number {
  let count = 0;
  for (let rest = word >>> 0; rest !== 0; rest &= rest - 1) count++;
  return count;
}
