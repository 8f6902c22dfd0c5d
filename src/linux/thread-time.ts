/** What became of the calling thread's time (proc(5), schedstat). */
import { readFileSync } from 'node:fs';

export interface ThreadTime {
  readonly ranMs: number;
  /** It could have run, but others had the CPUs. */
  readonly waitedMs: number;
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
