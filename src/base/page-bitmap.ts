/**
 * A set of pages, one bit each.
 *
 * Owns: the words of the set. The words may lie in shared memory: `claim` and `release` (and those of runs) are atomic,
 * so two threads never both claim one page; the other methods are for sets with one writer.
 */
import { type PageIndex, type PageRun, RunBuilder } from './page.ts';

/** Page numbers pass through 32-bit signed arithmetic here: 8 TiB of guest memory. */
const MAX_PAGES = 2 ** 31;

export class PageBitmap {
  readonly words: Uint32Array<ArrayBufferLike>;
  readonly pageCount: number;

  constructor(pageCount: number, buffer: ArrayBufferLike = new ArrayBuffer(PageBitmap.byteLength(pageCount))) {
    if (!(pageCount >= 0 && pageCount <= MAX_PAGES)) throw new RangeError(`A bitmap of ${pageCount} pages`);
    this.pageCount = pageCount;
    this.words = new Uint32Array(buffer, 0, Math.ceil(pageCount / 32));
  }

  static byteLength(pageCount: number): number {
    return Math.ceil(pageCount / 32) * 4;
  }

  /** An empty set whose words threads can share by posting `words.buffer`. */
  static shared(pageCount: number): PageBitmap {
    return new PageBitmap(pageCount, new SharedArrayBuffer(PageBitmap.byteLength(pageCount)));
  }

  has(page: PageIndex): boolean {
    return (this.words[page >>> 5]! & (1 << (page & 31))) !== 0;
  }

  add(page: PageIndex): void {
    this.words[page >>> 5]! |= 1 << (page & 31);
  }

  delete(page: PageIndex): void {
    this.words[page >>> 5]! &= ~(1 << (page & 31));
  }

  /** Sets the bit atomically; true when this call set it. */
  claim(page: PageIndex): boolean {
    const bit = 1 << (page & 31);
    return (Atomics.or(this.words, page >>> 5, bit) & bit) === 0;
  }

  /** Clears the bit atomically; true when this call cleared it. */
  release(page: PageIndex): boolean {
    const bit = 1 << (page & 31);
    return (Atomics.and(this.words, page >>> 5, ~bit) & bit) !== 0;
  }

  /** Sets the bits of the run, each word atomically. */
  claimRun(first: PageIndex, count: number): void {
    this.#eachWord(first, count, (word, mask) => {
      Atomics.or(this.words, word, mask);
    });
  }

  /** Clears the bits of the run, each word atomically. */
  releaseRun(first: PageIndex, count: number): void {
    this.#eachWord(first, count, (word, mask) => {
      Atomics.and(this.words, word, ~mask);
    });
  }

  addRun(first: PageIndex, count: number): void {
    this.#eachWord(first, count, (word, mask) => {
      this.words[word]! |= mask;
    });
  }

  deleteRun(first: PageIndex, count: number): void {
    this.#eachWord(first, count, (word, mask) => {
      this.words[word]! &= ~mask;
    });
  }

  addRuns(runs: Iterable<PageRun>): void {
    for (const run of runs) this.addRun(run.first, run.count);
  }

  clear(): void {
    this.words.fill(0);
  }

  count(): number {
    let total = 0;
    for (let i = 0; i < this.words.length; i++) total += popCount(this.words[i]!);
    return total;
  }

  isEmpty(): boolean {
    for (let i = 0; i < this.words.length; i++) if (this.words[i] !== 0) return false;
    return true;
  }

  /** The first page of [from, to) that is in the set, or -1. */
  next(from: PageIndex, to: PageIndex = this.pageCount): PageIndex {
    const end = Math.min(to, this.pageCount);
    if (from >= end) return -1;
    const lastWord = (end - 1) >>> 5;
    let word = from >>> 5;
    let bits = this.words[word]! & (-1 << (from & 31));
    while (bits === 0) {
      word++;
      if (word > lastWord) return -1;
      bits = this.words[word]!;
    }
    const page = (word << 5) + 31 - Math.clz32(bits & -bits);
    return page < end ? page : -1;
  }

  /** The last page of [from, to) that is in the set, or -1. */
  previous(to: PageIndex, from: PageIndex = 0): PageIndex {
    const last = Math.min(to, this.pageCount) - 1;
    if (last < from) return -1;
    const firstWord = from >>> 5;
    let word = last >>> 5;
    let bits = this.words[word]! & (-1 >>> (31 - (last & 31)));
    while (bits === 0) {
      word--;
      if (word < firstWord) return -1;
      bits = this.words[word]!;
    }
    const page = (word << 5) + 31 - Math.clz32(bits);
    return page >= from ? page : -1;
  }

  /** The runs of the set within [from, to). */
  runs(from: PageIndex = 0, to: PageIndex = this.pageCount): PageRun[] {
    const out = new RunBuilder();
    const end = Math.min(to, this.pageCount);
    for (let w = from >>> 5; w < Math.ceil(end / 32); w++) {
      let bits = this.words[w]!;
      if (bits === 0) continue;
      const base = w << 5;
      if (bits === -1 >>> 0 && base >= from && base + 32 <= end) {
        out.add(base, 32);
        continue;
      }
      while (bits !== 0) {
        const page = base + 31 - Math.clz32(bits & -bits);
        bits &= bits - 1;
        if (page >= from && page < end) out.add(page, 1);
      }
    }
    return out.finish();
  }

  #eachWord(first: PageIndex, count: number, apply: (word: number, mask: number) => void): void {
    if (count <= 0) return;
    const last = first + count - 1;
    const firstWord = first >>> 5;
    const lastWord = last >>> 5;
    for (let w = firstWord; w <= lastWord; w++) {
      let mask = -1;
      if (w === firstWord) mask &= -1 << (first & 31);
      if (w === lastWord && (last & 31) !== 31) mask &= (1 << ((last & 31) + 1)) - 1;
      apply(w, mask);
    }
  }
}

/** The pages that lie in one list or the other, of a VM of `pageCount` pages. */
export function uniteRuns(a: readonly PageRun[], b: readonly PageRun[], pageCount: number): readonly PageRun[] {
  if (a.length === 0) return b;
  if (b.length === 0) return a;
  const pages = new PageBitmap(pageCount);
  pages.addRuns(a);
  pages.addRuns(b);
  return pages.runs();
}

function popCount(value: number): number {
  let v = value - ((value >>> 1) & 0x55555555);
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333);
  return Math.imul((v + (v >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
