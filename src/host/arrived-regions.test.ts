import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { largerTest } from '../../test/support/further-cases.ts';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { newSessionKey } from '../migration/source-offer.ts';
import { ArrivedRegions } from './arrived-regions.ts';

const SILENT = { error: () => undefined };

test('what has arrived is known to the next daemon, and its key is in no file', () => {
  using directory = new TempDirectory();
  const key = newSessionKey();
  const arrived = new ArrivedRegions(directory.path, SILENT);
  expect(arrived.has(key)).toBe(false);
  arrived.note(key);
  arrived.note(key);
  expect(arrived.has(key)).toBe(true);
  const next = new ArrivedRegions(directory.path, SILENT);
  expect(next.has(key)).toBe(true);
  expect(next.has(newSessionKey())).toBe(false);
  expect(readFileSync(join(directory.path, 'regions-arrived.json'), 'utf8')).not.toContain(key);
});

largerTest('the newest 256 are known', () => {
  using directory = new TempDirectory();
  const arrived = new ArrivedRegions(directory.path, SILENT);
  const keys = Array.from({ length: 257 }, newSessionKey);
  for (const key of keys) arrived.note(key);
  expect(keys.filter((key) => !arrived.has(key))).toEqual([keys[0]]);
});

test('a file that cannot be read is put aside and told, and nothing is known', () => {
  using directory = new TempDirectory();
  const told: string[] = [];
  const note = (_facts: unknown, text?: string): void => void told.push(text ?? '');
  writeFileSync(join(directory.path, 'regions-arrived.json'), '{');
  const arrived = new ArrivedRegions(directory.path, { error: note });
  expect(told).toEqual(['cannot read which shared memory is all here']);
  expect(readFileSync(join(directory.path, 'regions-arrived.json.damaged'), 'utf8')).toBe('{');
  const key = newSessionKey();
  arrived.note(key);
  expect(new ArrivedRegions(directory.path, SILENT).has(key)).toBe(true);
});
