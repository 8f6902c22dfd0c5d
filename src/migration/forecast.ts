/**
 * What the rest of a migration will take: rounds, bytes, time and downtime, each with an interval (G5).
 *
 * Owns: playing the rest through. The rules that will decide (convergence.ts) are asked about modelled rounds
 * (round-model.ts), many times over, each time with the link, the pages and the VM a little different from what is known
 * of them; how far, depends on how well it is known. Pure, and without chance: the same numbers give the same forecast.
 */
import { decide } from './convergence.ts';
import type { Decision } from './decision.ts';
import { type DirtyCurve, modifiedWithin, scaleCurve } from './dirty-curve.ts';
import { fixedDowntimeMs, type MeasuredRound, type RoundFacts } from './dirty-estimate.ts';
import { isLastMoment, lastMomentMs } from './finish-by.ts';
import { countRounds } from './kept-rounds.ts';
import type { Interval, Prediction } from './prediction.ts';
import { type LinkModel, modelRound, type Underway, wholeRound } from './round-model.ts';

/** What is known of the pair of hosts besides the link's speed. */
export interface PairModel {
  /** Downtime without last pages; null: the sum of the prior costs. */
  readonly fixedDowntimeMs: number | null;
  /** From the resume, or the last page, until the source is released and the report is out. */
  readonly endingMs: number;
  /** How many times as long a page takes in post-copy as in pre-copy. */
  readonly pushFactor: number;
}

/** How far things may be from what is known of them: standard deviations of their logarithms. */
export interface Doubts {
  readonly rate: number;
  readonly wholeBytes: number;
  readonly resentBytes: number;
  readonly writing: number;
  readonly fixed: number;
  readonly ending: number;
}

export interface ForecastInput {
  /** As for the next decision; with `underway` as they were when the round began, but for the time. */
  readonly facts: RoundFacts;
  readonly underway: Underway | null;
  readonly curve: DirtyCurve;
  readonly link: LinkModel;
  readonly pair: PairModel;
  readonly doubts: Doubts;
  /** On the wire before what is played through. */
  readonly bytesSoFar: number;
}

interface Played extends Record<'rounds' | 'bytes' | 'totalMs' | 'downtimeMs', number> {
  readonly ending: Prediction['ending'];
}

/** Times that it is played through: the 1st and the last but one leave about a tenth outside. */
const PLAYS = 24;
const OUTSIDE = 1;
/** More rounds than this are not played: what is over by then is given up, or nobody knows. */
const MAX_ROUNDS = 60;
/** Rounds that wait for --finish-by can be many. */
const MAX_WAITED_ROUNDS = 10_000;
/** A round that is ended by --finish-by is looked at so many times. */
const ROUND_STEPS = 8;
/** One for each doubt. */
const BASES = { rate: 2, wholeBytes: 3, resentBytes: 5, writing: 7, fixed: 11, ending: 13 } as const;

export function forecast(input: ForecastInput): Prediction {
  const plays = Array.from({ length: PLAYS }, (_, i) => play(disturb(input, i + 1)));
  const middle = play(input);
  const over = (value: (played: Played) => number): Interval => {
    const sorted = plays.map(value).sort((a, b) => a - b);
    const expected = value(middle);
    const low = Math.min(expected, sorted[OUTSIDE]!);
    return { low, expected, high: Math.max(expected, sorted[PLAYS - 1 - OUTSIDE]!) };
  };
  return {
    rounds: over(({ rounds }) => rounds),
    bytes: over(({ bytes }) => bytes),
    totalMs: over(({ totalMs }) => totalMs),
    downtimeMs: over(({ downtimeMs }) => downtimeMs),
    ending: middle.ending,
  };
}

/** The same with everything a little different, in its own way for each index (a Halton sequence covers all evenly). */
function disturb(input: ForecastInput, index: number): ForecastInput {
  const { link, pair, facts } = input;
  const factor = (what: keyof Doubts): number =>
    Math.exp(input.doubts[what] * normalQuantile(halton(index, BASES[what])));
  // Pages that turn out larger are packed less, and so go faster: what a page takes of the time is known by itself.
  const larger = factor('wholeBytes');
  return {
    ...input,
    link: {
      bytesPerSecond: link.bytesPerSecond * larger * factor('rate'),
      wholeBytes: link.wholeBytes * larger,
      resentBytes: link.resentBytes * larger * factor('resentBytes'),
    },
    curve: scaleCurve(input.curve, factor('writing')),
    pair: {
      ...pair,
      fixedDowntimeMs: (pair.fixedDowntimeMs ?? fixedDowntimeMs(facts)) * factor('fixed'),
      endingMs: pair.endingMs * factor('ending'),
    },
  };
}

function play({ facts, underway, curve, link, pair, bytesSoFar }: ForecastInput): Played {
  const rounds: MeasuredRound[] = [...facts.rounds];
  // Of a migration that waits for long not all are kept.
  const leftOut = countRounds(rounds) - rounds.length;
  let { remainingPages, throttlePercent, elapsedMs } = facts;
  let bytes = bytesSoFar;
  let hot = rounds.length === 0 ? curve.pagesByRate : modifiedWithin(curve, (rounds.at(-1)!.ms * share()) / 1000);
  let begun = underway;
  for (;;) {
    const now = { ...facts, rounds, remainingPages, throttlePercent, elapsedMs, curve };
    const known = {
      ...now,
      linkBytesPerSecond: facts.linkBytesPerSecond > 0 || rounds.length > 0 ? link.bytesPerSecond : 0,
    };
    const decision = begun ? null : decide(known);
    if ((decision && decision.kind !== 'nextRound') || rounds.length >= MAX_ROUNDS) return end(decision, known);
    if (decision?.rule === 'G7-wait') return wait(known);
    throttlePercent = decision?.throttlePercent ?? throttlePercent;
    const from = begun ?? wholeRound(remainingPages);
    const round = modelRound(leftOut + rounds.length + 1, from, hot, { curve, link, share: share() });
    const stopped = cut(round.measured, from, now);
    if (stopped) return stopped;
    rounds.push(round.measured);
    bytes += round.measured.sentBytes - from.sentBytes;
    elapsedMs += round.measured.ms;
    remainingPages = round.measured.dirtyPages;
    hot = round.hot;
    begun = null;
  }

  function share(): number {
    return (100 - throttlePercent) / 100;
  }

  /** Where --finish-by ends a round before its own end. */
  function cut(round: MeasuredRound, from: Underway, now: RoundFacts): Played | null {
    if (facts.options.finishByMs <= 0 || !facts.canPostCopy) return null;
    for (let step = 1; step < ROUND_STEPS; step++) {
      const part = step / ROUND_STEPS;
      const aheadPages = from.aheadPages * (1 - part);
      const at = {
        ...now,
        elapsedMs: elapsedMs + from.ms + (round.ms - from.ms) * part,
        linkBytesPerSecond: link.bytesPerSecond,
      };
      const pages = aheadPages + round.dirtyPages * part;
      if (!isLastMoment(at, { pages, bytes: pages * link.wholeBytes })) continue;
      bytes += (round.sentBytes - from.sentBytes) * part;
      elapsedMs = at.elapsedMs;
      remainingPages = pages;
      return postCopied(at);
    }
    return null;
  }

  /** Every further round is like this one, until --finish-by has it ended. */
  function wait(now: RoundFacts): Played {
    const residue = { pages: remainingPages, bytes: remainingPages * link.wholeBytes };
    const untilMs = lastMomentMs(now, residue);
    const round = modelRound(2, wholeRound(remainingPages), hot, { curve, link, share: share() }).measured;
    const times = Math.max(0, untilMs - elapsedMs) / round.ms;
    for (let passed = 0; passed < Math.floor(times) && rounds.length < MAX_WAITED_ROUNDS; passed++) rounds.push(round);
    bytes += times * round.sentBytes;
    elapsedMs = Math.max(elapsedMs, untilMs);
    return postCopied(now);
  }

  function end(decision: Decision | null, now: RoundFacts): Played {
    const fixedMs = pair.fixedDowntimeMs ?? fixedDowntimeMs(now);
    if (decision?.kind === 'postCopy') return postCopied(now);
    if (decision?.kind !== 'finish') {
      return { rounds: leftOut + rounds.length, bytes, totalMs: elapsedMs, downtimeMs: fixedMs, ending: 'giveUp' };
    }
    const pageBytes = rounds.length === 0 ? link.wholeBytes : link.resentBytes;
    const downtimeMs = fixedMs + (remainingPages * pageBytes * 1000) / link.bytesPerSecond;
    const totalMs = elapsedMs + downtimeMs + pair.endingMs;
    bytes += now.costs.stateBytes + remainingPages * pageBytes;
    return { rounds: leftOut + rounds.length, bytes, totalMs, downtimeMs, ending: 'finish' };
  }

  function postCopied(now: RoundFacts): Played {
    const downtimeMs = pair.fixedDowntimeMs ?? fixedDowntimeMs(now);
    const pagesMs = ((remainingPages * link.wholeBytes * 1000) / link.bytesPerSecond) * pair.pushFactor;
    const totalMs = elapsedMs + downtimeMs + pagesMs + pair.endingMs;
    bytes += now.costs.stateBytes + remainingPages * link.wholeBytes;
    return { rounds: leftOut + rounds.length, bytes, totalMs, downtimeMs, ending: 'postCopy' };
  }
}

/** The index-th number of a sequence that fills 0 … 1 evenly. */
function halton(index: number, base: number): number {
  let value = 0;
  let part = 1;
  for (let rest = index; rest > 0; rest = Math.floor(rest / base)) {
    part /= base;
    value += part * (rest % base);
  }
  return value;
}

/** Of the logistic distribution that is closest to the normal one. */
function normalQuantile(probability: number): number {
  return Math.log(probability / (1 - probability)) / 1.702;
}
