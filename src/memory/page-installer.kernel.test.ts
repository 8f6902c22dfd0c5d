import { expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { GuineaPig } from '../../test/support/guinea-pig.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { UFFD_FEATURE_MISSING_SHMEM } from '../linux/abi/userfaultfd.ts';
import { RamFile } from '../linux/ram-file.ts';
import { Userfaultfd } from '../linux/userfaultfd.ts';
import { GuestMemory } from './guest-memory.ts';
import { RamLayout } from './layout.ts';
import { createMissingPages, PageInstaller } from './page-installer.ts';

const PAGES = 16;
const BYTES = PAGES * PAGE_SIZE;

requireCapability('kernel', 'cc')('a page installer', () => {
  async function withInstaller(run: (installer: PageInstaller, memory: GuestMemory) => void): Promise<void> {
    await using pig = await GuineaPig.start(PAGES);
    using uffd = Userfaultfd.openInside(pig.pid, { features: UFFD_FEATURE_MISSING_SHMEM, keepInside: false });
    uffd.register(pig.start, BYTES, { missing: true });
    const layout = new RamLayout([{ id: 'ram', bytes: BYTES }]);
    using memory = new GuestMemory(layout, [RamFile.open(pig.path, BYTES)]);
    run(new PageInstaller(createMissingPages(PAGES), layout, [pig.start], uffd), memory);
  }

  const page = (value: number) => new Uint8Array(PAGE_SIZE).fill(value);
  const read = (memory: GuestMemory, first: number) => {
    const into = new Uint8Array(PAGE_SIZE);
    memory.readPages({ first, count: 1 }, into);
    return into[0];
  };

  test('installs a page once, and none that is not missing', async () => {
    await withInstaller((installer, memory) => {
      expect(installer.expect([{ first: 2, count: 2 }])).toBe(2);
      expect(installer.install([{ first: 2, count: 1 }], page(7))).toBe(1);
      expect(installer.install([{ first: 2, count: 1 }], page(8))).toBe(0);
      expect(installer.install([{ first: 9, count: 1 }], page(8))).toBe(0);
      expect([read(memory, 2), read(memory, 9), installer.remaining]).toEqual([7, 0, 1]);
    });
  });
});
