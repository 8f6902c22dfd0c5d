import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { rehearse } from './rehearsal.ts';
import { keepSpareThread, rehearseIn, takeThread } from './spare-threads.ts';

requireCapability('kernel')('a rehearsal', () => {
  test('comes to its end, and nothing of it is left', async () => {
    using directory = new TempDirectory();
    expect(await rehearse(directory.join('rehearsals'))).toBeUndefined();
    expect(readdirSync(directory.join('rehearsals'))).toEqual([]);
  });

  test('tells why it could not', async () => {
    using directory = new TempDirectory();
    writeFileSync(directory.join('file'), '');
    const error = await rehearse(directory.join('file', 'rehearsals'));
    expect(error?.message).toContain('ENOTDIR');
  });

  test('is what a spare thread does, and what a daemon left is removed by the next', async () => {
    using directory = new TempDirectory();
    rehearseIn(directory.path);
    keepSpareThread('source-worker');
    const thread = takeThread('source-worker');
    while (!existsSync(directory.join('rehearsals'))) await new Promise((resolve) => setTimeout(resolve, 5));
    await thread.terminate();
    rehearseIn(directory.path);
    expect(existsSync(directory.join('rehearsals'))).toBe(false);
  });
});
