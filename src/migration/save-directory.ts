/**
 * The directory in which one migration takes the device state from the VM's QEMU.
 *
 * Owns: directories `godwit-save-PID-START-…` in the system's temporary directory: QEMU may run as any user, and could
 * not come through the host's state directory, which is its daemon's alone. The name says whose it is, because other
 * daemons of this machine have theirs in the same place. Must hold: only a directory whose process is dead is removed,
 * with nothing in it but the socket.
 */
import { chmodSync, lstatSync, mkdtempSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GodwitError } from '../base/errors.ts';
import { identifyProcess, isAlive } from '../linux/process.ts';

const SOCKET_NAME = 'state.sock';
const DISK_SOCKET_NAME = /^disk-\d+\.sock$/;
const NAME = /^godwit-save-(\d+)-(\d+)-/;

/** A directory of this migration alone: QEMU, as whatever user, can reach what it knows the name of. */
export function makeSaveDirectory(): string {
  const self = identifyProcess(process.pid);
  if (!self) throw new GodwitError('GW_SYS_PROCESS_GONE', { pid: process.pid });
  const directory = mkdtempSync(join(tmpdir(), `godwit-save-${self.pid}-${self.startTicks}-`));
  chmodSync(directory, 0o711);
  return directory;
}

/** Where QEMU's state comes out, in such a directory. */
export function stateSocketPath(directory: string): string {
  return join(directory, SOCKET_NAME);
}

/** Where QEMU writes a copy of its disk to, in such a directory. */
export function diskSocketPath(directory: string, index: number): string {
  return join(directory, `disk-${index}.sock`);
}

/** Removes what dead daemons have left; returns what that was. */
export function removeLeftSaveDirectories(): string[] {
  const root = tmpdir();
  return readdirSync(root)
    .filter(isOfDeadProcess)
    .map((name) => join(root, name))
    .filter(remove);
}

function isOfDeadProcess(name: string): boolean {
  const [, pid, startTicks] = NAME.exec(name) ?? [];
  return pid !== undefined && !isAlive({ pid: Number(pid), startTicks: Number(startTicks) });
}

function isSocketName(name: string): boolean {
  return name === SOCKET_NAME || DISK_SOCKET_NAME.test(name);
}

/** Anybody may make a name like ours there: what is not our own directory, or holds anything else, stays. */
function remove(path: string): boolean {
  try {
    const status = lstatSync(path);
    if (!status.isDirectory() || status.uid !== process.geteuid?.()) return false;
    const names = readdirSync(path);
    if (!names.every((name) => isSocketName(name) && lstatSync(join(path, name)).isSocket())) return false;
    for (const name of names) rmSync(join(path, name), { force: true });
    rmdirSync(path);
    return true;
  } catch (error) {
    // Another daemon that starts now may have removed it, or put something there.
    if (['ENOENT', 'ENOTEMPTY'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
}
