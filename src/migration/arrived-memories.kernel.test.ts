import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ScratchMemory } from '../../test/support/scratch-memory.ts';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { identifyProcess, type ProcessIdentity } from '../linux/process.ts';
import { ArrivedMemories, announceArrival } from './arrived-memories.ts';

const MIGRATION = randomBytes(16);
const into = new Uint8Array(PAGE_SIZE);

let directory: TempDirectory;
let scratch: ScratchMemory;
let arrived: ArrivedMemories;

beforeEach(() => {
  directory = new TempDirectory();
  scratch = new ScratchMemory(4, 4);
  arrived = new ArrivedMemories(directory.path);
});
afterEach(() => {
  arrived[Symbol.dispose]();
  scratch[Symbol.dispose]();
  directory[Symbol.dispose]();
});

function announce(owner: ProcessIdentity, paths: readonly string[] = scratch.memory.ownPaths()): void {
  const regions = scratch.memory.layout.regions.map(({ id, bytes }, i) => ({
    ...{ id, bytes, hostAddress: 0n },
    fdPath: paths[i]!,
  }));
  announceArrival(directory.path, MIGRATION, owner, regions);
}

test('pages of a VM that came here are read, across its regions', () => {
  announce(identifyProcess(process.pid)!);
  scratch.fill(3, 5, 6);
  const values = [3, 4].map((page) => arrived.read(MIGRATION, page, into) && into[0]);
  expect([...values, arrived.read(MIGRATION, 8, into)]).toEqual([5, 6, false]);
});

test('there are no pages of a VM that never came, has ended, or lost a file', async () => {
  expect(arrived.read(MIGRATION, 0, into)).toBe(false);
  const child = spawn('sleep', ['60']);
  const owner = identifyProcess(child.pid!)!;
  announce(owner);
  child.kill();
  await once(child, 'exit');
  using later = new ArrivedMemories(directory.path);
  expect(later.read(MIGRATION, 0, into)).toBe(false);
  announce(identifyProcess(process.pid)!, [scratch.memory.ownPaths()[0]!, '/proc/self/fd/1000000']);
  using last = new ArrivedMemories(directory.path);
  expect(last.read(MIGRATION, 0, into)).toBe(false);
});

test('what has nothing to do with a VM that has ended is told', () => {
  announce(identifyProcess(process.pid)!, [scratch.memory.ownPaths()[0]!, '/proc/self/comm/nonsense']);
  expect(() => arrived.read(MIGRATION, 0, into)).toThrow('ENOTDIR');
});
