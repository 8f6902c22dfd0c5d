/**
 * Runs system calls inside another process.
 *
 * Owns: one thread that is made to (the main thread of QEMU, whose tid is the pid). It is interrupted, and put before a few
 * instructions that make the call and lead back to where it stood (injected-code.ts). It stands still for about 0.2 ms; an
 * interrupted system call of its own begins again.
 * Must hold: at every moment the thread could go on by itself, unharmed: we may be killed (attachment.ts). Nothing is put back
 * from here.
 * Never from a worker while QEMU is a child of libuv: its SIGCHLD handler on the main thread takes the stop away. QEMU
 * is no child of ours (qemu/process.ts), and a stop taken away is noticed here.
 * Learnt from https://man7.org/linux/man-pages/man2/ptrace.2.html and the measurements in docs/kernel.md.
 */
import { GodwitError } from '../base/errors.ts';
import {
  PTRACE_GETREGS,
  PTRACE_GETSIGMASK,
  PTRACE_POKEDATA,
  PTRACE_SETREGS,
  PTRACE_SETSIGMASK,
  USER_CS,
  USER_REGS_WORDS,
  UserRegs,
} from './abi/ptrace.ts';
import { Attachment } from './attachment.ts';
import { frameOf, placeCode, SYSCALL_BYTES, type Words } from './injected-code.ts';
import { becomeRealTime, endRealTime, isRealTime } from './real-time.ts';
import { hasShadowStack, readVdso } from './traced-process.ts';

const SIGNAL_MASK_BYTES = 8;

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
  // Not preempted: QEMU's main loop stands still meanwhile, on a busy host for many milliseconds.
  const isUrgent = !isRealTime() && becomeRealTime();
  try {
    const attachment = new Attachment(tid);
    try {
      return use(new BorrowedThread(attachment, tid));
    } finally {
      attachment.letGo();
    }
  } finally {
    if (isUrgent) endRealTime();
  }
}

class BorrowedThread implements StoppedThread {
  readonly #attachment: Attachment;
  readonly #code: Words;
  /** As it stood when it was stopped. */
  readonly #own = new BigUint64Array(USER_REGS_WORDS);
  readonly #registers = new BigUint64Array(USER_REGS_WORDS);
  #frame: Words | undefined;

  constructor(attachment: Attachment, tid: number) {
    this.#attachment = attachment;
    const code = findCode(tid); // While it still runs.
    attachment.interrupt();
    if (typeof code === 'string') throw attachment.refusal(code);
    this.#code = code;
    attachment.request('PTRACE_GETREGS', PTRACE_GETREGS, null, this.#own);
    if (this.#own[UserRegs.cs] !== USER_CS) throw attachment.refusal('it does not run 64-bit code');
  }

  systemCall(number: number, ...args: (bigint | number)[]): bigint {
    this.#frame ??= this.#prepare();
    const registers = this.#registers;
    registers.set(this.#own);
    registers[UserRegs.rip] = this.#code.address;
    registers[UserRegs.rsp] = this.#frame.address;
    registers[UserRegs.rax] = BigInt(number);
    // Not inside a system call: there is none for the kernel to restart.
    registers[UserRegs.origRax] = ~0n;
    registers[UserRegs.rdi] = word(args[0]);
    registers[UserRegs.rsi] = word(args[1]);
    registers[UserRegs.rdx] = word(args[2]);
    registers[UserRegs.r10] = word(args[3]);
    registers[UserRegs.r8] = word(args[4]);
    registers[UserRegs.r9] = word(args[5]);
    this.#attachment.request('PTRACE_SETREGS', PTRACE_SETREGS, null, registers);
    // Its beginning, and its end. Handlers of signals that arrive meanwhile make calls too.
    for (let stops = 0; stops < 2; stops++) this.#attachment.resumeUntilCall(() => this.#isAtCall(number));
    return BigInt.asIntN(64, registers[UserRegs.rax]!);
  }

  /** Makes all ready for the thread to come back by; it does not notice any of it. */
  #prepare(): Words {
    const frame = frameOf(this.#own);
    this.#write(this.#code);
    this.#write(frame);
    // A call that has a signal mask of its own (ppoll) loses it now, and gets it again when it begins again: what this mask
    // lets through must end the call, so it may not be handled before.
    const mask = new BigUint64Array(1);
    this.#attachment.request('PTRACE_GETSIGMASK', PTRACE_GETSIGMASK, SIGNAL_MASK_BYTES, mask);
    this.#attachment.request('PTRACE_SETSIGMASK', PTRACE_SETSIGMASK, SIGNAL_MASK_BYTES, mask);
    return frame;
  }

  #write({ address, words }: Words): void {
    for (const [i, value] of words.entries()) {
      const at = address + BigInt(i * words.BYTES_PER_ELEMENT);
      this.#attachment.request('PTRACE_POKEDATA', PTRACE_POKEDATA, at, value);
    }
  }

  #isAtCall(number: number): boolean {
    const registers = this.#registers;
    this.#attachment.request('PTRACE_GETREGS', PTRACE_GETREGS, null, registers);
    return (
      registers[UserRegs.rip] === this.#code.address + SYSCALL_BYTES && registers[UserRegs.origRax] === BigInt(number)
    );
  }
}

/** Or why there can be none. */
function findCode(tid: number): Words | string {
  if (hasShadowStack(tid)) return 'it has a shadow stack';
  const vdso = readVdso(tid);
  return vdso ? placeCode(vdso) : 'it has no vDSO';
}

function word(value: bigint | number | undefined): bigint {
  return BigInt.asUintN(64, BigInt(value ?? 0));
}
