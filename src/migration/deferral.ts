/**
 * Hot pages that a round leaves out, for the stop or for post-copy: they would only be sent to be sent again.
 *
 * Owns: the policy; pure. Must hold: deferred pages go on counting as remaining, and there are never more of them than
 * half of what may be left for the VM to be stopped, so that a VM that would have been stopped is; a VM that converges, whose
 * rounds get shorter and meet fewer of its writes, loses nothing.
 */
import { batchRuns, type PageRun } from '../base/page.ts';
import type { PageHeat } from '../memory/page-heat.ts';
import { enoughPages, type RoundFacts, sendingMs } from './dirty-estimate.ts';

/** Sent in the first pass and in two rounds, each time for nothing. */
const HOT_LOOKS = 3;
/** What was written in every round of some length is likely written in one of this part of it. */
const SIMILAR_PART = 0.7;
const MOST_OF_ENOUGH = 0.5;

export interface DeferralFacts extends RoundFacts {
  readonly remaining: readonly PageRun[];
}

/** What of the remaining pages the coming round leaves out. */
export function chooseDeferred(facts: DeferralFacts, heat: PageHeat): readonly PageRun[] {
  const last = facts.rounds.at(-1);
  const most = Math.floor(enoughPages(facts) * MOST_OF_ENOUGH);
  if (last === undefined || facts.rounds.length < HOT_LOOKS || most === 0) return [];
  if (sendingMs(facts, facts.remainingPages) < SIMILAR_PART * last.ms) return [];
  const [deferred = []] = batchRuns(heat.inRow(facts.remaining, HOT_LOOKS), most);
  return deferred;
}
