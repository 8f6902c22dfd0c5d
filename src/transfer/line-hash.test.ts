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

/** How guests change memory: each makes one of many variants of a page. All words that it writes are its own. */
const CHANGES: Readonly<Record<string, (page: Int32Array, variant: number) => void>> = {
  'a counter': (page, k) => {
    page[500] = k;
  },
  'a counter in steps of a page, of 64 bits': (page, k) => {
    page[500] = k << 12;
    page[501] = k >>> 20;
  },
  'counters that count together in one line': (page, k) => {
    for (let word = 512; word < 528; word++) page[word] = k;
  },
  'one that counts up beside one that counts down': (page, k) => {
    page[510] = k;
    page[511] = -k;
  },
  'the same counter in two lines': (page, k) => {
    page[33] = k;
    page[801] = k;
  },
  'a counter in every line': (page, k) => {
    for (let word = 7; word < PAGE_WORDS; word += 16) page[word] = k;
  },
  'pointers into the kernel, forward and back': (page, k) => {
    page[64] = (k + 1) << 6;
    page[65] = 0xffff8881 | 0;
    page[66] = (k - 1) << 6;
    page[67] = 0xffff8881 | 0;
  },
  'entries of a page table': (page, k) => {
    page[100] = (k << 12) | 0x67;
    page[101] = 0x80000000 | (k >>> 20);
    page[102] = ((k + 1) << 12) | 0x67;
    page[103] = 0x80000000 | ((k + 1) >>> 20);
  },
  'top bits of the words of one line': (page, k) => {
    for (let bit = 0; bit < 14; bit++) page[256 + bit] = (k >>> bit) << 31;
  },
  'top bits of the last words of fourteen lines': (page, k) => {
    for (let bit = 0; bit < 14; bit++) page[15 + 64 * bit] = (k >>> bit) << 31;
  },
  'two bytes at the ends of a line': (page, k) => {
    page[512] = k & 127;
    page[527] = (k >>> 7) << 24;
  },
  'one bit or two anywhere': (page, k) => {
    page[(k * 2) % PAGE_WORDS]! ^= 1 << (k % 32);
    page[(k * 7 + 3) % PAGE_WORDS]! ^= 1 << (k >>> 9);
  },
};
/** Of so many random words of 32 bits two are the same in one of 32 cases, three pairs in one of 200 000. */
const VARIANTS = 2 ** 14;
const MOST_PAIRS = 2;

test.each(
  Object.keys(CHANGES).flatMap((name) => [0, 1].map((filled) => [name, filled] as const)),
)('pages that differ in %s collide no more than random ones in either half of the hash, filled: %i', (name, filled) => {
  const halves = [new Set<number>(), new Set<number>()] as const;
  const found = new Int32Array(2);
  const contents = new Int32Array(PAGE_WORDS);
  const before = filled ? page() : new Int32Array(PAGE_WORDS);
  for (let variant = 0; variant < VARIANTS; variant++) {
    contents.set(before);
    CHANGES[name]!(contents, variant);
    hashPage(hashes(contents), found, 0, SEED);
    for (const half of [0, 1] as const) halves[half].add(found[half]!);
  }
  for (const { size } of halves) expect(size).toBeGreaterThanOrEqual(VARIANTS - MOST_PAIRS);
});

function bitsOf(word: number): number {
  let count = 0;
  for (let rest = word >>> 0; rest !== 0; rest &= rest - 1) count++;
  return count;
}
