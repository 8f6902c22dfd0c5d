/**
 * What a test file leaves behind: processes, temporary directories, shared memory, control groups, mounts.
 *
 * Must hold: other test runs on the same machine are never blamed. Processes are ours when they carry our mark in
 * their environment, which every process that we start hands on to those that it starts, in whatever session; the rest
 * is ours when it was not there before and no process without the mark uses it, and is looked at for a while, because
 * that of others soon goes away.
 * Must never: end a process without the mark.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { identifyFile, mapsFile } from '../../src/linux/file-users.ts';
import { identifyProcess, readCommandLine, signalProcess } from '../../src/linux/process.ts';
import { listTempDirectories } from './temp-directory.ts';
import { waitUntil } from './wait-until.ts';

const MARK = 'GODWIT_TEST_RUN';
/** Processes that were told to end, and a throttle whose daemon was killed, need a moment. */
const SETTLE_MS = 6_000;
const SETTLE_INTERVAL_MS = 50;
const GROUP = 'control group ';

/** Call it at the top of a test file, before other hooks: it then looks after they have cleaned up. */
export function checkLeaks(): void {
  let before: ReadonlySet<string> = new Set();
  beforeAll(() => {
    markChildren();
    before = new Set(listThings());
  });
  afterAll(async () => {
    const left = (): string[] => [
      ...listProcesses(),
      ...listTempDirectories(),
      ...listThings().filter((thing) => !before.has(thing)),
    ];
    await waitUntil('nothing is left', () => left().length === 0, {
      timeoutMs: SETTLE_MS,
      intervalMs: SETTLE_INTERVAL_MS,
    }).catch(() => undefined);
    const found = left().filter((thing) => !isOfOthers(thing));
    for (const pid of markedPids()) endProcess(pid);
    expect(found, 'left behind by this test file').toEqual([]);
  });
}

/** Marks every process that is started from here on. */
export function markChildren(): void {
  process.env[MARK] ??= randomUUID();
}

/** Our processes that are alive, as text; this one is not marked, since its own environment is older than the mark. */
export function listProcesses(): string[] {
  return markedPids().map((pid) => `process ${pid}: ${commandLine(pid)}`);
}

function markedPids(): number[] {
  const mark = `${MARK}=${process.env[MARK]}`;
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid && isMarked(pid, mark) && identifyProcess(pid) !== undefined);
}

function isMarked(pid: number, mark: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(mark);
  } catch (error) {
    // It has ended, or belongs to somebody we may not look into: not ours.
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
}

/** Shared memory, control groups and mounts that bear our name, whoever made them. */
function listThings(): string[] {
  const files = readdirSync('/dev/shm').filter((name) => /godwit|gwt-/.test(name));
  const groups = existsSync('/sys/fs/cgroup') ? globSync('/sys/fs/cgroup/**/godwit@*') : [];
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => /godwit|gwt-/.test(point));
  return [
    ...files.map((name) => `/dev/shm/${name}`),
    ...groups.map((path) => `${GROUP}${path}`),
    ...mounts.map((point) => `mount ${point}`),
  ];
}

/** Whether a process uses it, or has named it, that is neither ours nor this one. */
function isOfOthers(thing: string): boolean {
  const ours = new Set([process.pid, ...markedPids()]);
  const namedBy = Number(/godwit-test-(\d+)-/.exec(thing)?.[1]);
  if (namedBy > 0) return !ours.has(namedBy) && existsSync(`/proc/${namedBy}`);
  if (thing.startsWith(GROUP)) return threadsIn(thing.slice(GROUP.length)).some((tid) => !ours.has(processOf(tid)));
  const file = thing.startsWith('/') ? identifyFile(thing) : undefined;
  return (
    file !== undefined &&
    readdirSync('/proc')
      .map(Number)
      .some((pid) => pid > 0 && !ours.has(pid) && mapsFile(pid, file))
  );
}

function threadsIn(group: string): number[] {
  try {
    return readFileSync(join(group, 'tasks'), 'utf8').split('\n').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

function processOf(tid: number): number {
  try {
    return Number(/^Tgid:\s+(\d+)$/m.exec(readFileSync(`/proc/${tid}/status`, 'utf8'))?.[1]);
  } catch {
    return process.pid;
  }
}

function commandLine(pid: number): string {
  try {
    return readCommandLine(pid).join(' ').slice(0, 200);
  } catch {
    return 'has just ended';
  }
}

function endProcess(pid: number): void {
  const identity = identifyProcess(pid);
  if (identity !== undefined) signalProcess(identity, 'SIGKILL');
}
