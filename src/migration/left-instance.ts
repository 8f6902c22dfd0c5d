/**
 * A QEMU of which no record tells: its daemon died between its start and the record.
 *
 * Must hold: nothing of it stays, however far it has come; it is known by the argument that gives it its QMP socket.
 */
import { readdirSync, rmdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { identifyProcess, type ProcessIdentity, readCommandLine } from '../linux/process.ts';
import { qmpChardev } from '../qemu/command-line.ts';
import { killQemu } from '../qemu/process.ts';
import { vmPaths } from './vm-record.ts';

/** @returns whether nothing of it is left: a process that does not end keeps its files, so that the next daemon finds it */
export async function removeLeftInstance(stateDirectory: string, vm: string, instance: string): Promise<boolean> {
  const { directory, qmp, ram } = vmPaths(stateDirectory, vm, instance);
  const ended = await Promise.all(findProcesses(qmp).map((identity) => killQemu(identity)));
  if (ended.includes(false)) return false;
  rmSync(directory, { recursive: true, force: true });
  // One for each memory backend.
  for (const name of readdirSync(dirname(ram)).filter((entry) => entry.startsWith(basename(ram)))) {
    rmSync(join(dirname(ram), name), { force: true });
  }
  removeIfEmpty(dirname(directory));
  return true;
}

/** QEMU, or a shell that is about to become it: each has QEMU's arguments. */
function findProcesses(qmpPath: string): ProcessIdentity[] {
  const chardev = qmpChardev(qmpPath);
  const pids = readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid);
  return pids.flatMap((pid) => (hasArgument(pid, chardev) ? (identifyProcess(pid) ?? []) : []));
}

function hasArgument(pid: number, wanted: string): boolean {
  try {
    return readCommandLine(pid).includes(wanted);
  } catch {
    // It has just ended.
    return false;
  }
}

/** What a VM has left here from earlier times stays. */
export function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch (error) {
    if (!['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}
