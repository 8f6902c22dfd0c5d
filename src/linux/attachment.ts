/**
 * A thread of another process that a thread of this one traces (ptrace).
 *
 * Owns: the tracing, from seizing the thread to letting it go.
 * Must hold: nothing that the thread would suffer from if its tracer was killed: there is no single-stepping, and a stop at a
 * system call tells no signal that exists (the kernel sends the thread the one told when it loses its tracer in such a stop). All
 * is synchronous, because ptrace belongs to the calling *thread*. The thread is let go on every path; one that does not stop in
 * time (blocked in the kernel) as soon as it does.
 * https://man7.org/linux/man-pages/man2/ptrace.2.html
 */
import { existsSync } from 'node:fs';
import { GodwitError } from '../base/errors.ts';
import {
  PTRACE_DETACH,
  PTRACE_INTERRUPT,
  PTRACE_O_TRACESYSGOOD,
  PTRACE_SEIZE,
  SIGTRAP,
  WALL,
  WNOHANG,
} from './abi/ptrace.ts';
import { Errno, errnoName } from './errno.ts';
import { lastErrno, type Pointer, raw } from './raw.ts';
import { tracerOf } from './traced-process.ts';

/** What `awaitStop` returns for a stop at the beginning or the end of a system call. No PTRACE_EVENT_… has this number. */
export const SYSCALL_STOP = SIGTRAP | 0x80;

/** Stops arrive within 0.1 ms unless the thread is blocked inside the kernel (a dead network file system). */
const STOP_DEADLINE_MS = 1000;
/** On a busy host who has it may have to wait for a CPU, several times. */
const OUR_OWN_DEADLINE_MS = 5000;
/** Looks without sleeping before the first sleep: about 15 µs, the usual time to a stop on a busy machine. */
const EAGER_LOOKS = 60;
const ABANDONED_RETRY_MS = 10;
/** In a row, while no thread of ours has it: it may just have been let go (the kernel then names its parent). Some 10 ms. */
const MAX_DENIALS = 100;

export class Attachment {
  readonly #tid: number;
  readonly #status = new Int32Array(1);
  /** The signal that the thread has stopped to be given; 0 when it has stopped for something else. */
  #signal = 0;

  /** The thread runs on until it is interrupted. Throws GW_SYS_PROCESS_GONE, GW_SYS_INJECT. */
  constructor(tid: number) {
    this.#tid = tid;
    this.#seize();
  }

  /** Throws GW_SYS_PROCESS_GONE, GW_SYS_INJECT. */
  request(name: string, request: number, addr: Pointer, data: Pointer): void {
    // SAFETY: `data` is memory of the caller's, of the size that the request reads or writes, or a number; does not block.
    const result = raw.ptrace(request, this.#tid, addr, data);
    if (Number(result) !== -1) return;
    throw this.#failure(name, lastErrno());
  }

  /** Lets it go on, with the signal that it had stopped for, until it stops for something that `isWanted`. */
  resumeUntil(name: string, request: number, isWanted: (reason: number) => boolean): void {
    const deadline = performance.now() + STOP_DEADLINE_MS;
    do {
      const signal = this.#signal;
      this.#signal = 0;
      this.request(name, request, null, signal);
    } while (!isWanted(this.awaitStop(deadline)));
  }

  /** Returns a PTRACE_EVENT_…, SYSCALL_STOP, or 0, a signal. Throws GW_SYS_PROCESS_GONE, GW_SYS_INJECT. */
  awaitStop(deadline: number = performance.now() + STOP_DEADLINE_MS): number {
    for (let looks = 0; ; looks++) {
      const result = this.#look();
      if (result === -1) throw new GodwitError('GW_SYS_PROCESS_GONE', { pid: this.#tid });
      if (result !== 0) {
        if ((this.#status[0]! & 0xff) !== 0x7f) throw new GodwitError('GW_SYS_PROCESS_GONE', { pid: this.#tid });
        return reasonOf(this.#status[0]!);
      }
      if (performance.now() > deadline) throw this.refusal(`its thread did not stop within ${STOP_DEADLINE_MS} ms`);
      if (looks < EAGER_LOOKS) continue;
      // SAFETY: no memory; blocks for some 70 µs.
      raw.usleep(20);
    }
  }

  /** Idempotent; never throws. What cannot be done because the thread has ended needs no doing. */
  letGo(): void {
    if (this.#tryLetGo()) return;
    const timer = setInterval(() => {
      // SAFETY: no memory, does not block.
      raw.ptrace(PTRACE_INTERRUPT, this.#tid, null, null);
      if (this.#tryLetGo()) clearInterval(timer);
    }, ABANDONED_RETRY_MS);
  }

  refusal(reason: string): GodwitError {
    return new GodwitError('GW_SYS_INJECT', { pid: this.#tid, reason });
  }

  /** False while the thread has not stopped: only a stopped thread can be let go. */
  #tryLetGo(): boolean {
    if (this.#look() === -1) return true;
    // SAFETY: no memory, does not block.
    return Number(raw.ptrace(PTRACE_DETACH, this.#tid, null, this.#signal)) === 0 || tracerOf(this.#tid) === 0;
  }

  /** waitpid without blocking: the tid when #status is news, 0 when there is none, -1 when there is no such thread. */
  #look(): number {
    // SAFETY: the kernel writes one word of #status, a field; WNOHANG does not block.
    const result = raw.waitpid(this.#tid, this.#status, WALL | WNOHANG);
    if (result > 0) this.#signal = reasonOf(this.#status[0]!) === 0 ? signalOf(this.#status[0]!) : 0;
    return result;
  }

  /**
   * Another thread of ours may have it for a moment, as the one of a region that the VM shares: it is waited for.
   * Decided by who traces it, not by errno, which other work of this process can overwrite (EAGAIN has been seen).
   */
  #seize(): void {
    const deadline = performance.now() + OUR_OWN_DEADLINE_MS;
    for (let denials = 0; ; ) {
      // SAFETY: no memory; does not block.
      if (Number(raw.ptrace(PTRACE_SEIZE, this.#tid, null, PTRACE_O_TRACESYSGOOD)) !== -1) return;
      const errno = lastErrno();
      const tracer = tracerOf(this.#tid);
      denials = tracer !== 0 && existsSync(`/proc/self/task/${tracer}`) ? 0 : denials + 1;
      if (errno === Errno.ESRCH || denials > MAX_DENIALS || performance.now() > deadline) {
        throw this.#failure('PTRACE_SEIZE', errno);
      }
      // SAFETY: no memory; blocks for some 70 µs.
      raw.usleep(20);
    }
  }

  #failure(name: string, errno: number): GodwitError {
    if (errno === Errno.ESRCH) return new GodwitError('GW_SYS_PROCESS_GONE', { pid: this.#tid });
    const hint = errno === Errno.EPERM ? ' (not permitted, or traced by a debugger)' : '';
    return this.refusal(`${name}: ${errnoName(errno)}${hint}`);
  }
}

/** Of a status of waitpid. */
function reasonOf(status: number): number {
  return signalOf(status) === SYSCALL_STOP ? SYSCALL_STOP : status >>> 16;
}

function signalOf(status: number): number {
  return (status >> 8) & 0xff;
}
