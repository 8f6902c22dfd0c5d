/**
 * What the rounds so far say about the next ones: rates, bytes per page, predicted downtime, time left.
 *
 * Owns: the numbers that decisions are made of (S2, V3). Nothing here decides.
 */
import { PAGE_SIZE } from '../base/page.ts';
import type { DirtyCurve } from './dirty-curve.ts';
import type { MigrationOptions } from './request.ts';
import type { Rates } from './throttle.ts';

/** One finished round, as measured. */
export interface MeasuredRound {
  readonly number: number;
  readonly sentPages: number;
  readonly sentBytes: number;
  /** Of `sentPages`, those that were only named, and those that had not changed since they were sent; absent: none. */
  readonly namedPages?: number;
  readonly unchangedPages?: number;
  /** Chosen for the round, but not sent because they were already modified again. */
  readonly skippedPages: number;
  readonly ms: number;
  /** Of it, waiting for pages that other VMs were to bring; absent: none. */
  readonly waitedMs?: number;
  /** To be sent after the round: modified during it, skipped, or not come to. */
  readonly dirtyPages: number;
  /** Of these, left out for the stop or for post-copy, and not modified (deferral.ts); absent: none. */
  readonly deferredPages?: number;
}

/** What the downtime consists of besides the last pages: measured on this pair of hosts, or `PRIOR_COSTS`. */
export interface DowntimeCosts {
  readonly stopMs: number;
  /** Reading the dirty bits twice, whatever the number of pages. */
  readonly collectMs: number;
  readonly saveStateMs: number;
  readonly stateBytes: number;
  readonly loadStateMs: number;
  readonly commitMs: number;
  readonly resumeMs: number;
}

/** Medians of QEMU 10 with one vCPU and the usual devices (docs/performance.md): saving and loading overlap in part. */
export const PRIOR_COSTS: DowntimeCosts = {
  stopMs: 2,
  collectMs: 2,
  saveStateMs: 2,
  stateBytes: 100_000,
  loadStateMs: 4,
  commitMs: 2,
  resumeMs: 1,
};

/** Everything that a decision may depend on. */
export interface RoundFacts {
  readonly options: MigrationOptions;
  /** Oldest first; empty before the first. */
  readonly rounds: readonly MeasuredRound[];
  /** Pages that would have to be sent now: at first all that hold data, later what the last round left. */
  readonly remainingPages: number;
  /** All that hold data, sent or not. */
  readonly dataPages: number;
  /** Measured bytes a second on the wire; 0 = not measured yet. */
  readonly linkBytesPerSecond: number;
  readonly costs: DowntimeCosts;
  /** Slowdown at the moment. */
  readonly throttlePercent: number;
  /** There is a mechanism to slow the vCPUs with, and the VM runs. */
  readonly canThrottle: boolean;
  /** The destination can serve missing pages. */
  readonly canPostCopy: boolean;
  readonly elapsedMs: number;
  /** `elapsedMs` when copying began: how quick both hosts are at starting processes and threads now. */
  readonly begunMs: number;
  /** How the VM modifies its memory, as far as the rounds have shown it; null while nothing was seen. */
  readonly curve: DirtyCurve | null;
}

/** A round costs this much even when it sends nothing: scan, bookkeeping, the pipeline running empty. */
export const ROUND_OVERHEAD_MS = 3;
/** Fewer pages than this say little about bytes per page or pages per second. */
export const MIN_SAMPLE_PAGES = 64;
/** Pages of which less than this part went over the wire do not show what the link can take. */
export const SMALL_PART = 0.25;
/** A prediction over more rounds than this says nothing. */
const MAX_PREDICTED_ROUNDS = 50;
/** A frame's header and its share of the page table, per page. */
export const FRAME_OVERHEAD_BYTES = 16;

/** Time for last pages that is allowed even where the fixed costs alone exceed the limit. */
export const MIN_PAGES_MS = 2;

/** Bytes a second that can be counted on; 0 = nothing known yet. */
export function usableRate({ options, linkBytesPerSecond, rounds }: RoundFacts): number {
  const limit = options.bandwidthBytesPerSecond;
  let rate = linkBytesPerSecond;
  if (rate <= 0) {
    const largest = rounds.reduce<MeasuredRound | undefined>(
      (a, b) => (a && a.sentBytes >= b.sentBytes ? a : b),
      undefined,
    );
    rate = largest && sendingMsOf(largest) > 0 ? (largest.sentBytes / sendingMsOf(largest)) * 1000 : limit;
  }
  return limit > 0 ? Math.min(rate, limit) : rate;
}

/**
 * What one of the remaining pages takes on the wire, from the latest round that sent enough of them. Pages that were only
 * named say nothing: when the VM stands nobody asks the destination which it has not got.
 */
export function bytesPerPage(facts: RoundFacts): number {
  const round = sampleRound(facts);
  // Not below a hundredth: the next pages may compress worse, and nothing may look free.
  return round ? Math.max(round.sentBytes / unnamedPages(round), PAGE_SIZE / 100) : PAGE_SIZE + FRAME_OVERHEAD_BYTES;
}

/** What a page takes that the destination has nothing of, at most: the most that contents took in any round. */
export function wholeBytesPerPage({ rounds }: RoundFacts): number {
  const most = rounds.reduce((sum, round) => {
    const pages = unnamedPages(round) - (round.unchangedPages ?? 0);
    return pages >= MIN_SAMPLE_PAGES ? Math.max(sum, round.sentBytes / pages) : sum;
  }, 0);
  return most > 0 ? Math.min(most, PAGE_SIZE + FRAME_OVERHEAD_BYTES) : PAGE_SIZE + FRAME_OVERHEAD_BYTES;
}

/** Of which contents were sent, or which had not changed. */
export function unnamedPages({ sentPages, namedPages = 0 }: MeasuredRound): number {
  return sentPages - namedPages;
}

/** Milliseconds to send `pages`; infinite while nothing is known of the link. */
export function sendingMs(facts: RoundFacts, pages: number): number {
  const rate = usableRate(facts);
  if (pages === 0) return 0;
  if (rate <= 0) return Number.POSITIVE_INFINITY;
  return Math.max((pages * bytesPerPage(facts) * 1000) / rate, pages * handlingMsPerPage(facts));
}

/**
 * What a page takes where the link is not what limits: reading it, finding that little of it has changed, packing it. As
 * long as pages took in a round that left the link idle; 0 while nothing says that there is more to it than the link.
 */
function handlingMsPerPage(facts: RoundFacts): number {
  const round = sampleRound(facts);
  if (!round || round.sentBytes >= round.sentPages * PAGE_SIZE * SMALL_PART) return 0;
  return Math.max(0, sendingMsOf(round) - ROUND_OVERHEAD_MS) / round.sentPages;
}

/** How long a round took that had to wait for nobody. */
export function sendingMsOf({ ms, waitedMs = 0 }: MeasuredRound): number {
  return ms - waitedMs;
}

function sampleRound({ rounds }: RoundFacts): MeasuredRound | undefined {
  return rounds.findLast((round) => unnamedPages(round) >= MIN_SAMPLE_PAGES);
}

/** Downtime without any last page: what post-copy takes. */
export function fixedDowntimeMs(facts: RoundFacts): number {
  const { stopMs, collectMs, saveStateMs, stateBytes, loadStateMs, commitMs, resumeMs } = facts.costs;
  const rate = usableRate(facts);
  const transferMs = rate > 0 ? (stateBytes * 1000) / rate : 0;
  return stopMs + collectMs + saveStateMs + transferMs + loadStateMs + commitMs + resumeMs;
}

/** S2 of the latest round. Where a round sent next to nothing, the link's own speed stands in for what was sent. */
export function measureRates(facts: RoundFacts): Rates {
  const round = facts.rounds.at(-1);
  if (round === undefined) return { transmission: 0, modification: 0 };
  const seconds = Math.max(round.ms, 0.1) / 1000;
  const sendingSeconds = Math.max(sendingMsOf(round), 0.1) / 1000;
  const linkPages = usableRate(facts) / bytesPerPage(facts);
  const transmission =
    round.sentPages >= MIN_SAMPLE_PAGES || linkPages === 0 ? round.sentPages / sendingSeconds : linkPages;
  return { transmission, modification: (round.dirtyPages - (round.deferredPages ?? 0)) / seconds };
}

/** What a round that sends `pages` leaves, if pages go on being modified at `pagesPerSecond`; never more than all. */
export function predictRemaining(facts: RoundFacts, pages: number, pagesPerSecond: number): number {
  const ms = sendingMs(facts, pages) + ROUND_OVERHEAD_MS;
  return Math.min(facts.remainingPages, (pagesPerSecond * ms) / 1000);
}

/**
 * Milliseconds of rounds until no more than `enough` pages are left, at a modification rate; null when that many
 * rounds do not get there.
 */
export function predictEtaMs(facts: RoundFacts, pagesPerSecond: number, enough: number): number | null {
  let pages = facts.remainingPages;
  let ms = 0;
  for (let round = 0; round < MAX_PREDICTED_ROUNDS && pages > enough; round++) {
    ms += sendingMs(facts, pages) + ROUND_OVERHEAD_MS;
    const next = predictRemaining(facts, pages, pagesPerSecond);
    if (next >= pages * 0.98) return null;
    pages = next;
  }
  return pages <= enough && Number.isFinite(ms) ? ms + fixedDowntimeMs(facts) : null;
}

/** The modification rate at another slowdown than that of the last round. */
export function slowedRate(facts: RoundFacts, percent: number): number {
  const { modification } = measureRates(facts);
  return (modification * (100 - percent)) / Math.max(1, 100 - facts.throttlePercent);
}

/** How many pages may be left for the switchover to fit the limit. */
export function enoughPages(facts: RoundFacts): number {
  const perPageMs = sendingMs(facts, 1);
  const roomMs = Math.max(MIN_PAGES_MS, facts.options.maxDowntimeMs - fixedDowntimeMs(facts));
  return Number.isFinite(perPageMs) ? Math.floor(roomMs / perPageMs) : 0;
}
