/**
 * How fast writers may go: pages that become writable a second (M1).
 *
 * Owns: the bucket of pages, and the rate that a slowdown in percent means. Pure; time is given.
 * Must hold: whoever waits is answered in bounded time, whatever the rate and the size of a group.
 */

/** Pages may be made up for so long: shorter than a round, longer than a thread is late. */
const BURST_MS = 10;
/** Nobody waits longer for his turn: a guest's clock ticks ten times in this time. */
export const LONGEST_WAIT_MS = 50;
/** Fewer milliseconds than this say nothing of a rate. */
const MIN_WINDOW_MS = 20;
/** A VM that was quiet in one round is not taken for a quiet one. */
const KEPT_PART = 0.5;

export class WritePace {
  #pagesPerSecond = Number.POSITIVE_INFINITY;
  /** Below zero: pages of a group that were more than there were. */
  #pages = 0;
  #filledMs = 0;
  #grantedMs = Number.NEGATIVE_INFINITY;

  get pagesPerSecond(): number {
    return this.#pagesPerSecond;
  }

  /** @param pagesPerSecond - Infinity: as fast as they come */
  set(pagesPerSecond: number, nowMs: number): void {
    if (pagesPerSecond === this.#pagesPerSecond) return;
    this.#pagesPerSecond = pagesPerSecond;
    this.#pages = 0;
    this.#filledMs = nowMs;
  }

  /** 0: the next fault may be answered. */
  waitMs(nowMs: number): number {
    if (this.#pagesPerSecond === Number.POSITIVE_INFINITY) return 0;
    this.#fill(nowMs);
    if (this.#pages > 0) return 0;
    const filledMs = ((1 - this.#pages) * 1000) / this.#pagesPerSecond;
    return Math.max(0, Math.min(filledMs, this.#grantedMs + LONGEST_WAIT_MS - nowMs));
  }

  /** So many pages have become writable for a fault. */
  take(pages: number, nowMs: number): void {
    this.#grantedMs = nowMs;
    if (this.#pagesPerSecond === Number.POSITIVE_INFINITY) return;
    // A debt that took longer than the longest wait would be waited for again and again, and never matter.
    const most = (this.#pagesPerSecond * LONGEST_WAIT_MS) / 1000;
    this.#pages = Math.max(this.#pages - pages, -most);
  }

  #fill(nowMs: number): void {
    const burst = Math.max(1, (this.#pagesPerSecond * BURST_MS) / 1000);
    const earned = ((nowMs - this.#filledMs) * this.#pagesPerSecond) / 1000;
    this.#pages = Math.min(burst, this.#pages + earned);
    this.#filledMs = nowMs;
  }
}

/**
 * What writers would do unslowed. Slowed to a share of their time they are taken to write in proportion to it, as
 * convergence does (migration/throttle.ts).
 */
export class UnslowedRate {
  #pagesPerSecond: number | undefined;

  /** @param pagesPerSecond - known from earlier; 0: nothing is known */
  constructor(pagesPerSecond: number = 0) {
    this.#pagesPerSecond = pagesPerSecond > 0 ? pagesPerSecond : undefined;
  }

  /** So many pages became writable in the time, at that slowdown. */
  observe(pages: number, ms: number, percent: number): void {
    if (ms < MIN_WINDOW_MS) return;
    const seen = (pages * 1000) / ms / (1 - percent / 100);
    this.#pagesPerSecond = Math.max(seen, (this.#pagesPerSecond ?? 0) * KEPT_PART);
  }

  /** Pages a second that a slowdown leaves; Infinity when nothing slows, or nothing is known yet. */
  at(percent: number): number {
    if (percent <= 0 || this.#pagesPerSecond === undefined) return Number.POSITIVE_INFINITY;
    return Math.max(1, this.#pagesPerSecond * (1 - percent / 100));
  }
}
