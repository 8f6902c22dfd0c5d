/**
 * Pages that the destination asks for although nobody waits for them: the source has only named them, and they are not here.
 *
 * Owns: which of them is asked for next. Must hold: one request at a time, and a small one: what is asked for by a fault
 * would wait behind it.
 */
import type { PageIndex, PageRun } from '../base/page.ts';

/** 64 KiB, as a fault brings with its neighbourhood. */
const MAX_ASKED_PAGES = 16;

export class PageWants {
  #queue: PageRun[] = [];
  #asked: PageRun | undefined;

  add(runs: readonly PageRun[]): void {
    this.#queue.push(...runs);
  }

  /** What was asked for on an earlier connection is asked for again. */
  restart(): void {
    if (this.#asked) this.#queue.unshift(this.#asked);
    this.#asked = undefined;
  }

  /** What to ask for now; undefined: nothing, or the answer to the last request is not all here yet. */
  next(isMissing: (page: PageIndex) => boolean): PageRun | undefined {
    if (this.#asked && firstMissing(this.#asked, isMissing)) return undefined;
    this.#asked = undefined;
    for (let run = this.#queue.shift(); run && !this.#asked; run = this.#queue.shift()) {
      const wanted = firstMissing(run, isMissing);
      if (!wanted) continue;
      const count = Math.min(wanted.count, MAX_ASKED_PAGES);
      this.#asked = { first: wanted.first, count };
      if (count < wanted.count) this.#queue.unshift({ first: wanted.first + count, count: wanted.count - count });
      break;
    }
    return this.#asked;
  }
}

/** From the first page that is missing to the end of the run; others in it may be there. */
function firstMissing({ first, count }: PageRun, isMissing: (page: PageIndex) => boolean): PageRun | undefined {
  for (let page = first; page < first + count; page++) {
    if (isMissing(page)) return { first: page, count: first + count - page };
  }
  return undefined;
}
