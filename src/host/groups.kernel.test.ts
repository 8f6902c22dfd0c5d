import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { identifyFile } from '../linux/file-users.ts';
import { refuseUnfit } from './groups.ts';

requireCapability('kernel')('a group', () => {
  test.each([
    ['never', undefined],
    ['always', expect.stringContaining('huge=always')],
  ])('whose memory lies on a tmpfs with huge=%s moves, or is told why not', async (huge, reason) => {
    using directory = new TempDirectory();
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=4m,huge=${huge},mode=700`, 'godwit-test', directory.path]);
    try {
      const path = directory.join('region');
      const fd = openSync(path, 'w');
      ftruncateSync(fd, PAGE_SIZE);
      closeSync(fd);
      const region = { name: 'bus', path, isOurs: true, members: [], ...identifyFile(path)! };
      const group = { name: 'bus', vms: ['a'], regions: [region], members: [] };
      const refusal = await refuseUnfit(group, { vms: [], coming: [], moving: undefined }, 'b').catch(
        (error: unknown) => error,
      );
      expect(refusal).toEqual(reason && expect.objectContaining({ code: 'GW_MIGRATION_BLOCKED', message: reason }));
    } finally {
      execFileSync('umount', [directory.path]);
    }
  });
});
