/**
 * When a page channel's thread at the destination looks again for pages that another VM is to bring.
 *
 * Owns: the times, and telling the migration's thread how many are waited for. Must hold: at the end of a round nobody
 * waits for long for what does not come.
 */
import { ArrivalWords } from './arrival-words.ts';
import type { ArrivingPages } from './arriving-pages.ts';

export interface AwaitingPort {
  /** See `ArrivalWords`. */
  readonly words: Int32Array;
  pages(): ArrivingPages | undefined;
  /** The round's end need not wait any more. */
  onSettled(): void;
}

/** At the end of a round, since the last one has come: a frame of another VM on a slow link that several share. */
const PATIENCE_MS = 300;
const LOOK_EVERY_MS = 10;
/** Where much is waited for, looking takes no more than a fifth of the thread. */
const PAUSE_FACTOR = 4;

export class Awaiting {
  readonly #port: AwaitingPort;
  #settling: { giveUpAtMs: number; nextMs: number } | undefined;
  #toldCount = 0;

  constructor(port: AwaitingPort) {
    this.#port = port;
  }

  /** How long the thread may sleep. */
  waitMs(longest: number): number {
    const dueMs = this.#settling?.nextMs ?? this.#port.pages()?.awaited.dueMs ?? Number.POSITIVE_INFINITY;
    return Math.min(longest, Math.max(0, dueMs - performance.now()));
  }

  /** No further frame comes before this is answered. */
  settle(): void {
    const nowMs = performance.now();
    this.#settling = { giveUpAtMs: nowMs + PATIENCE_MS, nextMs: nowMs };
  }

  /** After a frame has come, too, before it counts. */
  tell(): void {
    const count = this.#port.pages()?.awaited.count ?? 0;
    Atomics.add(this.#port.words, ArrivalWords.awaitedPages, count - this.#toldCount);
    this.#toldCount = count;
  }

  /** Now and then. */
  goOn(): void {
    const pages = this.#port.pages();
    const nowMs = performance.now();
    if (this.#settling) this.#settle(this.#settling, pages, nowMs);
    else if (pages && pages.awaited.dueMs <= nowMs) this.#count(pages.retryAwaited(nowMs));
    this.tell();
  }

  #settle(settling: { giveUpAtMs: number; nextMs: number }, pages: ArrivingPages | undefined, nowMs: number): void {
    if (pages && nowMs >= settling.nextMs) {
      const placed = pages.retryAwaited(nowMs, true);
      this.#count(placed);
      if (placed > 0) settling.giveUpAtMs = nowMs + PATIENCE_MS;
      const endedMs = performance.now();
      settling.nextMs = endedMs + Math.max(LOOK_EVERY_MS, PAUSE_FACTOR * (endedMs - nowMs));
    }
    if (pages && pages.awaited.count > 0 && nowMs < settling.giveUpAtMs) return;
    pages?.forgetAwaited();
    this.#settling = undefined;
    this.tell();
    this.#port.onSettled();
  }

  #count(placed: number): void {
    Atomics.add(this.#port.words, ArrivalWords.pages, placed);
  }
}
