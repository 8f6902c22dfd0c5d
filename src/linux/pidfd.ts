/**
 * A process held by a descriptor, so that a reused process number is never taken for it.
 *
 * Owns: the descriptor of pidfd_open(2). Must hold: descriptors are duplicated out of the process that was opened, or
 * not at all.
 */
import { GodwitError } from '../base/errors.ts';
import { POLLIN } from './abi/files.ts';
import { SYS_pidfd_getfd, SYS_pidfd_open } from './abi/syscalls.ts';
import { Errno } from './errno.ts';
import { FileDescriptor } from './file-descriptor.ts';
import { call, lastErrno, raw, systemCallError } from './raw.ts';

export class PidFd implements Disposable {
  readonly pid: number;
  readonly #descriptor: FileDescriptor;
  readonly #poll = new Int32Array(2);

  private constructor(pid: number, descriptor: FileDescriptor) {
    this.pid = pid;
    this.#descriptor = descriptor;
  }

  /** Throws GW_SYS_PROCESS_GONE when there is no such process. */
  static open(pid: number): PidFd {
    // SAFETY: no memory.
    const fd = Number(raw.syscall(SYS_pidfd_open, pid, 0, 0, 0, 0, 0));
    if (fd === -1) throw processError('pidfd_open', pid, lastErrno());
    return new PidFd(pid, new FileDescriptor(fd));
  }

  get fd(): number {
    return this.#descriptor.fd;
  }

  hasEnded(): boolean {
    this.#poll[0] = this.fd;
    this.#poll[1] = POLLIN;
    // SAFETY: the kernel writes revents of the one pollfd in #poll; timeout 0 never blocks.
    return call('poll(pidfd)', raw.poll(this.#poll, 1, 0)) > 0;
  }

  /** A duplicate, in this process, of a descriptor that the other process has open. */
  duplicate(remoteFd: number): FileDescriptor {
    // SAFETY: no memory.
    const fd = Number(raw.syscall(SYS_pidfd_getfd, this.fd, remoteFd, 0, 0, 0, 0));
    if (fd === -1) throw processError('pidfd_getfd', this.pid, lastErrno());
    return new FileDescriptor(fd);
  }

  [Symbol.dispose](): void {
    this.#descriptor[Symbol.dispose]();
  }
}

/** GW_SYS_PROCESS_GONE for ESRCH, GW_SYS_CALL for all else. */
export function processError(name: string, pid: number, errno: number): GodwitError {
  if (errno === Errno.ESRCH) return new GodwitError('GW_SYS_PROCESS_GONE', { pid });
  return systemCallError(name, errno);
}
