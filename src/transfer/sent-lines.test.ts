import { expect, test } from 'vitest';
import { hashLines, LINE_HASH_WORDS } from './line-hash.ts';
import { createSentLines, SentLines } from './sent-lines.ts';

const WORDS = 1024;
const BUDGET = 1 << 20;
const SEED = Int32Array.of(3, 4);

function pageOf(...changes: [word: number, value: number][]): Int32Array {
  const page = Int32Array.from({ length: WORDS }, (_, i) => i * 3);
  for (const [word, value] of changes) page[word] = value;
  const hashes = new Int32Array(LINE_HASH_WORDS);
  hashLines(page, 0, hashes, 0, SEED);
  return hashes;
}

test('a page is new, then the same, then changed in the lines that were written', () => {
  const lines = new SentLines(createSentLines(100, BUDGET));
  expect(lines.exchange(7, pageOf()).kind).toBe('new');
  expect(lines.exchange(7, pageOf()).kind).toBe('same');
  const changed = pageOf([0, 1], [31, 1], [16 * 33, 9]);
  expect(lines.exchange(7, changed)).toEqual({ kind: 'changed', low: 0b11, high: 0b10, lines: 3 });
  expect(lines.exchange(7, changed).kind).toBe('same');
});

test('the last line of all', () => {
  const lines = new SentLines(createSentLines(1, BUDGET));
  lines.exchange(0, pageOf());
  expect(lines.exchange(0, pageOf([1023, 1]))).toMatchObject({ low: 0, high: 0x8000_0000, lines: 1 });
});

test('a page that was forgotten is new', () => {
  const lines = new SentLines(createSentLines(100, BUDGET));
  for (const page of [1, 2, 3]) lines.exchange(page, pageOf());
  lines.forget(2, 1);
  expect([1, 2, 3].map((page) => lines.exchange(page, pageOf()).kind)).toEqual(['same', 'new', 'same']);
});

test('pages that share a place take it from each other', () => {
  const lines = new SentLines(createSentLines(1000, 10 * 516));
  expect(lines.exchange(3, pageOf()).kind).toBe('new');
  expect(lines.exchange(13, pageOf()).kind).toBe('new');
  // Forgetting the page that lost its place leaves the other where it is.
  lines.forget(3, 1);
  expect(lines.exchange(13, pageOf()).kind).toBe('same');
  expect(lines.exchange(3, pageOf()).kind).toBe('new');
});

test('an entry that another thread is at is left alone, and the page is sent whole', () => {
  const shared = createSentLines(10, BUDGET);
  const lines = new SentLines(shared);
  lines.exchange(4, pageOf());
  const tags = new Int32Array(shared.tags);
  const tag = tags[4]!;
  tags[4] = -1;
  expect(lines.exchange(4, pageOf([0, 5])).kind).toBe('new');
  tags[4] = tag;
  expect(lines.exchange(4, pageOf()).kind).toBe('same');
});

test('the table is as large as the pages need, or the budget allows', () => {
  expect(createSentLines(10, BUDGET).hashes.byteLength).toBe(10 * 512);
  expect(createSentLines(1e9, 516 * 100).hashes.byteLength).toBe(100 * 512);
});
