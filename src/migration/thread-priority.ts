/**
 * Threads that a VM waits for come first.
 *
 * Owns: the nice value of the calling thread. Linux's setpriority(2) with 0 means the calling thread, not the process.
 */
import { setPriority } from 'node:os';

/** Before other threads of the same host, the ones that push pages among them; after real-time threads. */
const URGENT_NICE = -15;

/** Without the privilege nothing happens: faults are answered as fast as the scheduler lets them. */
export function becomeUrgent(): void {
  try {
    setPriority(0, URGENT_NICE);
  } catch (error) {
    const { code } = (error as { info?: { code?: string } }).info ?? {};
    if (code !== 'EACCES' && code !== 'EPERM') throw error;
  }
}
