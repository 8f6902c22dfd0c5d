/**
 * The bandwidth that all migrations of a host share.
 *
 * Owns: a token bucket in memory that every thread of the daemon sees, kept as one time (GCRA, ITU-T I.371): the moment
 * at which everything counted so far has left at the limit. Must hold: over any time no more of what is reserved is let go
 * than limit × time and a burst, whoever asks. What is charged goes at once, beyond the limit if need be; what is reserved
 * later waits for it, for a second at most (the rest is forgiven). The time moves by compare-and-exchange alone, so a thread
 * that dies in between leaves nothing locked; a limit that is set anew takes effect at once, and what was owed under the old
 * one is forgiven.
 */
import { type Clock, PROCESS_CLOCK } from '../base/clock.ts';

/** What may leave at once after a pause: as much as flows while a timer is late on a busy machine. */
export const BURST_MS = 8;
/** A turn is as long as the longest frame under a limit (page-sender.ts): who sends smaller ones sends more of them. */
const TURN_MS = 8;
/** At very low limits a turn still holds a page or two. */
const MIN_TURN_BYTES = 16 * 1024;
/** What must not wait can exceed the limit for long: who comes after it pays for no more than this. */
const MAX_CHARGED_MS = 1000;

const NS_PER_MS = 1_000_000n;
const NS_PER_SECOND = 1_000_000_000n;

/** Words of the shared memory. */
const Word = {
  /** Bytes a second; 0 = unlimited. */
  limit: 0,
  /** Nanoseconds of the process's clock. */
  freeAt: 1,
  /** How often the limit was set. */
  changes: 2,
} as const;
const WORDS = 3;

export class HostBudget {
  /** For other threads: they make a budget of their own of it. */
  readonly buffer: SharedArrayBuffer;
  readonly #words: BigInt64Array<SharedArrayBuffer>;
  readonly #clock: Clock;

  /** @param clock - reads the same in every thread */
  constructor(buffer: SharedArrayBuffer, clock: Clock = PROCESS_CLOCK) {
    this.buffer = buffer;
    this.#words = new BigInt64Array(buffer);
    this.#clock = clock;
  }

  /** @param bytesPerSecond - 0 = unlimited */
  static create(bytesPerSecond: number, clock?: Clock): HostBudget {
    const budget = new HostBudget(new SharedArrayBuffer(WORDS * BigInt64Array.BYTES_PER_ELEMENT), clock);
    budget.setLimit(bytesPerSecond);
    return budget;
  }

  /** 0 = unlimited. */
  get bytesPerSecond(): number {
    return Number(Atomics.load(this.#words, Word.limit));
  }

  /** How often the limit was set: a reservation that is older than the last time is void. */
  get changes(): bigint {
    return Atomics.load(this.#words, Word.changes);
  }

  /** What one migration may send before it is another's turn. */
  get turnBytes(): number {
    return Math.max(MIN_TURN_BYTES, (this.bytesPerSecond * TURN_MS) / 1000);
  }

  /** By one thread only. */
  setLimit(bytesPerSecond: number): void {
    Atomics.store(this.#words, Word.limit, BigInt(Math.ceil(bytesPerSecond)));
    // Always another value: who has read the old limit must not succeed in adding what bytes took under it.
    const nowNs = this.#nowNs();
    Atomics.store(this.#words, Word.freeAt, Atomics.load(this.#words, Word.freeAt) === nowNs ? nowNs - 1n : nowNs);
    // Last: whoever sees it reserves under the new limit.
    Atomics.add(this.#words, Word.changes, 1n);
  }

  /** Takes the next place for `bytes`. Milliseconds until they may go. */
  reserve(bytes: number): number {
    return this.#advance(bytes, undefined);
  }

  /** Counts bytes that must not wait: who comes next waits for them. */
  charge(bytes: number): void {
    this.#advance(bytes, MAX_CHARGED_MS);
  }

  #advance(bytes: number, maxBacklogMs: number | undefined): number {
    for (;;) {
      const freeAt = Atomics.load(this.#words, Word.freeAt);
      const limit = Atomics.load(this.#words, Word.limit);
      if (limit === 0n) return 0;
      const nowNs = this.#nowNs();
      const from = later(freeAt, nowNs - BigInt(BURST_MS) * NS_PER_MS);
      const until = from + (BigInt(bytes) * NS_PER_SECOND + limit - 1n) / limit;
      const latest = maxBacklogMs === undefined ? until : later(from, nowNs + BigInt(maxBacklogMs) * NS_PER_MS);
      const next = until < latest ? until : latest;
      if (Atomics.compareExchange(this.#words, Word.freeAt, freeAt, next) !== freeAt) continue;
      return Math.max(0, Number(from - nowNs) / 1e6);
    }
  }

  #nowNs(): bigint {
    return BigInt(Math.round(this.#clock.nowMs() * 1e6));
  }
}

function later(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
