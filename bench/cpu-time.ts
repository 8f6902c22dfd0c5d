/** CPU time of processes, from /proc. */
import { readFileSync } from 'node:fs';

/** USER_HZ, the same on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/**
 * CPU seconds of a process, threads that have ended included.
 *
 * @param exceptTids - living threads that do not count
 * @returns undefined when the process is gone
 */
export function readCpuSeconds(pid: number, exceptTids: readonly number[] = []): number | undefined {
  try {
    const total = readTicks(`/proc/${pid}/stat`);
    const except = exceptTids.reduce((sum, tid) => sum + readTicks(`/proc/${pid}/task/${tid}/stat`), 0);
    return (total - except) / TICKS_PER_SECOND;
  } catch {
    return undefined; // it ended, or the thread did, while we looked
  }
}

/** CPU seconds of a living thread. Throws when it has ended. */
export function readThreadSeconds(pid: number, tid: number): number {
  return readTicks(`/proc/${pid}/task/${tid}/stat`) / TICKS_PER_SECOND;
}

function readTicks(path: string): number {
  const text = readFileSync(path, 'latin1');
  // Field 2 is the name in parentheses and may itself hold spaces.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}
