/**
 * Numbers of open(2), lseek(2), fallocate(2), posix_fadvise(2), mmap(2), splice(2), fcntl(2), fcntl_locking(2), poll(2), eventfd(2) and clock_gettime(2) (asm-generic, x86-64 and arm64).
 *
 * Owns: data only.
 */

export const O_RDONLY = 0;
export const O_RDWR = 2;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;

export const SEEK_END = 2;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;

export const FALLOC_FL_KEEP_SIZE = 1;
export const FALLOC_FL_PUNCH_HOLE = 2;
export const FALLOC_FL_ZERO_RANGE = 16;
export const POSIX_FADV_DONTNEED = 4;

/** preadv2(2) and pwritev2(2): fail with EAGAIN instead of waiting for the storage. */
export const RWF_NOWAIT = 8;

export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 1;

export const SPLICE_F_MOVE = 1;
export const SPLICE_F_NONBLOCK = 2;
export const F_SETPIPE_SZ = 1031;

export const EFD_NONBLOCK: number = O_NONBLOCK;
export const EFD_CLOEXEC: number = O_CLOEXEC;

export const CLOCK_THREAD_CPUTIME_ID = 3;

export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLNVAL = 32;
/** struct pollfd {int fd; short events; short revents}, as 32-bit words. */
export const POLLFD_WORDS = 2;

/** fcntl_locking(2): locks that belong to the open file, not to the process. */
export const F_OFD_GETLK = 36;
export const F_OFD_SETLK = 37;
export const F_RDLCK = 0;
export const F_WRLCK = 1;
export const F_UNLCK = 2;
/** struct flock {short type; short whence; long start; long len; int pid}, as 64-bit words. */
export const FLOCK_WORDS = 4;
