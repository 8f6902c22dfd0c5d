/**
 * Pushing a shared region's pages after the last VM has left (R6).
 *
 * Owns: which page is next, and what the host's bandwidth allows. Must hold: what is pushed keeps to the host's limit; what
 * was asked for waits for nobody, and whoever pushes next pays for it.
 */
import { PAGE_SIZE, type PageIndex } from '../base/page.ts';
import { HostBudget } from '../transfer/host-budget.ts';
import { nextHere } from './page-table.ts';
import { canPush, isWithoutVms, type SourceRegion } from './region-source.ts';

/** Pushed between two looks at what else there is to do. */
const PUSH_AT_ONCE = 32;

export class RegionPushing {
  readonly #region: SourceRegion;
  readonly #budget: HostBudget;
  #atMs = 0;
  #from: PageIndex = 0;
  #chargedPages = 0;

  /** @param budget - shared memory of the host's; null: no limit */
  constructor(region: SourceRegion, budget: SharedArrayBuffer | null) {
    this.#region = region;
    this.#budget = budget === null ? HostBudget.create(0) : new HostBudget(budget);
  }

  /**
   * Pushes a few pages, if it is time.
   * @returns in how many milliseconds more can be pushed; Infinity: when something has come
   */
  proceed(nowMs: number, push: (page: PageIndex) => void): number {
    if (!isWithoutVms(this.#region)) return Number.POSITIVE_INFINITY;
    if (nowMs < this.#atMs) return this.#atMs - nowMs;
    const { table } = this.#region;
    const before = table.tally.pushed;
    for (let tries = 0; tries < PUSH_AT_ONCE; tries++) {
      const page = nextHere(table, this.#from);
      if (page < 0 && this.#from === 0) break;
      // What was lent has come back behind it. The window is full: an acknowledgement wakes this thread.
      if (page >= 0 && !canPush(this.#region, page)) break;
      if (page >= 0) push(page);
      this.#from = page + 1;
    }
    const pushed = table.tally.pushed - before;
    if (pushed === 0) return Number.POSITIVE_INFINITY;
    this.#chargedPages += pushed;
    this.#atMs = nowMs + this.#budget.reserve(pushed * PAGE_SIZE);
    return 0;
  }

  /** @param dataPages - sent so far, for whatever reason */
  charge(dataPages: number): void {
    const pages = dataPages - this.#chargedPages;
    if (pages <= 0) return;
    this.#budget.charge(pages * PAGE_SIZE);
    this.#chargedPages = dataPages;
  }
}
