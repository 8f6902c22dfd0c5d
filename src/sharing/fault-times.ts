/**
 * How long accesses wait for their pages, from reading the fault to waking who waits (R5).
 *
 * Owns: when each page was first found missing, and the distribution of the times.
 */
import { LatencyHistogram } from '../base/latency-histogram.ts';
import type { PageIndex } from '../base/page.ts';
import type { RegionReport } from './region-report.ts';

export class FaultTimes {
  readonly #since = new Map<PageIndex, number>();
  readonly #histogram = new LatencyHistogram();
  #maxMicroseconds = 0;

  /** Somebody waits for the page. */
  begin(page: PageIndex, nowMs: number): void {
    if (!this.#since.has(page)) this.#since.set(page, nowMs);
  }

  /** Whoever waited was woken. */
  end(page: PageIndex): void {
    const sinceMs = this.#since.get(page);
    if (sinceMs === undefined) return;
    this.#since.delete(page);
    const microseconds = (performance.now() - sinceMs) * 1000;
    this.#histogram.add(microseconds);
    this.#maxMicroseconds = Math.max(this.#maxMicroseconds, microseconds);
  }

  get summary(): RegionReport['faults'] {
    const histogram = this.#histogram;
    return {
      count: histogram.count,
      p50Microseconds: histogram.percentile(0.5),
      p99Microseconds: histogram.percentile(0.99),
      maxMicroseconds: this.#maxMicroseconds,
    };
  }
}
