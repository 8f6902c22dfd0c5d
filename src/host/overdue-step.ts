/**
 * The time that a VM of a group has for its next step: for the stop after it was called, and for leaving after the stop.
 *
 * Must hold: it is told once a step, and never of a VM that has left.
 */
export class OverdueStep {
  readonly #limitMs: number;
  readonly #onOverdue: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(limitMs: number, onOverdue: () => void) {
    this.#limitMs = limitMs;
    this.#onOverdue = onOverdue;
  }

  /** It comes in a moment; if not, something in QEMU waits for shared memory that has gone. */
  expect(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#onOverdue, this.#limitMs).unref();
  }

  /** No step is expected any more. */
  end(): void {
    clearTimeout(this.#timer);
  }
}
