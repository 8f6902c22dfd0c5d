/**
 * Processes of this host, seen from outside.
 *
 * Owns: nothing; every answer is read from /proc or asked through a pidfd when the question is put.
 * Must hold: a process is named by its number *and* the time it started at, so that a reused number is never taken for
 * it; a zombie counts as ended; waiting is by event, never by polling in intervals.
 * https://man7.org/linux/man-pages/man5/proc.5.html, https://man7.org/linux/man-pages/man2/pidfd_open.2.html
 */
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { GodwitError, hasCode } from '../base/errors.ts';
import { SYS_pidfd_send_signal } from './abi/syscalls.ts';
import { Errno } from './errno.ts';
import { TICK_MS } from './idle-time.ts';
import { PidFd, processError } from './pidfd.ts';
import { lastErrno, pollOnEventLoop, raw } from './raw.ts';

export interface ProcessIdentity {
  readonly pid: number;
  /** When it started, in clock ticks since boot (field 22 of /proc/PID/stat). */
  readonly startTicks: number;
}

export interface ProcessThread {
  readonly tid: number;
  readonly name: string;
}

/** One line of /proc/PID/maps. */
export interface MemoryMapping {
  readonly start: bigint;
  /** First address after it. */
  readonly end: bigint;
  /** Such as `rw-s`; `s` is shared, `p` private. */
  readonly permissions: string;
  readonly offset: number;
  /** `major:minor`, in hexadecimal. */
  readonly device: string;
  readonly inode: number;
  /** Empty for anonymous memory; ends in ` (deleted)` when the file has no name any more. */
  readonly path: string;
}

export interface OpenFile {
  readonly fd: number;
  /** What /proc/PID/fd/N points at: a path, or a text such as `socket:[1234]`. */
  readonly path: string;
  readonly device: number;
  readonly inode: number;
}

export interface ProcessOwner {
  readonly uid: number;
  readonly gid: number;
}

interface StatFields {
  readonly state: string;
  readonly parentPid: number;
  readonly startTicks: number;
  readonly cpuTicks: number;
}

/** Undefined when there is no such process, or only its zombie. */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  const stat = readStat(pid);
  return stat === undefined || hasEnded(stat) ? undefined : { pid, startTicks: stat.startTicks };
}

export function isAlive(id: ProcessIdentity): boolean {
  return identifyProcess(id.pid)?.startTicks === id.startTicks;
}

/** That all of its threads have used; undefined: it has ended. */
export function readCpuMs(pid: number): number | undefined {
  const stat = readStat(pid);
  return stat === undefined ? undefined : stat.cpuTicks * TICK_MS;
}

export function parentOf(pid: number): number | undefined {
  return readStat(pid)?.parentPid;
}

/** The arguments that it was started with, the program first. Throws GW_SYS_PROCESS_GONE. */
export function readCommandLine(pid: number): string[] {
  const words = readProc(pid, 'cmdline').split('\0');
  // Every argument ends with a zero byte, the last one included.
  words.pop();
  return words;
}

/** Where relative paths of its command line begin. Throws GW_SYS_PROCESS_GONE. */
export function readWorkingDirectory(pid: number): string {
  return fromProc(pid, () => readlinkSync(`/proc/${pid}/cwd`));
}

/** Its effective user and group. Throws GW_SYS_PROCESS_GONE. */
export function ownerOf(pid: number): ProcessOwner {
  const status = readProc(pid, 'status');
  // Real, effective, saved and file system id.
  const effective = (key: string) => Number(new RegExp(`^${key}:\\t\\d+\\t(\\d+)`, 'm').exec(status)?.[1]);
  return { uid: effective('Uid'), gid: effective('Gid') };
}

/** Throws GW_SYS_PROCESS_GONE. */
export function listThreads(pid: number): ProcessThread[] {
  const threads: ProcessThread[] = [];
  for (const entry of fromProc(pid, () => readdirSync(`/proc/${pid}/task`))) {
    const name = unlessGone(() => readFileSync(`/proc/${pid}/task/${entry}/comm`, 'utf8'));
    if (name !== undefined) threads.push({ tid: Number(entry), name: name.trimEnd() });
  }
  return threads;
}

/** Every mapping, lowest address first. Throws GW_SYS_PROCESS_GONE. */
export function readMappings(pid: number): MemoryMapping[] {
  const mappings: MemoryMapping[] = [];
  for (const line of readProc(pid, 'maps').split('\n')) {
    const fields = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) ([0-9a-f]+) (\S+) (\d+) *(.*)$/.exec(line);
    if (fields === null) continue;
    mappings.push({
      start: BigInt(`0x${fields[1]}`),
      end: BigInt(`0x${fields[2]}`),
      permissions: fields[3]!,
      offset: Number.parseInt(fields[4]!, 16),
      device: fields[5]!,
      inode: Number(fields[6]),
      // The kernel writes a line feed in a path as \012.
      path: fields[7]!.replaceAll('\\012', '\n'),
    });
  }
  return mappings;
}

/** Throws GW_SYS_PROCESS_GONE. */
export function listOpenFiles(pid: number): OpenFile[] {
  const files: OpenFile[] = [];
  for (const entry of fromProc(pid, () => readdirSync(`/proc/${pid}/fd`))) {
    const link = `/proc/${pid}/fd/${entry}`;
    // Undefined: it was closed since the directory was read.
    const file = unlessGone(() => ({ path: readlinkSync(link), status: statSync(link) }));
    if (file === undefined) continue;
    files.push({ fd: Number(entry), path: file.path, device: file.status.dev, inode: file.status.ino });
  }
  return files;
}

/** Sends a signal to exactly this process. False when it has ended already. */
export function signalProcess(id: ProcessIdentity, signal: NodeJS.Signals): boolean {
  using pidfd = holdProcess(id);
  if (pidfd === undefined) return false;
  // SAFETY: siginfo is NULL, so the kernel reads no memory of ours; does not block.
  const result = Number(raw.syscall(SYS_pidfd_send_signal, pidfd.fd, constants.signals[signal], 0, 0, 0, 0));
  if (result === 0) return true;
  const errno = lastErrno();
  if (errno === Errno.ESRCH) return false;
  throw processError(`pidfd_send_signal(${signal})`, id.pid, errno);
}

/**
 * Waits for the end of a process, whoever its parent is.
 *
 * @returns true when it has ended, false when `timeoutMs` went by or `signal` was aborted before.
 */
export function waitForExit(
  id: ProcessIdentity,
  options: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
): Promise<boolean> {
  const pidfd = holdProcess(id);
  if (pidfd === undefined) return Promise.resolve(true);
  return new Promise((resolve) => {
    const { timeoutMs, signal } = options;
    const stop = (ended: boolean) => {
      poll.close();
      pidfd[Symbol.dispose]();
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      resolve(ended);
    };
    const onAbort = () => stop(false);
    const poll = pollOnEventLoop(pidfd.fd, () => stop(true));
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => stop(pidfd.hasEnded()), timeoutMs);
    if (signal?.aborted === true) onAbort();
    else signal?.addEventListener('abort', onAbort);
  });
}

/** A pidfd of exactly this process, or undefined when it has ended. The caller disposes of it. */
export function holdProcess(id: ProcessIdentity): PidFd | undefined {
  let pidfd: PidFd;
  try {
    pidfd = PidFd.open(id.pid);
  } catch (error) {
    if (hasCode(error, 'GW_SYS_PROCESS_GONE')) return undefined;
    throw error;
  }
  // Compared after opening: from here on the number cannot be given to another process without our seeing it.
  if (isAlive(id)) return pidfd;
  pidfd[Symbol.dispose]();
  return undefined;
}

function readStat(pid: number): StatFields | undefined {
  const text = unlessGone(() => readFileSync(`/proc/${pid}/stat`, 'utf8'));
  if (text === undefined) return undefined;
  // Field 2 is the name in parentheses and may itself hold spaces and parentheses.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return {
    state: fields[0] ?? 'X',
    parentPid: Number(fields[1]),
    startTicks: Number(fields[19]),
    cpuTicks: Number(fields[11]) + Number(fields[12]),
  };
}

function hasEnded(stat: StatFields): boolean {
  return stat.state === 'Z' || stat.state === 'X';
}

function readProc(pid: number, file: string): string {
  return fromProc(pid, () => readFileSync(`/proc/${pid}/${file}`, 'utf8'));
}

function fromProc<T>(pid: number, read: () => T): T {
  const value = unlessGone(read);
  if (value === undefined) throw new GodwitError('GW_SYS_PROCESS_GONE', { pid });
  return value;
}

/** Undefined when what is read from /proc vanished with its process, thread or descriptor. */
function unlessGone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
}
