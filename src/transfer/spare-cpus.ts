/**
 * How many CPUs packing can have without taking them from anybody: those that are idle, and those that it has now.
 *
 * Owns: the measurement over the last moments. Must hold: it reads the host's counters a few times a second, no more.
 */
import { type Clock, SYSTEM_CLOCK } from '../base/clock.ts';

/** The counters count in steps of 10 ms. */
const WINDOW_MS = 100;

export class SpareCpus {
  readonly #readIdleMs: () => number;
  readonly #readPackingMs: () => number;
  readonly #clock: Clock;
  #sinceMs: number;
  #spareMs: number;
  #cpus: number;

  /**
   * @param readIdleMs - time of all CPUs without anything to do, so far
   * @param readPackingMs - CPU time of the packing threads, so far
   * @param cpus - what is believed until the first window is over
   */
  constructor(readIdleMs: () => number, readPackingMs: () => number, cpus: number, clock: Clock = SYSTEM_CLOCK) {
    this.#readIdleMs = readIdleMs;
    this.#readPackingMs = readPackingMs;
    this.#clock = clock;
    this.#cpus = cpus;
    this.#sinceMs = clock.nowMs();
    this.#spareMs = readIdleMs() + readPackingMs();
  }

  measure(): number {
    const nowMs = this.#clock.nowMs();
    const ms = nowMs - this.#sinceMs;
    if (ms < WINDOW_MS) return this.#cpus;
    const spareMs = this.#readIdleMs() + this.#readPackingMs();
    this.#cpus = Math.max(0, (spareMs - this.#spareMs) / ms);
    this.#sinceMs = nowMs;
    this.#spareMs = spareMs;
    return this.#cpus;
  }
}
