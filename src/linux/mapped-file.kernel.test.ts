import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { SHARED_MEMORY_PREFIX } from '../../test/support/temp-directory.ts';
import { MappedFile } from './mapped-file.ts';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(SHARED_MEMORY_PREFIX);
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test('what is written is there for whoever opens the file next', () => {
  const path = join(directory, 'file');
  const first = MappedFile.create(path, 8192);
  new Uint32Array(first.memory)[1025] = 7;
  first[Symbol.dispose]();
  expect(() => first.memory).toThrow(/mapped no more/);
  using second = MappedFile.open(path, 8192);
  expect(new Uint32Array(second.memory)[1025]).toBe(7);
});

test('a process that is killed loses nothing of it', () => {
  const path = join(directory, 'file');
  const module = new URL('./mapped-file.ts', import.meta.url).pathname;
  const program = `
    const { MappedFile } = await import(${JSON.stringify(module)});
    const file = MappedFile.create(${JSON.stringify(path)}, 4096);
    new Uint32Array(file.memory)[3] = 42;
    process.kill(process.pid, 'SIGKILL');`;
  const { signal } = spawnSync(process.execPath, ['--input-type=module', '-e', program]);
  expect(signal).toBe('SIGKILL');
  using file = MappedFile.open(path, 4096);
  expect(new Uint32Array(file.memory)[3]).toBe(42);
});

test('a file that is there, or is shorter, is refused', () => {
  const path = join(directory, 'file');
  MappedFile.create(path, 4096)[Symbol.dispose]();
  expect(() => MappedFile.create(path, 4096)).toThrow(/EEXIST/);
  expect(existsSync(path)).toBe(true);
  expect(() => MappedFile.open(path, 8192)).toThrow(/4096 bytes/);
});

requireCapability('kernel')('on a full host', () => {
  test('its memory is refused before anybody can touch it', () => {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8k', 'godwit-test', directory]);
    try {
      const path = join(directory, 'file');
      expect(() => MappedFile.create(path, 1 << 20)).toThrow(/memory/);
      expect(existsSync(path)).toBe(false);
    } finally {
      execFileSync('umount', [directory]);
    }
  });
});
