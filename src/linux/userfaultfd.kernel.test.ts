import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { GuineaPig } from '../../test/support/guinea-pig.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { UFFD_FEATURE_MISSING_SHMEM } from './abi/userfaultfd.ts';
import { FaultBatch } from './fault-batch.ts';
import { pollReadable } from './poll.ts';
import { readMappings } from './process.ts';
import { RamFile } from './ram-file.ts';
import { Userfaultfd } from './userfaultfd.ts';

const PAGES = 64;
const BIG_PROCESS = `const held = Buffer.alloc(2 ** 28, 1); console.log(held.length); setInterval(() => held, 1e6)`;
const FEATURES = UFFD_FEATURE_MISSING_SHMEM;

function pagesOf(...values: number[]): Uint8Array {
  const contents = new Uint8Array(values.length * PAGE_SIZE);
  values.forEach((value, index) => {
    contents.fill(value, index * PAGE_SIZE, (index + 1) * PAGE_SIZE);
  });
  return contents;
}

function openFds(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
}

requireCapability('kernel', 'cc')('a userfaultfd of another process', () => {
  let pig: GuineaPig;

  beforeEach(async () => {
    pig = await GuineaPig.start(PAGES);
  });

  afterEach(async () => {
    await pig[Symbol.asyncDispose]();
  });

  function openMissing(): Userfaultfd {
    const uffd = Userfaultfd.openInside(pig.pid, { features: FEATURES, keepInside: true });
    uffd.register(pig.start, PAGES * PAGE_SIZE, { missing: true });
    return uffd;
  }

  test('the process keeps no copy unless told to', () => {
    const before = openFds(pig.pid);
    using uffd = Userfaultfd.openInside(pig.pid, { features: FEATURES, keepInside: false });
    expect(uffd.insideFd).toBeUndefined();
    expect(openFds(pig.pid)).toEqual(before);
    expect(readlinkSync(`/proc/self/fd/${uffd.fd}`)).toBe('anon_inode:[userfaultfd]');
  });

  test('a copy kept inside is closed by releaseInside', () => {
    const before = openFds(pig.pid);
    using uffd = Userfaultfd.openInside(pig.pid, { features: FEATURES, keepInside: true });
    expect(openFds(pig.pid)).toHaveLength(before.length + 1);
    uffd.releaseInside();
    uffd.releaseInside();
    expect(openFds(pig.pid)).toEqual(before);
  });

  test('features that the kernel lacks are named, and nothing stays open in the process', () => {
    const before = openFds(pig.pid);
    const features = (1n << 60n) | FEATURES;
    expect(() => Userfaultfd.openInside(pig.pid, { features, keepInside: true })).toThrow(
      expect.objectContaining({ code: 'GW_SYS_UNSUPPORTED' }),
    );
    expect(openFds(pig.pid)).toEqual(before);
  });

  test('a fault is reported with its address and kind, and copy answers it', async () => {
    using uffd = openMissing();
    pig.send('r 5');
    expect(pollReadable([uffd.fd], 2000)).toEqual([true]);
    const faults = new FaultBatch();
    expect(uffd.readFaults(faults)).toBe(1);
    expect(faults.address(0)).toBe(pig.addressOf(5));
    expect(faults.offsetFrom(0, pig.start)).toBe(5 * PAGE_SIZE);
    expect([faults.isWrite(0), faults.isWriteProtect(0), faults.isMinor(0)]).toEqual([false, false, false]);
    expect(uffd.readFaults(faults)).toBe(0);
    expect(uffd.copy(pig.addressOf(5), pagesOf(42))).toEqual({ kind: 'copied', bytes: PAGE_SIZE });
    expect(await pig.answer()).toBe('42');
  });

  test('a write fault says so, and zero answers it', async () => {
    using uffd = openMissing();
    pig.send('w 7 9');
    expect(pollReadable([uffd.fd], 2000)).toEqual([true]);
    const faults = new FaultBatch();
    uffd.readFaults(faults);
    expect(faults.isWrite(0)).toBe(true);
    expect(uffd.zero(pig.addressOf(7), PAGE_SIZE)).toEqual({ kind: 'copied', bytes: PAGE_SIZE });
    expect(await pig.answer()).toBe('ok');
  });

  test('faults of several threads are read at once', async () => {
    using uffd = openMissing();
    await pig.readOnThread(1);
    await pig.readOnThread(2);
    await pig.readOnThread(3);
    const faults = new FaultBatch();
    const seen: number[] = [];
    while (seen.length < 3 && pollReadable([uffd.fd], 2000)[0]) {
      const count = uffd.readFaults(faults);
      for (let i = 0; i < count; i++) seen.push(faults.offsetFrom(i, pig.start) / PAGE_SIZE);
    }
    expect(seen.sort()).toEqual([1, 2, 3]);
    uffd.copy(pig.addressOf(1), pagesOf(11, 12, 13));
    const answers = [await pig.answer(), await pig.answer(), await pig.answer()];
    expect(answers.sort()).toEqual(['1=11', '2=12', '3=13']);
  });

  test('copy stops before a page that is there and says how far it came', async () => {
    using uffd = openMissing();
    uffd.copy(pig.addressOf(12), pagesOf(1));
    expect(uffd.copy(pig.addressOf(10), pagesOf(7, 8, 9, 10))).toEqual({
      kind: 'alreadyPresent',
      bytes: 2 * PAGE_SIZE,
    });
    expect(uffd.copy(pig.addressOf(12), pagesOf(9))).toEqual({ kind: 'alreadyPresent', bytes: 0 });
    expect(uffd.zero(pig.addressOf(11), 2 * PAGE_SIZE)).toEqual({ kind: 'alreadyPresent', bytes: 0 });
    expect(await pig.read(10)).toBe(7);
    expect(await pig.read(11)).toBe(8);
    expect(await pig.read(12)).toBe(1);
  });

  test('a full host is an outcome, and the rest can be installed once there is room', async () => {
    await using poor = await GuineaPig.start(PAGES, 8);
    using uffd = Userfaultfd.openInside(poor.pid, { features: FEATURES, keepInside: false });
    uffd.register(poor.start, PAGES * PAGE_SIZE, { missing: true });
    const contents = pagesOf(...Array.from({ length: 12 }, (_, page) => page + 1));
    expect(uffd.copy(poor.start, contents)).toEqual({ kind: 'noMemory', bytes: 8 * PAGE_SIZE });
    expect(uffd.zero(poor.addressOf(8), PAGE_SIZE)).toEqual({ kind: 'noMemory', bytes: 0 });
    using file = RamFile.open(poor.path, PAGES * PAGE_SIZE);
    file.punch(0, 4 * PAGE_SIZE);
    const rest = contents.subarray(8 * PAGE_SIZE);
    expect(uffd.copy(poor.addressOf(8), rest)).toEqual({ kind: 'copied', bytes: 4 * PAGE_SIZE });
    expect(await poor.read(11)).toBe(12);
  });

  test('a copy of the descriptor outlives its maker: the fault waits and is served through fetch', async () => {
    const maker = openMissing();
    pig.send('r 20');
    const insideFd = maker.insideFd!;
    expect(pollReadable([maker.fd], 2000)).toEqual([true]);
    maker.readFaults(new FaultBatch());
    maker[Symbol.dispose]();
    using heir = Userfaultfd.fetch(pig.pid, insideFd);
    expect(heir.readFaults(new FaultBatch())).toBe(0);
    heir.wake(pig.start, PAGES * PAGE_SIZE);
    expect(pollReadable([heir.fd], 2000)).toEqual([true]);
    const faults = new FaultBatch();
    heir.readFaults(faults);
    expect(faults.offsetFrom(0, pig.start)).toBe(20 * PAGE_SIZE);
    heir.copy(pig.addressOf(20), pagesOf(77));
    expect(await pig.answer()).toBe('77');
  });

  test('fetch refuses a descriptor that is no userfaultfd', () => {
    expect(() => Userfaultfd.fetch(pig.pid, 0)).toThrow(expect.objectContaining({ code: 'GW_SYS_INJECT' }));
    expect(() => Userfaultfd.fetch(pig.pid, 99)).toThrow(expect.objectContaining({ code: 'GW_SYS_CALL' }));
  });

  test('a process blocked in a fault can still be given another userfaultfd', async () => {
    using uffd = openMissing();
    pig.send('r 3');
    expect(pollReadable([uffd.fd], 2000)).toEqual([true]);
    using other = Userfaultfd.openInside(pig.pid, { features: FEATURES, keepInside: false });
    expect(other.fd).toBeGreaterThan(0);
    uffd.copy(pig.addressOf(3), pagesOf(33));
    expect(await pig.answer()).toBe('33');
  });

  test('a second userfaultfd cannot take the range: EBUSY', () => {
    using _first = openMissing();
    using second = Userfaultfd.openInside(pig.pid, { features: FEATURES, keepInside: false });
    expect(() => second.register(pig.start, PAGES * PAGE_SIZE, { missing: true })).toThrow(
      expect.objectContaining({ details: expect.objectContaining({ errno: 'EBUSY' }) }),
    );
  });

  test('unregister lets a waiting thread go on', async () => {
    using uffd = openMissing();
    pig.send('r 3');
    expect(pollReadable([uffd.fd], 2000)).toEqual([true]);
    uffd.unregister(pig.start, PAGES * PAGE_SIZE);
    expect(await pig.answer()).toBe('0');
  });

  test('once the process is gone every call says so', async () => {
    using uffd = openMissing();
    await pig.kill();
    const gone = expect.objectContaining({ code: 'GW_SYS_PROCESS_GONE' });
    expect(uffd.copy(pig.addressOf(1), pagesOf(1))).toEqual({ kind: 'processGone', bytes: 0 });
    expect(uffd.zero(pig.addressOf(1), PAGE_SIZE)).toEqual({ kind: 'processGone', bytes: 0 });
    expect(() => uffd.register(pig.start, PAGE_SIZE, { missing: true })).toThrow(gone);
    expect(() => uffd.unregister(pig.start, PAGE_SIZE)).toThrow(gone);
    expect(() => uffd.writeProtect(pig.start, PAGE_SIZE, true)).toThrow(gone);
    expect(uffd.readFaults(new FaultBatch())).toBe(0);
    uffd.releaseInside();
    expect(() => Userfaultfd.openInside(pig.pid, { features: 0n, keepInside: false })).toThrow(gone);
    expect(() => Userfaultfd.fetch(pig.pid, 3)).toThrow(gone);
  });

  test('a process that gives back much memory, and has not ended yet, is gone', async () => {
    const child = spawn(process.execPath, ['-e', BIG_PROCESS], { stdio: ['ignore', 'pipe', 'ignore'] });
    await once(child.stdout, 'data');
    const pid = child.pid!;
    using uffd = Userfaultfd.openInside(pid, { features: FEATURES, keepInside: false });
    const sizes = readMappings(pid).filter(({ path, permissions }) => path === '' && permissions === 'rw-p');
    const { start } = sizes.sort((a, b) => Number(b.end - b.start - (a.end - a.start)))[0]!;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    const calls = (): void => {
      while (true) uffd.unregister(start, PAGE_SIZE);
    };
    expect(calls).toThrow(expect.objectContaining({ code: 'GW_SYS_PROCESS_GONE' }));
    await ended;
  });

  test('a descriptor of /dev/userfaultfd inside the process does as well', async () => {
    pig.send('u');
    const deviceFdInside = Number(await pig.answer());
    expect(deviceFdInside).toBeGreaterThan(0);
    using uffd = Userfaultfd.openInside(pig.pid, { features: FEATURES, keepInside: false, deviceFdInside });
    uffd.register(pig.start, PAGES * PAGE_SIZE, { missing: true });
    expect(uffd.copy(pig.start, pagesOf(5))).toEqual({ kind: 'copied', bytes: PAGE_SIZE });
    expect(readFileSync(pig.path)[0]).toBe(5);
  });
});
