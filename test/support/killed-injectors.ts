/**
 * Kills processes by SIGKILL in the midst of what they do to another one.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { raw } from '../../src/linux/raw.ts';
import { tracerOf } from '../../src/linux/traced-process.ts';
import { waitUntil } from './wait-until.ts';

const INJECTOR = fileURLToPath(new URL('injector.ts', import.meta.url));
const THROTTLE = fileURLToPath(new URL('../../src/linux/ptrace-throttle-child.ts', import.meta.url));
/** Some ten injections. */
const INJECTOR_MICROSECONDS = 3000;
/** Two periods of running and pausing. */
const THROTTLE_MICROSECONDS = 40_000;

/** One after the other makes `pid` run system calls without end. @param check - after each death */
export async function killInjectors(pid: number, times: number, check: () => Promise<void>): Promise<void> {
  const start = () => spawn(process.execPath, [INJECTOR, String(pid)], { stdio: ['ignore', 'pipe', 'inherit'] });
  await killMany(start, (child) => once(child.stdout!, 'data'), INJECTOR_MICROSECONDS, times, check);
}

/** One after the other slows the thread `tid` to the half. @param check - after each death */
export async function killThrottles(tid: number, times: number, check: () => Promise<void>): Promise<void> {
  const start = () => {
    const child = spawn(process.execPath, [THROTTLE, String(tid)], { stdio: ['pipe', 'ignore', 'inherit'] });
    child.stdin.write('50\n');
    return child;
  };
  const begun = (child: ChildProcess) => waitUntil('the thread is traced', () => tracerOf(tid) === child.pid);
  await killMany(start, begun, THROTTLE_MICROSECONDS, times, check);
}

async function killMany(
  start: () => ChildProcess,
  begun: (child: ChildProcess) => Promise<unknown>,
  withinMicroseconds: number,
  times: number,
  check: () => Promise<void>,
): Promise<void> {
  for (let i = 0; i < times; i++) {
    const child = start();
    try {
      await begun(child);
      // SAFETY: no memory; blocks this thread, so that nothing else makes the moment later.
      raw.usleep(Math.floor(Math.random() * withinMicroseconds));
    } finally {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
    await check();
  }
}
