/** What counts as an image that a VM has left, and until when. */
import { appendFileSync, closeSync, openSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { isLeftImage, noteLeftImages } from './left-images.ts';

const VM = '5c0c9b1e-7a52-4f0b-9d7e-3f3f6a1c2d4e';
const OTHER = '6c0c9b1e-7a52-4f0b-9d7e-3f3f6a1c2d4e';

let directory: TempDirectory;
let path: string;

beforeEach(() => {
  directory = new TempDirectory();
  path = directory.join('disk');
  writeFileSync(path, 'data');
  noteLeftImages(directory.path, VM, [path, directory.join('gone')]);
});
afterEach(() => directory[Symbol.dispose]());

const isLeft = (uuid = VM): boolean => isLeftImage(directory.path, uuid, path);

test('is the VM’s own, at the path where it left it, also when it had another name meanwhile', () => {
  expect([isLeft(), isLeft(OTHER), isLeft('../x')]).toEqual([true, false, false]);
  renameSync(path, `${path}.aside`);
  expect(isLeft()).toBe(false);
  renameSync(`${path}.aside`, path);
  expect(isLeft()).toBe(true);
});

test.each<[string, () => void]>([
  ['was written to', () => appendFileSync(path, 'more')],
  ['was written over, as long as it was', () => writeFileSync(path, 'DATA')],
  [
    'is another file',
    () => {
      writeFileSync(`${path}.new`, 'data');
      renameSync(`${path}.new`, path);
    },
  ],
  ['is a directory’s entry no more', () => rmSync(path)],
  ['is of a record that is damaged', () => writeFileSync(directory.join('left-images', `${VM}.json`), '[{')],
])('is not one that %s', (_, change) => {
  change();
  expect(isLeft()).toBe(false);
});

test('is not one that somebody has open', () => {
  const fd = openSync(path, 'r');
  expect(isLeft()).toBe(false);
  closeSync(fd);
  expect(isLeft()).toBe(true);
});

test('is forgotten with the next VM that leaves, when it has changed', () => {
  appendFileSync(path, 'more');
  writeFileSync(directory.join('other'), '');
  noteLeftImages(directory.path, OTHER, [directory.join('other')]);
  expect(readdirSync(directory.join('left-images'))).toEqual([`${OTHER}.json`]);
});
