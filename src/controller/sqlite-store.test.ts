/** What only the store in a file does; what every store must do is in store.kernel.test.ts. */
import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { SqliteStore } from './sqlite-store.ts';

test('is refused with the reason and what to do where the file is none of it', async () => {
  using directory = new TempDirectory();
  writeFileSync(directory.join('fleet.sqlite'), 'something else '.repeat(100));
  expect(() => new SqliteStore(directory.join('fleet.sqlite'))).toThrow(
    /fleet\.sqlite \(.*not a database.*move the file away/,
  );
  expect(() => new SqliteStore(directory.join('none/fleet.sqlite'))).toThrow(/unable to open.*--state/);
});

test('is refused while somebody else has it', async () => {
  using directory = new TempDirectory();
  await using _first = new SqliteStore(directory.join('fleet.sqlite'));
  expect(() => new SqliteStore(directory.join('fleet.sqlite'))).toThrow('another controller has');
});
