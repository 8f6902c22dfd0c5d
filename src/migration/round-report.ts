/** What a report says of one round of pre-copy. */
import type { Decision } from './decision.ts';
import type { MeasuredRound } from './dirty-estimate.ts';
import type { RoundReport } from './report.ts';

export function reportRound(
  round: MeasuredRound,
  writtenPages: number,
  throttlePercent: number,
  decision: Decision,
): RoundReport {
  const seconds = Math.max(round.ms, 0.001) / 1000;
  const transmission = round.sentPages / seconds;
  // What a round that was cut short did not come to is left, but nobody wrote it.
  const modification = writtenPages / seconds;
  return {
    number: round.number,
    pages: round.sentPages,
    bytes: round.sentBytes,
    ms: round.ms,
    transmissionPagesPerSecond: transmission,
    modificationPagesPerSecond: modification,
    // JSON has no infinity: a round in which nothing was modified has as many as were sent.
    ratio: modification > 0 ? transmission / modification : Math.max(1, round.sentPages),
    throttlePercent,
    rule: decision.rule,
  };
}
