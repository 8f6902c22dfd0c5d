/**
 * A process with threads that compute for ever and a main thread that idles, as QEMU has vCPUs and a main loop.
 *
 * Owns: the process, which is no child of this one (it is started in the background of a shell, as QEMU is).
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { listThreads } from '../../src/linux/process.ts';

const START_DEADLINE_MS = 10_000;
/** Work that shows which threads are the busy ones, in clock ticks. */
const BUSY_TICKS = 5;

/** In percent of one CPU. */
export interface ThreadShare {
  readonly ran: number;
  /** What it would have run on an idle machine, at most. */
  readonly allowed: number;
}

export class BusyProcess implements Disposable {
  readonly pid: number;
  /** The computing threads. */
  readonly tids: readonly number[];

  private constructor(pid: number, tids: readonly number[]) {
    this.pid = pid;
    this.tids = tids;
  }

  static async start(threads = 1): Promise<BusyProcess> {
    const program = `for (let i = 0; i < ${threads}; i++) new (require('node:worker_threads').Worker)('for (;;);', {eval: true})`;
    const command = '"$0" -e "$1" >/dev/null 2>&1 </dev/null & echo $!';
    const pid = Number(execFileSync('sh', ['-c', command, process.execPath, program]).toString());
    const deadline = performance.now() + START_DEADLINE_MS;
    for (;;) {
      await sleep(50);
      const busy = listThreads(pid).filter(({ tid }) => tid !== pid && userTicks(pid, tid) >= BUSY_TICKS);
      if (busy.length === threads)
        return new BusyProcess(
          pid,
          busy.map(({ tid }) => tid),
        );
      if (performance.now() > deadline) throw new Error(`Only ${busy.length} of ${threads} threads are busy`);
    }
  }

  /**
   * Watches a thread for a while. The machine is shared, so it may get less than it is allowed: what it had to wait for
   * other processes counts as `allowed`, what it was throttled does not.
   */
  async watch(tid: number, milliseconds = 1500): Promise<ThreadShare> {
    const before = this.#readings(tid);
    const startMs = performance.now();
    await sleep(milliseconds);
    const after = this.#readings(tid);
    const percent = (nanoseconds: number) => (nanoseconds / 1e6 / (performance.now() - startMs)) * 100;
    const ran = after.ran - before.ran;
    return { ran: percent(ran), allowed: percent(ran + after.waited - before.waited) };
  }

  /** The group of the cpu controller (version 1) that a thread is in. */
  cpuGroup(tid: number): string {
    const text = readFileSync(`/proc/${this.pid}/task/${tid}/cgroup`, 'utf8');
    return /^\d+:(?:[^:]*,)?cpu(?:,[^:]*)?:(.*)$/m.exec(text)?.[1] ?? '';
  }

  /** In nanoseconds. The scheduler counts the time of being throttled as waiting; the group counts it apart. */
  #readings(tid: number): { ran: number; waited: number } {
    const text = readFileSync(`/proc/${this.pid}/task/${tid}/schedstat`, 'utf8');
    const [ran = 0, waited = 0] = text.split(' ').map(Number);
    const group = this.cpuGroup(tid);
    return { ran, waited: waited - throttledTime(group) - throttledTime(dirname(group)) };
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    try {
      process.kill(this.pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  [Symbol.dispose](): void {
    this.kill();
  }
}

function userTicks(pid: number, tid: number): number {
  const stat = readFileSync(`/proc/${pid}/task/${tid}/stat`, 'utf8');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[11]);
}

function throttledTime(group: string): number {
  const file = `/sys/fs/cgroup/cpu${group}/cpu.stat`;
  if (!group.includes('/godwit@') || !existsSync(file)) return 0;
  return Number(/^throttled_time (\d+)$/m.exec(readFileSync(file, 'utf8'))?.[1] ?? 0);
}
