import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { GuineaPig } from '../../test/support/guinea-pig.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { PageBitmap } from '../base/page-bitmap.ts';
import {
  UFFD_FEATURE_PAGEFAULT_FLAG_WP,
  UFFD_FEATURE_THREAD_ID,
  UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
} from '../linux/abi/userfaultfd.ts';
import { pollReadable } from '../linux/poll.ts';
import { ProtectionMap } from '../linux/protection-map.ts';
import { RamFile } from '../linux/ram-file.ts';
import { Userfaultfd } from '../linux/userfaultfd.ts';
import { RamLayout } from './layout.ts';
import { type WriteFaultParts, WriteFaultService } from './write-fault-service.ts';

const PAGES = 200;
const FAULT_DEADLINE_MS = 5000;

requireCapability('kernel', 'cc')('the service of write faults', () => {
  let pig: GuineaPig;
  let uffd: Userfaultfd;
  let protection: ProtectionMap;
  let parts: WriteFaultParts;
  let service: WriteFaultService;

  beforeEach(async () => {
    pig = await GuineaPig.start(PAGES);
    const features = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_THREAD_ID;
    uffd = Userfaultfd.openInside(pig.pid, { features, keepInside: false });
    uffd.register(pig.start, PAGES * PAGE_SIZE, { writeProtect: true });
    uffd.writeProtect(pig.start, PAGES * PAGE_SIZE, true);
    protection = new ProtectionMap(pig.pid);
    parts = {
      uffd,
      layout: new RamLayout([{ id: 'all', bytes: PAGES * PAGE_SIZE }]),
      starts: [pig.start],
      setting: 1,
      granted: new PageBitmap(PAGES),
      protection,
      isPaced: (threadId) => threadId === pig.pid,
    };
    service = new WriteFaultService(parts);
  });

  afterEach(async () => {
    uffd[Symbol.dispose]();
    protection[Symbol.dispose]();
    await pig[Symbol.asyncDispose]();
  });

  /** The pig writes, and its fault is taken. */
  async function fault(page: number, nowMs: number): Promise<void> {
    pig.send(`w ${page} 1`);
    // The pig reads its command from a pipe that the event loop writes to.
    await delay(1);
    expect(pollReadable([uffd.fd], FAULT_DEADLINE_MS)).toEqual([true]);
    service.takeFaults(nowMs);
  }

  test('lets a write through, once, and protects the page again when asked', async () => {
    await fault(5, 0);
    expect(await pig.answer()).toBe('ok');
    await pig.write(5, 2);
    expect(protection.unprotected(pig.start, PAGES * PAGE_SIZE)).toEqual([{ first: 5, count: 1 }]);
    expect(service.collect()).toEqual([{ first: 5, count: 1 }]);
    expect(protection.unprotected(pig.start, PAGES * PAGE_SIZE)).toEqual([]);
    expect(service.collect()).toEqual([]);
  });

  test('sees a write to a page that was never touched, and to one that was taken away', async () => {
    await fault(9, 0);
    expect(await pig.answer()).toBe('ok');
    service.collect();
    using ram = RamFile.open(pig.path, PAGES * PAGE_SIZE);
    ram.punch(9 * PAGE_SIZE, PAGE_SIZE);
    await fault(9, 0);
    expect(await pig.answer()).toBe('ok');
    expect(service.collect()).toEqual([{ first: 9, count: 1 }]);
  });

  test('lets a write through on a page that was protected after it was granted', async () => {
    await fault(5, 0);
    expect(await pig.answer()).toBe('ok');
    // As the tracking begins: the protection of all memory comes over a grant.
    uffd.writeProtect(pig.start, PAGES * PAGE_SIZE, true);
    await fault(5, 0);
    expect(await pig.answer()).toBe('ok');
    expect(service.collect()).toEqual([{ first: 5, count: 1 }]);
  });

  test('counts pages as written that somebody else made writable', async () => {
    uffd.writeProtect(pig.addressOf(7), PAGE_SIZE, false);
    await pig.write(7, 1);
    expect(service.collect()).toEqual([{ first: 7, count: 1 }]);
    expect(protection.unprotected(pig.start, PAGES * PAGE_SIZE)).toEqual([]);
  });

  test('does not protect a page anew that vanishes while it looks', async () => {
    const vanishing = new Proxy(protection, {
      get: (map, key) => {
        if (key !== 'unprotected') return Reflect.get(map, key) as unknown;
        return (start: bigint, bytes: number) => {
          const found = map.unprotected(start, bytes);
          // As a balloon does it: its protection goes with it.
          uffd.writeProtect(pig.addressOf(9), PAGE_SIZE, false);
          return found;
        };
      },
    });
    const looking = new WriteFaultService({ ...parts, protection: vanishing });
    // Its neighbours are to be protected, in one call if that were allowed.
    for (const page of [8, 10]) {
      uffd.writeProtect(pig.addressOf(page), PAGE_SIZE, false);
      await pig.write(page, 1);
    }
    expect(looking.collect()).toEqual([8, 10].map((first) => ({ first, count: 1 })));
    expect(protection.unprotected(pig.start, PAGES * PAGE_SIZE)).toEqual([{ first: 9, count: 1 }]);
  });

  test('keeps a writer waiting until his turn, and answers him in the order in which he came', async () => {
    service.setPace(100, 0);
    await fault(1, 20);
    expect(await pig.answer()).toBe('ok');
    await fault(2, 20);
    expect(service.dueInMs(20)).toBeGreaterThan(0);
    service.answerDue(20);
    expect(service.counts).toMatchObject({ faults: 2, pacedFaults: 1 });
    expect(service.collect()).toEqual([{ first: 1, count: 1 }]);
    const dueMs = 20 + service.dueInMs(20);
    service.answerDue(dueMs);
    expect(await pig.answer()).toBe('ok');
    expect(service.dueInMs(dueMs)).toBe(Number.POSITIVE_INFINITY);
    expect(service.collect()).toEqual([{ first: 2, count: 1 }]);
  });

  test('answers at once whoever waits when nobody is slowed any more', async () => {
    service.setPace(1, 0);
    await fault(1, 0);
    service.setPace(Number.POSITIVE_INFINITY, 1);
    service.answerDue(1);
    expect(await pig.answer()).toBe('ok');
  });
});
