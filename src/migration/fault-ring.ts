/**
 * The last pages that the VM waited for, told by the page server's thread to the page pusher's.
 *
 * Owns: the layout of a few shared words: how many faults there were, then a ring of the last ones. One thread adds,
 * one takes, and neither ever waits. Must hold: a slot is written before the count that tells of it. Who adds may
 * overtake who takes: then a slot has a later page than it is taken for, and older ones are lost. They are hints, and
 * old ones are worth little.
 */
import type { PageIndex } from '../base/page.ts';

/** A step of pushing takes some milliseconds, a fault a tenth of one at least; of more only the latest matter. */
const SLOTS = 64;
const COUNT = 0;
const RING = 1;

export class FaultRing {
  static readonly WORDS = RING + SLOTS;
  readonly #words: Int32Array<SharedArrayBuffer>;
  #taken: number;

  /** What was added before is not taken. */
  constructor(words: Int32Array<SharedArrayBuffer>) {
    this.#words = words;
    this.#taken = Atomics.load(words, COUNT);
  }

  add(page: PageIndex): void {
    const count = this.#words[COUNT]!;
    Atomics.store(this.#words, slotOf(count), page);
    // Beyond what a word holds the count begins anew below zero; differences stay right.
    Atomics.store(this.#words, COUNT, count + 1);
  }

  /** Those that were added since, as far as they are there still; the oldest first. */
  take(): PageIndex[] {
    const count = Atomics.load(this.#words, COUNT);
    const fresh = Math.min((count - this.#taken) >>> 0, SLOTS);
    this.#taken = count;
    return Array.from({ length: fresh }, (_, i) => Atomics.load(this.#words, slotOf(count - fresh + i)));
  }
}

function slotOf(count: number): number {
  return RING + (count & (SLOTS - 1));
}
