/** How long and how strongly the vCPUs were slowed: for the report. */
import { type Clock, SYSTEM_CLOCK } from '../base/clock.ts';

export class ThrottleClock {
  readonly #clock: Clock;
  #percent = 0;
  #maxPercent = 0;
  #activeMs = 0;
  #sinceMs = 0;

  constructor(clock: Clock = SYSTEM_CLOCK) {
    this.#clock = clock;
  }

  set(percent: number): void {
    const nowMs = this.#clock.nowMs();
    if (this.#percent > 0) this.#activeMs += nowMs - this.#sinceMs;
    this.#sinceMs = nowMs;
    this.#percent = percent;
    this.#maxPercent = Math.max(this.#maxPercent, percent);
  }

  read(): { maxPercent: number; activeMs: number } {
    this.set(this.#percent);
    return { maxPercent: this.#maxPercent, activeMs: this.#activeMs };
  }
}
