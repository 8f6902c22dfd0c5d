/**
 * Makes pages smaller on their way to one connection (M2): which steps a batch goes through, and what they have saved.
 *
 * Owns: the choice for each batch, and the counts. Must hold: a batch that goes around the steps is forgotten by those
 * that remember what was sent; threads that have died cost bytes, never a VM: everything goes as it is then.
 */
import type { PackingStep } from '../base/packing-step.ts';
import { countPages, PAGE_SIZE, type PageRun } from '../base/page.ts';
import type { CodecName } from '../linux/compression.ts';
import type { PageBatch, StagingBuffer, StagingPool } from '../memory/staging.ts';
import { FINGERPRINT_BYTES } from '../wire/limits.ts';
import type { PackedPages } from '../wire/packed-pages.ts';
import { DuplicateSearch } from './duplicate-search.ts';
import { type Conditions, PackLadder, type Rung } from './pack-ladder.ts';
import type { PackThreads } from './pack-threads.ts';
import { PackingWorth } from './packing-worth.ts';
import { SentLines } from './sent-lines.ts';

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

/** What is sent instead of the batch. */
export interface PackedBatch extends Pick<PackedPages, 'codec' | 'runs' | 'bodyBytes'> {
  /** A view of the slot's memory; empty when nothing has to be sent. */
  readonly packed: Uint8Array;
}

/** The steps that a batch goes through. */
export interface PackingChoice {
  readonly rung: Rung;
  readonly same: boolean;
  readonly held: boolean;
  readonly delta: boolean;
}

export interface PackingPort {
  conditions(): Conditions;
  /** Empty: nothing is compressed. */
  readonly codecs: readonly CodecName[];
  readonly steps: ReadonlySet<PackingStep>;
  /** Batches that are packed at a time, if there are so many threads. */
  readonly parallel: number;
  readonly densestLevel: number;
  /** Counts on. */
  readonly counts: { -readonly [K in keyof PackingCounts]: number };
}

export class Packing {
  readonly #threads: PackThreads;
  readonly #port: PackingPort;
  readonly #lines: SentLines | null;
  readonly #ladder: PackLadder;
  readonly #worth = new PackingWorth();
  readonly #search = new DuplicateSearch();

  constructor(threads: PackThreads, port: PackingPort) {
    this.#threads = threads;
    this.#port = port;
    this.#lines = threads.shared.lines && new SentLines(threads.shared.lines);
    this.#ladder = new PackLadder(port.codecs, Math.min(port.parallel, threads.count), port.densestLevel);
  }

  /** What batches have to be read into. */
  get pool(): StagingPool {
    return this.#threads.pool;
  }

  /** Pages are about to be sent, after some time without. */
  begin(): void {
    this.#worth.begin();
  }

  /**
   * What the next batch should go through.
   * @param pages - of the batch
   * @param whole - the destination has nothing of these pages any more
   * @param mayName - the destination will say which of the pages that are only named it does not hold
   * @returns undefined when nothing pays now: the batch is best sent as it is
   */
  choose(pages: number, whole: boolean, mayName = false): PackingChoice | undefined {
    const conditions = this.#port.conditions();
    const { bytesPerSecond, nowMs } = conditions;
    const choice = this.#worth.isAllowed(nowMs) ? this.#chooseSteps(conditions, whole, mayName) : undefined;
    this.#worth.note(choice === undefined ? 'raw' : 'packed', pages * PAGE_SIZE, bytesPerSecond, nowMs);
    return choice;
  }

  #chooseSteps(conditions: Conditions, whole: boolean, mayName: boolean): PackingChoice | undefined {
    const { steps } = this.#port;
    const { rung, hasTime } = this.#ladder.choose(conditions);
    const mayLook = mayName && this.#threads.knowsHeld && steps.has('duplicates');
    const held = mayLook && (hasTime || conditions.bytesPerSecond === undefined) && this.#search.isWorthwhile();
    const knows = this.#lines !== null && !whole && hasTime;
    const same = knows && steps.has('unchanged');
    const delta = knows && steps.has('delta');
    return same || held || delta || rung.codec !== 'none' ? { rung, same, held, delta } : undefined;
  }

  /**
   * @param buffer - of our pool; it holds the batch
   * @returns undefined when the batch is best sent as it is
   */
  async pack(
    { slot }: StagingBuffer,
    batch: PageBatch,
    choice: PackingChoice | undefined,
  ): Promise<PackedBatch | undefined> {
    if (!(choice?.same || choice?.delta)) this.forget(batch.dataRuns);
    if (choice === undefined) return undefined;
    const { counts } = this.#port;
    const { rung, same, held, delta } = choice;
    const parts = batch.parts.map((part) => ({ first: part.byteOffset / PAGE_SIZE, count: part.length / PAGE_SIZE }));
    const { codec, level } = rung;
    const result = await this.#threads.run({ slot, runs: batch.dataRuns, parts, codec, level, same, held, delta });
    if (result === undefined) {
      this.forget(batch.dataRuns);
      return undefined;
    }
    counts.unchangedPages += result.samePages;
    if (held) this.#search.learn(batch.dataPages, result.heldPages);
    counts.duplicatePages += result.heldPages;
    counts.duplicateSavedBytes += result.heldPages * NAMING_SAVES;
    counts.deltaPages += result.deltaPages;
    counts.deltaSavedBytes += result.deltaSavedBytes;
    counts.compareMs += result.compareMs;
    counts.compressMs += result.packMs;
    if (codec !== 'none') {
      const took = { cpuMs: result.packMs, wallMs: result.wallMs };
      this.#ladder.learn(rung, result.bodyBytes, result.packedBytes, took);
    }
    if (result.codec !== 'none') {
      counts.compressedFromBytes += result.bodyBytes;
      counts.compressedToBytes += result.packedBytes;
    }
    if (result.plain) return undefined;
    const memory = result.codec === 'none' ? this.#threads.body(slot) : this.#threads.packed(slot);
    const { runs, bodyBytes } = result;
    return { codec: result.codec, runs, bodyBytes, packed: memory.subarray(0, result.packedBytes) };
  }

  /** The destination does not hold these pages although they were named: they are as they were before. */
  miss(runs: readonly PageRun[]): void {
    const pages = countPages(runs);
    this.forget(runs);
    this.#search.miss(pages);
    const { counts } = this.#port;
    // It may say of more pages than were named.
    const named = Math.min(pages, counts.duplicatePages);
    counts.missedReferences += named;
    counts.duplicatePages -= named;
    counts.duplicateSavedBytes -= named * NAMING_SAVES;
  }

  /** The destination has something else of these pages now than was packed last. */
  forget(runs: readonly PageRun[]): void {
    for (const { first, count } of runs) this.#lines?.forget(first, count);
  }
}
