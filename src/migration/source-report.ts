/**
 * Collects what the source measures and makes the report of it.
 *
 * Owns: the marks of the switchover and the counters; how the downtime is split.
 * Must hold: the parts of the downtime add up to the downtime. Downtime is QEMU's RESUME event at the destination minus
 * QEMU's STOP event at the source, the destination's clock corrected by what `compareClocks` measured.
 */

import { SYSTEM_CLOCK } from '../base/clock.ts';
import { type ErrorBody, GodwitError } from '../base/errors.ts';
import { type DigestScheme, differenceOfDigests, type MemoryDigest } from '../memory/digest.ts';
import type { PackingCounts } from '../transfer/packing.ts';
import type { Message } from '../wire/messages.ts';
import { countRounds } from './kept-rounds.ts';
import type { ClockComparison } from './opening.ts';
import type { PageTotals } from './page-sender.ts';
import { type RecordedPrediction, scorePredictions } from './prediction.ts';
import type {
  DowntimeParts,
  MigrationOutcome,
  MigrationReport,
  PostCopyReport,
  RoundReport,
  VerifyReport,
} from './report.ts';
import type { MigrationMode } from './request.ts';

/** Wall-clock marks of the source and durations that the destination told, milliseconds. */
export interface SwitchoverMarks {
  stoppedAtMs: number | null;
  stopReturnedAtMs: number;
  lastPagesAtMs: number;
  stateSavedAtMs: number;
  stateSentAtMs: number;
  /** Digest of all memory on the source. */
  digestMs: number;
  loadedHeardAtMs: number;
  /** By the destination. */
  loadMs: number;
  destinationDigestMs: number;
  resumeMs: number;
  /** By the destination's clock. */
  resumedAtMs: number | null;
}

export const NO_MARKS: Readonly<SwitchoverMarks> = {
  stoppedAtMs: null,
  stopReturnedAtMs: 0,
  lastPagesAtMs: 0,
  stateSavedAtMs: 0,
  stateSentAtMs: 0,
  digestMs: 0,
  loadedHeardAtMs: 0,
  loadMs: 0,
  destinationDigestMs: 0,
  resumeMs: 0,
  resumedAtMs: null,
};

export interface SourceReportFacts {
  readonly id: string;
  readonly vm: string;
  readonly from: string;
  readonly to: string;
  readonly mode: MigrationMode;
  readonly startedAt: number;
  readonly ramBytes: number;
  readonly totalPages: number;
  /** Counts on. */
  readonly packing: PackingCounts;
}

export class SourceReport {
  readonly #facts: SourceReportFacts;
  #holePages = 0;
  #copied: PageTotals = { pages: 0, zeroPages: 0, resentPages: 0, leftOutPages: 0 };
  #pagedPages = 0;
  /** How the pages that were installed differ from those at the stop. */
  #difference: string | undefined;
  readonly marks: SwitchoverMarks = { ...NO_MARKS };
  readonly rounds: RoundReport[] = [];
  clock: ClockComparison = { offsetMs: 0, uncertaintyMs: 0 };
  postCopy: PostCopyReport | null = null;
  interrupted = false;
  verify: VerifyReport | null = null;

  constructor(facts: SourceReportFacts) {
    this.#facts = facts;
  }

  make(end: {
    readonly outcome: MigrationOutcome;
    readonly error: ErrorBody | null;
    readonly totalMs: number;
    readonly wireBytes: number;
    readonly disks: MigrationReport['disks'];
    readonly owner: string;
    readonly finishByMs: number | null;
    readonly downtimeLimitMs: number;
    readonly throttle: MigrationReport['throttle'];
    readonly tracker: MigrationReport['tracker'];
    readonly predictions: readonly RecordedPrediction[];
    readonly diskRequests: MigrationReport['diskRequests'];
  }): MigrationReport {
    const { id, vm, from, to, mode, startedAt, ramBytes, totalPages } = this.#facts;
    const downtimeMs = this.downtimeMs();
    const damage = this.#damage();
    const { totalMs, wireBytes: bytes } = end;
    const isOver = !damage && end.outcome === 'completed';
    const actual = isOver ? { rounds: countRounds(this.rounds), bytes, totalMs, downtimeMs } : null;
    return {
      id,
      vm,
      from,
      to,
      mode,
      outcome: damage ? 'failed' : end.outcome,
      error: end.error ?? damage,
      interrupted: this.interrupted,
      startedAt,
      totalMs: end.totalMs,
      downtimeMs,
      finishByMs: end.finishByMs,
      downtimeLimitMs: end.downtimeLimitMs,
      downtimeParts: downtimeMs === null ? null : this.#parts(downtimeMs),
      wireBytes: end.wireBytes,
      ramBytes,
      pages: this.#pages(totalPages),
      disks: end.disks,
      packing: { ...this.#facts.packing },
      tracker: end.tracker,
      rounds: this.rounds,
      prediction: end.predictions.length > 0 ? scorePredictions(end.predictions, actual) : null,
      throttle: end.throttle,
      postCopy: this.postCopy,
      verify: this.verify,
      announcements: null,
      hooks: [],
      diskRequests: end.diskRequests,
      owner: end.owner,
      clockUncertaintyMs: this.clock.uncertaintyMs,
    };
  }

  /** Copying begins. The totals count on: whatever ends the migration, the report has what was sent until then. */
  watchCopying(holePages: number, copied: PageTotals): void {
    this.#holePages = holePages;
    this.#copied = copied;
  }

  /** @param digest - of the memory here. Returns how the destination's memory differs, if it was compared and does. */
  takeLoaded(message: Message<'loaded'>, digest: MemoryDigest | null): string | undefined {
    this.marks.loadedHeardAtMs = SYSTEM_CLOCK.wallMs();
    this.marks.loadMs = message.loadMs;
    this.marks.destinationDigestMs = message.timings['digest'] ?? 0;
    if (!digest) return undefined;
    const difference = message.digest ? differenceOfDigests(digest, message.digest) : 'there is no digest of it';
    this.verify = { scheme: digest.scheme, pages: digest.pages, equal: difference === undefined };
    return difference;
  }

  takeResumed(message: Message<'resumed'>): void {
    this.marks.resumedAtMs = message.resumedAtMs;
    this.marks.resumeMs = message.timings['resume'] ?? 0;
  }

  /**
   * @param missingPages - as the source counted them; 0 after a restart, when only the destination knows
   * @param verify - with the digest of the missing pages when the VM was stopped; null after a restart
   */
  takePostCopy(
    message: Message<'allPresent'>,
    missingPages: number,
    verify: { readonly scheme: DigestScheme | null; readonly digest: MemoryDigest | null },
  ): void {
    // Then the destination, too, has lost what it had counted until then.
    if ((message.timings['restarted'] ?? 0) > 0) this.interrupted = true;
    if (!message.postCopy) return;
    const missing = missingPages > 0 ? missingPages : message.pages;
    const reconnects = message.timings['reconnects'] ?? 0;
    this.postCopy = { missingPages: missing, ...message.postCopy, reconnects };
    this.#pagedPages = missing;
    const { scheme, digest } = verify;
    if (!scheme) return;
    // Every page was compared with its digest when it was installed: a difference would have ended the paging. All
    // together must also be what there was at the stop, if neither host was restarted since.
    if (digest && message.digest) this.#difference = differenceOfDigests({ ...digest, chunks: [] }, message.digest);
    const pages = (this.verify?.pages ?? 0) + (digest?.pages ?? missing);
    this.verify = { scheme, pages, equal: this.#difference === undefined };
  }

  /** null while the VM has not moved, and for a VM that was paused. */
  downtimeMs(): number | null {
    const { stoppedAtMs, resumedAtMs } = this.marks;
    if (stoppedAtMs === null || resumedAtMs === null) return null;
    return resumedAtMs - this.clock.offsetMs - stoppedAtMs;
  }

  #damage(): ErrorBody | null {
    if (this.#difference === undefined) return null;
    return new GodwitError('GW_MIGRATION_VERIFY', { reason: `after the VM had moved: ${this.#difference}` }).toBody();
  }

  #pages(total: number): MigrationReport['pages'] {
    const { pages, zeroPages, resentPages } = this.#copied;
    return { total, hole: this.#holePages, zero: zeroPages, sent: pages + this.#pagedPages, resent: resentPages };
  }

  #parts(downtimeMs: number): DowntimeParts {
    const { marks } = this;
    const stop = marks.stopReturnedAtMs - marks.stoppedAtMs!;
    const lastRound = marks.lastPagesAtMs - marks.stopReturnedAtMs;
    // Saving overlaps with sending the last pages: what is counted is what it added.
    const saveState = Math.max(0, marks.stateSavedAtMs - marks.lastPagesAtMs);
    const verify = marks.digestMs + marks.destinationDigestMs;
    const sentAtMs = Math.max(marks.stateSavedAtMs, marks.lastPagesAtMs);
    const transferState = marks.loadedHeardAtMs - sentAtMs - verify - marks.loadMs;
    const parts = {
      stop,
      lastRound,
      saveState,
      transferState,
      loadState: marks.loadMs,
      resume: marks.resumeMs,
      verify,
    };
    const rest = Object.values(parts).reduce((sum, part) => sum + part, 0);
    return { ...parts, commit: downtimeMs - rest };
  }
}
