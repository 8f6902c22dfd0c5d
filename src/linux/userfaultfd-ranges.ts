/**
 * What is done with address ranges of another process through a userfaultfd of it: registering, protecting, waking; and
 * reading its faults.
 *
 * Owns: nothing. The descriptor may be another thread's, which keeps it open longer than this one uses it. Must hold: no
 * thread that serves faults touches registered memory.
 * https://docs.kernel.org/admin-guide/mm/userfaultfd.html
 */
import { hasCode } from '../base/errors.ts';
import {
  UFFDIO_REGISTER,
  UFFDIO_REGISTER_MODE_MINOR,
  UFFDIO_REGISTER_MODE_MISSING,
  UFFDIO_REGISTER_MODE_WP,
  UFFDIO_UNREGISTER,
  UFFDIO_WAKE,
  UFFDIO_WRITEPROTECT,
  UFFDIO_WRITEPROTECT_MODE_WP,
} from './abi/userfaultfd.ts';
import { Errno } from './errno.ts';
import type { FaultBatch } from './fault-batch.ts';
import { retryInterrupted } from './file-descriptor.ts';
import { type PidFd, processError } from './pidfd.ts';
import { readMappings } from './process.ts';
import { lastErrno, raw } from './raw.ts';

export interface RegisterMode {
  readonly missing?: boolean;
  readonly writeProtect?: boolean;
  readonly minor?: boolean;
}

/** Times that EAGAIN without progress is taken for a mapping that changes meanwhile, before it is an error. */
export const MAX_FRUITLESS_RETRIES = 100_000;

export class UserfaultfdRanges {
  readonly #process: PidFd;
  readonly #descriptor: { readonly fd: number };
  readonly #argument = new BigUint64Array(4);

  /** @param process - whose memory it is */
  constructor(process: PidFd, descriptor: { readonly fd: number }) {
    this.#process = process;
    this.#descriptor = descriptor;
  }

  get pid(): number {
    return this.#process.pid;
  }

  get fd(): number {
    return this.#descriptor.fd;
  }

  /** @throws GW_SYS_PROCESS_GONE: a process that has ended looks like one that does nothing */
  refuseEnded(): void {
    if (this.#process.hasEnded()) throw processError('userfaultfd', this.pid, Errno.ESRCH);
  }

  /** EBUSY (in GW_SYS_CALL) when another userfaultfd has the range. */
  register(start: bigint, bytes: number, mode: RegisterMode): void {
    const bits =
      (mode.missing ? UFFDIO_REGISTER_MODE_MISSING : 0n) |
      (mode.writeProtect ? UFFDIO_REGISTER_MODE_WP : 0n) |
      (mode.minor ? UFFDIO_REGISTER_MODE_MINOR : 0n);
    this.#range('UFFDIO_REGISTER', UFFDIO_REGISTER, start, bytes, bits);
  }

  /** Ends the registration, lifts the write-protection and wakes who waits. */
  unregister(start: bigint, bytes: number): void {
    this.#range('UFFDIO_UNREGISTER', UFFDIO_UNREGISTER, start, bytes, 0n);
  }

  /** Lets the threads that wait in the range try again; one whose page is still missing faults again. */
  wake(start: bigint, bytes: number): void {
    this.#range('UFFDIO_WAKE', UFFDIO_WAKE, start, bytes, 0n);
  }

  /** Lifting the protection also wakes who waits in the range. */
  writeProtect(start: bigint, bytes: number, protect: boolean): void {
    const mode = protect ? UFFDIO_WRITEPROTECT_MODE_WP : 0n;
    for (let tries = 0; ; tries++) {
      const errno = this.#tryRange(UFFDIO_WRITEPROTECT, start, bytes, mode);
      if (errno === 0) return;
      if (errno !== Errno.EAGAIN || tries > MAX_FRUITLESS_RETRIES) {
        throw processError('UFFDIO_WRITEPROTECT', this.pid, errno);
      }
    }
  }

  /** Reads the faults that wait, without blocking; returns how many `into` now holds. */
  readFaults(into: FaultBatch): number {
    // SAFETY: the kernel writes at most into.words.byteLength bytes of into.words, a field of an object in the caller's
    // frame; the descriptor is non-blocking.
    const bytes = retryInterrupted(() => raw.read(this.fd, into.words, into.words.byteLength));
    if (bytes === -1) {
      const errno = lastErrno();
      if (errno !== Errno.EAGAIN) throw processError('read(userfaultfd)', this.pid, errno);
    }
    return into.accept(Math.max(bytes, 0));
  }

  #range(name: string, request: number, start: bigint, bytes: number, mode: bigint): void {
    const errno = this.#tryRange(request, start, bytes, mode);
    if (errno === 0) return;
    // For a process without memory any more REGISTER and UNREGISTER say ENOMEM, where the others say ESRCH.
    const gone = errno === Errno.ENOMEM && (this.#process.hasEnded() || !hasMemory(this.pid));
    throw processError(`${name}(0x${start.toString(16)}+${bytes})`, this.pid, gone ? Errno.ESRCH : errno);
  }

  #tryRange(request: number, start: bigint, bytes: number, mode: bigint): number {
    const argument = this.#argument;
    argument[0] = start;
    argument[1] = BigInt(bytes);
    argument[2] = mode;
    argument[3] = 0n;
    // SAFETY: the kernel reads and writes at most four words of #argument, a field; of QEMU it changes page tables only.
    return raw.ioctl(this.fd, request, argument) === -1 ? lastErrno() : 0;
  }
}

/** A process gives its memory back before it has ended, which takes the longer the more it has. */
function hasMemory(pid: number): boolean {
  try {
    return readMappings(pid).length > 0;
  } catch (error) {
    if (hasCode(error, 'GW_SYS_PROCESS_GONE')) return false;
    throw error;
  }
}
