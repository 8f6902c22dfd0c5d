/** Pages that are waited for are looked at less and less often, all of them in turn, and no more of them than there is room for. */
import { expect, test } from 'vitest';
import { AwaitedPages } from './awaited-pages.ts';

const place = (page: number) => ({ fingerprint: new Uint8Array(16).fill(page), migration: new Uint8Array(8), page });

function waitFor(pages: readonly number[]): AwaitedPages {
  const awaited = new AwaitedPages();
  for (const page of pages) awaited.add(page, place(page));
  awaited.endFrame(0);
  return awaited;
}

test('what has come is waited for no more, what has not is looked at later', () => {
  const awaited = waitFor([1, 2, 3]);
  expect(awaited.count).toBe(3);
  const tried: number[] = [];
  awaited.retry(awaited.dueMs - 1, ({ page }) => tried.push(page) > 0);
  expect(tried).toEqual([]);
  const firstDueMs = awaited.dueMs;
  awaited.retry(firstDueMs, ({ page }) => page !== 2);
  expect(awaited.count).toBe(1);
  expect(awaited.dueMs - firstDueMs).toBeGreaterThan(firstDueMs);
  awaited.retry(awaited.dueMs, ({ page, place: { fingerprint } }) => page === 2 && fingerprint[0] === 2);
  expect(awaited.count).toBe(0);
  expect(awaited.dueMs).toBe(Number.POSITIVE_INFINITY);
});

test('at the end all are looked at, due or not', () => {
  const awaited = waitFor([1, 2]);
  awaited.retry(0, () => true, true);
  expect(awaited.count).toBe(0);
});

test('of a frame of which nothing has come a few are looked at, others the next time', () => {
  const pages = Array.from({ length: 100 }, (_, page) => page);
  const awaited = waitFor(pages);
  const tried = new Set<number>();
  let tries = 0;
  for (let time = 0; time < 20; time++) {
    awaited.retry(awaited.dueMs, ({ page }) => {
      tries++;
      tried.add(page);
      return false;
    });
  }
  expect(tries).toBeLessThan(200);
  expect(tried.size).toBe(100);
  expect(awaited.count).toBe(100);
});

test('a frame is kept as it was when it came', () => {
  const awaited = new AwaitedPages();
  const body = new Uint8Array(24).fill(7);
  awaited.add(1, { fingerprint: body.subarray(0, 16), migration: body.subarray(16), page: 5 });
  awaited.endFrame(0);
  body.fill(0);
  awaited.retry(awaited.dueMs, ({ place: { fingerprint, migration, page } }) => {
    expect([...fingerprint, ...migration].every((byte) => byte === 7)).toBe(true);
    expect(page).toBe(5);
    return true;
  });
});

test('more than there is room for are not waited for', () => {
  const awaited = waitFor(Array.from({ length: 70_000 }, (_, page) => page));
  expect(awaited.count).toBe(65_536);
});
