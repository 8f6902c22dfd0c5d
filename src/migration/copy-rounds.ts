/**
 * Pre-copy at the source (V3, S1–S5): rounds until the rules say that the VM can be stopped.
 *
 * Owns: the loop of one round after another, and what it measures. What comes after a round is decided in
 * convergence.ts. Must hold: dirty bits are collected before the pages are read, and the set of pages still to be sent
 * is never lost: the VM is tracked from before the first page is read, and what `collect` cleared is in `remaining` until it was sent.
 */
import { type Clock, SYSTEM_CLOCK } from '../base/clock.ts';
import { GodwitError } from '../base/errors.ts';
import {
  batchRuns,
  countPages,
  intersectRuns,
  PAGE_SIZE,
  type PageRun,
  RunBuilder,
  subtractRuns,
} from '../base/page.ts';
import { uniteRuns } from '../base/page-bitmap.ts';
import type { DirtyTracker } from '../memory/dirty-tracker.ts';
import { resendBudget } from '../memory/group-size.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import type { RamLayout } from '../memory/layout.ts';
import { PageHeat } from '../memory/page-heat.ts';
import { decide } from './convergence.ts';
import type { Decision } from './decision.ts';
import { chooseDeferred } from './deferral.ts';
import { type DowntimeCosts, type MeasuredRound, type RoundFacts, SMALL_PART } from './dirty-estimate.ts';
import type { PageSender } from './page-sender.ts';
import type { RoundReport } from './report.ts';
import type { MigrationOptions } from './request.ts';

/**
 * Why a round is cut short. `asked` and `timeout`: post-copy, at once; `pause`: the time is up, and the VM is stopped and
 * all that is left is sent.
 */
export type Interruption = 'asked' | 'timeout' | 'pause';

/** What the rounds need of the VM. */
export interface RoundsGuest {
  readonly memory: Pick<GuestMemory, 'dataRuns'>;
  readonly layout: Pick<RamLayout, 'pageCount'>;
  readonly tracker: Pick<DirtyTracker, 'collect' | 'peek' | 'setBudget'>;
  readonly throttlePercent: number;
}

export interface CopyRoundsPort {
  readonly guest: RoundsGuest;
  readonly sender: PageSender;
  readonly signal: AbortSignal;
  /** Read before every decision: they can be tuned. */
  options(): MigrationOptions;
  readonly costs: DowntimeCosts;
  readonly canPostCopy: boolean;
  readonly startedMs: number;
  readonly wasRunning: boolean;
  /** Resolves when the destination has everything of this round. */
  endRound(round: number): Promise<void>;
  /** Slows the vCPUs by so many percent. */
  slow(percent: number): void;
  /** What must happen at once, in the middle of a round: `switch-postcopy` was asked for, or the time is up. */
  interruption(): Interruption | null;
  /** Copying begins; so many pages were never touched. */
  onBegin(holePages: number): void;
  onRound(round: RoundReport, decision: Decision): void;
  onProgress(state: { round: number; remainingPages: number; decision: Decision }): void;
}

export interface CopyResult {
  readonly kind: 'finish' | 'postCopy';
  /** Pages still to be sent, as far as known; more may have been written since. */
  readonly remaining: readonly PageRun[];
}

/** A measurement of the link needs at least this much data to mean anything. */
const MIN_RATE_SAMPLE_BYTES = 4 * 1024 * 1024;
/**
 * No more than this part of a round is skipped. A guest that rewrites all of its pages in one burst, as it can even at the
 * strongest slowdown, would else have rounds that send nothing: they tell nothing of the link, on whose rate every
 * prediction stands, take no time, and so follow each other by the hundred a second until the time is up. The rest is
 * sent for nothing, so it is little.
 */
const MAX_SKIPPED_PART = 15 / 16;

export async function copyRounds(port: CopyRoundsPort, clock: Clock = SYSTEM_CLOCK): Promise<CopyResult> {
  const { guest, sender, signal } = port;
  const rounds: MeasuredRound[] = [];
  const heat = new PageHeat(guest.layout.pageCount);
  let linkBytesPerSecond = 0;
  // In the last round.
  let writtenPages = 0;
  let remaining: readonly PageRun[] = guest.memory.dataRuns();
  port.onBegin(guest.layout.pageCount - countPages(remaining));
  for (let number = 1; ; number++) {
    const remainingPages = countPages(remaining);
    const interruption = port.interruption();
    const decision = interruption
      ? forced(interruption, decide(factsOf(remainingPages)))
      : decide(factsOf(remainingPages));
    const last = rounds.at(-1);
    if (last) port.onRound(reportRound(last, writtenPages, guest.throttlePercent, decision), decision);
    port.onProgress({ round: number, remainingPages, decision });
    if (decision.kind === 'giveUp') throw new GodwitError(decision.code, giveUpDetails(decision, port.options()));
    if (decision.kind !== 'nextRound') {
      return { kind: decision.kind, remaining };
    }
    if (port.wasRunning) port.slow(decision.throttlePercent);
    const round = await sendRound(number, remaining, decision);
    rounds.push(round.measured);
    writtenPages = round.writtenPages;
    remaining = round.remaining;
  }

  function factsOf(remainingPages: number): RoundFacts {
    return {
      options: port.options(),
      rounds,
      remainingPages,
      linkBytesPerSecond,
      costs: port.costs,
      throttlePercent: guest.throttlePercent,
      canThrottle: port.wasRunning,
      canPostCopy: port.canPostCopy,
      elapsedMs: clock.nowMs() - port.startedMs,
    };
  }

  async function sendRound(
    number: number,
    runs: readonly PageRun[],
    decision: Decision,
  ): Promise<{ measured: MeasuredRound; remaining: readonly PageRun[]; writtenPages: number }> {
    const startedMs = clock.nowMs();
    let pagesAhead = countPages(runs);
    guest.tracker.setBudget(resendBudget(pagesAhead));
    const deferrable = chooseDeferred({ ...factsOf(pagesAhead), remaining: runs }, heat);
    const leftOut = new RunBuilder();
    let maySkipPages = Math.floor(pagesAhead * MAX_SKIPPED_PART);
    const counts = await sender.send(runs, {
      signal,
      enough: () => port.interruption() !== null,
      skip: (batch) => {
        pagesAhead -= countPages(batch);
        port.onProgress({ round: number, remainingPages: pagesAhead, decision });
        if (maySkipPages === 0) return [];
        const rewritten = batch.flatMap((run) => guest.tracker.peek(run));
        const hot = intersectRuns(batch, deferrable);
        const worthSending = subtractRuns(subtractRuns(batch, rewritten), hot);
        const [skipped = []] = batchRuns(subtractRuns(batch, worthSending), maySkipPages);
        maySkipPages -= countPages(skipped);
        for (const run of intersectRuns(skipped, hot)) leftOut.add(run.first, run.count);
        return skipped;
      },
    });
    await port.endRound(number);
    const ms = clock.nowMs() - startedMs;
    if (counts.bytes >= MIN_RATE_SAMPLE_BYTES || linkBytesPerSecond === 0) {
      const measured = ms > 0 ? (counts.bytes * 1000) / ms : 0;
      const isOfTheLink = counts.bytes >= counts.pages * PAGE_SIZE * SMALL_PART;
      linkBytesPerSecond = isOfTheLink ? measured : Math.max(linkBytesPerSecond, measured);
    }
    // Skipped pages are written again, so they are among what is collected now; deferred ones need not be.
    const written = guest.tracker.collect();
    heat.look(written);
    const deferred = leftOut.finish();
    const left = uniteRuns(counts.unsent, deferred, guest.layout.pageCount);
    const dirty = uniteRuns(written, left, guest.layout.pageCount);
    const measured = {
      number,
      sentPages: counts.pages,
      sentBytes: counts.bytes,
      skippedPages: counts.skippedPages,
      ms,
      dirtyPages: countPages(dirty),
      deferredPages: countPages(subtractRuns(deferred, written)),
    };
    return { measured, remaining: dirty, writtenPages: countPages(written) };
  }
}

/** The decision that an interruption makes out of any other. */
function forced(interruption: Interruption, decision: Decision): Decision {
  const { predictedDowntimeMs, etaMs } = decision;
  const rule = interruption === 'asked' ? 'asked' : 'deadline';
  const base = { throttlePercent: 0, rule, predictedDowntimeMs, etaMs } as const;
  if (interruption === 'pause') {
    return { ...base, kind: 'finish', verdict: { kind: 'finishing', text: 'Time is up: stopping the VM to finish' } };
  }
  return { ...base, kind: 'postCopy', verdict: { kind: 'switching', text: 'Switching to post-copy now' } };
}

function giveUpDetails(decision: Extract<Decision, { kind: 'giveUp' }>, options: MigrationOptions) {
  return decision.code === 'GW_MIGRATION_TIMEOUT' ? { timeoutMs: options.timeoutMs } : { reason: decision.reason };
}

function reportRound(
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
