/**
 * A VM that writes memory, a link and a migration that does what `decide` says: deterministic, page by page.
 *
 * Owns: the simulation only; every decision is the code's under test.
 */
import { decide, initialThrottle } from '../../src/migration/convergence.ts';
import type { Decision } from '../../src/migration/decision.ts';
import { type DirtySample, fitDirtyCurve } from '../../src/migration/dirty-curve.ts';
import { type MeasuredRound, PRIOR_COSTS } from '../../src/migration/dirty-estimate.ts';
import { isLastMoment } from '../../src/migration/finish-by.ts';
import { DEFAULT_MIGRATION_OPTIONS, type MigrationOptions } from '../../src/migration/request.ts';

export interface SimulatedVm {
  /** Pages that hold data. */
  readonly totalPages: number;
  /** The first pages of memory, which are written. */
  readonly workingSetPages: number;
  readonly writesPerSecond: number;
  readonly order: 'sequential' | 'random';
  /** Writes only in the first `onMs` of every `periodMs`. */
  readonly burst?: { readonly onMs: number; readonly periodMs: number };
}

export interface SimulatedMigration {
  readonly vm: SimulatedVm;
  readonly linkPagesPerSecond: number;
  readonly options?: Partial<MigrationOptions>;
  readonly skipsRewritten?: boolean;
  readonly historyPeak?: number;
  readonly canPostCopy?: boolean;
  readonly canThrottle?: boolean;
  readonly maxRounds?: number;
}

export interface SimulationResult {
  readonly end: Decision['kind'];
  readonly rule: string;
  readonly rounds: number;
  readonly totalMs: number;
  readonly downtimeMs: number;
  readonly sentPages: number;
  readonly maxThrottlePercent: number;
  readonly rules: readonly string[];
  readonly decisions: readonly Decision[];
}

const STEP_MS = 1;
const LOOK_MS = 20;
/** The latest, to which the curve is fitted. */
const MAX_SAMPLES = 20;
const PAGE_BYTES = 4112;
const FIXED_MS = 13;
const STATE_BYTES = 100_000;
const ROUND_OVERHEAD_MS = 2;

export function simulate(migration: SimulatedMigration): SimulationResult {
  const { vm, linkPagesPerSecond, canPostCopy = true, canThrottle = true, maxRounds = 500 } = migration;
  const options = { ...DEFAULT_MIGRATION_OPTIONS, ...migration.options };
  const writer = new Writer(vm);
  const linkBytesPerSecond = linkPagesPerSecond * PAGE_BYTES;
  const rounds: MeasuredRound[] = [];
  const decisions: Decision[] = [];
  let throttlePercent = initialThrottle(migration.historyPeak ?? 0, options, canPostCopy);
  let maxThrottlePercent = throttlePercent;
  let toSend = new Uint8Array(vm.totalPages).fill(1);
  let remainingPages = vm.totalPages;
  let elapsedMs = 0;
  const samples: DirtySample[] = [];
  for (;;) {
    const facts = {
      options,
      rounds,
      remainingPages,
      dataPages: 10_000,
      linkBytesPerSecond,
      costs: PRIOR_COSTS,
      throttlePercent,
      canThrottle,
      canPostCopy,
      elapsedMs,
      begunMs: 0,
      curve: samples.length === 0 ? null : fitDirtyCurve(samples.slice(-MAX_SAMPLES), vm.totalPages),
    };
    const decision = decide(facts);
    decisions.push(decision);
    if (decision.kind !== 'nextRound' || rounds.length >= maxRounds) {
      const fixedMs = FIXED_MS + (STATE_BYTES * 1000) / linkBytesPerSecond;
      const pagesMs = (remainingPages * 1000) / linkPagesPerSecond;
      return {
        end: decision.kind,
        rule: decision.rule,
        rounds: rounds.length,
        totalMs: elapsedMs + fixedMs + (decision.kind === 'giveUp' ? 0 : pagesMs),
        downtimeMs: fixedMs + (decision.kind === 'finish' ? pagesMs : 0),
        sentPages: rounds.reduce((sum, { sentPages }) => sum + sentPages, remainingPages),
        maxThrottlePercent,
        rules: decisions.map(({ rule }) => rule),
        decisions,
      };
    }
    throttlePercent = decision.throttlePercent;
    maxThrottlePercent = Math.max(maxThrottlePercent, throttlePercent);
    const share = 1 - throttlePercent / 100;
    const mode = { skips: migration.skipsRewritten === true, linkPagesPerSecond, share };
    let nextSampleMs = LOOK_MS;
    const round = runRound(writer, toSend, mode, (ms, aheadPages) => {
      if (ms >= nextSampleMs) {
        samples.push({ seconds: (ms * share) / 1000, pages: writer.dirtyPages, weight: 1 });
        nextSampleMs = 2 * ms;
      }
      const pages = Math.min(vm.totalPages, aheadPages + writer.dirtyPages);
      const at = { ...facts, elapsedMs: elapsedMs + ms };
      return canPostCopy && options.mode !== 'pre-copy' && isLastMoment(at, { pages, bytes: pages * PAGE_BYTES });
    });
    toSend = writer.takeDirty([...round.skipped, ...round.unsent]);
    remainingPages = toSend.reduce((sum, bit) => sum + bit, 0);
    elapsedMs += round.ms;
    samples.push({ seconds: (round.ms * share) / 1000, pages: remainingPages, weight: 1 });
    rounds.push({
      number: rounds.length + 1,
      sentPages: round.sent,
      sentBytes: round.sent * PAGE_BYTES,
      skippedPages: round.skipped.length,
      ms: round.ms,
      dirtyPages: remainingPages,
    });
  }
}

interface RoundMode {
  readonly skips: boolean;
  readonly linkPagesPerSecond: number;
  readonly share: number;
}

/** @param isLate - whether the round has to be cut short */
function runRound(
  writer: Writer,
  pages: Uint8Array,
  { skips, linkPagesPerSecond, share }: RoundMode,
  isLate: (ms: number, aheadPages: number) => boolean,
) {
  const skipped: number[] = [];
  const unsent: number[] = [];
  let aheadPages = pages.reduce((sum, bit) => sum + bit, 0);
  let credit = 0;
  let sent = 0;
  let ms = ROUND_OVERHEAD_MS;
  writer.run(ROUND_OVERHEAD_MS, share);
  let page = 0;
  while (page < pages.length) {
    credit += (linkPagesPerSecond * STEP_MS) / 1000;
    for (; page < pages.length && credit >= 1; page++) {
      if (pages[page] === 0) continue;
      aheadPages--;
      if (skips && writer.dirty[page] === 1) {
        skipped.push(page);
        continue;
      }
      credit--;
      sent++;
    }
    ms += STEP_MS;
    writer.run(STEP_MS, share);
    if (ms % LOOK_MS === 0 && isLate(ms, aheadPages)) {
      for (; page < pages.length; page++) if (pages[page] === 1) unsent.push(page);
    }
  }
  return { sent, skipped, unsent, ms };
}

class Writer {
  readonly dirty: Uint8Array;
  readonly #vm: SimulatedVm;
  #owed = 0;
  #next = 0;
  #timeMs = 0;
  #seed = 12345;

  constructor(vm: SimulatedVm) {
    this.#vm = vm;
    this.dirty = new Uint8Array(vm.totalPages);
  }

  run(ms: number, share: number): void {
    const { writesPerSecond, workingSetPages, order, burst } = this.#vm;
    const writes = burst === undefined || this.#timeMs % burst.periodMs < burst.onMs;
    this.#timeMs += ms;
    if (!writes) return;
    this.#owed += (writesPerSecond * ms * share) / 1000;
    for (; this.#owed >= 1; this.#owed--) {
      this.dirty[order === 'random' ? this.#random() % workingSetPages : this.#next++ % workingSetPages] = 1;
    }
  }

  get dirtyPages(): number {
    return this.dirty.reduce((sum, bit) => sum + bit, 0);
  }

  takeDirty(also: readonly number[]): Uint8Array<ArrayBuffer> {
    const taken = new Uint8Array(this.dirty);
    for (const page of also) taken[page] = 1;
    this.dirty.fill(0);
    return taken;
  }

  #random(): number {
    this.#seed = (Math.imul(this.#seed, 1103515245) + 12345) & 0x7fffffff;
    return this.#seed >>> 8;
  }
}
