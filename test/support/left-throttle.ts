/** A slowdown whose owner and watchdog are gone, as when the control group of a daemon's unit is killed in the middle of one. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { listThreads } from '../../src/linux/process.ts';

const OWNER = fileURLToPath(new URL('throttle-owner.ts', import.meta.url));

/** @param pid - of a QEMU with one vCPU */
export async function leaveThrottled(pid: number, vm: string): Promise<void> {
  const { tid } = listThreads(pid).find(({ name }) => name.startsWith('CPU 0'))!;
  const args = [OWNER, String(pid), String(tid), vm, 'cgroup-v1', '80'];
  const owner = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(owner.stdout, 'data');
  const children = readFileSync(`/proc/${owner.pid}/task/${owner.pid}/children`, 'utf8');
  // It must not see that its watchdog has died.
  owner.kill('SIGSTOP');
  for (const child of children.split(' ').filter(Boolean)) process.kill(Number(child), 'SIGKILL');
  owner.kill('SIGKILL');
  await once(owner, 'exit');
}
