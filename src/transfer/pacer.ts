/**
 * Keeps what one migration sends at or below its own bandwidth limit, and the host's.
 *
 * Owns: a token bucket of the migration, and its turns at the host's budget. Must hold: over any second no more than
 * limit × 1 s + burst bytes pass; either limit may change at any moment and takes effect at once, also for who waits
 * already; of the host's limit every migration that has enough to send gets the same number of bytes, whatever the size of
 * its frames: it waits for a turn, has one place in the queue at most, and sends a turn's bytes when it has come.
 */
import { type Clock, SYSTEM_CLOCK } from '../base/clock.ts';
import { HostBudget } from './host-budget.ts';

/** The bucket holds what flows in this time: long enough for the timer's resolution of about 1 ms. */
const BURST_MS = 4;
const MIN_BURST_BYTES = 64 * 1024;
/** A limit that is changed by another thread is seen after this time. */
const RECHECK_MS = 20;

export class Pacer {
  /** Shared with the other migrations of this host. */
  readonly host: HostBudget;
  #limit: number;
  #tokens = 0;
  #filledAtMs: number;
  #isSuspended = false;
  /** What is left of this turn at the host's budget; less than 0 when the last one took more. */
  #turnBytes = 0;
  /** The host's limit that the turn is of. */
  #turnOf: bigint;
  #queue: Promise<void> = Promise.resolve();
  readonly #waiting = new Set<() => void>();
  readonly #clock: Clock;

  /** @param bytesPerSecond - 0 = unlimited */
  constructor(bytesPerSecond: number, host: HostBudget = HostBudget.create(0), clock: Clock = SYSTEM_CLOCK) {
    this.host = host;
    this.#limit = bytesPerSecond;
    this.#turnOf = host.changes;
    this.#clock = clock;
    this.#filledAtMs = clock.nowMs();
  }

  /** The lower one of both limits; 0 = nothing waits. */
  get bytesPerSecond(): number {
    if (this.#isSuspended) return 0;
    const limits = [this.#limit, this.host.bytesPerSecond].filter((limit) => limit > 0);
    return limits.length === 0 ? 0 : Math.min(...limits);
  }

  /** Of this migration alone. */
  setLimit(bytesPerSecond: number): void {
    this.#fill();
    this.#limit = bytesPerSecond;
    this.#wake();
  }

  /** Nothing waits any more, until `resume`; the host's budget still counts it. */
  suspend(): void {
    this.#isSuspended = true;
    this.#wake();
  }

  resume(): void {
    this.#isSuspended = false;
  }

  /** Waits until the migration's bucket is out of debt, which it may go into by `bytes`, and then for its turn. */
  take(bytes: number): Promise<void> {
    const taken = this.#queue.then(() => this.#take(bytes));
    this.#queue = taken;
    return taken;
  }

  /** Counts bytes that must not wait (urgent pages, device state): who comes next waits for them. */
  charge(bytes: number): void {
    if (!this.#isSuspended) this.#spend(bytes);
    this.host.charge(bytes);
  }

  async #take(bytes: number): Promise<void> {
    for (let wait = this.#debtMs(); wait > 0; wait = this.#debtMs()) await this.#sleep(wait);
    if (!this.#isSuspended) this.#spend(bytes);
    while (!(await this.#takeOfHost(bytes)));
  }

  /** False: the host's limit changed meanwhile, and the place in the queue with it. */
  async #takeOfHost(bytes: number): Promise<boolean> {
    const { host } = this;
    const { changes } = host;
    if (changes !== this.#turnOf) this.#turnBytes = 0;
    this.#turnOf = changes;
    if (this.#isSuspended || this.#turnBytes > 0) {
      if (!this.#isSuspended) this.#turnBytes -= bytes;
      host.charge(bytes);
      return true;
    }
    const fromMs = this.#clock.nowMs();
    const waitMs = host.reserve(bytes);
    for (let left = waitMs; left > 0; left = fromMs + waitMs - this.#clock.nowMs()) {
      await this.#sleep(left);
      if (this.#isSuspended) return true;
      if (host.changes !== changes) return false;
    }
    const turn = host.turnBytes;
    // Of a frame beyond the turn no more is made up for than one turn: the limit was lowered, or pages are few.
    this.#turnBytes = Math.max(-turn, Math.min(turn, this.#turnBytes + turn) - bytes);
    return true;
  }

  #debtMs(): number {
    this.#fill();
    if (this.#isSuspended || this.#limit === 0 || this.#tokens >= 0) return 0;
    return (-this.#tokens / this.#limit) * 1000;
  }

  #spend(bytes: number): void {
    this.#fill();
    if (this.#limit > 0) this.#tokens -= bytes;
  }

  #fill(): void {
    const now = this.#clock.nowMs();
    const elapsed = now - this.#filledAtMs;
    this.#filledAtMs = now;
    if (this.#limit === 0) {
      this.#tokens = 0;
      return;
    }
    const burst = Math.max(MIN_BURST_BYTES, (this.#limit * BURST_MS) / 1000);
    this.#tokens = Math.min(burst, this.#tokens + (this.#limit * elapsed) / 1000);
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, Math.min(ms, RECHECK_MS));
      this.#waiting.add(done);
    });
  }
}
