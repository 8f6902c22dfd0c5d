/**
 * Whether files of a tmpfs may be made of huge pages: one page that is written then brings others beside it, as zeros.
 *
 * Source: Documentation/admin-guide/mm/transhuge.rst (the mount option huge=, shmem_enabled), proc_pid_mountinfo(5).
 */
import { readFileSync, statSync } from 'node:fs';
import { deviceName } from './file-users.ts';

const SHMEM_ENABLED = '/sys/kernel/mm/transparent_hugepage/shmem_enabled';

/**
 * What makes it so, as an administrator says it; undefined: nothing, or no such file system is mounted here.
 * @param device - of its files: `FileIdentity.device`
 */
export function hugePagesOf(device: string): string | undefined {
  const forced = /\[(force|deny)\]/.exec(readShmemEnabled())?.[1];
  if (forced === 'deny') return undefined;
  if (forced === 'force') return 'shmem_enabled=force';
  const [major, minor] = device.split(':').map((part) => Number.parseInt(part, 16));
  const mount = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find((line) => line.split(' ')[2] === `${major}:${minor}`);
  // QEMU advises the kernel to take huge pages for all memory of a VM.
  return /[ ,](huge=(?:always|within_size|advise))(?:,|$)/.exec(mount ?? '')?.[1];
}

export function hugePagesAt(directory: string): string | undefined {
  return hugePagesOf(deviceName(statSync(directory).dev));
}

/** Empty: a kernel without huge pages. */
function readShmemEnabled(): string {
  try {
    return readFileSync(SHMEM_ENABLED, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}
