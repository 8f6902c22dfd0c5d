/**
 * A file or block device that is served as a disk.
 *
 * Owns: a descriptor of it. Must hold: nothing here waits for the storage but `extents` and `open`; memory that was
 * given to an operation stays as it is until that has called back.
 * Results are counts of bytes, or errno as a negative number: what goes wrong with a disk is told to its user.
 */
import { fdatasync, fstatSync, read, statfsSync, write } from 'node:fs';
import { constants } from 'node:os';
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  O_CLOEXEC,
  O_RDONLY,
  O_RDWR,
  POSIX_FADV_DONTNEED,
  RWF_NOWAIT,
  SEEK_DATA,
  SEEK_END,
  SEEK_HOLE,
} from './abi/files.ts';
import { fallocateLater, raw as rawBlocks } from './block-calls.ts';
import { Errno } from './errno.ts';
import { FileDescriptor } from './file-descriptor.ts';
import { OpenFileLocks } from './open-file-locks.ts';
import { addressOf, call, lastErrno, raw } from './raw.ts';

type Done = (result: number) => void;

/** statfs(2): its files are in memory, so that reading them waits for nothing, and they know no RWF_NOWAIT. */
const TMPFS_MAGIC = 0x01021994;

export class BlockFile implements Disposable {
  readonly bytes: number;
  readonly isDevice: boolean;
  readonly locks: OpenFileLocks;
  readonly #descriptor: FileDescriptor;
  readonly #isInMemory: boolean;
  readonly #vector = new BigInt64Array(2);
  #readsNow = true;

  private constructor(descriptor: FileDescriptor) {
    this.#descriptor = descriptor;
    this.locks = new OpenFileLocks(descriptor);
    this.isDevice = fstatSync(descriptor.fd).isBlockDevice();
    // SAFETY: no memory. The descriptor's offset is used by nothing.
    this.bytes = call('lseek(SEEK_END)', raw.lseek(descriptor.fd, 0, SEEK_END));
    this.#isInMemory = !this.isDevice && statfsSync(`/proc/self/fd/${descriptor.fd}`).type === TMPFS_MAGIC;
  }

  /** Throws GW_SYS_CALL. */
  static open(path: string, isReadOnly: boolean): BlockFile {
    const descriptor = FileDescriptor.open(path, (isReadOnly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    try {
      return new BlockFile(descriptor);
    } catch (error) {
      descriptor[Symbol.dispose]();
      throw error;
    }
  }

  /** As much of the beginning as is in the host's page cache; 0 when nothing is, or it cannot be known. */
  readNow(into: Uint8Array, offset: number): number {
    if (this.#isInMemory) {
      // SAFETY: the kernel writes at most into.byteLength bytes of `into`, which the caller references.
      return Math.max(0, raw.pread(this.#descriptor.fd, into, into.byteLength, offset));
    }
    if (!this.#readsNow) return 0;
    this.#vector[0] = addressOf(into);
    this.#vector[1] = BigInt(into.byteLength);
    // SAFETY: the kernel reads the vector, a field, and writes at most into.byteLength bytes of `into`, which the
    // caller references; RWF_NOWAIT keeps it from waiting.
    const count = rawBlocks.preadv2(this.#descriptor.fd, this.#vector, 1, offset, RWF_NOWAIT);
    if (count >= 0) return count;
    if (lastErrno() !== Errno.EAGAIN) this.#readsNow = false;
    return 0;
  }

  read(into: Uint8Array, offset: number, done: Done): void {
    read(this.#descriptor.fd, into, 0, into.byteLength, offset, (error, count) => done(error ? failure(error) : count));
  }

  write(from: Uint8Array, offset: number, done: Done): void {
    write(this.#descriptor.fd, from, 0, from.byteLength, offset, (error, count) =>
      done(error ? failure(error) : count),
    );
  }

  sync(done: Done): void {
    fdatasync(this.#descriptor.fd, (error) => done(error ? failure(error) : 0));
  }

  /** The host's page cache lets go of what it holds of the file; what was not written back yet stays. Best effort. */
  forgetCached(): void {
    // SAFETY: no memory.
    rawBlocks.posix_fadvise(this.#descriptor.fd, 0, 0, POSIX_FADV_DONTNEED);
  }

  /** Reads as zero afterwards, and takes no room. */
  punch(offset: number, bytes: number, done: Done): void {
    this.#allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes, done);
  }

  /** Reads as zero afterwards, and keeps its room. */
  zero(offset: number, bytes: number, done: Done): void {
    this.#allocate(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, bytes, done);
  }

  /** Where data or a hole begins at or behind `offset`; the end of the file when nothing of the kind follows. */
  seek(kind: 'data' | 'hole', offset: number): number {
    // SAFETY: no memory. The descriptor's offset is used by nothing.
    const found = raw.lseek(this.#descriptor.fd, offset, kind === 'data' ? SEEK_DATA : SEEK_HOLE);
    if (found !== -1) return found;
    // A file system, or a device, that does not know: all of it is data.
    return lastErrno() === Errno.ENXIO || kind === 'hole' ? this.bytes : offset;
  }

  [Symbol.dispose](): void {
    this.#descriptor[Symbol.dispose]();
  }

  #allocate(mode: number, offset: number, bytes: number, done: Done): void {
    fallocateLater(this.#descriptor.fd, mode, offset, bytes, (errno) => done(-errno));
  }
}

/** errno of an error of node's, negative. */
function failure(error: NodeJS.ErrnoException): number {
  // Not of the kernel's (a closed descriptor of node's own making): still no success.
  return error.errno ?? -constants.errno.EIO;
}
