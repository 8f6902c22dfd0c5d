/**
 * Faults of the VM that wait for their page, and how long they did.
 *
 * Must hold: a fault is timed from when it was first read to when its page is in place.
 */
import { LatencyHistogram } from '../base/latency-histogram.ts';
import type { PageIndex } from '../base/page.ts';

export class WaitingFaults {
  readonly latency: LatencyHistogram = new LatencyHistogram();
  /** When the fault was read, microseconds. */
  readonly #sinceUs = new Map<PageIndex, number>();

  /** False: somebody waits for the page already. */
  begin(page: PageIndex, nowUs: number): boolean {
    if (this.#sinceUs.has(page)) return false;
    this.#sinceUs.set(page, nowUs);
    return true;
  }

  /** The page is in place. */
  end(page: PageIndex): void {
    const sinceUs = this.#sinceUs.get(page);
    if (sinceUs === undefined) return;
    this.#sinceUs.delete(page);
    this.latency.add(performance.now() * 1000 - sinceUs);
  }

  pages(): PageIndex[] {
    return [...this.#sinceUs.keys()];
  }
}
