/**
 * A thread of another process that a thread of this one traces (ptrace).
 *
 * Owns: the tracing, from seizing the thread to letting it go.
 * Must hold: the thread does not suffer if its tracer is killed. No single-stepping: a trap would still be on its way. A stop at
 * a system call tells no signal that exists, because the kernel sends the thread the one told if it loses its tracer in it. All is
 * synchronous, because ptrace belongs to the calling *thread*. The thread is let go on every path; one that does not stop in
 * time (blocked in the kernel) as soon as it does: by a timer, or by whoever calls `letGoAbandoned`.
 * https://man7.org/linux/man-pages/man2/ptrace.2.html
 */
import { existsSync } from 'node:fs';
import { GodwitError } from '../base/errors.ts';
import {
  PTRACE_CONT,
  PTRACE_DETACH,
  PTRACE_EVENT_STOP,
  PTRACE_INTERRUPT,
  PTRACE_O_TRACESYSGOOD,
  PTRACE_SEIZE,
  PTRACE_SYSCALL,
} from './abi/ptrace.ts';
import { Errno, errnoName } from './errno.ts';
import { lastErrno, type Pointer, raw } from './raw.ts';
import { ownTid, tracerOf } from './traced-process.ts';
import { lookAtThread, type ThreadState } from './traced-thread.ts';

/** Stops arrive within 0.1 ms unless the thread is blocked inside the kernel (a dead network file system). */
const STOP_DEADLINE_MS = 1000;
/** On a busy host who has it may have to wait for a CPU, several times. */
const OUR_OWN_DEADLINE_MS = 5000;
/** Looks without sleeping before the first sleep: about 15 µs, the usual time to a stop on a busy machine. */
const EAGER_LOOKS = 60;
const ABANDONED_RETRY_MS = 10;
/** In a row, while no thread of ours has it: it may just have been let go (the kernel then names its parent). Some 10 ms. */
const MAX_DENIALS = 100;

/** Threads that had not stopped when the calling thread was to let them go: every thread of ours has a module of its own. */
const abandoned = new Set<number>();
let retry: NodeJS.Timeout | undefined;

/**
 * Lets go of what has stopped since. To be called now and then by a thread that does not come back to its event loop.
 *
 * @returns in how many milliseconds again
 */
export function letGoAbandoned(): number {
  for (const tid of abandoned) {
    // SAFETY: no memory, does not block.
    raw.ptrace(PTRACE_INTERRUPT, tid, null, null);
    if (tryLetGo(tid)) abandoned.delete(tid);
  }
  if (abandoned.size > 0) return ABANDONED_RETRY_MS;
  clearInterval(retry);
  retry = undefined;
  return Number.POSITIVE_INFINITY;
}

export class Attachment {
  readonly #tid: number;

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

  /** Makes it stop. Throws GW_SYS_PROCESS_GONE, GW_SYS_INJECT. */
  interrupt(): void {
    const deadline = performance.now() + STOP_DEADLINE_MS;
    this.request('PTRACE_INTERRUPT', PTRACE_INTERRUPT, null, null);
    let state = this.#awaitStop(deadline);
    while (state.kind !== 'event' || state.event !== PTRACE_EVENT_STOP) {
      this.request('PTRACE_CONT', PTRACE_CONT, null, signalOf(state));
      state = this.#awaitStop(deadline);
    }
  }

  /** Lets it go on until a system call begins or ends of which `isWanted`. Throws GW_SYS_PROCESS_GONE, GW_SYS_INJECT. */
  resumeUntilCall(isWanted: () => boolean): void {
    const deadline = performance.now() + STOP_DEADLINE_MS;
    for (let signal = 0; ; ) {
      this.request('PTRACE_SYSCALL', PTRACE_SYSCALL, null, signal);
      const state = this.#awaitStop(deadline);
      signal = signalOf(state);
      if (state.kind === 'systemCall' && isWanted()) return;
    }
  }

  /** Idempotent; never throws. What cannot be done because the thread has ended needs no doing. */
  letGo(): void {
    if (tryLetGo(this.#tid)) return;
    abandoned.add(this.#tid);
    retry ??= setInterval(letGoAbandoned, ABANDONED_RETRY_MS);
  }

  refusal(reason: string): GodwitError {
    return new GodwitError('GW_SYS_INJECT', { pid: this.#tid, reason });
  }

  #awaitStop(deadline: number): ThreadState {
    for (let looks = 0; ; looks++) {
      const state = lookAtThread(this.#tid);
      if (state.kind === 'ended') throw new GodwitError('GW_SYS_PROCESS_GONE', { pid: this.#tid });
      if (state.kind !== 'runs') return state;
      if (performance.now() > deadline) throw this.refusal(`its thread did not stop within ${STOP_DEADLINE_MS} ms`);
      if (looks < EAGER_LOOKS) continue;
      // SAFETY: no memory; blocks for some 70 µs.
      raw.usleep(20);
    }
  }

  /**
   * Another thread of ours may have it for a moment, as the one of a region that the VM shares: it is waited for.
   * Decided by who traces it, not by errno, which other work of this process can overwrite (EAGAIN has been seen).
   * What this very thread has still not been able to let go is not waited for: it lets go of nothing meanwhile.
   */
  #seize(): void {
    letGoAbandoned();
    const deadline = performance.now() + OUR_OWN_DEADLINE_MS;
    for (let denials = 0; ; ) {
      // SAFETY: no memory; does not block.
      if (Number(raw.ptrace(PTRACE_SEIZE, this.#tid, null, PTRACE_O_TRACESYSGOOD)) !== -1) return;
      const errno = lastErrno();
      const tracer = tracerOf(this.#tid);
      if (tracer !== 0 && tracer === ownTid())
        throw this.refusal('this thread has it already, or cannot let it go yet');
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

/** False while the thread has not stopped: only a stopped thread can be let go. */
function tryLetGo(tid: number): boolean {
  const state = lookAtThread(tid);
  if (state.kind === 'ended') return true;
  if (state.kind === 'runs') return false;
  // SAFETY: no memory, does not block. Fails where the thread is being killed: its end is still to be taken.
  return Number(raw.ptrace(PTRACE_DETACH, tid, null, signalOf(state))) === 0;
}

/** That the thread has stopped to be given. */
function signalOf(state: ThreadState): number {
  return state.kind === 'signal' ? state.signal : 0;
}
