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

export async function removeLeftInstance(stateDirectory: string, vm: string, instance: string): Promise<void> {
  const { directory, qmp, ram } = vmPaths(stateDirectory, vm, instance);
  const ended = await Promise.all(findProcesses(qmp).map((identity) => killQemu(identity)));
  // What does not end the next daemon must find.
  if (ended.includes(false)) return;
  rmSync(directory, { recursive: true, force: true });
  // One for each memory backend.
  for (const name of readdirSync(dirname(ram)).filter((entry) => entry.startsWith(basename(ram)))) {
    rmSync(join(dirname(ram), name), { force: true });
  }
  removeIfEmpty(dirname(directory));
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
