import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { hashOfToken, readToken, removeToken, writeToken } from './sharing-token.ts';

test('a token is read beside the image, also where a link leads to it, and is gone when it is removed', () => {
  using directory = new TempDirectory();
  const image = directory.join('disk');
  const link = directory.join('sub/link');
  writeFileSync(image, '');
  mkdirSync(directory.join('sub'));
  symlinkSync(image, link);
  const { name, hash } = writeToken(link);
  expect(hashOfToken(readToken(image, name)!)).toBe(hash);
  removeToken(link, name);
  removeToken(link, name);
  expect(readToken(image, name)).toBeUndefined();
  expect(readdirSync(directory.path).toSorted()).toEqual(['disk', 'sub']);
});

test('nothing but a token is read', () => {
  using directory = new TempDirectory();
  const image = directory.join('disk');
  writeFileSync(image, '');
  writeFileSync(directory.join('short'), 'a'.repeat(63));
  writeFileSync(directory.join('long'), 'a'.repeat(65));
  writeFileSync(directory.join('words'), `${'secret '.repeat(9)}!`);
  writeFileSync(directory.join('good'), 'a'.repeat(64));
  symlinkSync(directory.join('good'), directory.join('link'));
  for (const name of ['short', 'long', 'words', 'link', '.', 'none']) expect(readToken(image, name)).toBeUndefined();
  expect(readToken(image, 'good')).toBe('a'.repeat(64));
});
