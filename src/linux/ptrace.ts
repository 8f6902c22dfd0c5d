/**
 * Runs system calls inside another process.
 *
 * Owns: the attachment. A thread (the main thread of QEMU, whose tid is the pid) is seized, interrupted, made to run
 * `syscall` instructions found in its vDSO, given back its registers and signal mask, and let go. It stands still for
 * about 0.2 ms; an interrupted system call of its own restarts.
 * Must hold: everything is synchronous, because ptrace belongs to the calling *thread*; the thread is let go on every
 * path. A thread that does not stop in time (blocked in the kernel) is let go as soon as it does.
 * Never from a worker while QEMU is a child of libuv: its SIGCHLD handler on the main thread takes the stop away. QEMU
 * is no child of ours (qemu/process.ts), and a stop taken away is noticed here.
 * Learnt from https://man7.org/linux/man-pages/man2/ptrace.2.html and the measurements in docs/kernel.md.
 */
import { existsSync, readFileSync } from 'node:fs';

import { GodwitError } from '../base/errors.ts';
import {
  PTRACE_CONT,
  PTRACE_DETACH,
  PTRACE_EVENT_STOP,
  PTRACE_GETREGS,
  PTRACE_GETSIGMASK,
  PTRACE_INTERRUPT,
  PTRACE_SEIZE,
  PTRACE_SETREGS,
  PTRACE_SETSIGMASK,
  PTRACE_SINGLESTEP,
  SIGTRAP,
  USER_CS,
  USER_REGS_WORDS,
  UserRegs,
  WALL,
  WNOHANG,
} from './abi/ptrace.ts';
import { Errno, errnoName } from './errno.ts';
import { lastErrno, type Pointer, raw } from './raw.ts';
import { becomeRealTime, endRealTime, isRealTime } from './real-time.ts';
import { findSyscallInstruction, tracerOf } from './traced-process.ts';

/** Stops arrive within 0.1 ms unless the thread is blocked inside the kernel (a dead network file system). */
const STOP_DEADLINE_MS = 1000;
/** On a busy host who has it may have to wait for a CPU, several times. */
const OUR_OWN_DEADLINE_MS = 5000;
/** Looks without sleeping before the first sleep: about 15 µs, the usual time to a stop on a busy machine. */
const EAGER_LOOKS = 60;
const ABANDONED_RETRY_MS = 10;
/** Of being told that nobody may while nobody seems to: who had it may just have let it go. Some 10 ms. */
const MAX_DENIALS = 100;
const SIGNAL_MASK_BYTES = 8;
const ALL_SIGNALS = BigUint64Array.of(~0n);

/** A thread that stands still for the duration of a callback. */
export interface StoppedThread {
  /**
   * Makes the thread run one system call that does not block.
   *
   * @returns what the kernel returned: a result, or an errno negated
   */
  systemCall(number: number, ...args: (bigint | number)[]): bigint;
}

/**
 * Stops a thread, runs `use`, and lets the thread go on as if nothing had happened.
 *
 * @throws GW_SYS_PROCESS_GONE, GW_SYS_INJECT (not permitted, traced by somebody else, does not stop), GW_SYS_UNSUPPORTED
 */
export function withStoppedThread<T>(tid: number, use: (thread: StoppedThread) => T): T {
  if (process.arch !== 'x64') {
    throw new GodwitError('GW_SYS_UNSUPPORTED', {
      feature: 'system calls inside another process',
      reason: `not written for ${process.arch} yet`,
    });
  }
  // Not preempted: a process that is killed in here takes the thread with it, which may stand in the middle of a call.
  const isUrgent = !isRealTime() && becomeRealTime();
  try {
    const attachment = new Attachment(tid);
    try {
      return use(attachment);
    } finally {
      attachment.letGo();
    }
  } finally {
    if (isUrgent) endRealTime();
  }
}

class Attachment implements StoppedThread {
  readonly #tid: number;
  readonly #status = new Int32Array(1);
  readonly #savedRegisters = new BigUint64Array(USER_REGS_WORDS);
  readonly #registers = new BigUint64Array(USER_REGS_WORDS);
  readonly #savedMask = new BigUint64Array(1);
  readonly #syscallAddress: bigint;
  #saved = false;

  constructor(tid: number) {
    this.#tid = tid;
    this.#seize();
    try {
      this.#request('PTRACE_INTERRUPT', PTRACE_INTERRUPT, null, null);
      this.#awaitInterrupt();
      this.#request('PTRACE_GETREGS', PTRACE_GETREGS, null, this.#savedRegisters);
      if (this.#savedRegisters[UserRegs.cs] !== USER_CS) throw this.#refuse('it does not run 64-bit code');
      this.#syscallAddress = findSyscallInstruction(tid);
      this.#request('PTRACE_GETSIGMASK', PTRACE_GETSIGMASK, SIGNAL_MASK_BYTES, this.#savedMask);
      this.#saved = true;
      // No handler may run between a SETREGS and the restored registers.
      this.#request('PTRACE_SETSIGMASK', PTRACE_SETSIGMASK, SIGNAL_MASK_BYTES, ALL_SIGNALS);
    } catch (error) {
      this.letGo();
      throw error;
    }
  }

  systemCall(number: number, ...args: (bigint | number)[]): bigint {
    const registers = this.#registers;
    registers.set(this.#savedRegisters);
    registers[UserRegs.rip] = this.#syscallAddress;
    registers[UserRegs.rax] = BigInt(number);
    // Not inside a system call: there is none for the kernel to restart.
    registers[UserRegs.origRax] = ~0n;
    registers[UserRegs.rdi] = word(args[0]);
    registers[UserRegs.rsi] = word(args[1]);
    registers[UserRegs.rdx] = word(args[2]);
    registers[UserRegs.r10] = word(args[3]);
    registers[UserRegs.r8] = word(args[4]);
    registers[UserRegs.r9] = word(args[5]);
    this.#request('PTRACE_SETREGS', PTRACE_SETREGS, null, registers);
    this.#step();
    this.#request('PTRACE_GETREGS', PTRACE_GETREGS, null, registers);
    if (registers[UserRegs.rip] !== this.#syscallAddress + 2n) throw this.#refuse('the call was not carried out');
    return BigInt.asIntN(64, registers[UserRegs.rax]!);
  }

  /** Idempotent; never throws. What cannot be done because the thread has ended needs no doing. */
  letGo(): void {
    if (this.#tryLetGo()) return;
    const timer = setInterval(() => {
      const result = this.#look();
      if (this.#tryLetGo() || result === -1) clearInterval(timer);
    }, ABANDONED_RETRY_MS);
  }

  /** False while the thread has not stopped: only a stopped thread can be let go. */
  #tryLetGo(): boolean {
    if (this.#saved) {
      // SAFETY: the kernel reads 27 words of #savedRegisters and one of #savedMask, both fields; neither call blocks.
      raw.ptrace(PTRACE_SETREGS, this.#tid, null, this.#savedRegisters);
      raw.ptrace(PTRACE_SETSIGMASK, this.#tid, SIGNAL_MASK_BYTES, this.#savedMask);
    }
    // SAFETY: no memory, does not block.
    return Number(raw.ptrace(PTRACE_DETACH, this.#tid, null, null)) === 0 || !this.#isTraced();
  }

  #isTraced(): boolean {
    try {
      const tracer = /^TracerPid:\t(\d+)$/m.exec(readFileSync(`/proc/${this.#tid}/status`, 'utf8'));
      return tracer !== null && tracer[1] !== '0';
    } catch {
      return false; // The thread has ended.
    }
  }

  /** Waits for the stop that PTRACE_INTERRUPT asked for; signals that arrive first are delivered. */
  #awaitInterrupt(): void {
    for (;;) {
      const { signal, event } = this.#awaitStop();
      if (event === PTRACE_EVENT_STOP) return;
      this.#request('PTRACE_CONT', PTRACE_CONT, null, event === 0 ? signal : 0);
    }
  }

  #step(): void {
    let deliver = 0;
    for (;;) {
      this.#request('PTRACE_SINGLESTEP', PTRACE_SINGLESTEP, null, deliver);
      const { signal, event } = this.#awaitStop();
      if (event === 0 && signal === SIGTRAP) return;
      deliver = event === 0 ? signal : 0; // Only SIGSTOP and SIGKILL get through the mask.
    }
  }

  #awaitStop(): { signal: number; event: number } {
    const deadline = performance.now() + STOP_DEADLINE_MS;
    for (let looks = 0; ; looks++) {
      const result = this.#look();
      if (result === -1) throw new GodwitError('GW_SYS_PROCESS_GONE', { pid: this.#tid });
      if (result !== 0) {
        const status = this.#status[0]!;
        if ((status & 0xff) !== 0x7f) throw new GodwitError('GW_SYS_PROCESS_GONE', { pid: this.#tid });
        return { signal: (status >> 8) & 0xff, event: status >>> 16 };
      }
      if (looks < EAGER_LOOKS) continue;
      if (performance.now() > deadline) throw this.#refuse(`its thread did not stop within ${STOP_DEADLINE_MS} ms`);
      // SAFETY: no memory; blocks for some 70 µs.
      raw.usleep(20);
    }
  }

  /** waitpid without blocking: the tid when #status is news, 0 when there is none, -1 when there is no such thread. */
  #look(): number {
    // SAFETY: the kernel writes one word of #status, a field; WNOHANG does not block.
    return raw.waitpid(this.#tid, this.#status, WALL | WNOHANG);
  }

  /**
   * Another thread of ours may have it for a moment, as the one of a region that the VM shares: it is waited for.
   * Decided by who traces it, not by errno, which other work of this process can overwrite (EAGAIN has been seen).
   */
  #seize(): void {
    const deadline = performance.now() + OUR_OWN_DEADLINE_MS;
    for (let denials = 0; ; ) {
      // SAFETY: no memory; does not block.
      if (Number(raw.ptrace(PTRACE_SEIZE, this.#tid, null, null)) !== -1) return;
      const errno = lastErrno();
      const tracer = tracerOf(this.#tid);
      // It may have been let go since, or nobody may do this.
      if (tracer === 0) denials++;
      const isOurs = tracer === 0 ? denials < MAX_DENIALS : existsSync(`/proc/self/task/${tracer}`);
      if (errno === Errno.ESRCH || !isOurs || performance.now() > deadline) throw this.#failure('PTRACE_SEIZE', errno);
      // SAFETY: no memory; blocks for some 70 µs.
      raw.usleep(20);
    }
  }

  #request(name: string, request: number, addr: Pointer, data: Pointer): void {
    // SAFETY: `data` is a field or a local of the caller, of the size that the request reads or writes; does not block.
    const result = raw.ptrace(request, this.#tid, addr, data);
    if (Number(result) !== -1) return;
    throw this.#failure(name, lastErrno());
  }

  #failure(name: string, errno: number): GodwitError {
    if (errno === Errno.ESRCH) return new GodwitError('GW_SYS_PROCESS_GONE', { pid: this.#tid });
    const hint = errno === Errno.EPERM ? ' (not permitted, or traced by a debugger)' : '';
    return this.#refuse(`${name}: ${errnoName(errno)}${hint}`);
  }

  #refuse(reason: string): GodwitError {
    return new GodwitError('GW_SYS_INJECT', { pid: this.#tid, reason });
  }
}

function word(value: bigint | number | undefined): bigint {
  return BigInt.asUintN(64, BigInt(value ?? 0));
}
