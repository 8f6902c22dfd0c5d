/**
 * Raw C library calls: the only file that uses koffi.
 *
 * Owns: the libraries and the declarations. Each carries the prototype of its man page; `ioctl` and `syscall` are
 * declared with fixed arguments, which the x86-64 and arm64 Linux calling conventions allow.
 * Must hold: `call` or `lastErrno` follows a raw call in the same synchronous expression, or another call overwrites
 * errno; whoever makes a raw call states above it, after the word SAFETY, which memory the kernel reads or writes, why
 * that memory lives long enough, and what may block.
 * Structures are typed arrays (a koffi structure costs seven times as much); koffi passes the address of a typed array
 * with its offset. Nothing here uses `.async`, which costs 30 µs and a pool thread (block-calls.ts does, once).
 */
import koffi, { type LibraryHandle } from 'koffi';

import { GodwitError } from '../base/errors.ts';
import { errnoName } from './errno.ts';

/** What may be given for a pointer: memory, an address, or NULL. */
export type Pointer = NodeJS.ArrayBufferView | bigint | number | null;
type Word = number | bigint;
type Positioned = (fd: number, memory: Pointer, bytes: number, offset: number) => number;
type Flagged = (fd: number, memory: Pointer, bytes: number, flags: number) => number;

const libc = koffi.load('libc.so.6');
koffi.alias('ssize_t', 'long');

export const raw = {
  /** https://man7.org/linux/man-pages/man2/ioctl.2.html */
  ioctl: libc.func('int ioctl(int fd, unsigned long op, void *argp)') as (fd: number, op: Word, arg: Pointer) => number,
  _exit: libc.func('void _exit(int status)') as (status: number) => void,
  /** https://man7.org/linux/man-pages/man2/syscall.2.html; up to six arguments, all given. */
  syscall: libc.func('long syscall(long number, long a, long b, long c, long d, long e, long f)') as (
    number: number,
    a: Word,
    b: Word,
    c: Word,
    d: Word,
    e: Word,
    f: Word,
  ) => Word,
  /** https://man7.org/linux/man-pages/man2/ptrace.2.html */
  ptrace: libc.func('long ptrace(long op, int pid, void *addr, void *data)') as (
    op: number,
    pid: number,
    addr: Pointer,
    data: Pointer,
  ) => Word,
  /** https://man7.org/linux/man-pages/man2/waitid.2.html */
  waitid: libc.func('int waitid(int idtype, unsigned int id, void *infop, int options)') as (
    idType: number,
    id: number,
    info: Int32Array,
    options: number,
  ) => number,
  /** https://man7.org/linux/man-pages/man2/poll.2.html */
  poll: libc.func('int poll(void *fds, unsigned long nfds, int timeout)') as (
    fds: Pointer,
    count: number,
    timeoutMs: number,
  ) => number,
  /** https://man7.org/linux/man-pages/man3/usleep.3.html */
  usleep: libc.func('int usleep(unsigned int usec)') as (microseconds: number) => number,
  /** https://man7.org/linux/man-pages/man2/open.2.html */
  open: libc.func('int open(const char *path, int flags, unsigned int mode)') as (
    path: string,
    flags: number,
    mode: number,
  ) => number,
  /** https://man7.org/linux/man-pages/man2/close.2.html */
  close: libc.func('int close(int fd)') as (fd: number) => number,
  /** https://man7.org/linux/man-pages/man2/read.2.html */
  read: libc.func('ssize_t read(int fd, void *buf, size_t count)') as (
    fd: number,
    to: Pointer,
    bytes: number,
  ) => number,
  /** https://man7.org/linux/man-pages/man2/write.2.html */
  write: libc.func('ssize_t write(int fd, const void *buf, size_t count)') as (
    fd: number,
    from: Pointer,
    bytes: number,
  ) => number,
  /** https://man7.org/linux/man-pages/man2/pread.2.html */
  pread: libc.func('ssize_t pread64(int fd, void *buf, size_t count, int64_t offset)') as Positioned,
  /** https://man7.org/linux/man-pages/man2/pwrite.2.html */
  pwrite: libc.func('ssize_t pwrite64(int fd, const void *buf, size_t count, int64_t offset)') as Positioned,
  /** https://man7.org/linux/man-pages/man2/lseek.2.html */
  lseek: libc.func('int64_t lseek64(int fd, int64_t offset, int whence)') as (
    fd: number,
    offset: number,
    whence: number,
  ) => number,
  /** https://man7.org/linux/man-pages/man2/fallocate.2.html */
  fallocate: libc.func('int fallocate64(int fd, int mode, int64_t offset, int64_t len)') as (
    fd: number,
    mode: number,
    offset: number,
    bytes: number,
  ) => number,
  /** https://man7.org/linux/man-pages/man2/mmap.2.html; an address, or -1 (MAP_FAILED). */
  mmap: libc.func('intptr_t mmap(void *addr, size_t length, int prot, int flags, int fd, int64_t offset)') as (
    ...words: [at: null, bytes: number, protection: number, flags: number, fd: number, offset: number]
  ) => Word,
  munmap: libc.func('int munmap(uintptr_t addr, size_t length)') as (address: Word, bytes: number) => number,
  /** https://man7.org/linux/man-pages/man2/fcntl.2.html */
  fcntl: libc.func('int fcntl(int fd, int op, long arg)') as (fd: number, op: number, arg: number) => number,
  /** https://man7.org/linux/man-pages/man2/dup.2.html */
  dup: libc.func('int dup(int oldfd)') as (fd: number) => number,
  dup3: libc.func('int dup3(int oldfd, int newfd, int flags)') as (fd: number, as: number, flags: number) => number,
  /** https://man7.org/linux/man-pages/man2/eventfd.2.html */
  eventfd: libc.func('int eventfd(unsigned int initval, int flags)') as (initial: number, flags: number) => number,
  /** https://man7.org/linux/man-pages/man2/send.2.html */
  send: libc.func('ssize_t send(int sockfd, const void *buf, size_t len, int flags)') as Flagged,
  /** https://man7.org/linux/man-pages/man2/recv.2.html */
  recv: libc.func('ssize_t recv(int sockfd, void *buf, size_t len, int flags)') as Flagged,
  /** https://man7.org/linux/man-pages/man2/setsockopt.2.html */
  setsockopt: libc.func(
    'int setsockopt(int sockfd, int level, int optname, const void *optval, unsigned int optlen)',
  ) as (fd: number, level: number, option: number, value: Pointer, bytes: number) => number,
  /** https://man7.org/linux/man-pages/man2/getsockopt.2.html */
  getsockopt: libc.func('int getsockopt(int sockfd, int level, int optname, void *optval, void *optlen)') as (
    fd: number,
    level: number,
    option: number,
    value: Pointer,
    bytes: Uint32Array,
  ) => number,
  /** https://man7.org/linux/man-pages/man2/shutdown.2.html */
  shutdown: libc.func('int shutdown(int sockfd, int how)') as (fd: number, how: number) => number,
  /** https://man7.org/linux/man-pages/man2/socket.2.html */
  socket: libc.func('int socket(int domain, int type, int protocol)') as (
    domain: number,
    type: number,
    protocol: number,
  ) => number,
  /** https://man7.org/linux/man-pages/man2/socketpair.2.html */
  socketpair: libc.func('int socketpair(int domain, int type, int protocol, void *sv)') as (
    domain: number,
    type: number,
    protocol: number,
    fds: Int32Array,
  ) => number,
  /** https://man7.org/linux/man-pages/man3/sendto.3p.html */
  sendto: libc.func(
    'ssize_t sendto(int sockfd, const void *buf, size_t len, int flags, const void *dest_addr, unsigned int addrlen)',
  ) as (fd: number, from: Pointer, bytes: number, flags: number, address: Pointer, addressBytes: number) => number,
  /** https://man7.org/linux/man-pages/man2/sendfile.2.html */
  sendfile: libc.func('ssize_t sendfile64(int out_fd, int in_fd, void *offset, size_t count)') as (
    out: number,
    from: number,
    offset: BigInt64Array | null,
    bytes: number,
  ) => number,
  /** https://man7.org/linux/man-pages/man2/splice.2.html */
  splice: libc.func(
    'ssize_t splice(int fd_in, void *off_in, int fd_out, void *off_out, size_t len, unsigned int flags)',
  ) as (
    from: number,
    fromOffset: BigInt64Array | null,
    to: number,
    toOffset: BigInt64Array | null,
    bytes: number,
    flags: number,
  ) => number,
  /** https://man7.org/linux/man-pages/man2/pipe.2.html */
  pipe2: libc.func('int pipe2(void *pipefd, int flags)') as (fds: Int32Array, flags: number) => number,
  /** https://man7.org/linux/man-pages/man3/clock_gettime.3.html */
  clock_gettime: libc.func('int clock_gettime(int clockid, void *tp)') as (clock: number, to: BigInt64Array) => number,
  /** https://man7.org/linux/man-pages/man2/sched_setscheduler.2.html */
  sched_setscheduler: libc.func('int sched_setscheduler(int pid, int policy, const void *param)') as (
    thread: number,
    policy: number,
    parameters: Int32Array,
  ) => number,
  sched_getscheduler: libc.func('int sched_getscheduler(int pid)') as (thread: number) => number,
  /** https://man7.org/linux/man-pages/man3/memcmp.3.html; addresses as numbers, the cheapest way to pass them. */
  memcmp: libc.func('int memcmp(uintptr_t s1, uintptr_t s2, size_t n)') as (a: Word, b: Word, bytes: number) => number,
} as const;

/** Memory at an address, as long as it is mapped: whoever unmaps it must have given up every view before. */
export function memoryAt(address: Word, bytes: number): ArrayBuffer {
  return koffi.view(BigInt(address), bytes);
}

/** errno of the raw call just made by this thread. */
export function lastErrno(): number {
  return koffi.errno();
}

/**
 * Returns the result of a raw call, or throws GW_SYS_CALL with the name of errno when it is -1.
 *
 * @example call('ioctl(UFFDIO_WAKE)', raw.ioctl(fd, UFFDIO_WAKE, range));
 */
export function call<T extends number | bigint>(name: string, result: T): T {
  if (result === -1 || result === -1n) throw systemCallError(name, koffi.errno());
  return result;
}

export function systemCallError(name: string, errno: number): GodwitError {
  return new GodwitError('GW_SYS_CALL', { call: name, errno: errnoName(errno) });
}

/**
 * The address of a typed array's first byte. It stays valid for as long as the array is referenced, and no longer:
 * keep the array in a field for the time that the address is in use.
 */
export function addressOf(memory: NodeJS.ArrayBufferView): bigint {
  return koffi.address(memory);
}

export type Library = LibraryHandle;

/** A library other than libc, or undefined when this machine does not have it. */
export function loadLibrary(file: string): LibraryHandle | undefined {
  try {
    return koffi.load(file);
  } catch (error) {
    if (error instanceof Error) return undefined;
    throw error;
  }
}

/** What the program itself exports: node brings libraries of its own. */
export function loadOwnLibrary(): Library {
  return koffi.load(null);
}

/** Calls back on the event loop while the descriptor is readable; close the handle before the descriptor. */
export function pollOnEventLoop(fd: number, readable: () => void): { close(): void } {
  return koffi.node.poll(fd, { readable: true }, readable);
}

/** The two halves of XXH128_hash_t; koffi gives a bigint where a number would lose bits. */
export interface RawHash128 {
  readonly low64: number | bigint;
  readonly high64: number | bigint;
}

/** XXH3_128bits_withSeed of libxxhash (xxhash.h, stable since 0.8.0), or undefined when the library is missing. */
export function loadXxh3(): ((input: Word, bytes: number, seed: Word) => RawHash128) | undefined {
  const library = loadLibrary('libxxhash.so.0');
  if (library === undefined) return undefined;
  koffi.struct('XXH128_hash_t', { low64: 'uint64_t', high64: 'uint64_t' });
  return library.func('XXH128_hash_t XXH3_128bits_withSeed(uintptr_t input, size_t length, uint64_t seed)') as (
    input: Word,
    bytes: number,
    seed: Word,
  ) => RawHash128;
}
