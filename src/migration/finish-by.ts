/**
 * `--finish-by`: the last moment at which post-copy can begin for everything to be over in time (G7).
 *
 * Owns: how long post-copy takes at most. Post-copy sends every page once, so unlike pre-copy it has an end that can be
 * told; this is on the safe side of it. Pure. Must hold: more pages, a slower link or less time left never make the
 * moment later.
 */
import { formatDuration } from '../base/units.ts';
import { fixedDowntimeMs, type RoundFacts, usableRate, wholeBytesPerPage } from './dirty-estimate.ts';
import type { MigrationOptions } from './request.ts';

/** What the destination would miss if the VM were stopped now, at most. */
export interface Residue {
  readonly pages: number;
  /** On the wire. */
  readonly bytes: number;
}

/**
 * From the decision to the stop (the list of what will be missing, the threads that serve it), and after the last page the
 * release: at least so long, and on hosts that have more to do as long as they took to prepare the migration. What is beyond
 * that was waiting for something else.
 */
const MIN_SWITCH_MS = 500;
const MAX_SWITCH_MS = 3_000;
/** Page requests of the VM take some of the link, and pushing waits for them: up to 2.2 times as long was measured, on two busy CPUs. */
const PUSH_MARGIN = 2.2;
/** Claiming, framing and installing a page, however fast the link: measured on two busy CPUs (docs/performance.md). */
const MIN_PUSH_MS_PER_PAGE = 0.015;
/** `--verify`: hashing a page on both hosts, one after the other, while nothing else goes on; 6.4 µs were measured on two busy CPUs. */
const VERIFY_MS_PER_PAGE = 0.01;
/** Rates are measured, and links and machines are shared: a part of the time, and at least so much, is kept back. */
const RESERVE_PART = 0.05;
const MIN_RESERVE_MS = 400;
/** With nothing known of the link, post-copy begins when this part of the time that there is for pages has passed. */
const BLIND_PART = 0.5;

/** Milliseconds from now to the end, if post-copy begins now; infinite while nothing is known of the link. */
export function pushBoundMs(facts: RoundFacts, { pages, bytes }: Residue): number {
  const rate = usableRate(facts);
  if (rate <= 0) return Number.POSITIVE_INFINITY;
  const pushMs = Math.max((bytes * 1000) / rate, pages * MIN_PUSH_MS_PER_PAGE);
  const switchMs = Math.max(MIN_SWITCH_MS, Math.min(facts.begunMs, MAX_SWITCH_MS));
  const verifyMs = facts.options.verify ? facts.dataPages * VERIFY_MS_PER_PAGE : 0;
  return switchMs + fixedDowntimeMs(facts) + verifyMs + pushMs * PUSH_MARGIN;
}

/** Whether post-copy has to begin now. */
export function isLastMoment(facts: RoundFacts, residue: Residue): boolean {
  return facts.options.finishByMs > 0 && facts.elapsedMs >= lastMomentMs(facts, residue);
}

/** When post-copy has to begin if no more than this is missing then, in milliseconds since the start. */
export function lastMomentMs(facts: RoundFacts, residue: Residue): number {
  const { finishByMs } = facts.options;
  const boundMs = pushBoundMs(facts, residue);
  if (!Number.isFinite(boundMs)) {
    // Pages have only gone since the disks were there.
    const begunMs = Math.min(facts.begunMs, finishByMs);
    return begunMs + (finishByMs - begunMs) * (1 - BLIND_PART);
  }
  return finishByMs - boundMs - Math.max(MIN_RESERVE_MS, finishByMs * RESERVE_PART);
}

/** Of what is left between two rounds. */
export function residueOf(facts: RoundFacts): Residue {
  return { pages: facts.remainingPages, bytes: facts.remainingPages * wholeBytesPerPage(facts) };
}

/** What the user is told when it is too late; null when there is time. */
export function explainTooLate(facts: RoundFacts, residue: Residue): string | null {
  const { finishByMs } = facts.options;
  const endMs = facts.elapsedMs + pushBoundMs(facts, residue);
  if (finishByMs <= 0) return null;
  if (facts.elapsedMs >= finishByMs) return `--finish-by ${formatDuration(finishByMs)} has passed already`;
  if (!Number.isFinite(endMs) || endMs <= finishByMs) return null;
  return `it may take up to ${formatDuration(endMs)} in all, later than --finish-by ${formatDuration(finishByMs)}`;
}

/**
 * What the user is told while disks are copied, which is over when it is over: the VM cannot run at the other host before.
 * @param etaMs - as far as it is known
 */
export function explainLateDisks(finishByMs: number, elapsedMs: number, etaMs: number | null): string | null {
  const endMs = elapsedMs + (etaMs ?? 0);
  if (finishByMs <= 0 || endMs <= finishByMs) return null;
  return `with them it may take ${formatDuration(endMs)} in all, later than --finish-by ${formatDuration(finishByMs)}`;
}

/** Why the end of a migration cannot be promised; null when it can. */
export function explainNoFinishBy(mode: MigrationOptions['mode'], canPostCopy: boolean): string | null {
  if (mode === 'pre-copy') return 'its mode is pre-copy, whose end cannot be promised';
  return canPostCopy ? null : 'its destination cannot do post-copy';
}
