/**
 * How much the VM is slowed while it is copied.
 *
 * Owns: what the rules want, and what is done. Must hold: a VM is not slowed for a copy that may not go on.
 */
import type { SourceGuest } from './source-guest.ts';
import type { ThrottleClock } from './throttle-clock.ts';

export interface SourceSlowdownPort {
  readonly guest: Pick<SourceGuest, 'slow'>;
  readonly throttleClock: ThrottleClock;
  readonly signal: AbortSignal;
  note(text: string): void;
}

export class SourceSlowdown {
  readonly #port: SourceSlowdownPort;
  /** As the rules want it. */
  #percent = 0;
  #isPeerSuspect = false;

  constructor(port: SourceSlowdownPort) {
    this.#port = port;
  }

  /** @throws the abort reason: a VM that stays must not be slowed any more */
  set(percent: number): void {
    this.#port.signal.throwIfAborted();
    this.#percent = percent;
    if (!this.#isPeerSuspect) this.#apply(percent);
  }

  suspect(peer: string, isSuspect: boolean): void {
    const { note, signal } = this.#port;
    if (signal.aborted) return;
    if (isSuspect) note(`${peer} does not answer; meanwhile the VM is not slowed`);
    this.#isPeerSuspect = isSuspect;
    this.#apply(isSuspect ? 0 : this.#percent);
  }

  #apply(percent: number): void {
    this.#port.guest.slow(percent);
    this.#port.throttleClock.set(percent);
  }
}
