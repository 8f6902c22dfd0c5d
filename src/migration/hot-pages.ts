/**
 * Owed pages that were written lately, hottest first.
 *
 * Owns: blocks of 32 pages, each in the queue of the heat of its hottest owed page: 4 bytes for 32 pages, beside the
 * heat itself. Pure. Must hold: whenever a block is looked at one of its pages goes, or it goes to a colder queue, so a
 * page costs a few looks at its block, however large the VM; pages are taken by `release`, as others take them too.
 */
import type { PageIndex } from '../base/page.ts';
import type { PageBitmap } from '../base/page-bitmap.ts';
import type { PageHeat } from '../memory/page-heat.ts';

/** One word of the bitmap of owed pages. */
const BLOCK_PAGES = 32;
const HOTTEST = 255;
const NONE = -1;

export class HotPages {
  readonly #owed: PageBitmap;
  readonly #heat: PageHeat;
  /** By heat: the first and the last block of the queue, and by block the one behind it. */
  readonly #first = new Int32Array(HOTTEST + 1).fill(NONE);
  readonly #last = new Int32Array(HOTTEST + 1).fill(NONE);
  readonly #behind: Int32Array;
  #hottest = HOTTEST;

  /** Looks once at the heat of each page that is owed. */
  constructor(owed: PageBitmap, heat: PageHeat) {
    this.#owed = owed;
    this.#heat = heat;
    this.#behind = new Int32Array(owed.words.length);
    for (let block = 0; block < owed.words.length; block++) this.#file(block);
  }

  /** Takes up to so many pages. */
  take(most: number, into: PageIndex[]): void {
    const full = into.length + most;
    while (into.length < full && this.#hottest > 0) {
      const block = this.#first[this.#hottest]!;
      if (block === NONE) {
        this.#hottest--;
        continue;
      }
      this.#takeOf(block, full, into);
      // Full in the middle of a block: the next call looks at it again.
      if (into.length === full) return;
      this.#first[this.#hottest] = this.#behind[block]!;
      this.#file(block);
    }
  }

  #takeOf(block: number, full: number, into: PageIndex[]): void {
    for (let bits = this.#owed.words[block]!; bits !== 0 && into.length < full; bits &= bits - 1) {
      const page = firstOf(block, bits);
      if (this.#heat.of(page) === this.#hottest && this.#owed.release(page)) into.push(page);
    }
  }

  /** Puts a block at the end of the queue of its hottest page. */
  #file(block: number): void {
    let hottest = 0;
    for (let bits = this.#owed.words[block]!; bits !== 0; bits &= bits - 1) {
      hottest = Math.max(hottest, this.#heat.of(firstOf(block, bits)));
    }
    const last = this.#first[hottest] === NONE ? NONE : this.#last[hottest]!;
    if (last === NONE) this.#first[hottest] = block;
    else this.#behind[last] = block;
    this.#last[hottest] = block;
    this.#behind[block] = NONE;
  }
}

/** The page of the lowest bit. */
function firstOf(block: number, bits: number): PageIndex {
  return block * BLOCK_PAGES + 31 - Math.clz32(bits & -bits);
}
