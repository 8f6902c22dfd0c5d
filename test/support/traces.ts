/**
 * What a migration leaves on a host, looked at from outside: processes, directories, and what was done to a QEMU.
 *
 * Must hold: nothing here asks godwit, but for `vm list`.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { hasCode } from '../../src/base/errors.ts';
import { listOpenFiles, listThreads, readCommandLine } from '../../src/linux/process.ts';
import type { ReachedHost } from './host-pair.ts';
import type { TinyGuestView } from './tiny-guest-view.ts';
import { waitUntil } from './wait-until.ts';

/** Processes of QEMU that run in this host's state directory. */
export function listQemus({ host }: ReachedHost): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && isQemuIn(pid, host.directory.join('state')));
}

/** All that a host has of a VM that is not there: nothing, but for a history that a VM may have left. */
export async function listRemains(at: ReachedHost, vm: string): Promise<string[]> {
  const directory = at.host.directory.join('state', 'vms', vm);
  const files = existsSync(directory) ? readdirSync(directory).filter((name) => name !== 'history.json') : [];
  const listed = (await at.client.listVms()).filter(({ name }) => name === vm);
  return [
    ...listQemus(at).map((pid) => `process ${pid}`),
    ...files.map((name) => `${directory}/${name}`),
    ...listed.map(({ state }) => `listed as ${state}`),
    ...readdirSync('/dev/shm').filter((name) => name.startsWith(`godwit-${vm}-`)),
  ];
}

/** Waits until a host has nothing of a VM; what a destination cleans up is not waited for by the source. */
export async function nothingRemains(at: ReachedHost, vm: string): Promise<void> {
  let remains: string[] = [];
  await waitUntil('nothing remains', async () => {
    remains = await listRemains(at, vm);
    return remains.length === 0;
  }).catch((error: unknown) => {
    throw new Error(`On host ${at.host.name} there is still: ${remains.join(', ')}`, { cause: error });
  });
}

/** What a migration can have left in a QEMU that runs on: slowed threads, a userfaultfd, registered memory. */
export function listMarks(pid: number): string[] {
  const threads = listThreads(pid).map(({ tid }) => tid);
  const userfaultfds = listOpenFiles(pid).filter(({ path }) => path.includes('userfaultfd'));
  const registered = readFileSync(`/proc/${pid}/smaps`, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('VmFlags:') && /\b(uw|um|ui)\b/.test(line));
  return [
    ...threads.filter((tid) => isInThrottleGroup(pid, tid)).map((tid) => `thread ${tid} in a throttle's group`),
    ...userfaultfds.map(({ fd }) => `userfaultfd ${fd}`),
    ...registered.map((line) => `registered: ${line}`),
    ...threads.filter((tid) => isTraced(pid, tid)).map((tid) => `thread ${tid} traced`),
  ];
}

/** Waits until nothing of a migration is left in a QEMU. */
export async function noMarks(pid: number): Promise<void> {
  let marks: string[] = [];
  await waitUntil('no marks', () => {
    marks = listMarks(pid);
    return marks.length === 0;
  }).catch((error: unknown) => {
    throw new Error(`QEMU ${pid} still has: ${marks.join(', ')}`, { cause: error });
  });
}

/** Pages a second that the tiny guest writes, over `ms`. */
export async function measureWork(guest: TinyGuestView, ms: number): Promise<number> {
  const from = { pages: guest.counters.pagesWritten, atMs: performance.now() };
  await new Promise((resolve) => setTimeout(resolve, ms));
  return ((guest.counters.pagesWritten - from.pages) * 1000) / (performance.now() - from.atMs);
}

function isInThrottleGroup(pid: number, tid: number): boolean {
  return readOfThread(pid, tid, 'cgroup').includes('/godwit@');
}

function isTraced(pid: number, tid: number): boolean {
  return /^TracerPid:\s+[1-9]/m.test(readOfThread(pid, tid, 'status'));
}

/** Empty when the thread has ended: QEMU has some that come and go. */
function readOfThread(pid: number, tid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/task/${tid}/${file}`, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return '';
    throw error;
  }
}

/** Its sockets lie there; its images may lie in another host's directory. */
function isQemuIn(pid: number, directory: string): boolean {
  try {
    const [program = '', ...args] = readCommandLine(pid);
    return program.includes('qemu') && args.some((argument) => argument.includes(directory));
  } catch (error) {
    if (hasCode(error, 'GW_SYS_PROCESS_GONE')) return false;
    throw error;
  }
}
