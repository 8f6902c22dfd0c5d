/** Looking for what is not there is given up, now and then taken up again, and not where the destination does not know. */
import { expect, test } from 'vitest';
import { DuplicateSearch } from './duplicate-search.ts';

const PAGES = 256;

/** Of so many batches those that were looked through; each finds so many. */
function look(search: DuplicateSearch, batches: number, found: number): number {
  let looked = 0;
  for (let i = 0; i < batches; i++) {
    if (!search.isWorthwhile()) continue;
    looked++;
    search.learn(PAGES, found);
  }
  return looked;
}

test('where pages are found every batch is looked through', () => {
  expect(look(new DuplicateSearch(), 100, 100)).toBe(100);
});

test('where none are, one in sixteen; until some are again', () => {
  const search = new DuplicateSearch();
  expect(look(search, 8, 0)).toBe(8);
  expect(look(search, 160, 0)).toBe(10);
  look(search, 320, 200);
  expect(look(search, 50, 200)).toBe(50);
});

test('a destination that has not got what it says is not asked any more', () => {
  const search = new DuplicateSearch();
  look(search, 20, 256);
  search.miss(2000);
  expect(search.isWorthwhile()).toBe(true);
  search.miss(2000);
  expect(search.isWorthwhile()).toBe(false);
});
