/**
 * What every dirty tracker must do to a process, whatever it is made of.
 *
 * Must hold: a tracker in these tests finds single pages, so that what it reports is what was written.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { PAGE_SIZE } from '../../src/base/page.ts';
import { PageBitmap } from '../../src/base/page-bitmap.ts';
import { Userfaultfd } from '../../src/linux/userfaultfd.ts';
import type { DirtyTracker } from '../../src/memory/dirty-tracker.ts';
import { RamLayout } from '../../src/memory/layout.ts';
import { requireCapability } from './capability.ts';
import { GuineaPig } from './guinea-pig.ts';

type Open = (pid: number, layout: RamLayout, starts: readonly bigint[]) => DirtyTracker | Promise<DirtyTracker>;

const PAGES = 1000;
/** Two regions that do not touch: pages 100–399 of the mapping, and 600–999. */
const FIRST = { from: 100, pages: 300 };
const SECOND = { from: 600, pages: 400 };

export function describeTracker(name: string, open: Open): void {
  requireCapability('kernel', 'cc')(name, () => {
    let pig: GuineaPig;
    let tracker: DirtyTracker;

    beforeEach(async () => {
      pig = await GuineaPig.start(PAGES);
      const layout = new RamLayout([
        { id: 'first', bytes: FIRST.pages * PAGE_SIZE },
        { id: 'second', bytes: SECOND.pages * PAGE_SIZE },
      ]);
      tracker = await open(pig.pid, layout, [pig.addressOf(FIRST.from), pig.addressOf(SECOND.from)]);
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
      using again = await open(pig.pid, layout, [pig.start]);
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
      await expect(async () => await open(pig.pid, layout, [pig.start])).rejects.toThrow(gone);
    });
  });
}
