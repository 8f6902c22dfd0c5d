import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  identifyProcess,
  isAlive,
  listOpenFiles,
  listThreads,
  ownerOf,
  type ProcessIdentity,
  parentOf,
  readCommandLine,
  readMappings,
  signalProcess,
  waitForExit,
} from './process.ts';

const NO_SUCH_PID = 4_194_300;
let child: ChildProcess;
let id: ProcessIdentity;

beforeEach(async () => {
  child = spawn('sleep', ['30']);
  await once(child, 'spawn');
  id = identifyProcess(child.pid!)!;
});

afterEach(() => {
  child.kill('SIGKILL');
});

test('a process is known by its number and its start', () => {
  expect(isAlive(id)).toBe(true);
  expect(isAlive({ ...id, startTicks: id.startTicks + 1 })).toBe(false);
  expect(identifyProcess(NO_SUCH_PID)).toBeUndefined();
  expect(parentOf(id.pid)).toBe(process.pid);
});

test('the effective user and group are known', () => {
  expect(ownerOf(id.pid)).toEqual({ uid: process.geteuid!(), gid: process.getegid!() });
  expect(() => ownerOf(NO_SUCH_PID)).toThrow(expect.objectContaining({ code: 'GW_SYS_PROCESS_GONE' }));
});

test('a zombie has ended', async () => {
  // The shell never waits for its child.
  const shell = spawn('sh', ['-c', 'sleep 0.05 & echo $!; exec sleep 30'], { stdio: ['ignore', 'pipe', 'ignore'] });
  const [pid] = await once(shell.stdout, 'data');
  const zombie = identifyProcess(Number(String(pid)))!;
  expect(await waitForExit(zombie, { timeoutMs: 5000 })).toBe(true);
  expect(isAlive(zombie)).toBe(false);
  shell.kill();
});

test('a signal reaches exactly the process meant, and waiting ends with it', async () => {
  expect(signalProcess({ ...id, startTicks: 1 }, 'SIGKILL')).toBe(false);
  expect(await waitForExit(id, { timeoutMs: 30 })).toBe(false);
  const ended = waitForExit(id);
  expect(signalProcess(id, 'SIGTERM')).toBe(true);
  expect(await ended).toBe(true);
  expect(await waitForExit(id)).toBe(true);
  expect(signalProcess(id, 'SIGTERM')).toBe(false);
});

test('waiting can be aborted, before and meanwhile', async () => {
  expect(await waitForExit(id, { signal: AbortSignal.abort() })).toBe(false);
  const controller = new AbortController();
  const ended = waitForExit(id, { signal: controller.signal });
  controller.abort();
  expect(await ended).toBe(false);
});

test('the command line keeps empty arguments and line feeds', async () => {
  const odd = spawn('sh', ['-c', 'sleep 30; :', 'name', '', 'a\nb']);
  await once(odd, 'spawn');
  expect(readCommandLine(odd.pid!)).toEqual(['sh', '-c', 'sleep 30; :', 'name', '', 'a\nb']);
  odd.kill('SIGKILL');
});

test('threads, mappings and open files are listed', () => {
  expect(listThreads(id.pid)).toEqual([{ tid: id.pid, name: 'sleep' }]);
  expect(listThreads(process.pid).length).toBeGreaterThan(1);
  const stack = readMappings(id.pid).find((mapping) => mapping.path === '[stack]')!;
  expect(stack.permissions).toBe('rw-p');
  expect(stack.end > stack.start).toBe(true);
  expect(listOpenFiles(id.pid).map((file) => file.fd)).toEqual(expect.arrayContaining([0, 1, 2]));
});

test('an open file is known by path, device and inode, also without a name', () => {
  const directory = mkdtempSync(join(tmpdir(), 'godwit-process-'));
  const path = join(directory, 'a b');
  const fd = openSync(path, 'w');
  const named = listOpenFiles(process.pid).find((file) => file.fd === fd)!;
  expect(named.path).toBe(path);
  rmSync(directory, { recursive: true });
  const unnamed = listOpenFiles(process.pid).find((file) => file.fd === fd)!;
  expect(unnamed).toEqual({ ...named, path: `${path} (deleted)` });
  closeSync(fd);
});

test.each([
  ['readCommandLine', readCommandLine],
  ['listThreads', listThreads],
  ['readMappings', readMappings],
  ['listOpenFiles', listOpenFiles],
])('%s of a process that has ended is GW_SYS_PROCESS_GONE', (_, read) => {
  expect(() => read(NO_SUCH_PID)).toThrow(expect.objectContaining({ code: 'GW_SYS_PROCESS_GONE' }));
});
