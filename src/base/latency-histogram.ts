/**
 * Many latencies in little memory, for percentiles.
 *
 * Owns: logarithmic buckets, 5 % wide, from 1 µs to about 100 s. Must hold: a percentile is never reported lower than it was
 * by more than a bucket's width; memory does not grow with the number of samples.
 */

const GROWTH = 1.05;
const BUCKETS = 380;
const LOG_GROWTH = Math.log(GROWTH);

export class LatencyHistogram {
  readonly #buckets = new Float64Array(BUCKETS);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(microseconds: number): void {
    const bucket = microseconds <= 1 ? 0 : Math.min(BUCKETS - 1, Math.ceil(Math.log(microseconds) / LOG_GROWTH));
    this.#buckets[bucket]!++;
    this.#count++;
  }

  /** @param fraction - 0.5 for the median; 0 when there are no samples */
  percentile(fraction: number): number {
    const rank = Math.ceil(this.#count * fraction);
    let seen = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      seen += this.#buckets[bucket]!;
      if (seen >= rank && seen > 0) return GROWTH ** bucket;
    }
    return 0;
  }
}
