import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SHARED_MEMORY_PREFIX } from '../../test/support/temp-directory.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { PageCopies } from './page-copies.ts';
import { RegionJournal } from './region-journal.ts';

const PAGES = 8;
const SLOTS = 2;

let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(SHARED_MEMORY_PREFIX);
  path = join(directory, 'journal');
});
afterEach(() => rmSync(directory, { recursive: true }));

/** What the process wrote is in the file at once: who opens it sees what was there when the other one was killed. */
function reopen(isInFile: (page: number) => boolean = () => false) {
  const journal = RegionJournal.open(path, PAGES, SLOTS);
  const kept = journal.recover(isInFile);
  return { journal, kept, copies: new PageCopies(journal, kept) };
}

test('what was given and not acknowledged is there again, with its contents', () => {
  const copies = new PageCopies(RegionJournal.create(path, PAGES, SLOTS));
  copies.make(5, (copy, keep) => {
    copy.fill(9);
    keep();
  });
  copies.make(6, (_copy, keep) => keep());
  const again = reopen();
  expect(again.kept.map(({ page }) => page).sort()).toEqual([5, 6]);
  expect([...again.journal.turns()]).toEqual([0, 0, 0, 0, 0, 1, 1, 0]);
  expect(again.copies.read(5)).toEqual(new Uint8Array(PAGE_SIZE).fill(9));
  expect(again.copies.read(6)).toBeNull();
  again.copies.forget(5);
  expect(reopen().kept.map(({ page }) => page)).toEqual([6]);
});

test('killed while a page was being taken away: it is here before its turn is written, and given afterwards', () => {
  const copies = new PageCopies(RegionJournal.create(path, PAGES, SLOTS));
  const seen: number[][] = [];
  copies.make(3, (copy, keep) => {
    copy.fill(1);
    seen.push(reopen().kept.map(({ page }) => page));
    keep();
    seen.push(reopen().kept.map(({ page }) => page));
  });
  expect(seen).toEqual([[], [3]]);
});

test('killed while a page was being put in place: the file says whether it is', () => {
  const journal = RegionJournal.create(path, PAGES, SLOTS);
  const copies = new PageCopies(journal);
  copies.make(4, (_copy, keep) => keep());
  journal.expect(4);
  expect(reopen((page) => page !== 4).kept).toHaveLength(1);
  const again = reopen((page) => page === 4);
  expect(again.journal.turns()[4]).toBe(2);
  // That it came back says that it had arrived.
  expect(again.kept).toEqual([]);
});

test('a page that was put in place and has gone on is not taken for one that was just coming', () => {
  const journal = RegionJournal.create(path, PAGES, SLOTS);
  const copies = new PageCopies(journal);
  const give = (): void => copies.make(4, (_copy, keep) => keep());
  give();
  journal.expect(4);
  journal.placed(4);
  copies.forget(4);
  give();
  const again = reopen(() => true);
  expect(again.journal.turns()[4]).toBe(3);
  expect(again.kept.map(({ page }) => page)).toEqual([4]);
});

test('how far it was stays, and goes forward only', () => {
  const journal = RegionJournal.create(path, PAGES, SLOTS);
  expect(journal.phase).toBe('waiting');
  journal.enter('told');
  journal.enter('begun');
  expect(reopen().journal.phase).toBe('told');
});

test('a file of another region is refused', () => {
  RegionJournal.create(path, PAGES, SLOTS);
  expect(() => RegionJournal.open(path, PAGES - 1, SLOTS)).toThrow(/no journal of a region of 7 pages/);
  expect(() => RegionJournal.open(path, 5000, SLOTS)).toThrow(/bytes/);
});
