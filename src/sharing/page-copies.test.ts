import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SHARED_MEMORY_PREFIX } from '../../test/support/temp-directory.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { PageCopies } from './page-copies.ts';
import { RegionJournal } from './region-journal.ts';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(SHARED_MEMORY_PREFIX);
});
afterEach(() => rmSync(directory, { recursive: true }));

function openCopies(slots: number): PageCopies {
  return new PageCopies(RegionJournal.create(join(directory, 'journal'), 20, slots));
}

function make(copies: PageCopies, page: number, value: number): void {
  copies.make(page, (copy, keep) => {
    copy.fill(value);
    keep();
  });
}

test('a copy stays as it is until it is forgotten', () => {
  const copies = openCopies(2);
  make(copies, 7, 1);
  make(copies, 9, 2);
  copies.forget(7);
  make(copies, 8, 3);
  expect(copies.read(9)).toEqual(new Uint8Array(PAGE_SIZE).fill(2));
  expect(copies.read(8)).toEqual(new Uint8Array(PAGE_SIZE).fill(3));
  expect(copies.count).toBe(2);
});

test('zeros are told apart', () => {
  const copies = openCopies(2);
  make(copies, 1, 5);
  copies.forget(1);
  make(copies, 3, 0);
  make(copies, 10, 4);
  expect(copies.read(3)).toBeNull();
  expect(copies.read(10)?.[0]).toBe(4);
});

test('there is no more room than was said, and nobody reads what is not there', () => {
  const copies = openCopies(1);
  make(copies, 1, 1);
  expect(() => make(copies, 2, 1)).toThrow(/no room/);
  expect(() => copies.read(2)).toThrow(/no copy/);
  copies.forget(1);
  expect(() => copies.read(1)).toThrow(/no copy/);
});
