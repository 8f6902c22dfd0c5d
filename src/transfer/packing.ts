/**
 * Which steps pages go through on their way to the link (M2), and what the steps have saved.
 *
 * Owns: the choice for each batch, and the counts. The steps themselves are done by the threads of the page channels
 * (page-packer.ts). Must hold: what was only named and is not held is forgotten by the step that remembers what was sent.
 */
import type { PackingStep } from '../base/packing-step.ts';
import { countPages, PAGE_SIZE, type PageRun } from '../base/page.ts';
import type { CodecName } from '../linux/compression.ts';
import { ELSEWHERE_BYTES, FINGERPRINT_BYTES } from '../wire/limits.ts';
import { DuplicateSearch } from './duplicate-search.ts';
import type { PackSteps } from './pack-body.ts';
import { COMPARING_BYTES_PER_SECOND, type Conditions, PackLadder, RAW, type Rung } from './pack-ladder.ts';
import { FAST_BYTES_PER_SECOND, PackingWorth } from './packing-worth.ts';
import type { PackOutcome } from './page-packer.ts';
import { SentPages, type SentPagesShared } from './sent-pages.ts';

export interface PackingCounts {
  /** Pages that were not sent because the destination has them as they are. */
  readonly unchangedPages: number;
  /** Pages that were only named, because the destination held them, and what that left out, before compression. */
  readonly duplicatePages: number;
  readonly duplicateSavedBytes: number;
  /** Pages that were named although the destination did not hold them: they were sent after all. */
  readonly missedReferences: number;
  /** Pages of which only changed lines were sent, and what that left out, before compression. */
  readonly deltaPages: number;
  readonly deltaSavedBytes: number;
  /** Bytes that were compressed, and what came of them. */
  readonly compressedFromBytes: number;
  readonly compressedToBytes: number;
  /** CPU time of the packing threads. */
  readonly compareMs: number;
  readonly compressMs: number;
}

const NAMING_SAVES = PAGE_SIZE - FINGERPRINT_BYTES;
const NAMING_PLACE_SAVES = PAGE_SIZE - ELSEWHERE_BYTES;

/** Before anything was packed. */
export const NOTHING_PACKED: PackingCounts = {
  unchangedPages: 0,
  duplicatePages: 0,
  duplicateSavedBytes: 0,
  missedReferences: 0,
  deltaPages: 0,
  deltaSavedBytes: 0,
  compressedFromBytes: 0,
  compressedToBytes: 0,
  compareMs: 0,
  compressMs: 0,
};

/**
 * Which pages may only be named, because the destination says afterwards which of those it has not got: those that it holds
 * (`held`), or also those that other VMs have brought or are to bring, which it may wait for (`awaited`).
 */
export type Naming = 'held' | 'awaited';

/** The steps that a batch goes through. */
export interface PackingChoice {
  readonly rung: Rung;
  readonly same: boolean;
  readonly held: boolean;
  readonly elsewhere: PackSteps['elsewhere'];
  readonly delta: boolean;
}

export interface PackingPort {
  conditions(): Conditions;
  /** Little may be on its way at a time. */
  readonly isPushed?: boolean;
  /** Empty: nothing is compressed. */
  readonly codecs: readonly CodecName[];
  readonly steps: ReadonlySet<PackingStep>;
  /** What was sent, as all threads remember it; null: nothing is remembered. */
  readonly sent: SentPagesShared | null;
  /** Batches that are packed at a time. */
  readonly parallel: number;
  readonly densestLevel: number;
  /** Whether it is known what the destination holds. */
  knowsHeld(): boolean;
  /** Whether pages can be named that other VMs bring to the destination. */
  readonly sharesContents: boolean;
  /** Counts on. */
  readonly counts: { -readonly [K in keyof PackingCounts]: number };
}

export class Packing {
  readonly #port: PackingPort;
  readonly #sent: SentPages | null;
  readonly #ladder: PackLadder;
  readonly #worth = new PackingWorth();
  readonly #search = new DuplicateSearch();

  constructor(port: PackingPort) {
    this.#port = port;
    this.#sent = port.sent && new SentPages(port.sent);
    this.#ladder = new PackLadder(port.codecs, port.parallel, port.densestLevel);
  }

  /** Pages are about to be sent, after some time without. */
  begin(): void {
    this.#worth.begin();
  }

  /**
   * What the next batch should go through.
   * @param pages - of the batch
   * @param whole - the destination has nothing of these pages any more
   * @param mayName - null: none, the destination would not say what it has not got
   * @returns undefined when nothing pays now: the batch is best sent as it is
   */
  choose(pages: number, whole: boolean, mayName: Naming | null = null): PackingChoice | undefined {
    const conditions = this.#port.conditions();
    const { bytesPerSecond, busyBytesPerSecond, nowMs } = conditions;
    // What the destination holds is named in no time, whatever the link could take.
    const isPushed = this.#port.isPushed === true && !this.#port.knowsHeld();
    const link = { bytesPerSecond, busyBytesPerSecond, isPushed };
    const choice = this.#worth.isAllowed(link, nowMs) ? this.#chooseSteps(conditions, whole, mayName) : undefined;
    this.#worth.note(choice === undefined ? 'raw' : 'packed', pages * PAGE_SIZE, link, nowMs);
    return choice ?? this.#chooseSharing(conditions, whole, mayName);
  }

  #chooseSteps(conditions: Conditions, whole: boolean, mayName: Naming | null): PackingChoice | undefined {
    const { steps } = this.#port;
    const { rung, hasTime } = this.#ladder.choose(conditions);
    const mayLook = mayName !== null && this.#port.knowsHeld() && steps.has('duplicates');
    const held = mayLook && (hasTime || conditions.bytesPerSecond === undefined) && this.#search.isWorthwhile();
    const elsewhere = this.#elsewhere(conditions, whole, mayName);
    const knows = this.#sent !== null && !whole && hasTime;
    const same = knows && steps.has('unchanged');
    const delta = knows && steps.has('delta');
    const isAny = same || held || elsewhere !== null || delta || rung.codec !== 'none';
    return isAny ? { rung, same, held, elsewhere, delta } : undefined;
  }

  /** Where packing does not pay now: bytes that cross a slow link once for several VMs do, however busy this host is. */
  #chooseSharing(conditions: Conditions, whole: boolean, mayName: Naming | null): PackingChoice | undefined {
    if ((conditions.bytesPerSecond ?? 0) >= FAST_BYTES_PER_SECOND) return undefined;
    const elsewhere = this.#elsewhere(conditions, whole, mayName);
    return elsewhere === null ? undefined : { rung: RAW, same: false, held: false, elsewhere, delta: false };
  }

  #elsewhere({ bytesPerSecond }: Conditions, whole: boolean, mayName: Naming | null): PackSteps['elsewhere'] {
    const { sharesContents, steps } = this.#port;
    const hasTime = bytesPerSecond === undefined || bytesPerSecond < COMPARING_BYTES_PER_SECOND;
    if (!sharesContents || whole || !hasTime || !steps.has('duplicates')) return null;
    return mayName === 'awaited' && this.#search.isTrusted ? 'name' : 'claim';
  }

  /** What came of a batch for which this was chosen. */
  learn({ rung, held }: PackingChoice, outcome: PackOutcome): void {
    const { counts } = this.#port;
    const { bodyBytes, packedBytes, heldPages, elsewherePages } = outcome;
    counts.unchangedPages += outcome.samePages;
    if (held) this.#search.learn(outcome.pages - elsewherePages, heldPages);
    this.#search.name(elsewherePages);
    counts.duplicatePages += heldPages + elsewherePages;
    counts.duplicateSavedBytes += heldPages * NAMING_SAVES + elsewherePages * NAMING_PLACE_SAVES;
    counts.deltaPages += outcome.deltaPages;
    counts.deltaSavedBytes += outcome.deltaSavedBytes;
    counts.compareMs += outcome.compareMs;
    counts.compressMs += outcome.packMs;
    if (rung.codec !== 'none') {
      this.#ladder.learn(rung, bodyBytes, packedBytes, { cpuMs: outcome.packMs, wallMs: outcome.wallMs });
    }
    if (outcome.codec === 'none') return;
    counts.compressedFromBytes += bodyBytes;
    counts.compressedToBytes += packedBytes;
  }

  /** The destination does not hold these pages although they were named: they are as they were before. */
  miss(runs: readonly PageRun[]): void {
    const pages = countPages(runs);
    for (const { first, count } of runs) this.#sent?.forget(first, count);
    this.#search.miss(pages);
    const { counts } = this.#port;
    // It may say of more pages than were named.
    const named = Math.min(pages, counts.duplicatePages);
    counts.missedReferences += named;
    counts.duplicatePages -= named;
    counts.duplicateSavedBytes = Math.max(0, counts.duplicateSavedBytes - named * NAMING_SAVES);
  }
}
