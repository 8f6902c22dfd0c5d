import { afterEach, beforeEach, expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { GuineaPig } from '../../test/support/guinea-pig.ts';
import { PAGE_SIZE, type PageRun } from '../base/page.ts';
import { PageBitmap } from '../base/page-bitmap.ts';
import { UFFD_FEATURE_PAGEFAULT_FLAG_WP, UFFD_FEATURE_WP_ASYNC } from './abi/userfaultfd.ts';
import { DirtyScanner } from './pagemap.ts';
import { Userfaultfd } from './userfaultfd.ts';

// More than the 65536 regions of one scan can result when every other page is dirty.
const PAGES = 160_000;

requireCapability('kernel', 'cc')('a dirty scanner', () => {
  let pig: GuineaPig;
  let uffd: Userfaultfd;
  let scanner: DirtyScanner;

  beforeEach(async () => {
    pig = await GuineaPig.start(PAGES);
    const features = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_ASYNC;
    uffd = Userfaultfd.openInside(pig.pid, { features, keepInside: false });
    uffd.register(pig.start, PAGES * PAGE_SIZE, { writeProtect: true });
    scanner = new DirtyScanner(pig.pid, pig.start, PAGES * PAGE_SIZE);
    scanner.arm();
  });

  afterEach(async () => {
    scanner[Symbol.dispose]();
    uffd[Symbol.dispose]();
    await pig[Symbol.asyncDispose]();
  });

  test('finds exactly the pages written since the last look', async () => {
    expect(scanner.collect()).toEqual([]);
    await pig.write(3, 1);
    await pig.write(4, 1);
    await pig.write(PAGES - 1, 1);
    await pig.read(100);
    const written = [
      { first: 3, count: 2 },
      { first: PAGES - 1, count: 1 },
    ];
    expect(scanner.peek()).toEqual(written);
    expect(scanner.collect()).toEqual(written);
    expect(scanner.collect()).toEqual([]);
    await pig.write(4, 2);
    expect(scanner.collect()).toEqual([{ first: 4, count: 1 }]);
  });

  test('finds random writes exactly, round after round', async () => {
    for (let round = 0; round < 5; round++) {
      const written = new PageBitmap(PAGES);
      for (let i = 0; i < 400; i++) {
        const page = Math.floor(Math.random() * PAGES);
        written.add(page);
        await pig.write(page, round);
      }
      expect(scanner.collect()).toEqual(written.runs());
    }
  });

  test('goes on where a full result ended: neither twice nor not at all', async () => {
    const expected: PageRun[] = [];
    for (let page = 0; page < PAGES; page += 2) expected.push({ first: page, count: 1 });
    await pig.writeEverySecond();
    expect(expected.length).toBeGreaterThan(65_536);
    expect(scanner.peek()).toEqual(expected);
    expect(scanner.collect()).toEqual(expected);
    expect(scanner.collect()).toEqual([]);
  });

  test('looks at a part only, and leaves the rest dirty', async () => {
    await pig.write(10, 1);
    await pig.write(20, 1);
    expect(scanner.collect(0, 15)).toEqual([{ first: 10, count: 1 }]);
    expect(scanner.peek(20, 1)).toEqual([{ first: 20, count: 1 }]);
    expect(scanner.collect(15)).toEqual([{ first: 20, count: 1 }]);
    expect(() => scanner.collect(PAGES, 1)).toThrow(RangeError);
  });

  test('tells which pages are in the page tables', async () => {
    const before = scanner.present();
    await pig.write(7, 1);
    expect(before).toEqual([]);
    expect(scanner.present()).toEqual([{ first: 7, count: 1 }]);
  });

  test('refuses a range that is not tracked instead of calling all of it dirty', () => {
    uffd.unregister(pig.start, PAGES * PAGE_SIZE);
    const refused = expect.objectContaining({ details: expect.objectContaining({ errno: 'EPERM' }) });
    expect(() => scanner.collect()).toThrow(refused);
    expect(() => scanner.peek()).toThrow(refused);
    expect(() => scanner.arm()).toThrow(refused);
  });

  test('says that the process is gone instead of finding nothing dirty', async () => {
    await pig.write(1, 1);
    await pig.kill();
    const gone = expect.objectContaining({ code: 'GW_SYS_PROCESS_GONE' });
    expect(() => scanner.collect()).toThrow(gone);
    expect(() => scanner.peek(0, 10)).toThrow(gone);
    expect(() => scanner.present()).toThrow(gone);
    expect(() => scanner.arm()).toThrow(gone);
    expect(() => new DirtyScanner(pig.pid, pig.start, PAGE_SIZE)).toThrow(gone);
  });
});
