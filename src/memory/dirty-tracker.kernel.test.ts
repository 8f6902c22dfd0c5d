import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { CountingQemu } from '../../test/support/counting-qemu.ts';
import { GuineaPig } from '../../test/support/guinea-pig.ts';
import { countPages, PAGE_SIZE } from '../base/page.ts';
import { PageBitmap } from '../base/page-bitmap.ts';
import { Userfaultfd } from '../linux/userfaultfd.ts';
import { KernelDirtyTracker } from './dirty-tracker.ts';
import { RamLayout } from './layout.ts';

const PAGES = 1000;
/** Two regions that do not touch: pages 100–399 of the mapping, and 600–999. */
const FIRST = { from: 100, pages: 300 };
const SECOND = { from: 600, pages: 400 };

requireCapability('kernel', 'cc')('the tracker of a process', () => {
  let pig: GuineaPig;
  let tracker: KernelDirtyTracker;

  beforeEach(async () => {
    pig = await GuineaPig.start(PAGES);
    const layout = new RamLayout([
      { id: 'first', bytes: FIRST.pages * PAGE_SIZE },
      { id: 'second', bytes: SECOND.pages * PAGE_SIZE },
    ]);
    tracker = KernelDirtyTracker.open(pig.pid, layout, [pig.addressOf(FIRST.from), pig.addressOf(SECOND.from)]);
  });

  afterEach(async () => {
    tracker[Symbol.dispose]();
    await pig[Symbol.asyncDispose]();
  });

  function isTracked(): boolean {
    return /^VmFlags:.* (uw|um|ui)\b/m.test(readFileSync(`/proc/${pig.pid}/smaps`, 'utf8'));
  }

  test('numbers pages over all regions, and ignores what lies between', async () => {
    tracker.start();
    expect(tracker.collect()).toEqual([]);
    await pig.write(FIRST.from - 1, 1);
    await pig.write(FIRST.from + FIRST.pages - 1, 1);
    await pig.write(FIRST.from + FIRST.pages, 1);
    await pig.write(SECOND.from, 1);
    await pig.write(SECOND.from + 2, 1);
    expect(tracker.peek({ first: 0, count: 700 })).toEqual(tracker.peek({ first: 299, count: 4 }));
    expect(tracker.peek({ first: 300, count: 2 })).toEqual([{ first: 300, count: 1 }]);
    expect(tracker.collect()).toEqual([
      { first: 299, count: 2 },
      { first: 302, count: 1 },
    ]);
    expect(tracker.collect()).toEqual([]);
  });

  test('misses no write of a writer that never stops', async () => {
    tracker.start();
    const written = new PageBitmap(FIRST.pages);
    const seen = new PageBitmap(FIRST.pages);
    for (let i = 0; i < 2000; i++) {
      const page = Math.floor(Math.random() * FIRST.pages);
      written.add(page);
      pig.send(`w ${FIRST.from + page} ${i & 255}`);
      if (i % 50 === 0) {
        await pig.answer();
        seen.addRuns(tracker.collect());
      } else {
        await pig.answer();
      }
    }
    seen.addRuns(tracker.collect());
    expect(seen.runs()).toEqual(written.runs());
  });

  test('finds pages that were there before as unwritten', async () => {
    await pig.write(FIRST.from, 1);
    tracker.start();
    expect(tracker.collect()).toEqual([]);
    await pig.write(FIRST.from, 2);
    expect(tracker.collect()).toEqual([{ first: 0, count: 1 }]);
  });

  test('leaves the process as it was: mappings, descriptors, contents', async () => {
    const fds = readdirSync(`/proc/${pig.pid}/fd`);
    await pig.write(FIRST.from, 7);
    tracker.start();
    tracker.start();
    expect(isTracked()).toBe(true);
    tracker.stop();
    tracker.stop();
    expect(isTracked()).toBe(false);
    expect(readdirSync(`/proc/${pig.pid}/fd`)).toEqual(fds);
    expect(await pig.read(FIRST.from)).toBe(7);
    await pig.write(FIRST.from, 8);
    expect(await pig.read(FIRST.from)).toBe(8);
  });

  test('ends with its process holding no userfaultfd, so that our death ends the tracking', () => {
    tracker.start();
    const links = readdirSync(`/proc/${pig.pid}/fd`).map((fd) => readlinkSync(`/proc/${pig.pid}/fd/${fd}`));
    expect(links).not.toContain('anon_inode:[userfaultfd]');
  });

  test('can be opened again after it was stopped', async () => {
    tracker.start();
    tracker.stop();
    const layout = new RamLayout([{ id: 'all', bytes: PAGES * PAGE_SIZE }]);
    using again = KernelDirtyTracker.open(pig.pid, layout, [pig.start]);
    again.start();
    await pig.write(5, 1);
    expect(again.collect()).toEqual([{ first: 5, count: 1 }]);
  });

  test('does not start where another has a region, and then tracks nothing at all', () => {
    using other = Userfaultfd.openInside(pig.pid, { features: 0n, keepInside: false });
    other.register(pig.addressOf(SECOND.from), SECOND.pages * PAGE_SIZE, { missing: true });
    expect(() => tracker.start()).toThrow(
      expect.objectContaining({ details: expect.objectContaining({ errno: 'EBUSY' }) }),
    );
    other[Symbol.dispose]();
    expect(isTracked()).toBe(false);
  });

  test('says that the process is gone, and stops without complaint', async () => {
    tracker.start();
    await pig.kill();
    const gone = expect.objectContaining({ code: 'GW_SYS_PROCESS_GONE' });
    expect(() => tracker.collect()).toThrow(gone);
    expect(() => tracker.peek({ first: 0, count: 1 })).toThrow(gone);
    tracker.stop();
    const layout = new RamLayout([{ id: 'all', bytes: PAGE_SIZE }]);
    expect(() => KernelDirtyTracker.open(pig.pid, layout, [pig.start])).toThrow(gone);
  });
});

requireCapability('vm')('the tracker of a QEMU', () => {
  test('sees the page that the guest writes, and leaves QEMU running', async () => {
    await using qemu = await CountingQemu.start(64);
    const layout = new RamLayout([{ id: 'ram', bytes: qemu.bytes }]);
    using tracker = KernelDirtyTracker.open(qemu.pid, layout, [qemu.start]);
    tracker.start();
    const before = qemu.count();
    while (qemu.count() === before) await qemu.execute('query-status');
    const runs = tracker.collect();
    expect(countPages(runs)).toBeLessThan(64);
    expect(runs.some(({ first, count }) => first <= 1 && first + count > 1)).toBe(true);
    await qemu.execute('stop');
    tracker.collect();
    expect(tracker.collect()).toEqual([]);
    await qemu.execute('cont');
    tracker.stop();
    expect(await qemu.execute('query-status')).toMatchObject({ status: 'running' });
  });
});
