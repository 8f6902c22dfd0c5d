/**
 * Which pages of a round go now, which when all others have gone, and which in a later round.
 *
 * Owns: the choice, batch by batch, and what was left out. A page that was written again since the round began would be sent
 * for nothing: it belongs to the next one. Its neighbours are likely written soon, so in the first pass, which takes long,
 * they go last: the less time there is between a page and the end of the round, the less of what was sent is written
 * afterwards. Must hold: every page of the round is chosen, put off or left out; what is put off is asked for once more.
 */
import { batchRuns, countPages, intersectRuns, type PageRun, RunBuilder, subtractRuns } from '../base/page.ts';
import type { DirtyTracker } from '../memory/dirty-tracker.ts';
import { MAX_SKIPPED_PART } from './round-model.ts';

/** After so many batches that were put off one goes all the same: looking for others must not leave the link without work. */
const PUT_OFF_IN_A_ROW = 16;

export interface BatchChoice {
  /** Not sent now. */
  readonly skipped: readonly PageRun[];
  /** Pages of the batch with which the round is done: sent, or left to a later one. */
  readonly donePages: number;
  readonly leftPages: number;
}

export class RoundOrder {
  readonly #tracker: Pick<DirtyTracker, 'peek'>;
  readonly #deferrable: readonly PageRun[];
  readonly #putOff = new RunBuilder();
  readonly #deferred = new RunBuilder();
  #mayPutOff: boolean;
  #putOffInARow = 0;
  #mayLeavePages: number;
  #leftPages = 0;

  /**
   * @param pages - of the round
   * @param isFirst - of its migration
   * @param deferrable - hot pages that may be left to the stop, though they were not written again yet; none in a first pass
   */
  constructor(
    tracker: Pick<DirtyTracker, 'peek'>,
    { pages, isFirst, deferrable }: { pages: number; isFirst: boolean; deferrable: readonly PageRun[] },
  ) {
    this.#tracker = tracker;
    this.#deferrable = deferrable;
    this.#mayPutOff = isFirst;
    this.#mayLeavePages = Math.floor(pages * MAX_SKIPPED_PART);
  }

  /** Left to a later round so far. */
  get leftPages(): number {
    return this.#leftPages;
  }

  choose(batch: readonly PageRun[]): BatchChoice {
    const pages = countPages(batch);
    const rewritten = this.#mayPutOff || this.#mayLeavePages > 0 ? batch.flatMap((run) => this.#tracker.peek(run)) : [];
    const left = this.#leave(batch, rewritten);
    const leftPages = countPages(left);
    if (!this.#isPutOff(rewritten)) return { skipped: left, donePages: pages, leftPages };
    for (const { first, count } of subtractRuns(batch, left)) this.#putOff.add(first, count);
    return { skipped: batch, donePages: leftPages, leftPages };
  }

  /** What was put off; nothing is any more. */
  takePutOff(): readonly PageRun[] {
    this.#mayPutOff = false;
    return this.#putOff.finish();
  }

  /** What was left although it was not written again. */
  deferred(): readonly PageRun[] {
    return this.#deferred.finish();
  }

  #leave(batch: readonly PageRun[], rewritten: readonly PageRun[]): readonly PageRun[] {
    if (this.#mayLeavePages === 0) return [];
    const hot = intersectRuns(batch, this.#deferrable);
    const worthSending = subtractRuns(subtractRuns(batch, rewritten), hot);
    const [left = []] = batchRuns(subtractRuns(batch, worthSending), this.#mayLeavePages);
    const leftPages = countPages(left);
    this.#mayLeavePages -= leftPages;
    this.#leftPages += leftPages;
    for (const { first, count } of intersectRuns(left, hot)) this.#deferred.add(first, count);
    return left;
  }

  #isPutOff(rewritten: readonly PageRun[]): boolean {
    if (!this.#mayPutOff || rewritten.length === 0 || this.#putOffInARow === PUT_OFF_IN_A_ROW) {
      this.#putOffInARow = 0;
      return false;
    }
    this.#putOffInARow++;
    return true;
  }
}
