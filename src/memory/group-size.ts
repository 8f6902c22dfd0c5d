/**
 * How many pages a write fault makes writable (M1).
 *
 * Owns: the policy; pure. A large group saves faults and costs *false dirties*: pages that count as written and are not.
 * Must hold: with `auto` groups of more than one page never take more than the budget, so that at the worst a round has
 * its budget too many to send; once it is used up, or near the end, where it is small, every page is found on its own.
 */
import type { GroupSetting } from '../base/tracker-choice.ts';

/** 2 MiB: a writer of all memory takes a fault every few milliseconds then, and larger groups save nothing more. */
export const MAX_AUTO_GROUP_PAGES = 512;
/** No fault takes more than this part of what is left of the budget, so that the size falls as the counter rises. */
const LARGEST_PART = 1 / 16;

/**
 * @param resendPages - pages made writable since the last look: they will be sent again
 * @param budgetPages - as many may have to be sent again without harm
 */
export function groupSize(setting: GroupSetting, resendPages: number, budgetPages: number): number {
  if (setting !== 'auto') return setting;
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
