/**
 * What can be said of a migration that has not begun: who wants to know opens a predictor here.
 *
 * Owns: bringing together the VM's history and what earlier migrations showed of the way. Must hold: it is asked the
 * same way for a migration and for a mere check.
 */
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { PACKING_STEPS } from '../base/packing-step.ts';
import { initialThrottle } from './convergence.ts';
import { PRIOR_COSTS, type RoundFacts } from './dirty-estimate.ts';
import type { HistoryFile } from './history-file.ts';
import { expectOf } from './known-links.ts';
import { readVisits } from './known-links-file.ts';
import { Predictor } from './predictor.ts';
import type { MigrationOptions } from './request.ts';

export interface Undertaking {
  /** The VM's UUID. */
  readonly vm: string;
  readonly options: MigrationOptions;
  readonly to: string;
  readonly linksPath: string;
  readonly history: HistoryFile;
  /** Of the VM, and those that hold data. */
  readonly pageCount: number;
  readonly dataPages: number;
  wireBytes(): number;
}

export function openPredictor(undertaking: Undertaking): Predictor {
  const { vm, options, to, linksPath, history, pageCount, dataPages } = undertaking;
  const isPacked = !PACKING_STEPS.every((step) => options.without.includes(step));
  const request = { vm, isPacked, limit: options.bandwidthBytesPerSecond };
  const expectation = expectOf(readVisits(linksPath, to), request);
  const wireBytes = (): number => undertaking.wireBytes();
  return new Predictor({ expectation, history: history.known, pageCount, dataPages, wireBytes });
}

/** As for the first decision, before anything was measured. */
export function factsBefore(known: {
  readonly options: MigrationOptions;
  readonly history: HistoryFile;
  readonly dataPages: number;
  readonly canPostCopy: boolean;
  readonly elapsedMs: number;
}): RoundFacts {
  const { options, history, dataPages, canPostCopy, elapsedMs } = known;
  return {
    options,
    rounds: [],
    remainingPages: dataPages,
    dataPages,
    linkBytesPerSecond: 0,
    costs: PRIOR_COSTS,
    throttlePercent: initialThrottle(history.peakPagesPerSecond(Date.now()), options, canPostCopy),
    canThrottle: true,
    canPostCopy,
    elapsedMs,
    begunMs: elapsedMs,
    curve: null,
  };
}

/** Predicts a migration of which no page was sent yet. */
export function predictBefore(port: {
  readonly history: HistoryFile;
  readonly link: { has(feature: string): boolean };
  readonly predictor: Predictor;
  readonly startedMs: number;
  options(): MigrationOptions;
}): void {
  const { history, link, predictor, startedMs } = port;
  const { dataPages } = predictor;
  const elapsedMs = SYSTEM_CLOCK.nowMs() - startedMs;
  const canPostCopy = link.has('post-copy');
  predictor.start(factsBefore({ options: port.options(), history, dataPages, canPostCopy, elapsedMs }));
}
