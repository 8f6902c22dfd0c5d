/**
 * Keeps sending at or below a bandwidth limit.
 *
 * Owns: a token bucket. Must hold: over any second no more than limit × 1 s + burst bytes pass; the limit may change
 * at any moment and takes effect at once, also for who waits already.
 */
import { type Clock, SYSTEM_CLOCK } from '../base/clock.ts';

/** The bucket holds what flows in this time: long enough for the timer's resolution of about 1 ms. */
const BURST_MS = 4;
const MIN_BURST_BYTES = 64 * 1024;

export class Pacer {
  #bytesPerSecond: number;
  #tokens = 0;
  #filledAtMs: number;
  readonly #waiting = new Set<() => void>();
  readonly #clock: Clock;

  /** @param bytesPerSecond - 0 = unlimited */
  constructor(bytesPerSecond: number, clock: Clock = SYSTEM_CLOCK) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#clock = clock;
    this.#filledAtMs = clock.nowMs();
  }

  get bytesPerSecond(): number {
    return this.#bytesPerSecond;
  }

  setLimit(bytesPerSecond: number): void {
    this.#fill();
    this.#bytesPerSecond = bytesPerSecond;
    for (const wake of this.#waiting) wake();
  }

  /** Milliseconds until the bucket is not in debt; 0 = go now. Pure reading, for tests and for `take`. */
  waitMs(): number {
    this.#fill();
    if (this.#bytesPerSecond === 0 || this.#tokens >= 0) return 0;
    return (-this.#tokens / this.#bytesPerSecond) * 1000;
  }

  /** Waits until the bucket is out of debt, then takes `bytes`; the bucket may go into debt by them. */
  async take(bytes: number): Promise<void> {
    for (let wait = this.waitMs(); wait > 0; wait = this.waitMs()) await this.#sleep(wait);
    if (this.#bytesPerSecond > 0) this.#tokens -= bytes;
  }

  /** Counts bytes that must not wait (urgent pages): who comes next waits for them. */
  charge(bytes: number): void {
    this.#fill();
    if (this.#bytesPerSecond > 0) this.#tokens -= bytes;
  }

  #fill(): void {
    const now = this.#clock.nowMs();
    const elapsed = now - this.#filledAtMs;
    this.#filledAtMs = now;
    if (this.#bytesPerSecond === 0) {
      this.#tokens = 0;
      return;
    }
    const burst = Math.max(MIN_BURST_BYTES, (this.#bytesPerSecond * BURST_MS) / 1000);
    this.#tokens = Math.min(burst, this.#tokens + (this.#bytesPerSecond * elapsed) / 1000);
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#waiting.delete(done);
        resolve();
      };
      // Bounded, so that a limit that was raised meanwhile is seen even without a wake-up.
      const timer = setTimeout(done, Math.min(ms, 100));
      this.#waiting.add(done);
    });
  }
}
