/**
 * Pre-copy at the source (V3, S1–S5): rounds until the rules say that the VM can be stopped.
 *
 * Owns: the loop of one round after another, and what it measures. What comes after a round is decided in
 * convergence.ts. Must hold: dirty bits are collected before the pages are read, and the set of pages still to be sent
 * is never lost: the VM is tracked from before the first page is read, and what `collect` cleared is in `remaining` until it was sent.
 */
import { type Clock, SYSTEM_CLOCK } from '../base/clock.ts';
import { GodwitError } from '../base/errors.ts';
import { countPages, PAGE_SIZE, type PageRun, subtractRuns } from '../base/page.ts';
import { uniteRuns } from '../base/page-bitmap.ts';
import { resendBudget } from '../memory/group-size.ts';
import { PageHeat } from '../memory/page-heat.ts';
import type { CopyResult, CopyRoundsPort } from './copy-rounds-port.ts';
import type { Decision } from './decision.ts';
import { chooseDeferred } from './deferral.ts';
import { type MeasuredRound, type RoundFacts, SMALL_PART, wholeBytesPerPage } from './dirty-estimate.ts';
import { isLastMoment } from './finish-by.ts';
import { forced } from './interruption.ts';
import { keepRound } from './kept-rounds.ts';
import { addCounts, type SendCounts } from './page-sender.ts';
import type { MigrationOptions } from './request.ts';
import { RoundOrder } from './round-order.ts';
import { reportRound } from './round-report.ts';
import { RoundWatch } from './round-watch.ts';

/** Less says nothing of the link. */
const MIN_RATE_SAMPLE_BYTES = 4 * 1024 * 1024;

export async function copyRounds(port: CopyRoundsPort, clock: Clock = SYSTEM_CLOCK): Promise<CopyResult> {
  const { guest, sender, signal } = port;
  const rounds: MeasuredRound[] = [];
  const heat = new PageHeat(guest.layout.pageCount);
  let linkBytesPerSecond = 0;
  let hasSeenLink = false;
  let writtenPages = 0; // in the last round
  let isLate = false;
  let isHeld = false; // the last round
  const begunMs = elapsedMs();
  const { pageCount } = guest.layout;
  const watch = new RoundWatch({ tracker: guest.tracker, pageCount, link: () => port.linkCounts() }, clock);
  let remaining = port.dataRuns;
  const dataPages = countPages(remaining);
  port.onBegin(pageCount - dataPages);
  for (let number = 1; ; number++) {
    let { decision, facts } = judge(number);
    const last = rounds.at(-1);
    if (last) port.onRound(reportRound(last, writtenPages, guest.throttlePercent, decision), decision);
    while (port.hold.mayRest(decision)) {
      if (port.wasRunning) port.slow(decision.throttlePercent);
      await port.hold.rest(signal);
      remaining = uniteRuns(remaining, guest.tracker.collect(), pageCount);
      ({ decision, facts } = judge(number));
    }
    if (decision.kind === 'giveUp') throw new GodwitError(decision.code, giveUpDetails(decision, port.options()));
    if (decision.kind !== 'nextRound') {
      const isPaused = decision.kind === 'finish' && decision.rule === 'deadline';
      return { kind: decision.kind, isPaused, remaining, heat };
    }
    if (port.wasRunning) port.slow(decision.throttlePercent);
    const round = await sendRound(number, remaining, decision, facts);
    // Of those of a hold only the latest counts: how long it lasts says nothing of the VM.
    if (isHeld) rounds.pop();
    isHeld = decision.rule === 'hold';
    keepRound(rounds, round.measured);
    port.hold.roundEnded(round.measured.ms);
    writtenPages = round.writtenPages;
    remaining = round.remaining;
  }

  /** What comes now, by what is known now. */
  function judge(number: number): { readonly decision: Decision; readonly facts: RoundFacts } {
    const remainingPages = countPages(remaining);
    const interruption = port.interruption() ?? (isLate ? 'finishBy' : null);
    const facts = factsNow(remainingPages);
    const decision = interruption ? forced(interruption, facts) : port.hold.decide(facts);
    port.onProgress({ round: number, remainingPages, decision, facts, watch: null });
    return { decision, facts };
  }

  function factsNow(remainingPages: number): RoundFacts {
    return {
      options: port.options(),
      rounds,
      remainingPages,
      dataPages,
      linkBytesPerSecond,
      costs: port.costs,
      throttlePercent: guest.throttlePercent,
      canThrottle: port.wasRunning,
      canPostCopy: port.canPostCopy,
      elapsedMs: elapsedMs(),
      begunMs,
      curve: watch.curve,
    };
  }

  function elapsedMs(): number {
    return clock.nowMs() - port.startedMs;
  }

  /** In the middle of a round. */
  function isEnough(facts: RoundFacts): boolean {
    return port.interruption() !== null || port.hold.isWaitedFor || mustSwitch(facts);
  }

  /** G7, in the middle of a round. */
  function mustSwitch(facts: RoundFacts): boolean {
    const options = port.options();
    if (options.finishByMs <= 0 || options.mode === 'pre-copy') return false;
    const now = { ...facts, options, elapsedMs: elapsedMs() };
    const measured = { ...now, linkBytesPerSecond: watch.bytesPerSecond || linkBytesPerSecond };
    isLate ||= isLastMoment(measured, watch.residue(wholeBytesPerPage(facts)));
    return isLate;
  }

  async function sendRound(
    number: number,
    runs: readonly PageRun[],
    decision: Decision,
    facts: RoundFacts,
  ): Promise<{ measured: MeasuredRound; remaining: readonly PageRun[]; writtenPages: number }> {
    const startedMs = clock.nowMs();
    let pagesAhead = countPages(runs);
    guest.tracker.setBudget(resendBudget(pagesAhead));
    const deferrable = chooseDeferred({ ...facts, remaining: runs }, heat);
    const order = new RoundOrder(guest.tracker, { pages: pagesAhead, isFirst: number === 1, deferrable });
    watch.begin(number, pagesAhead, guest.throttlePercent);
    const options = {
      signal,
      // Once: what is named of other VMs may have to be waited for at the end of the round.
      mayName: number === 1 && port.options().finishByMs <= 0 ? ('awaited' as const) : ('held' as const),
      enough: () => isEnough(facts),
      skip: (batch: readonly PageRun[]): readonly PageRun[] => {
        const { skipped, donePages, leftPages } = order.choose(batch);
        pagesAhead -= donePages;
        watch.advance(donePages, leftPages);
        port.onProgress({ round: number, remainingPages: pagesAhead, decision, facts, watch });
        return skipped;
      },
    };
    const early = await sender.send(runs, options);
    const putOff = order.takePutOff();
    const sent = putOff.length === 0 ? early : addCounts(early, await sender.send(putOff, options), pageCount);
    const { missed, waitedMs: told } = await port.endRound(number);
    const counts = missed.length === 0 ? sent : await sendMissed(number, missed, sent, facts);
    const ms = clock.nowMs() - startedMs;
    const waitedMs = Math.min(told, ms);
    if (counts.bytes >= MIN_RATE_SAMPLE_BYTES || !hasSeenLink) {
      const linkMs = ms - waitedMs;
      const measured = linkMs > 0 ? (counts.bytes * 1000) / linkMs : 0;
      const isOfTheLink = counts.bytes >= counts.pages * PAGE_SIZE * SMALL_PART;
      const isEnough = isOfTheLink && counts.bytes >= MIN_RATE_SAMPLE_BYTES;
      // Little, or pages that the destination had already, show only that the link is no slower.
      linkBytesPerSecond = isEnough ? measured : Math.max(linkBytesPerSecond, measured);
      hasSeenLink ||= isEnough;
    }
    // Skipped pages are written again, so they are among what is collected now; deferred ones need not be.
    const written = guest.tracker.collect();
    heat.look(written);
    watch.end({ ms }, countPages(written));
    const deferred = order.deferred();
    const dirty = uniteRuns(written, uniteRuns(counts.unsent, deferred, pageCount), pageCount);
    const measured = {
      number,
      sentPages: counts.pages,
      sentBytes: counts.bytes,
      namedPages: counts.namedPages,
      unchangedPages: counts.unchangedPages,
      skippedPages: order.leftPages,
      ms,
      ...(waitedMs > 0 ? { waitedMs } : {}),
      dirtyPages: countPages(dirty),
      deferredPages: countPages(subtractRuns(deferred, written)),
    };
    return { measured, remaining: dirty, writtenPages: countPages(written) };
  }

  /** What the destination was to hold and does not belongs to the same round. Returns the counts of all of it. */
  async function sendMissed(
    number: number,
    missed: readonly PageRun[],
    sent: SendCounts,
    facts: RoundFacts,
  ): Promise<SendCounts> {
    sender.miss(missed);
    const again = await sender.send(missed, {
      signal,
      enough: () => isEnough(facts),
    });
    await port.endRound(number);
    const namedPages = Math.max(0, sent.namedPages - countPages(missed));
    return { ...addCounts(sent, again, pageCount), pages: sent.pages, namedPages };
  }
}

function giveUpDetails(decision: Extract<Decision, { kind: 'giveUp' }>, options: MigrationOptions) {
  return decision.code === 'GW_MIGRATION_TIMEOUT' ? { timeoutMs: options.timeoutMs } : { reason: decision.reason };
}
