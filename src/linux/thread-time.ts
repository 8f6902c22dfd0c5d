/** What became of the calling thread's time (proc(5), schedstat; clock_gettime(2)). */
import { readFileSync } from 'node:fs';
import { CLOCK_THREAD_CPUTIME_ID } from './abi/files.ts';
import { call, raw } from './raw.ts';

export interface ThreadTime {
  readonly ranMs: number;
  /** It could have run, but others had the CPUs. */
  readonly waitedMs: number;
}

const timespec = new BigInt64Array(2);

/** CPU time since the thread began, to the microsecond; getrusage(2) and schedstat move in steps of a timer tick. */
export function readOwnCpuMs(): number {
  // SAFETY: the kernel writes the two words of `timespec`; nothing blocks.
  call('clock_gettime', raw.clock_gettime(CLOCK_THREAD_CPUTIME_ID, timespec));
  return Number(timespec[0]) * 1000 + Number(timespec[1]) / 1e6;
}

/** Since the thread began; undefined on a kernel that does not tell (CONFIG_SCHED_INFO). */
export function readOwnTime(): ThreadTime | undefined {
  try {
    const [ran = Number.NaN, waited = Number.NaN] = readFileSync('/proc/thread-self/schedstat', 'latin1')
      .split(' ')
      .map(Number);
    return Number.isNaN(ran + waited) ? undefined : { ranMs: ran / 1e6, waitedMs: waited / 1e6 };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
