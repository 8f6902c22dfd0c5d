/**
 * Which of the pages that the destination misses goes next without having been asked for (V6).
 *
 * Owns: the order. First what faults are on the way to; then what lies around other faults (fault-bubbles.ts) and what
 * was written lately (hot-pages.ts), in turns; then the rest from one end to the other. Pure. Must hold: each page is
 * taken by `release`, so by either this or the page server's thread; none is taken only when none is owed; a page costs
 * the same however large the VM.
 */
import { type PageIndex, type PageRun, RunBuilder } from '../base/page.ts';
import type { PageBitmap } from '../base/page-bitmap.ts';
import type { PageHeat } from '../memory/page-heat.ts';
import { FaultBubbles } from './fault-bubbles.ts';
import { HotPages } from './hot-pages.ts';

/**
 * The part of a step that is for pages around faults while there are hot ones, too. Neither may keep the other waiting:
 * heat knows nothing of a VM that goes on to other pages, and faults that are scattered over hot pages say less than
 * heat. In a model of eight patterns of access at 1 Gbit/s hot pages first had up to 2.9 times as many faults as the best
 * order for the pattern, bubbles first up to 1.4 times; in turns, after streams, it was 1.2 times.
 */
const FAULT_PART = 0.5;

export class PushOrder {
  readonly #bubbles: FaultBubbles;
  readonly #heat: PageHeat | null;
  #owed: PageBitmap;
  #hot: HotPages | undefined;
  #next: PageIndex = 0;

  /**
   * @param owed - others may take pages of it at any time
   * @param heat - how hot each page was while the VM ran here, if that is known
   */
  constructor(owed: PageBitmap, heat: PageHeat | null) {
    this.#owed = owed;
    this.#heat = heat;
    this.#bubbles = new FaultBubbles(owed);
  }

  /** Pages that went may be owed again: the hottest come first once more, and each bubble begins at its last fault. */
  restart(owed: PageBitmap): void {
    this.#owed = owed;
    this.#hot = undefined;
    this.#bubbles.restart(owed);
  }

  /** The VM waited for this page. */
  fault(page: PageIndex): void {
    this.#bubbles.fault(page);
  }

  /** Takes the next pages, so many if they are owed. */
  take(pages: number): PageRun[] {
    // Only now: while it is said what is owed, the VM stands still.
    if (this.#heat) this.#hot ??= new HotPages(this.#owed, this.#heat);
    const taken: PageIndex[] = [];
    this.#bubbles.takeStreams(pages, taken);
    this.#bubbles.take(Math.ceil((pages - taken.length) * FAULT_PART), taken);
    this.#hot?.take(pages - taken.length, taken);
    this.#bubbles.take(pages - taken.length, taken);
    this.#takeRest(pages, taken);
    this.#bubbles.pass(taken.length);
    return runsOf(taken);
  }

  /** From where it was last, and once more from the beginning. */
  #takeRest(full: number, into: PageIndex[]): void {
    let hasWrapped = false;
    while (into.length < full) {
      const page = this.#owed.next(this.#next);
      if (page >= 0) {
        this.#next = page + 1;
        if (this.#owed.release(page)) into.push(page);
      } else {
        if (hasWrapped) return;
        hasWrapped = true;
        this.#next = 0;
      }
    }
  }
}

function runsOf(pages: PageIndex[]): PageRun[] {
  const runs = new RunBuilder();
  for (const page of pages.sort((a, b) => a - b)) runs.add(page, 1);
  return runs.finish();
}
