/**
 * A file descriptor with one owner.
 *
 * Owns: the descriptor; closes it once. Everything in this folder that keeps a descriptor keeps it in one of these.
 * Must hold: a worker thread that ends, however it ends, leaves no descriptor open in the process: a forgotten
 * userfaultfd would keep the VM's memory registered, and the next migration could not track it.
 */
import { isMainThread } from 'node:worker_threads';
import { O_CLOEXEC, O_RDONLY } from './abi/files.ts';
import { Errno } from './errno.ts';
import { call, lastErrno, raw } from './raw.ts';

/** Of this thread. */
const OPEN = new Set<FileDescriptor>();

if (!isMainThread) {
  process.once('exit', () => {
    for (const descriptor of OPEN) descriptor[Symbol.dispose]();
  });
}

export class FileDescriptor implements Disposable {
  #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
    OPEN.add(this);
  }

  /** open(2). Throws GW_SYS_CALL. */
  static open(path: string, flags: number): FileDescriptor {
    // SAFETY: koffi copies the path for the call; may block as long as the file system does.
    return new FileDescriptor(call(`open(${path})`, raw.open(path, flags, 0)));
  }

  /** The number; -1 after closing, so that a late call fails with EBADF instead of meeting somebody else's file. */
  get fd(): number {
    return this.#fd;
  }

  [Symbol.dispose](): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    OPEN.delete(this);
    // SAFETY: no memory. Linux frees the number whatever close returns, so there is nothing to do about an error.
    raw.close(fd);
  }
}

/** Lets go of what a descriptor leads to and keeps its number, which reads as an empty file from now on: other threads may use it still. */
export function emptyDescriptor(fd: number): void {
  using empty = FileDescriptor.open('/dev/null', O_RDONLY | O_CLOEXEC);
  // SAFETY: no memory.
  call('dup3', raw.dup3(empty.fd, fd, O_CLOEXEC));
}

/** Repeats a raw call that a signal has interrupted. */
export function retryInterrupted(attempt: () => number): number {
  for (;;) {
    const result = attempt();
    if (result !== -1 || lastErrno() !== Errno.EINTR) return result;
  }
}
