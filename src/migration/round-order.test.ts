import fc from 'fast-check';
import { expect, test } from 'vitest';
import { batchRuns, countPages, intersectRuns, type PageRun, subtractRuns } from '../base/page.ts';
import { uniteRuns } from '../base/page-bitmap.ts';
import { RoundOrder } from './round-order.ts';

const PAGES = 4096;
const BATCH = 64;
const ALL = [{ first: 0, count: PAGES }];

/** What a sender does with it: the pages in the order in which they go. */
function send(order: RoundOrder): PageRun[] {
  const sent: PageRun[] = [];
  const pass = (runs: readonly PageRun[]): void => {
    for (const batch of batchRuns(runs, BATCH)) sent.push(...subtractRuns(batch, order.choose(batch).skipped));
  };
  pass(ALL);
  pass(order.takePutOff());
  return sent;
}

function orderOf(
  rewritten: () => readonly PageRun[],
  facts: { isFirst?: boolean; deferrable?: readonly PageRun[] } = {},
) {
  const tracker = { peek: (run: PageRun) => intersectRuns([run], rewritten()) };
  return new RoundOrder(tracker, { pages: PAGES, isFirst: true, deferrable: [], ...facts });
}

test('in the first pass what lies beside written pages goes last, and those that are written not at all', () => {
  const order = orderOf(() => [{ first: 70, count: 2 }]);
  const sent = send(order);
  expect(sent.slice(-2)).toEqual([
    { first: 64, count: 6 },
    { first: 72, count: 56 },
  ]);
  expect([countPages(sent), order.leftPages]).toEqual([PAGES - 2, 2]);
});

test('later rounds are sent as they come', () => {
  const order = orderOf(() => [{ first: 70, count: 2 }], { isFirst: false });
  expect(send(order).at(-1)!.first).toBe(PAGES - BATCH);
});

test('of a VM that writes everywhere some batches go at once, so that the link has work', () => {
  const everywhere = Array.from({ length: PAGES / BATCH }, (_, i) => ({ first: i * BATCH, count: 1 }));
  const order = orderOf(() => everywhere);
  const first = batchRuns(ALL, BATCH).map((batch) => order.choose(batch).donePages);
  expect([...first].filter((pages) => pages === BATCH)).toHaveLength(3);
});

test('hot pages are left to the stop without having been written again', () => {
  const order = orderOf(() => [], { isFirst: false, deferrable: [{ first: 5, count: 3 }] });
  expect(countPages(send(order))).toBe(PAGES - 3);
  expect(order.deferred()).toEqual([{ first: 5, count: 3 }]);
});

test('whatever the VM writes meanwhile, each page is sent once or left out, and it is told how many', () => {
  const runs = fc.array(fc.record({ first: fc.nat(PAGES - 50), count: fc.integer({ min: 1, max: 50 }) }));
  fc.assert(
    fc.property(fc.array(runs, { minLength: 1 }), fc.boolean(), (writes, isFirst) => {
      let written: readonly PageRun[] = [];
      let turn = 0;
      const order = orderOf(
        () => {
          for (const run of writes[turn++ % writes.length]!) written = uniteRuns(written, [run], PAGES);
          return written;
        },
        { isFirst },
      );
      const sent = send(order);
      const unique = sent.reduce<readonly PageRun[]>((all, run) => uniteRuns(all, [run], PAGES), []);
      expect(countPages(sent)).toBe(countPages(unique));
      expect(countPages(unique) + order.leftPages).toBe(PAGES);
      // What was left out was written, so the next round has it.
      expect(subtractRuns(subtractRuns(ALL, unique), written)).toEqual([]);
    }),
    { numRuns: 50 },
  );
});
