import { readdirSync, rmSync } from 'node:fs';
import { expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import { rehearse } from './rehearsal.ts';
import { endSpareThreads, keepSpareThread, keepSpareThreadsIn } from './spare-threads.ts';

requireCapability('kernel')('a rehearsal', () => {
  const needed = new Int32Array(new SharedArrayBuffer(4));

  test('comes to its end, and nothing of it is left', async () => {
    using directory = new TempDirectory();
    expect(await rehearse({ directory: directory.path, needed })).toBeUndefined();
    expect(readdirSync(directory.path)).toEqual([]);
  });

  test('tells why it could not', async () => {
    using directory = new TempDirectory();
    const error = await rehearse({ directory: directory.join('gone'), needed });
    expect(error).toContain('could not be rehearsed');
    expect(error).toContain('ENOENT');
  });

  test('that takes too long says so', async () => {
    using directory = new TempDirectory();
    const needed = new Int32Array(new SharedArrayBuffer(4));
    expect(await rehearse({ directory: directory.path, needed }, 1)).toMatch(/: it took longer than 1.0 ms$/);
  });

  test('does not begin in a thread that is needed', async () => {
    const hurry = new Int32Array(new SharedArrayBuffer(4)).fill(1);
    expect(await rehearse({ directory: '/nowhere', needed: hurry })).toBeUndefined();
  });

  test('is what a spare thread does; what an earlier daemon left is gone', async () => {
    using directory = new TempDirectory();
    keepSpareThreadsIn(directory.path);
    keepSpareThread('source-worker', 0);
    await waitUntil('it rehearses', () => readdirSync(directory.join('rehearsals')).length > 0);
    await endSpareThreads();
    keepSpareThreadsIn(directory.path);
    expect(readdirSync(directory.join('rehearsals'))).toEqual([]);
    rmSync(directory.join('rehearsals'), { recursive: true });
    await endSpareThreads();
  });
});
