/**
 * Predicts a running migration at its source: before the first page, and again as it is measured (G5).
 *
 * Owns: what is known so far, the latest prediction, and those that the report will score. Must hold: nothing here
 * delays a page: a forecast is made while pages are on their way, and not too often.
 */
import { type DirtyCurve, fitDirtyCurve } from './dirty-curve.ts';
import { MIN_SAMPLE_PAGES, type RoundFacts, sendingMsOf, unnamedPages } from './dirty-estimate.ts';
import { type Doubts, forecast, type PairModel } from './forecast.ts';
import { type DirtyHistory, dirtySamplesOf } from './history.ts';
import { countRounds } from './kept-rounds.ts';
import type { Expectation } from './known-links.ts';
import type { Prediction, PredictionMoment, RecordedPrediction } from './prediction.ts';
import type { LinkModel, Underway } from './round-model.ts';
import type { RoundWatch } from './round-watch.ts';

export interface PredictorPort {
  readonly expectation: Expectation;
  readonly history: DirtyHistory;
  /** Of the VM, and those that hold data when the migration begins. */
  readonly pageCount: number;
  readonly dataPages: number;
  /** On all connections so far. */
  wireBytes(): number;
}

/** A forecast takes a millisecond or two. */
const FORECAST_EVERY_MS = 400;
/** The link has been measured when this part of the first pass has been sent, and so long. */
const MEASURED_PART = 0.2;
const MEASURED_MS = 500;
/** Samples of the history that say how the VM writes: those of its last migrations. */
const HISTORY_SAMPLES = 12;
/** A VM of which nothing is known may write to this part of its pages, each about once a second. */
const USUAL_WORKING_PART = 0.05;
/** How far the VM's writing may be from what is known: nothing, its history, what was seen of it just now. */
const WRITING_DOUBTS = { unknown: 1.5, history: 0.5, measured: 0.2 } as const;
/** How far what was measured may be from what follows: the rate, and the bytes a page, in a part of a pass and in a whole one. */
const MEASURED_DOUBTS = { part: { rate: 0.35, bytes: 0.25 }, whole: { rate: 0.22, bytes: 0.05 } } as const;

/** What was known before counts as much as so long a part of a pass, if it is known as well. */
const BLENDING_MS = 1500;

export class Predictor {
  readonly #port: PredictorPort;
  readonly #made: RecordedPrediction[] = [];
  #latest: Prediction | null = null;
  #predictedAtMs = Number.NEGATIVE_INFINITY;
  #predictedRound = -1;

  constructor(port: PredictorPort) {
    this.#port = port;
  }

  /** That hold data when the migration begins. */
  get dataPages(): number {
    return this.#port.dataPages;
  }

  /** What the way to the other host takes; undefined when it is only assumed. */
  get knownBytesPerSecond(): number | undefined {
    const { link, isLinkKnown } = this.#port.expectation;
    return isLinkKnown ? link.bytesPerSecond : undefined;
  }

  /** null before there is one. */
  get latest(): Prediction | null {
    return this.#latest;
  }

  /** What the report will score. */
  get made(): readonly RecordedPrediction[] {
    return this.#made;
  }

  /** Nothing was sent yet. */
  start(facts: RoundFacts): void {
    const { expectation, history } = this.#port;
    const samples = history.samples.slice(-HISTORY_SAMPLES);
    const writing = samples.length > 0 ? WRITING_DOUBTS.history : WRITING_DOUBTS.unknown;
    const begunMs = Math.max(facts.elapsedMs, expectation.preparingMs);
    const before = { ...facts, elapsedMs: begunMs, begunMs, linkBytesPerSecond: 0 };
    this.#predict('start', facts.elapsedMs, {
      facts: before,
      underway: null,
      link: expectation.link,
      curve: this.#curveOf(null),
      doubts: { ...expectation.doubts, writing },
    });
  }

  /** A round is underway. */
  consider(facts: RoundFacts, watch: RoundWatch, nowMs: number): void {
    const round = countRounds(facts.rounds);
    const isNew = round !== this.#predictedRound && round > 0;
    if (!isNew && nowMs - this.#predictedAtMs < FORECAST_EVERY_MS) return;
    const { underway } = watch;
    if (round === 0 && !isMeasured(underway)) return;
    this.#predictedAtMs = nowMs;
    this.#predictedRound = round;
    const { expectation } = this.#port;
    const writing = watch.curve ? WRITING_DOUBTS.measured : WRITING_DOUBTS.history;
    const measured = round === 0 ? MEASURED_DOUBTS.part : MEASURED_DOUBTS.whole;
    const { rate, bytes: wholeBytes } = measured;
    const resentBytes = round < 2 ? expectation.doubts.resentBytes : MEASURED_DOUBTS.whole.rate;
    const doubts = { ...expectation.doubts, rate, wholeBytes, resentBytes, writing };
    const moment = isNew || round === 0 ? momentOf(round) : undefined;
    const link = this.#linkOf(facts, watch, underway);
    this.#predict(moment, facts.elapsedMs + underway.ms, {
      facts,
      underway,
      link,
      curve: this.#curveOf(watch),
      doubts,
    });
  }

  #predict(
    moment: PredictionMoment | undefined,
    atMs: number,
    input: { facts: RoundFacts; underway: Underway | null; link: LinkModel; curve: DirtyCurve; doubts: Doubts },
  ): void {
    const { expectation, wireBytes } = this.#port;
    const pair: PairModel = expectation.pair;
    this.#latest = forecast({ ...input, pair, bytesSoFar: wireBytes() });
    const isRecorded = moment === undefined || this.#made.some((made) => made.moment === moment);
    if (!isRecorded) this.#made.push({ moment, atMs, ...this.#latest });
  }

  /** As measured, as far as it was. */
  #linkOf({ rounds }: RoundFacts, watch: RoundWatch, underway: Underway): LinkModel {
    const [first, ...later] = rounds;
    const { link } = this.#port.expectation;
    if (!first) {
      const wholeBytes = underway.sentBytes / Math.max(1, underway.sentPages);
      const bytesPerSecond = this.#blendRates(watch.taken);
      return { bytesPerSecond, wholeBytes, resentBytes: (wholeBytes * link.resentBytes) / link.wholeBytes };
    }
    const wholeBytes = first.sentBytes / Math.max(1, this.#port.dataPages - first.skippedPages);
    const sent = later.findLast((round) => unnamedPages(round) >= MIN_SAMPLE_PAGES);
    const resentBytes = sent ? sent.sentBytes / unnamedPages(sent) : (wholeBytes * link.resentBytes) / link.wholeBytes;
    return { bytesPerSecond: (first.sentBytes * 1000) / Math.max(1, sendingMsOf(first)), wholeBytes, resentBytes };
  }

  /** What a part of a pass has shown, and what was known before: the longer the part, the more it counts. */
  #blendRates({ bytes, ms }: RoundWatch['taken']): number {
    const { link, doubts } = this.#port.expectation;
    if (bytes <= 0 || ms <= 0) return link.bytesPerSecond;
    const known = (MEASURED_DOUBTS.part.rate / Math.max(doubts.rate, MEASURED_DOUBTS.part.rate)) ** 2;
    const weight = ms / (ms + BLENDING_MS * known);
    return link.bytesPerSecond ** (1 - weight) * ((bytes * 1000) / ms) ** weight;
  }

  #curveOf(watch: RoundWatch | null): DirtyCurve {
    const { history, pageCount } = this.#port;
    if (watch?.curve) return watch.curve;
    const samples = history.samples.slice(-HISTORY_SAMPLES).flatMap(dirtySamplesOf);
    const usual = { seconds: 1, pages: this.#port.dataPages * USUAL_WORKING_PART, weight: 1 };
    return fitDirtyCurve(samples.length > 0 ? samples : [usual], Math.min(pageCount, this.#port.dataPages));
  }
}

function isMeasured({ pages, aheadPages, ms }: Underway): boolean {
  return ms >= MEASURED_MS && aheadPages <= pages * (1 - MEASURED_PART);
}

function momentOf(round: number): PredictionMoment | undefined {
  return (['firstPass', 'round1', 'round2'] as const)[round];
}
