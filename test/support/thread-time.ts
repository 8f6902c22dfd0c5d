/**
 * What becomes of a thread's time: how long it ran, and how long others kept it from running.
 *
 * Must hold: being throttled counts as neither. The scheduler counts it as waiting, the thread's group counts it apart.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { findCpuControllers } from '../../src/linux/cgroup.ts';

export interface ThreadTime {
  readonly ranMs: number;
  /** For a CPU, while other programs had them all. */
  readonly waitedMs: number;
}

/** Since the thread began; while it is throttled by the same means, differences of two readings count. */
export function readThreadTime(pid: number, tid: number): ThreadTime {
  // https://docs.kernel.org/scheduler/sched-stats.html#proc-pid-schedstat
  const text = readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'utf8');
  const [ran = 0, waited = 0] = text.split(' ').map(Number);
  return { ranMs: ran / 1e6, waitedMs: waited / 1e6 - throttledMs(pid, tid) };
}

/** Of the thread's own group and the one around it, where they are a throttle's. */
function throttledMs(pid: number, tid: number): number {
  const group = findCpuControllers()[0]?.groupOf(pid, tid);
  if (group === undefined || !group.includes('/godwit@')) return 0;
  return throttledMsOf(group) + throttledMsOf(dirname(group));
}

function throttledMsOf(group: string): number {
  const file = join(group, 'cpu.stat');
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const nanoseconds = /^throttled_time (\d+)$/m.exec(text)?.[1];
  const microseconds = /^throttled_usec (\d+)$/m.exec(text)?.[1];
  return Number(nanoseconds ?? 0) / 1e6 + Number(microseconds ?? 0) / 1e3;
}
