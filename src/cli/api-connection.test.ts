import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { tokenOf } from './api-connection.ts';
import type { Io } from './io.ts';

const io = { environment: { GODWIT_TOKEN: 'from the environment' } } as unknown as Io;

test('a token file wins over the environment; one that is empty or missing is refused by name, and not taken for none', () => {
  using directory = new TempDirectory();
  const [full, empty, none] = ['full', 'empty', 'none'].map((name) => directory.join(name));
  writeFileSync(full!, 'from the file\n');
  writeFileSync(empty!, '\n');
  expect(tokenOf({}, io)).toBe('from the environment');
  expect(tokenOf({ tokenFile: full! }, io)).toBe('from the file');
  expect(() => tokenOf({ tokenFile: empty! }, io)).toThrow(/--token-file: .*empty.*put the token into the file/);
  expect(() => tokenOf({ tokenFile: none! }, io)).toThrow(expect.objectContaining({ code: 'GW_INPUT_UNREADABLE' }));
});
