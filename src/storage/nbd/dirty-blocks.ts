/**
 * Which blocks of an image were written since somebody looked.
 *
 * Owns: one bit a block. Pure.
 * Must hold: a bit is set before the write begins; `collect` sets those again that are being written at this moment,
 * because whoever copies a collected block may read it before the write does anything.
 */
import { PageBitmap } from '../../base/page-bitmap.ts';

/** Large enough that 1 TiB needs 2 MiB of bits, small enough that a small write costs little to copy again. */
export const DEFAULT_DIRTY_BLOCK_BYTES: number = 64 * 1024;

export interface ByteRange {
  readonly offset: number;
  readonly bytes: number;
}

export class DirtyBlocks {
  readonly blockBytes: number;
  readonly #imageBytes: number;
  readonly #bits: PageBitmap;

  /** @param blockBytes - a power of two */
  constructor(imageBytes: number, blockBytes: number = DEFAULT_DIRTY_BLOCK_BYTES) {
    this.#imageBytes = imageBytes;
    this.blockBytes = blockBytes;
    this.#bits = new PageBitmap(Math.ceil(imageBytes / blockBytes));
  }

  mark(offset: number, bytes: number): void {
    if (bytes === 0) return;
    const first = Math.floor(offset / this.blockBytes);
    this.#bits.addRun(first, Math.ceil((offset + bytes) / this.blockBytes) - first);
  }

  /** Bytes of all blocks that `collect` would return, the last one counted as whole. */
  get dirtyBytes(): number {
    return this.#bits.count() * this.blockBytes;
  }

  /**
   * What was written since the last call, in whole blocks as far as the image has them, and forgets it.
   *
   * @param changing - what is being written at this moment: it is returned, and will be again
   * @param maxRanges - more than so many are left for the next call
   */
  collect(
    changing: Iterable<ByteRange>,
    maxRanges: number = Number.POSITIVE_INFINITY,
  ): { readonly ranges: ByteRange[]; readonly isAll: boolean } {
    const all = this.#bits.runs();
    const ranges = all.slice(0, maxRanges).map(({ first, count }) => {
      const offset = first * this.blockBytes;
      return { offset, bytes: Math.min(count * this.blockBytes, this.#imageBytes - offset) };
    });
    this.#bits.clear();
    for (const { first, count } of all.slice(maxRanges)) this.#bits.addRun(first, count);
    for (const { offset, bytes } of changing) this.mark(offset, bytes);
    return { ranges, isAll: all.length <= maxRanges };
  }
}
