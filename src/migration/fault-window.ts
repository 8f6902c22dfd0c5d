/**
 * How much of its neighbourhood a page brings that the VM waits for (V6).
 *
 * Owns: the size, by what the link takes. Pure. Must hold: a neighbourhood does not hold up the next fault for long; pages
 * that were only named say nothing of the link.
 */
import { PAGE_SIZE } from '../base/page.ts';

/** 64 KiB, while the link's rate is unknown or high. */
export const FULL_WINDOW_PAGES = 16;
/** A neighbourhood may take the link this long: more would delay the next fault. */
const WINDOW_TIME_US = 100;
/** Of a few milliseconds a rate says nothing. */
const ENOUGH_MS = 20;
/** What is sent in fewer bytes than this part of its pages was not limited by the link. */
const SMALL_PART = 0.1;

export class FaultWindow {
  #bytes = 0;
  #ms = 0;
  #lastMs: number;

  /** @param nowMs - sending begins */
  constructor(nowMs: number) {
    this.#lastMs = nowMs;
  }

  /** What was sent since the time before. */
  learn({ pages, bytes }: { readonly pages: number; readonly bytes: number }, nowMs: number): void {
    const ms = nowMs - this.#lastMs;
    this.#lastMs = nowMs;
    if (bytes < pages * PAGE_SIZE * SMALL_PART) return;
    this.#bytes += bytes;
    this.#ms += ms;
  }

  /** A power of two. */
  get pages(): number {
    if (this.#ms < ENOUGH_MS) return FULL_WINDOW_PAGES;
    const pages = Math.floor(((this.#bytes / this.#ms) * WINDOW_TIME_US) / 1000 / PAGE_SIZE);
    let window = 1;
    while (window * 2 <= Math.min(pages, FULL_WINDOW_PAGES)) window *= 2;
    return window;
  }
}
