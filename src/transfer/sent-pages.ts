/**
 * What the destination has of each page: for pages that were not changed after all, and for those of which little was.
 *
 * Owns: memory that the packing threads share, 8 bytes for every page of a VM of any size, and hashes of the lines of as
 * many pages as there is room for (sent-lines.ts). Must hold: what is remembered of a page is what was sent of it last,
 * or nothing is; no two threads are at one page at a time, and whoever is at it next is told by a message.
 *
 * A page is left out by 64 bits alone, also where no digest of all memory follows (`--verify` is asked for). That suffices
 * because the hash has a secret seed, of one migration or of one daemon (sent-contents.ts): contents cannot be made to collide, and what changes by itself is
 * taken for unchanged once in 2^64 changes. A VM of 64 GiB that is sent thirty times over has 2^29 of them: one such
 * migration in 2^35 would lose a write, far fewer than memory and links spoil unseen. Wider fingerprints alone would change nothing: of
 * a page that has changed in one line it is that line's hash that tells, and a change in the hash of a line is
 * always one in the page's. Pages of other VMs are another matter: what is told apart there has 128 bits of SHA-256 (page-fingerprint.ts).
 */
import { hashLines, hashPage, LINE_HASH_WORDS } from './line-hash.ts';
import { createSentLines, type Difference, SentLines, type SentLinesShared } from './sent-lines.ts';

/** Plain data, so that it can be posted. */
export interface SentPagesShared {
  /** null: what has not changed is not left out. */
  readonly pages: SharedArrayBuffer | null;
  /** null: what has changed is not told by lines. */
  readonly lines: SentLinesShared | null;
  readonly seed: Int32Array;
}

export interface SentPagesOptions {
  readonly pageCount: number;
  /** Remember all pages, to leave out what has not changed. */
  readonly same: boolean;
  /** For the lines of some pages; 0: they are not remembered. */
  readonly linesBudgetBytes: number;
  /** Two words, where others are to have the same hash of a page; absent: they are made up. */
  readonly seed?: Int32Array | undefined;
}

/** Two words; both zero: nothing is remembered. */
const PAGE_WORDS = 2;
const SAME: Readonly<Difference> = { kind: 'same', low: 0, high: 0, lines: 0 };
const NEW: Readonly<Difference> = { kind: 'new', low: 0, high: 0, lines: 0 };

/** @returns null when nothing is to be remembered */
export function createSentPages(options: SentPagesOptions): SentPagesShared | null {
  const { pageCount, same, linesBudgetBytes, seed } = options;
  if (!same && linesBudgetBytes <= 0 && !seed) return null;
  return {
    // Memory that is not touched is not there: a page costs its 8 bytes once it was sent.
    pages: same ? new SharedArrayBuffer(pageCount * PAGE_WORDS * 4) : null,
    lines: linesBudgetBytes > 0 ? createSentLines(pageCount, linesBudgetBytes) : null,
    seed: seed ?? crypto.getRandomValues(new Int32Array(2)),
  };
}

export class SentPages {
  /** Of the page that was given last, whole: two words. */
  readonly hash: Int32Array = new Int32Array(PAGE_WORDS);
  readonly #pages: Int32Array | undefined;
  readonly #lines: SentLines | undefined;
  readonly #seed: Int32Array;
  readonly #lineHashes = new Int32Array(LINE_HASH_WORDS);

  constructor({ pages, lines, seed }: SentPagesShared) {
    this.#pages = pages ? new Int32Array(pages) : undefined;
    this.#lines = lines ? new SentLines(lines) : undefined;
    this.#seed = seed;
  }

  /**
   * What has changed in the page since it was last given here; remembers it as it is now, which the caller sends.
   * @param words - the page begins at word `at`
   * @returns valid until the next call
   */
  exchange(page: number, words: Int32Array, at: number): Readonly<Difference> {
    hashLines(words, at, this.#lineHashes, 0, this.#seed);
    hashPage(this.#lineHashes, this.hash, 0, this.#seed);
    // The lines of an unchanged page take no room from those of pages that change.
    if (this.#pages && this.#isSame(this.#pages, PAGE_WORDS * page)) return SAME;
    return this.#lines?.exchange(page, this.#lineHashes) ?? NEW;
  }

  /** The destination has something else of these pages now. */
  forget(first: number, count: number): void {
    this.#pages?.fill(0, PAGE_WORDS * first, PAGE_WORDS * (first + count));
    this.#lines?.forget(first, count);
  }

  #isSame(pages: Int32Array, slot: number): boolean {
    const now = this.hash;
    if (pages[slot] === now[0] && pages[slot + 1] === now[1]) return true;
    pages.set(now, slot);
    return false;
  }
}
