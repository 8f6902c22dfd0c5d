/**
 * What a round of pre-copy would send, take and leave, by the VM's dirty curve and the link's speed.
 *
 * Owns: one modelled round, and the fewest pages that rounds come to. Pure. Must hold: a modelled round has the shape of
 * a measured one, so the rules of convergence.ts can be asked about it.
 */
import { type DirtyCurve, dirtyAfter, modifiedBeforeTurn, modifiedWithin } from './dirty-curve.ts';
import { bytesPerPage, type MeasuredRound, ROUND_OVERHEAD_MS, type RoundFacts, usableRate } from './dirty-estimate.ts';

/**
 * No more than this part of a round is skipped. A guest that rewrites all of its pages in one burst, as it can even at the
 * strongest slowdown, would else have rounds that send nothing: they tell nothing of the link, on whose rate every
 * prediction stands, take no time, and so follow each other by the hundred a second until the time is up. The rest is
 * sent for nothing, so it is little.
 */
export const MAX_SKIPPED_PART = 15 / 16;

/** What pages cost on their way. */
export interface LinkModel {
  readonly bytesPerSecond: number;
  /** Of a page that the destination has nothing of, and of one that it has an outdated copy of. */
  readonly wholeBytes: number;
  readonly resentBytes: number;
}

/** A round that has been begun. */
export interface Underway {
  /** Chosen for it. */
  readonly pages: number;
  /** Not sent yet, and not skipped either. */
  readonly aheadPages: number;
  readonly sentPages: number;
  readonly sentBytes: number;
  /** Of these, still in buffers. */
  readonly queuedBytes: number;
  readonly ms: number;
}

export interface ModelledRound {
  readonly measured: MeasuredRound;
  /** What it leaves, by rates of writing. */
  readonly hot: readonly number[];
}

/** The time that finding a round's length takes to settle: skipping makes it shorter, and a shorter one skips less. */
const SETTLING_STEPS = 4;

/** @param hot - of the round's pages those that are written at all, by their rates */
export function modelRound(
  number: number,
  round: Underway,
  hot: readonly number[],
  model: { readonly curve: DirtyCurve; readonly link: LinkModel; readonly share: number },
): ModelledRound {
  const { curve, link, share } = model;
  const pageBytes = number === 1 ? link.wholeBytes : link.resentBytes;
  const pageMs = (pageBytes * 1000) / link.bytesPerSecond;
  const queuedMs = (round.queuedBytes * 1000) / link.bytesPerSecond;
  const part = round.pages > 0 ? round.aheadPages / round.pages : 0;
  const beforeTurn = (ms: number): number => modifiedBeforeTurn(hot, (ms * share) / 1000);
  let skipped = 0;
  let ms = round.ms;
  for (let step = 0; step < SETTLING_STEPS; step++) {
    ms = round.ms + queuedMs + (round.aheadPages - skipped) * pageMs + ROUND_OVERHEAD_MS;
    // The mean over what is left of the round, from the means over all of it and over what has passed.
    const mean = (beforeTurn(ms) * ms - beforeTurn(round.ms) * round.ms) / Math.max(ms - round.ms, 1e-9);
    skipped = Math.min(round.aheadPages * MAX_SKIPPED_PART, mean * part);
  }
  const sentPages = round.sentPages + round.aheadPages - skipped;
  const seconds = (ms * share) / 1000;
  return {
    measured: {
      number,
      sentPages,
      sentBytes: round.sentBytes + (round.aheadPages - skipped) * pageBytes,
      skippedPages: round.pages - sentPages,
      ms,
      dirtyPages: dirtyAfter(curve, seconds),
    },
    hot: modifiedWithin(curve, seconds),
  };
}

/** A round of so many pages that has not been begun. */
export function wholeRound(pages: number): Underway {
  return { pages, aheadPages: pages, sentPages: 0, sentBytes: 0, queuedBytes: 0, ms: 0 };
}

/** Rounds that leave this part of the pages before, or more, get nowhere. */
const SETTLED_PART = 0.98;
const MAX_ROUNDS = 60;

/**
 * The fewest pages that any number of further rounds leaves: about the working set of the time that it takes to send
 * itself (the fixed point of the dirty curve).
 *
 * @param share - of their time that the vCPUs keep
 * @param linkFactor - as if the link were so many times as fast
 */
export function fewestPages(facts: RoundFacts, curve: DirtyCurve, share: number, linkFactor: number = 1): number {
  const pageBytes = bytesPerPage(facts);
  const link = { bytesPerSecond: usableRate(facts) * linkFactor, wholeBytes: pageBytes, resentBytes: pageBytes };
  const lastMs = facts.rounds.at(-1)?.ms ?? 0;
  let pages = facts.remainingPages;
  let hot = modifiedWithin(curve, (lastMs * (100 - facts.throttlePercent)) / 100_000);
  for (let round = 0; round < MAX_ROUNDS && link.bytesPerSecond > 0; round++) {
    const { measured, hot: next } = modelRound(2, wholeRound(pages), hot, { curve, link, share });
    if (measured.dirtyPages >= pages * SETTLED_PART) break;
    pages = measured.dirtyPages;
    hot = next;
  }
  return pages;
}
