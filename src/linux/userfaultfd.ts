/**
 * A userfaultfd of another process (QEMU).
 *
 * Owns: this process's duplicate of the descriptor. The descriptor is made inside QEMU (ptrace.ts) and duplicated out.
 * With `keepInside` QEMU keeps its own: missing pages then stay missing if we die, and a later process fetches the
 * descriptor again; without, closing ours (or our death) ends every registration, which is what dirty tracking wants.
 * Must hold: no thread that serves faults touches registered memory. Expected endings of COPY are values.
 * https://docs.kernel.org/admin-guide/mm/userfaultfd.html
 */
import { GodwitError } from '../base/errors.ts';
import { X64_SYSCALLS } from './abi/syscalls.ts';
import { UFFDIO_COPY, UFFDIO_ZEROPAGE } from './abi/userfaultfd.ts';
import { Errno, errnoName } from './errno.ts';
import type { FileDescriptor } from './file-descriptor.ts';
import { PidFd } from './pidfd.ts';
import { withStoppedThread } from './ptrace.ts';
import { addressOf, lastErrno, raw } from './raw.ts';
import { handshake, isUserfaultfd, makeInside, type OpenInsideOptions } from './userfaultfd-maker.ts';
import { MAX_FRUITLESS_RETRIES, UserfaultfdRanges } from './userfaultfd-ranges.ts';

/** What became of COPY or ZEROPAGE. `bytes` were installed, from the start of the range, and are final. */
export type CopyOutcome =
  | { readonly kind: 'copied'; readonly bytes: number }
  /** The page after `bytes` is there already; whoever waits for it was not woken. */
  | { readonly kind: 'alreadyPresent'; readonly bytes: number }
  | { readonly kind: 'processGone'; readonly bytes: number }
  /** No memory for the page after `bytes`; may be tried again. */
  | { readonly kind: 'noMemory'; readonly bytes: number };

export class Userfaultfd extends UserfaultfdRanges implements Disposable {
  readonly userModeOnly: boolean;
  readonly #process: PidFd;
  readonly #descriptor: FileDescriptor;
  #insideFd: number | undefined;
  readonly #argument = new BigUint64Array(5);
  readonly #signed = new BigInt64Array(this.#argument.buffer);

  /** Takes over both descriptors. */
  private constructor(process: PidFd, descriptor: FileDescriptor, insideFd: number | undefined, userModeOnly: boolean) {
    super(process, descriptor);
    this.#process = process;
    this.#descriptor = descriptor;
    this.#insideFd = insideFd;
    this.userModeOnly = userModeOnly;
  }

  /** Makes a userfaultfd inside the process. Main thread or worker alike, as long as QEMU is no child of libuv. */
  static openInside(pid: number, options: OpenInsideOptions): Userfaultfd {
    using resources = new DisposableStack();
    const process = resources.use(PidFd.open(pid));
    return withStoppedThread(pid, (thread) => {
      const made = makeInside(thread, pid, options);
      let descriptor: FileDescriptor;
      let keep = false;
      try {
        descriptor = resources.use(process.duplicate(made.fd));
        handshake(descriptor, options.features);
        keep = options.keepInside;
      } finally {
        if (!keep) thread.systemCall(X64_SYSCALLS.close, made.fd);
      }
      resources.move();
      return new Userfaultfd(process, descriptor, keep ? made.fd : undefined, made.userModeOnly);
    });
  }

  /** Duplicates a userfaultfd that the process still holds, made by an earlier `openInside` with `keepInside`. */
  static fetch(pid: number, insideFd: number): Userfaultfd {
    using resources = new DisposableStack();
    const process = resources.use(PidFd.open(pid));
    const descriptor = resources.use(process.duplicate(insideFd));
    if (!isUserfaultfd('self', descriptor.fd)) {
      throw new GodwitError('GW_SYS_INJECT', { pid, reason: `its descriptor ${insideFd} is no userfaultfd` });
    }
    resources.move();
    return new Userfaultfd(process, descriptor, insideFd, false);
  }

  /** Its number inside the process, for `fetch`; undefined when the process does not hold it. */
  get insideFd(): number | undefined {
    return this.#insideFd;
  }

  /** Has the process close its own copy, when no page is missing any more. Does nothing when it holds none. */
  releaseInside(): void {
    const insideFd = this.#insideFd;
    this.#insideFd = undefined;
    if (insideFd === undefined || !isUserfaultfd(this.pid, insideFd)) return;
    withStoppedThread(this.pid, (thread) => {
      // Again, now that it stands: the call of somebody who was too late (a frozen process) is made when it goes on, and the
      // number may be another file's since.
      if (isUserfaultfd(this.pid, insideFd)) thread.systemCall(X64_SYSCALLS.close, insideFd);
    });
  }

  /**
   * Installs pages and wakes who waits for them.
   *
   * @param from - whole pages, outside any memory registered with a userfaultfd of this process
   */
  copy(to: bigint, from: Uint8Array): CopyOutcome {
    const source = addressOf(from);
    return this.#install('UFFDIO_COPY', to, from.byteLength, (done) => {
      const argument = this.#argument;
      argument[0] = to + BigInt(done);
      argument[1] = source + BigInt(done);
      argument[2] = BigInt(from.byteLength - done);
      argument[3] = 0n;
      argument[4] = 0n;
      // SAFETY: the kernel reads argument[2] bytes at `source`, inside `from`, which the caller's frame keeps alive, and
      // reads and writes the five words of #argument; it writes QEMU's memory only where it is registered and missing.
      const failed = raw.ioctl(this.fd, UFFDIO_COPY, argument) === -1;
      return failed ? lastErrno() : 0;
    });
  }

  /** Installs zero pages and wakes who waits for them. */
  zero(to: bigint, bytes: number): CopyOutcome {
    return this.#install('UFFDIO_ZEROPAGE', to, bytes, (done) => {
      const argument = this.#argument;
      argument[0] = to + BigInt(done);
      argument[1] = BigInt(bytes - done);
      argument[2] = 0n;
      argument[3] = 0n;
      // SAFETY: the kernel reads and writes four words of #argument; QEMU's memory as for UFFDIO_COPY.
      const failed = raw.ioctl(this.fd, UFFDIO_ZEROPAGE, argument) === -1;
      argument[4] = argument[3];
      return failed ? lastErrno() : 0;
    });
  }

  [Symbol.dispose](): void {
    this.#descriptor[Symbol.dispose]();
    this.#process[Symbol.dispose]();
  }

  #install(name: string, to: bigint, bytes: number, attempt: (done: number) => number): CopyOutcome {
    let done = 0;
    for (let fruitless = 0; done < bytes; ) {
      const errno = attempt(done);
      // Positive: installed by this attempt, even where it failed further on. Negative: the errno again.
      const installed = Number(this.#signed[4]);
      if (installed > 0) {
        done += installed;
        fruitless = 0;
      } else {
        fruitless++;
      }
      if (errno === 0) continue;
      if (errno === Errno.EEXIST) return { kind: 'alreadyPresent', bytes: done };
      if (errno === Errno.ESRCH) return { kind: 'processGone', bytes: done };
      if (errno === Errno.ENOMEM || errno === Errno.ENOSPC) return { kind: 'noMemory', bytes: done };
      if (errno !== Errno.EAGAIN || fruitless > MAX_FRUITLESS_RETRIES) {
        throw new GodwitError('GW_SYS_CALL', {
          call: `${name}(0x${(to + BigInt(done)).toString(16)}+${bytes - done})`,
          errno: errnoName(errno),
        });
      }
    }
    return { kind: 'copied', bytes: done };
  }
}
