import { expect, test, vi } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { GuineaPig } from '../../test/support/guinea-pig.ts';
import { SocketPair } from '../../test/support/socket-pair.ts';
import { PAGE_SIZE, type PageRun } from '../base/page.ts';
import { PageBitmap } from '../base/page-bitmap.ts';
import { UFFD_FEATURE_MISSING_SHMEM } from '../linux/abi/userfaultfd.ts';
import { RamFile } from '../linux/ram-file.ts';
import { descriptorOf, sendFromFile } from '../linux/socket.ts';
import { Userfaultfd } from '../linux/userfaultfd.ts';
import { GuestMemory } from './guest-memory.ts';
import { RamLayout } from './layout.ts';
import { makeMissing } from './missing-pages.ts';
import { createMissingPages, PageInstaller } from './page-installer.ts';

/** Of 2 MiB. */
const HUGE_PAGES = 512;
const PAGES = 3 * HUGE_PAGES;
const BYTES = PAGES * PAGE_SIZE;

const page = (value: number): Uint8Array => new Uint8Array(PAGE_SIZE).fill(value);

interface Stage {
  readonly pig: GuineaPig;
  readonly file: RamFile;
  readonly memory: GuestMemory;
  readonly received: PageBitmap;
  readonly installer: PageInstaller;
  /** As a page that comes before the switchover. */
  receive(page: number): void;
  /** The calls that it took. */
  forget(...runs: readonly PageRun[]): { punched: number; searched: number };
}

requireCapability('kernel', 'cc')('pages that are made missing', () => {
  async function withMemory(huge: 'always' | 'never', run: (stage: Stage) => Promise<void> | void): Promise<void> {
    await using pig = await GuineaPig.start(PAGES, 2 * PAGES, huge);
    using uffd = Userfaultfd.openInside(pig.pid, { features: UFFD_FEATURE_MISSING_SHMEM, keepInside: false });
    uffd.register(pig.start, BYTES, { missing: true });
    const layout = new RamLayout([{ id: 'ram', bytes: BYTES }]);
    const file = RamFile.open(pig.path, BYTES);
    using memory = new GuestMemory(layout, [file]);
    const received = new PageBitmap(PAGES);
    await run({
      ...{ pig, file, memory, received },
      installer: new PageInstaller(createMissingPages(PAGES), layout, [pig.start], uffd),
      receive(at) {
        memory.writePages({ first: at, count: 1 }, page(at % 256));
        received.add(at);
      },
      forget(...runs) {
        const punch = vi.spyOn(memory, 'punch');
        const search = vi.spyOn(memory, 'dataRuns');
        makeMissing(memory, runs, received);
        const calls = { punched: punch.mock.calls.length, searched: search.mock.calls.length };
        vi.restoreAllMocks();
        return calls;
      },
    });
  }

  test.each(['always', 'never'] as const)('are waited for where huge pages are taken: %s', async (huge) => {
    await withMemory(huge, async ({ pig, memory, received, installer, receive, forget }) => {
      receive(5);
      receive(9);
      receive(HUGE_PAGES + 1);
      const runs = [
        { first: 6, count: 300 },
        { first: HUGE_PAGES + 1, count: 600 },
      ];
      forget(...runs);
      installer.expect(runs);
      expect(received.runs()).toEqual([{ first: 5, count: 1 }]);
      expect(memory.dataRuns(6, 306)).toEqual([]);
      for (const missing of [7, 9, HUGE_PAGES + 1, HUGE_PAGES + 500]) {
        await pig.readOnThread(missing);
        installer.install([{ first: missing, count: 1 }], page(77));
        expect(await pig.answer()).toBe(`${missing}=77`);
      }
      expect(await pig.read(5)).toBe(5);
    });
  });

  test('cost nothing where they never came', async () => {
    await withMemory('never', ({ receive, forget }) => {
      for (const at of [5, 9, 10, 40]) receive(at);
      const runs = [0, 6, 20, 30, 50, 60].map((first) => ({ first, count: 5 }));
      expect(forget(...runs)).toEqual({ punched: 1, searched: 0 });
    });
  });

  test('are missing also where something else brought one', async () => {
    await withMemory('never', ({ memory, receive, forget }) => {
      receive(5);
      memory.writePages({ first: 8, count: 1 }, page(0));
      expect(forget({ first: 6, count: 10 }).punched).toBe(1);
      expect(memory.dataRuns()).toEqual([{ first: 5, count: 1 }]);
    });
  });

  test.each([false, true])('are refused when the kernel keeps them; all of the huge page came: %s', async (whole) => {
    await withMemory('always', async ({ file, receive, forget }) => {
      for (let at = 0; at < (whole ? HUGE_PAGES : 1); at++) receive(at);
      using pair = await SocketPair.open();
      // What is on its way on a socket is pinned, and cannot be split.
      sendFromFile(descriptorOf(pair.near), file.fd, 100 * PAGE_SIZE, PAGE_SIZE);
      const refusal = expect.objectContaining({
        code: 'GW_SYS_UNSUPPORTED',
        message: expect.stringContaining('the kernel keeps 10 pages'),
      });
      expect(() => forget({ first: 6, count: 10 })).toThrow(refusal);
    });
  });
});
