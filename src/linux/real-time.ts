/**
 * Real-time scheduling of the calling thread: it runs as soon as it can, before every ordinary thread of the host.
 *
 * Must hold: a thread that is real-time waits most of its time; the kernel keeps only one CPU's twentieth from one that
 * does not. Threads that it starts are ordinary.
 * https://man7.org/linux/man-pages/man2/sched_setscheduler.2.html, https://man7.org/linux/man-pages/man7/sched.7.html
 */
import { SCHED_FIFO, SCHED_OTHER, SCHED_PARAM_WORDS, SCHED_RESET_ON_FORK } from './abi/scheduling.ts';
import { Errno } from './errno.ts';
import { lastErrno, raw, systemCallError } from './raw.ts';

const CALLING_THREAD = 0;
/** The lowest: before ordinary threads, after those of the host that were made real-time for a reason of their own. */
const LOWEST_PRIORITY = 1;

/** False, and nothing changed, without the privilege: CAP_SYS_NICE, or an RLIMIT_RTPRIO above 0. */
export function becomeRealTime(): boolean {
  return setPolicy(SCHED_FIFO | SCHED_RESET_ON_FORK, LOWEST_PRIORITY);
}

/** Of the calling thread. */
export function isRealTime(): boolean {
  // SAFETY: no memory; nothing blocks.
  return (raw.sched_getscheduler(CALLING_THREAD) & ~SCHED_RESET_ON_FORK) === SCHED_FIFO;
}

/** The opposite of `becomeRealTime`; the thread has its nice value again. */
export function endRealTime(): void {
  // With the flag still: without the privilege it cannot be taken away, and the call would fail.
  setPolicy(SCHED_OTHER | SCHED_RESET_ON_FORK, 0);
}

function setPolicy(policy: number, priority: number): boolean {
  const parameters = new Int32Array(SCHED_PARAM_WORDS);
  parameters[0] = priority;
  // SAFETY: the kernel reads the structure during the call; nothing blocks.
  if (raw.sched_setscheduler(CALLING_THREAD, policy, parameters) === 0) return true;
  const errno = lastErrno();
  // EINVAL: a kernel without real-time scheduling for this thread's control group.
  if (errno === Errno.EPERM || errno === Errno.EINVAL) return false;
  throw systemCallError('sched_setscheduler', errno);
}
