import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, rmSync, statSync } from 'node:fs';
import { expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { GuineaPig } from '../../test/support/guinea-pig.ts';
import { checkLeaks } from '../../test/support/leak-check.ts';
import { deviceName, findFileUsers, identifyFile, isMapped, mapsFile } from './file-users.ts';
import { readMappings } from './process.ts';

checkLeaks();

requireCapability('kernel', 'cc')('the users of a file', () => {
  test('are found by what they map and hold open, not by its name', async () => {
    await using pig = await GuineaPig.start(4);
    await using other = await GuineaPig.start(4);
    const file = identifyFile(pig.path)!;
    const holder = spawn('sh', ['-c', 'exec 3<"$0"; echo ready; read line', pig.path]);
    await once(holder.stdout, 'data');
    const own = openSync(pig.path, 'r');
    try {
      rmSync(pig.path);
      const found = await findFileUsers(file, new Set([process.pid]));
      expect(found.map(({ pid, use }) => [pid, use]).sort()).toEqual(
        [
          [pig.pid, 'maps'],
          [holder.pid!, 'holds open'],
        ].sort(),
      );
      expect(found.find(({ pid }) => pid === pig.pid)?.command).toMatch(/guinea-pig \/dev\/shm\/godwit-test-/);
      expect((await findFileUsers(file, new Set([pig.pid, holder.pid!]))).map(({ pid }) => pid)).toEqual([process.pid]);
      expect([pig, other].map(({ pid }) => mapsFile(pid, file))).toEqual([true, false]);
      expect(mapsFile(pig.pid, { ...file, inode: Math.floor(file.inode / 10) })).toBe(false);
      expect(isMapped(file)).toBe(true);
      await pig.kill();
      expect(isMapped(file)).toBe(false);
    } finally {
      closeSync(own);
      const closed = once(holder, 'close');
      holder.stdin.end();
      await closed;
    }
  });

  test('a device number is written as the kernel writes it', async () => {
    await using pig = await GuineaPig.start(4);
    const mapped = readMappings(pig.pid).find(({ path }) => path === pig.path);
    expect(deviceName(statSync(pig.path).dev)).toBe(mapped?.device);
  });

  test('a file that is not there has no identity, and an ended process maps nothing', async () => {
    await using pig = await GuineaPig.start(4);
    const file = identifyFile(pig.path)!;
    expect(identifyFile('/dev/shm/no-such-file')).toBeUndefined();
    await pig.kill();
    expect(mapsFile(pig.pid, file)).toBe(false);
  });
});
