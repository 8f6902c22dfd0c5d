import { describe, expect, test } from 'vitest';
import { PLAIN_DISK } from '../../test/support/plain-disk.ts';
import type { DiskFacts } from '../qemu/disk-facts.ts';
import { applyDirectIo } from './direct-io.ts';
import { DEFAULT_MIGRATION_OPTIONS, type MigrationMode } from './request.ts';

const disk = (direct: boolean): DiskFacts => ({ ...PLAIN_DISK, id: 'disk0', direct });
const options = (mode: MigrationMode) => ({ ...DEFAULT_MIGRATION_OPTIONS, mode });

describe('direct I/O', () => {
  test.each(['pre-copy', 'hybrid'] as const)('refuses %s, naming the disk and the fix', (mode) => {
    expect(() => applyDirectIo('db1', [disk(true)], options(mode))).toThrow(/disk0 .*direct I\/O.*--mode post-copy/);
  });

  test('refuses as other blockers do: with an id that scripts may look for', () => {
    const refused = expect(() => applyDirectIo('db1', [disk(true)], options('pre-copy')));
    refused.toThrow(
      expect.objectContaining({
        code: 'GW_MIGRATION_BLOCKED',
        details: expect.objectContaining({ blockers: [expect.objectContaining({ id: 'direct-io' })] }),
      }),
    );
  });

  test('turns auto into post-copy and says why', () => {
    const rule = applyDirectIo('db1', [disk(false), disk(true)], options('auto'));
    expect(rule.options.mode).toBe('post-copy');
    expect(rule.note).toMatch(/direct I\/O/);
  });

  test.each(['auto', 'pre-copy', 'hybrid', 'post-copy'] as const)('leaves %s alone with cached disks', (mode) => {
    expect(applyDirectIo('db1', [disk(false)], options(mode))).toEqual({ options: options(mode), note: null });
  });
});
