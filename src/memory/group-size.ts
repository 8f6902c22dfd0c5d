/**
 * How many pages a write fault makes writable (M1).
 *
 * Owns: the policy; pure, time is given. A large group saves faults and costs *false dirties*: pages that count as written
 * and are not. With `auto` the size falls with the budget: as many pages may have to be sent again as makes the next round
 * half as long, and near the end, where rounds are small, each page is found on its own. But nobody is slowed by faults alone,
 * which is not asked for: while there are too many, groups grow, for whoever writes that much writes the neighbours as well.
 * Must hold: while faults are few, groups of more than one page never take more than the budget.
 */
import type { GroupSetting } from '../base/tracker-choice.ts';

/** 2 MiB: a writer of all memory takes a fault every few milliseconds then, and larger groups save nothing more. */
export const MAX_AUTO_GROUP_PAGES = 512;
/** No fault takes more than this part of what is left of the budget, so that the size falls as the counter rises. */
const LARGEST_PART = 1 / 16;
/** A fault takes some 70 µs where a CPU has to be woken for it: a third of the time of a vCPU. */
const MAX_FAULTS_PER_MS = 5;
/** Groups this large leave a writer of all memory nearly all of its speed; beyond, only false dirties grow. */
const MAX_FORCED_PAGES = 64;
/** Quick to grow, because the faults of a writer of all memory are over in some tens of milliseconds (guests write in bursts
 * of ten milliseconds themselves) … */
const GROWING_MS = 20;
/** … and slow to shrink, because the next round brings the next burst. */
const SHRINKING_MS = 200;

export class GroupSizer {
  readonly #setting: GroupSetting;
  /** By the number of faults. */
  #leastPages = 1;
  #faults = 0;
  #windowMs = 0;
  #changedMs = 0;

  constructor(setting: GroupSetting) {
    this.#setting = setting;
  }

  /**
   * For one fault.
   * @param resendPages - pages made writable since the last look: they will be sent again
   * @param budgetPages - as many may have to be sent again without harm
   */
  next(resendPages: number, budgetPages: number, nowMs: number): number {
    if (this.#setting !== 'auto') return this.#setting;
    this.#count(nowMs);
    return Math.max(sizeByBudget(resendPages, budgetPages), this.#leastPages);
  }

  #count(nowMs: number): void {
    const shrinks = Math.floor((nowMs - this.#changedMs) / SHRINKING_MS);
    if (shrinks > 0) this.#change(this.#leastPages / 2 ** Math.min(shrinks, 10), nowMs);
    if (nowMs - this.#windowMs >= GROWING_MS) {
      this.#windowMs = nowMs;
      this.#faults = 0;
    }
    this.#faults++;
    if (this.#faults <= MAX_FAULTS_PER_MS * GROWING_MS) return;
    this.#windowMs = nowMs;
    this.#faults = 0;
    this.#change(this.#leastPages * 2, nowMs);
  }

  #change(pages: number, nowMs: number): void {
    this.#leastPages = Math.floor(Math.min(MAX_FORCED_PAGES, Math.max(1, pages)));
    this.#changedMs = nowMs;
  }
}

/** @returns a power of two */
export function sizeByBudget(resendPages: number, budgetPages: number): number {
  const most = (budgetPages - resendPages) * LARGEST_PART;
  if (!(most >= 2)) return 1;
  return Math.min(MAX_AUTO_GROUP_PAGES, 2 ** Math.floor(Math.log2(most)));
}

/**
 * How many pages a round may leave: half of what it sends, so that the rounds get shorter, and quickly. A smaller part
 * would have small groups, and their faults, also where memory is hardly written.
 */
export function resendBudget(sentPages: number): number {
  return Math.floor(sentPages / 2);
}
