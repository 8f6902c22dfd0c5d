/**
 * Sends pages of a VM over the main connection.
 *
 * Owns: reading into staging buffers, leaving out what costs nothing, framing, pacing and counting; which pages the
 * destination has content of. Must hold: a staging buffer is not reused before the kernel has taken its bytes; a page
 * that the destination holds and that is zero now is told to be zero, one that it never got is left out (its memory
 * reads as zero).
 */
import { setImmediate } from 'node:timers/promises';
import { batchRuns, countPages, PAGE_SIZE, type PageRun, RunBuilder, subtractRuns } from '../base/page.ts';
import { PageBitmap } from '../base/page-bitmap.ts';
import type { PageDigest } from '../memory/digest.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { mayHoldZeroPages, type PageBatch, StagingBuffer, StagingPool } from '../memory/staging.ts';
import type { Connection } from '../transfer/connection.ts';
import type { Pacer } from '../transfer/pacer.ts';
import type { Packing, PackingChoice } from '../transfer/packing.ts';
import { encodeDigestedPagesHeader, encodePagesHeader, encodeZeroPages } from '../wire/encoder.ts';
import { MAX_PAGES_PER_FRAME } from '../wire/limits.ts';
import { encodePackedPagesHeader } from '../wire/packed-pages.ts';

/** Enough that reading the next batch overlaps with sending the ones before. */
const STAGING_BUFFERS = 4;
/** Under a bandwidth limit a frame takes at most about this long, so that a limit is kept smoothly. */
const PACED_FRAME_MS = 4;
/** Packed, pages take about half. */
const USUAL_SHRINKING = 2;

const YIELD_BATCHES = 16;

/** Over all calls of `send`; counts on while one runs, and what a failed one has sent is in it. */
export interface PageTotals {
  /** With content, taken by the kernel. */
  readonly pages: number;
  /** Read and found zero. */
  readonly zeroPages: number;
  /** Of `pages`, sent after an earlier time. */
  readonly resentPages: number;
}

export interface SendCounts {
  readonly pages: number;
  /** Left out because they were written again already: they belong to the next round. */
  readonly skippedPages: number;
  readonly bytes: number;
  /** What was not looked at because `enough` ended the sending. */
  readonly unsent: readonly PageRun[];
}

type Counters = { -readonly [K in keyof Omit<SendCounts, 'unsent'>]: number };

export interface SendOptions {
  readonly signal: AbortSignal;
  /** The pages of a batch that are not worth sending now. */
  readonly skip?: (batch: readonly PageRun[]) => readonly PageRun[];
  /** True ends the sending between two batches. */
  readonly enough?: () => boolean;
  /** The destination has nothing of these pages and waits for them: it must hear of zero pages, too. */
  readonly awaited?: boolean;
  /** The destination tells afterwards which of the pages that are only named it does not hold. */
  readonly mayName?: boolean;
  /** Sends a digest with every page, for who installs it to compare. */
  readonly digest?: PageDigest | undefined;
}

export class PageSender {
  /** The destination has content for these pages: it must be told when they become zero. */
  readonly #delivered: PageBitmap;
  readonly #totals = { pages: 0, zeroPages: 0, resentPages: 0 };
  readonly #memory: GuestMemory;
  readonly #connection: Connection;
  readonly #pacer: Pacer;
  readonly #packing: Packing | undefined;
  readonly #pool: StagingPool;

  /** @param packing - makes the pages smaller; without it they go as they are */
  constructor(memory: GuestMemory, connection: Connection, pacer: Pacer, packing?: Packing) {
    this.#memory = memory;
    this.#connection = connection;
    this.#pacer = pacer;
    this.#packing = packing;
    this.#pool = packing?.pool ?? new StagingPool(createBuffers());
    this.#delivered = new PageBitmap(memory.layout.pageCount);
  }

  get totals(): PageTotals {
    return this.#totals;
  }

  /**
   * Resolves when the kernel has taken the last byte.
   * @throws the abort reason of the signal, or the error of the connection
   */
  async send(runs: Iterable<PageRun>, options: SendOptions): Promise<SendCounts> {
    const counts = { pages: 0, skippedPages: 0, bytes: 0 };
    const unsent = new RunBuilder();
    let isEnough = false;
    const pending = new Set<Promise<void>>();
    let failure: unknown;
    let batches = 0;
    let before: Promise<void> | undefined;
    this.#packing?.begin();
    for (const batch of batchRuns(runs, this.#batchPages())) {
      options.signal.throwIfAborted();
      if (failure) break;
      isEnough ||= options.enough?.() ?? false;
      if (isEnough) {
        for (const run of batch) unsent.add(run.first, run.count);
        continue;
      }
      // A kernel that takes everything at once would never let the event loop read or run timers.
      if (++batches % YIELD_BATCHES === 0) await setImmediate();
      const skipped = options.skip?.(batch) ?? [];
      const wanted = skipped.length === 0 ? batch : subtractRuns(batch, skipped);
      if (skipped.length > 0) counts.skippedPages += countPages(batch) - countPages(wanted);
      if (wanted.length === 0) continue;
      const choice = this.#packing?.choose(countPages(wanted), options.awaited === true, options.mayName);
      const isDirect =
        choice === undefined && this.#maySendDirectly(options) && !mayHoldZeroPages(this.#memory, wanted);
      const buffer = await this.#pool.lend();
      // Behind bytes that wait nothing could go by reference.
      if (isDirect) await before;
      const sent = isDirect
        ? this.#sendDirectly(buffer, wanted, counts)
        : this.#sendBatch(buffer, wanted, counts, options, choice);
      const done = sent
        .catch((error: unknown) => {
          failure ??= error;
        })
        .finally(() => {
          pending.delete(done);
          this.#pool.giveBack(buffer);
        });
      pending.add(done);
      // Not read far ahead of what the pacer lets go, or contents would be old when they leave: one is packed meanwhile.
      if (this.#pacer.bytesPerSecond > 0) await (this.#packing ? before : done);
      before = done;
    }
    await Promise.all(pending);
    if (failure) throw failure;
    return { ...counts, unsent: unsent.finish() };
  }

  /** The destination does not hold these pages, which were only named: they are to be sent again. */
  miss(runs: readonly PageRun[]): void {
    this.#packing?.miss(runs);
  }

  async #sendBatch(
    buffer: StagingBuffer,
    runs: readonly PageRun[],
    counts: Counters,
    options: SendOptions,
    choice: PackingChoice | undefined,
  ): Promise<void> {
    const delivered = this.#delivered;
    const batch = buffer.read(this.#memory, runs);
    const zeroed = options.awaited ? batch.zeroRuns : batch.zeroRuns.filter((run) => anyDelivered(delivered, run));
    this.#totals.zeroPages += batch.zeroPages;
    const resentPages = this.#deliver(batch.dataRuns);
    const parts: Uint8Array[] = [];
    if (zeroed.length > 0) {
      for (const run of zeroed) delivered.deleteRun(run.first, run.count);
      this.#packing?.forget(zeroed);
      parts.push(encodeZeroPages(zeroed));
    }
    if (batch.dataPages > 0) parts.push(...(await this.#frameOf(buffer, batch, options, choice)));
    const bytes = parts.reduce((sum, part) => sum + part.length, 0);
    if (bytes > 0) {
      await this.#pacer.take(bytes);
      await this.#connection.send(...parts);
    }
    this.#count(counts, batch.dataPages, resentPages, bytes);
  }

  /** Without looking at the pages, and without copying them where the kernel can do without. */
  async #sendDirectly(buffer: StagingBuffer, runs: readonly PageRun[], counts: Counters): Promise<void> {
    const resentPages = this.#deliver(runs);
    this.#packing?.forget(runs);
    const header = encodePagesHeader(runs);
    const pieces = this.#memory.filePieces(runs);
    const pages = countPages(runs);
    const bytes = header.length + pages * PAGE_SIZE;
    this.#pacer.charge(bytes);
    await this.#connection.sendFiles!(header, pieces, (from) => buffer.readRest(this.#memory, runs, from));
    this.#count(counts, pages, resentPages, bytes);
  }

  /** Nothing has to be compared, held back or made smaller. */
  #maySendDirectly({ digest }: SendOptions): boolean {
    return this.#connection.sendFiles !== undefined && digest === undefined && this.#pacer.bytesPerSecond === 0;
  }

  /** How many of the pages the destination had before. */
  #deliver(runs: readonly PageRun[]): number {
    const delivered = this.#delivered;
    let again = 0;
    for (const run of runs) {
      for (let page = run.first; page < run.first + run.count; page++) {
        if (delivered.has(page)) again++;
        else delivered.add(page);
      }
    }
    return again;
  }

  #count(counts: Counters, pages: number, resentPages: number, bytes: number): void {
    counts.bytes += bytes;
    counts.pages += pages;
    this.#totals.pages += pages;
    this.#totals.resentPages += resentPages;
  }

  /** The batch's pages with content as a frame; nothing when the destination has them all. */
  async #frameOf(
    buffer: StagingBuffer,
    batch: PageBatch,
    options: SendOptions,
    choice: PackingChoice | undefined,
  ): Promise<Uint8Array[]> {
    const { dataRuns, parts } = batch;
    const digests = options.digest?.digestParts(dataRuns, parts);
    const packed = await this.#packing?.pack(buffer, batch, choice);
    if (packed?.runs.length === 0) return [];
    if (packed) return [encodePackedPagesHeader({ ...packed, digests }, packed.packed.length), packed.packed];
    return [digests ? encodeDigestedPagesHeader(dataRuns, digests) : encodePagesHeader(dataRuns), ...parts];
  }

  #batchPages(): number {
    const limit = this.#pacer.bytesPerSecond;
    if (limit === 0) return MAX_PAGES_PER_FRAME;
    const ms = this.#packing ? PACED_FRAME_MS * USUAL_SHRINKING : PACED_FRAME_MS;
    const pages = Math.floor((limit * ms) / 1000 / PAGE_SIZE);
    return Math.max(1, Math.min(MAX_PAGES_PER_FRAME, pages));
  }
}

function createBuffers(): StagingBuffer[] {
  return Array.from({ length: STAGING_BUFFERS }, (_, slot) => new StagingBuffer(MAX_PAGES_PER_FRAME, slot));
}

function anyDelivered(delivered: PageBitmap, run: PageRun): boolean {
  const next = delivered.next(run.first);
  return next >= 0 && next < run.first + run.count;
}
