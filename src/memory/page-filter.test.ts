/** What was added is found, and little else. */
import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { PageFilter } from './page-filter.ts';

const PAGES = 20_000;

test('what was added is found, and of what was not about three in a thousand', () => {
  const added = randomBytes(PAGES * 16);
  const filter = PageFilter.forPages(PAGES);
  for (let at = 0; at < added.length; at += 16) filter.add(added, at);
  expect(filter.bytes.length).toBe(PAGES * 1.5);
  const known = new PageFilter(filter.bytes.slice());
  for (let at = 0; at < added.length; at += 16) expect(known.mayHave(added.subarray(at, at + 16))).toBe(true);
  let found = 0;
  for (let i = 0; i < PAGES; i++) if (known.mayHave(randomBytes(16))) found++;
  expect(found / PAGES).toBeGreaterThan(0.001);
  expect(found / PAGES).toBeLessThan(0.006);
});

test('an empty one has nothing, and one of a single byte is one', () => {
  expect(PageFilter.forPages(0).mayHave(randomBytes(16))).toBe(false);
  const filter = new PageFilter(Uint8Array.of(0xff));
  expect(filter.mayHave(randomBytes(16))).toBe(true);
});
