/**
 * What one thread that puts pages in place tells of how far it is.
 *
 * Owns: the count of frames that are in place, as far as this thread adds to it. Must hold: whoever waits for a number of
 * frames is told by the thread that reaches it; that all pages are present is told once each time it comes true.
 */
import type { PageInstaller } from '../memory/page-installer.ts';
import { type ArrivalReport, ArrivalWords } from './arrival-words.ts';

const PROGRESS_EVERY_MS = 100;

export class ArrivalProgress {
  readonly #words: Int32Array;
  readonly #report: (message: ArrivalReport) => void;
  #hasBegun = false;
  #toldAllPresent = false;
  #toldAtMs = Number.NEGATIVE_INFINITY;

  /** @param words - see ArrivalWords; of all threads of the migration */
  constructor(words: Int32Array, report: (message: ArrivalReport) => void) {
    this.#words = words;
    this.#report = report;
  }

  /** @param installer - once pages are missing: who knows how many still are */
  framePlaced(installer: Pick<PageInstaller, 'remaining'> | undefined): void {
    const frames = Atomics.add(this.#words, ArrivalWords.frames, 1) + 1;
    if (!this.#hasBegun) this.#report({ kind: 'begun' });
    this.#hasBegun = true;
    const awaited = Atomics.load(this.#words, ArrivalWords.awaitedFrames);
    if (awaited > 0 && frames >= awaited) this.#report({ kind: 'reached' });
    const isAllPresent = installer !== undefined && installer.remaining <= 0;
    if (isAllPresent && !this.#toldAllPresent) this.#report({ kind: 'allPresent' });
    this.#toldAllPresent = isAllPresent;
    const nowMs = performance.now();
    if (nowMs < this.#toldAtMs + PROGRESS_EVERY_MS) return;
    this.#toldAtMs = nowMs;
    this.#report({ kind: 'progress' });
  }
}
