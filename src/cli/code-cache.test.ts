import { chmodSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { codeCacheDirectory, enableCodeCache } from './code-cache.ts';

test('a checkout has its own, a package the one of its user, and nobody else may write there', () => {
  using directory = new TempDirectory();
  const built = pathToFileURL(join(directory.path, 'dist/cli/code-cache.js')).href;
  const environment = { XDG_CACHE_HOME: join(directory.path, 'user') };
  const own = codeCacheDirectory(environment, built)!;
  expect(own).toBe(join(directory.path, 'user/godwit/code'));
  expect(statSync(own).mode & 0o777).toBe(0o700);
  mkdirSync(join(directory.path, 'src/cli'), { recursive: true });
  writeFileSync(join(directory.path, 'src/cli/bin.ts'), '');
  const sources = pathToFileURL(join(directory.path, 'src/cli/code-cache.ts')).href;
  for (const module of [sources, built]) {
    expect(codeCacheDirectory({}, module)).toBe(join(directory.path, '.cache/code'));
  }
});

test('a directory that others can write is not used', () => {
  using directory = new TempDirectory();
  const built = 'file:///opt/godwit/dist/cli/code-cache.js';
  const environment = { XDG_CACHE_HOME: directory.path };
  mkdirSync(join(directory.path, 'godwit/code'), { recursive: true });
  chmodSync(join(directory.path, 'godwit/code'), 0o777);
  expect(codeCacheDirectory(environment, built)).toBeUndefined();
  expect(codeCacheDirectory({ XDG_CACHE_HOME: '/dev/null/nothing' }, built)).toBeUndefined();
  expect(readdirSync(join(directory.path, 'godwit/code'))).toEqual([]);
});

test('what the user has set stays', () => {
  const environment = { NODE_COMPILE_CACHE: '/somewhere' };
  enableCodeCache(environment);
  expect(environment).toEqual({ NODE_COMPILE_CACHE: '/somewhere' });
  const disabled: NodeJS.ProcessEnv = { NODE_DISABLE_COMPILE_CACHE: '1' };
  enableCodeCache(disabled);
  expect(disabled).toEqual({ NODE_DISABLE_COMPILE_CACHE: '1' });
});
