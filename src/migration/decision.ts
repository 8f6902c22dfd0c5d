/**
 * A decision of what comes after a round, with what it means for the user: prediction, verdict, reason.
 *
 * Owns: the words, and the numbers beside them. Pure. Must hold: a decision names the rule that made it; only `nextRound`
 * slows the VM; where the destination cannot fetch pages, post-copy becomes giving up.
 */
import { PAGE_SIZE } from '../base/page.ts';
import { formatDuration, formatSize } from '../base/units.ts';
import {
  enoughPages,
  fixedDowntimeMs,
  measureRates,
  predictEtaMs,
  type RoundFacts,
  sendingMs,
  slowedRate,
} from './dirty-estimate.ts';
import { explainTooLate, residueOf } from './finish-by.ts';
import type { Verdict } from './progress.ts';
import { computeRatio } from './throttle.ts';

/** What each means is said in convergence.ts. */
export type Rule =
  | 'V3-threshold'
  | 'V3-cheaper'
  | 'V3-fixed-costs'
  | 'V3-next'
  | 'V3-first'
  | 'V3-no-progress'
  | 'V3-hopeless'
  | 'S3'
  | 'S4'
  | 'relax'
  | 'S7-stalled'
  | 'S7-throttle'
  | 'S7-fixed-point'
  | 'S7-working-set'
  | 'G7-wait'
  | 'G7-finish-by'
  | 'mode'
  | 'deadline'
  | 'asked'
  | 'hold';

interface DecisionBase {
  /** The slowdown from now on; 0 with everything but `nextRound`. */
  readonly throttlePercent: number;
  readonly rule: Rule;
  /** Of the decision, or, for `nextRound`, if the VM were stopped now; null while the link's rate is unknown. */
  readonly predictedDowntimeMs: number | null;
  /** Until the last page is at the destination; null when that cannot be said. */
  readonly etaMs: number | null;
  readonly verdict: Verdict;
}

export type Decision =
  | (DecisionBase & { readonly kind: 'nextRound' | 'finish' | 'postCopy' })
  | (DecisionBase & {
      readonly kind: 'giveUp';
      readonly code: 'GW_MIGRATION_NO_CONVERGENCE' | 'GW_MIGRATION_TIMEOUT';
      readonly reason: string;
    });

export function nextRound(facts: RoundFacts, throttlePercent: number, rule: Rule, stalled = false): Decision {
  const ratio = computeRatio(measureRates(facts));
  const etaMs =
    facts.rounds.length === 0 ? null : predictEtaMs(facts, slowedRate(facts, throttlePercent), enoughPages(facts));
  const verdict = ((): Verdict => {
    if (facts.rounds.length === 0) {
      return { kind: 'starting', text: `First pass: ${size(facts)} to send` };
    }
    if (stalled) {
      const help = 'a higher --max-downtime, --mode auto or switch-postcopy would help';
      return { kind: 'stalled', text: `Stalled: each round leaves about ${size(facts)} again; ${help}` };
    }
    if (throttlePercent > 0) {
      const sent = `pages are sent ${ratio.toFixed(1)} times as fast as modified`;
      return { kind: 'throttling', text: `Slowed by ${throttlePercent} %: ${sent}, ${size(facts)} left` };
    }
    return { kind: 'converging', text: `Converging: ${size(facts)} left, less after every round` };
  })();
  return { kind: 'nextRound', throttlePercent, rule, predictedDowntimeMs: downtimeNow(facts), etaMs, verdict };
}

/** Pre-copy would not converge as things are, but there is time until post-copy must begin. Slowing the VM is of no use. */
export function waiting(facts: RoundFacts): Decision {
  const finishBy = formatDuration(facts.options.finishByMs);
  const text = `Would not converge: post-copy will begin in time for --finish-by ${finishBy}, ${size(facts)} left`;
  return { ...nextRound(facts, 0, 'G7-wait'), verdict: { kind: 'stalled', text } };
}

/** Ready, and kept for others: what the VM writes meanwhile is sent now and then. */
export function holdBack(facts: RoundFacts): Decision {
  const text = `Ready to switch over, and held until it is told to go on: ${size(facts)} left`;
  return { ...nextRound(facts, 0, 'hold'), etaMs: null, verdict: { kind: 'ready', text } };
}

export function finish(facts: RoundFacts, rule: Rule): Decision {
  const predictedDowntimeMs = downtimeNow(facts);
  const downtime = predictedDowntimeMs === null ? 'unknown' : formatDuration(predictedDowntimeMs);
  const limit = formatDuration(facts.options.maxDowntimeMs);
  const excess =
    rule === 'V3-fixed-costs' ? `, above the limit of ${limit}: a switchover alone takes so long here` : '';
  const text = `Finishing: ${size(facts)} left, downtime about ${downtime}${excess}`;
  return {
    kind: 'finish',
    throttlePercent: 0,
    rule,
    predictedDowntimeMs,
    etaMs: predictedDowntimeMs,
    verdict: { kind: 'finishing', text },
  };
}

export function postCopy(facts: RoundFacts, rule: Rule): Decision {
  if (!facts.canPostCopy) {
    const reason = 'the destination cannot fetch missing pages, so post-copy is not possible';
    return giveUp(facts, rule, 'GW_MIGRATION_NO_CONVERGENCE', reason);
  }
  const fixed = fixedDowntimeMs(facts);
  const pagesMs = sendingMs(facts, facts.remainingPages);
  return {
    kind: 'postCopy',
    throttlePercent: 0,
    rule,
    predictedDowntimeMs: fixed,
    etaMs: Number.isFinite(pagesMs) ? fixed + pagesMs : null,
    verdict: { kind: 'switching', text: explainSwitch(facts) },
  };
}

export function giveUp(
  facts: RoundFacts,
  rule: Rule,
  code: 'GW_MIGRATION_NO_CONVERGENCE' | 'GW_MIGRATION_TIMEOUT',
  reason: string,
): Decision {
  return {
    kind: 'giveUp',
    code,
    reason,
    throttlePercent: 0,
    rule,
    predictedDowntimeMs: downtimeNow(facts),
    etaMs: null,
    verdict: { kind: 'stalled', text: `Giving up: ${reason}` },
  };
}

/** Why another round would not help, and what would. */
export function explainNoProgress(facts: RoundFacts, rounds: number): string {
  const now = downtimeNow(facts);
  const { throttle, maxDowntimeMs } = facts.options;
  const slowed = !throttle.enabled
    ? 'with throttling switched off'
    : facts.canThrottle
      ? `at the strongest slowdown (${throttle.maxPercent} %)`
      : 'without a way to slow the vCPUs';
  const would =
    now === null
      ? ''
      : `; stopping now would take ${formatDuration(now)}, the limit is ${formatDuration(maxDowntimeMs)}`;
  return `${rounds} rounds without progress ${slowed}, ${size(facts)} left${would}. Use --mode auto or a higher --max-downtime`;
}

function explainSwitch(facts: RoundFacts): string {
  const tooLate = explainTooLate(facts, residueOf(facts));
  const text = `Switching to post-copy: ${size(facts)} follow after the VM has moved`;
  return tooLate === null ? text : `${text}; ${tooLate}`;
}

function downtimeNow(facts: RoundFacts): number | null {
  const ms = fixedDowntimeMs(facts) + sendingMs(facts, facts.remainingPages);
  return Number.isFinite(ms) ? ms : null;
}

function size({ remainingPages }: RoundFacts): string {
  return formatSize(remainingPages * PAGE_SIZE);
}
