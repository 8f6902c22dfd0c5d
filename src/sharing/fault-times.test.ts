import { expect, test } from 'vitest';
import { FaultTimes } from './fault-times.ts';
import { isLent, openPageTable } from './page-table.ts';

test('who waits for a page that is lent is counted apart, and each page from the first that waits', () => {
  const times = new FaultTimes();
  const nowMs = performance.now();
  times.begin(1, nowMs - 50, false);
  times.begin(1, nowMs, true);
  times.begin(2, nowMs - 5000, true);
  for (const page of [1, 2, 2, 3]) times.end(page);
  const { faults, lentFaults } = times.summary;
  expect([faults.count, lentFaults.count]).toEqual([1, 1]);
  expect(faults.maxMicroseconds).toBeGreaterThanOrEqual(50_000);
  expect(faults.maxMicroseconds).toBeLessThan(4_000_000);
  expect(lentFaults.maxMicroseconds).toBeGreaterThanOrEqual(5_000_000);
});

test.each([
  ['destination', [false, false, true, false, true]],
  ['source', [false, false, false, false, false]],
] as const)('at the %s a page is lent when it has been there and is at the source', (side, lent) => {
  const table = openPageTable({ side, pages: 5, windowPages: 1, askAgainMs: 1 });
  table.turns.set([0, 1, 2, 3, 4]);
  expect([0, 1, 2, 3, 4].map((page) => isLent(table, page))).toEqual(lent);
});
