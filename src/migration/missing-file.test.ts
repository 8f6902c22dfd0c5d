import { readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { appendMissingFile, readMissingFile } from './missing-file.ts';

const PAGES = 100;
const LIST = [
  { first: 3, count: 4 },
  { first: 90, count: 10 },
];

let directory: TempDirectory;
let path: string;
beforeEach(() => {
  directory = new TempDirectory();
  path = directory.join('missing');
  appendMissingFile(path, LIST);
});
afterEach(() => directory[Symbol.dispose]());

test('lists are read as one, in whatever order they came', () => {
  appendMissingFile(path, [{ first: 0, count: 3 }]);
  expect(readMissingFile(path, PAGES)).toEqual([{ first: 0, count: 7 }, LIST[1]]);
});

test('a torn end is left out', () => {
  const whole = readFileSync(path);
  for (let bytes = 12; bytes < 24; bytes++) {
    writeFileSync(path, whole.subarray(0, bytes));
    expect(readMissingFile(path, PAGES)).toEqual([LIST[0]]);
  }
});

test('pages that the VM does not have are damage', () => {
  expect(() => readMissingFile(path, PAGES - 1)).toThrow(expect.objectContaining({ code: 'GW_JOURNAL_CORRUPT' }));
});

test('without a file nothing was missing', () => {
  expect(readMissingFile(directory.join('none'), PAGES)).toEqual([]);
});
