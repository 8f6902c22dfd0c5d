/**
 * Waiting for descriptors, and waking a thread that waits.
 *
 * Owns: the pollfd arrays and event descriptors. A blocking `Poller` belongs on worker threads; `watchReadable` is for
 * the event loop.
 */
import { EFD_CLOEXEC, EFD_NONBLOCK, POLLFD_WORDS, POLLIN, POLLNVAL, POLLOUT } from './abi/files.ts';
import { Errno } from './errno.ts';
import { FileDescriptor, retryInterrupted } from './file-descriptor.ts';
import { call, lastErrno, pollOnEventLoop, raw, systemCallError } from './raw.ts';

/** A fixed set of descriptors to wait for, without allocating per wait. */
export class Poller {
  readonly #count: number;
  readonly #entries: Int32Array;

  /** @param writable - wait until they can be written instead of read */
  constructor(fds: readonly number[], writable = false) {
    this.#count = fds.length;
    this.#entries = new Int32Array(fds.length * POLLFD_WORDS);
    fds.forEach((fd, index) => {
      this.#entries[index * POLLFD_WORDS] = fd;
      this.#entries[index * POLLFD_WORDS + 1] = writable ? POLLOUT : POLLIN;
    });
  }

  /**
   * Blocks the thread until one is ready; returns how many are, 0 after `timeoutMs` (-1 waits for ever).
   * A descriptor whose other end is gone counts as ready: using it tells why.
   */
  wait(timeoutMs: number): number {
    const timeout = timeoutMs < 0 ? -1 : Math.ceil(timeoutMs);
    // SAFETY: the kernel writes the revents of #count entries of #entries, a field; blocks as long as the caller says.
    return call(
      'poll',
      retryInterrupted(() => raw.poll(this.#entries, this.#count, timeout)),
    );
  }

  /** From the next `wait` on. What is neither read nor written is waited for only to end. */
  setWanted(index: number, wanted: { readonly read: boolean; readonly write: boolean }): void {
    const events = (wanted.read ? POLLIN : 0) | (wanted.write ? POLLOUT : 0);
    this.#entries[index * POLLFD_WORDS + 1] = events;
  }

  /** Of the last `wait`. */
  isReady(index: number): boolean {
    return this.#revents(index) !== 0;
  }

  /** Of the last `wait`: ready for something else than being written. */
  isReadable(index: number): boolean {
    return (this.#revents(index) & ~POLLOUT) !== 0;
  }

  #revents(index: number): number {
    const revents = this.#entries[index * POLLFD_WORDS + 1]! >>> 16;
    if ((revents & POLLNVAL) !== 0) throw systemCallError('poll', Errno.EBADF);
    return revents;
  }
}

/** Blocks the thread until one of the descriptors can be read; tells which can. */
export function pollReadable(fds: readonly number[], timeoutMs: number): boolean[] {
  return pollAll(new Poller(fds), fds, timeoutMs);
}

/** Blocks the thread until one of the descriptors can be written; tells which can. */
export function pollWritable(fds: readonly number[], timeoutMs: number): boolean[] {
  return pollAll(new Poller(fds, true), fds, timeoutMs);
}

/** Calls back on the event loop while the descriptor is readable. Dispose of it before closing the descriptor. */
export function watchReadable(fd: number, readable: () => void): Disposable {
  const handle = pollOnEventLoop(fd, readable);
  let open = true;
  return {
    [Symbol.dispose]() {
      if (open) handle.close();
      open = false;
    },
  };
}

/** Wakes a thread that polls: `signal` from any thread, `drain` by the one that was woken. */
export class EventFd implements Disposable {
  /** undefined: another thread's. */
  readonly #owned: FileDescriptor | undefined;
  readonly #fd: number;
  readonly #counter = BigUint64Array.of(1n);

  private constructor(fd: number, owned: FileDescriptor | undefined) {
    this.#fd = fd;
    this.#owned = owned;
  }

  static create(): EventFd {
    // SAFETY: no memory.
    const descriptor = new FileDescriptor(call('eventfd', raw.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)));
    return new EventFd(descriptor.fd, descriptor);
  }

  /** The descriptor of another thread, which keeps it open longer than this one uses it: disposing does not close it. */
  static borrow(fd: number): EventFd {
    return new EventFd(fd, undefined);
  }

  get fd(): number {
    return this.#owned?.fd ?? this.#fd;
  }

  signal(): void {
    this.#counter[0] = 1n;
    // SAFETY: the kernel reads the 8 bytes of #counter, a field. EAGAIN (the counter is full) still leaves it readable.
    const written = retryInterrupted(() => raw.write(this.fd, this.#counter, 8));
    if (written === -1 && lastErrno() !== Errno.EAGAIN) throw systemCallError('write(eventfd)', lastErrno());
  }

  /** Makes it unreadable again; false when it was not signalled. */
  drain(): boolean {
    // SAFETY: the kernel writes the 8 bytes of #counter, a field; the descriptor is non-blocking.
    const bytes = retryInterrupted(() => raw.read(this.fd, this.#counter, 8));
    if (bytes === -1 && lastErrno() !== Errno.EAGAIN) throw systemCallError('read(eventfd)', lastErrno());
    return bytes === 8;
  }

  [Symbol.dispose](): void {
    this.#owned?.[Symbol.dispose]();
  }
}

function pollAll(poller: Poller, fds: readonly number[], timeoutMs: number): boolean[] {
  poller.wait(timeoutMs);
  return fds.map((_, index) => poller.isReady(index));
}
