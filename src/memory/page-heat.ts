/**
 * How hot each page is: in which of the last eight looks it was found written.
 *
 * Owns: one byte a page, the latest look in its highest bit. So the byte as a number orders pages by how recently and how
 * often they were written, and its leading ones are the looks in a row. Pure.
 */
import { type PageIndex, type PageRun, RunBuilder } from '../base/page.ts';

const LATEST = 0x80;
/** As many looks as are remembered. */
export const MAX_STREAK = 8;
/** Four pages at a time: each byte halved, and no bit carried over from its neighbour. */
const HALVED = 0x7f7f7f7f;

export class PageHeat {
  readonly #heat: Uint8Array;
  readonly #words: Uint32Array;

  constructor(pageCount: number) {
    this.#words = new Uint32Array(Math.ceil(pageCount / 4));
    this.#heat = new Uint8Array(this.#words.buffer, 0, pageCount);
  }

  /** A look found these pages written, and no others. */
  look(written: readonly PageRun[]): void {
    const words = this.#words;
    for (let i = 0; i < words.length; i++) words[i] = (words[i]! >>> 1) & HALVED;
    for (const { first, count } of written) {
      for (let page = first; page < first + count; page++) this.#heat[page]! |= LATEST;
    }
  }

  /** 0 (not written in the last looks) to 255 (in all of them). */
  of(page: PageIndex): number {
    return this.#heat[page]!;
  }

  /** Those of the pages that were found written in so many looks in a row, up to the last one. */
  inRow(runs: readonly PageRun[], looks: number): PageRun[] {
    const least = 0x100 - 2 ** (MAX_STREAK - looks);
    const hot = new RunBuilder();
    for (const { first, count } of runs) {
      for (let page = first; page < first + count; page++) if (this.#heat[page]! >= least) hot.add(page, 1);
    }
    return hot.finish();
  }
}
