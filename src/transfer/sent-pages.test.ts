import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createSentPages, SentPages, type SentPagesOptions } from './sent-pages.ts';

const WORDS = 1024;

function pageOf(...changes: [word: number, value: number][]): Int32Array {
  const page = Int32Array.from({ length: WORDS }, (_, i) => i * 3);
  for (const [word, value] of changes) page[word] = value;
  return page;
}

/** With room for the lines of so many pages. */
function remember(pageCount: number, lines: number, options: Partial<SentPagesOptions> = {}): SentPages {
  return new SentPages(createSentPages({ pageCount, same: true, linesBudgetBytes: lines * 516, ...options })!);
}

test('what has not changed is known of every page, what has of those whose lines there is room for', () => {
  const sent = remember(100, 10);
  const all = Array.from({ length: 100 }, (_, page) => page);
  const kinds = (contents: Int32Array) => new Set(all.map((page) => sent.exchange(page, contents, 0).kind));
  expect(kinds(pageOf())).toEqual(new Set(['new']));
  expect(kinds(pageOf())).toEqual(new Set(['same']));
  // The last pages of all had the room.
  const changed = pageOf([16 * 40, 1]);
  expect(sent.exchange(95, changed, 0)).toEqual({ kind: 'changed', low: 0, high: 1 << 8, lines: 1 });
  expect(sent.exchange(5, changed, 0).kind).toBe('new');
  expect(sent.exchange(5, changed, 0).kind).toBe('same');
});

test('an unchanged page takes no room from a page that changes', () => {
  const sent = remember(20, 10);
  sent.exchange(3, pageOf(), 0);
  sent.exchange(13, pageOf(), 0);
  expect(sent.exchange(3, pageOf(), 0).kind).toBe('same');
  expect(sent.exchange(13, pageOf([0, 1]), 0).kind).toBe('changed');
});

test('a page that was forgotten is new, and its neighbours are not', () => {
  const sent = remember(8, 8);
  for (const page of [2, 3, 4, 5]) sent.exchange(page, pageOf(), 0);
  sent.forget(3, 2);
  expect([2, 3, 4, 5].map((page) => sent.exchange(page, pageOf(), 0).kind)).toEqual(['same', 'new', 'new', 'same']);
});

test('a page that changes back is sent back', () => {
  const sent = remember(1, 0);
  const kinds = [pageOf(), pageOf([7, 1]), pageOf(), pageOf()].map((contents) => sent.exchange(0, contents, 0).kind);
  expect(kinds).toEqual(['new', 'new', 'new', 'same']);
});

test('one part can be had without the other, and with neither there is nothing', () => {
  const lines = remember(2, 2, { same: false });
  lines.exchange(1, pageOf(), 0);
  expect(lines.exchange(1, pageOf([0, 9]), 0).kind).toBe('changed');
  expect(createSentPages({ pageCount: 2, same: true, linesBudgetBytes: 0 })).toMatchObject({ lines: null });
  expect(createSentPages({ pageCount: 2, same: false, linesBudgetBytes: 0 })).toBeNull();
});

test('all pages take 8 bytes each, whatever the room for lines', () => {
  const shared = createSentPages({ pageCount: 1_000_000, same: true, linesBudgetBytes: 516 * 100 })!;
  expect(shared.pages!.byteLength).toBe(8_000_000);
  expect(shared.lines!.hashes.byteLength).toBe(512 * 100);
});

test('whatever is written, a page is left out just when it is what it was the last time', () => {
  const write = fc.record({ page: fc.nat(5), word: fc.nat(WORDS - 1), value: fc.integer({ min: 0, max: 3 }) });
  const step = fc.record({ writes: fc.array(write, { maxLength: 4 }), forgets: fc.option(fc.nat(5)) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      const sent = remember(6, 4);
      const now = Array.from({ length: 6 }, () => pageOf());
      const last = new Map<number, string>();
      for (const { writes, forgets } of steps) {
        for (const { page, word, value } of writes) now[page]![word] = value;
        if (forgets !== null) {
          sent.forget(forgets, 1);
          last.delete(forgets);
        }
        for (const [page, contents] of now.entries()) {
          const text = contents.join();
          expect(sent.exchange(page, contents, 0).kind === 'same').toBe(last.get(page) === text);
          last.set(page, text);
        }
      }
    }),
    { numRuns: 50 },
  );
});
