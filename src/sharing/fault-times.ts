/**
 * How long accesses wait for their pages, from reading the fault to waking who waits (R5).
 *
 * Owns: when each page was first found missing, and the distribution of the times. Those that waited for a page that is lent are
 * told apart: they wait for a VM of the source to stand, not for the way there and back.
 */
import { LatencyHistogram } from '../base/latency-histogram.ts';
import type { PageIndex } from '../base/page.ts';
import type { FaultWaits } from './region-report.ts';

export class FaultTimes {
  readonly #since = new Map<PageIndex, { readonly atMs: number; readonly times: WaitTimes }>();
  readonly #way = new WaitTimes();
  readonly #lent = new WaitTimes();

  /** Somebody waits for the page. @param isLent - to the source */
  begin(page: PageIndex, atMs: number, isLent: boolean): void {
    if (!this.#since.has(page)) this.#since.set(page, { atMs, times: isLent ? this.#lent : this.#way });
  }

  /** Whoever waited was woken. */
  end(page: PageIndex): void {
    const since = this.#since.get(page);
    if (since === undefined) return;
    this.#since.delete(page);
    since.times.add((performance.now() - since.atMs) * 1000);
  }

  get summary(): { readonly faults: FaultWaits; readonly lentFaults: FaultWaits } {
    return { faults: this.#way.summary, lentFaults: this.#lent.summary };
  }
}

class WaitTimes {
  readonly #histogram = new LatencyHistogram();
  #maxMicroseconds = 0;

  add(microseconds: number): void {
    this.#histogram.add(microseconds);
    this.#maxMicroseconds = Math.max(this.#maxMicroseconds, microseconds);
  }

  get summary(): FaultWaits {
    const histogram = this.#histogram;
    return {
      count: histogram.count,
      p50Microseconds: histogram.percentile(0.5),
      p99Microseconds: histogram.percentile(0.99),
      maxMicroseconds: this.#maxMicroseconds,
    };
  }
}
