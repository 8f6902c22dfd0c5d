/**
 * Policies of sched_setscheduler(2) (linux/sched.h).
 *
 * Owns: data only.
 */

export const SCHED_OTHER = 0;
export const SCHED_FIFO = 1;
/** Threads that this one starts are ordinary ones. */
export const SCHED_RESET_ON_FORK = 0x40000000;
/** struct sched_param {int sched_priority}, as 32-bit words. */
export const SCHED_PARAM_WORDS = 1;
