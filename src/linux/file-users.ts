/**
 * Which processes of this machine use a file: map it, hold it open, or have locks of it.
 *
 * Must hold: a file is known by its device and inode, never by its name, which it can lose and another one can get.
 * A process that this one may not look into, or that ends meanwhile, is left out.
 * https://man7.org/linux/man-pages/man5/proc_pid_maps.5.html
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';

export interface FileIdentity {
  /** `major:minor` in hexadecimal, as /proc/PID/maps has it. */
  readonly device: string;
  readonly inode: number;
}

export interface FileUser {
  readonly pid: number;
  /** Its command line, or its name when it has none. */
  readonly command: string;
  readonly use: 'maps' | 'holds open';
}

/** Longer command lines (QEMU's have thousands of characters) are cut. */
const MAX_COMMAND_CHARACTERS = 200;

/** undefined when there is no such file. */
export function identifyFile(path: string): (FileIdentity & { readonly bytes: number }) | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  return found && { device: deviceName(found.dev), inode: found.ino, bytes: found.size };
}

export function isSameFile(a: FileIdentity, b: FileIdentity): boolean {
  return a.device === b.device && a.inode === b.inode;
}

/** A device number as /proc/PID/maps prints it; the layout is that of makedev(3). */
export function deviceName(device: number): string {
  const major = (device >>> 8) & 0xfff;
  const minor = (device & 0xff) | ((device >>> 12) & 0xfff00);
  return `${major.toString(16).padStart(2, '0')}:${minor.toString(16).padStart(2, '0')}`;
}

/** Whether the process maps the file; false when there is no such process. */
export function mapsFile(pid: number, file: FileIdentity): boolean {
  return ifAllowed(() => hasMapping(readFileSync(`/proc/${pid}/maps`, 'utf8'), file)) ?? false;
}

/** Whether any process maps the file. */
export function isMapped(file: FileIdentity): boolean {
  return listPids().some((pid) => mapsFile(pid, file));
}

/** All that map the file or hold it open, but for `except`. Lets the event loop go on after every process. */
export async function findFileUsers(file: FileIdentity, except: ReadonlySet<number>): Promise<FileUser[]> {
  const users: FileUser[] = [];
  for (const pid of listPids()) {
    if (except.has(pid)) continue;
    const maps = await readFile(`/proc/${pid}/maps`, 'utf8').catch(() => '');
    const use = hasMapping(maps, file) ? 'maps' : holdsOpen(pid, file) ? 'holds open' : undefined;
    if (use !== undefined) users.push({ pid, command: commandOf(pid), use });
    await nextTurn();
  }
  return users;
}

/** Processes that have locks of the file, by an open file of theirs. Lets the event loop go on after every process. */
export async function findFileLockers(file: FileIdentity): Promise<Omit<FileUser, 'use'>[]> {
  const lockers: Omit<FileUser, 'use'>[] = [];
  for (const pid of listPids()) {
    if (descriptorsOf(pid, file).some((fd) => hasLocks(pid, fd))) lockers.push({ pid, command: commandOf(pid) });
    await nextTurn();
  }
  return lockers;
}

/** https://man7.org/linux/man-pages/man5/proc_pid_fdinfo.5.html */
function hasLocks(pid: number, fd: string): boolean {
  const facts = ifAllowed(() => readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8')) ?? '';
  return /^lock:.* (OFDLCK|POSIX) /m.test(facts);
}

/** Fields of a line: range, permissions, offset, device, inode, path. */
function hasMapping(maps: string, { device, inode }: FileIdentity): boolean {
  return new RegExp(` ${device} ${inode}( |$)`, 'm').test(maps);
}

function holdsOpen(pid: number, file: FileIdentity): boolean {
  return descriptorsOf(pid, file).length > 0;
}

function descriptorsOf(pid: number, file: FileIdentity): string[] {
  const descriptors = ifAllowed(() => readdirSync(`/proc/${pid}/fd`)) ?? [];
  return descriptors.filter((fd) => {
    const open = ifAllowed(() => identifyFile(`/proc/${pid}/fd/${fd}`));
    return open !== undefined && isSameFile(open, file);
  });
}

function commandOf(pid: number): string {
  const words = ifAllowed(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8'))
    ?.replaceAll('\0', ' ')
    .trim();
  const command = words || (ifAllowed(() => readFileSync(`/proc/${pid}/comm`, 'utf8'))?.trim() ?? '');
  // It is shown to people: what would move their terminal's cursor must not be in it.
  return command.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, MAX_COMMAND_CHARACTERS);
}

function listPids(): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0);
}

/** undefined when the process has ended, or may not be looked into. */
function ifAllowed<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(code)) return undefined;
    throw error;
  }
}
