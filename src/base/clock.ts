/**
 * Time, behind one interface so that tests can move it.
 *
 * Owns: nothing but the two readings. `nowMs` is monotonic and only for differences; `wallMs` is Unix time and the
 * only one that may be compared with another host or with QEMU's event time stamps.
 */

export interface Clock {
  /** Monotonic milliseconds, with fractions. */
  nowMs(): number;
  /** Unix time in milliseconds, with fractions. */
  wallMs(): number;
}

export const SYSTEM_CLOCK: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => performance.timeOrigin + performance.now(),
};

/** The same reading in every thread of the process: for times that threads share. */
export const PROCESS_CLOCK: Clock = { ...SYSTEM_CLOCK, nowMs: () => Number(process.hrtime.bigint()) / 1e6 };

/** A clock that moves only when told to. */
export class FakeClock implements Clock {
  #ms: number;

  constructor(startMs = 0) {
    this.#ms = startMs;
  }

  nowMs(): number {
    return this.#ms;
  }

  wallMs(): number {
    return this.#ms;
  }

  advance(ms: number): void {
    this.#ms += ms;
  }
}
