/**
 * Ends what the demo has started, and says what is left.
 *
 * Must hold: it ends in bounded time whatever state the daemons are in; what it reports is the demo's own, never that of
 * other godwits on this machine.
 */
import { existsSync, globSync, readdirSync, rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { VM_NAME } from './demo-guest.ts';
import { end, isQemu, listProcesses, type MarkedProcess } from './demo-process.ts';

/** A daemon whose VMs are gone ends at once; a throttle's watchdog gives up after a second and a half. */
const END_TIMEOUT_MS = 8_000;
const POLL_MS = 50;
const RAM_DIRECTORY = '/dev/shm';

/** RAM files that lie there now; QEMU unlinks its own as soon as it has opened it. */
export function listRamFiles(): ReadonlySet<string> {
  return new Set(readdirSync(RAM_DIRECTORY).filter((name) => name.startsWith(`godwit-${VM_NAME}-`)));
}

export interface Belongings {
  readonly directory: string;
  /** Of the daemons. */
  readonly pids: readonly number[];
  /** What lay there before. */
  readonly ramFiles: ReadonlySet<string>;
}

/** Returns what could not be removed, as text. */
export async function cleanUp(belongings: Belongings): Promise<string[]> {
  // VMs first: a daemon that ends leaves them running, and waits for their migrations.
  endVms();
  for (const process of listProcesses()) end(process, 'SIGTERM');
  // A daemon may have been about to start one.
  await waitUntilNone(endVms);
  const stubborn = listProcesses();
  for (const process of stubborn) end(process, 'SIGKILL');
  if (stubborn.length > 0) await waitUntilNone(listProcesses);
  rmSync(belongings.directory, { recursive: true, force: true });
  const things = (): string[] => listThings(belongings);
  await waitUntilNone(things);
  return [...listProcesses().map(describe), ...things()];
}

/** Returns what was alive of all processes. */
function endVms(): MarkedProcess[] {
  const processes = listProcesses();
  for (const qemu of processes.filter(isQemu)) end(qemu, 'SIGKILL');
  return processes;
}

function listThings({ directory, pids, ramFiles }: Belongings): string[] {
  const groups = globSync(`/sys/fs/cgroup/**/godwit@${VM_NAME}@*`);
  return [
    ...(existsSync(directory) ? [directory] : []),
    ...[...listRamFiles()].filter((name) => !ramFiles.has(name)).map((name) => `${RAM_DIRECTORY}/${name}`),
    ...groups.filter((path) => pids.some((pid) => path.includes(`godwit@${VM_NAME}@${pid}.`))),
  ];
}

function describe({ pid, command }: MarkedProcess): string {
  return `process ${pid}: ${command.slice(0, 120)}`;
}

async function waitUntilNone(list: () => readonly unknown[]): Promise<void> {
  const deadlineMs = performance.now() + END_TIMEOUT_MS;
  while (list().length > 0 && performance.now() < deadlineMs) await delay(POLL_MS);
}
