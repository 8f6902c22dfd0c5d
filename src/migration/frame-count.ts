/**
 * Who waits until so many frames of the page channels are in place.
 *
 * Owns: the waiting. Must hold: nobody waits for what is there already, whichever thread was the last to count.
 */
import { ArrivalWords } from './arrival-words.ts';

export class FrameCount {
  readonly #words: Int32Array;
  #awaited: { readonly frames: number; readonly resolve: () => void }[] = [];

  /** @param words - see `ArrivalWords` */
  constructor(words: Int32Array) {
    this.#words = words;
  }

  /** Resolves when so many frames are in place, of all that came on all channels. */
  reached(frames: number): Promise<void> {
    if (frames === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#awaited.push({ frames, resolve });
      this.look();
    });
  }

  /** Resolves what has come; a thread tells when the next has. */
  look(): void {
    const lowest = () => this.#awaited.reduce((least, { frames }) => Math.min(least, frames), Number.POSITIVE_INFINITY);
    const next = lowest();
    Atomics.store(this.#words, ArrivalWords.awaitedFrames, Number.isFinite(next) ? next : 0);
    // After that store: a thread that was too early for it has counted its frame by now.
    const there = Atomics.load(this.#words, ArrivalWords.frames);
    const reached = this.#awaited.filter(({ frames }) => frames <= there);
    if (reached.length === 0) return;
    this.#awaited = this.#awaited.filter(({ frames }) => frames > there);
    for (const { resolve } of reached) resolve();
    this.look();
  }
}
