/**
 * How much pushed data may be on its way (V6): enough to fill the link, little enough that a page fault does not wait
 * behind it in some queue.
 *
 * Owns: the window, from the rate that was reached and the shortest round trip. Pure. Must hold: a window that was too
 * small shows as an idle link and grows; beyond filling the link it never grows.
 */

/** What a fault may wait in the link's queue behind pushed pages. */
const QUEUE_MS = 2;
/** One staging buffer: less would leave the link idle between two wake-ups. */
const MIN_BYTES = 128 * 1024;
const MAX_BYTES = 16 * 1024 * 1024;
/** Rates are taken over at least this time. */
const SAMPLE_MS = 5;

export class PushWindow {
  readonly #roundTripMs: number;
  #bytes = 4 * MIN_BYTES;
  #sample = { atMs: 0, bytes: 0 };
  #wentIdle = false;

  constructor(roundTripMs: number) {
    this.#roundTripMs = roundTripMs;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The queue was empty when there was more to send. */
  sawIdleLink(): void {
    this.#wentIdle = true;
  }

  /**
   * @param acknowledgedBytes - of this connection so far
   */
  update(nowMs: number, acknowledgedBytes: number): void {
    const { atMs, bytes } = this.#sample;
    const ms = nowMs - atMs;
    if (atMs > 0 && ms < SAMPLE_MS) return;
    if (atMs > 0) {
      const fitting = ((acknowledgedBytes - bytes) / ms) * (this.#roundTripMs + QUEUE_MS);
      const wanted = this.#wentIdle ? Math.max(fitting, this.#bytes * 1.5) : fitting;
      this.#bytes = Math.min(MAX_BYTES, Math.max(MIN_BYTES, wanted));
    }
    this.#wentIdle = false;
    this.#sample = { atMs: nowMs, bytes: acknowledgedBytes };
  }
}
