/**
 * Locks of single bytes of an open file: shared ones, which any number of open files may have at once, and the question
 * whether others have one.
 *
 * Owns: the locks of one descriptor. Must hold: they belong to the open file, not to the process: they go when that is closed,
 * whoever closes it and however its process ends, and not when this process closes another descriptor of the same file.
 * https://man7.org/linux/man-pages/man2/fcntl_locking.2.html
 */
import { F_OFD_GETLK, F_OFD_SETLK, F_RDLCK, F_UNLCK, F_WRLCK, FLOCK_WORDS } from './abi/files.ts';
import { raw } from './block-calls.ts';
import { Errno, errnoName } from './errno.ts';
import { type FileDescriptor, retryInterrupted } from './file-descriptor.ts';
import { call, lastErrno } from './raw.ts';

export type ByteLock =
  | { readonly kind: 'locked' }
  /** Somebody has it for himself alone. */
  | { readonly kind: 'taken' }
  /** This storage has no locks, or cannot give one now. */
  | { readonly kind: 'unable'; readonly errno: string };

export class OpenFileLocks {
  readonly #descriptor: FileDescriptor;
  readonly #words = new BigInt64Array(FLOCK_WORDS);

  constructor(descriptor: FileDescriptor) {
    this.#descriptor = descriptor;
  }

  /** Shares a byte with all others that do; waits for nobody. */
  share(at: number): ByteLock {
    if (this.#ask(F_OFD_SETLK, F_RDLCK, at) === 0) return { kind: 'locked' };
    const errno = lastErrno();
    const isTaken = errno === Errno.EAGAIN || errno === Errno.EACCES;
    return isTaken ? { kind: 'taken' } : { kind: 'unable', errno: errnoName(errno) };
  }

  /** Whether another open file has a lock of the byte. @throws GW_SYS_CALL */
  isHeldByOthers(at: number): boolean {
    call('fcntl(F_OFD_GETLK)', this.#ask(F_OFD_GETLK, F_WRLCK, at));
    // The first field is the low half of the first half word: what a lock would meet, or that it would meet nothing.
    return (Number(this.#words[0]) & 0xffff) !== F_UNLCK;
  }

  /** Nothing is locked any more. */
  release(): void {
    this.#ask(F_OFD_SETLK, F_UNLCK, 0, 0);
  }

  /** @param bytes - 0: to the end of the file, wherever that is */
  #ask(op: number, type: number, at: number, bytes = 1): number {
    return retryInterrupted(() => {
      // The byte counts from the file's beginning (whence is SEEK_SET, 0); the kernel wants no pid.
      this.#words.set([BigInt(type), BigInt(at), BigInt(bytes), 0n]);
      // SAFETY: the kernel reads and writes one struct flock, a field of FLOCK_WORDS words. It waits for no other lock; on a
      // network file system for its server.
      return raw.fcntlLock(this.#descriptor.fd, op, this.#words);
    });
  }
}
