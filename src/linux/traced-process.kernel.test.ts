import { spawn } from 'node:child_process';
import { expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { asGodwitError } from '../base/errors.ts';
import { readVdso } from './traced-process.ts';

requireCapability('kernel')('the vDSO', () => {
  test('of a process that ends while it is looked at is that of one that is gone, whatever the kernel says', () => {
    const ends = Array.from({ length: 30 }, () => endOf(spawn('sleep', ['0.01']).pid!));
    expect(new Set(ends)).toEqual(new Set(['GW_SYS_PROCESS_GONE']));
  });
});

/** The code of what is thrown when it has ended. */
function endOf(pid: number): string {
  const deadline = performance.now() + 3000;
  while (performance.now() < deadline) {
    try {
      readVdso(pid);
    } catch (error) {
      return asGodwitError(error).code;
    }
  }
  return 'it never ends';
}
