import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { identifyProcess } from '../linux/process.ts';
import { makeSaveDirectory, removeLeftSaveDirectories, stateSocketPath } from './save-directory.ts';

const usual = process.env['TMPDIR'];
let root: TempDirectory;
let dead: string;

beforeEach(() => {
  root = new TempDirectory();
  process.env['TMPDIR'] = root.path;
  // Of a process that has ended for certain: this one's number, at another time.
  dead = `godwit-save-${process.pid}-1-abcdef`;
});
afterEach(() => {
  if (usual === undefined) delete process.env['TMPDIR'];
  else process.env['TMPDIR'] = usual;
  root[Symbol.dispose]();
});

function make(name: string): string {
  mkdirSync(root.join(name));
  return root.join(name);
}

/** A socket file that nobody listens on any more, as a killed daemon leaves it. */
function leaveSocket(path: string): void {
  const listen = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', listen]);
  expect(statSync(path).isSocket()).toBe(true);
}

test('a directory can be passed through by everybody, and read by nobody else', () => {
  const directory = makeSaveDirectory();
  expect(statSync(directory).mode & 0o777).toBe(0o711);
});

test('what a dead daemon has left is removed, with its socket or without', () => {
  const empty = make(dead);
  const withSocket = make(`${dead}2`);
  leaveSocket(stateSocketPath(withSocket));
  expect(removeLeftSaveDirectories().sort()).toEqual([empty, withSocket]);
  expect(readdirSync(root.path)).toEqual([]);
});

test('what a live daemon uses stays, also while it is empty', async () => {
  const empty = makeSaveDirectory();
  const used = makeSaveDirectory();
  const server = await listenAt(stateSocketPath(used));
  expect(removeLeftSaveDirectories()).toEqual([]);
  expect([existsSync(empty), existsSync(stateSocketPath(used))]).toEqual([true, true]);
  server.close();
});

test('a name like it with something else behind it stays', () => {
  writeFileSync(join(make(dead), 'state.sock'), 'no socket');
  writeFileSync(join(make(`${dead}2`), 'other'), '');
  writeFileSync(root.join(`${dead}3`), 'no directory');
  symlinkSync(make('elsewhere'), root.join(`${dead}4`));
  make(`godwit-save-${identifyProcess(process.pid)!.pid}-x`);
  const before = readdirSync(root.path);
  expect(removeLeftSaveDirectories()).toEqual([]);
  expect(readdirSync(root.path)).toEqual(before);
});

function listenAt(path: string): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer().listen(path, () => resolve(server));
  });
}
