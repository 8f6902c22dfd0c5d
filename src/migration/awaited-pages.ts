/**
 * Pages that were named before the contents had come to the VM that they were said to be in: VMs that move side by side
 * name pages that are still on the way, on another connection.
 *
 * Owns: which pages wait for what, and when each is looked at again. Must hold: it is bounded, and looking costs little
 * while nothing has come.
 */
import type { PageIndex } from '../base/page.ts';
import type { Elsewhere } from '../wire/packed-pages.ts';

export interface AwaitedPage {
  readonly page: PageIndex;
  readonly place: Elsewhere;
}

/** Tries to put the page in its place; true when it is no longer waited for. */
export type TryPage = (awaited: AwaitedPage) => boolean;

/** Those of one frame, of which mostly all have come or none. */
interface Batch {
  pages: readonly AwaitedPage[];
  dueMs: number;
  pauseMs: number;
}

/** Of one page channel: 16 MB at worst. What is too many is sent. */
const MAX_PAGES = 65_536;
/** A frame of the other VM takes some milliseconds on a link of 1 Gbit/s, and some wait before it. */
const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 160;
/** After so many of a batch that have not come, one after the other, the rest is left for the next time. */
const ENOUGH_TRIES = 8;

export class AwaitedPages {
  #batches: Batch[] = [];
  /** Of the frame that is being taken. */
  #coming: AwaitedPage[] = [];
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** When something is to be looked at again. */
  get dueMs(): number {
    return this.#batches.reduce((least, { dueMs }) => Math.min(least, dueMs), Number.POSITIVE_INFINITY);
  }

  add(page: PageIndex, { fingerprint, migration, page: there }: Elsewhere): void {
    if (this.#count >= MAX_PAGES) return;
    this.#count++;
    const place = { fingerprint: fingerprint.slice(), migration: migration.slice(), page: there };
    this.#coming.push({ page, place });
  }

  /** The frame with what was added is done with. */
  endFrame(nowMs: number): void {
    if (this.#coming.length === 0) return;
    this.#batches.push({ pages: this.#coming, dueMs: nowMs + FIRST_PAUSE_MS, pauseMs: FIRST_PAUSE_MS });
    this.#coming = [];
  }

  /** @param all - also what is not due yet */
  retry(nowMs: number, tryPage: TryPage, all = false): void {
    for (const batch of this.#batches) {
      if (!all && batch.dueMs > nowMs) continue;
      const left = tryBatch(batch.pages, tryPage);
      this.#count -= batch.pages.length - left.length;
      batch.pages = left;
      batch.pauseMs = Math.min(LONGEST_PAUSE_MS, batch.pauseMs * 2);
      batch.dueMs = nowMs + batch.pauseMs;
    }
    this.#batches = this.#batches.filter(({ pages }) => pages.length > 0);
  }

  clear(): void {
    this.#batches = [];
    this.#coming = [];
    this.#count = 0;
  }
}

/** Returns those that have not come; the next time others come first. */
function tryBatch(pages: readonly AwaitedPage[], tryPage: TryPage): readonly AwaitedPage[] {
  const failed: AwaitedPage[] = [];
  let inARow = 0;
  for (const [at, awaited] of pages.entries()) {
    if (inARow >= ENOUGH_TRIES) return [...pages.slice(at), ...failed];
    const isDone = tryPage(awaited);
    inARow = isDone ? 0 : inARow + 1;
    if (!isDone) failed.push(awaited);
  }
  return failed;
}
