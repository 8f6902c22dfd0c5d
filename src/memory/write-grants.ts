/**
 * Which pages may be written without a fault, and how many a fault adds (M1).
 *
 * Owns: the set of granted pages and the counter of those that will have to be sent again. Must hold: a page is in the
 * set from before its protection is lifted until after it is protected again, so that no write is ever missed; one
 * thread changes it, others may look.
 */
import type { PageIndex, PageRun } from '../base/page.ts';
import type { PageBitmap } from '../base/page-bitmap.ts';
import type { GroupSetting } from '../base/tracker-choice.ts';
import { GroupSizer } from './group-size.ts';
import type { RamLayout } from './layout.ts';

/** A group that becomes writable. */
export interface Grant extends PageRun {
  /** Of its pages, those that were not writable before. */
  readonly added: number;
}

export class WriteGrants {
  readonly #layout: RamLayout;
  readonly #sizer: GroupSizer;
  readonly #granted: PageBitmap;
  #budgetPages = Number.POSITIVE_INFINITY;
  #resendPages = 0;
  #smallestPages = 0;
  #largestPages = 0;

  constructor(layout: RamLayout, setting: GroupSetting, granted: PageBitmap) {
    this.#layout = layout;
    this.#sizer = new GroupSizer(setting);
    this.#granted = granted;
  }

  /** Of all groups so far; 0 before the first. */
  get smallestPages(): number {
    return this.#smallestPages;
  }

  get largestPages(): number {
    return this.#largestPages;
  }

  /** As many pages may have to be sent again after the next look. */
  setBudget(pages: number): void {
    this.#budgetPages = pages;
  }

  isGranted(page: PageIndex): boolean {
    return this.#granted.has(page);
  }

  /** The group of a page that was written to: it counts as written from now on, and its protection may be lifted. */
  grant(page: PageIndex, nowMs: number): Grant {
    const size = this.#sizer.next(this.#resendPages, this.#budgetPages, nowMs);
    const { region } = this.#layout.locate(page);
    const regionPage = page - region.firstPage;
    const start = regionPage - (regionPage % size);
    const first = region.firstPage + start;
    const count = Math.min(size, region.pageCount - start);
    let added = 0;
    for (let each = first; each < first + count; each++) if (!this.#granted.has(each)) added++;
    this.#granted.addRun(first, count);
    this.#resendPages += added;
    this.#smallestPages = this.#smallestPages === 0 ? size : Math.min(this.#smallestPages, size);
    this.#largestPages = Math.max(this.#largestPages, size);
    return { first, count, added };
  }

  /** Pages that turned out to be writable without having been granted count as written, too. */
  note(runs: readonly PageRun[]): void {
    this.#granted.addRuns(runs);
  }

  list(): PageRun[] {
    return this.#granted.runs();
  }

  /** All are protected again. */
  clear(): void {
    this.#granted.clear();
    this.#resendPages = 0;
  }
}
