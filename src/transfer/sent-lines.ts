/**
 * What the destination has of a page, as hashes of its lines: for pages of which a few lines were changed.
 *
 * Owns: a table that the packing threads share, of as many pages as the budget allows; a page has one place, and the
 * page that was sent last has it. Must hold: an entry is what was sent last of that page, or there is none; two threads
 * never use one entry at a time (who finds it in use does without).
 */
import { LINE_HASH_WORDS, LINES_PER_PAGE } from './line-hash.ts';

/** Plain data, so that it can be posted. */
export interface SentLinesShared {
  readonly tags: SharedArrayBuffer;
  readonly hashes: SharedArrayBuffer;
}

const NONE = 0;
const IN_USE = -1;
const ENTRY_BYTES = LINE_HASH_WORDS * 4 + 4;

export interface Difference {
  /** `new`: nothing is known of what was sent; `same`: nothing has changed since; else the mask says which lines have. */
  kind: 'new' | 'same' | 'changed';
  /** A bit for each line, the first is bit 0 of `low`. */
  low: number;
  high: number;
  lines: number;
}

/** @param budgetBytes - the table takes no more, and no more than all pages need */
export function createSentLines(pageCount: number, budgetBytes: number): SentLinesShared {
  const entries = Math.max(1, Math.min(pageCount, Math.floor(budgetBytes / ENTRY_BYTES)));
  return {
    tags: new SharedArrayBuffer(entries * 4),
    hashes: new SharedArrayBuffer(entries * LINE_HASH_WORDS * 4),
  };
}

export class SentLines {
  /** Page number + 1, NONE or IN_USE. */
  readonly #tags: Int32Array;
  readonly #hashes: Int32Array;
  readonly #difference: Difference = { kind: 'new', low: 0, high: 0, lines: 0 };

  constructor(shared: SentLinesShared) {
    this.#tags = new Int32Array(shared.tags);
    this.#hashes = new Int32Array(shared.hashes);
  }

  /**
   * What has changed in the page since it was last given here; remembers it as it is now, which the caller sends.
   * @param now - the hashes of its lines
   * @returns valid until the next call
   */
  exchange(page: number, now: Int32Array): Readonly<Difference> {
    const difference = this.#difference;
    difference.kind = 'new';
    const slot = page % this.#tags.length;
    const tag = Atomics.load(this.#tags, slot);
    if (tag === IN_USE || Atomics.compareExchange(this.#tags, slot, tag, IN_USE) !== tag) return difference;
    const base = slot * LINE_HASH_WORDS;
    if (tag === page + 1) this.#compare(now, base);
    this.#hashes.set(now, base);
    Atomics.store(this.#tags, slot, page + 1);
    return difference;
  }

  /** The destination has something else of these pages now. */
  forget(first: number, count: number): void {
    for (let page = first; page < first + count; page++) {
      Atomics.compareExchange(this.#tags, page % this.#tags.length, page + 1, NONE);
    }
  }

  #compare(now: Int32Array, base: number): void {
    const hashes = this.#hashes;
    let low = 0;
    let high = 0;
    let lines = 0;
    for (let line = 0; line < LINES_PER_PAGE; line++) {
      const at = 2 * line;
      if (now[at] === hashes[base + at] && now[at + 1] === hashes[base + at + 1]) continue;
      lines++;
      if (line < 32) low |= 1 << line;
      else high |= 1 << (line - 32);
    }
    const difference = this.#difference;
    difference.kind = lines === 0 ? 'same' : 'changed';
    difference.low = low >>> 0;
    difference.high = high >>> 0;
    difference.lines = lines;
  }
}
