/**
 * What has become of a thread that the calling one traces.
 *
 * Must hold: a stop is looked at and never taken (WNOWAIT). Where a tracer is killed after it has taken a stop, the thread loses
 * the signal that it had stopped to be given. So a stop is told again and again until the thread goes on.
 * https://man7.org/linux/man-pages/man2/waitid.2.html, ptrace_stop() and ptrace_signal() in kernel/signal.c
 */
import {
  CLD_STOPPED,
  CLD_TRAPPED,
  P_PID,
  SIGINFO_HALF_WORDS,
  SIGTRAP,
  SigInfo,
  WALL,
  WEXITED,
  WNOHANG,
  WNOWAIT,
  WSTOPPED,
} from './abi/ptrace.ts';
import { raw } from './raw.ts';

/** The signal of a stop at the beginning or the end of a system call, with PTRACE_O_TRACESYSGOOD. */
const SYSCALL_SIGNAL = SIGTRAP | 0x80;

export type ThreadState =
  | { readonly kind: 'runs' }
  /** Or is no thread that the calling one traces. */
  | { readonly kind: 'ended' }
  /** It is to be given this signal. */
  | { readonly kind: 'signal'; readonly signal: number }
  | { readonly kind: 'systemCall' }
  /** A PTRACE_EVENT_…; the signal is that of a group stop, or SIGTRAP. */
  | { readonly kind: 'event'; readonly event: number; readonly signal: number };

const RUNS: ThreadState = { kind: 'runs' };
const ENDED: ThreadState = { kind: 'ended' };

const info = new Int32Array(SIGINFO_HALF_WORDS);

/** Does not block. */
export function lookAtThread(tid: number): ThreadState {
  info[SigInfo.signo] = 0;
  // SAFETY: the kernel writes one siginfo_t to `info`, which lives as long as the module; WNOHANG does not block.
  if (raw.waitid(P_PID, tid, info, WEXITED | WSTOPPED | WALL | WNOHANG | WNOWAIT) === -1) return ENDED;
  if (info[SigInfo.signo] === 0) return RUNS;
  const code = info[SigInfo.code];
  if (code !== CLD_TRAPPED && code !== CLD_STOPPED) {
    // Its end has to be taken: who is its parent hears of it only then.
    // SAFETY: as above.
    raw.waitid(P_PID, tid, info, WEXITED | WALL | WNOHANG);
    return ENDED;
  }
  const status = info[SigInfo.status]!;
  const signal = status & 0xff;
  if (status > 0xff) return { kind: 'event', event: status >>> 8, signal };
  return signal === SYSCALL_SIGNAL ? { kind: 'systemCall' } : { kind: 'signal', signal };
}
