/**
 * Guest memory without a guest: RAM files of /dev/shm for tests.
 *
 * Owns: the files; removed with the object.
 */
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { PAGE_SIZE } from '../../src/base/page.ts';
import { RamFile } from '../../src/linux/ram-file.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import { RamLayout } from '../../src/memory/layout.ts';
import { SHARED_MEMORY_PREFIX } from './temp-directory.ts';

export class ScratchMemory implements Disposable {
  readonly memory: GuestMemory;
  readonly #directory = mkdtempSync(SHARED_MEMORY_PREFIX);

  /** @param regionPages - the size of each region */
  constructor(...regionPages: number[]) {
    const layout = new RamLayout(regionPages.map((pages, i) => ({ id: `ram${i}`, bytes: pages * PAGE_SIZE })));
    const files = layout.regions.map(({ id, bytes }) => {
      const fd = openSync(join(this.#directory, id), 'w');
      ftruncateSync(fd, bytes);
      closeSync(fd);
      return RamFile.open(join(this.#directory, id), bytes);
    });
    this.memory = new GuestMemory(layout, files);
  }

  /** Fills pages with a byte each. */
  fill(first: number, ...values: number[]): void {
    values.forEach((value, i) => {
      this.memory.writePages({ first: first + i, count: 1 }, new Uint8Array(PAGE_SIZE).fill(value));
    });
  }

  /** Pages that take memory of the host. */
  residentPages(): number {
    const sizes = this.memory.layout.regions.map(({ id }) => statSync(join(this.#directory, id)).blocks / 8);
    return sizes.reduce((sum, pages) => sum + pages, 0);
  }

  [Symbol.dispose](): void {
    this.memory[Symbol.dispose]();
    rmSync(this.#directory, { recursive: true });
  }
}
