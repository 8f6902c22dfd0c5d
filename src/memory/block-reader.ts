/**
 * Memory of several VMs, read page by page, and again at single places.
 *
 * Owns: the staging, and the pages that were read again last. Must hold: no hole is filled by it.
 */
import { PAGE_SIZE, type PageIndex, type PageRun } from '../base/page.ts';
import type { GuestMemory } from './guest-memory.ts';

export type ReadableMemory = Pick<GuestMemory, 'dataRuns' | 'readPages'>;

const STAGING_PAGES = 256;
/** What VMs of one image have in common mostly lies in the same order: the next place is in the page of the last. */
const KEPT_PAGES = 1024;

export class BlockReader {
  readonly #memories: readonly ReadableMemory[];
  readonly #grainBytes: number;
  readonly #pages: Uint8Array = new Uint8Array(KEPT_PAGES * PAGE_SIZE);
  /** Which page is at each place; NaN: none. */
  readonly #kept: Float64Array = new Float64Array(KEPT_PAGES).fill(Number.NaN);

  constructor(memories: readonly ReadableMemory[], grainBytes: number) {
    this.#memories = memories;
    this.#grainBytes = grainBytes;
  }

  /** Every page of the runs, in stretches; `index` is its place in the stretch. */
  static eachPage(
    memory: ReadableMemory,
    runs: readonly PageRun[],
    use: (page: PageIndex, contents: Uint8Array, words: Int32Array, index: number) => void,
  ): void {
    const staging = new Uint8Array(STAGING_PAGES * PAGE_SIZE);
    const words = new Int32Array(staging.buffer);
    for (const run of runs) {
      for (let first = run.first; first < run.first + run.count; first += STAGING_PAGES) {
        const count = Math.min(STAGING_PAGES, run.first + run.count - first);
        memory.readPages({ first, count }, staging.subarray(0, count * PAGE_SIZE));
        for (let index = 0; index < count; index++) use(first + index, staging, words, index);
      }
    }
  }

  /** @param at - counts blocks from the VM's first page */
  isEqual(vm: number, at: number, bytes: Uint8Array): boolean {
    const perPage = PAGE_SIZE / this.#grainBytes;
    const page = Math.floor(at / perPage);
    const place = page % KEPT_PAGES;
    const name = page * this.#memories.length + vm;
    const contents = this.#pages.subarray(place * PAGE_SIZE, (place + 1) * PAGE_SIZE);
    if (this.#kept[place] !== name) {
      this.#memories[vm]!.readPages({ first: page, count: 1 }, contents);
      this.#kept[place] = name;
    }
    const from = (at % perPage) * this.#grainBytes;
    return Buffer.compare(contents.subarray(from, from + this.#grainBytes), bytes) === 0;
  }
}
