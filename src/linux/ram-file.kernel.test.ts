import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { SHARED_MEMORY_PREFIX } from '../../test/support/temp-directory.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { RamFile } from './ram-file.ts';

const PAGES = 32;

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(SHARED_MEMORY_PREFIX);
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

function create(pages: number): RamFile {
  const path = join(directory, 'ram');
  const fd = openSync(path, 'w');
  ftruncateSync(fd, pages * PAGE_SIZE);
  closeSync(fd);
  return RamFile.open(path, pages * PAGE_SIZE);
}

function page(value: number): Uint8Array {
  return new Uint8Array(PAGE_SIZE).fill(value);
}

function blocks(): number {
  return statSync(join(directory, 'ram')).blocks / 8;
}

test('what was written is read, and reading a hole gives zeros and leaves it a hole', () => {
  using file = create(PAGES);
  file.write(5 * PAGE_SIZE, page(7));
  const into = new Uint8Array(3 * PAGE_SIZE).fill(1);
  file.read(4 * PAGE_SIZE, into);
  expect(into).toEqual(new Uint8Array([...page(0), ...page(7), ...page(0)]));
  expect(blocks()).toBe(1);
});

test('shared memory can be read into', () => {
  using file = create(PAGES);
  file.write(0, page(9));
  const into = new Uint8Array(new SharedArrayBuffer(2 * PAGE_SIZE), PAGE_SIZE);
  file.read(0, into);
  expect(into.every((byte) => byte === 9)).toBe(true);
});

test('data runs are the pages that were touched, clipped to the range asked for', () => {
  using file = create(PAGES);
  expect(file.dataRuns()).toEqual([]);
  for (const at of [0, 4, 5, 6, PAGES - 1]) file.write(at * PAGE_SIZE, page(1));
  const runs = [
    { first: 0, count: 1 },
    { first: 4, count: 3 },
    { first: PAGES - 1, count: 1 },
  ];
  expect(file.dataRuns()).toEqual(runs);
  expect(file.dataRuns(5, 6)).toEqual([{ first: 5, count: 1 }]);
  expect(file.dataRuns(1, 4)).toEqual([]);
  expect(file.dataRuns(3, 5)).toEqual([{ first: 4, count: 1 }]);
});

test('punching gives the memory back', () => {
  using file = create(PAGES);
  file.write(0, new Uint8Array(4 * PAGE_SIZE).fill(3));
  file.punch(PAGE_SIZE, 2 * PAGE_SIZE);
  expect(blocks()).toBe(2);
  expect(file.dataRuns(0, 4)).toEqual([
    { first: 0, count: 1 },
    { first: 3, count: 1 },
  ]);
  expect(statSync(join(directory, 'ram')).size).toBe(PAGES * PAGE_SIZE);
});

test('reserved pages count as holes until they are written', () => {
  using file = create(PAGES);
  file.allocate(0, 4 * PAGE_SIZE);
  expect(blocks()).toBe(4);
  expect(file.dataRuns()).toEqual([]);
});

test('nothing outside the file is touched', () => {
  using file = create(PAGES);
  expect(() => file.read(PAGES * PAGE_SIZE, page(0))).toThrow(RangeError);
  expect(() => file.write((PAGES - 1) * PAGE_SIZE + 1, page(0))).toThrow(RangeError);
  expect(() => file.punch(-1, PAGE_SIZE)).toThrow(RangeError);
  expect(() => file.dataRuns(0, PAGES + 1)).toThrow(RangeError);
});

test('a file that is smaller than the VM believes is refused', () => {
  const path = join(directory, 'short');
  writeFileSync(path, 'x');
  expect(() => RamFile.open(path, PAGE_SIZE)).toThrow(expect.objectContaining({ code: 'GW_INPUT_UNREADABLE' }));
  expect(() => RamFile.open(join(directory, 'none'), 1)).toThrow(
    expect.objectContaining({ details: expect.objectContaining({ errno: 'ENOENT' }) }),
  );
});

test('a file that was truncated behind our back is an error, not a crash', () => {
  using file = create(PAGES);
  const fd = openSync(join(directory, 'ram'), 'r+');
  ftruncateSync(fd, PAGE_SIZE);
  closeSync(fd);
  expect(() => file.read(0, new Uint8Array(2 * PAGE_SIZE))).toThrow(expect.objectContaining({ code: 'GW_SYS_CALL' }));
});

requireCapability('kernel')('on a full file system', () => {
  beforeEach(() => {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'godwit-test', directory]);
  });

  afterEach(() => {
    execFileSync('umount', [directory]);
  });

  test('writing and reserving say how much room there is', () => {
    using file = create(PAGES);
    file.write(0, new Uint8Array(8 * PAGE_SIZE).fill(1));
    const noRoom = expect.objectContaining({
      code: 'GW_SYS_NO_ROOM',
      details: expect.objectContaining({ needed: 16 * PAGE_SIZE, available: 8 * PAGE_SIZE }),
    });
    expect(() => file.allocate(8 * PAGE_SIZE, 16 * PAGE_SIZE)).toThrow(noRoom);
    expect(blocks()).toBe(8);
    expect(() => file.write(8 * PAGE_SIZE, new Uint8Array(16 * PAGE_SIZE))).toThrow(
      expect.objectContaining({ code: 'GW_SYS_NO_ROOM' }),
    );
    file.punch(0, 16 * PAGE_SIZE);
    file.write(8 * PAGE_SIZE, page(2));
  });
});
