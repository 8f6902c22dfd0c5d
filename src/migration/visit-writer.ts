/**
 * Writes down the memory of a VM that has left, for the day when it comes back.
 *
 * Owns: descriptors of the VM's RAM files, which outlive its QEMU. Must hold: it is begun only when the VM is another
 * host's for good; what is written is only of use with its index, which comes last.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { countPages, PAGE_SIZE } from '../base/page.ts';
import { type ContentIndex, INDEX_ENTRY_BYTES, writeContentIndex } from '../memory/content-index.ts';
import { MAX_INDEXED_PAGES, scanContents } from '../memory/content-scan.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import type { PageFingerprint } from '../memory/page-fingerprint.ts';
import { type VisitPolicy, VisitStore } from './visit-store.ts';

export class VisitWriter implements Disposable {
  readonly #memory: GuestMemory;
  readonly #store: VisitStore;

  /** @param memory - stays its owner's; other descriptors of the same files are opened */
  constructor(memory: GuestMemory, policy: VisitPolicy) {
    const paths = memory.ownPaths();
    this.#memory = GuestMemory.open(memory.layout, paths);
    this.#store = new VisitStore(policy);
  }

  /** On this thread, at the speed of the disk or 0.5 GB/s. False when the budget has no room for it. */
  write(uuid: string, fingerprint: PageFingerprint): boolean {
    const pages = Math.min(MAX_INDEXED_PAGES, countPages(this.#memory.dataRuns()));
    const paths = this.#store.begin(uuid, pages * (PAGE_SIZE + INDEX_ENTRY_BYTES));
    if (!paths) return false;
    try {
      // Every page where it lies in the VM, so that what was a hole is one in the image.
      const fd = openSync(paths.imagePath, 'wx', 0o600);
      let index: ContentIndex;
      try {
        index = scanContents(this.#memory, fingerprint, (first, contents) => {
          writeWhole(fd, contents, first * PAGE_SIZE);
        });
      } finally {
        closeSync(fd);
      }
      writeContentIndex(paths.indexPath, index, fingerprint);
    } catch (error) {
      this.#store.remove(uuid);
      throw error;
    }
    this.#store.shrink();
    return true;
  }

  [Symbol.dispose](): void {
    this.#memory[Symbol.dispose]();
  }
}

function writeWhole(fd: number, bytes: Uint8Array, position: number): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, position + at);
}
