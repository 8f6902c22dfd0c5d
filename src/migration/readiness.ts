/**
 * The moment at which the destination's QEMU is there, for a source that copies before it.
 *
 * Owns: that moment, and what is to be done then. Must hold: nobody waits for a migration that goes back.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { SYSTEM_CLOCK } from '../base/clock.ts';

/** What the kernel has not had acknowledged is asked for so often. */
const LOOK_EVERY_MS = 5;

export class Readiness {
  readonly #signal: AbortSignal;
  readonly #moment = Promise.withResolvers<void>();
  #isReady = false;
  #settled: Promise<unknown>;

  /** @param signal - the migration goes back: whoever waits gets its reason */
  constructor(signal: AbortSignal) {
    this.#signal = signal;
    this.#settled = this.#moment.promise;
    this.#settled.catch(() => undefined);
    signal.addEventListener('abort', () => this.#moment.reject(signal.reason), { once: true });
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  /** Resolves when the destination is ready and what was to be done then has been done. */
  get settled(): Promise<unknown> {
    return this.#settled;
  }

  ready(): void {
    this.#isReady = true;
    this.#moment.resolve();
  }

  /** For the moment at which it is. */
  onReady(work: () => Promise<unknown>): void {
    this.#settled = this.#settled.then(work);
    this.#settled.catch(() => undefined);
  }

  /**
   * Resolves when all is settled.
   * @param hasArrived - what was sent has left the link
   * @returns how many milliseconds of that the link had nothing to do
   */
  async wait(hasArrived: () => boolean): Promise<number> {
    while (!this.#isReady && !hasArrived()) await delay(LOOK_EVERY_MS, undefined, { signal: this.#signal });
    const fromMs = SYSTEM_CLOCK.nowMs();
    const wasReady = this.#isReady;
    await this.#settled;
    return wasReady ? 0 : SYSTEM_CLOCK.nowMs() - fromMs;
  }
}
