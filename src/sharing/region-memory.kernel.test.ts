import { closeSync, mkdtempSync, openSync, readSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { GuineaPig } from '../../test/support/guinea-pig.ts';
import { readSharedWords, Sharer } from '../../test/support/sharer.ts';
import { SHARED_MEMORY_PREFIX } from '../../test/support/temp-directory.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { FaultBatch } from '../linux/fault-batch.ts';
import { pollReadable } from '../linux/poll.ts';
import { identifyProcess, listOpenFiles } from '../linux/process.ts';
import { RamFile } from '../linux/ram-file.ts';
import { endLeftWatch, endUnknownWatch } from './left-watch.ts';
import { RegionMemory } from './region-memory.ts';

const PAGES = 16;
const BYTES = PAGES * PAGE_SIZE;
const ROUNDS = 1500;

interface Fault {
  readonly vm: string;
  readonly page: number;
  readonly isWriteProtect: boolean;
}

requireCapability('kernel', 'cc')('the memory of a shared region', () => {
  let directory: string;
  let path: string;
  let a: Sharer;
  let b: Sharer;
  let memory: RegionMemory;
  const gone: string[] = [];
  const batch = new FaultBatch();
  const copy = new Uint8Array(PAGE_SIZE);

  beforeEach(async () => {
    gone.length = 0;
    directory = mkdtempSync(SHARED_MEMORY_PREFIX);
    path = join(directory, 'region');
    writeFileSync(path, '');
    truncateSync(path, BYTES);
    a = new Sharer('a', directory, PAGES);
    b = new Sharer('b', directory, PAGES);
    await a.start(path);
    await b.start(path);
    memory = new RegionMemory({ name: 'ring', bytes: BYTES, path }, (vm) => gone.push(vm));
  });

  afterEach(() => {
    memory[Symbol.dispose]();
    a[Symbol.dispose]();
    b[Symbol.dispose]();
    rmSync(directory, { recursive: true });
  });

  function takeFaults(timeoutMs = 2000): Fault[] {
    const { watched } = memory;
    const ready = pollReadable(
      watched.map(({ fd }) => fd),
      timeoutMs,
    );
    return watched.flatMap(({ vm }, index) => {
      const count = ready[index] ? memory.readFaults(index, batch) : 0;
      return Array.from({ length: count }, (_, fault) => {
        const page = memory.pageOf(index, batch, fault);
        if (batch.isWriteProtect(fault)) memory.unprotect(page, index);
        return { vm, page, isWriteProtect: batch.isWriteProtect(fault) };
      });
    });
  }

  test('a page that is taken away and put back while two VMs write it loses nothing', async () => {
    memory.watch(a.watched);
    memory.watch(b.watched);
    a.run(0, 3);
    b.run(0, 3);
    let writeProtectFaults = 0;
    for (let round = 0; round < ROUNDS || writeProtectFaults === 0; round++) {
      memory.takeAway(3, copy, () => undefined);
      memory.install(3, copy);
      for (const fault of takeFaults(0)) {
        if (fault.isWriteProtect) writeProtectFaults++;
        else memory.settle(fault.page, fault.vm);
      }
    }
    // Whoever waits still is served, until both stand.
    const standing = Promise.all([a.pause(), b.pause()]);
    const serving = setInterval(() => {
      for (const { page, vm, isWriteProtect } of takeFaults(0)) if (!isWriteProtect) memory.settle(page, vm);
    }, 1);
    await standing.finally(() => clearInterval(serving));
    expect(readSharedWords(path, PAGES)[3]).toBe(a.added()[3]! + b.added()[3]!);
    expect([a.errors, b.errors]).toEqual([0, 0]);
    expect(a.added()[3]).toBeGreaterThan(100);
    // Marks of write protection had stayed behind.
    expect(writeProtectFaults).toBeGreaterThan(0);
  });

  test('one installation wakes those who wait for the page in every process', async () => {
    memory.watch(a.watched);
    memory.watch(b.watched);
    a.run(0, 5);
    b.run(0, 5);
    const waiting = new Set<string>();
    while (waiting.size < 2) for (const { vm } of takeFaults()) waiting.add(vm);
    copy.fill(0);
    expect(memory.install(5, copy)).toBe('placed');
    for (const vm of [a, b]) await waitUntil('it goes on', () => vm.accesses > 10);
  });

  test('zeros are put into a hole, and never over a page', async () => {
    memory.watch(a.watched);
    a.run(0, 6);
    expect(takeFaults()[0]).toEqual({ vm: 'a', page: 6, isWriteProtect: false });
    expect(memory.settle(6, 'a')).toBe('placed');
    await waitUntil('it goes on', () => a.accesses > 10);
    await a.pause();
    expect(memory.settle(6, 'a')).toBe('placed');
    expect(readSharedWords(path, PAGES)[6]).toBe(a.added()[6]);
  });

  test('who waits for a page that has come meanwhile is woken', async () => {
    memory.watch(a.watched);
    a.run(0, 6);
    expect(takeFaults()).toHaveLength(1);
    b.run(0, 6);
    await waitUntil('it runs', () => b.accesses > 10);
    expect(memory.settle(6, 'a')).toBe('placed');
    await waitUntil('it goes on', () => a.accesses > 10);
  });

  test('a page that somebody unwatched has touched meanwhile is no place for another', async () => {
    memory.watch(a.watched);
    b.run(0, 2);
    await waitUntil('it runs', () => b.accesses > 10);
    expect(() => memory.install(2, copy)).toThrow(/not watched/);
  });

  test('a process that has gone is dropped and told once, and the page is installed by the next', async () => {
    memory.watch(a.watched);
    memory.watch(b.watched);
    b.run(0, 1);
    expect(takeFaults()[0]?.vm).toBe('b');
    await a.kill();
    memory.dropEnded();
    memory.dropEnded();
    expect(gone).toEqual(['a']);
    expect(memory.install(1, copy.fill(0))).toBe('placed');
    await waitUntil('it goes on', () => b.accesses > 10);
    await b.kill();
    memory.takeAway(1, copy, () => undefined);
    expect(gone).toEqual(['a', 'b']);
    expect(memory.watched).toEqual([]);
    expect(memory.install(1, copy.fill(7))).toBe('placed');
    expect(readSharedWords(path, PAGES)[1]).toBe(Number(0x07070707_07070707n));
  });

  test('release leaves the processes as they were, and whoever waits goes on', async () => {
    const before = [a, b].map(({ watched }) => listOpenFiles(watched.pid).length);
    memory.watch(a.watched);
    memory.watch(b.watched);
    a.run(0, 4);
    await waitUntil('it waits', () => a.at === 4);
    memory.release();
    await waitUntil('it goes on', () => a.accesses > 10);
    expect([a, b].map(({ watched }) => listOpenFiles(watched.pid).length)).toEqual(before);
  });

  test.each([
    ['by the number of its descriptor', (insideFd: number) => endLeftWatch(a.watched, insideFd, BYTES)],
    ['though nobody knows by which descriptor it is', () => endUnknownWatch(a.watched, BYTES)],
  ])('a watch that somebody has left behind is ended %s', async (_, endWatch) => {
    const insideFd = memory.watch(a.watched);
    memory[Symbol.dispose]();
    a.run(0, 4);
    await waitUntil('it waits', () => a.at === 4);
    endWatch(insideFd);
    await waitUntil('it goes on', () => a.accesses > 10);
    memory = new RegionMemory({ name: 'ring', bytes: BYTES, path }, () => undefined);
  });

  test.each([
    ['another process', () => ({ ...a.watched, startTicks: 1 }), /has ended/],
    ['another mapping', () => ({ ...a.watched, hostAddress: 0x1000n }), /has not mapped/],
  ])('%s is not taken for the one that has the region', (_, vm, message) => {
    expect(() => memory.watch(vm())).toThrow(message);
    expect(() => memory.attach(vm(), 3)).toThrow(message);
  });

  test('a full host is an outcome, with somebody attached and without', async () => {
    await using pig = await GuineaPig.start(PAGES, 4);
    using poor = new RegionMemory({ name: 'ring', bytes: BYTES, path: pig.path }, () => undefined);
    using file = RamFile.open(pig.path, BYTES);
    copy.fill(9);
    for (let page = 0; page < 4; page++) expect(poor.install(page, copy)).toBe('placed');
    expect(poor.install(4, copy)).toBe('noMemory');
    const { startTicks } = identifyProcess(pig.pid)!;
    const insideFd = poor.watch({ vm: 'pig', pid: pig.pid, startTicks, hostAddress: pig.start });
    expect(insideFd).toBeGreaterThan(2);
    expect(poor.install(4, copy)).toBe('noMemory');
    expect(poor.settle(5, 'pig')).toBe('noMemory');
    file.punch(0, PAGE_SIZE);
    expect(poor.install(4, copy)).toBe('placed');
    expect(await pig.read(4)).toBe(9);
  });

  test('a hole is read as zeros and stays one', () => {
    memory.takeAway(0, copy.fill(1), () => undefined);
    expect(copy.every((byte) => byte === 0)).toBe(true);
    expect(memory.install(0, null)).toBe('placed');
    const fd = openSync(path, 'r');
    expect(readSync(fd, copy.fill(1), 0, PAGE_SIZE, 0)).toBe(PAGE_SIZE);
    closeSync(fd);
    expect(copy.every((byte) => byte === 0)).toBe(true);
  });
});
