/**
 * What a kernel or VM test needs of the machine.
 *
 * Owns: finding out. A test that cannot run is skipped and says what it lacks; with GODWIT_REQUIRE=kernel,vm (as in CI)
 * it fails instead, so that nothing passes by not running.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const PRESENT = {
  root: () => process.getuid?.() === 0,
  cc: () => spawnSync('cc', ['--version']).status === 0,
  qemu: () => spawnSync('qemu-system-x86_64', ['--version']).status === 0,
  x64: () => process.arch === 'x64',
  cgroupV1: () => existsSync('/sys/fs/cgroup/cpu/cpu.cfs_quota_us'),
} as const;

export type Capability = keyof typeof PRESENT;

/** True when the machine lacks one; for `test.skipIf` and `describe.skipIf`. */
export function lacks(tier: 'kernel' | 'vm', ...needed: Capability[]): boolean {
  const absent = needed.filter((capability) => !PRESENT[capability]());
  if (absent.length === 0) return false;
  const reason = `needs ${absent.join(', ')}`;
  if (process.env['GODWIT_REQUIRE']?.split(',').includes(tier)) throw new Error(`This machine ${reason}`);
  process.stderr.write(`skipped: ${reason}\n`);
  return true;
}
