/**
 * Numbers and layouts of ptrace(2) and waitid(2) (https://man7.org/linux/man-pages/man2/ptrace.2.html).
 *
 * Owns: data only. The register layout is that of x86-64 (struct user_regs_struct in sys/user.h).
 */

export const PTRACE_POKEDATA = 5;
export const PTRACE_CONT = 7;
export const PTRACE_GETREGS = 12;
export const PTRACE_SETREGS = 13;
export const PTRACE_DETACH = 17;
export const PTRACE_SYSCALL = 24;
export const PTRACE_SEIZE = 0x4206;
export const PTRACE_INTERRUPT = 0x4207;
export const PTRACE_LISTEN = 0x4208;
export const PTRACE_GETSIGMASK = 0x420a;
export const PTRACE_SETSIGMASK = 0x420b;
/** The signal of a stop at a system call has bit 7 set, and so is none that could be delivered. */
export const PTRACE_O_TRACESYSGOOD = 1;
/** In bits 16 and up of the wait status of a thread that PTRACE_INTERRUPT or a group stop has stopped. */
export const PTRACE_EVENT_STOP = 128;

/** What waitid(2) is asked for. */
export const P_PID = 1;
export const WNOHANG = 1;
export const WSTOPPED = 2;
export const WEXITED = 4;
/** Look only: it is told once more. */
export const WNOWAIT = 0x01000000;
/** Wait for threads that are no children of fork alone. */
export const WALL = 0x40000000;
export const CLD_TRAPPED = 4;
export const CLD_STOPPED = 5;
/** The 32-bit words of siginfo_t that waitid(2) tells this by. */
export const SigInfo = { signo: 0, code: 2, status: 6 } as const;
export const SIGINFO_HALF_WORDS = 32;

export const SIGTRAP = 5;

/** The words of struct user_regs_struct that godwit touches. */
export const UserRegs = {
  r11: 6,
  r10: 7,
  r9: 8,
  r8: 9,
  rax: 10,
  rcx: 11,
  rdx: 12,
  rsi: 13,
  rdi: 14,
  origRax: 15,
  rip: 16,
  cs: 17,
  eflags: 18,
  rsp: 19,
} as const;
export const USER_REGS_WORDS = 27;

/** The code segment of 64-bit user code (__USER_CS). */
export const USER_CS = 0x33n;
