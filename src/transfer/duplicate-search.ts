/**
 * Whether it is worth looking for pages among what the destination holds.
 *
 * Owns: the rule. Must hold: pure. Looking costs a cryptographic hash for each page; where hardly any is found it is done
 * now and then only, and not at all once the destination often has not got what it said.
 */

/** Finding fewer saves less than looking costs on a link that is just slow enough to look. */
const WORTHWHILE_PART = 0.03;
/** So many pages are looked for before anything is concluded. */
const ENOUGH_PAGES = 2048;
/** Where few are found only one batch of so many is looked through. */
const SELDOM_BATCHES = 16;
/** Of what was found so much may be missing: contents change while they are looked for. */
const TOLERATED_MISSES = 0.5;

export class DuplicateSearch {
  #pages = 0;
  #found = 0;
  #allFound = 0;
  #missed = 0;
  #batches = 0;

  /** What is named is mostly there. */
  get isTrusted(): boolean {
    return this.#allFound < ENOUGH_PAGES || this.#missed <= this.#allFound * TOLERATED_MISSES;
  }

  /** Before each batch. */
  isWorthwhile(): boolean {
    if (!this.isTrusted) return false;
    const isSeldom = this.#pages >= ENOUGH_PAGES && this.#found < this.#pages * WORTHWHILE_PART;
    return !isSeldom || this.#batches++ % SELDOM_BATCHES === 0;
  }

  /** What came of a batch that was looked through. */
  learn(pages: number, found: number): void {
    // What was long ago counts half.
    if (this.#pages >= 2 * ENOUGH_PAGES) {
      this.#pages /= 2;
      this.#found /= 2;
    }
    this.#pages += pages;
    this.#found += found;
    this.#allFound += found;
  }

  /** So many were found without looking through a batch. */
  name(pages: number): void {
    this.#allFound += pages;
  }

  /** The destination has not got so many of what was found. */
  miss(pages: number): void {
    this.#missed += pages;
  }
}
