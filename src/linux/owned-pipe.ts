/**
 * A pipe to a child whose writing end closes when this process ends, and only then.
 *
 * Owns: both ends until the child has its own. Must hold: close-on-exec, so that no other child keeps the pipe open;
 * writing never blocks (a stuck reader counts as a dead one).
 */
import { writeSync } from 'node:fs';
import { O_CLOEXEC, O_NONBLOCK } from './abi/files.ts';
import { F_SETFL } from './abi/socket.ts';
import { FileDescriptor } from './file-descriptor.ts';
import { call, raw } from './raw.ts';

export class OwnedPipe {
  readonly #read: FileDescriptor;
  readonly #write: FileDescriptor;

  constructor() {
    const fds = new Int32Array(2);
    // SAFETY: writes two words to `fds`.
    call('pipe2', raw.pipe2(fds, O_CLOEXEC));
    this.#read = new FileDescriptor(fds[0]!);
    this.#write = new FileDescriptor(fds[1]!);
    // SAFETY: no memory.
    call('fcntl(F_SETFL)', raw.fcntl(this.#write.fd, F_SETFL, O_NONBLOCK));
  }

  /** What the child gets as one of its `stdio`. */
  get readFd(): number {
    return this.#read.fd;
  }

  /** After the child was started. */
  closeRead(): void {
    this.#read[Symbol.dispose]();
  }

  /** False when the reader is gone or does not read. */
  write(line: string): boolean {
    if (this.#write.fd < 0) return false;
    try {
      writeSync(this.#write.fd, line);
      return true;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'EPIPE' || code === 'EAGAIN') return false;
      throw error;
    }
  }

  close(): void {
    this.#read[Symbol.dispose]();
    this.#write[Symbol.dispose]();
  }
}
