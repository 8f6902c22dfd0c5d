import { closeSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { readPieces } from './page-files.ts';

test('pages are read across files; what has become shorter, cannot be read, or was closed is not there', () => {
  using directory = new TempDirectory();
  const path = join(directory.path, 'ram');
  writeFileSync(path, Buffer.alloc(2 * PAGE_SIZE, 7));
  const fd = openSync(path, 'r');
  // Nothing is mapped at address 0: reading there fails with EIO, as a page of memory that has failed does.
  const failing = openSync('/proc/self/mem', 'r');
  const pieces = [
    { fd, offset: PAGE_SIZE, bytes: 2 * PAGE_SIZE },
    { fd: failing, offset: 0, bytes: PAGE_SIZE },
    { fd, offset: 0, bytes: PAGE_SIZE },
  ];
  const into = new Uint8Array(PAGE_SIZE);
  expect([0, 1, 2, 3, 4].map((page) => readPieces(pieces, page, into))).toEqual([true, false, false, true, false]);
  expect(into.every((byte) => byte === 7)).toBe(true);
  for (const each of [fd, failing]) closeSync(each);
  expect(readPieces(pieces, 0, into)).toBe(false);
});
