/**
 * How long page requests are rehearsed before a VM's first one (V6).
 *
 * Owns: what is asked for next, and until when. Must hold: it happens once, on the first connection: on later ones the VM waits.
 */
import type { PageRun } from '../base/page.ts';

/** After some fifty rounds the times no longer fall; far away they are not worth the time that each takes. */
const ROUNDS = 60;
const LONGEST_MS = 100;
/** A few as large as an answer with its neighbourhood, so that both sides have touched the memory for it. */
const LARGE_ROUNDS = 4;
const LARGE_PAGES = 16;

export class FaultRehearsal {
  readonly #pageCount: number;
  /** undefined: it has not begun; once it has ended, or another connection asks for it, it is over. */
  #endsMs: number | undefined;

  constructor(pageCount: number) {
    this.#pageCount = pageCount;
  }

  /** @param done - how often something was answered; undefined: it has been enough */
  next(done: number, nowMs: number): PageRun | undefined {
    if (done === 0) this.#endsMs = this.#endsMs === undefined ? nowMs + LONGEST_MS : nowMs;
    this.#endsMs ??= nowMs;
    if (done >= ROUNDS || nowMs >= this.#endsMs) return undefined;
    return { first: 0, count: done < LARGE_ROUNDS ? Math.min(LARGE_PAGES, this.#pageCount) : 1 };
  }
}
