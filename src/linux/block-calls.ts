/**
 * Raw calls that only block-file.ts and open-file-locks.ts make.
 *
 * Owns: their declarations, as raw.ts does for all others. Must hold: `lastErrno` follows a call in the same synchronous
 * expression.
 */
import { lastErrno, loadLibrary } from './raw.ts';

type Positioned = (fd: number, vector: BigInt64Array, count: number, offset: number, flags: number) => number;
type LaterCall = {
  async(
    ...words: [fd: number, mode: number, offset: number, bytes: number, done: (error: unknown, result: number) => void]
  ): void;
};

const libc = loadLibrary('libc.so.6')!;

/** https://man7.org/linux/man-pages/man2/readv.2.html; the vector is one struct iovec {void *base; size_t bytes}. */
const preadv2 = libc.func(
  'ssize_t preadv64v2(int fd, const void *iov, int iovcnt, int64_t offset, int flags)',
) as Positioned;
/** https://man7.org/linux/man-pages/man2/fallocate.2.html */
const fallocate = libc.func('int fallocate64(int fd, int mode, int64_t offset, int64_t len)') as LaterCall;

/** https://man7.org/linux/man-pages/man2/posix_fadvise.2.html; returns errno itself. */
const posix_fadvise = libc.func('int posix_fadvise64(int fd, int64_t offset, int64_t len, int advice)') as (
  fd: number,
  offset: number,
  bytes: number,
  advice: number,
) => number;

/** https://man7.org/linux/man-pages/man2/fcntl_locking.2.html; one struct flock. */
const fcntlLock = libc.func('int fcntl(int fd, int op, void *lock)') as (
  fd: number,
  op: number,
  lock: BigInt64Array,
) => number;

export const raw = { preadv2, posix_fadvise, fcntlLock } as const;

/** fallocate(2) in a thread of libuv's pool: making holes can take as long as the storage does. */
export function fallocateLater(
  fd: number,
  mode: number,
  offset: number,
  bytes: number,
  done: (errno: number) => void,
): void {
  fallocate.async(fd, mode, offset, bytes, (error, result) => {
    // koffi carries errno over from the thread that made the call.
    const errno = result === -1 ? lastErrno() : 0;
    if (error) throw error;
    done(errno);
  });
}
