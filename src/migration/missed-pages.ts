/**
 * Pages that the source has only named, because this host was to hold them, and that could not be found here.
 *
 * Must hold: a page stays in here until its contents have come, or it is on the list of missing pages.
 */

import type { PageRun } from '../base/page.ts';
import { PageBitmap } from '../base/page-bitmap.ts';

export class MissedPages {
  readonly #pages: PageBitmap;
  readonly #untold: PageBitmap;

  constructor(pageCount: number) {
    this.#pages = new PageBitmap(pageCount);
    this.#untold = new PageBitmap(pageCount);
  }

  get count(): number {
    return this.#pages.count();
  }

  add(runs: readonly PageRun[]): void {
    this.#pages.addRuns(runs);
    this.#untold.addRuns(runs);
  }

  /** Their contents are here, or are not expected here any more. */
  settle({ first, count }: PageRun): void {
    this.#pages.deleteRun(first, count);
  }

  /** Those that the source was not told of. */
  take(): readonly PageRun[] {
    const runs = this.#untold.runs();
    this.#untold.clear();
    return runs;
  }
}
