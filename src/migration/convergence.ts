/**
 * What comes after a round: the next round, stop-and-finish, post-copy, or giving up. A pure function of measurements.
 *
 * Owns: the order in which the rules are asked. Every decision names the rule that made it:
 *   V3-threshold     the rest fits the downtime limit: finish
 *   V3-cheaper       it fits, but a further round makes the downtime much shorter: next round
 *   V3-fixed-costs   the limit is below what any switchover takes here; the rest adds next to nothing: finish
 *   V3-next          pages get fewer: next round
 *   V3-first         the first pass
 *   V3-no-progress   pre-copy gets nowhere and nobody set a timeout: give up, the VM stays
 *   V3-hopeless      the working set is far more than the limit has room for, however often it is sent: give up
 *   S3, S4, relax    next round, with another slowdown (throttle.ts)
 *   S7-stalled, S7-throttle, S7-fixed-point, S7-working-set   auto: pre-copy would not converge: post-copy
 *   mode             the mode says so (post-copy, hybrid)
 *   asked            somebody asked for post-copy (copy-rounds.ts)
 *   deadline         the timeout, or the last moment at which post-copy still meets it
 *   G7-wait          pre-copy would not converge, but --finish-by leaves time for it to change: next round
 *   G7-finish-by     the last moment at which post-copy still meets --finish-by
 *   hold             it could finish or switch, and is kept until it is told to go on: next round (hold.ts)
 * Must hold: pre-copy never goes to post-copy; post-copy only where the destination can.
 */
import { formatDuration } from '../base/units.ts';
import {
  type Decision,
  explainNoProgress,
  finish,
  giveUp,
  nextRound,
  postCopy,
  type Rule,
  waiting,
} from './decision.ts';
import {
  enoughPages,
  fixedDowntimeMs,
  type MeasuredRound,
  MIN_PAGES_MS,
  measureRates,
  predictEtaMs,
  predictRemaining,
  type RoundFacts,
  sendingMs,
  slowedRate,
} from './dirty-estimate.ts';
import { isLastMoment, residueOf } from './finish-by.ts';
import type { MigrationOptions } from './request.ts';
import { fewestPages } from './round-model.ts';
import { AUTO_MAX_PERCENT, adviseThrottle, computeInitialThrottle } from './throttle.ts';

/** A round that leaves more than this part of what it had to send is not worth another one (algorithms.md, 3). */
const STALLED_PART = 0.7;
/** A new minimum is progress when it is this much below the last one: less is noise. */
const PROGRESS_PART = 0.95;
/** A further round has to save at least this much downtime, and half of it, or it is not worth its time. */
const MIN_SAVED_MS = 5;
const SAVED_PART = 0.5;
/** Pre-copy without a timeout gives up after so many rounds without progress … */
const MAX_IDLE_ROUNDS = 30;
/** … and so long: rounds can be short, and a burst of the guest's is over in seconds. */
const MIN_IDLE_MS = 10_000;
/**
 * Hopeless is what is so many times more than the limit has room for, even on a link so many times as fast: no error of
 * the model is as large.
 */
const HOPELESS_TIMES = 4;
const HOPELESS_LINK = 1.25;
/**
 * Pre-copy is given up when all rounds since the first were hopeless for so long: seen after the second round and told
 * then, it leaves time to raise a limit, or for a burst of the guest's to end.
 */
const MIN_HOPELESS_MS = 5_000;
/** hybrid: a short pass has to save at least this much of paging to be worth its overhead. */
const MIN_SHORT_PASS_MS = 20;
/** Post-copy must be begun this much before the deadline: its page requests cost some of the link. */
const DEADLINE_MARGIN = 1.25;

export function decide(facts: RoundFacts): Decision {
  const { mode } = facts.options;
  if (mode === 'post-copy') return postCopy(facts, 'mode');
  const paged = mode === 'hybrid' && facts.canPostCopy;
  const isFirst = facts.rounds.length === 0;
  const early = (isFirst || paged ? null : checkFinish(facts)) ?? checkDeadline(facts);
  if (early !== null) return early;
  if (isFirst) return nextRound(facts, facts.throttlePercent, 'V3-first');
  if (paged) return isShortPassWorthIt(facts) ? nextRound(facts, 0, 'V3-next') : postCopy(facts, 'mode');
  return mode === 'auto' && facts.canPostCopy ? decideAuto(facts) : decidePreCopy(facts);
}

/**
 * S5: the slowdown to begin the first pass with. None where post-copy will take over anyway.
 * @param peakPagesPerSecond - the history's peak, see `findPeak`
 */
export function initialThrottle(
  peakPagesPerSecond: number,
  options: MigrationOptions,
  canPostCopy: boolean = true,
): number {
  if (options.mode === 'post-copy' || options.mode === 'hybrid') return 0;
  const percent = computeInitialThrottle(peakPagesPerSecond, options.throttle);
  return options.mode === 'auto' && canPostCopy && percent > AUTO_MAX_PERCENT ? 0 : percent;
}

/** The deadlines and what they ask for; null while there is time. Of --finish-by and --timeout the earlier counts. */
export function checkDeadline(facts: RoundFacts): Decision | null {
  const { timeoutMs, onTimeout, mode } = facts.options;
  if (mode !== 'pre-copy' && isLastMoment(facts, residueOf(facts))) return postCopy(facts, 'G7-finish-by');
  if (timeoutMs <= 0) return null;
  const over = facts.elapsedMs >= timeoutMs;
  const mayPostCopy = onTimeout === 'post-copy' && mode !== 'pre-copy' && facts.canPostCopy;
  if (mayPostCopy) {
    // At the next decision a round will have passed and all that is left now may still be left.
    const paging = sendingMs(facts, facts.remainingPages) * DEADLINE_MARGIN + fixedDowntimeMs(facts);
    const round = sendingMs(facts, facts.remainingPages);
    const latest = Number.isFinite(paging) && facts.elapsedMs + round + paging > timeoutMs;
    return over || latest ? postCopy(facts, 'deadline') : null;
  }
  if (!over) return null;
  if (onTimeout === 'pause') return finish(facts, 'deadline');
  return giveUp(facts, 'deadline', 'GW_MIGRATION_TIMEOUT', `not finished after ${formatDuration(timeoutMs)}`);
}

function checkFinish(facts: RoundFacts): Decision | null {
  const pagesMs = sendingMs(facts, facts.remainingPages);
  const roomMs = facts.options.maxDowntimeMs - fixedDowntimeMs(facts);
  if (pagesMs <= roomMs) {
    return isCheaperLater(facts)
      ? nextRound(facts, facts.throttlePercent, 'V3-cheaper')
      : finish(facts, 'V3-threshold');
  }
  // Post-copy keeps the limit better than last pages do, so auto does not stretch it.
  const stretches = facts.options.mode === 'pre-copy' || !facts.canPostCopy || facts.remainingPages === 0;
  return stretches && pagesMs <= MIN_PAGES_MS ? finish(facts, 'V3-fixed-costs') : null;
}

/** A round takes no longer than the downtime that it saves would; that a round leaves little was seen before it is hoped for. */
function isCheaperLater(facts: RoundFacts): boolean {
  const { rounds, remainingPages, options, elapsedMs } = facts;
  const [before, last] = rounds.slice(-2);
  if (before && last && last.dirtyPages > STALLED_PART * before.dirtyPages) return false;
  const nowMs = sendingMs(facts, remainingPages);
  if (options.timeoutMs > 0 && elapsedMs + nowMs >= options.timeoutMs) return false;
  const laterMs = sendingMs(facts, predictRemaining(facts, remainingPages, measureRates(facts).modification));
  return nowMs - laterMs >= MIN_SAVED_MS && laterMs <= SAVED_PART * nowMs;
}

/** auto: converging VMs finish by pre-copy; for the others post-copy is over sooner than a heavy slowdown. */
function decideAuto(facts: RoundFacts): Decision {
  const { rounds, remainingPages } = facts;
  const round = rounds.at(-1)!;
  const chosen = round.sentPages + round.skippedPages;
  if (remainingPages > STALLED_PART * chosen) return leavePreCopy(facts, 'S7-stalled');
  const rates = measureRates(facts);
  const advice = facts.canThrottle
    ? adviseThrottle(facts.throttlePercent, rates, facts.options.throttle)
    : { percent: 0, rule: null };
  const percent = Math.min(advice.percent, Math.max(AUTO_MAX_PERCENT, facts.throttlePercent));
  // The first pass may have been so long that pages modified once look like a rate: one short pass tells.
  if (rounds.length >= 2) {
    const slowed = slowedRate(facts, percent);
    if (slowed > STALLED_PART * rates.transmission) return leavePreCopy(facts, 'S7-throttle');
    if (predictEtaMs(facts, slowed, enoughPages(facts)) === null) return leavePreCopy(facts, 'S7-fixed-point');
    if (isHopeless(facts, facts.canThrottle ? AUTO_MAX_PERCENT : 0)) return leavePreCopy(facts, 'S7-working-set');
  }
  return nextRound(facts, percent, advice.rule ?? 'V3-next');
}

/** Post-copy, at once where nothing speaks against it: who gave --finish-by would rather wait. */
function leavePreCopy(facts: RoundFacts, rule: Rule): Decision {
  return facts.options.finishByMs > 0 ? waiting(facts) : postCopy(facts, rule);
}

function decidePreCopy(facts: RoundFacts): Decision {
  const { options, throttlePercent } = facts;
  const advice = facts.canThrottle
    ? adviseThrottle(throttlePercent, measureRates(facts), options.throttle)
    : { percent: 0, rule: null };
  const atMost = !facts.canThrottle || !options.throttle.enabled || throttlePercent >= options.throttle.maxPercent;
  const idle = roundsWithoutProgress(facts.rounds);
  const idleMs = idle.reduce((sum, { ms }) => sum + ms, 0);
  if (options.timeoutMs <= 0 && atMost && idle.length >= MAX_IDLE_ROUNDS && idleMs >= MIN_IDLE_MS) {
    return giveUp(facts, 'V3-no-progress', 'GW_MIGRATION_NO_CONVERGENCE', explainNoProgress(facts, idle.length));
  }
  const hopelessMs = options.timeoutMs > 0 ? 0 : measureHopelessness(facts);
  if (hopelessMs >= MIN_HOPELESS_MS) {
    return giveUp(facts, 'V3-hopeless', 'GW_MIGRATION_NO_CONVERGENCE', explainNoProgress(facts, facts.rounds.length));
  }
  const isStalled = hopelessMs > 0 || (atMost && idle.length >= 3);
  return nextRound(facts, advice.percent, advice.rule ?? 'V3-next', isStalled);
}

/** For how long, in milliseconds, the rounds have shown that no number of further ones would do, with all the slowdown there is. */
function measureHopelessness(facts: RoundFacts): number {
  const { options, rounds, canThrottle } = facts;
  if (
    rounds.length < 2 ||
    !isHopeless(facts, canThrottle && options.throttle.enabled ? options.throttle.maxPercent : 0)
  )
    return 0;
  const enough = enoughPages(facts) * HOPELESS_TIMES;
  const since = rounds.findLastIndex(({ number, dirtyPages }) => number === 1 || dirtyPages <= enough);
  return rounds.slice(since + 1).reduce((sum, { ms }) => sum + ms, 0);
}

/** The working set at this slowdown is far more than what the limit has room for, however many rounds there are. */
function isHopeless(facts: RoundFacts, percent: number): boolean {
  const { curve, remainingPages } = facts;
  const enough = enoughPages(facts) * HOPELESS_TIMES;
  if (!curve || remainingPages <= enough) return false;
  return fewestPages(facts, curve, (100 - percent) / 100, HOPELESS_LINK) > enough;
}

/** hybrid: exactly one full pass, and one short pass where it leaves much less to page in. */
function isShortPassWorthIt(facts: RoundFacts): boolean {
  if (facts.rounds.length !== 1 || sendingMs(facts, facts.remainingPages) < MIN_SHORT_PASS_MS) return false;
  const left = predictRemaining(facts, facts.remainingPages, measureRates(facts).modification);
  return left < STALLED_PART * facts.remainingPages;
}

/** The latest rounds, since the last one that left clearly less than every round before it. */
function roundsWithoutProgress(rounds: readonly MeasuredRound[]): readonly MeasuredRound[] {
  let best = Number.POSITIVE_INFINITY;
  let lastProgress = -1;
  rounds.forEach(({ dirtyPages }, index) => {
    if (dirtyPages > best * PROGRESS_PART) return;
    best = dirtyPages;
    lastProgress = index;
  });
  return rounds.slice(lastProgress + 1);
}
