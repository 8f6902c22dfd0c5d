/**
 * How a userfaultfd comes to be.
 *
 * Owns: making one inside another process, and agreeing with the kernel on its features. userfaultfd.ts owns what
 * becomes of it.
 */
import { readlinkSync } from 'node:fs';

import { GodwitError } from '../base/errors.ts';
import { O_CLOEXEC, O_NONBLOCK } from './abi/files.ts';
import { X64_SYSCALLS } from './abi/syscalls.ts';
import {
  UFFD_API,
  UFFD_FEATURE_NAMES,
  UFFD_USER_MODE_ONLY,
  UFFDIO_API,
  USERFAULTFD_IOC_NEW,
} from './abi/userfaultfd.ts';
import { Errno, errnoName } from './errno.ts';
import type { FileDescriptor } from './file-descriptor.ts';
import type { StoppedThread } from './ptrace.ts';
import { lastErrno, raw } from './raw.ts';

export interface OpenInsideOptions {
  /** UFFD_FEATURE_… bits; GW_SYS_UNSUPPORTED names those that the kernel lacks. */
  readonly features: bigint;
  /** Leave the descriptor open in the process as well, so that it outlives this one. */
  readonly keepInside: boolean;
  /** Where the full kind is forbidden to the process, make one that ignores the kernel's own faults. Default false. */
  readonly allowUserModeOnly?: boolean;
  /** An open /dev/userfaultfd of the process (given to it with QMP getfd), which needs no privilege of it. */
  readonly deviceFdInside?: number;
}

/** UFFDIO_API, once for the life of a userfaultfd. */
export function handshake(descriptor: FileDescriptor, features: bigint): void {
  const argument = BigUint64Array.of(UFFD_API, features, 0n);
  // SAFETY: the kernel reads and writes the three words of `argument`, which this frame references.
  if (raw.ioctl(descriptor.fd, UFFDIO_API, argument) !== -1) return;
  throw new GodwitError('GW_SYS_UNSUPPORTED', {
    feature: `userfaultfd with ${featureNames(features)}`,
    reason: `UFFDIO_API: ${errnoName(lastErrno())}`,
  });
}

/** userfaultfd(2) inside the process, or the way round it that the options allow; returns its number there. */
export function makeInside(
  thread: StoppedThread,
  pid: number,
  options: OpenInsideOptions,
): { fd: number; userModeOnly: boolean } {
  const flags = O_CLOEXEC | O_NONBLOCK;
  const attempts =
    options.deviceFdInside === undefined
      ? [{ userModeOnly: false, run: () => thread.systemCall(X64_SYSCALLS.userfaultfd, flags) }]
      : [
          {
            userModeOnly: false,
            run: () => thread.systemCall(X64_SYSCALLS.ioctl, options.deviceFdInside!, USERFAULTFD_IOC_NEW, flags),
          },
        ];
  if (options.allowUserModeOnly) {
    attempts.push({
      userModeOnly: true,
      run: () => thread.systemCall(X64_SYSCALLS.userfaultfd, flags | UFFD_USER_MODE_ONLY),
    });
  }
  let result = 0n;
  for (const { userModeOnly, run } of attempts) {
    result = run();
    if (result >= 0n) return { fd: Number(result), userModeOnly };
    if (result !== -BigInt(Errno.EPERM)) break;
  }
  throw new GodwitError('GW_SYS_INJECT', { pid, reason: `userfaultfd: ${errnoName(Number(-result))}` });
}

/** False too when there is no such process or descriptor. */
export function isUserfaultfd(pid: number | 'self', fd: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/fd/${fd}`) === 'anon_inode:[userfaultfd]';
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

function featureNames(features: bigint): string {
  const names = UFFD_FEATURE_NAMES.filter((_, bit) => (features >> BigInt(bit)) & 1n);
  return names.join(', ') || 'no features';
}
