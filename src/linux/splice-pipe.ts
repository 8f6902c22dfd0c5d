/**
 * Bytes from a socket into a file without passing through memory of ours (splice(2)).
 *
 * Owns: a pipe, which is where the kernel keeps them in between. Must hold: the pipe is empty between two moves; a move
 * that fails in its middle leaves it of no use, and whoever got the error has to close it.
 */
import { F_SETPIPE_SZ, O_CLOEXEC, SPLICE_F_MOVE, SPLICE_F_NONBLOCK } from './abi/files.ts';
import { Errno, errnoName } from './errno.ts';
import { FileDescriptor, retryInterrupted } from './file-descriptor.ts';
import { writeError } from './ram-file.ts';
import { call, lastErrno, raw, systemCallError } from './raw.ts';
import { type WaitOptions, waitForData } from './socket.ts';

/** What an unprivileged process may have; the kernel's own default is 64 KiB. */
const PIPE_BYTES = 2 ** 20;

export type SpliceOutcome =
  | { readonly kind: 'moved' }
  /** How many bytes have been moved until then; the move can go on. */
  | { readonly kind: 'interrupted' | 'timedOut'; readonly movedBytes: number }
  | { readonly kind: 'ended' }
  | { readonly kind: 'peerGone'; readonly reason: string };

const MOVED: SpliceOutcome = { kind: 'moved' };
const GONE: ReadonlySet<number> = new Set([Errno.ECONNRESET, Errno.ETIMEDOUT, Errno.EHOSTUNREACH, Errno.ENETUNREACH]);

export class SplicePipe implements Disposable {
  readonly #reading: FileDescriptor;
  readonly #writing: FileDescriptor;

  private constructor(reading: number, writing: number) {
    this.#reading = new FileDescriptor(reading);
    this.#writing = new FileDescriptor(writing);
  }

  static create(): SplicePipe {
    const fds = new Int32Array(2);
    // SAFETY: the kernel writes both words of `fds`, alive for the call.
    call('pipe2', raw.pipe2(fds, O_CLOEXEC));
    const pipe = new SplicePipe(fds[0]!, fds[1]!);
    // SAFETY: no memory. A user who has too many large pipes keeps a smaller one, which is only slower.
    raw.fcntl(fds[1]!, F_SETPIPE_SZ, PIPE_BYTES);
    return pipe;
  }

  /**
   * Moves `bytes` bytes from the socket to the file at `offset`, waiting for them.
   * @throws GW_SYS_NO_ROOM of the file, GW_SYS_CALL
   */
  move(socket: number, file: number, offset: number, bytes: number, options: WaitOptions): SpliceOutcome {
    for (let moved = 0; moved < bytes; ) {
      // SAFETY: no memory of ours; SPLICE_F_NONBLOCK on a non-blocking socket and an empty pipe, so it does not wait.
      const taken = retryInterrupted(() =>
        raw.splice(socket, null, this.#writing.fd, null, bytes - moved, SPLICE_F_MOVE | SPLICE_F_NONBLOCK),
      );
      if (taken === 0) return { kind: 'ended' };
      if (taken > 0) {
        this.#drain(file, offset + moved, taken);
        moved += taken;
        continue;
      }
      const errno = lastErrno();
      if (GONE.has(errno)) return { kind: 'peerGone', reason: errnoName(errno) };
      if (errno !== Errno.EAGAIN) throw systemCallError('splice(socket)', errno);
      const waited = waitForData(socket, options);
      if (waited !== 'ready') return { kind: waited, movedBytes: moved };
    }
    return MOVED;
  }

  [Symbol.dispose](): void {
    this.#reading[Symbol.dispose]();
    this.#writing[Symbol.dispose]();
  }

  #drain(file: number, offset: number, bytes: number): void {
    const at = BigInt64Array.of(BigInt(offset));
    for (let left = bytes; left > 0; ) {
      // SAFETY: the kernel reads and writes the word of `at`, alive for the call; the pipe holds `left` bytes.
      const written = retryInterrupted(() => raw.splice(this.#reading.fd, null, file, at, left, SPLICE_F_MOVE));
      if (written <= 0) throw writeError('splice(file)', written === 0 ? Errno.EIO : lastErrno(), left, file);
      left -= written;
    }
  }
}
