/**
 * Threads that a VM waits for come first, and those that it competes with come last.
 *
 * Owns: the nice value of the calling thread. Linux's setpriority(2) with 0 means the calling thread, not the process.
 * Must hold: without the privilege to come back nobody gives way.
 */
import { setPriority } from 'node:os';

/** Before other threads of the same host, the ones that push pages among them; after real-time threads. */
const URGENT_NICE = -15;
const ORDINARY_NICE = 0;
/** A tenth of an ordinary thread's share, where CPUs are scarce: the guests of this host are such threads. */
const PATIENT_NICE = 10;

/** Somebody stands still until this thread is done. Without the privilege nothing happens. */
export function becomeUrgent(): void {
  isPermitted(URGENT_NICE);
}

/** As threads are. */
export function becomeOrdinary(): void {
  isPermitted(ORDINARY_NICE);
}

/** Copying while the guest runs: the guest's CPUs come first. */
export function giveWay(): void {
  if (isPermitted(URGENT_NICE)) isPermitted(PATIENT_NICE);
}

function isPermitted(nice: number): boolean {
  try {
    setPriority(0, nice);
    return true;
  } catch (error) {
    const { code } = (error as { info?: { code?: string } }).info ?? {};
    if (code !== 'EACCES' && code !== 'EPERM') throw error;
    return false;
  }
}
