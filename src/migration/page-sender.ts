/**
 * Sends pages of a VM over the page channels.
 *
 * Owns: cutting what is to be sent into batches, which steps each goes through, the pace, and counting. Must hold: of a
 * list each page is sent once; what a migration sends later than `inOrder` pages arrives later, if it is sent so, too.
 */
import { batchRuns, countPages, PAGE_SIZE, type PageRun, RunBuilder, subtractRuns } from '../base/page.ts';
import { uniteRuns } from '../base/page-bitmap.ts';
import type { DigestScheme } from '../memory/digest.ts';
import type { Pacer } from '../transfer/pacer.ts';
import type { Naming, Packing } from '../transfer/packing.ts';
import { MAX_PAGES_PER_FRAME } from '../wire/limits.ts';
import type { PageChannel } from './page-channel-thread.ts';
import type { SendResult } from './page-channel-words.ts';
import { PAGES_OF_ONE_CHANNEL, type PageCarrier } from './page-channels.ts';

/** Of one channel: what it sends and what it sends next, so that it never waits for a batch. */
const DEPTH = 2;
/** Not read far ahead of what the pacer lets go, or contents would be old when they leave. */
const PACED_DEPTH = 1;
/** Under a bandwidth limit a frame takes at most about this long, so that a limit is kept smoothly. */
const PACED_FRAME_MS = 4;
/** Packed, pages take about half. */
const USUAL_SHRINKING = 2;
/** Few pages are divided among the channels, but not into less than this. */
const MIN_DIVIDED_PAGES = 32;

/** Over all calls of `send`; counts on while one runs, and what a failed one has sent is in it. */
export interface PageTotals {
  /** With content, taken by the kernel. */
  readonly pages: number;
  /** Read and found zero. */
  readonly zeroPages: number;
  /** Of `pages`, sent after an earlier time. */
  readonly resentPages: number;
  /** Of `pages`, those of which no contents went: only named, or unchanged since they were sent. */
  readonly leftOutPages: number;
}

export interface SendCounts {
  readonly pages: number;
  readonly bytes: number;
  /** Of `pages`, those that were only named, and those that had not changed since they were sent. */
  readonly namedPages: number;
  readonly unchangedPages: number;
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
  /** The destination tells afterwards which of these pages it does not hold; none without. */
  readonly mayName?: Naming | null;
  /** Pages may be sent again before the destination has said that it has these. */
  readonly inOrder?: boolean;
  /** Sends a digest with every page, for who installs it to compare. */
  readonly digest?: DigestScheme | null;
}

export class PageSender {
  readonly #totals = { pages: 0, zeroPages: 0, resentPages: 0, leftOutPages: 0 };
  readonly #channels: PageCarrier;
  readonly #pacer: Pacer;
  readonly #packing: Packing | undefined;

  /** @param packing - makes the pages smaller; without it they go as they are */
  constructor(channels: PageCarrier, pacer: Pacer, packing?: Packing) {
    this.#channels = channels;
    this.#pacer = pacer;
    this.#packing = packing;
  }

  get totals(): PageTotals {
    return this.#totals;
  }

  /**
   * Resolves when the kernel has taken the last byte.
   * @throws the abort reason of the signal, or the error of a channel
   */
  async send(runs: readonly PageRun[], options: SendOptions): Promise<SendCounts> {
    const counts = { pages: 0, bytes: 0, namedPages: 0, unchangedPages: 0 };
    const unsent = new RunBuilder();
    let isEnough = false;
    const pending = new Set<Promise<void>>();
    let failure: unknown;
    this.#packing?.begin();
    for (const batch of this.#batches(runs, options.inOrder === true)) {
      options.signal.throwIfAborted();
      if (failure) break;
      isEnough ||= options.enough?.() ?? false;
      if (isEnough) {
        for (const run of batch) unsent.add(run.first, run.count);
        continue;
      }
      const skipped = options.skip?.(batch) ?? [];
      const wanted = skipped.length === 0 ? batch : subtractRuns(batch, skipped);
      if (wanted.length === 0) continue;
      const only = options.inOrder ? this.#channels.channelOf(wanted[0]!.first) : undefined;
      const channel = await this.#channels.free(this.#pacer.bytesPerSecond > 0 ? PACED_DEPTH : DEPTH, only);
      const done = this.#sendBatch(channel, wanted, counts, options)
        .catch((error: unknown) => {
          failure ??= error;
        })
        .finally(() => pending.delete(done));
      pending.add(done);
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
    channel: PageChannel,
    runs: readonly PageRun[],
    counts: Counters,
    options: SendOptions,
  ): Promise<void> {
    const { awaited = false, mayName, digest = null } = options;
    const choice = this.#packing?.choose(countPages(runs), awaited, mayName);
    const isPaced = this.#pacer.bytesPerSecond > 0;
    const job = {
      runs,
      steps: choice && {
        ...choice.rung,
        same: choice.same,
        held: choice.held,
        elsewhere: choice.elsewhere,
        delta: choice.delta,
      },
      isDirect: choice === undefined && digest === null && !isPaced,
      awaited,
      digest,
      isPaced,
    };
    const result = await channel.send(job, (bytes) => this.#pacer.take(bytes));
    if (!isPaced) this.#pacer.charge(result.bytes);
    if (choice && result.outcome) this.#packing?.learn(choice, result.outcome);
    this.#count(counts, result);
  }

  #count(counts: Counters, { pages, zeroPages, resentPages, bytes, outcome }: SendResult): void {
    const named = outcome ? outcome.heldPages + outcome.elsewherePages : 0;
    const unchanged = outcome?.samePages ?? 0;
    counts.bytes += bytes;
    counts.pages += pages;
    counts.namedPages += named;
    counts.unchangedPages += unchanged;
    this.#totals.leftOutPages += named + unchanged;
    this.#totals.pages += pages;
    this.#totals.zeroPages += zeroPages;
    this.#totals.resentPages += resentPages;
  }

  /** In order each batch is of one channel; otherwise any channel takes any. */
  *#batches(runs: readonly PageRun[], inOrder: boolean): Generator<PageRun[]> {
    const most = this.#batchPages(runs);
    if (!inOrder) {
      yield* batchRuns(runs, most);
      return;
    }
    const lists = new Map<PageChannel, RunBuilder>();
    for (const piece of piecesOf(runs)) {
      const channel = this.#channels.channelOf(piece.first);
      let list = lists.get(channel);
      if (!list) {
        list = new RunBuilder();
        lists.set(channel, list);
      }
      list.add(piece.first, piece.count);
    }
    const queues = [...lists.values()].map((list) => batchRuns(list.finish(), most));
    for (let isOver = false; !isOver; ) {
      isOver = true;
      for (const queue of queues) {
        const next = queue.next();
        if (next.done) continue;
        isOver = false;
        yield next.value;
      }
    }
  }

  #batchPages(runs: readonly PageRun[]): number {
    const share = Math.ceil(countPages(runs) / Math.max(1, this.#channels.openCount));
    const divided = Math.max(MIN_DIVIDED_PAGES, share);
    const limit = this.#pacer.bytesPerSecond;
    if (limit === 0) return Math.min(MAX_PAGES_PER_FRAME, divided);
    const ms = this.#packing ? PACED_FRAME_MS * USUAL_SHRINKING : PACED_FRAME_MS;
    const pages = Math.floor((limit * ms) / 1000 / PAGE_SIZE);
    return Math.max(1, Math.min(MAX_PAGES_PER_FRAME, divided, pages));
  }
}

/** Of two calls of `send`. */
export function addCounts(one: SendCounts, other: SendCounts, pageCount: number): SendCounts {
  return {
    pages: one.pages + other.pages,
    bytes: one.bytes + other.bytes,
    namedPages: one.namedPages + other.namedPages,
    unchangedPages: one.unchangedPages + other.unchangedPages,
    unsent: uniteRuns(one.unsent, other.unsent, pageCount),
  };
}

/** Cut where `channelOf` may change. */
function* piecesOf(runs: readonly PageRun[]): Generator<PageRun> {
  for (const run of runs) {
    const end = run.first + run.count;
    for (let first = run.first; first < end; ) {
      const next = Math.min(end, (Math.floor(first / PAGES_OF_ONE_CHANNEL) + 1) * PAGES_OF_ONE_CHANNEL);
      yield { first, count: next - first };
      first = next;
    }
  }
}
