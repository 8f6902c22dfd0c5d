/**
 * How much pushed data may be on its way (V6): enough to fill the link, little enough that a page fault does not wait
 * behind it in some queue.
 *
 * Owns: the window, from the rate that was reached and the shortest round trip. Pure. Must hold: a window that was too
 * small shows as an idle link and grows; beyond filling the link, or what a bandwidth limit lets go, it never grows.
 */

/** What a fault may wait in the link's queue behind pushed pages. */
const QUEUE_MS = 2;
/** Less would leave a link idle between two wake-ups that moves this in two milliseconds … */
const USUAL_MIN_BYTES = 128 * 1024;
/** … and on a slower one pages would no longer be packed together: at 10 Mbit/s a fault may wait for these 26 ms. */
const MIN_BYTES = 32 * 1024;
const MAX_BYTES = 16 * 1024 * 1024;
/** Rates are taken over at least this time. */
const SAMPLE_MS = 5;

export class PushWindow {
  readonly #roundTripMs: number;
  #bytes = USUAL_MIN_BYTES;
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
   * @param limit - bytes a second that may be sent, which leaves a faster link idle; 0: as fast as it takes them
   */
  update(nowMs: number, acknowledgedBytes: number, limit = 0): void {
    const { atMs, bytes } = this.#sample;
    const ms = nowMs - atMs;
    if (atMs > 0 && ms < SAMPLE_MS) return;
    if (atMs > 0) {
      const bytesPerMs = (acknowledgedBytes - bytes) / ms;
      const fitting = bytesPerMs * (this.#roundTripMs + QUEUE_MS);
      const wanted = this.#wentIdle ? Math.max(fitting, this.#bytes * 1.5) : fitting;
      const least = Math.max(MIN_BYTES, Math.min(USUAL_MIN_BYTES, bytesPerMs * QUEUE_MS));
      const most = limit > 0 ? Math.min(MAX_BYTES, (limit / 1000) * (this.#roundTripMs + QUEUE_MS)) : MAX_BYTES;
      this.#bytes = Math.max(least, Math.min(most, wanted));
    }
    this.#wentIdle = false;
    this.#sample = { atMs: nowMs, bytes: acknowledgedBytes };
  }
}
