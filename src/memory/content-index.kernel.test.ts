// Index files: what was written is read, and whatever else is in one is none.
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { ContentIndexBuilder, readContentIndex, writeContentIndex } from './content-index.ts';
import { PageFingerprint } from './page-fingerprint.ts';

const fingerprint = new PageFingerprint(new Uint8Array(32).fill(1));
let directory: TempDirectory;
let path: string;

beforeEach(() => {
  directory = new TempDirectory();
  path = directory.join('index');
  const builder = new ContentIndexBuilder(5);
  for (const number of [2, 3, 9]) builder.add(number, Buffer.alloc(16, number));
  writeContentIndex(path, builder.finish(), fingerprint);
});
afterEach(() => directory[Symbol.dispose]());

test('what was written is read', () => {
  const index = readContentIndex(path, fingerprint, 3)!;
  expect([index.pages, [...index.numbers]]).toEqual([3, [2, 3, 9]]);
  expect(index.fingerprints.subarray(16, 32).equals(Buffer.alloc(16, 3))).toBe(true);
});

test.each<[string, () => void]>([
  ['is not there', () => truncateSync(path, 0)],
  ['has lost its end', () => truncateSync(path, 60)],
  ['has more than it says', () => writeFileSync(path, Buffer.concat([readFileSync(path), Buffer.alloc(20)]))],
  ['is something else', () => writeFileSync(path, Buffer.alloc(84, 7))],
])('one that %s is none', (_, spoil) => {
  spoil();
  expect(readContentIndex(path, fingerprint, 10)).toBeUndefined();
});

test('nor is one of another key, of more pages than wanted, or of a name that nothing has', () => {
  expect(readContentIndex(path, new PageFingerprint(new Uint8Array(32)), 10)).toBeUndefined();
  expect(readContentIndex(path, fingerprint, 2)).toBeUndefined();
  expect(readContentIndex(`${path}-of-nothing`, fingerprint, 10)).toBeUndefined();
});
