import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { identifyFile } from './file-users.ts';
import { hugePagesAt, hugePagesOf } from './huge-tmpfs.ts';

requireCapability('kernel')('a tmpfs', () => {
  test.each([
    ['never', undefined],
    ['advise', 'huge=advise'],
    ['within_size', 'huge=within_size'],
    ['always', 'huge=always'],
  ])('with huge=%s takes huge pages because of %s', (huge, because) => {
    using directory = new TempDirectory();
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=4m,huge=${huge},mode=700`, 'godwit-test', directory.path]);
    try {
      writeFileSync(directory.join('file'), 'x');
      expect(hugePagesOf(identifyFile(directory.join('file'))!.device)).toBe(because);
      expect(hugePagesAt(directory.path)).toBe(because);
    } finally {
      execFileSync('umount', [directory.path]);
    }
  });
});
