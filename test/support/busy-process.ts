/**
 * A process with threads that compute for ever and a main thread that idles, as QEMU has vCPUs and a main loop.
 *
 * Owns: the process, which is no child of this one (it is started in the background of a shell, as QEMU is).
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { listThreads } from '../../src/linux/process.ts';
import { readThreadTime } from './thread-time.ts';

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
    const before = readThreadTime(this.pid, tid);
    const startMs = performance.now();
    await sleep(milliseconds);
    const after = readThreadTime(this.pid, tid);
    const percent = (ms: number) => (ms / (performance.now() - startMs)) * 100;
    const ranMs = after.ranMs - before.ranMs;
    return { ran: percent(ranMs), allowed: percent(ranMs + after.waitedMs - before.waitedMs) };
  }

  /** The group of the cpu controller (version 1) that a thread is in. */
  cpuGroup(tid: number): string {
    const text = readFileSync(`/proc/${this.pid}/task/${tid}/cgroup`, 'utf8');
    return /^\d+:(?:[^:]*,)?cpu(?:,[^:]*)?:(.*)$/m.exec(text)?.[1] ?? '';
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
